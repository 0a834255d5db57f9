package stat

import "math"

// Sine and cosine with the same bits on every CPU, of multiples of pi as in
// IEEE 754-2019 (sinPi, cosPi): the reduction to an eighth of a turn is then
// exact, whatever the argument, and no digits of pi are needed for it. They
// agree with the exact value within 1 ulp (the polynomials are those of FreeBSD's
// msun, k_sin.c and k_cos.c).

// SinPi returns sin(pi x). It is exactly 0 at whole numbers and exactly 1 or -1
// halfway between. SinPi(±Inf) = NaN, SinPi(NaN) = NaN.
func SinPi(x float64) float64 {
	if x < 0 {
		return -SinPi(-x)
	}
	return turn(x, 0)
}

// CosPi returns cos(pi x). CosPi(±Inf) = NaN, CosPi(NaN) = NaN.
func CosPi(x float64) float64 { return turn(math.Abs(x), 1) }

// turn returns sin(pi (x + quarters/2)) for x >= 0.
func turn(x float64, quarters int) float64 {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return math.NaN()
	}
	x = math.Mod(x, 2) // exact, as everything up to the product with pi
	nearest := math.Floor(float64(2*x) + 0.5)
	rest := x - float64(nearest/2) // -1/4 to 1/4
	angle := float64(rest * math.Pi)
	var y float64
	switch (int(nearest) + quarters) % 4 {
	case 0:
		y = sinSmall(angle)
	case 1:
		y = cosSmall(angle)
	case 2:
		y = -sinSmall(angle)
	default:
		y = -cosSmall(angle)
	}
	return y + 0 // no negative zero
}

// sinSmall is the sine between -pi/4 and pi/4.
func sinSmall(x float64) float64 {
	z := float64(x * x)
	r := horner(z, -1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04,
		2.75573137070700676789e-06, -2.50507602534068634195e-08, 1.58969099521155010221e-10)
	return x + float64(float64(x*z)*r)
}

// cosSmall is the cosine between -pi/4 and pi/4.
func cosSmall(x float64) float64 {
	z := float64(x * x)
	r := float64(z * horner(z, 4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05,
		-2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11))
	half := float64(0.5 * z)
	w := 1 - half
	return w + ((1 - w) - half + float64(z*r))
}
