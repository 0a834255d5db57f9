package diagnosis

import (
	"math"
	"slices"

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
	moving       int // subjects whose value changes at all
}

// jitterVariance splits the jitter of a panel over the given steps, J² being
// half the mean square of the steps of the mean. It returns nil when there are
// fewer than 4 subjects or no steps.
func jitterVariance(p *panel, steps [][2]int) *variance {
	if p.subjects < leastStratum || len(steps) == 0 {
		return nil
	}
	deltas := make([][]float64, len(steps))
	for k, s := range steps {
		deltas[k] = make([]float64, p.subjects)
		for i := range deltas[k] {
			deltas[k][i] = p.values[s[1]][i] - p.values[s[0]][i]
		}
	}
	return splitVariance(deltas, p.strata, 0.5/float64(len(steps)))
}

// splitVariance splits factor Σ_k D_k², with D_k the mean over subjects of
// deltas[k].
//
// A validation set has fixed numbers of subjects of each class, so only which
// subjects of a class it holds is luck. With n_c subjects of class c and s_c²
// their sample variance the part of the finite set is factor Σ_k V_k,
//
//	V = Σ_c (n_c/n)² s_c² / n_c
//
// and the rest is factor Σ_k (D_k² - V_k): the same sum over the products of
// two different subjects' deltas, which has no bias for what an infinite set
// with the same mix of classes would show.
func splitVariance(deltas [][]float64, strata [][]int, factor float64) *variance {
	n := len(deltas[0])
	v := &variance{
		model:  &statistic{without: make([]float64, n), strata: strata},
		finite: &statistic{without: make([]float64, n), strata: strata},
	}
	deviations := make([][][]float64, len(strata)) // by stratum, step and member
	terms, means, squares := make([]float64, len(strata)), make([]float64, len(strata)), make([]float64, len(strata))
	for _, delta := range deltas {
		d, finite := mean(delta), 0.0
		for c, members := range strata {
			var own []float64
			own, means[c], squares[c] = deviationsOf(delta, members)
			deviations[c] = append(deviations[c], own)
			m, w := float64(len(members)), float64(len(members))/float64(n)
			terms[c] = w * w * squares[c] / (m - 1) / m
			finite += terms[c]
		}
		v.finite.value += factor * finite
		v.model.value += factor * (d*d - finite)
		for c, members := range strata {
			m, w := float64(len(members)), float64(len(members))/float64(n)
			for _, i := range members {
				// Mean and variance of the others; the finite part is that of
				// n subjects still.
				x := delta[i] - means[c]
				d1 := d - w*x/(m-1)
				spread := w * w * math.Max(0, squares[c]-x*x*m/(m-1)) / (m - 2)
				v.finite.without[i] += factor * (finite - terms[c] + spread/m)
				v.model.without[i] += factor * (d1*d1 - (finite - terms[c] + spread/(m-1)))
			}
		}
	}
	v.steps, v.along = effectiveSteps(deltas, deviations)
	v.moving = movingSubjects(deltas)
	v.total = v.model.plus(1, v.finite)
	return v
}

// movingSubjects counts the subjects of whom a step is not zero.
func movingSubjects(deltas [][]float64) int {
	count := 0
	for i := range deltas[0] {
		if slices.ContainsFunc(deltas, func(delta []float64) bool { return delta[i] != 0 }) {
			count++
		}
	}
	return count
}

// deviationsOf returns the members' deviations from their mean, the mean, and
// the sum of the squared deviations.
func deviationsOf(values []float64, members []int) (deviations []float64, centre, square float64) {
	for _, i := range members {
		centre += values[i] / float64(len(members))
	}
	deviations = make([]float64, len(members))
	for k, i := range members {
		deviations[k] = values[i] - centre
		square += deviations[k] * deviations[k]
	}
	return deviations, centre, square
}

// expected is J² as it is expected of a set of this size: V_n, and J² - V_n
// where that is positive (an infinite set cannot fluctuate by less than
// nothing).
func (v *variance) expected() float64 { return v.finite.value + math.Max(0, v.model.value) }

