package kernel

import "math"

// A float64 has 29 bits more than a float32. When of these only the first is
// set, a number lies on the middle between two float32.
const (
	extraBits  = 1<<29 - 1
	middleBits = 1 << 28
)

// The exponents, as a float64 stores them, at which rounding a number to 24 bits
// is rounding it to float32: normal, and not so large that it might overflow.
const (
	leastExponent = 1023 - 126
	exponents     = 126 + 127
)

// addProduct sets sum[lane] to fma(u, k[lane], sum[lane]); the sums and u are
// float32 numbers in float64, which saves converting them each time.
func addProduct(sum *[Lanes]float64, k *[Lanes]float32, u float64) {
	for lane, v := range k {
		bits := math.Float64bits(float64(u*float64(v)) + sum[lane])
		if bits>>52&0x7ff-leastExponent < exponents && bits&extraBits != middleBits {
			sum[lane] = math.Float64frombits((bits + middleBits) &^ extraBits)
		} else {
			sum[lane] = float64(fma(float32(u), v, float32(sum[lane])))
		}
	}
}

// widenLanes and narrowLanes convert sums.
func widenLanes(values []float32) (sums [Lanes]float64) {
	for lane, v := range (*[Lanes]float32)(values) {
		sums[lane] = float64(v)
	}
	return sums
}

func narrowLanes(sums *[Lanes]float64, values []float32) {
	to := (*[Lanes]float32)(values)
	for lane, v := range sums {
		to[lane] = float32(v)
	}
}

// fma returns a*b + c rounded once to float32, as the hardware's fused
// multiply-add does: the arithmetic of every convolution. The product of two
// float32 is exact in float64. The sum is rounded to odd, after which rounding
// it again gives the right float32 (S. Boldo, G. Melquiond: Emulation of FMA
// and correctly rounded sums, IEEE Transactions on Computers 57, 2008). Rounding
// it to nearest would do as well, except on the middle between two float32 and
// outside the range of the normal ones: addProduct uses that.
func fma(a, b, c float32) float32 {
	product, addend := float64(float64(a)*float64(b)), float64(c)
	sum := product + addend
	back := sum - product
	lost := (product - (sum - back)) + (addend - back) // exact: Knuth's TwoSum
	bits := math.Float64bits(sum)
	if lost == 0 || bits&1 == 1 || sum-sum != 0 {
		return float32(sum)
	}
	if lost > 0 == (sum > 0) {
		bits++
	} else {
		bits--
	}
	return float32(math.Float64frombits(bits))
}
