package diagnosis

import (
	"math"
	"strconv"

	"ballast/run"
)

var learningRateTooHigh = Cause{
	ID:    "learning-rate-too-high",
	Title: "Learning rate too high",
	Explain: "Steps so large that the weights jump about a good solution instead of settling: the training loss jumps too, and " +
		"the average of the weights is steadier than the weights.",
	Of:    "jitter",
	Kind:  mistake,
	Judge: judgeLearningRate,
}

const (
	jumpRatio    = 1.2  // a training loss 20 % above the epoch before
	jumpNats     = 0.05 // and by this much
	frequentJump = 0.10 // share of epochs
)

// judgeLearningRate needs two signs for "likely": averaging the weights takes
// jitter away, and the training loss jumps up in more than one epoch in ten.
// No record confirms it, because only a run at a lower rate could. A curve of averaged
// weights does not show the first sign.
func judgeLearningRate(e *evidence) judgement {
	jumps, steps, diverged := e.lossJumps()
	share, found := e.rungShare(WeightNoise)
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	noise := CannotTell
	if e.ofAverages() {
		j.say(0, "the logged curve is that of averaged weights: 0 %% of its variance is noise that averaging takes away, whatever the learning rate")
	} else if found && len(share.Includes) == 0 {
		noise = e.gradeShare(share.Share, share.Low, share.High)
		j.severity = e.jitterPoints(float64(share.Share))
		j.say(float64(share.Share), "averaging the weights takes away %s of the logged curve's variance (%s)", percent(share.Share), between(share.Low, share.High))
	}
	j.say(float64(jumps), "the training loss jumps up by more than a fifth in %d of %d epochs", jumps, steps)
	often := steps >= 5 && float64(jumps) > frequentJump*float64(steps)
	calm := steps >= 5 && !often
	weight := noise == Confirmed || noise == Likely
	switch {
	case diverged > 0:
		j.verdict = Likely
		j.say(float64(diverged), "the loss stopped being a finite number in %d epochs", diverged)
	case weight && often:
		j.verdict = Likely
	case weight, often && noise != RuledOut && e.jitter >= relevantJitter:
		j.verdict = Possible
	case calm && noise == RuledOut:
		j.verdict = RuledOut
	}
	j.treat(e.lowerRate(&j))
	return j
}

// lossJumps counts the epochs whose training loss lies well above that of the
// epoch before, from the second on, and the epochs with a loss that is not
// finite.
func (e *evidence) lossJumps() (jumps, steps, diverged int) {
	previous := math.NaN()
	for t := range e.run.Epochs {
		evaluation := e.run.Epochs[t].Evaluation(run.Logged, run.Train)
		if evaluation == nil {
			evaluation = e.run.Epochs[t].Evaluation(run.Deterministic, run.Train)
		}
		if evaluation == nil {
			previous = math.NaN()
			continue
		}
		now := float64(evaluation.Loss)
		if !isFinite(now) && e.lossRecorded() {
			diverged++
		}
		if isFinite(now) && isFinite(previous) {
			steps++
			if now > jumpRatio*previous && now > previous+jumpNats {
				jumps++
			}
		}
		previous = now
	}
	return jumps, steps, diverged
}

// lossRecorded reports whether any training loss is finite: a log without
// losses reads as all NaN and has not diverged.
func (e *evidence) lossRecorded() bool {
	for t := range e.run.Epochs {
		for _, view := range []string{run.Logged, run.Deterministic} {
			if evaluation := e.run.Epochs[t].Evaluation(view, run.Train); evaluation != nil && isFinite(float64(evaluation.Loss)) {
				return true
			}
		}
	}
	return false
}

// lowerRate proposes a third of the learning rate.
func (e *evidence) lowerRate(j *judgement) *Treatment {
	t := &Treatment{Plan: map[string]any{}, Text: "Lower the learning rate to a third and compare over several seeds; only that trial can confirm it."}
	rate := math.NaN()
	for _, epoch := range e.run.Epochs {
		if x := float64(epoch.LearningRate); isFinite(x) && x > 0 && !(x <= rate) {
			rate = x
		}
	}
	if e.plan != nil {
		rate = e.plan.Optimizer.LR
	}
	if rate > 0 {
		j.say(rate, "the learning rate is %g", rate)
		t.Plan["optimizer.lr"] = round2(rate / 3)
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
