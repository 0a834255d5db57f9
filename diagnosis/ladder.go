package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
)

// A rung is one view of the ladder, from which one more source has been
// switched off.
type rung struct {
	source      string // what is switched off here; empty for the first
	view        string
	predictions *predictions
	panel       *panel
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
		{"", run.Logged, e.validation[run.Logged], nil, nil},
		{EvaluationNoise, run.Deterministic, deterministic, nil, nil},
		{BatchNormLag, run.Recalibrated, recalibrated, nil, nil},
		{ThresholdFlicker, "threshold", fixThreshold(base, baseTraining), nil, nil},
		{WeightNoise, run.Averaged, fixThreshold(e.validation[run.Averaged], e.training[run.Averaged]), nil, nil},
	}
	if candidates[0].predictions == nil {
		return
	}
	var views []*predictions
	for _, c := range candidates {
		if c.predictions == nil {
			continue
		}
		if steps, _ := e.stepsOf(append(views, c.predictions)...); len(steps) < leastSteps {
			continue
		}
		views = append(views, c.predictions)
		e.ladder = append(e.ladder, c)
	}
	e.steps, e.stride = e.stepsOf(views...)
	for i := range e.ladder {
		r := &e.ladder[i]
		r.panel = r.predictions.panel(correct)
		r.variance = meanJitter(r.panel, e.steps)
	}
}

// leastSteps is the least number of steps from which a view's jitter is
// computed.
const leastSteps = 3

// budget divides the variance of the logged curve among its sources.
func (e *evidence) budget() []Share {
	if len(e.ladder) == 0 || e.ladder[0].variance == nil || !(e.ladder[0].variance.total() > 0) {
		return nil
	}
	logged, last := e.ladder[0].variance, e.ladder[len(e.ladder)-1].variance
	var shares []Share
	merged := []string(nil)
	next := 1
	for _, source := range []string{EvaluationNoise, BatchNormLag, ThresholdFlicker, WeightNoise} {
		if next == len(e.ladder) || e.ladder[next].source != source {
			merged = append(merged, source)
			continue
		}
		above, here := e.ladder[next-1].variance, e.ladder[next].variance
		share := shareOf(logged,
			above.total()-here.total(),
			func(i int) float64 { return above.totalWithout(i) - here.totalWithout(i) })
		share.Source, share.Includes, merged = source, merged, nil
		shares = append(shares, share)
		next++
	}
	finite := shareOf(logged, last.finite, func(i int) float64 { return last.finiteWithout[i] })
	finite.Source = FiniteValidationSet
	real := shareOf(logged, last.model, func(i int) float64 { return last.modelWithout[i] })
	real.Source, real.Includes = RealChange, merged
	return append(shares, finite, real)
}

// shareOf returns part / J² of the logged curve with its interval.
func shareOf(logged *variance, part float64, without func(int) float64) Share {
	share := part / logged.total()
	values := make([]float64, len(logged.modelWithout))
	for i := range values {
		values[i] = without(i) / logged.totalWithout(i)
	}
	half := jackknifeHalf(values)
	return Share{
		Share:  Number(share),
		Low:    Number(share - half),
		High:   Number(share + half),
		Points: Number(100 * math.Copysign(math.Sqrt(math.Abs(share)*logged.total()), share)),
	}
}

// jackknifeHalf is half the width of the 95 % interval around an estimate
// whose delete-one values are given.
func jackknifeHalf(values []float64) float64 {
	n := float64(len(values))
	sum := 0.0
	for _, x := range values {
		sum += x
	}
	square := 0.0
	for _, x := range values {
		square += (x - sum/n) * (x - sum/n)
	}
	return stat.StudentQuantile(0.975, n-1) * math.Sqrt(square*(n-1)/n)
}
