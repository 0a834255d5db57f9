// Package probe makes experiments with the weights and images of a finished run:
// each confirms or refutes causes of a fluctuating validation curve that the
// record alone cannot decide. docs/probes.md describes every one with its numbers.
package probe

import (
	"context"
	"errors"
	"fmt"

	"ballast/run"
)

// ErrNotApplicable is wrapped by a probe that has no meaning for a run. The runner
// records the reason and goes on.
var ErrNotApplicable = errors.New("not applicable")

// A Probe is one experiment. Each stands in a file of its own and is listed in
// Probes.
type Probe struct {
	ID      string
	Title   string   // while it is under way, as "evaluating twice"
	Explain string   // the question and the experiment, in one or two sentences
	Values  []string // the names of what it measures, of which some may not apply to a run
	// Cost is the work, in images passed forward once; one that is trained on counts
	// three times.
	Cost func(b *Bench) float64
	// Run measures. The lab holds the weights of the logged curve when it is called,
	// and may be left in any state. The values do not depend on time or threads.
	Run func(ctx context.Context, b *Bench) (map[string]run.Float, error)
}

// Probes lists every experiment, those first that the others build on in a
// report. Run makes the cheapest first.
var Probes = []*Probe{
	&evaluateTwice,
	&trainingThroughValidation,
	&mode,
	&recalibration,
	&threshold,
	&averagedWeights,
	&leakage,
	&shortcut,
	&sharpness,
	&gradientNoise,
	&learningRateRange,
	&continuation,
	&groupNorm,
	&labelPermutation,
	&labelNoise,
	&crossValidation,
	&capacity,
}

// Find returns the probe of an id, nil where there is none.
func Find(id string) *Probe {
	for _, p := range Probes {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// notApplicable is an error that wraps ErrNotApplicable with a reason.
func notApplicable(reason string, arguments ...any) error {
	return fmt.Errorf("%w: %s", ErrNotApplicable, fmt.Sprintf(reason, arguments...))
}
