package phantom

import (
	"math"
	"math/bits"

	"ballast/stat"
)

// A scanner turns tissue into signal: gain * (x + contrast x (1 - x)) with
// Rician noise of noise times the cohort's.
type scanner struct{ gain, contrast, noise float64 }

// scanner returns scanner n of the cohort. The scanners are spread evenly from
// dim and quiet with deep greys to bright and noisy with raised greys; a single
// one is neutral. They do not depend on the seed, so two cohorts may share their
// scanners.
func (c Config) scanner(n int) scanner {
	u := 0.0
	if c.Sites > 1 {
		u = float64(2*n)/float64(c.Sites-1) - 1
	}
	return scanner{gain: stat.Exp(float64(0.3 * u)), contrast: float64(0.25 * u), noise: stat.Exp(float64(0.35 * u))}
}

// scan puts a noise-free image through the scanner of a site: bias field,
// contrast, gain and Rician noise, in place. White matter becomes 1000 or so.
func (c Config) scan(g grid, k, site int, image []float64) {
	s := c.scanner(site)
	bias := newBiasField(c.Bias, c.stream("bias", k))
	// No two examinations have the same gain.
	receiver := c.stream("gain", k).Normal()
	gain := float64(1000*s.gain) * stat.Exp(float64(0.08*receiver))
	noise := c.stream("noise", k)
	sd := float64(c.Noise * s.noise)
	var position [3][]float64
	for axis := range 3 {
		position[axis] = g.relative(axis)
	}
	n := 0
	for _, z := range position[2] {
		for _, y := range position[1] {
			for _, x := range position[0] {
				signal := image[n]
				signal += float64(float64(s.contrast*signal) * (1 - signal))
				signal = float64(signal * bias.at(x, y, z))
				if sd > 0 {
					signal = rician(signal, sd, noise)
				}
				image[n] = float64(signal * gain)
				n++
			}
		}
	}
}

// relative returns the coordinates of all voxels along an axis, in -1..1 across
// the field of view.
func (g grid) relative(axis int) []float64 {
	x := g.axis(axis)
	for n := range x {
		x[n] = float64(2*x[n]) / g.field[axis]
	}
	return x
}

// rician returns the magnitude of a complex signal whose real and imaginary
// parts carry independent normal noise: sqrt((x + sd a)^2 + (sd b)^2)
// (Gudbjartsson and Patz, Magnetic Resonance in Medicine 1995).
func rician(x, sd float64, stream *stat.Stream) float64 {
	a := x + float64(sd*coins(stream.Uint64()))
	b := float64(sd * coins(stream.Uint64()))
	return math.Sqrt(float64(a*a) + float64(b*b))
}

// coins turns 64 random bits into a number that is very nearly standard normal:
// the count of heads among 56 coins, spread evenly over one count by the other 8
// bits, and standardised. Its mean is 0, its variance 1, its kurtosis 3 - 2/56,
// closer than any scanner's noise comes (de Moivre 1733). It takes no logarithm and
// no rejection, so it is several times as fast as Stream.Normal; drawing noise is
// the largest part of making a subject.
func coins(word uint64) float64 {
	heads := float64(bits.OnesCount64(word >> 8))
	spread := float64((float64(word&0xff) - 127.5) / 256)
	return (heads - 28 + spread) / coinSD
}

// coinSD is the square root of 56/4 + (1 - 2^-16)/12.
const coinSD = 3.7527765803159103

// A biasField is 1 plus a random quadratic polynomial of the position.
type biasField struct{ coefficient [9]float64 }

// newBiasField draws the polynomial and scales it so that its largest deviation
// over corners, edges, faces and middle of the volume is the amplitude.
func newBiasField(amplitude float64, stream *stat.Stream) *biasField {
	b := new(biasField)
	for n := range b.coefficient {
		b.coefficient[n] = stream.Normal()
	}
	largest := 0.0
	for n := range 27 {
		x, y, z := float64(n%3-1), float64(n/3%3-1), float64(n/9-1)
		largest = max(largest, math.Abs(b.at(x, y, z)-1))
	}
	for n := range b.coefficient {
		b.coefficient[n] = float64(b.coefficient[n]*amplitude) / largest
	}
	return b
}

func (b *biasField) at(x, y, z float64) float64 {
	c := &b.coefficient
	inX := c[0] + float64(c[3]*x) + float64(c[4]*y) + float64(c[5]*z)
	inY := c[1] + float64(c[6]*y) + float64(c[7]*z)
	inZ := c[2] + float64(c[8]*z)
	return 1 + float64(inX*x) + float64(inY*y) + float64(inZ*z)
}

// quantise rounds to whole numbers in 0..32767.
func quantise(image []float64) []float32 {
	data := make([]float32, len(image))
	for n, x := range image {
		data[n] = float32(math.Floor(max(0, min(32767, x)) + 0.5))
	}
	return data
}
