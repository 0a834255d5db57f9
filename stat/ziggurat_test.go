package stat

import (
	"math"
	"testing"
)

// The table of Marsaglia and Tsang's rnor.c, as in GNU R's and Go's copies:
// widths of the outermost and innermost strips.
func TestZigguratTable(t *testing.T) {
	for i, want := range map[int]float64{127: 3.442619855899, 126: 3.2230849845811415, 1: 0.27232086481396467} {
		if !(math.Abs(ziggurat.width[i]-want) <= 1e-9) {
			t.Errorf("strip %d is %.12g wide, want %.12g", i, ziggurat.width[i], want)
		}
	}
	// Every strip has the same area, and the innermost ends at the density's top.
	for i := 1; i < layers; i++ {
		if strip := ziggurat.width[i] * (ziggurat.density[i-1] - ziggurat.density[i]); !(math.Abs(strip-area) <= 1e-9) {
			t.Errorf("strip %d has area %.12g, want %.12g", i, strip, area)
		}
	}
}

// The distribution function of 2,000,000 numbers agrees with the normal one
// within 5 standard errors at every point, the tail included (expected counts
// from math.Erf).
func TestNormalsAt(t *testing.T) {
	const n = 2_000_000
	numbers := make([]float32, n)
	NewStream(3, "normals").NormalsAt(0, numbers)
	edges := []float64{-4.5, -4, -3.6, -3.4427, -3.2, -2.5, -2, -1.5, -1, -0.5, -0.27, -0.1, 0, 0.05, 0.2, 0.3, 0.7, 1.2, 1.7, 2.3, 3, 3.4427, 3.8, 4.2}
	var sum, square, fourth float64
	below := make([]int, len(edges))
	for _, x := range numbers {
		x := float64(x)
		sum += x
		square += x * x
		fourth += x * x * x * x
		for i, edge := range edges {
			if x < edge {
				below[i]++
			}
		}
	}
	for i, edge := range edges {
		p := 0.5 * math.Erfc(-edge/math.Sqrt2)
		if deviation := math.Sqrt(n * p * (1 - p)); !(math.Abs(float64(below[i])-n*p) <= 5*deviation) {
			t.Errorf("%d numbers below %g, want %.0f ± %.0f", below[i], edge, n*p, deviation)
		}
	}
	// Standard errors of mean, variance and fourth moment: sqrt(1/n), sqrt(2/n), sqrt(96/n).
	for _, m := range []struct {
		name            string
		got, want, unit float64
	}{{"mean", sum / n, 0, 1}, {"variance", square / n, 1, 2}, {"fourth moment", fourth / n, 3, 96}} {
		if !(math.Abs(m.got-m.want) <= 5*math.Sqrt(m.unit/n)) {
			t.Errorf("%s %g, want %g", m.name, m.got, m.want)
		}
	}
	// Drawn in pieces, the same numbers.
	again, s := make([]float32, 1000), NewStream(3, "normals")
	for from := 0; from < len(again); from += 7 {
		s.NormalsAt(uint64(from), again[from:min(from+7, len(again))])
	}
	for i, x := range again {
		if x != numbers[i] {
			t.Fatalf("number %d: %v in pieces, %v at once", i, x, numbers[i])
		}
	}
}

func BenchmarkNormalsAt(b *testing.B) {
	numbers, s := make([]float32, 1<<16), NewStream(3, "normals")
	b.SetBytes(4 << 16)
	for b.Loop() {
		s.NormalsAt(0, numbers)
	}
}
