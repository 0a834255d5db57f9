package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: planted in 144 runs, likely or confirmed in 99 % of them from the record
// alone and in 100 % of 24 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1488
// runs with other causes; with experiments in 0 of 60 and 0 of 248
// (docs/reliability-of-diagnosis.md).
var stochasticEvaluation = Cause{
	ID:    "stochastic-evaluation",
	Title: "Validation is random itself",
	Explain: "Dropout or augmentation is left on while validating: the same weights, evaluated twice on the same subjects, give " +
		"two results.",
	Of:     "jitter",
	Kind:   mistake,
	Probes: []string{"evaluate-twice"},
	Judge:  judgeStochasticEvaluation,
}

// judgeStochasticEvaluation compares two evaluations of the same weights on the
// same subjects: as logged, and deterministic. Whatever they differ by is noise of
// the evaluation, so the jitter of their difference is graded, relative to that of
// the logged curve.
func judgeStochasticEvaluation(e *evidence) judgement {
	logged, deterministic := e.validation[run.Logged], e.validation[run.Deterministic]
	if logged == nil || deterministic == nil {
		return e.judgeTwice()
	}
	covered := maskedBy(deterministic, logged)
	different, compared, largest := 0, 0, 0.0
	for t := range logged.rows {
		if logged.rows[t] == nil || covered.rows[t] == nil {
			continue
		}
		compared++
		if !sameRows(logged.rows[t], covered.rows[t]) {
			different++
		}
		a, b := accuracyValues(logged.rows[t], logged.classes), accuracyValues(covered.rows[t], covered.classes)
		largest = math.Max(largest, 100*math.Abs(mean(a)-mean(b)))
	}
	if different == 0 && compared > 0 {
		j := judgement{verdict: RuledOut}
		j.say(0, "0 of %d epochs differ between the logged and the deterministic evaluation of the same weights and subjects", compared)
		return j
	}
	j, ok := e.gradeNoise(logged, covered, func(j *judgement) {
		j.say(float64(different), "in %d of %d epochs the logged evaluation differs from the deterministic one of the same weights and subjects, by up to %.1f points", different, compared, largest)
	})
	if !ok {
		return cannotTell(float64(compared), "only %d epochs have both the logged and a deterministic evaluation", compared)
	}
	j.treat(e.evaluateCleanly())
	return j
}

// gradeNoise grades the jitter of the difference between two evaluations of the same
// weights, relative to that of the logged curve. It reports false where there are
// too few steps.
func (e *evidence) gradeNoise(noisy, still *predictions, introduce func(*judgement)) (judgement, bool) {
	both := func(t int) bool { return noisy.rows[t] != nil && still.rows[t] != nil }
	difference := &panel{subjects: len(noisy.classes), strata: strataOf(noisy.classes), values: make([][]float64, len(noisy.rows))}
	for t := range noisy.rows {
		if !both(t) {
			continue
		}
		a, b := accuracyValues(noisy.rows[t], noisy.classes), accuracyValues(still.rows[t], still.classes)
		difference.values[t] = make([]float64, len(a))
		for i := range a {
			difference.values[t][i] = a[i] - b[i]
		}
	}
	steps, _ := e.stepsOf(both)
	noise, total := jitterVariance(difference, steps), jitterVariance(e.validation[run.Logged].panel(accuracyValues), steps)
	if noise == nil || total == nil || !(total.expected() > 0) {
		return judgement{}, false
	}
	share := noise.total.value / total.expected()
	half := halfWidth(noise.total.plus(-share, total.total)) / total.expected()
	j := judgement{
		verdict:  e.gradeShare(Number(share), Number(share-half), Number(share+half)),
		severity: e.jitterPoints(math.Min(1, share)),
	}
	introduce(&j)
	j.say(share, "the jitter of that difference is %.0f %% of the logged curve's variance (%s)", 100*share, between(Number(share-half), Number(share+half)))
	return j, true
}

// maskedBy is p without the subjects that the other evaluation left out.
func maskedBy(p, other *predictions) *predictions {
	masked := &predictions{classes: p.classes, rows: make([][]run.Row, len(p.rows))}
	for t, rows := range p.rows {
		if rows == nil || other.rows[t] == nil {
			continue
		}
		masked.rows[t] = make([]run.Row, len(rows))
		kept := false
		for i, row := range rows {
			if other.rows[t][i] != nil && row != nil {
				masked.rows[t][i], kept = row, true
			}
		}
		if !kept {
			masked.rows[t] = nil
		}
	}
	return masked
}

// judgeTwice judges by the experiment that evaluates the last weights twice as the
// run logs them. Where d of n subjects change class between the two, independently
// of each other, the two accuracies differ by a variance of d/n², and so the noise
// alone makes a jitter of J² = d/(2n²).
func (e *evidence) judgeTwice() judgement {
	different, flips := e.probe("evaluate-twice", "different"), e.probe("evaluate-twice", "flips")
	n := float64(e.subjects())
	if !isFinite(different) || n == 0 {
		j := cannotTell(0, "0 epochs have both the logged and a deterministic evaluation of the same weights")
		j.treatment = &Treatment{Text: "Record the view \"deterministic\" beside the logged one: the same weights, on the whole validation set, without dropout or augmentation.", Plan: e.recordViews()}
		return j
	}
	j := judgement{verdict: RuledOut, severity: math.NaN()}
	j.say(different, "evaluated twice, the last weights give %.0f %% of the validation subjects different probabilities", 100*different)
	if different == 0 {
		return j
	}
	j.verdict = CannotTell
	if isFinite(flips) && e.jitter > 0 {
		low, high := stat.Wilson(math.Min(1, flips)*n, n, 0.95)
		share := func(f float64) Number { return Number(f / (2 * n) / (e.jitter * e.jitter / 1e4)) }
		j.verdict, j.severity = e.gradeShare(share(flips), share(low), share(high)), e.jitterPoints(math.Min(1, float64(share(flips))))
		j.say(flips, "%.0f %% of them change class, which alone makes the curve fluctuate by %.1f points of %.1f", 100*flips, 100*math.Sqrt(flips/(2*n)), e.jitter)
	}
	j.treat(e.evaluateCleanly())
	return j
}

// sameRows reports whether the subjects that both evaluations cover have the same
// probabilities.
func sameRows(a, b []run.Row) bool {
	for i := range a {
		if a[i] == nil || b[i] == nil {
			continue
		}
		for c := range a[i] {
			if a[i][c] != b[i][c] {
				return false
			}
		}
	}
	return true
}

// evaluateCleanly is the plan difference that takes the randomness out of the
// logged validation: the keys that are set, or all where there is no plan.
func (e *evidence) evaluateCleanly() *Treatment {
	t := &Treatment{Plan: map[string]any{},
		Text: "Validate in evaluation mode, without dropout and augmentation."}
	if e.plan == nil || e.plan.Validation.Augment {
		t.Plan["validation.augment"] = false
	}
	if e.plan == nil || e.plan.Validation.Dropout {
		t.Plan["validation.dropout"] = false
	}
	return t
}

// recordViews is the plan difference that records every view.
func (e *evidence) recordViews() map[string]any {
	if e.plan != nil && e.plan.Views.Every == 1 {
		return map[string]any{}
	}
	return map[string]any{"views.every": 1}
}
