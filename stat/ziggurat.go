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
	unit    [layers]float32 // width in units of 2^-24
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
	const units = 1 << 24
	for i, width := range t.width {
		t.unit[i] = float32(width / units)
		inner := tailFrom // the part of the strip below the one above it
		if i > 0 {
			inner = t.width[i-1]
		}
		if i != 1 {
			t.inside[i] = uint32(float64(inner / width * units))
		}
	}
	return &t
}

// NormalsAt fills dst with standard normal numbers, those from number from on. Like
// Uint32At it does not move the stream, so that many threads can fill one array
// from one stream with the same result. It is several times faster than Normal.
//
// It is the ziggurat of Marsaglia and Tsang, "The ziggurat method for generating
// random variables" (Journal of Statistical Software 5(8), 2000). Number i is made
// of word i of the stream; strip, sign and position come from different bits, so
// that they are independent (Doornik, "An improved ziggurat method to generate
// normal random samples", 2005). One number in 70 needs more words, taken from a
// place of the stream that belongs to it.
func (s *Stream) NormalsAt(from uint64, dst []float32) {
	var words [2 * pair]uint32
	for len(dst) > 0 {
		s.blocksAt(from/4, &words)
		n := min(len(dst), len(words)-int(from%4))
		for i, word := range words[from%4:][:n] {
			strip, position := word%layers, word>>8
			x := float32(position) * ziggurat.unit[strip]
			if position >= ziggurat.inside[strip] {
				x = float32(s.atEdge(from+uint64(i), strip, float64(x)))
			}
			dst[i] = math.Float32frombits(math.Float32bits(x) | word<<24&(1<<31))
		}
		dst, from = dst[n:], from+uint64(n)
	}
}

// spare is where the words begin that numbers at the edge of their strip use.
const spare = 1 << 60

// atEdge decides what becomes of a point of a strip that may lie outside the
// density, and draws again if it does, from words that belong to the number.
func (s *Stream) atEdge(number uint64, strip uint32, x float64) float64 {
	own := Stream{key: s.key, high: s.high, block: spare + number<<20, used: 4}
	for {
		if strip == 0 {
			if x < tailFrom {
				return x
			}
			return own.tail()
		}
		low, high := ziggurat.density[strip], ziggurat.density[strip-1]
		if low+float64(own.Float64()*(high-low)) < Exp(float64(-0.5*float64(x*x))) {
			return x
		}
		word := own.Uint32()
		strip = word % layers
		x = float64(float32(word>>8) * ziggurat.unit[strip])
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
