package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: planted in 72 runs, likely or confirmed in 100 % of them from the record
// alone and in 100 % of 12 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1632
// runs with other causes; with experiments in 0 of 60 and 0 of 272
// (docs/reliability-of-diagnosis.md).
var unshuffledTraining = Cause{
	ID:    "unshuffled-training",
	Title: "Training images are not shuffled",
	Explain: "The batches hold images of one class after another, so the network is pulled to one answer and then to the other, " +
		"and the epoch ends with what was shown last. Batch-norm statistics follow the same swing.",
	Of:   "jitter",
	Kind: mistake,
	Brings: []string{"class-bias-oscillation", "threshold-flicker", "learning-rate-too-high", "batch-norm-lag", "batch-norm-small-batch",
		"batch-too-small", "exploding-gradient", "dead-relu", "vanishing-gradient", "too-little-learning", "too-little-capacity"},
	Judge: judgeUnshuffled,
}

const (
	sortedMixing   = 3.0  // variance of the classes over batches against that of shuffled ones, in batches of 9 images or more
	chanceOfMixing = 1e-6 // of shuffled batches that reach the mixing seen
	leastFreedom   = 10   // batches less one, summed over the epochs
)

// judgeUnshuffled looks at the composition of the batches, which is a fact and no
// inference. Shuffled batches give a mixing whose freedom times mean is about a
// chi-squared number, freedom being the batches less one of every epoch. A quarter
// of the way from there to sorted images, whose mixing is the batch size, is enough.
func judgeUnshuffled(e *evidence) judgement {
	mixing, batches, freedom := e.mixing()
	if !(freedom >= leastFreedom) {
		return e.unwatched("how the classes are mixed in the batches")
	}
	batch := float64(len(e.run.Header.Sets[run.Train])) / batches
	threshold := math.Min(sortedMixing, 1+(batch-1)/4)
	expected := stat.FQuantile(1-chanceOfMixing, freedom, 1e7)
	j := judgement{verdict: RuledOut, severity: math.NaN()}
	j.say(mixing, "the number of images of each class varies %.1f times as much from batch to batch as in shuffled batches, and up to %.1f times is chance", mixing, expected)
	switch {
	case mixing >= threshold && mixing > expected:
		j.verdict = Confirmed
		j.severity = e.jitter
	case mixing > expected && mixing >= 1+(threshold-1)/2:
		j.verdict = Possible
	}
	t := advise("Shuffle the training images anew in every epoch.")
	if e.plan != nil {
		t.Plan["sampling.draw"] = "shuffled"
	}
	j.treat(t)
	return j
}

// mixing returns the mean of run.Health.Mixing over the epochs, the mean number of
// batches, and the freedom of all of them together.
func (e *evidence) mixing() (mean, batches, freedom float64) {
	accumulate := 1
	if e.plan != nil {
		accumulate = max(1, e.plan.Optimizer.Accumulate)
	}
	var values []float64
	for t := range e.run.Epochs {
		h := e.health(t)
		if h == nil || !isFinite(float64(h.Mixing)) {
			continue
		}
		count := float64(e.stepsIn(t) * accumulate)
		values = append(values, float64(h.Mixing))
		batches += count
		freedom += math.Max(0, count-1)
	}
	return finiteMean(values), batches / float64(len(values)), freedom
}
