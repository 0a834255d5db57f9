package diagnosis

import (
	"math"

	"ballast/stat"
)

// risingP is the one-sided p-value of Mann and Kendall's test that the finite
// values rise, from the normal approximation with correction for ties and for
// continuity. It is 1 for fewer than 4 values.
//
//	S = Σ_{i<j} sign(x_j - x_i),   Var S = (n(n-1)(2n+5) - Σ g(g-1)(2g+5)) / 18
//
// with g the sizes of the groups of equal values. Mann, "Nonparametric tests
// against trend" (Econometrica 1945).
func risingP(values []float64) float64 {
	var finite []float64
	for _, x := range values {
		if isFinite(x) {
			finite = append(finite, x)
		}
	}
	n := float64(len(finite))
	if n < 4 {
		return 1
	}
	s := 0.0
	groups := map[float64]float64{}
	for j, x := range finite {
		groups[x]++
		for _, y := range finite[:j] {
			switch {
			case x > y:
				s++
			case x < y:
				s--
			}
		}
	}
	variance := n * (n - 1) * (2*n + 5)
	for _, g := range groups {
		variance -= g * (g - 1) * (2*g + 5)
	}
	if variance /= 18; !(variance > 0) {
		return 1
	}
	return 1 - stat.NormalCDF((s-1)/math.Sqrt(variance))
}

// fallingP is risingP of the negated values.
func fallingP(values []float64) float64 {
	negated := make([]float64, len(values))
	for i, x := range values {
		negated[i] = -x
	}
	return risingP(negated)
}

// theilSen is the median slope per step over all pairs of finite values, which
// single outliers do not move; NaN for fewer than two.
func theilSen(values []float64) float64 {
	var slopes []float64
	for j, x := range values {
		for i, y := range values[:j] {
			if isFinite(x) && isFinite(y) {
				slopes = append(slopes, (x-y)/float64(j-i))
			}
		}
	}
	if len(slopes) == 0 {
		return math.NaN()
	}
	return stat.Quantile(slopes, 0.5)
}
