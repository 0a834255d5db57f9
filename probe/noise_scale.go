package probe

import (
	"math"

	"ballast/stat"
)

// A noiseScale is how noisy a gradient is.
type noiseScale struct {
	scale, low, high float64 // images; low and high are the ends of a 95 % interval
	signal           float64 // |G|², the squared norm of the gradient without noise; its estimate may be below 0
	noise            float64 // tr Σ, the sum of the variances of the gradient of one image
}

// estimateNoiseScale estimates the simple noise scale B = tr Σ / |G|² of McCandlish,
// Kaplan, Amodei and the OpenAI Dota team ("An empirical model of large-batch
// training", 2018, arXiv 1812.06162, section 2.2) from the inner products
// products[i][j] = g_i·g_j of the mean gradients of m batches of so many images
// each, no image being in two of them. It is the number of images in a batch at
// which noise and signal of a step are equal.
//
// For different batches E g_i·g_j = |G|², and E |g_i|² = |G|² + tr Σ / images, so
//
//	|G|²  = mean over i≠j of g_i·g_j
//	tr Σ  = images (mean of |g_i|² - |G|²)
//
// are without bias. They are the estimates from two sizes of batch of appendix A.1
// there, the larger batch being all m together (the test shows it). Their ratio is
// biased, and |G|² may come out below 0 when the gradient drowns in noise: the scale
// is then infinite. The interval is that of the inverse |G|²/tr Σ, by the jackknife
// over batches and Student's t, and turned around.
func estimateNoiseScale(products [][]float64, images float64) noiseScale {
	m := len(products)
	if m < 3 {
		return noiseScale{scale: math.NaN(), low: 0, high: math.Inf(1), signal: math.NaN(), noise: math.NaN()}
	}
	whole := signalAndNoise(products, -1, images)
	inverse := whole.signal / whole.noise
	var sum, squares float64
	for left := range m {
		s := signalAndNoise(products, left, images)
		pseudo := float64(float64(m)*inverse) - float64(float64(m-1)*(s.signal/s.noise))
		sum += pseudo
		squares += float64(pseudo * pseudo)
	}
	mean := sum / float64(m)
	variance := math.Max(0, squares/float64(m)-float64(mean*mean)) / float64(m-1)
	reach := float64(stat.StudentQuantile(0.975, float64(m-1)) * math.Sqrt(variance))
	whole.scale = positiveInverse(inverse)
	whole.low, whole.high = positiveInverse(inverse+reach), positiveInverse(inverse-reach)
	return whole
}

// positiveInverse is 1/x, infinite for numbers that are not above 0.
func positiveInverse(x float64) float64 {
	if x <= 0 {
		return math.Inf(1)
	}
	return 1 / x
}

// signalAndNoise estimates both from all batches but one; -1 leaves none out.
func signalAndNoise(products [][]float64, left int, images float64) (s noiseScale) {
	var own, others, batches float64
	for i, row := range products {
		if i == left {
			continue
		}
		batches++
		own += row[i]
		for j, product := range row {
			if j != i && j != left {
				others += product
			}
		}
	}
	s.signal = others / (batches * (batches - 1))
	s.noise = float64(images * (own/batches - s.signal))
	return s
}

// gram returns the inner products of all pairs of vectors.
func gram(vectors [][]float64) [][]float64 {
	products := make([][]float64, len(vectors))
	for i := range vectors {
		products[i] = make([]float64, len(vectors))
		for j := range i + 1 {
			products[i][j] = inner(vectors[i], vectors[j])
			products[j][i] = products[i][j]
		}
	}
	return products
}
