package train

import (
	"context"
	"errors"
	"math"
	"testing"

	"ballast/net"
	"ballast/run"
)

// trainedRun trains and opens what came out, and the weights that it left.
func trainedRun(t *testing.T, p Plan, images *Images) (*run.Run, *State) {
	t.Helper()
	dir, err := trainInto(t, t.Context(), p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	state, err := ReadState(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	return r, state
}

// newLab returns a lab with the weights of a short run.
func newLab(t *testing.T, p Plan, images *Images) *Lab {
	t.Helper()
	_, state := trainedRun(t, p, images)
	l, err := NewLab(p, images, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	if err := errors.Join(l.Check(state), l.Load(state.Last)); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLabStatistics: one batch with momentum m moves the running statistics by the
// share m of the way to its own, which recalibration takes; a momentum of 0 moves
// nothing, one of 1 all the way to the last batch.
func TestLabStatistics(t *testing.T) {
	p := smallPlan()
	p.Batch = 32 // one batch holds all
	images := blobs(p, 10, 6, 0)
	l := newLab(t, p, images)
	before := l.t.net.Statistics()
	after := func(change func() error) net.Statistics {
		l.t.net.SetStatistics(before)
		if err := change(); err != nil {
			t.Fatal(err)
		}
		return l.t.net.Statistics()
	}
	fresh := after(func() error { _, err := l.Recalibrate(t.Context(), 0); return err })
	for _, momentum := range []float64{0, 0.3, 1} {
		got := after(func() error { return l.RunStatistics(t.Context(), momentum) })
		for layer := range before.Mean {
			for c := range before.Mean[layer] {
				for _, s := range [][3]float32{
					{before.Mean[layer][c], fresh.Mean[layer][c], got.Mean[layer][c]},
					{before.Variance[layer][c], fresh.Variance[layer][c], got.Variance[layer][c]},
				} {
					want := (1-momentum)*float64(s[0]) + momentum*float64(s[1])
					if !(math.Abs(float64(s[2])-want) <= 1e-6*(1+math.Abs(want))) {
						t.Errorf("momentum %g, layer %d, channel %d: %g, want %g", momentum, layer, c, s[2], want)
					}
				}
			}
		}
	}
}

// TestLabLooks holds the evaluations of a lab against the views of the run's last
// epoch.
func TestLabLooks(t *testing.T) {
	p := smallPlan()
	p.Validation = Validation{Weights: "current", Dropout: true, Augment: true, Fraction: 0.5}
	images := blobs(p, 10, 6, 0)
	r, state := trainedRun(t, p, images)
	l, err := NewLab(p, images, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Load(state.Last); err != nil {
		t.Fatal(err)
	}
	last := &r.Epochs[len(r.Epochs)-1]
	same := func(view string, got run.Evaluation, err error) {
		want := last.Evaluation(view, run.Validation)
		if err != nil || got.Loss != want.Loss || got.Accuracy != want.Accuracy {
			t.Errorf("%s: loss %g and accuracy %g (%v), recorded %g and %g", view, got.Loss, got.Accuracy, err, want.Loss, want.Accuracy)
		}
	}
	got, err := l.Logged(t.Context(), &images.Validation, len(r.Epochs))
	same(run.Logged, got, err)
	got, err = l.Evaluate(t.Context(), &images.Validation, Look{})
	same(run.Deterministic, got, err)
	if _, err := l.Recalibrate(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	got, err = l.Evaluate(t.Context(), &images.Validation, Look{})
	same(run.Recalibrated, got, err)
	altered, err := l.Evaluate(t.Context(), &images.Validation, Look{Alter: func(_ *Set, _ int, voxels []float32) { clear(voxels) }})
	if err != nil || altered.Loss == got.Loss {
		t.Errorf("images of nothing but 0 have the loss %g of the images (%v)", altered.Loss, err)
	}
	for i, row := range altered.Probabilities {
		if row[0] != altered.Probabilities[0][0] {
			t.Errorf("subject %d: equal images are predicted %g and %g", i, row[0], altered.Probabilities[0][0])
		}
	}
}

// TestLabGradient holds the gradient against differences of the loss along
// directions, in both modes.
func TestLabGradient(t *testing.T) {
	p := smallPlan()
	p.Net.Dropout, p.Loss.Weights, p.Loss.Smoothing = 0, "balanced", 0.1
	p.Net.Activation, p.Net.Slope = "leaky-relu", 0.9 // slight kinks
	images := blobs(p, 11, 6, 0)
	l := newLab(t, p, images)
	units := []int{0, 3, 5, 6, 8, 9, 12}
	start := l.Weights()
	for _, mode := range []net.Mode{net.Inference, net.Training} {
		_, gradient, err := l.Gradient(t.Context(), units, mode, 1)
		if err != nil {
			t.Fatal(err)
		}
		length := 0.0
		for _, g := range gradient {
			length += g * g
		}
		length = math.Sqrt(length)
		const step = 1e-2
		loss := func(share float64) float64 {
			moved := append([]float32(nil), start...)
			for i, g := range gradient {
				moved[i] += float32(share * step * g / length)
			}
			l.SetWeights(moved)
			value, _, err := l.Gradient(t.Context(), units, mode, 1)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
		slope := (loss(1) - loss(-1)) / (2 * step)
		l.SetWeights(start)
		if !(math.Abs(slope-length) <= 0.02*length) {
			t.Errorf("mode %d: the loss rises by %g along a gradient of length %g", mode, slope, length)
		}
	}
	for i, w := range l.Weights() {
		if w != start[i] {
			t.Fatalf("weight %d is %g after it was set back, was %g", i, w, start[i])
		}
	}
}

func TestLabRefusals(t *testing.T) {
	p := smallPlan()
	images := blobs(p, 10, 6, 0)
	l := newLab(t, p, images)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := l.Gradient(ctx, []int{0, 1}, net.Inference, 0); !errors.Is(err, ErrInterrupted) {
		t.Errorf("a gradient after the end: %v", err)
	}
	if _, err := l.Evaluate(ctx, &images.Validation, Look{}); !errors.Is(err, ErrInterrupted) {
		t.Errorf("an evaluation after the end: %v", err)
	}
	dir, err := trainInto(t, t.Context(), p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r.Epochs[len(r.Epochs)-1].Step++ // as if killed before the weights of an epoch were written
	if _, err := ReadState(dir, r); !errors.Is(err, ErrNoWeights) {
		t.Errorf("weights of another epoch: %v", err)
	}
	if err := l.Load(l.State()[1:]); !errors.Is(err, net.ErrState) {
		t.Errorf("weights with one tensor too few: %v", err)
	}
}

// TestMemory holds a training that is kept in memory against one on disk.
func TestMemory(t *testing.T) {
	p := smallPlan()
	images := blobs(p, 10, 6, 4)
	dir, err := trainInto(t, t.Context(), p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var m Memory
	if err := Train(t.Context(), p, images, &m, Options{}); err != nil {
		t.Fatal(err)
	}
	if m.Status != run.Complete || len(m.Epochs) != len(r.Epochs) || len(m.Test) != len(r.Test) {
		t.Fatalf("status %s, %d epochs, %d evaluations of the test set", m.Status, len(m.Epochs), len(m.Test))
	}
	for i := range m.Epochs {
		one, other := m.Epochs[i].Evaluation(run.Logged, run.Validation), r.Epochs[i].Evaluation(run.Logged, run.Validation)
		if one.Loss != other.Loss {
			t.Errorf("epoch %d: loss %g, on disk %g", i+1, one.Loss, other.Loss)
		}
	}
}
