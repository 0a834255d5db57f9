package stat

import (
	"math"
	"testing"
)

// The bootstrap variance of a mean over strata is known: Σ n_k s_k² (with n) / n².
func TestBootstrapOfAMean(t *testing.T) {
	values := []float64{1, 4, 2, 8, 5, 7, 20, 22, 27}
	strata := []int{0, 0, 0, 0, 0, 0, 1, 1, 1}
	draws := Bootstrap(1, strata, len(values), 4000, func(sample []int) float64 {
		counts, sum := [2]int{}, 0.0
		for _, i := range sample {
			counts[strata[i]]++
			sum += values[i]
		}
		if counts != [2]int{6, 3} {
			t.Fatalf("a sample of %v", counts)
		}
		return sum / float64(len(values))
	})
	centre, variance := meanAndVariance(draws)
	want := 0.0
	for _, part := range [][]float64{values[:6], values[6:]} {
		_, s := meanAndVariance(part)
		want += s * float64(len(part)-1) / 81
	}
	if !near(centre, 96./9, 5*math.Sqrt(want/4000)) || !near(variance/want, 1, 0.1) {
		t.Errorf("mean %g, variance %g; want %g, %g", centre, variance, 96./9, want)
	}
	again := Bootstrap(1, strata, len(values), 3, func(sample []int) float64 { return values[sample[0]] })
	more := Bootstrap(1, strata, len(values), 5, func(sample []int) float64 { return values[sample[0]] })
	for k := range again {
		if again[k] != more[k] {
			t.Errorf("draw %d depends on how many are drawn", k)
		}
	}
}

func TestPercentileInterval(t *testing.T) {
	values := make([]float64, 101)
	for i := range values {
		values[i] = float64(100 - i)
	}
	if low, high := PercentileInterval(values, 0.9); !near(low, 5, 1e-9) || !near(high, 95, 1e-9) {
		t.Errorf("%g to %g, want 5 to 95", low, high)
	}
	nan := math.NaN()
	for name, values := range map[string][]float64{"none": nil, "undefined": {nan, nan, 1, 2}, "all equal": {1, 1, 1}} {
		if low, high := PercentileInterval(values, 0.95); !math.IsNaN(low) || !math.IsNaN(high) {
			t.Errorf("%s: %g to %g, want NaN", name, low, high)
		}
	}
}

// scipy 1.17.1 stats.t.ppf and stats.norm.cdf.
func TestExpandedLevel(t *testing.T) {
	for _, c := range []struct {
		subjects, strata int
		want             float64
	}{{14, 2, 0.981396730267307}, {40, 2, 0.9621970183166755}, {22, 3, 0.9756909553481916}, {10, 1, 0.9828987219511873}} {
		if got := ExpandedLevel(0.95, c.subjects, c.strata); !near(got, c.want, 1e-9) {
			t.Errorf("%d subjects in %d strata: %.12g, want %.12g", c.subjects, c.strata, got, c.want)
		}
	}
	if got := ExpandedLevel(0.95, 2, 2); !math.IsNaN(got) {
		t.Errorf("as many strata as subjects: %g", got)
	}
}
