package stat

import "math"

// layers of the ziggurat: the density exp(-x²/2), x >= 0, covered by 127 strips
// of equal area and a base strip that holds the tail.
const (
	layers   = 128
	tailFrom = 3.442619855899      // where the tail begins
	area     = 9.91256303526217e-3 // of each strip
)

// ziggurat holds for each strip its width, the share of it that lies wholly
// below the density (in units of 2^-24), and the density at its outer edge.
var ziggurat = newZiggurat()

type zigguratTable struct {
	width   [layers]float64
	inside  [layers]uint32
	density [layers]float64
}

func newZiggurat() *zigguratTable {
	density := func(x float64) float64 { return Exp(float64(-0.5 * float64(x*x))) }
	var t zigguratTable
	edge := tailFrom
	t.width[0] = area / density(edge)
	t.width[layers-1] = edge
	t.density[0], t.density[layers-1] = 1, density(edge)
	for i := layers - 2; i > 0; i-- {
		t.width[i] = math.Sqrt(float64(-2 * Log(area/edge+density(edge))))
		edge = t.width[i]
		t.density[i] = density(edge)
	}
	const unit = 1 << 24
	t.inside[0] = uint32(float64(tailFrom / t.width[0] * unit))
	for i := 2; i < layers; i++ {
		t.inside[i] = uint32(float64(t.width[i-1] / t.width[i] * unit))
	}
	return &t
}

// Normals fills dst with standard normal numbers, several times faster than
// calls of Normal, by the ziggurat of Marsaglia and Tsang, "The ziggurat method
// for generating random variables" (Journal of Statistical Software 5(8), 2000).
// Strip, sign and position come from different bits of a word, so that they are
// independent (Doornik, "An improved ziggurat method to generate normal random
// samples", 2005). Each number takes one word of the stream, one in 70 more.
func (s *Stream) Normals(dst []float32) {
	for i := range dst {
		word := s.Uint32()
		strip, position := word&(layers-1), word>>8
		x := float64(float64(position) * (1.0 / (1 << 24)) * ziggurat.width[strip])
		if position >= ziggurat.inside[strip] {
			x = s.edge(strip, x)
		}
		if word&layers != 0 {
			x = -x
		}
		dst[i] = float32(x)
	}
}

// edge decides what becomes of a point of a strip that may lie outside the
// density, and draws again if it does. The sign is drawn already.
func (s *Stream) edge(strip uint32, x float64) float64 {
	for {
		if strip == 0 {
			if x < tailFrom {
				return x
			}
			return s.tail()
		}
		low, high := ziggurat.density[strip], ziggurat.density[strip-1]
		if low+float64(s.Float64()*(high-low)) < Exp(float64(-0.5*float64(x*x))) {
			return x
		}
		word := s.Uint32()
		strip = word & (layers - 1)
		x = float64(float64(word>>8) * (1.0 / (1 << 24)) * ziggurat.width[strip])
		if word>>8 < ziggurat.inside[strip] {
			return x
		}
	}
}

// tail draws from the normal distribution beyond tailFrom (Marsaglia 1964).
func (s *Stream) tail() float64 {
	for {
		x := -Log(s.open()) / tailFrom
		y := -Log(s.open())
		if y+y > float64(x*x) {
			return tailFrom + x
		}
	}
}

// open draws evenly from (0, 1].
func (s *Stream) open() float64 { return float64(1<<53-s.Uint64()>>11) * (1.0 / (1 << 53)) }
