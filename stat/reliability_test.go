package stat

import (
	"math"
	"testing"
)

// scikit-learn 1.9.1 calibration_curve with 5 bins of equal width, which leaves
// empty bins out; the sum of counts is by hand.
func TestEqualWidthBins(t *testing.T) {
	frequency := []float64{0, 0.5, 0.5, 2. / 3, 1}
	means := []float64{0.15, 0.3, 0.575, 0.7333333333333334, 0.9}
	// The score 0.2 and 0.6 stand on edges: here they belong to the upper bin,
	// in scikit-learn to the lower, so they are moved a little down.
	scores := append([]float64(nil), tenScores...)
	for i, x := range scores {
		switch x {
		case 0.2, 0.6, 0.8:
			scores[i] = x - 1e-9
		}
	}
	bins := EqualWidthBins(scores, tenPositive, 5)
	for n, b := range bins {
		if !near(b.Mean, means[n], 1e-8) || !near(b.Frequency, frequency[n], 1e-12) || !near(b.High-b.Low, 0.2, 1e-12) {
			t.Errorf("bin %d is %+v, want mean %g and frequency %g", n, b, means[n], frequency[n])
		}
	}
	if EqualWidthBins([]float64{1.1}, []bool{true}, 2) != nil || EqualWidthBins([]float64{math.NaN()}, []bool{true}, 2) != nil {
		t.Error("probabilities outside [0, 1] have bins")
	}
	if b := EqualWidthBins([]float64{1}, []bool{true}, 4); b[3].Count != 1 || !math.IsNaN(b[0].Mean) {
		t.Errorf("bins of one certain subject: %+v", b)
	}
}

// By hand: sorted 1 2 3 3 55 6 7 7 8 9 (tenths) in five bins of two, ties kept
// together.
func TestEqualMassBins(t *testing.T) {
	want := []struct {
		count, right int
		low, high    float64
	}{{2, 0, 0.1, 0.2}, {2, 1, 0.3, 0.3}, {2, 1, 0.55, 0.6}, {2, 1, 0.7, 0.7}, {2, 2, 0.8, 0.9}}
	bins := EqualMassBins(tenScores, tenPositive, 5)
	if len(bins) != len(want) {
		t.Fatalf("%+v", bins)
	}
	for n, w := range want {
		if b := bins[n]; b.Count != w.count || b.True != w.right || b.Low != w.low || b.High != w.high {
			t.Errorf("bin %d is %+v, want %+v", n, b, w)
		}
	}
	if bins := EqualMassBins([]float64{0.5, 0.5, 0.5, 0.7}, make([]bool, 4), 3); len(bins) != 2 || bins[0].Count != 3 {
		t.Errorf("tied probabilities are divided: %+v", bins)
	}
	if EqualMassBins(nil, nil, 3) != nil {
		t.Error("nobody has bins")
	}
}

// The bins of equal width give CalibrationError.
func TestBinnedError(t *testing.T) {
	s := NewStream(5, "test")
	confidence, right := make([]float64, 60), make([]bool, 60)
	for i := range confidence {
		confidence[i], right[i] = s.Float64(), s.IntN(2) == 0
	}
	want := CalibrationError(confidence, right, 10)
	if got := BinnedError(EqualWidthBins(confidence, right, 10)); !near(got, want, 1e-12) {
		t.Errorf("%g, want %g", got, want)
	}
	if got := BinnedError(nil); !math.IsNaN(got) {
		t.Errorf("error of nobody %g", got)
	}
}
