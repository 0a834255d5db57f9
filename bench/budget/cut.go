package main

import (
	"math"

	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

// sizes are the validation sets cut from each pool: subjects, and how many sets.
// Sets of one size share no subject.
var sizes = []struct{ n, sets int }{{20, 10}, {50, 10}, {100, 8}, {200, 6}, {400, 4}}

// cut returns the run as it would have been recorded with the k-th set of n pool
// subjects as its validation set, and the numbers of subjects of each class. The
// validation subjects have no part in training, so the run is that very run.
func (c *course) cut(n, k int) (*run.Run, [2]int) {
	subjects := c.run.Header.Sets[poolSet]
	var byClass [2][]int
	for i, s := range subjects {
		byClass[s.Class] = append(byClass[s.Class], i)
	}
	want := counts(float64(len(byClass[1]))/float64(len(subjects)), n)
	var chosen []int
	var set []run.Subject
	for class, count := range want {
		for _, i := range byClass[class][k*count : (k+1)*count] {
			chosen, set = append(chosen, i), append(set, subjects[i])
		}
	}
	r := *c.run
	r.Header.Sets = map[string][]run.Subject{run.Train: r.Header.Sets[run.Train], run.Validation: set}
	r.Epochs = nil
	fraction := 1.0
	if plan, err := train.ReadPlan(c.run.Plan); err == nil {
		fraction = plan.Validation.Fraction
	}
	for _, epoch := range c.run.Epochs {
		var kept []run.Evaluation
		for _, e := range epoch.Evaluations {
			switch {
			case e.Set == run.Train:
				kept = append(kept, e)
			case e.Set == poolSet && e.View == run.Logged && fraction < 1:
				// Half of the pool is not half of each set: the set's own part is drawn.
				whole := epoch.Evaluation(run.Deterministic, poolSet)
				draw := stat.NewStream(c.study.seed, "cut", uint64(n), uint64(k), uint64(epoch.Epoch)).Perm(n)
				kept = append(kept, choose(whole, run.Logged, set, chosen, draw[:int(math.Round(fraction*float64(n)))]))
			case e.Set == poolSet:
				kept = append(kept, choose(&e, e.View, set, chosen, nil))
			}
		}
		epoch.Evaluations = kept
		r.Epochs = append(r.Epochs, epoch)
	}
	return &r, want
}

// choose is an evaluation of the chosen subjects alone; of those in only (places
// among the chosen), where it is not nil.
func choose(e *run.Evaluation, view string, set []run.Subject, chosen, only []int) run.Evaluation {
	part := run.Evaluation{View: view, Set: run.Validation, Probabilities: make([]run.Row, len(chosen))}
	if only == nil {
		for place := range chosen {
			only = append(only, place)
		}
	}
	right, loss := 0.0, 0.0
	for _, place := range only {
		row := e.Probabilities[chosen[place]]
		if row == nil {
			continue
		}
		part.Probabilities[place] = row
		class := set[place].Class
		if (row[1] > row[0]) == (class == 1) {
			right++
		}
		loss -= math.Log(math.Max(float64(row[class]), 0x1p-126))
	}
	part.Accuracy = run.Float(right / float64(len(only)))
	part.Loss = run.Float(loss / float64(len(only)))
	return part
}
