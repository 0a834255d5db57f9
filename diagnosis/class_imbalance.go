package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: planted in 72 runs, likely or confirmed in 100 % of them from the record
// alone and in 100 % of 12 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1632
// runs with other causes; with experiments in 0 of 60 and 0 of 272
// (docs/reliability-of-diagnosis.md).
var classImbalance = Cause{
	ID:    "class-imbalance",
	Title: "Accuracy is the wrong measure for unequal classes",
	Explain: "One class is so common that naming it for every case looks like success. A network that does so has a high accuracy " +
		"and finds nobody of the other classes.",
	Of:    "generalisation",
	Kind:  limit,
	Judge: judgeImbalance,
}

// commonClass is the share of one class from which naming it for every case looks like
// success: four of five.
const commonClass = 0.8

// judgeImbalance confirms it where one class has four of five subjects of both sets: that
// is a fact of the cohort. It stands back only where the network surely finds every class
// equally well. Otherwise it grades by how many points the accuracy flatters: the mean late
// accuracy less the balanced accuracy, the mean over classes of the share found.
//
//	D = Σ_c (n_c/n - 1/K) r_c
//
// with r_c the recall of class c. It is large only where a class is commoner than
// the others and better found. The interval joins Wilson's intervals of the recalls
// by the method of variance estimates recovery (Zou and Donner, "Construction of
// confidence limits about effect measures", Statistics in Medicine 2008), which
// for two classes is Newcombe's interval of their difference.
func judgeImbalance(e *evidence) judgement {
	p := e.clean(run.Validation)
	if p == nil {
		if e.subjects() == 0 {
			return cannotTell(0, "0 epochs have the predictions of each validation subject")
		}
		return judgeClassImbalance(e.asCurves())
	}
	right, count := map[int]float64{}, map[int]float64{}
	for i, x := range e.late(p, correct) {
		if isFinite(x) {
			right[p.classes[i]] += x
			count[p.classes[i]]++
		}
	}
	if len(count) < 2 {
		return cannotTell(float64(len(count)), "%d classes have validation subjects with late predictions", len(count))
	}
	k, n := float64(len(count)), 0.0
	for _, m := range count {
		n += m
	}
	flatters, below, above := 0.0, 0.0, 0.0
	most, share, rarest := math.NaN(), 0.0, math.NaN()
	for c := range e.run.Header.Classes {
		m := count[c]
		if m == 0 {
			continue
		}
		weight, recall := m/n-1/k, right[c]/m
		low, high := stat.Wilson(right[c], m, 0.95)
		if weight < 0 {
			low, high = high, low
		}
		flatters += weight * recall
		below += weight * weight * (recall - low) * (recall - low)
		above += weight * weight * (high - recall) * (high - recall)
		if m/n > share {
			share, most = m/n, recall
		}
		if !(recall > rarest) && m/n < 1/k {
			rarest = recall
		}
	}
	flatters, low, high := 100*flatters, 100*(flatters-math.Sqrt(below)), 100*(flatters+math.Sqrt(above))
	j := judgement{verdict: gradeGap(flatters, low, high, relevantGap), severity: math.Max(0, flatters)}
	if share >= commonClass && e.prevalence(run.Train) >= commonClass && j.verdict != RuledOut {
		j.verdict = Confirmed
	}
	j.say(flatters, "the late accuracy is %.1f points above the balanced accuracy, in which every class counts the same (95 %% interval %.1f to %.1f)", flatters, low, high)
	j.say(100*share, "the commonest class has %.0f %% of the validation subjects, so naming it always gives that accuracy; with equal classes it would give %.0f %%", 100*share, 100/k)
	if isFinite(rarest) {
		j.say(100*rarest, "%.0f %% of the commonest class are found, and %.0f %% of the rarer class found least", 100*most, 100*rarest)
	}
	j.treat(e.countClassesAlike())
	return j
}

// countClassesAlike proposes to draw the classes equally often and to report
// measures that count them alike.
func (e *evidence) countClassesAlike() *Treatment {
	t := &Treatment{Plan: map[string]any{}, Text: "Report AUROC, balanced accuracy and the share found of every class, and draw the classes equally often."}
	if e.plan == nil || e.plan.Sampling.Draw != "balanced" {
		t.Plan["sampling.draw"] = "balanced"
	} else {
		t.Text = "Report AUROC, balanced accuracy and the share found of every class."
	}
	return t
}
