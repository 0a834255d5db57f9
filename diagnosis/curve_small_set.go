package diagnosis

import "math"

// judgeCurveSmallSet grades the bounds on the share of the curve's variance
// that n cases alone account for: likely where even the least matters, ruled
// out where even the most does not.
func judgeCurveSmallSet(e *curveEvidence) judgement {
	b := e.finite
	if isFinite(e.jitter) && e.isAccuracy() && e.jitter < relevantJitter {
		j := judgement{verdict: RuledOut}
		j.say(e.jitter, "the curve fluctuates by %.1f points only", e.jitter)
		return j
	}
	if !isFinite(b.low) {
		return cannotTell(float64(e.facts.Validation), "the number of validation cases or their accuracy is unknown, so what they do by chance is too")
	}
	n := e.cases()
	j := judgement{verdict: CannotTell, severity: e.jitter * math.Sqrt(b.low)}
	j.say(b.step, "from one evaluation to the next the accuracy moves by %.1f points (root mean square of %d steps), %.1f of %.0f cases",
		b.step, b.steps, b.step*n/100, n)
	j.say(b.independent, "%.0f cases drawn anew every time would make it move by %.1f points; the same cases make it move by less, unless they reverse together", n, b.independent)
	j.say(b.low, "so the set alone accounts for at least %.0f %% of the variance (steps of few cases can be little else) and at most %.0f %%", 100*b.low, 100*b.high)
	if e.excess > 1 {
		j.say(e.excess, "after the curve has settled its variance is at least %.2f times that of independent draws: the small set is not all there is", e.excess)
	}
	switch {
	case b.steps < leastSteps:
	case b.most < relevantShare:
		j.verdict = RuledOut
	case b.least >= relevantShare:
		j.verdict = Likely
	case b.high >= 0.5:
		j.verdict = Possible
	}
	j.treat(advise("Do not read single epochs: average the last ones, validate on more patients, or judge by cross-validation over all of them."))
	return j
}
