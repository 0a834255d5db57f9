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
