package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: never planted; true of 60 runs by fresh subjects or by construction, likely
// or confirmed in 15 % of them from the record alone; claimed falsely in 0 of 180 clean runs and 5
// of 1644 runs with other causes; with experiments in 0 of 60 and 1 of 274
// (docs/reliability-of-diagnosis.md).
var classBias = Cause{
	ID:    "class-bias-oscillation",
	Title: "One class is predicted at a time",
	Explain: "In some epochs the network gives every case the same answer, now one class and now the other. The accuracy then is " +
		"exactly the share of that class, and jumps between the two shares.",
	Of:     "jitter",
	Kind:   reading,
	Brings: []string{"threshold-flicker"},
	Judge:  judgeOscillation,
}

const (
	oneClass    = 0.95 // share of the subjects predicted alike from which an epoch names one class
	leastPole   = 2    // settled epochs that name a class alone
	oneClassLow = 0.80 // lower end of that share's 95 % interval, which keeps small sets from showing it by luck
	settledFrom = 2    // epochs after the first of so many parts of the run count
)

// judgeOscillation counts the epochs in which (nearly) all validation subjects are
// predicted to be of one class, in the second half of the run: an untrained network
// names one class, too. That two classes had their turn is no estimate but
// what the record shows; whether it matters is the share of the curve's variance
// in steps to or from such epochs.
func judgeOscillation(e *evidence) judgement {
	p := e.validation[run.Logged]
	if p == nil {
		if e.subjects() == 0 {
			return cannotTell(0, "0 epochs have the predictions of each validation subject")
		}
		return judgeClassBias(e.asCurves())
	}
	from := len(p.rows) / settledFrom
	poles, epochs := map[int]int{}, 0
	for _, rows := range p.rows[from:] {
		if rows == nil {
			continue
		}
		epochs++
		if class := onlyClass(rows); class >= 0 {
			poles[class]++
		}
	}
	if epochs < leastEpochsToJudge || len(p.classes) < leastStratum {
		return cannotTell(float64(epochs), "%d epochs in the second half are too few to see classes take turns", epochs)
	}
	turns, at := 0, 0
	for _, count := range poles {
		at += count
		if count >= leastPole {
			turns++
		}
	}
	variance := e.poleVariance(p)
	j := judgement{verdict: RuledOut, severity: e.jitterPoints(variance)}
	j.say(float64(at), "in %d of the %d epochs of the second half at least %.0f %% of the subjects are given one and the same class; %d classes have their turn at least twice",
		at, epochs, 100*oneClass, turns)
	if isFinite(variance) {
		j.say(variance, "steps to or from such epochs make up %.0f %% of the curve's variance", 100*variance)
	}
	switch matters := variance >= relevantShare && e.jitter >= relevantJitter; {
	case turns >= 2 && matters:
		j.verdict = Confirmed
	case len(poles) >= 2 && matters:
		j.verdict = Possible
	}
	j.treat(e.steadyClasses())
	return j
}

// onlyClass is the class that (nearly) all evaluated subjects are given; -1 where
// there is none.
func onlyClass(rows []run.Row) int {
	count, all := map[int]int{}, 0
	for _, row := range rows {
		if row != nil {
			count[row.Class()]++
			all++
		}
	}
	for class, n := range count {
		low, _ := stat.Wilson(float64(n), float64(all), 0.95)
		if float64(n) >= oneClass*float64(all) && low >= oneClassLow {
			return class
		}
	}
	return -1
}

// poleVariance is the share of the mean square step of the logged accuracy in steps
// between epochs of which one or both name a single class, and not the same one.
func (e *evidence) poleVariance(p *predictions) float64 {
	pole := func(t int) int { return onlyClass(p.rows[t]) }
	steps, _ := e.stepsOf(func(t int) bool { return p.rows[t] != nil && isFinite(e.accuracy[t]) })
	all, swings := 0.0, 0.0
	for _, s := range steps {
		d := e.accuracy[s[1]] - e.accuracy[s[0]]
		all += d * d
		if pole(s[0]) != pole(s[1]) {
			swings += d * d
		}
	}
	if all == 0 {
		return math.NaN()
	}
	return swings / all
}

// steadyClasses proposes the averaged weights, which do not follow every swing.
func (e *evidence) steadyClasses() *Treatment {
	t := &Treatment{Plan: map[string]any{}, Text: "Find what makes the outputs swing first: batch-norm statistics, preprocessing and the learning rate are judged " +
		"beside. Until then judge by AUROC, and validate averaged weights."}
	if e.plan == nil || e.plan.FinalView() != run.Averaged {
		t.Plan["validation.weights"] = run.Averaged
	}
	return t
}
