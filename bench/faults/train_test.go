package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"ballast/prep"
	"ballast/probe"
	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

// noisePool holds subjects whose class is the brightness of one corner.
func noisePool() *pool {
	p := &pool{classes: []string{"dark", "bright"}, grid: []int{16, 16}, spacing: []float64{1, 1}, crop: "none"}
	k := 0
	for _, part := range []struct {
		set  *train.Set
		name string
		n    int
	}{{&p.train, run.Train, 24}, {&p.validation, run.Validation, 12}, {&p.fresh, freshSet, 8}} {
		part.set.Name = part.name
		for i := range part.n {
			image := &prep.Image{C: 1, D: 1, H: 16, W: 16, Data: make([]float32, 256)}
			stream := stat.NewStream(1, "noise", uint64(k))
			for v := range image.Data {
				image.Data[v] = float32(stream.Normal())
			}
			for v := range 40 {
				image.Data[v] += float32(2 * (i % 2))
			}
			part.set.Add(run.Subject{ID: string(rune('A' + k)), Class: i % 2}, image)
			k++
		}
	}
	return p
}

// quickFault trains for three epochs.
func quickFault(f fault) *fault {
	inner := f.plan
	f.plan = func(p *train.Plan, n *network) {
		inner(p, n)
		p.Epochs, p.Batch = 3, 6
	}
	return &f
}

// A training is judged with several numbers of validation subjects: each run reads as
// one that was validated on those alone, and holds nothing of the fresh subjects.
func TestTrial(t *testing.T) {
	root, p := t.TempDir(), noisePool()
	work := &trial{fault: quickFault(faults[0]), network: &networks[0], cohort: "test", seed: 1}
	if err := work.make(root, p, []int{4, 12}); err != nil {
		t.Fatal(err)
	}
	if missing := work.missing(root, []int{4, 12}); len(missing) != 0 {
		t.Errorf("missing: %v", missing)
	}
	whole, err := run.Open(work.folder(root, 12))
	if err != nil {
		t.Fatal(err)
	}
	part, err := run.Open(work.folder(root, 4))
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := run.Open(freshFolder(work.folder(root, 12)))
	if err != nil {
		t.Fatal(err)
	}
	for r, n := range map[*run.Run]int{whole: 12, part: 4, fresh: 8} {
		if len(r.Epochs) != 3 || len(r.Header.Sets[run.Validation]) != n || len(r.Header.Sets) != 2 {
			t.Errorf("%d epochs, %d validation subjects, %d sets; want 3, %d, 2", len(r.Epochs), len(r.Header.Sets[run.Validation]), len(r.Header.Sets), n)
		}
	}
	last, same := part.Epochs[2].Evaluation(run.Deterministic, run.Validation), whole.Epochs[2].Evaluation(run.Deterministic, run.Validation)
	right := 0.0
	for i, subject := range part.Header.Sets[run.Validation] {
		at := slices.IndexFunc(whole.Header.Sets[run.Validation], func(s run.Subject) bool { return s.ID == subject.ID })
		if at < 0 || !slices.Equal(last.Probabilities[i], same.Probabilities[at]) {
			t.Errorf("subject %s is not as in the whole set", subject.ID)
			continue
		}
		if named(last.Probabilities[i]) == subject.Class {
			right++
		}
	}
	if !(math.Abs(float64(last.Accuracy)-right/4) <= 1e-12) {
		t.Errorf("accuracy %g, %g of 4 are right", last.Accuracy, right)
	}
	if len(part.Fingerprint.Sets[run.Validation]) != 4 || len(part.Fingerprint.Sets[run.Train]) != 24 {
		t.Errorf("fingerprint: %d and %d subjects", len(part.Fingerprint.Sets[run.Validation]), len(part.Fingerprint.Sets[run.Train]))
	}
	if u, err := readTruth(work.folder(root, 4)); err != nil || u.Fresh != 8 || u.Validation != 4 || u.Planted != "" {
		t.Errorf("%+v, %v", u, err)
	}
}

// A scored whole set agrees with what training records, so that parts do, too.
func TestScored(t *testing.T) {
	root, p := t.TempDir(), noisePool()
	work := &trial{fault: quickFault(faults[0]), network: &networks[2], cohort: "test", seed: 2}
	if err := work.make(root, p, []int{12}); err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(work.folder(root, 12))
	if err != nil {
		t.Fatal(err)
	}
	for _, epoch := range r.Epochs {
		v := epoch.Evaluation(run.Deterministic, run.Validation)
		loss, accuracy := scored(v.Probabilities, r.Header.Sets[run.Validation])
		if !(math.Abs(float64(loss-v.Loss)) <= 1e-5 && accuracy == v.Accuracy) {
			t.Errorf("epoch %d: %g, %g; recorded %g, %g", epoch.Epoch, loss, accuracy, v.Loss, v.Accuracy)
		}
	}
}

// A fault whose plan means something else for each number of subjects is trained anew.
func TestTrainedAnew(t *testing.T) {
	at := slices.IndexFunc(faults, func(f fault) bool { return f.each })
	work := &trial{fault: &faults[at]}
	if got := work.trainedWith(20, validationSizes); !slices.Equal(got, []int{20}) {
		t.Errorf("%v", got)
	}
	work.fault = &faults[0]
	if got := work.trainedWith(20, validationSizes); !slices.Equal(got, validationSizes) {
		t.Errorf("%v", got)
	}
}

// The experiments are made with the validation subjects that a run is judged by.
func TestExperiment(t *testing.T) {
	root, p := t.TempDir(), noisePool()
	work := &trial{fault: quickFault(faults[0]), network: &networks[0], cohort: "test", seed: 3}
	if err := work.make(root, p, []int{4, 12}); err != nil {
		t.Fatal(err)
	}
	_, images, err := work.prepare(p, []int{4, 12})
	if err != nil {
		t.Fatal(err)
	}
	images.Validation, images.More = part(&images.Validation, chosenOf(images.Validation.Subjects, 4)), nil
	if _, err := probe.Open(work.folder(root, 4), images, 1); !errors.Is(err, train.ErrMismatch) {
		t.Errorf("images of other validation subjects than training had: %v", err)
	}
	bench, err := openBench(work.folder(root, 4), images)
	if err != nil {
		t.Fatal(err)
	}
	defer bench.Close()
	results, err := probe.Run(context.Background(), bench, probe.Options{Only: []string{"evaluate-twice"}})
	if err != nil {
		t.Fatal(err)
	}
	if different, known := results.Result("evaluate-twice").Value("different"); !known || different != 0 {
		t.Errorf("%+v", results)
	}
	if _, err := openBench(work.folder(root, 12), images); !errors.Is(err, train.ErrMismatch) {
		t.Errorf("images of other subjects than the run's: %v", err)
	}
}
