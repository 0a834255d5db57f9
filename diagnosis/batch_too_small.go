package diagnosis

import (
	"math"

	"ballast/run"
)

// Measured reliability: planted in 72 runs, likely or confirmed in 89 % of them from the record
// alone and in 92 % of 12 with experiments; claimed falsely in 0 of 180 clean runs and 6 of 1608
// runs with other causes; with experiments in 0 of 60 and 1 of 268
// (docs/reliability-of-diagnosis.md).
var batchTooSmall = Cause{
	ID:    "batch-too-small",
	Title: "Batches too small",
	Explain: "A step rests on so few images that chance decides which classes are among them, and the weights jump about with every " +
		"batch.",
	Of:     "jitter",
	Kind:   mistake,
	Brings: []string{"batch-norm-small-batch", "learning-rate-too-high", "dead-relu", "class-bias-oscillation", "threshold-flicker", "optimistic-selection"},
	Probes: []string{"gradient-noise", "continuation"},
	Judge:  judgeBatch,
}

const (
	oneClassBatches = 0.1  // probability that all images of a batch are of one class
	mostlyOneClass  = 0.25 // probability from which averaging the weights is sign enough
	fewImages       = 0.1  // of the images of a step to the gradient's noise scale
	lessJitter      = 0.71 // of the jitter: what batches of twice the size leave of pure noise of the batch, 1/√2
)

// judgeBatch needs two signs for "likely": the weights jump about, as the training
// loss shows, and a batch is so small that one in ten or more holds images of one
// class only. The noise scale of the gradient, tr(Σ)/|g|² (McCandlish et al.,
// "An Empirical Model of Large-Batch Training", 2018), says how many images the
// gradient's own size asks for; that the training loss ends lower with batches of
// twice the size, after as many epochs and half as many steps, confirms the cause.
func judgeBatch(e *evidence) judgement {
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	batch := e.imagesPerStep()
	if !isFinite(batch) {
		return cannotTell(0, "the number of steps in 0 epochs is recorded, so it is unknown how many images a step rests on")
	}
	single := e.singleClass(batch)
	j.say(batch, "a step rests on %.1f images; all of them are of one class in %.0f %% of shuffled batches", batch, 100*single)
	w := e.wobble(&j)
	noise := e.noiseVerdict(&j)
	helps := e.doublingHelps(&j)
	scale := e.probe("gradient-noise", "noise_scale")
	noisy := batch <= fewImages*scale // infinite where the gradient itself is as good as none
	if isFinite(scale) {
		j.say(scale, "by the noise of the gradient a step would rest on %.0f images", scale)
	}
	small := single >= oneClassBatches
	switch {
	case small && helps && (w.jumps || noise.sure()) && noisy:
		j.verdict = Confirmed
	case small && w.jumps && !w.running, single >= mostlyOneClass && noise == Confirmed:
		j.verdict = Likely
	case small && (w.jumps || noise.sure() || e.restsUnlearnt()), helps && w.jumps && noisy:
		j.verdict = Possible
	case !small && !helps, !w.jumps && noise == RuledOut:
		j.verdict = RuledOut
	}
	j.treat(e.largerBatch(batch))
	return j
}

// restsUnlearnt reports whether little of the training set is learnt though the steps
// could have replaced the weights.
func (e *evidence) restsUnlearnt() bool {
	f := e.trainingFit()
	return f.loss > unlearnt*f.ignorance && e.medianPath() >= longPath
}

// singleClass is the probability that all images of a batch are of one class, at
// the shares of the classes among the training subjects: Σ p^batch.
func (e *evidence) singleClass(batch float64) float64 {
	count, n := map[int]float64{}, 0.0
	for _, s := range e.run.Header.Sets[run.Train] {
		count[s.Class]++
		n++
	}
	sum := 0.0
	for _, k := range count {
		sum += math.Pow(k/n, batch)
	}
	return sum
}

// doublingHelps reports whether a short continuation with batches of twice the size
// ends at a lower training loss and with less jitter than one at the same size.
func (e *evidence) doublingHelps(j *judgement) bool {
	same, double := e.probe("continuation", "same_loss"), e.probe("continuation", "double_batch_loss")
	sameJitter, doubleJitter := e.probe("continuation", "same_jitter"), e.probe("continuation", "double_batch_jitter")
	if !isFinite(same) || !isFinite(double) || !e.continuedInEarnest() {
		return false
	}
	j.say(same-double, "trained on for a few epochs, the training loss is %.3f with the same batches and %.3f with batches of twice the size", same, double)
	return clearlyAbove(same, double) == 1 || double <= same && doubleJitter <= lessJitter*sameJitter
}

// largerBatch proposes at least 16 images for a step.
func (e *evidence) largerBatch(batch float64) *Treatment {
	t := advise("Let a step rest on more images: a larger batch, or the mean gradient of several batches (optimizer.accumulate).")
	if e.plan != nil {
		size := math.Max(16, 4*math.Round(batch))
		t.Plan["batch"] = int(math.Min(size, math.Max(1, float64(len(e.run.Header.Sets[run.Train])))))
	}
	return t
}
