package stat

import (
	"math"
	"testing"
)

// Shares of 40,000 numbers below a bound against the distribution function of
// scipy.stats.beta (scipy 1.17.1), within four standard errors.
func TestBeta(t *testing.T) {
	for _, c := range []struct{ a, b, bound, below float64 }{
		{0.2, 0.2, 0.0001, 0.0834033622883618},
		{0.2, 0.2, 0.5, 0.5},
		{0.2, 0.2, 0.9, 0.663310221569943},
		{0.02, 0.02, 0.5, 0.5},
		{0.4, 0.4, 0.1, 0.239739158734015},
		{1, 1, 0.3, 0.3},
		{1, 1, 0.75, 0.75},
		{2, 5, 0.25, 0.466064453125},
		{30, 30, 0.55, 0.780332815547375},
		{0.5, 3, 0.05, 0.405496952294727},
	} {
		const n = 40_000
		s := NewStream(7, "beta")
		count := 0.0
		for range n {
			x := s.Beta(c.a, c.b)
			if !(x >= 0 && x <= 1) {
				t.Fatalf("Beta(%g, %g) gave %v", c.a, c.b, x)
			}
			if x <= c.bound {
				count++
			}
		}
		if tolerance := 4 * math.Sqrt(c.below*(1-c.below)/n); !(math.Abs(count/n-c.below) <= tolerance) {
			t.Errorf("Beta(%g, %g): %v below %g, want %v ± %v", c.a, c.b, count/n, c.bound, c.below, tolerance)
		}
	}
}

// The same bits on every CPU.
func TestBetaBits(t *testing.T) {
	s := NewStream(1, "mixup", 3)
	got := [3]uint64{math.Float64bits(s.Beta(0.2, 0.2)), math.Float64bits(s.Beta(1, 1)), math.Float64bits(s.Beta(2, 5))}
	if want := [3]uint64{0x3fe886a70081c30f, 0x3fe42c63a5843edb, 0x3fd3d9cc0461588f}; got != want {
		t.Errorf("bits %#x, want %#x", got, want)
	}
}

func TestBetaPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a shape of 0 passed")
		}
	}()
	NewStream(1, "beta").Beta(0, 1)
}
