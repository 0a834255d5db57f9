package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: never planted; true of 1129 runs by fresh subjects or by construction,
// likely or confirmed in 59 % of them from the record alone; claimed falsely in 0 of 60 clean runs
// and 53 of 695 runs with other causes; with experiments in 0 of 20 and 9 of 130
// (docs/reliability-of-diagnosis.md).
var optimisticSelection = Cause{
	ID:    "optimistic-selection",
	Title: "Best epoch chosen by luck",
	Explain: "The highest point of a fluctuating curve is partly luck: reported as the result, or used to choose the weights, " +
		"it promises more than new patients will show (winner's curse).",
	Of:    "optimism",
	Kind:  reading,
	Judge: judgeOptimisticSelection,
}

const selectionDraws = 400

// judgeOptimisticSelection estimates how many points the best epoch's accuracy
// lies above what the same weights reach on new subjects. That is arithmetic
// and no experiment, so it is never confirmed.
func judgeOptimisticSelection(e *evidence) judgement {
	best := e.best()
	level := e.lateMean(e.accuracy)
	p := e.validation[run.Logged]
	if p == nil || e.logged == nil {
		return e.judgeSelectionFromCurve(best, level)
	}
	optimism, least, most, deviation := winnersCurse(p.panel(accuracyValues))
	j := judgement{verdict: Possible, severity: optimism}
	switch {
	case !isFinite(optimism):
		j.verdict = CannotTell
	case likelyLow(optimism, least) >= relevantOptimism:
		j.verdict = Likely
	case most < relevantOptimism:
		j.verdict = RuledOut
	}
	j.say(100*(e.accuracy[best]-level), "the best epoch, %d, has %.1f %%; the last third of the epochs has %.1f %% on average", e.epochs[best], 100*e.accuracy[best], 100*level)
	if isFinite(optimism) {
		honest := 100*e.accuracy[best] - optimism
		j.say(optimism, "choosing the best of %d epochs on %d subjects flatters by about %.1f points", len(e.epochs), e.subjects(), optimism)
		j.say(honest, "new patients should show about %.0f %% (95 %% interval %.0f to %.0f %%)",
			honest, math.Max(0, honest-1.96*deviation), math.Min(100, honest+1.96*deviation))
	}
	for _, evaluation := range e.run.Test {
		if evaluation.View == run.Deterministic && isFinite(float64(evaluation.Accuracy)) {
			j.say(100*float64(evaluation.Accuracy), "the test set, which chose nothing, shows %.1f %%", 100*float64(evaluation.Accuracy))
		}
	}
	j.treat(e.setAsideTest())
	return j
}

// best is the index of the highest logged accuracy, the first of equals.
func (e *evidence) best() int {
	best := -1
	for t, a := range e.accuracy {
		if isFinite(a) && (best < 0 || a > e.accuracy[best]) {
			best = t
		}
	}
	return best
}

// winnersCurse returns the expected optimism of the best epoch in points, the
// ends of its 95 % interval, and the standard deviation of one epoch's accuracy
// over validation sets, which is that of the optimism from set to set.
//
// If all epochs were equally good, the best would exceed its true accuracy by
// the expected maximum m of the set's noise. With each subject's deviation
// from the mean of its class given a random sign, the largest mean of an epoch
// shows m (symmetrisation: Giné and Zinn, "Some limit theorems for empirical
// processes", Annals of Probability 1984); resampling would not, because an
// epoch in which every wavering subject is right stays the best in every
// resample. Epochs that truly differ leave less to luck: if the noise is the
// share s of the variance between epochs, normal noise and differences give
// m sqrt(s), and s is estimated like the finite share of the jitter.
func winnersCurse(p *panel) (optimism, least, most, deviation float64) {
	epochs := contenders(p)
	n := float64(p.subjects)
	if p.subjects < 4 || len(epochs) < 2 {
		return math.NaN(), math.NaN(), math.NaN(), math.NaN()
	}
	average := make([]float64, p.subjects)
	for i := range average {
		for _, values := range epochs {
			average[i] += values[i] / float64(len(epochs))
		}
	}
	deltas, noise := make([][]float64, len(epochs)), make([][]float64, len(epochs))
	for t, values := range epochs {
		deltas[t], noise[t] = make([]float64, p.subjects), make([]float64, p.subjects)
		for i, x := range values {
			deltas[t][i] = x - average[i]
		}
		for _, members := range p.strata {
			own, _, square := deviationsOf(values, members)
			for k, i := range members {
				noise[t][i] = own[k]
			}
			m := float64(len(members))
			deviation += m / (n * n) * square / (m - 1) / float64(len(epochs))
		}
	}
	deviation = 100 * math.Sqrt(deviation)
	share := splitVariance(deltas, p.strata, 1/float64(len(epochs)-1)).finiteShare()
	if !share.Points.Known() {
		return 0, 0, 0, deviation // no subject ever changes
	}
	luck := 100 * expectedMaximum(noise)
	root := func(x Number) float64 { return luck * math.Sqrt(float64(x)) }
	return root(share.Points), root(share.Low), root(share.High), deviation
}

