package probe

import (
	"math"
	"testing"

	"ballast/stat"
)

// syntheticBatches returns mean gradients of m batches of n images: the gradient
// of an image is the first unit vector times length, plus normal noise of
// variance (k+1)/total in dimension k, whose sum is noise.
func syntheticBatches(stream *stat.Stream, m, n, dimensions int, length, noise float64) [][]float64 {
	total := float64(dimensions*(dimensions+1)) / 2
	batches := make([][]float64, m)
	for i := range batches {
		g := make([]float64, dimensions)
		for k := range g {
			sd := math.Sqrt(noise * float64(k+1) / total / float64(n))
			g[k] = sd * stream.Normal()
		}
		g[0] += length
		batches[i] = g
	}
	return batches
}

func TestNoiseScaleWithoutBias(t *testing.T) {
	const m, n, length, noise, draws = 8, 4, 0.5, 3.0, 4000
	var signal, spread, signalSquares, spreadSquares float64
	covered := 0
	for draw := range draws {
		s := estimateNoiseScale(gram(syntheticBatches(stat.NewStream(3, "noise", uint64(draw)), m, n, 20, length, noise)), n)
		signal, signalSquares = signal+s.signal, signalSquares+s.signal*s.signal
		spread, spreadSquares = spread+s.noise, spreadSquares+s.noise*s.noise
		if s.low <= noise/(length*length) && noise/(length*length) <= s.high {
			covered++
		}
	}
	check := func(name string, sum, squares, want float64) {
		mean := sum / draws
		deviation := math.Sqrt((squares/draws - mean*mean) / draws)
		if !(math.Abs(mean-want) <= 4*deviation) {
			t.Errorf("%s: mean %.4f, want %.4f within 4 x %.4f", name, mean, want, deviation)
		}
	}
	check("signal", signal, signalSquares, length*length)
	check("noise", spread, spreadSquares, noise)
	if share := float64(covered) / draws; !(share >= 0.93 && share <= 0.99) {
		t.Errorf("95 %% intervals cover the scale in %.1f %%", 100*share)
	}
}

// The two estimates of McCandlish et al., appendix A.1, from the squared norms of
// the gradients of small batches and of the large one that is all of them.
func TestNoiseScaleIsThatOfTwoBatchSizes(t *testing.T) {
	const m, n = 6, 5
	batches := syntheticBatches(stat.NewStream(4, "two sizes"), m, n, 12, 1, 2)
	mean, small := make([]float64, 12), 0.0
	for _, g := range batches {
		for k, x := range g {
			mean[k] += x / m
			small += x * x / m
		}
	}
	big := inner(mean, mean)
	signal := (m*n*big - n*small) / (m*n - n)
	noise := (small - big) / (1.0/n - 1.0/(m*n))
	got := estimateNoiseScale(gram(batches), n)
	if !(math.Abs(got.signal-signal) <= 1e-12) || !(math.Abs(got.noise-noise) <= 1e-12) || !(math.Abs(got.scale-noise/signal) <= 1e-9) {
		t.Errorf("%+v, by two batch sizes signal %g, noise %g, scale %g", got, signal, noise, noise/signal)
	}
}

func TestNoiseScaleWithoutSignal(t *testing.T) {
	infinite := 0
	for draw := range 400 {
		s := estimateNoiseScale(gram(syntheticBatches(stat.NewStream(5, "none", uint64(draw)), 10, 4, 20, 0, 1)), 4)
		if math.IsInf(s.high, 1) {
			infinite++
		}
		if !(s.low <= s.scale && s.scale <= s.high) {
			t.Fatalf("%+v is not in order", s)
		}
	}
	if infinite < 380 {
		t.Errorf("the interval has no upper end in %d of 400 draws, want at least 380", infinite)
	}
	if s := estimateNoiseScale(gram(syntheticBatches(stat.NewStream(6, "few"), 2, 4, 20, 1, 1)), 4); !math.IsNaN(s.scale) || s.low != 0 || !math.IsInf(s.high, 1) {
		t.Errorf("two batches give %+v; they cannot tell", s)
	}
}
