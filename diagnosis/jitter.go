package diagnosis

import (
	"math"

	"ballast/stat"
)

// A variance is the jitter of one curve, squared: what an infinite validation
// set would still show (model, J² - V_n) and what comes from having n subjects
// (finite, V_n). docs/budget.md derives the formulas.
type variance struct {
	model, finite, total *statistic
	// Effective numbers of independent steps: of the finite set's noise, and of
	// that noise along the steps that were seen.
	steps, along float64
}

// jitterVariance splits the jitter of a panel over the given steps, J² being
// half the mean square of the steps of the mean. It returns nil when there are
// fewer than 4 subjects or no steps.
func jitterVariance(p *panel, steps [][2]int) *variance {
	if p.subjects < 4 || len(steps) == 0 {
		return nil
	}
	deltas := make([][]float64, len(steps))
	for k, s := range steps {
		deltas[k] = make([]float64, p.subjects)
		for i := range deltas[k] {
			deltas[k][i] = p.values[s[1]][i] - p.values[s[0]][i]
		}
	}
	return splitVariance(deltas, 0.5/float64(len(steps)))
}

// splitVariance splits factor Σ_k D_k², with D_k the mean over subjects of
// deltas[k]. With s_k² their sample variance the part of the finite set is
// factor Σ s_k²/n, and the rest, factor Σ (D_k² - s_k²/n), is the same sum over
// the products of two different subjects' deltas, in the mean over pairs.
func splitVariance(deltas [][]float64, factor float64) *variance {
	n := len(deltas[0])
	f := float64(n)
	v := &variance{model: &statistic{without: make([]float64, n)}, finite: &statistic{without: make([]float64, n)}}
	deviations := make([][]float64, len(deltas))
	for k, delta := range deltas {
		d, square := mean(delta), 0.0
		deviations[k] = make([]float64, n)
		for i, x := range delta {
			deviations[k][i] = x - d
			square += (x - d) * (x - d)
		}
		v.finite.value += factor * square / (f - 1) / f
		v.model.value += factor * (d*d - square/(f-1)/f)
		for i, x := range delta {
			// Mean and variance of the others; the finite part is that of n
			// subjects still.
			d1 := (f*d - x) / (f - 1)
			spread := math.Max(0, square-(x-d)*(x-d)*f/(f-1)) / (f - 2)
			v.finite.without[i] += factor * spread / f
			v.model.without[i] += factor * (d1*d1 - spread/(f-1))
		}
	}
	v.steps, v.along = effectiveSteps(deltas, deviations)
	v.total = v.model.plus(1, v.finite)
	return v
}

// expected is J² as it is expected of a set of this size: V_n, and J² - V_n
// where that is positive (an infinite set cannot fluctuate by less than
// nothing).
func (v *variance) expected() float64 { return v.finite.value + math.Max(0, v.model.value) }

// effectiveSteps measures how many independent steps the given ones are worth.
//
// The first number is that of the noise of a finite set: tr(C)² / tr(C²), with
// C the covariance of a subject's steps between epochs. Subjects that flip
// together and back make it smaller than the number of steps. tr(C²) is
// estimated without bias, for any distribution, by Himeno and Yamada,
// "Estimations for some functions of covariance matrix in high dimension under
// non-normality" (Journal of Multivariate Analysis 2014).
//
// The second is tr(C) D'D / D'CD, with D the steps of the mean: how much the
// product of the true steps with the noise varies. Where D is nothing but
// noise it estimates the first. deviations[k][i] is subject i's step k,
// deltas[k][i], less the mean step.
func effectiveSteps(deltas, deviations [][]float64) (noise, along float64) {
	n, steps := float64(len(deviations[0])), float64(len(deviations))
	trace, squares := 0.0, 0.0
	for k, x := range deviations {
		for l, y := range deviations[:k+1] {
			c := dot(x, y) / (n - 1)
			if k == l {
				trace += c
				squares += c * c
			} else {
				squares += 2 * c * c
			}
		}
	}
	fourth, product, length := 0.0, 0.0, 0.0
	seen := make([]float64, len(deltas))
	for k, delta := range deltas {
		seen[k] = mean(delta)
		length += seen[k] * seen[k]
	}
	for i := range deviations[0] {
		own, with := 0.0, 0.0
		for k, x := range deviations {
			own += x[i] * x[i]
			with += x[i] * seen[k]
		}
		fourth += own * own / (n - 1)
		product += with * with / (n - 1)
	}
	squares = (n - 1) / (n * (n - 2) * (n - 3)) * ((n-1)*(n-2)*squares + trace*trace - n*fourth)
	noise, along = steps, steps
	if squares > 0 {
		noise = math.Max(1, math.Min(steps, trace*trace/squares))
	}
	if product > 0 {
		along = math.Max(1, math.Min(steps, trace*length/product))
	}
	return noise, along
}

func dot(x, y []float64) float64 {
	sum := 0.0
	for i, a := range x {
		sum += a * y[i]
	}
	return sum
}

// finiteShare is the share of V_n in the jitter of this one view.
//
// Its interval turns around a test. The means of n subjects are close to
// normal, so J² of a true share s has about the relative variance
// 2 (s²/steps + 2 s (1 - s)/along), and s J² / V_n is like F with as many
// degrees of freedom as have that variance, and those of V_n's own estimate.
// With steps = along this is Patnaik's approximation of the noncentral F. The
// interval holds every s that a two-sided test at 5 % does not refute. Patnaik, "The non-central χ² and F-distributions
// and their applications" (Biometrika 1949).
func (v *variance) finiteShare() Interval {
	if v == nil || !(v.expected() > 0) || !(v.finite.value > 0) {
		return unknownInterval(Ratio)
	}
	below := math.Max(2, 2*v.finite.value*v.finite.value/covariance(v.finite, v.finite))
	observed := v.total.value / v.finite.value
	bound := func(p float64) float64 {
		refuted := func(s float64) bool {
			return s*observed > stat.FQuantile(p, 1/(s*s/v.steps+2*s*(1-s)/v.along), below)
		}
		if !refuted(1) {
			return 1
		}
		low, high := 0.0, 1.0 // refuted(high)
		for range 30 {
			if s := (low + high) / 2; refuted(s) {
				high = s
			} else {
				low = s
			}
		}
		return high
	}
	share := v.finite.value / v.expected()
	return Interval{Number(share), Number(math.Min(share, bound(0.025))), Number(math.Max(share, bound(0.975))), Ratio}
}

// interval returns J with its 95 % interval, symmetric in log J.
func (v *variance) interval(unit string) Interval {
	scale := 100.0
	if unit == Nats {
		scale = 1
	}
	j := scale * math.Sqrt(math.Max(0, v.total.value))
	if !(v.total.value > 0) {
		return Interval{Number(j), unknown, unknown, unit}
	}
	factor := math.Exp(halfWidth(v.total) / (2 * v.total.value))
	return Interval{Number(j), Number(j / factor), Number(j * factor), unit}
}
