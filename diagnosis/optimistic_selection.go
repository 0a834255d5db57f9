package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
)

var optimisticSelection = Cause{
	ID:    "optimistic-selection",
	Title: "Best epoch chosen by luck",
	Explain: "The highest point of a fluctuating curve is partly luck: reported as the result, or used to choose the weights, " +
		"it promises more than new patients will show (winner's curse).",
	Of:    "optimism",
	Judge: judgeOptimisticSelection,
}

const selectionResamples = 400

// judgeOptimisticSelection estimates how many points the best epoch's accuracy
// lies above what the same weights reach on new subjects, by resampling the
// subjects and choosing the best epoch again. docs/budget.md derives the two
// bounds. It is arithmetic and no experiment, so it is never confirmed.
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
	case least >= relevantOptimism:
		j.verdict = Likely
	case most < relevantOptimism:
		j.verdict = RuledOut
	}
	j.say(100*e.accuracy[best], "the best epoch, %d, has %.1f %%; the last third of the epochs has %.1f %% on average", e.epochs[best], 100*e.accuracy[best], 100*level)
	j.say(optimism, "choosing the best of %d epochs on %d subjects flatters by about %.1f points (between %.1f and %.1f)",
		len(e.epochs), e.subjects(), optimism, least, most)
	j.say(100*e.accuracy[best]-optimism, "new patients should show about %.0f %% (95 %% interval %.0f to %.0f %%)",
		100*e.accuracy[best]-optimism, math.Max(0, 100*e.accuracy[best]-optimism-1.96*deviation), math.Min(100, 100*e.accuracy[best]-optimism+1.96*deviation))
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

// winnersCurse returns the expected optimism of the best epoch in points, its
// two bounds, and the standard deviation of the optimism from set to set.
//
// In a resample of the subjects the best epoch's accuracy exceeds that of the
// same epoch on all subjects by x(1) on average. The resampled curve carries
// its noise twice, the set's own and the resample's, so x(1) is too small: by
// nothing if the epochs truly differ by much more than the noise, by sqrt(2)
// if they do not differ at all. With k resamples' noise added at once, 1/x²
// grows linearly with k (exactly so for normal noise and normal differences),
// and k = 0 is what is wanted: 1/x(0)² = 2/x(1)² - 1/x(2)², the
// simulation-extrapolation of Cook and Stefanski (JASA 1994).
func winnersCurse(p *panel) (optimism, least, most, deviation float64) {
	var epochs [][]float64
	var curve []float64
	for _, values := range p.values {
		if values != nil {
			epochs, curve = append(epochs, values), append(curve, mean(values))
		}
	}
	counts := make([]int, p.subjects)
	draw := func(k uint64) []float64 {
		stat.Resample(stat.NewStream(1, "diagnosis/optimistic-selection", k), counts)
		deviations := make([]float64, len(epochs))
		for t, values := range epochs {
			sum := 0.0
			for i, c := range counts {
				sum += float64(c) * values[i]
			}
			deviations[t] = sum/float64(p.subjects) - curve[t]
		}
		return deviations
	}
	var single, double, square float64
	previous := draw(selectionResamples)
	for k := range uint64(selectionResamples) {
		noise := draw(k)
		chosen, twice := 0, 0
		for t := range curve {
			if curve[t]+noise[t] > curve[chosen]+noise[chosen] {
				chosen = t
			}
			if curve[t]+noise[t]+previous[t] > curve[twice]+noise[twice]+previous[twice] {
				twice = t
			}
		}
		single += noise[chosen] / selectionResamples
		double += (noise[twice] + previous[twice]) / 2 / selectionResamples
		square += noise[chosen] * noise[chosen] / selectionResamples
		previous = noise
	}
	least = 100 * math.Max(0, single)
	most = least * math.Sqrt2
	optimism = most
	if single > 0 && double > 0 {
		if inverse := 2/(single*single) - 1/(double*double); inverse > 0 {
			optimism = math.Min(most, math.Max(least, 100/math.Sqrt(inverse)))
		}
	}
	return optimism, least, most, 100 * math.Sqrt(math.Max(0, square-single*single))
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
	if e.plan != nil && e.plan.Split.Test == 0 && e.plan.Data.Set == "" && e.plan.Split.Validation+0.2 < 0.95 {
		t.Plan["split.test"] = 0.2
	}
	return t
}
