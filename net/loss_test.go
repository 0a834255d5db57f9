package net

import (
	"math"
	"testing"
)

// The cases of bench/pytorch/losses.py.
func TestLossesAgreeWithPyTorch(t *testing.T) {
	const count, classes, share = 9, 4, 0.6875
	weights := []float64{0.5, 2, 1.25, 0.75}
	partners := []int{3, 0, 1, 8, 4, 7, 2, 5, 6}
	r := readReference(t, "losses")
	logits := numbers(count*classes, 400)
	for i := range logits {
		logits[i] *= 24
	}
	hard, mixed := make([]float64, count*classes), make([]float64, count*classes)
	label := func(n int) int { return int((numbers(count, 401)[n] + 0.5) * classes) }
	for n, partner := range partners {
		hard[n*classes+label(n)] = 1
		mixed[n*classes+label(n)] += share
		mixed[n*classes+label(partner)] += 1 - share
	}
	for name, c := range map[string]struct {
		loss   Loss
		shares []float64
	}{
		"plain":                   {Loss{}, hard},
		"weighted":                {Loss{Weights: weights}, hard},
		"smoothed":                {Loss{Smoothing: 0.1}, hard},
		"weighted-smoothed":       {Loss{Weights: weights, Smoothing: 0.25}, hard},
		"focal":                   {Loss{Gamma: 2}, hard},
		"focal-half":              {Loss{Gamma: 0.5}, hard},
		"focal-weighted":          {Loss{Weights: weights, Gamma: 1.5}, hard},
		"focal-weighted-smoothed": {Loss{Weights: weights, Smoothing: 0.125, Gamma: 2}, hard},
		"mixed":                   {Loss{}, mixed},
		"mixed-weighted-smoothed": {Loss{Weights: weights, Smoothing: 0.1}, mixed},
		"mixed-focal-weighted":    {Loss{Weights: weights, Gamma: 2}, mixed},
	} {
		probabilities, gradient := make([]float32, len(logits)), make([]float32, len(logits))
		sum, weight := c.loss.Gradient(logits, c.shares, classes, probabilities, gradient)
		r.compare(name+".loss", []float32{float32(sum / weight)})
		r.compare(name+".gradient", gradient)
	}
	r.done()
}

// The plain loss is that of SoftmaxCrossEntropy, bit for bit.
func TestLossIsCrossEntropy(t *testing.T) {
	logits := numbers(5*3, 1)
	labels := []int{0, 2, 1, 1, 0}
	shares := make([]float64, 15)
	for n, label := range labels {
		shares[n*3+label] = 1
	}
	var p, d, q, e [15]float32
	var l Loss
	got, weight := l.Gradient(logits, shares, 3, p[:], d[:])
	want := SoftmaxCrossEntropy(logits, labels, 3, q[:], e[:])
	if got != want || weight != 5 || p != q {
		t.Errorf("loss %v, want %v; weight %v", got, want, weight)
	}
	for i := range d {
		if !(math.Abs(float64(d[i]-e[i])) <= 1e-7) {
			t.Errorf("gradient %d is %v, want %v", i, d[i], e[i])
		}
	}
}

// Where p is almost or wholly 1 the focal loss stays accurate and finite. The
// values are (1-p)^γ (-log p) and its slope by log p to 17 digits, from mpmath 1.3
// with 60 digits.
func TestFocalNearOne(t *testing.T) {
	for _, c := range []struct{ rest, gamma, term, slope float64 }{
		{1e-12, 2, 1.0000000000004999e-36, -2.9999999999989999e-24},
		{1e-09, 0.5, 3.1622776617495185e-14, -4.7434164894619997e-5},
		{0.0009, 1.5, 2.4310941565431864e-8, -6.7481769530038293e-5},
		{0.0011, 1.5, 4.0153248300880083e-8, -9.1177072322658192e-5},
		{0.25, 0.5, 0.14384103622589046, -0.7157615543388357},
		{0.9, 3, 1.6785845327926596, -1.2885281775975531},
	} {
		term, slope := focal(-math.Log1p(-c.rest), 1-c.rest, c.rest, c.gamma)
		if !(math.Abs(term/c.term-1) <= 1e-13) || !(math.Abs(slope/c.slope-1) <= 1e-13) {
			t.Errorf("1-p = %g, γ = %g: %v and %v, want %v and %v", c.rest, c.gamma, term, slope, c.term, c.slope)
		}
	}
	if term, slope := focal(0, 1, 0, 0.5); term != 0 || slope != 0 {
		t.Errorf("certainty costs %v and %v", term, slope)
	}
}

// A number that is none stays visible.
func TestLossOfNaN(t *testing.T) {
	for _, l := range []Loss{{}, {Gamma: 2}, {Smoothing: 0.1}} {
		var p, d [2]float32
		sum, _ := l.Gradient([]float32{float32(math.NaN()), 1}, []float64{0, 1}, 2, p[:], d[:])
		if sum == sum || p[1] == p[1] || d[0] == d[0] {
			t.Errorf("%+v: loss %v, probabilities %v, gradient %v", l, sum, p, d)
		}
	}
}
