package stat

import "math"

// Beta returns a number of the Beta distribution with density proportional to
// x^(a-1) (1-x)^(b-1) on [0, 1], as X/(X+Y) of two gamma numbers taken by their
// logarithms, so that small a and b do not give 0/0. It panics unless a > 0 and
// b > 0. Devroye, "Non-uniform random variate generation" (1986), IX.4.
func (s *Stream) Beta(a, b float64) float64 {
	x := s.logGamma(a)
	y := s.logGamma(b)
	return 1 / (1 + Exp(y-x))
}

// logGamma returns the logarithm of a number of the gamma distribution of the
// given shape and scale 1: the method of Marsaglia and Tsang, "A simple method for
// generating gamma variables" (ACM TOMS 26, 2000); a shape below 1 is reached from
// shape + 1 by the factor U^(1/shape), as given there.
func (s *Stream) logGamma(shape float64) float64 {
	if !(shape > 0) {
		panic("stat: a gamma or beta number needs a shape above 0")
	}
	if shape < 1 {
		larger := s.logGamma(shape + 1)
		return larger + Log(1-float64(s.Float64()))/shape
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(float64(9*d))
	for {
		x := s.Normal()
		root := 1 + float64(c*x)
		if root <= 0 {
			continue
		}
		v := float64(float64(root*root) * root)
		u := 1 - float64(s.Float64()) // above 0
		if Log(u) < float64(float64(0.5*x)*x)+d-float64(d*v)+float64(d*Log(v)) {
			return Log(d) + Log(v)
		}
	}
}
