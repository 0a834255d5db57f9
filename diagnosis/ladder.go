package diagnosis

import (
	"math"
	"slices"

	"ballast/run"
)

// A rung is one view of the ladder, from which one more source has been
// switched off.
type rung struct {
	source      string // what is switched off here; empty for the first
	view        string
	predictions *predictions
	variance    *variance
}

// climb builds the ladder from the recorded views: see docs/budget.md.
func (e *evidence) climb() {
	deterministic, recalibrated := e.validation[run.Deterministic], e.validation[run.Recalibrated]
	base, baseTraining := recalibrated, e.training[run.Recalibrated]
	if base == nil {
		base, baseTraining = deterministic, e.training[run.Deterministic]
	}
	candidates := []rung{
		{"", run.Logged, e.validation[run.Logged], nil},
		{EvaluationNoise, run.Deterministic, deterministic, nil},
		{BatchNormLag, run.Recalibrated, recalibrated, nil},
		{ThresholdFlicker, "threshold", fixThreshold(base, baseTraining), nil},
		{WeightNoise, run.Averaged, fixThreshold(e.validation[run.Averaged], e.training[run.Averaged]), nil},
	}
	if candidates[0].predictions == nil {
		return
	}
	for _, c := range candidates {
		if c.predictions == nil {
			continue
		}
		higher := e.ladder
		e.ladder = append(e.ladder, c)
		if steps, _ := e.stepsOf(e.onEveryRung); len(steps) < leastSteps {
			e.ladder = higher
		}
	}
	e.steps, e.stride = e.stepsOf(e.onEveryRung)
	for i := range e.ladder {
		r := &e.ladder[i]
		r.variance = jitterVariance(r.predictions.panel(accuracyValues), e.steps)
	}
}

// onEveryRung reports whether an epoch was evaluated in every view of the
// ladder.
func (e *evidence) onEveryRung(t int) bool {
	for _, r := range e.ladder {
		if r.predictions.rows[t] == nil {
			return false
		}
	}
	return true
}

// leastSteps is the least number of steps from which a view's jitter is
// computed.
const leastSteps = 3

// divide divides the variance of the logged curve among its sources; nil
// without per-subject predictions or jitter.
func (e *evidence) divide() []Share {
	if len(e.ladder) == 0 || e.ladder[0].variance == nil || !(e.ladder[0].variance.total.value > 0) {
		return nil
	}
	last := e.ladder[len(e.ladder)-1].variance
	var shares []Share
	var merged []string
	next := 1
	for _, source := range []string{EvaluationNoise, BatchNormLag, ThresholdFlicker, WeightNoise} {
		if next == len(e.ladder) || e.ladder[next].source != source {
			merged = append(merged, source)
			continue
		}
		above, here := e.ladder[next-1].variance, e.ladder[next].variance
		share := e.share(above.expected()-here.expected(), above.total.plus(-1, here.total), 0)
		share.Source, share.Includes, merged = source, merged, nil
		shares = append(shares, share)
		next++
	}
	unseen := e.unseenSubject()
	finite := e.share(last.finite.value, last.finite, unseen)
	finite.Source, finite.Low = FiniteValidationSet, max(0, finite.Low)
	real := e.share(max(0, last.model.value), last.model, unseen)
	real.Source, real.Low, real.Includes = RealChange, max(0, real.Low), merged
	return append(shares, finite, real)
}

// unseenSubject is what one subject that wavers adds to V_n of the last view, in
// the mean over those that do; where nobody does, of the next view above. So much
// may be missing only because a set of this size happens to hold one waverer too
// few: k of them are a count, and its variance is taken as k + 1.
func (e *evidence) unseenSubject() float64 {
	for _, r := range slices.Backward(e.ladder) {
		if r.variance.moving > 0 {
			return r.variance.finite.value / float64(r.variance.moving)
		}
	}
	return 0
}

// share returns a part of the logged curve's expected J², with its interval:
// that of part - share J² over J², the ratio's linear form, which unlike
// Fieller's is bounded for every rung. The part may have a further error.
func (e *evidence) share(part float64, s *statistic, further float64) Share {
	logged := e.ladder[0].variance
	share := part / logged.expected()
	s = s.plus(-share, logged.total)
	half := math.Hypot(halfWidth(s), quantile(s)*further) / logged.expected()
	return Share{
		Share:  Number(share),
		Low:    Number(share - half),
		High:   Number(share + half),
		Points: Number(points(part)),
	}
}

// points is the square root of a variance of shares, in percentage points and
// with its sign.
func points(variance float64) float64 {
	return 100 * math.Copysign(math.Sqrt(math.Abs(variance)), variance)
}
