package diagnosis

import "math"

// Measured reliability: never planted; true of 1466 runs by fresh subjects or by construction,
// likely or confirmed in 90 % of them from the record alone; claimed falsely in 3 of 23 clean runs
// and 22 of 395 runs with other causes; with experiments in 1 of 9 and 3 of 73
// (docs/reliability-of-diagnosis.md).
var smallValidationSet = Cause{
	ID:    "small-validation-set",
	Title: "Small validation set",
	Explain: "With few subjects the accuracy moves by whole subjects: whoever lies near the decision threshold flips from epoch " +
		"to epoch, and a larger set would average that out.",
	Of:    "jitter",
	Kind:  limit,
	Judge: judgeSmallValidationSet,
}

// judgeSmallValidationSet grades the share of V_n in the logged jitter. Every
// epoch of the record is the experiment: the subjects' own steps show how much
// the mean of n of them must move.
func judgeSmallValidationSet(e *evidence) judgement {
	n := e.subjects()
	if e.logged == nil {
		return e.judgeSmallFromCurve(n)
	}
	share := e.logged.finiteShare()
	if !share.Points.Known() {
		j := judgement{verdict: RuledOut}
		j.say(e.jitter, "the curve fluctuates by %.1f points: no subject's prediction ever changes", e.jitter)
		return j
	}
	j := judgement{verdict: e.gradeShare(share.Points, share.Low, share.High), severity: e.jitterPoints(float64(share.Points))}
	j.say(float64(share.Points), "%s of the variance of the logged curve is only the finite set of %d subjects (%s)",
		percent(share.Points), n, between(share.Low, share.High))
	j.say(e.jitter, "the curve fluctuates by %.1f points from epoch to epoch", e.jitter)
	j.say(j.severity, "that many subjects alone make it fluctuate by %.1f points", j.severity)
	j.treat(e.enlargeValidation())
	return j
}

// judgeSmallFromCurve judges without per-subject predictions: independent
// draws of n subjects at the recorded accuracy bound what V_n can be.
func (e *evidence) judgeSmallFromCurve(n int) judgement {
	if n == 0 || math.IsNaN(e.jitter) {
		return cannotTell(float64(n), "the number of validation subjects or their curve is not recorded (%d subjects)", n)
	}
	var bounds []float64
	for _, a := range e.accuracy {
		bounds = append(bounds, a*(1-a))
	}
	bound := 100 * math.Sqrt(finiteMean(bounds)/float64(n))
	j := cannotTell(bound, "%d subjects drawn anew every epoch would make the curve fluctuate by %.1f points; the same subjects every epoch by less", n, bound)
	j.say(e.jitter, "the curve fluctuates by %.1f points from epoch to epoch", e.jitter)
	switch share := bound * bound / (e.jitter * e.jitter); {
	case e.jitter < relevantJitter || share < relevantShare:
		j.verdict, j.severity = RuledOut, math.Min(bound, e.jitter)
	case share >= 1:
		j.verdict, j.severity = Possible, math.Min(bound, e.jitter)
		j.treat(e.enlargeValidation())
	}
	return j
}

// enlargeValidation proposes twice the validation share, at most one half and
// as far as the test set leaves something to train on.
func (e *evidence) enlargeValidation() *Treatment {
	t := &Treatment{Plan: map[string]any{},
		Text: "Do not read single epochs: average the last epochs, or judge by cross-validation over all subjects."}
	if e.plan == nil || e.plan.Data.Set != "" || e.plan.Split.Fold != "" {
		return t
	}
	share := e.plan.Split.Validation
	larger := math.Floor(100*min(2*share, 0.5, 0.85-e.plan.Split.Test)+1e-9) / 100
	if larger > share*1.05 {
		t.Plan["split.validation"] = larger
		t.Text = "Validate on more subjects (the fluctuation falls with the square root of their number), and do not read single epochs: average the last ones."
	}
	return t
}
