package probe

import (
	"context"
	"math"
	"slices"

	"ballast/run"
)

var evaluateTwice = Probe{
	ID:    "evaluate-twice",
	Title: "evaluating twice",
	Explain: "Does the same network give the same answers twice? The validation set is evaluated as logged two times over, with " +
		"the weights unchanged. Whatever differs is noise of the evaluation: dropout, augmentation or a random part of the set.",
	Values: []string{"different", "flips", "covered", "accuracy_difference"},
	Cost:   func(b *Bench) float64 { return 2 * samples(&b.Images.Validation) },
	Run: func(ctx context.Context, b *Bench) (map[string]run.Float, error) {
		set := &b.Images.Validation
		epochs := len(b.Run.Epochs) // draws beyond those that are recorded
		first, err := b.Lab.Logged(ctx, set, epochs+1)
		if err != nil {
			return nil, err
		}
		second, err := b.Lab.Logged(ctx, set, epochs+2)
		if err != nil {
			return nil, err
		}
		return compareTwice(first, second), nil
	},
}

// compareTwice compares two evaluations of the same subjects, those apart of whom
// only one has a prediction.
func compareTwice(first, second run.Evaluation) map[string]run.Float {
	var different, flips, both, covered float64
	for i, a := range first.Probabilities {
		b := second.Probabilities[i]
		if a != nil {
			covered++
		}
		if a == nil || b == nil {
			continue
		}
		both++
		if !slices.EqualFunc(a, b, same) {
			different++
		}
		if a.Class() != b.Class() {
			flips++
		}
	}
	return map[string]run.Float{
		"different":           run.Float(different / both),
		"flips":               run.Float(flips / both),
		"covered":             run.Float(covered / float64(len(first.Probabilities))),
		"accuracy_difference": run.Float(math.Abs(float64(first.Accuracy - second.Accuracy))),
	}
}

// same reports whether two probabilities are equal, or both no numbers.
func same(p, q float32) bool { return p == q || p != p && q != q }
