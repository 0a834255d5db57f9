package probe

import (
	"context"

	"ballast/run"
	"ballast/train"
)

var learningRateRange = Probe{
	ID:    "learning-rate-range",
	Title: "trying learning rates",
	Explain: "At which learning rates does this network learn? A network that begins anew is trained a step at each of many rates, from " +
		"tiny to huge: where the loss falls fastest and where it blows up is held against the rate that was used.",
	Values: []string{"used", "steepest", "least", "suggested", "blow_up", "steps"},
	Cost:   rangeCost,
	Run:    tryLearningRates,
}

func rangeCost(b *Bench) float64 {
	return 3 * float64(rangeSteps(b)*b.Plan.Optimizer.Accumulate) * b.trained(min(b.Plan.Batch, b.Lab.Units()))
}

// rangeSteps is the number of rates.
func rangeSteps(b *Bench) int { return b.fewer(400, 200) }

func tryLearningRates(ctx context.Context, b *Bench) (map[string]run.Float, error) {
	steps, told := rangeSteps(b), 0.0
	cost := rangeCost(b)
	test, err := train.RunRangeTest(ctx, b.Plan, b.Images, steps, train.Options{Threads: b.Threads, Progress: func(p train.Progress) {
		b.Worked(int((p.Share - told) * cost))
		told = p.Share
	}})
	if err != nil {
		return nil, err
	}
	values := map[string]run.Float{
		"used":  b.Run.Epochs[highestRate(b.Run)].LearningRate,
		"steps": run.Float(len(test.Points)),
	}
	put := func(name string, rate float64) { // a rate of 0 is one that the curve does not show
		if rate > 0 {
			values[name] = run.Float(rate)
		}
	}
	put("steepest", test.Steepest)
	put("least", test.Least)
	put("suggested", test.Suggested)
	if test.Diverged && len(test.Points) > 0 {
		put("blow_up", test.Points[len(test.Points)-1].Rate)
	}
	return values, nil
}

// highestRate is the epoch with the highest learning rate, the first of equals.
func highestRate(r *run.Run) int {
	best := 0
	for i := range r.Epochs {
		if r.Epochs[i].LearningRate > r.Epochs[best].LearningRate {
			best = i
		}
	}
	return best
}
