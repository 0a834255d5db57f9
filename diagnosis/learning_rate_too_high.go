package diagnosis

import (
	"math"
	"strconv"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: planted in 72 runs, likely or confirmed in 83 % of them from the record
// alone and in 83 % of 12 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1560
// runs with other causes; with experiments in 0 of 60 and 0 of 260
// (docs/reliability-of-diagnosis.md).
var learningRateTooHigh = Cause{
	ID:    "learning-rate-too-high",
	Title: "Learning rate too high",
	Explain: "Steps so large that the weights jump about a good solution instead of settling: the training loss jumps too, and " +
		"the average of the weights is steadier than the weights.",
	Of:   "jitter",
	Kind: mistake,
	Brings: []string{"exploding-gradient", "dead-relu", "vanishing-gradient", "class-bias-oscillation", "threshold-flicker", "batch-norm-lag",
		"batch-too-small", "too-little-learning", "coin-flip", "optimistic-selection"},
	Probes:       []string{"continuation", "sharpness"},
	Judge:        judgeLearningRate,
	WithoutCurve: true,
}

const (
	jumpRatio    = 1.2  // a training loss 20 % above the epoch before
	jumpNats     = 0.05 // and by this much
	frequentJump = 0.10 // share of epochs
	largeStep    = 5e-3 // of the size of the weights, mean over the steps of a run
	killingStep  = 0.05 // of the size of the weights, mean over the steps of one of the first epochs
	hugeStep     = 0.1  // of the size of the weights, over an epoch: ten such steps replace them
	settles      = 0.9  // of the training loss that a tenth of the rate leaves
	aboveLimit   = 2.0  // times the sharpness at which a step still goes downhill
)

// judgeLearningRate needs two signs for "likely": the weights jump about, which the
// training loss of the weights after each epoch shows, and the steps are large
// relative to the weights, five times the thousandth that is usual (Karpathy, CS231n
// notes, "Ratio of weights:updates"). Jumping alone has other reasons, such as small
// batches; large steps alone do no harm. Units that die while training takes large
// steps stand in for the jumps. Going on at a tenth of the rate is the trial
// that confirms it. A curve of averaged weights does not show the weights jump.
func judgeLearningRate(e *evidence) judgement {
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	w := e.wobble(&j)
	noise := e.noiseVerdict(&j)
	step, largest := e.medianStep(), e.largestStep()
	if isFinite(step) {
		j.say(step, "a step moves the weights by %.2g of their size on average, and by %.2g in the first epochs (median over the layers; usual is 0.001)", step, largest)
	}
	usual := 1.0
	if e.singleClass(e.imagesPerStep()) >= oneClassBatches {
		usual = 2 // such batches make the weights jump by themselves
	}
	large := step >= usual*largeStep || largest >= usual*hugeStep
	kills := (large || largest >= killingStep) && e.kills(&j, largest)
	calm := !w.jumps && w.steps >= 5
	settling, trial := e.settling(&j)
	curves := judgeCurveRate(e.asCurves())
	switch first := e.firstBroken(); {
	case first >= 0:
		j.verdict = Possible
		if large || w.jumps || curves.verdict == Likely || e.largestRate() {
			j.verdict = Likely
		}
		j.say(float64(e.epochs[first]), "training diverged in epoch %d", e.epochs[first])
	case settling && w.jumps && large:
		j.verdict = Confirmed
	case kills, w.jumps && !w.running && (large || e.tooSharp() || !isFinite(step) && noise.sure()):
		j.verdict = Likely
	case trial && !settling && !w.jumps && !noise.sure() && !kills:
		j.verdict = RuledOut
	case w.jumps, settling:
		j.verdict = Possible
	case calm && (noise == RuledOut || isFinite(step) && !large):
		j.verdict = RuledOut
	case noise.sure():
		j.verdict = Possible
	}
	j.treat(e.lowerRate(&j))
	return j
}

// kills reports whether half the channels of a layer or more have died since the
// first epochs, or within the first one, whose largest step shows that there was a gradient.
func (e *evidence) kills(j *judgement, largest float64) bool {
	worst, state := e.deadest(e.lateFrom)
	if worst == nil || state.dead < deadShare || state.active >= quietShare {
		return false
	}
	first, known := state.at(0)
	if !known || first >= fewDead && !(largest >= killingStep && e.farAboveUsual()) {
		return false // dead from the start: it never moved, or only its weights were small
	}
	j.say(state.dead, "%.0f %% of the channels of %s have died during training", 100*state.dead, worst.name)
	return true
}

// A leaning is a verdict of a part of the evidence.
type leaning string

func (l leaning) sure() bool { return l == Confirmed || l == Likely }

// noiseVerdict grades the share of the jitter that averaging the weights takes away,
// and sets the severity to it.
func (e *evidence) noiseVerdict(j *judgement) leaning {
	if e.ofAverages() {
		j.say(0, "the logged curve is that of averaged weights: 0 %% of its variance is noise that averaging takes away, whatever the learning rate")
		return CannotTell
	}
	share, found := e.rungShare(WeightNoise)
	if !found || len(share.Includes) > 0 {
		return CannotTell
	}
	j.severity = e.jitterPoints(float64(share.Share))
	j.say(float64(share.Share), "averaging the weights takes away %s of the logged curve's variance (%s)", percent(share.Share), between(share.Low, share.High))
	return leaning(e.gradeShare(share.Share, share.Low, share.High))
}

// A wobble is how the weights jump about from epoch to epoch, as the training set
// shows it.
type wobble struct {
	rises, steps    int  // epochs whose training loss lies well above that of the epoch before
	worse, compared int  // epochs whose weights fit the training set clearly worse than the average of the weights
	jumps           bool // more often than settled training does
	running         bool // only the running mean of each epoch is recorded, which jumps by augmentation and chance as well
}

const (
	leastJumps     = 3
	frequentlyOver = 0.2 // share of epochs after the first fifth
)

// wobble reads the training loss of the weights as they are after each epoch: how
// often it rises, and, with batch-norm statistics recomputed where that was recorded,
// so that it is the weights that differ, how often it lies above that of the averaged
// weights. Where nothing else is recorded it is the running mean of the epoch.
func (e *evidence) wobble(j *judgement) wobble {
	var w wobble
	loss := e.trainingLoss(run.Deterministic)
	if finiteCount(loss) < leastJumps {
		loss, w.running = e.trainingLoss(run.Logged), true
	}
	previous := math.NaN()
	for _, x := range loss {
		if isFinite(x) && isFinite(previous) {
			w.steps++
			w.rises += clearlyAbove(x, previous)
		}
		if isFinite(x) {
			previous = x
		}
	}
	switch {
	case w.steps > 0:
		j.say(float64(w.rises), "the training loss of the weights after an epoch rises by more than a fifth in %d of %d epochs", w.rises, w.steps)
	case e.firstBroken() < 0:
		j.say(0, "the training loss is recorded in 0 pairs of epochs")
	}
	present, averaged := e.trainingLoss(run.Recalibrated), e.trainingLoss(run.Averaged)
	if finiteCount(present) < leastJumps {
		present = e.trainingLoss(run.Deterministic)
	}
	for t := len(present) / 5; t < len(present); t++ {
		if isFinite(present[t]) && isFinite(averaged[t]) {
			w.compared++
			w.worse += clearlyAbove(present[t], averaged[t])
		}
	}
	if w.compared > 0 {
		j.say(float64(w.worse), "and is more than a fifth above that of the averaged weights in %d of %d", w.worse, w.compared)
	}
	w.jumps = w.rises >= leastJumps && float64(w.rises) > frequentJump*float64(w.steps) ||
		w.worse >= leastJumps && float64(w.worse) > frequentlyOver*float64(w.compared)
	return w
}

// clearlyAbove is 1 where a loss lies above another by a fifth and by so many nats
// that it matters.
func clearlyAbove(loss, other float64) int {
	if loss > jumpRatio*other && loss > other+jumpNats {
		return 1
	}
	return 0
}

// largestStep is the largest median over the layers of the relative size of a step
// in one of the first three epochs.
func (e *evidence) largestStep() float64 {
	largest := math.NaN()
	for t := range min(3, len(e.run.Epochs)) {
		var updates []float64
		for _, l := range e.layers() {
			updates = append(updates, l.update[t])
		}
		if x := median(updates); isFinite(x) && !(x <= largest) {
			largest = x
		}
	}
	return largest
}

// settling reports whether the last weights, trained on at a tenth of the rate in place
// of the rate itself, come to a lower training loss and to a calmer validation curve,
// by more than the few epochs of it differ by chance (F test of the mean squared
// steps); and whether that was tried.
func (e *evidence) settling(j *judgement) (yes, tried bool) {
	if sharpness := e.probe("sharpness", "ratio"); isFinite(sharpness) {
		j.say(sharpness, "the curvature of the training loss is %.2g times that at which a step of this rate still goes downhill", sharpness)
	}
	same, tenth := e.probe("continuation", "same_loss"), e.probe("continuation", "tenth_loss")
	jitter, calm := e.probe("continuation", "same_jitter"), e.probe("continuation", "tenth_jitter")
	steps := e.probe("continuation", "epochs") - 1
	if !isFinite(same) || !isFinite(tenth) || !(steps >= 1) || !e.continuedInEarnest() {
		return false, false
	}
	j.say(same-tenth, "trained on for %.0f epochs, the training loss is %.3f at the same rate and %.3f at a tenth of it; the validation accuracy fluctuates by %.1f and by %.1f points",
		steps+1, same, tenth, jitter, calm)
	steadier := jitter >= relevantJitter && jitter*jitter >= stat.FQuantile(0.95, steps, steps)*calm*calm
	return tenth <= settles*same && steadier, true
}

// tooSharp reports whether the curvature is beyond what a step of this rate goes
// downhill in. Where the loss is far above that of knowing nothing it is large at any
// rate, and says nothing of this one.
func (e *evidence) tooSharp() bool {
	f := e.trainingFit()
	return e.probe("sharpness", "ratio") >= aboveLimit && !(f.loss > worseThan*f.ignorance)
}

// largestRate reports whether the rate is beyond what any of the optimisers trains
// with.
func (e *evidence) largestRate() bool { return e.rate() >= 1 }

// farAboveUsual reports whether the rate is ten times what the authors of adaptive
// optimisers propose (0.001; Kingma and Ba, "Adam", ICLR 2015), or beyond what others
// train with.
func (e *evidence) farAboveUsual() bool {
	adaptive := e.plan != nil && e.plan.Optimizer.Name != "sgd"
	return e.largestRate() || adaptive && e.rate() >= 0.01
}

// lowerRate proposes a third of the learning rate.
func (e *evidence) lowerRate(j *judgement) *Treatment {
	t := advise("Lower the learning rate to a third and compare over several seeds; only that trial can confirm it.")
	by := 3.0
	switch {
	case e.firstBroken() >= 0:
		t.Text, by = "Lower the learning rate to a tenth.", 10
	case j.verdict == Confirmed:
		t.Text = "Lower the learning rate to a third, or let it fall towards the end."
	}
	if rate := e.rate(); rate > 0 {
		j.say(rate, "the learning rate is %g", rate)
		t.Plan["optimizer.lr"] = round2(rate / by)
	}
	return t
}

// round2 rounds to two significant digits, as a person would write a plan.
func round2(x float64) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 2, 64), 64)
	if err != nil {
		return x
	}
	return rounded
}
