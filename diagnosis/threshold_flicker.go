package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: never planted; true of 845 runs by fresh subjects or by construction,
// likely or confirmed in 26 % of them from the record alone; claimed falsely in 0 of 97 clean runs
// and 6 of 942 runs with other causes; with experiments in 0 of 33 and 2 of 155
// (docs/reliability-of-diagnosis.md).
var thresholdFlicker = Cause{
	ID:    "threshold-flicker",
	Title: "The decision threshold wanders",
	Explain: "The network ranks the subjects much the same from epoch to epoch, but its outputs as a whole drift across one half: " +
		"accuracy jumps where AUROC does not.",
	Of:     "jitter",
	Kind:   reading,
	Probes: []string{"threshold"},
	Judge:  judgeThresholdFlicker,
}

// judgeThresholdFlicker grades the budget's share of the threshold: the same
// probabilities decided at the threshold of the training subjects of that epoch, an
// experiment that the record allows without the network. As the budget's ladder
// tries four sources at once, at most the whole 95 % interval makes it likely, and
// it must be worth a point of jitter by itself.
func judgeThresholdFlicker(e *evidence) judgement {
	share, found := e.rungShare(ThresholdFlicker)
	if !found || len(share.Includes) > 0 {
		return e.judgeThresholdProbe()
	}
	low := float64(share.Low)
	j := judgement{verdict: e.gradeShare(share.Share, share.Low, share.High), severity: e.jitterPoints(float64(share.Share))}
	switch {
	case j.verdict == Likely, j.verdict == Confirmed && e.jitterPoints(low) < relevantJitter:
		j.verdict = Possible
	case j.verdict == Confirmed && !e.rankingIsSteady():
		j.verdict = Likely
	}
	j.say(float64(share.Share), "deciding at the threshold of the training subjects takes away %s of the logged curve's variance (%s)",
		percent(share.Share), between(share.Low, share.High))
	if v, ok := e.aurocJitter(); ok {
		j.say(100*v, "the AUROC, which has no threshold, fluctuates by %.1f points; the accuracy by %.1f", 100*v, e.jitter)
	}
	if near := e.nearHalf(); isFinite(near) {
		j.say(100*near, "in the mean of the late epochs %.0f %% of the subjects lie within 0.05 of one half", 100*near)
	}
	j.treat(fixThresholdAdvice())
	return j
}

// judgeThresholdProbe reads the experiment on the last weights. It cannot show what
// makes the curve jump, only what the threshold costs in one epoch.
func (e *evidence) judgeThresholdProbe() judgement {
	half, fixed := e.probe("threshold", "accuracy_half"), e.probe("threshold", "accuracy_training_threshold")
	if !isFinite(half) || !isFinite(fixed) {
		return cannotTell(0, "0 epochs have the probabilities of each training subject, on which a threshold could be fixed")
	}
	gain, n := fixed-half, float64(e.subjects())
	low, high := stat.Newcombe(fixed*n, n, half*n, n, 0.95)
	j := cannotTell(100*gain, "deciding at the threshold of the training subjects changes the accuracy of the last weights by %+.1f points (95 %% interval %+.1f to %+.1f)", 100*gain, 100*low, 100*high)
	if 100*low >= relevantGain {
		j.verdict, j.severity = Likely, 100*gain
		j.of = "generalisation"
		j.treat(fixThresholdAdvice())
	}
	return j
}

// aurocJitter is the jitter of the logged AUROC, a share.
func (e *evidence) aurocJitter() (float64, bool) {
	v, _ := e.measureJitter(aurocValues, nil)
	if v == nil {
		return 0, false
	}
	return math.Sqrt(math.Max(0, v.total.value)), true
}

// rankingIsSteady reports whether the AUROC fluctuates by less than the accuracy,
// as it must where only the threshold moves.
func (e *evidence) rankingIsSteady() bool {
	v, ok := e.aurocJitter()
	return ok && 100*v < e.jitter
}

// nearHalf is the share of subjects whose probability of the predicted class is
// within 0.05 of one half, mean over the late epochs; NaN for more than two classes.
func (e *evidence) nearHalf() float64 {
	p := e.clean(run.Validation)
	if p == nil || len(e.run.Header.Classes) != 2 {
		return math.NaN()
	}
	return finiteMean(e.late(p, func(row run.Row, _ int) float64 {
		if math.Abs(float64(row[1])-0.5) <= 0.05 {
			return 1
		}
		return 0
	}))
}

func fixThresholdAdvice() *Treatment {
	return &Treatment{Plan: map[string]any{}, Text: "Judge by AUROC, which has no threshold; where decisions are needed, fix the threshold on the training subjects of the chosen epoch, not at one half."}
}
