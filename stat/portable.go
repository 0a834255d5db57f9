package stat

import "math"

// Elementary functions with the same bits on every CPU.
//
// The standard library's math.Exp and its like use assembly on some
// architectures, and a compiler may fuse x*y + z on others; both change last
// bits. Training must not depend on them, so the functions below use only
// additions, products and quotients, each rounded by an explicit conversion.
// They agree with the exact value within 1 ulp (the methods are those of
// FreeBSD's msun, e_exp.c and e_log.c, by argument reduction and a minimax
// polynomial).

const (
	ln2High = 6.93147180369123816490e-01 // upper 32 bits of ln 2
	ln2Low  = 1.90821492927058770002e-10 // the rest of ln 2
)

// Exp returns e^x. Exp(+Inf) = +Inf, Exp(-Inf) = 0, Exp(NaN) = NaN; it
// overflows to +Inf above 709.78 and gives 0 below -745.13.
func Exp(x float64) float64 {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 1):
		return x
	case math.IsInf(x, -1) || x < -745.13321910194110842:
		return 0
	case x > 7.09782712893383973096e+02:
		return math.Inf(1)
	case math.Abs(x) < 1.0/(1<<28):
		return 1 + x
	}
	k := math.Floor(float64(x*math.Log2E) + 0.5)
	high := x - float64(k*ln2High)
	low := float64(k * ln2Low)
	r := high - low
	t := float64(r * r)
	polynomial := horner(t, 1.66666666666666657415e-01, -2.77777777770155933842e-03,
		6.61375632143793436117e-05, -1.65339022054652515390e-06, 4.13813679705723846039e-08)
	c := r - float64(t*polynomial)
	y := 1 - ((low - float64(r*c)/(2-c)) - high)
	return math.Ldexp(y, int(k))
}

// Log returns the natural logarithm of x. Log(+Inf) = +Inf, Log(0) = -Inf,
// Log(x < 0) = NaN, Log(NaN) = NaN.
func Log(x float64) float64 {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 1):
		return x
	case x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	}
	fraction, exponent := math.Frexp(x)
	if fraction < math.Sqrt2/2 {
		fraction *= 2
		exponent--
	}
	f := fraction - 1
	k := float64(exponent)
	s := f / (2 + f)
	z := float64(s * s)
	r := float64(z * horner(z, 6.666666666666735130e-01, 3.999999999940941908e-01,
		2.857142874366239149e-01, 2.222219843214978396e-01, 1.818357216161805012e-01,
		1.531383769920937332e-01, 1.479819860511658591e-01))
	half := float64(float64(0.5*f) * f)
	return float64(k*ln2High) - ((half - (float64(s*(half+r)) + float64(k*ln2Low))) - f)
}

// horner evaluates c[0] + c[1] x + c[2] x^2 + ... without fused operations.
func horner(x float64, c ...float64) float64 {
	sum := c[len(c)-1]
	for i := len(c) - 2; i >= 0; i-- {
		sum = float64(sum*x) + c[i]
	}
	return sum
}