// effectiveSteps measures how many independent steps the given ones are worth.
//
// The first number is that of the noise of a finite set: tr(K)² / tr(K²), with
// K the covariance of the steps of the mean over validation sets,
// K = Σ_c a_c C_c with C_c the covariance of a subject's steps in class c and
// a_c = n_c / n². Subjects that flip together and back make it smaller than the
// number of steps. tr(C_c²) is estimated without bias, for any distribution, by
// Himeno and Yamada, "Estimations for some functions of covariance matrix in
// high dimension under non-normality" (Journal of Multivariate Analysis 2014).
//
// The second is tr(K) D'D / D'KD, with D the steps of the mean: how much the
// product of the true steps with the noise varies. Where D is nothing but
// noise it estimates the first. deviations[c][k] holds step k of the members
// of class c, less its mean over them.
func effectiveSteps(deltas [][]float64, deviations [][][]float64) (noise, along float64) {
	n, steps := float64(len(deltas[0])), float64(len(deltas))
	seen, length := make([]float64, len(deltas)), 0.0
	for k, delta := range deltas {
		seen[k] = mean(delta)
		length += seen[k] * seen[k]
	}
	k2 := make([]float64, len(deltas)*(len(deltas)+1)/2) // lower triangle of K
	trace, correction, product := 0.0, 0.0, 0.0
	for _, own := range deviations {
		m := float64(len(own[0]))
		a := m / (n * n)
		c := covarianceMoments(own, seen, func(index int, x float64) { k2[index] += a * x })
		trace += a * c.trace
		correction += a * a * (c.unbiased - c.squares)
		product += a * c.product
	}
	squares, index := correction, 0
	for k := range deltas {
		for l := range k + 1 {
			if k == l {
				squares += k2[index] * k2[index]
			} else {
				squares += 2 * k2[index] * k2[index]
			}
			index++
		}
	}
	noise, along = steps, steps
	if squares > 0 {
		noise = math.Max(1, math.Min(steps, trace*trace/squares))
	}
	if product > 0 {
		along = math.Max(1, math.Min(steps, trace*length/product))
	}
	return noise, along
}

// A covarianceMoment holds moments of the sample covariance C of the steps of
// a class's subjects.
type covarianceMoment struct {
	trace, squares float64 // tr(C), tr(C²)
	unbiased       float64 // estimate of tr(C²) of the population
	product        float64 // D'CD
}

// covarianceMoments computes them from the deviations by step and subject, and
// hands every entry of the lower triangle of C to entry.
func covarianceMoments(deviations [][]float64, seen []float64, entry func(index int, x float64)) covarianceMoment {
	m := float64(len(deviations[0]))
	var c covarianceMoment
	index := 0
	for k, x := range deviations {
		for l, y := range deviations[:k+1] {
			s := dot(x, y) / (m - 1)
			entry(index, s)
			index++
			if k == l {
				c.trace += s
				c.squares += s * s
			} else {
				c.squares += 2 * s * s
			}
		}
	}
	fourth := 0.0
	for i := range deviations[0] {
		own, with := 0.0, 0.0
		for k, x := range deviations {
			own += x[i] * x[i]
			with += x[i] * seen[k]
		}
		fourth += own * own / (m - 1)
		c.product += with * with / (m - 1)
	}
	c.unbiased = (m - 1) / (m * (m - 2) * (m - 3)) * ((m-1)*(m-2)*c.squares + c.trace*c.trace - m*fourth)
	return c
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
	below := v.finiteFreedom()
	share := v.finite.value / v.expected()
	low := v.largestShare(0.025, func(float64) float64 { return below })
	high := v.largestShare(0.975, func(float64) float64 { return below })
	return Interval{Number(share), Number(math.Min(share, low)), Number(math.Max(share, high)), Ratio}
}

// infinite is the jitter in points that infinitely many subjects of the same mix
// of classes would show. Its interval holds every M for which J² / (M + V_n) is
// not refuted; V_n is only the part s of that sum, so that its own error counts
// for s² of what it counts for in the share.
func (v *variance) infinite() Interval {
	if v == nil || !(v.expected() > 0) {
		return unknownInterval(Points)
	}
	estimate := Number(points(math.Max(0, v.model.value)))
	if !(v.finite.value > 0) {
		return Interval{estimate, unknown, unknown, Points}
	}
	below := v.finiteFreedom()
	at := func(p float64) Number {
		s := v.largestShare(p, func(s float64) float64 { return below / (s * s) })
		return Number(points(v.finite.value * (1 - s) / s))
	}
	return Interval{estimate, min(estimate, at(0.975)), max(estimate, at(0.025)), Points}
}

// finiteFreedom is the degrees of freedom of V_n, by the jackknife.
func (v *variance) finiteFreedom() float64 {
	return math.Max(2, 2*v.finite.value*v.finite.value/covariance(v.finite, v.finite))
}

// largestShare is the largest true share s at which s J² / V_n stays below the
// quantile of p, with as many degrees of freedom below as are given for s.
func (v *variance) largestShare(p float64, below func(s float64) float64) float64 {
	observed := v.total.value / v.finite.value
	refuted := func(s float64) bool {
		return s*observed > stat.FQuantile(p, 1/(s*s/v.steps+2*s*(1-s)/v.along), below(s))
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
