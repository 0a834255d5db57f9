package trial

import (
	"math"

	"ballast/evaluation"
	"ballast/stat"
)

// A measure is a number that says how good predictions of some subjects are.
type measure struct {
	id, name string
	bounded  bool // between 0 and 1
	of       func(p predicted) float64
}

// predicted is predictions with the truth: the probabilities (N, classes) and
// classes (N) of subjects.
type predicted struct {
	rows    [][]float64
	truth   []int
	classes int
}

// only is the predictions of the subjects with the given indices.
func (p predicted) only(indices []int) predicted {
	some := predicted{make([][]float64, len(indices)), make([]int, len(indices)), p.classes}
	for n, i := range indices {
		some.rows[n], some.truth[n] = p.rows[i], p.truth[i]
	}
	return some
}

// measures are what a cross-validation reports, the headline first.
var measures = []measure{
	{evaluation.Accuracy, "accuracy", true, accuracy},
	{evaluation.BalancedAccuracy, "balanced accuracy", true, balancedAccuracy},
	{evaluation.AUROC, "AUROC", true, area},
	{evaluation.LogLoss, "log loss", false, func(p predicted) float64 { return stat.LogLoss(p.rows, p.truth) }},
	{evaluation.Brier, "Brier score", false, brier},
}

// decisions are the most probable class of each subject, the first of equals.
func (p predicted) decisions() []int {
	chosen := make([]int, len(p.rows))
	for i, row := range p.rows {
		for class, x := range row {
			if x > row[chosen[i]] {
				chosen[i] = class
			}
		}
	}
	return chosen
}

func accuracy(p predicted) float64 {
	right := 0
	for i, class := range p.decisions() {
		if class == p.truth[i] {
			right++
		}
	}
	return float64(right) / float64(len(p.truth))
}

// balancedAccuracy is the mean recall of the classes; NaN where one has no subject.
func balancedAccuracy(p predicted) float64 {
	return stat.BalancedAccuracy(stat.Recalls(p.decisions(), p.truth, p.classes))
}

// area is the AUROC of the second of two classes, else the mean over the classes,
// each against the rest; NaN where a class has no subject.
func area(p predicted) float64 {
	if p.classes == 2 {
		return p.against(1, func(scores []float64, positive []bool) float64 {
			a, _ := stat.AUROC(scores, positive)
			return a
		})
	}
	sum := 0.0
	for class := range p.classes {
		sum += p.against(class, func(scores []float64, positive []bool) float64 {
			a, _ := stat.AUROC(scores, positive)
			return a
		})
	}
	return sum / float64(p.classes)
}

// brier is of two classes mean (p - y)², of more the sum over the classes, as in
// package evaluation.
func brier(p predicted) float64 {
	if p.classes == 2 {
		return p.against(1, stat.BinaryBrier)
	}
	return stat.Brier(p.rows, p.truth)
}

// against computes a measure of the scores of one class against the rest.
func (p predicted) against(class int, of func([]float64, []bool) float64) float64 {
	scores, positive := make([]float64, len(p.rows)), make([]bool, len(p.rows))
	for i, row := range p.rows {
		scores[i], positive[i] = row[class], p.truth[i] == class
	}
	return of(scores, positive)
}

// cut holds an interval of a bounded measure to its range, and of others to
// numbers from 0 on.
func (m measure) cut(low, high float64) (float64, float64) {
	low = math.Max(0, low)
	if m.bounded {
		high = math.Min(1, high)
	}
	return low, high
}
