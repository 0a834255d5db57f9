package probe

import (
	"context"
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

var threshold = Probe{
	ID:    "threshold",
	Title: "moving the decision threshold",
	Explain: "Does the curve hang on the threshold of one half? The threshold is set where the training subjects are divided in " +
		"their true proportion, and the validation subjects are judged by it.",
	Values: []string{"accuracy_half", "accuracy_training_threshold", "threshold", "near"},
	Cost:   func(b *Bench) float64 { return samples(&b.Images.Train) + samples(&b.Images.Validation) },
	Run: func(ctx context.Context, b *Bench) (map[string]run.Float, error) {
		if len(b.Images.Classes) != 2 {
			return nil, notApplicable("there are %d classes, and one threshold divides two", len(b.Images.Classes))
		}
		training, err := b.Lab.Evaluate(ctx, &b.Images.Train, train.Look{})
		if err != nil {
			return nil, err
		}
		validation, err := b.Lab.Evaluate(ctx, &b.Images.Validation, train.Look{})
		if err != nil {
			return nil, err
		}
		at, found := proportional(training.Probabilities, b.Images.Train.Subjects)
		if !found {
			return nil, notApplicable("the training subjects are all of one class")
		}
		if math.IsNaN(at) {
			return nil, notApplicable("the network's outputs are not numbers")
		}
		right, near := 0.0, 0.0
		for i, row := range validation.Probabilities {
			if predicted := margin(row) > at; predicted == (b.Images.Validation.Subjects[i].Class == 1) {
				right++
			}
			if math.Abs(float64(row[1])-0.5) <= nearHalf {
				near++
			}
		}
		n := float64(len(validation.Probabilities))
		return map[string]run.Float{
			"accuracy_half":               validation.Accuracy,
			"accuracy_training_threshold": run.Float(right / n),
			"threshold":                   run.Float(1 / (1 + stat.Exp(-at))),
			"near":                        run.Float(near / n),
		}, nil
	},
}

// nearHalf is how far from one half a probability counts as near it.
const nearHalf = 0.05

// proportional returns the margin above which as many subjects lie as are of the
// second class: the middle between the two margins that it divides.
func proportional(rows []run.Row, subjects []run.Subject) (at float64, found bool) {
	var margins []float64
	second := 0
	for i, row := range rows {
		margins = append(margins, margin(row))
		second += subjects[i].Class
	}
	if second == 0 || second == len(rows) {
		return 0, false
	}
	slices.Sort(margins)
	above := len(margins) - second
	return (margins[above-1] + margins[above]) / 2, true
}

// leastProbability keeps margins finite.
const leastProbability = 1e-30

// margin is the logarithm of the odds of the second class.
func margin(row run.Row) float64 {
	logarithm := func(p float32) float64 { return stat.Log(math.Max(float64(p), leastProbability)) }
	return logarithm(row[1]) - logarithm(row[0])
}
