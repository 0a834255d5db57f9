package main

import (
	"math"
	"testing"

	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

// population of subjects of whom each is right by a coin of its own: class 0 with
// probability 0.5 ± swing in turn, class 1 with 0.6.
func coins(n int, swing float64, epoch int) (rows []run.Row, subjects []run.Subject) {
	for i := range n {
		class := i % 2
		chance := 0.6
		if class == 0 {
			chance = 0.5 + swing*float64(1-2*(epoch%2))
		}
		right := stat.NewStream(1, "coin", uint64(epoch), uint64(i)).Float64() < chance
		if right == (class == 1) {
			rows = append(rows, run.Row{0.3, 0.7})
		} else {
			rows = append(rows, run.Row{0.7, 0.3})
		}
		subjects = append(subjects, run.Subject{Class: class})
	}
	return rows, subjects
}

// evaluations has the same rows in every view of the fresh and the training set.
func evaluations(epoch int, rows []run.Row) run.Epoch {
	e := run.Epoch{Epoch: epoch}
	for _, view := range []string{run.Logged, run.Deterministic, run.Recalibrated, run.Averaged} {
		e.Evaluations = append(e.Evaluations, run.Evaluation{View: view, Set: freshSet, Probabilities: rows},
			run.Evaluation{View: view, Set: run.Train, Probabilities: []run.Row{{0.9, 0.1}, {0.2, 0.8}}})
	}
	return e
}

// An infinite set with equal classes steps by the swing (half of twice the swing), so
// J² = swing²/2; a step has the variance of two coins, so V_n is the mean variance of
// a coin over n. With half the set drawn anew V_n grows by the variance of that draw.
func TestTruth(t *testing.T) {
	const n, epochs, swing = 20_000, 12, 0.2
	training := []run.Subject{{Class: 0}, {Class: 1}}
	whole, half := &Truth{}, &Truth{}
	for epoch := range epochs {
		rows, subjects := coins(n, swing, epoch)
		e := evaluations(epoch+1, rows)
		whole.add(&e, subjects, training, false)
		drawn := make([]run.Row, n)
		for _, i := range stat.NewStream(2, "half", uint64(epoch)).Perm(n)[:n/2] {
			drawn[i] = rows[i]
		}
		e.Evaluations[0].Probabilities = drawn
		half.add(&e, subjects, training, false)
	}
	coin := (0.7*0.3 + 0.6*0.4) / 2 // mean variance of a coin
	got := whole.expect(0, [2]int{25, 25})
	if !(math.Abs(got.model-swing*swing/2) < 0.0008) || !(math.Abs(got.finite-coin/50) < 0.0001) {
		t.Errorf("J² of an infinite set %g and V_50 %g, want %g and %g", got.model, got.finite, swing*swing/2, coin/50)
	}
	// The mean of 25 of 50: the variance of 50 coins, and of the draw (1/25 - 1/50) of
	// the variance within the set, which is that of right and wrong over both classes.
	level := (0.7 + 0.3 + 2*0.6) / 4
	want := coin/50 + level*(1-level)/50
	if got := half.expect(0, [2]int{25, 25}); !(math.Abs(got.finite/want-1) < 0.05) {
		t.Errorf("V_50 of half the set %g, want %g", got.finite, want)
	}
	shares := whole.shares([2]int{25, 25})
	sum := 0.0
	for _, share := range shares {
		sum += share
	}
	if !(math.Abs(sum-1) < 1e-9) {
		t.Errorf("the shares %v add up to %g", shares, sum)
	}
}

// The threshold lies midway between the training subjects next to it.
func TestMiddle(t *testing.T) {
	rows := []run.Row{{0.8, 0.2}, {0.6, 0.4}, nil, {0.3, 0.7}}
	subjects := []run.Subject{{Class: 0}, {Class: 1}, {Class: 1}, {Class: 1}}
	want := (math.Log(0.2/0.8) + math.Log(0.4/0.6)) / 2
	if got := middle(rows, subjects); !(math.Abs(got-want) < 1e-6) {
		t.Errorf("the threshold is %g, want %g", got, want)
	}
}

// Sets cut from a pool have fixed numbers of each class and share no subject; where
// the training logged half of its set, so do they.
func TestCut(t *testing.T) {
	plan := train.DefaultPlan()
	plan.Validation.Fraction = 0.5
	rows, subjects := coins(poolSize, 0, 0)
	for i := range subjects {
		subjects[i].ID = string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	epoch := run.Epoch{Epoch: 1, Evaluations: []run.Evaluation{
		{View: run.Logged, Set: poolSet, Probabilities: make([]run.Row, poolSize)},
		{View: run.Deterministic, Set: poolSet, Probabilities: rows},
	}}
	c := &course{study: &study{seed: 1}, run: &run.Run{
		Header: run.Header{Sets: map[string][]run.Subject{poolSet: subjects}}, Plan: plan.YAML(), Epochs: []run.Epoch{epoch},
	}}
	for _, size := range sizes {
		seen := map[string]bool{}
		for k := range size.sets {
			cut, counts := c.cut(size.n, k)
			set := cut.Header.Sets[run.Validation]
			if len(set) != size.n || counts != [2]int{size.n / 2, size.n / 2} {
				t.Fatalf("%d subjects, %v of the classes, want %d", len(set), counts, size.n)
			}
			for _, s := range set {
				if seen[s.ID] {
					t.Fatalf("subject %s is in two sets of %d", s.ID, size.n)
				}
				seen[s.ID] = true
			}
			held := 0
			for _, row := range cut.Epochs[0].Evaluation(run.Logged, run.Validation).Probabilities {
				if row != nil {
					held++
				}
			}
			if held != size.n/2 || cut.Epochs[0].Evaluation(run.Deterministic, run.Validation).Probabilities[size.n-1] == nil {
				t.Fatalf("the logged view holds %d of %d subjects", held, size.n)
			}
		}
	}
}

// By hand: errors of +10 and -20 of one training and +30 of another; of three
// intervals the second misses the truth.
func TestSummarise(t *testing.T) {
	r := results{
		{training: 1, estimate: 60, low: 40, high: 80, truth: 50, told: true},
		{training: 1, estimate: 30, low: 20, high: 40, truth: 50, told: true},
		{training: 2, estimate: 80, low: 10, high: 90, truth: 50, told: false},
		{training: 3, estimate: math.NaN(), low: math.NaN(), high: math.NaN(), truth: 50},
		{training: 3}, // absent and found absent
	}
	s := r.summarise(func(*result) bool { return true })
	bias := 20.0 / 3
	// Sums of the trainings less the mean: -10 - 2 bias and 30 - bias.
	uncertain := math.Sqrt(2*((-10-2*bias)*(-10-2*bias)+(30-bias)*(30-bias))) / 3
	if s.count != 4 || s.unknown != 1 || !(math.Abs(s.bias-bias) < 1e-12) || s.err != 20 || !(math.Abs(s.covered-2.0/3) < 1e-12) ||
		s.untold != 0.5 || s.width != 40 || !(math.Abs(s.biasUncertain-uncertain) < 1e-12) {
		t.Errorf("%+v", s)
	}
}
