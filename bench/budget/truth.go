package main

import (
	"math"
	"slices"

	"ballast/diagnosis"
	"ballast/run"
)

// rungs are the views of the ladder, from the logged curve down; see
// docs/budget.md.
var rungs = []struct {
	source    string // what is switched off here
	view      string
	threshold bool // decided at the threshold of the training subjects
}{
	{"", run.Logged, false},
	{diagnosis.EvaluationNoise, run.Deterministic, false},
	{diagnosis.BatchNormLag, run.Recalibrated, false},
	{diagnosis.ThresholdFlicker, run.Recalibrated, true},
	{diagnosis.WeightNoise, run.Averaged, true},
}

// A Step is what the fresh subjects show between two epochs, by class: the mean and
// the variance over subjects of the change of "classified correctly".
type Step struct{ Mean, Variance [2]float64 }

// Truth is what a training shows on the fresh subjects, by rung. It is computed
// anew from the probabilities and shares no code with the estimates.
type Truth struct {
	Subjects [2]int // of each class
	Steps    [][]Step
	last     [][]float64 // correctness after the last epoch, by rung and subject
}

// add takes the fresh subjects' evaluations of an epoch.
func (t *Truth) add(epoch *run.Epoch, subjects, training []run.Subject, averaged bool) {
	if t.last == nil {
		t.Steps, t.last = make([][]Step, len(rungs)), make([][]float64, len(rungs))
		for _, s := range subjects {
			t.Subjects[s.Class]++
		}
	}
	for k, rung := range rungs {
		view := rung.view
		if averaged && view != run.Logged {
			view = run.Averaged // the only weights that such a curve shows
		}
		threshold := 0.0
		if rung.threshold {
			threshold = middle(epoch.Evaluation(view, run.Train).Probabilities, training)
		}
		now := correctness(epoch.Evaluation(view, freshSet).Probabilities, subjects, threshold)
		if t.last[k] != nil {
			t.Steps[k] = append(t.Steps[k], stepBetween(t.last[k], now, subjects))
		}
		t.last[k] = now
	}
}

// logOdds of class 1.
func logOdds(row run.Row) float64 {
	const least = 0x1p-126
	return math.Log(math.Max(float64(row[1]), least)) - math.Log(math.Max(float64(row[0]), least))
}

// middle is the log-odds at which as many training subjects lie above as are of
// class 1, midway between the two next to it.
func middle(rows []run.Row, subjects []run.Subject) float64 {
	var odds []float64
	positives := 0
	for i, row := range rows {
		if row != nil {
			odds = append(odds, logOdds(row))
			positives += subjects[i].Class
		}
	}
	slices.Sort(odds)
	at := len(odds) - positives
	return (odds[at-1] + odds[at]) / 2
}

// correctness is 1 for a subject classified correctly and 0 for another. Where the
// view leaves subjects out, those it holds deviate from their mean by as much more as
// they are fewer, and the others have the mean: the mean over all is that of the view.
func correctness(rows []run.Row, subjects []run.Subject, threshold float64) []float64 {
	values := make([]float64, len(rows))
	sum, held := 0.0, 0.0
	for i, row := range rows {
		if row != nil {
			if (logOdds(row) > threshold) == (subjects[i].Class == 1) {
				values[i] = 1
			}
			sum += values[i]
			held++
		}
	}
	if n := float64(len(rows)); held < n {
		for i, row := range rows {
			if row == nil {
				values[i] = sum / held
			} else {
				values[i] = sum/held + n/held*(values[i]-sum/held)
			}
		}
	}
	return values
}

func stepBetween(before, after []float64, subjects []run.Subject) Step {
	var step Step
	var square, count [2]float64
	for i, s := range subjects {
		change := after[i] - before[i]
		step.Mean[s.Class] += change
		square[s.Class] += change * change
		count[s.Class]++
	}
	for c, n := range count {
		step.Mean[c] /= n
		step.Variance[c] = (square[c] - n*step.Mean[c]*step.Mean[c]) / (n - 1)
	}
	return step
}

// An expectation is J² of a rung as validation sets show it in the mean: that of
// infinitely many subjects, and what the finite set adds.
type expectation struct{ model, finite float64 }

func (e expectation) total() float64 { return e.model + e.finite }

// expect returns it for sets with so many subjects of each class.
func (t *Truth) expect(rung int, subjects [2]int) expectation {
	var e expectation
	n := float64(subjects[0] + subjects[1])
	for _, step := range t.Steps[rung] {
		mean, own := 0.0, 0.0
		for c, count := range subjects {
			w := float64(count) / n
			mean += w * step.Mean[c]
			own += w * w * step.Variance[c] / float64(t.Subjects[c]) // by the fresh set being finite itself
			e.finite += w * step.Variance[c] / n / 2
		}
		e.model += (mean*mean - own) / 2
	}
	steps := float64(len(t.Steps[rung]))
	return expectation{math.Max(0, e.model/steps), e.finite / steps}
}

// shares divides the logged curve of such sets among the sources.
func (t *Truth) shares(subjects [2]int) map[string]float64 {
	above := t.expect(0, subjects)
	logged := above.total()
	shares := map[string]float64{}
	for k, rung := range rungs[1:] {
		here := t.expect(k+1, subjects)
		shares[rung.source] = (above.total() - here.total()) / logged
		above = here
	}
	shares[diagnosis.FiniteValidationSet] = above.finite / logged
	shares[diagnosis.RealChange] = above.model / logged
	return shares
}
