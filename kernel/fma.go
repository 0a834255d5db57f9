package kernel

import "math"

// A float64 has 29 bits more than a float32. When of these only the first is
// set, a number lies on the middle between two float32.
const (
	extraBits  = 1<<29 - 1
	middleBits = 1 << 28
)

// leastNormal is the smallest normal float32, in the bits of a float64.
var leastNormal = math.Float64bits(0x1p-126)

// addProduct sets sum[lane] to fma(u, k[lane], sum[lane]).
func addProduct(sum, k *[Lanes]float32, u float32) {
	factor := float64(u)
	for lane, v := range k {
		wide := float64(factor*float64(v)) + float64(sum[lane])
		if bits := math.Float64bits(wide); bits&extraBits == middleBits || bits&^(1<<63) < leastNormal {
			sum[lane] = fma(u, v, sum[lane])
		} else {
			sum[lane] = float32(wide)
		}
	}
}

// fma returns a*b + c rounded once to float32, as the hardware's fused
// multiply-add does: the arithmetic of every convolution. The product of two
// float32 is exact in float64. The sum is rounded to odd, after which rounding
// it again gives the right float32 (S. Boldo, G. Melquiond: Emulation of FMA
// and correctly rounded sums, IEEE Transactions on Computers 57, 2008). Rounding
// it to nearest would do as well, except on the middle between two float32 and
// below the normal ones: addProduct uses that.
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
