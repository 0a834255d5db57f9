package diagnosis

import (
	"errors"
	"fmt"
	"math"

	"ballast/run"
)

// ErrTooShort is wrapped when a run has no validation result from which
// anything could be said.
var ErrTooShort = errors.New("nothing to diagnose")

// Diagnose says why the validation curve of a run fluctuates, from its record
// alone. The error wraps ErrTooShort when fewer than two epochs have a finite
// validation accuracy.
func Diagnose(r *run.Run) (*Report, error) {
	e := newEvidence(r)
	curve := e.curve(run.Logged, run.Validation)
	finite := 0
	for _, a := range curve {
		if !math.IsNaN(a) {
			finite++
		}
	}
	if finite < 2 {
		return nil, fmt.Errorf("%w: %d of %d epochs have a finite validation accuracy; two are needed", ErrTooShort, finite, len(r.Epochs))
	}
	e.climb()
	report := &Report{
		Format:   ReportFormat,
		Subjects: Subjects{Train: len(r.Header.Sets[run.Train]), Validation: len(r.Header.Sets[run.Validation])},
		Classes:  r.Header.Classes,
		Epochs:   Epochs{Recorded: len(r.Epochs), Analysed: finite, Stride: e.stride},
		Jitter:   map[string]Interval{},
		Budget:   e.budget(),
		Findings: []Finding{},
		Notes:    e.notes,
	}
	return report, nil
}

// curve returns the accuracy of every epoch as recorded, NaN where none is.
func (e *evidence) curve(view, set string) []float64 {
	curve := make([]float64, len(e.run.Epochs))
	for t := range curve {
		curve[t] = math.NaN()
		if evaluation := e.run.Epochs[t].Evaluation(view, set); evaluation != nil {
			curve[t] = float64(evaluation.Accuracy)
		}
	}
	return curve
}
