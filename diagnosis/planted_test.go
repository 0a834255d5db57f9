package diagnosis

import (
	"maps"
	"slices"
	"testing"

	"ballast/run"
	"ballast/stat"
)

// planted holds, for each cause that a simulated run cannot have by itself or by a
// family of the study, small runs in which it is so.
var planted = map[string][]plantedRun{}

// A plantedRun is a run with one thing wrong, and what must be said of it.
type plantedRun struct {
	name string
	want string // the verdict
	make func() *run.Run
}

// cleanRun is a simulated run with nothing wrong, and everything recorded.
func cleanRun(seed uint64, n int) *run.Run {
	r := newCourse(cleanScenario(stat.NewStream(seed, "planted")), seed).run(n, 0)
	addLooks(r, seed)
	return r
}

// addLooks gives every subject images like no other's: smooth anatomy that all
// share and a part of its own, normalised.
func addLooks(r *run.Run, seed uint64) {
	r.Fingerprint = &run.Fingerprint{Format: run.Format, Sets: map[string][]run.Look{}}
	for k, set := range slices.Sorted(maps.Keys(r.Header.Sets)) {
		for i := range r.Header.Sets[set] {
			s := stat.NewStream(seed, "look", uint64(k), uint64(i))
			look := run.Look{Mean: run.Float(1e-8 * s.Normal()), Deviation: 1, Least: run.Float(-2 - 0.2*s.Float64()), Greatest: run.Float(4 + s.Float64())}
			for c := range run.ThumbnailCells {
				shared := 24 * stat.NewStream(seed, "anatomy", uint64(c)).Normal()
				look.Thumbnail = append(look.Thumbnail, int(shared+20*s.Normal()))
			}
			r.Fingerprint.Sets[set] = append(r.Fingerprint.Sets[set], look)
		}
	}
}

// withProbe adds the result of an experiment.
func withProbe(r *run.Run, id string, values map[string]run.Float) *run.Run {
	if r.Probes == nil {
		r.Probes = &run.Probes{Format: run.Format, Epoch: len(r.Epochs)}
	}
	r.Probes.Results = append(r.Probes.Results, run.ProbeResult{ID: id, Values: values})
	return r
}

// TestPlanted holds every planted run against what must be said of it, and every
// finding that is likely or confirmed beside against its Because.
func TestPlanted(t *testing.T) {
	for _, id := range slices.Sorted(maps.Keys(planted)) {
		for _, p := range planted[id] {
			report := mustDiagnose(t, p.make())
			if f := report.finding(id); f.Verdict != p.want {
				t.Errorf("%s: %s is %s, want %s: %v", p.name, id, f.Verdict, p.want, f.Evidence)
			}
		}
	}
}

// TestEveryCauseIsPlanted: a cause that no test can make true is not tested.
func TestEveryCauseIsPlanted(t *testing.T) {
	for _, cause := range Causes {
		found := slices.ContainsFunc(families, func(f family) bool { return f.cause == cause.ID })
		found = found || slices.ContainsFunc(planted[cause.ID], func(p plantedRun) bool { return p.want == Confirmed || p.want == Likely })
		if !found {
			t.Errorf("%s is planted nowhere", cause.ID)
		}
	}
}
