package diagnosis

import (
	"math"

	"ballast/stat"
)

// A statistic is an estimate with its values for every subject left out, from
// which its variance over the drawing of subjects follows.
type statistic struct {
	value   float64
	without []float64 // estimated without subject i
	strata  [][]int   // the subjects of each class, of which a validation set has fixed numbers
}

// plus returns s + f o.
func (s *statistic) plus(f float64, o *statistic) *statistic {
	sum := &statistic{value: s.value + f*o.value, without: make([]float64, len(s.without)), strata: s.strata}
	for i := range sum.without {
		sum.without[i] = s.without[i] + f*o.without[i]
	}
	return sum
}

// covariance is that of two statistics over the drawing of subjects within
// their classes: the sum over classes of the delete-one jackknife. For the
// parts of the budget it errs to the large side where the whole jitter comes
// from the finite set; docs/budget.md says why that is kept.
func covariance(a, b *statistic) float64 {
	sum := 0.0
	for _, members := range a.strata {
		x, y := make([]float64, len(members)), make([]float64, len(members))
		for k, i := range members {
			x[k], y[k] = a.without[i], b.without[i]
		}
		sum += stat.JackknifeCovariance(x, y)
	}
	return sum
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, x := range values {
		sum += x
	}
	return sum / float64(len(values))
}

// quantile is Student's, for the 95 % interval of a statistic.
func quantile(s *statistic) float64 {
	return stat.StudentQuantile(0.975, float64(len(s.without)-len(s.strata)))
}

// halfWidth is half the width of a statistic's 95 % interval.
func halfWidth(s *statistic) float64 { return quantile(s) * math.Sqrt(covariance(s, s)) }
