package diagnosis

import (
	"math"

	"ballast/run"
)

// probe returns a number that an experiment measured; NaN where the experiment was
// not made or did not give it. docs/probes.md lists the experiments.
func (e *evidence) probe(id, name string) float64 {
	if x, known := e.run.Probes.Result(id).Value(name); known {
		return x
	}
	return math.NaN()
}

// probed reports whether an experiment was made.
func (e *evidence) probed(id string) bool {
	result := e.run.Probes.Result(id)
	return result != nil && result.Skipped == ""
}

// health returns what was watched of the layers in an epoch; nil where nothing was.
func (e *evidence) health(t int) *run.Health { return e.run.Epochs[t].Health }

// looks returns what the network is shown of the subjects of a set, in the order of
// the header; nil where that is not recorded.
func (e *evidence) looks(set string) []run.Look {
	if e.run.Fingerprint == nil {
		return nil
	}
	return e.run.Fingerprint.Sets[set]
}
