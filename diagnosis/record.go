package diagnosis

import (
	"math"

	"ballast/run"
)

// probes are the experiments made with the weights that the last epoch left; nil
// where there are none, or the run went on since.
func (e *evidence) probes() *run.Probes {
	p, epochs := e.run.Probes, e.run.Epochs
	if p == nil || len(epochs) == 0 || p.Epoch != epochs[len(epochs)-1].Epoch {
		return nil
	}
	return p
}

// probe returns a number that an experiment measured; NaN where the experiment was
// not made or did not give it. docs/probes.md lists the experiments.
func (e *evidence) probe(id, name string) float64 {
	if x, known := e.probes().Result(id).Value(name); known {
		return x
	}
	return math.NaN()
}

// probed reports whether an experiment was made.
func (e *evidence) probed(id string) bool {
	result := e.probes().Result(id)
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

// experiments lists those that were made.
func (e *evidence) experiments() []string {
	if e.probes() == nil {
		return nil
	}
	var made []string
	for _, result := range e.probes().Results {
		if result.Skipped == "" {
			made = append(made, result.ID)
		}
	}
	return made
}

// unmade lists the experiments that would say more of a cause than the record does,
// and can be made: on a run of ballast's own, which keeps its weights and knows its
// cohort, and that were not tried in vain.
func (e *evidence) unmade(cause *Cause, verdict string) []string {
	if e.plan == nil || verdict == Confirmed || verdict == RuledOut {
		return nil
	}
	var unmade []string
	for _, id := range cause.Probes {
		if e.probes().Result(id) == nil {
			unmade = append(unmade, id)
		}
	}
	return unmade
}

// recordLooks is the advice where nothing is known of the images.
func recordLooks() *Treatment {
	return &Treatment{Plan: map[string]any{}, Text: "Record the fingerprint of the images of both sets (fingerprint.json): mean, deviation, extremes and a thumbnail of each subject, as the network is shown it."}
}
