package prep

import (
	"math"

	"ballast/stat"
)

// Powers with the same bits on every CPU and a few nanoseconds each, for whole
// images: tables of 128 and 64 entries and short Taylor polynomials, in float64.
// The relative error is below 1e-10, far below the rounding of a float32.

var (
	// reciprocals[i] is 1/m for the middle m of the i-th of 128 parts of [1, 2),
	// logarithms[i] is log2(m).
	reciprocals, logarithms [128]float64
	// sixtyFourths[i] is 2^(i/64).
	sixtyFourths [64]float64
)

func init() {
	for i := range reciprocals {
		middle := 1 + float64((float64(i)+0.5)/128)
		reciprocals[i] = 1 / middle
		logarithms[i] = stat.Log(middle) * log2e
	}
	for i := range sixtyFourths {
		sixtyFourths[i] = stat.Exp(float64(i) / 64 / log2e)
	}
}

// log2 returns the base-2 logarithm of a normal number x > 0.
func log2(x float64) float64 {
	bits := math.Float64bits(x)
	exponent := float64(int(bits>>52) - 1023)
	i := bits >> 45 & 127
	fraction := math.Float64frombits(bits&(1<<52-1) | 1023<<52)
	r := float64(fraction*reciprocals[i]) - 1 // within 1/256
	// ln(1+r) / ln 2 by its Taylor series.
	p := float64(log2e * r * (1 - float64(r*(1.0/2-float64(r*(1.0/3-float64(r*(1.0/4-float64(r*(1.0/5))))))))))
	return exponent + (logarithms[i] + p)
}

// exp2 returns 2^y: 0 below -1000 and +Inf above 1000.
func exp2(y float64) float64 {
	if !(y > -1000) {
		return 0
	}
	if y > 1000 {
		return math.Inf(1)
	}
	k := int(float64(y*64)+65536) - 65536 // the whole number below, as 64 y > -65536
	f := float64((y - float64(float64(k)/64)) * (1 / log2e))
	p := 1 + float64(f*(1+float64(f*(1.0/2+float64(f*(1.0/6+float64(f*(1.0/24))))))))
	scale := math.Float64frombits(uint64(k>>6+1023) << 52)
	return p * sixtyFourths[k&63] * scale
}

// A powerTable raises numbers of 0 to 1 to one power: each octave from 2^-24 on is
// divided into 32 pieces, and each piece has the cubic that agrees with the power
// in value and slope at both ends. The relative error of the cubic is below 1e-8
// for powers up to 3, below 4e-7 up to 5.
type powerTable struct {
	power  float64
	pieces [24*32 + 1]struct{ c0, c1, c2, c3 float32 }
}

// firstPiece is the exponent and the upper five bits of the fraction of 2^-24.
const firstPiece = (127 - 24) << 5

func newPowerTable(power float64) *powerTable {
	t := &powerTable{power: power}
	low := exp2(float64(-24 * power))
	for n := range t.pieces {
		from := math.Ldexp(1+float64(float64(n%32)/32), n/32-24)
		width := math.Ldexp(1.0/32, n/32-24)
		high := exp2(float64(power * log2(from+width)))
		// Hermite's cubic in t of 0 to 1; the slope of x^p is p x^p / x.
		left, right := float64(width*power)*low/from, float64(width*power)*high/(from+width)
		rise := high - low
		p := &t.pieces[n]
		p.c0, p.c1 = float32(low), float32(left)
		p.c2 = float32(float64(3*rise) - float64(2*left) - right)
		p.c3 = float32(left + right - float64(2*rise))
		low = high
	}
	return t
}

// of returns u to the power, 0 for u <= 0.
func (t *powerTable) of(u float32) float32 {
	bits := math.Float32bits(u)
	piece := bits>>18 - firstPiece
	if piece >= uint32(len(t.pieces)) {
		if !(u > 0) {
			return 0
		}
		return float32(exp2(float64(t.power * log2(float64(u)))))
	}
	p := &t.pieces[piece]
	at := float32(bits&(1<<18-1)) * (1.0 / (1 << 18))
	return p.c0 + float32(at*(p.c1+float32(at*(p.c2+float32(at*p.c3)))))
}
