package diagnosis

import (
	"math"

	"ballast/run"
)

// Measured reliability: planted in 72 runs, likely or confirmed in 100 % of them from the record
// alone and in 100 % of 12 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1632
// runs with other causes; with experiments in 0 of 60 and 0 of 272
// (docs/reliability-of-diagnosis.md).
var randomSubset = Cause{
	ID:    "random-validation-subset",
	Title: "Each epoch validates on other subjects",
	Explain: "The logged validation covers a part of the subjects, and another part each epoch, as a shuffled loader that stops " +
		"early does. The curve then moves with the subjects and not with the network.",
	Of:     "jitter",
	Kind:   mistake,
	Brings: []string{"small-validation-set", "optimistic-selection"},
	Probes: []string{"evaluate-twice"},
	Judge:  judgeRandomSubset,
}

// wholeSet is the share of the subjects whose evaluation counts as that of all: a
// subject whose image fails now and then is no random subset.
const wholeSet = 0.95

// judgeRandomSubset reads from the record who was evaluated in each epoch. How much
// that moves the curve is the difference between the deterministic accuracy of those
// subjects and of all, or, where that view is not recorded, what sampling without
// replacement leads one to expect.
func judgeRandomSubset(e *evidence) judgement {
	logged := e.validation[run.Logged]
	if logged == nil {
		return e.judgeCovered()
	}
	covered, n := meanEvaluated(logged), float64(len(logged.classes))
	if covered == n {
		j := judgement{verdict: RuledOut}
		j.say(n, "every epoch evaluates all %.0f validation subjects", n)
		return j
	}
	changes, pairs := coverageChanges(logged)
	introduce := func(j *judgement) {
		j.say(covered, "the logged evaluation covers %.1f of %.0f subjects per epoch; from one to the next %d of %d times others", covered, n, changes, pairs)
	}
	j, ok := judgement{}, false
	if deterministic := e.validation[run.Deterministic]; deterministic != nil && changes > 0 {
		j, ok = e.gradeNoise(maskedBy(deterministic, logged), deterministic, introduce)
	}
	if !ok {
		j = e.expectedOfSampling(logged, introduce)
	}
	switch {
	case changes == 0 || covered > wholeSet*n:
		j.verdict = RuledOut // the same part every time, or now and then one
	case j.verdict == Likely || j.verdict == Possible || j.verdict == CannotTell:
		j.verdict = Confirmed // who was evaluated is no estimate
	}
	j.treat(e.wholeValidation())
	return j
}

// coverageChanges counts the consecutive evaluations that cover different subjects.
func coverageChanges(p *predictions) (changes, pairs int) {
	last := -1
	for t, rows := range p.rows {
		if rows == nil {
			continue
		}
		if last >= 0 {
			pairs++
			for i := range rows {
				if (rows[i] == nil) != (p.rows[last][i] == nil) {
					changes++
					break
				}
			}
		}
		last = t
	}
	return changes, pairs
}

// expectedOfSampling grades the variance of a mean of m subjects drawn without
// replacement from n, (1 - m/n) A(1-A)/m, over that of the logged curve.
func (e *evidence) expectedOfSampling(p *predictions, introduce func(*judgement)) judgement {
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	introduce(&j)
	m, n := meanEvaluated(p), float64(len(p.classes))
	level := e.lateMean(e.accuracy)
	expected := 100 * math.Sqrt(level*(1-level)*math.Max(0, 1-m/n)/m)
	if !isFinite(expected) || !(e.jitter > 0) {
		return j
	}
	j.severity = math.Min(expected, e.jitter)
	j.say(expected, "drawing %.0f of %.0f subjects anew makes the curve fluctuate by about %.1f points of %.1f", m, n, expected, e.jitter)
	if expected < relevantJitter || e.jitter < relevantJitter || expected*expected < relevantShare*e.jitter*e.jitter {
		j.verdict = RuledOut
	}
	return j
}

// judgeCovered judges by the experiment where no predictions are recorded.
func (e *evidence) judgeCovered() judgement {
	covered := e.probe("evaluate-twice", "covered")
	if !isFinite(covered) {
		return cannotTell(0, "0 epochs tell which validation subjects were evaluated")
	}
	j := judgement{verdict: RuledOut, severity: math.NaN()}
	j.say(100*covered, "one logged evaluation covers %.0f %% of the validation subjects", 100*covered)
	if covered <= wholeSet {
		j.verdict = Likely
	}
	j.treat(e.wholeValidation())
	return j
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

func (e *evidence) wholeValidation() *Treatment {
	t := &Treatment{Plan: map[string]any{}, Text: "Validate on the same whole validation set every epoch."}
	if e.plan == nil || e.plan.Validation.Fraction < 1 {
		t.Plan["validation.fraction"] = 1.0
	}
	return t
}
