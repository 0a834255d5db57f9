package stat

import (
	"math"
	"testing"
)

// For the mean the jackknife covariance is the sample covariance over n.
func TestJackknifeOfTheMean(t *testing.T) {
	x, y := []float64{1, 4, 2, 8, 5, 7}, []float64{2, 1, 0, 3, 9, 4}
	n := float64(len(x))
	var sumX, sumY float64
	for i := range x {
		sumX += x[i]
		sumY += y[i]
	}
	covariance := 0.0
	withoutX, withoutY := make([]float64, len(x)), make([]float64, len(x))
	for i := range x {
		covariance += (x[i] - sumX/n) * (y[i] - sumY/n) / (n - 1)
		withoutX[i], withoutY[i] = (sumX-x[i])/(n-1), (sumY-y[i])/(n-1)
	}
	if got := JackknifeCovariance(withoutX, withoutY); !near(got, covariance/n, 1e-12) {
		t.Errorf("covariance of the means = %g, want %g", got, covariance/n)
	}
	if got := JackknifeCovariance(x[:1], y[:1]); !math.IsNaN(got) {
		t.Errorf("covariance from one value = %g, want NaN", got)
	}
}

// NumPy 2 quantile (linear).
func TestQuantile(t *testing.T) {
	values := []float64{3, 1, 4, 1.5, 9}
	for p, want := range map[float64]float64{0: 1, 0.1: 1.2, 0.25: 1.5, 0.5: 3, 0.9: 7, 1: 9} {
		if got := Quantile(values, p); !near(got, want, 1e-12) {
			t.Errorf("quantile %g = %g, want %g", p, got, want)
		}
	}
	for _, got := range []float64{Quantile(nil, 0.5), Quantile(values, 1.5), Quantile([]float64{1, math.NaN()}, 0.5)} {
		if !math.IsNaN(got) {
			t.Errorf("undefined quantile = %g, want NaN", got)
		}
	}
}

func TestResampleDrawsAsManyAsThereAre(t *testing.T) {
	counts := make([]int, 30)
	const draws = 4000
	times := make([]float64, len(counts))
	for k := range uint64(draws) {
		Resample(NewStream(1, "test", k), counts)
		sum := 0
		for i, c := range counts {
			sum += c
			times[i] += float64(c) / draws
		}
		if sum != len(counts) {
			t.Fatalf("resample %d has %d subjects, want %d", k, sum, len(counts))
		}
	}
	for i, x := range times {
		if !near(x, 1, 5*math.Sqrt(1.0/draws)) {
			t.Errorf("subject %d is drawn %g times on average, want 1", i, x)
		}
	}
}

func TestPermutationP(t *testing.T) {
	null := []float64{1, 2, 3, 4}
	for observed, want := range map[float64]float64{5: 0.2, 4: 0.4, 0: 1, 2.5: 0.6} {
		if got := PermutationP(observed, null); !near(got, want, 1e-12) {
			t.Errorf("p of %g = %g, want %g", observed, got, want)
		}
	}
}

// By hand: bins 0.5-1 hold (0.6, right), (0.8, wrong): |1.4 - 1| / 3; bin 0-0.5
// holds (0.2, wrong): 0.2 / 3.
func TestCalibrationError(t *testing.T) {
	got := CalibrationError([]float64{0.6, 0.2, 0.8}, []bool{true, false, false}, 2)
	if !near(got, 0.2, 1e-12) {
		t.Errorf("calibration error %g, want 0.2", got)
	}
	if got := CalibrationError([]float64{1, 1}, []bool{true, true}, 10); got != 0 {
		t.Errorf("a certain and right prediction has error %g, want 0", got)
	}
	if got := CalibrationError(nil, nil, 10); !math.IsNaN(got) {
		t.Errorf("error of nobody %g, want NaN", got)
	}
}