// contenders are the epochs from which the best could have been chosen: those
// from where the smoothed curve first reaches its mean over the last third, at
// least that third.
func contenders(p *panel) [][]float64 {
	var epochs [][]float64
	var curve []float64
	for _, values := range p.values {
		if values != nil {
			epochs, curve = append(epochs, values), append(curve, mean(values))
		}
	}
	if len(curve) == 0 {
		return nil
	}
	third := len(curve) - max(1, len(curve)/3)
	level := mean(curve[third:])
	for t, x := range smoothed(curve[:third]) {
		if x >= level {
			return epochs[t:]
		}
	}
	return epochs[third:]
}

// expectedMaximum is the mean over random signs of the largest mean of the
// signed deviations.
func expectedMaximum(noise [][]float64) float64 {
	n := len(noise[0])
	sign := make([]float64, n)
	sum := 0.0
	for k := range uint64(selectionDraws) {
		s := stat.NewStream(1, "diagnosis/optimistic-selection", k)
		for i := range sign {
			sign[i] = 1 - 2*float64(s.Uint32()&1)
		}
		largest := math.Inf(-1)
		for _, deviations := range noise {
			largest = math.Max(largest, dot(sign, deviations)/float64(n))
		}
		sum += largest / selectionDraws
	}
	return sum
}

// judgeSelectionFromCurve compares the best epoch with what independent draws
// of n subjects at the late accuracy would show, an upper bound.
func (e *evidence) judgeSelectionFromCurve(best int, level float64) judgement {
	n := e.subjects()
	j := cannotTell(100*(e.accuracy[best]-level), "the best epoch, %d, lies %.1f points above the mean of the last third", e.epochs[best], 100*(e.accuracy[best]-level))
	if n == 0 || !isFinite(level) {
		return j
	}
	most, _ := stat.BinomialRange(n, level, len(e.epochs))
	bound := 100 * (most - level)
	j.say(bound, "%d independent draws of %d subjects at that level would reach %.1f points above it by luck alone", len(e.epochs), n, bound)
	if bound < relevantOptimism {
		j.verdict, j.severity = RuledOut, bound
	} else if 100*(e.accuracy[best]-level) >= relevantOptimism {
		j.verdict, j.severity, j.treatment = Possible, math.Min(bound, 100*(e.accuracy[best]-level)), e.setAsideTest()
	}
	return j
}

func (e *evidence) setAsideTest() *Treatment {
	t := &Treatment{Text: "Do not report the best epoch. Fix the number of epochs or choose by the smoothed loss, and report subjects that chose nothing.",
		Plan: map[string]any{}}
	if e.plan != nil && e.plan.Split.Test == 0 && e.plan.Data.Set == "" && e.plan.Split.LeaveOut == "" && e.plan.Split.Fold == "" && e.plan.Split.Validation+0.2 <= 0.85 {
		t.Plan["split.test"] = 0.2
	}
	return t
}
