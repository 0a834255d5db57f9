package diagnosis

import (
	"math"

	"ballast/run"
)

var stochasticEvaluation = Cause{
	ID:    "stochastic-evaluation",
	Title: "Validation is random itself",
	Explain: "Dropout or augmentation left on while validating, or a random part of the validation set: the same weights " +
		"evaluated twice give two results.",
	Of:    "jitter",
	Kind:  mistake,
	Judge: judgeStochasticEvaluation,
}

// judgeStochasticEvaluation compares two evaluations of the same weights: as
// logged, and deterministic on the whole set. Whatever they differ by is noise
// of the evaluation, so the jitter of their difference is graded, relative to
// that of the logged curve.
func judgeStochasticEvaluation(e *evidence) judgement {
	logged, deterministic := e.validation[run.Logged], e.validation[run.Deterministic]
	if logged == nil || deterministic == nil {
		j := cannotTell(0, "0 epochs have both the logged and a deterministic evaluation of the same weights")
		j.treatment = &Treatment{Text: "Record the view \"deterministic\" beside the logged one: the same weights, on the whole validation set, without dropout or augmentation.", Plan: e.recordViews()}
		return j
	}
	both := func(t int) bool { return logged.rows[t] != nil && deterministic.rows[t] != nil }
	different, compared, largest := 0, 0, 0.0
	difference := &panel{subjects: len(logged.classes), strata: strataOf(logged.classes), values: make([][]float64, len(logged.rows))}
	for t := range logged.rows {
		if !both(t) {
			continue
		}
		a, b := accuracyValues(logged.rows[t], logged.classes), accuracyValues(deterministic.rows[t], deterministic.classes)
		difference.values[t] = make([]float64, len(a))
		for i := range a {
			difference.values[t][i] = a[i] - b[i]
		}
		compared++
		if !sameRows(logged.rows[t], deterministic.rows[t]) {
			different++
		}
		largest = math.Max(largest, 100*math.Abs(mean(a)-mean(b)))
	}
	if different == 0 && compared > 0 {
		j := judgement{verdict: RuledOut}
		j.say(0, "0 of %d epochs differ between the logged and the deterministic evaluation of the same weights", compared)
		return j
	}
	steps, _ := e.stepsOf(both)
	noise, total := jitterVariance(difference, steps), jitterVariance(logged.panel(accuracyValues), steps)
	if noise == nil || total == nil || !(total.expected() > 0) {
		return cannotTell(float64(compared), "only %d epochs have both the logged and a deterministic evaluation", compared)
	}
	share := noise.total.value / total.expected()
	half := halfWidth(noise.total.plus(-share, total.total)) / total.expected()
	j := judgement{
		verdict:  e.gradeShare(Number(share), Number(share-half), Number(share+half)),
		severity: e.jitterPoints(math.Min(1, share)),
	}
	j.say(float64(different), "in %d of %d epochs the logged evaluation differs from the deterministic one of the same weights, by up to %.1f points", different, compared, largest)
	j.say(share, "the jitter of that difference is %.0f %% of the logged curve's variance (%s)", 100*share, between(Number(share-half), Number(share+half)))
	if m := meanEvaluated(logged); m < float64(len(logged.classes)) {
		j.say(m, "the logged evaluation covers %.1f of %d subjects per epoch", m, len(logged.classes))
	}
	j.treat(e.evaluateCleanly())
	return j
}

func sameRows(a, b []run.Row) bool {
	for i := range a {
		if len(a[i]) != len(b[i]) {
			return false
		}
		for c := range a[i] {
			if a[i][c] != b[i][c] {
				return false
			}
		}
	}
	return true
}

// meanEvaluated is the mean number of subjects that an epoch evaluates.
func meanEvaluated(p *predictions) float64 {
	count, epochs := 0.0, 0.0
	for _, rows := range p.rows {
		if rows == nil {
			continue
		}
		epochs++
		for _, row := range rows {
			if row != nil {
				count++
			}
		}
	}
	return count / epochs
}

// evaluateCleanly is the plan difference that takes the randomness out of the
// logged validation: the keys that are set, or all where there is no plan.
func (e *evidence) evaluateCleanly() *Treatment {
	t := &Treatment{Plan: map[string]any{},
		Text: "Validate in evaluation mode, without dropout and augmentation, on the same whole validation set every epoch."}
	if e.plan == nil || e.plan.Validation.Augment {
		t.Plan["validation.augment"] = false
	}
	if e.plan == nil || e.plan.Validation.Dropout {
		t.Plan["validation.dropout"] = false
	}
	if e.plan == nil || e.plan.Validation.Fraction < 1 {
		t.Plan["validation.fraction"] = 1.0
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
