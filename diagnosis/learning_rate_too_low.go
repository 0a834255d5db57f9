package diagnosis

import (
	"math"

	"ballast/run"
)

// Measured reliability: planted in 72 runs, likely or confirmed in 100 % of them from the record
// alone and in 100 % of 12 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1632
// runs with other causes; with experiments in 0 of 60 and 3 of 272
// (docs/reliability-of-diagnosis.md).
var learningRateTooLow = Cause{
	ID:      "learning-rate-too-low",
	Title:   "Learning rate too low",
	Explain: "Steps so small that the network is still on its way when training ends: the loss falls smoothly and slowly.",
	Of:      "generalisation",
	Kind:    mistake,
	Brings: []string{"trained-too-short", "too-little-learning", "too-little-capacity", "batch-norm-lag", "class-bias-oscillation",
		"threshold-flicker", "coin-flip", "vanishing-gradient"},
	Probes: []string{"learning-rate-range", "continuation"},
	Judge:  judgeRateLow,
}

const (
	shortPath  = 0.1  // of the weights' size: where all steps together are less, the weights are nearly the initial ones
	longPath   = 0.5  // where they are more, the steps could have made them others
	smallStep  = 3e-4 // of the weights' size: a step well below the thousandth that is usual
	usualStep  = 1e-3 // of the weights' size: a step of at least the usual size is not too small, however few there were
	unlearnt   = 0.5  // of the loss of knowing nothing, above which there is something left to learn
	worseThan  = 1.5  // times that loss: what is wrong is not a lack of steps
	farBelow   = 30.0 // times the rate used: where the loss falls steepest
	proportion = 2.0  // of the progress at three times the rate to that at the rate itself
)

// judgeRateLow bounds how far the weights can have come: the sizes of all steps,
// relative to those of the weights, are added up, layer by layer. Where that is
// less than a tenth and each step is small, no direction of the steps could have made
// the network another one than it was at the start. The usual size of a step is a
// thousandth of the weights (Karpathy, CS231n notes, "Ratio of weights:updates");
// TheDeepChecker (Ben Braiek and Khomh, TOSEM 2022) warns below a ten-thousandth.
// Progress in proportion to the rate confirms it: at a fitting rate three times the
// rate does not bring twice the progress.
func judgeRateLow(e *evidence) judgement {
	f, path, step := e.trainingFit(), e.medianPath(), e.medianStep()
	j := judgement{verdict: CannotTell, severity: math.Max(0, 100*(1-f.accuracy))}
	used, steepest := e.probe("learning-rate-range", "used"), e.probe("learning-rate-range", "steepest")
	if isFinite(path) {
		j.say(path, "all steps of training together amount to %.2g times the size of the weights, a single step to %.1g (median over the layers; usual is 0.001)", path, step)
	}
	ahead := e.tripleAhead(&j)
	if steepest > 0 {
		j.say(steepest, "the loss falls steepest at a rate of %.2g; used was %.2g", steepest, used)
	}
	if !isFinite(path) && !isFinite(ahead) && !(steepest > 0) {
		return e.rateLowFromCurves()
	}
	if isFinite(f.loss) {
		j.say(f.loss, "the late training loss is %.3f nats, %.0f %% of that of knowing nothing", f.loss, 100*f.loss/f.ignorance)
	}
	left := f.loss > unlearnt*f.ignorance && f.loss < worseThan*f.ignorance
	small := path < shortPath && step < smallStep && !e.withoutGradient()
	below := steepest > 0 && used*farBelow <= steepest
	switch {
	case !isFinite(f.loss):
	case !left, path >= longPath, used > 0 && steepest > 0 && steepest < used:
		j.verdict = RuledOut
	case (small || below && !isFinite(path)) && ahead >= proportion:
		j.verdict = Confirmed
	case small, below && path < longPath && step < usualStep:
		j.verdict = Likely
	case ahead >= proportion && step < smallStep:
		j.verdict = Possible
	}
	j.treat(e.raiseRate())
	return j
}

// withoutGradient reports whether most layers have as good as no gradient, which no
// learning rate makes up for.
func (e *evidence) withoutGradient() bool {
	var sizes []float64
	for _, l := range e.layers() {
		sizes = append(sizes, median(l.gradient))
	}
	return median(sizes) < weakGradient
}

// tripleAhead is how many times the fall of the training loss of a short
// continuation at three times the rate exceeds that at the rate itself; NaN without
// the experiment, or where the loss did not fall by enough to compare.
func (e *evidence) tripleAhead(j *judgement) float64 {
	before, same, triple := e.probe("continuation", "before_loss"), e.probe("continuation", "same_loss"), e.probe("continuation", "triple_loss")
	if !isFinite(before) || !isFinite(same) || !isFinite(triple) {
		return math.NaN()
	}
	j.say(before-triple, "trained on for a few epochs, the training loss changes by %+.3f nats at the same rate and by %+.3f at three times the rate", same-before, triple-before)
	if before-triple < 0.01*before || same >= before {
		return math.NaN()
	}
	return (before - triple) / (before - same)
}

// rateLowFromCurves says what to record where nothing but the curves is.
func (e *evidence) rateLowFromCurves() judgement {
	j := judgeRateTooLow(e.asCurves())
	if j.verdict == Likely || j.verdict == Confirmed {
		j.verdict = Possible
	}
	j.treat(e.raiseRate())
	if j.verdict == CannotTell {
		j.treatment = advise("Record the health of training in every epoch (the size of its steps), or run the experiment learning-rate-range.")
	}
	return j
}

// raiseRate proposes the rate at which the loss falls steepest, less a margin, or
// ten times the rate.
func (e *evidence) raiseRate() *Treatment {
	t := advise("Raise the learning rate: try ten times the rate over a few epochs, or the one that ballast lr-range finds.")
	if e.plan == nil {
		return t
	}
	rate := 10 * e.plan.Optimizer.LR
	if steepest := e.probe("learning-rate-range", "steepest"); steepest > e.plan.Optimizer.LR {
		rate = math.Max(e.plan.Optimizer.LR, steepest/3)
	}
	t.Plan["optimizer.lr"] = round2(rate)
	return t
}

// rate is the largest learning rate of the run; NaN when it is not known.
func (e *evidence) rate() float64 {
	rate := math.NaN()
	for _, epoch := range e.run.Epochs {
		if x := float64(epoch.LearningRate); isFinite(x) && x > 0 && !(x <= rate) {
			rate = x
		}
	}
	if e.plan != nil {
		rate = e.plan.Optimizer.LR
	}
	return rate
}

// imagesPerStep is how many training images a step rests on; NaN when unknown.
func (e *evidence) imagesPerStep() float64 {
	images := 0
	for _, s := range e.run.Header.Sets[run.Train] {
		images += max(1, s.Images)
	}
	last := e.run.Epochs[len(e.run.Epochs)-1]
	if images == 0 || last.Step <= 0 || last.Epoch <= 0 {
		return math.NaN()
	}
	return float64(images) * float64(last.Epoch) / float64(last.Step)
}
