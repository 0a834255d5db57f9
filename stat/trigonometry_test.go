package stat

import (
	"math"
	"testing"
)

// Reference values of mpmath 1.3.0 with 200 bits, at the float64 nearest to x.
func TestSinPiAndCosPi(t *testing.T) {
	for _, c := range []struct{ x, sin, cos float64 }{
		{0.1, 0.30901699437494744069, 0.95105651629515356673},
		{0.25, 0.7071067811865475244, 0.7071067811865475244},
		{0.3333333333333333, 0.8660254037844386177, 0.50000000000000005034},
		{0.49, 0.99950656036573155612, 0.031410759078128321728},
		{0.75, 0.7071067811865475244, -0.7071067811865475244},
		{1.1, -0.30901699437494768948, -0.95105651629515348589},
		{1.9, -0.30901699437494768948, 0.95105651629515348589},
		{7.3, -0.80901699437494709608, -0.58778525229247358065},
		{1000000.3, 0.80901699446093559132, 0.58778525217412057041},
		{1e-09, 3.141592653589793429e-9, 0.99999999999999999507},
		{-0.6, -0.95105651629515359367, -0.30901699437494736752},
		{123456789.123, -0.37687099861779948345, -0.92626575581785521379},
		{0.2499999, 0.70710655904236571578, 0.70710700333065954438},
		{0.005555555555555556, 0.017452406437283513485, 0.99984769515639123915},
		{0.2857142857142857, 0.78183148246802977764, 0.62348980185873356948},
	} {
		for _, f := range []struct {
			name      string
			got, want float64
		}{{"SinPi", SinPi(c.x), c.sin}, {"CosPi", CosPi(c.x), c.cos}} {
			ulp := math.Nextafter(math.Abs(f.want), 2) - math.Abs(f.want)
			if !(math.Abs(f.got-f.want) <= ulp) {
				t.Errorf("%s(%v) = %v, want %v within 1 ulp", f.name, c.x, f.got, f.want)
			}
		}
	}
	for _, c := range []struct{ x, sin, cos float64 }{
		{0, 0, 1}, {0.5, 1, 0}, {1, 0, -1}, {1.5, -1, 0}, {2, 0, 1}, {-0.5, -1, 0}, {-3, 0, -1}, {1 << 60, 0, 1},
		{math.Inf(1), math.NaN(), math.NaN()}, {math.Inf(-1), math.NaN(), math.NaN()}, {math.NaN(), math.NaN(), math.NaN()},
	} {
		same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
		if !same(SinPi(c.x), c.sin) || !same(CosPi(c.x), c.cos) {
			t.Errorf("SinPi(%v), CosPi(%v) = %v, %v, want exactly %v, %v", c.x, c.x, SinPi(c.x), CosPi(c.x), c.sin, c.cos)
		}
	}
}
