package diagnosis

import "math"

// A variance is the jitter of one curve, squared, split by the formulas of
// docs/budget.md into what an infinite validation set would still show and
// what comes from having n subjects, together with the values these take when
// each subject is left out in turn.
type variance struct {
	model, finite               float64   // J² - V_n and V_n
	modelWithout, finiteWithout []float64 // both for a set of n subjects, estimated without subject i
}

func (v *variance) total() float64 { return v.model + v.finite }

// totalWithout is J² of a set of n subjects estimated without subject i.
func (v *variance) totalWithout(i int) float64 { return v.modelWithout[i] + v.finiteWithout[i] }

// meanJitter computes the variance of the curve of means of a panel over the
// given steps (pairs of epochs).
//
// With D the step of the mean over n subjects and e_i subject i's deviation
// from it, V_n = ½ mean Σ e_i² / (n (n-1)) and J² = ½ mean D². A subject that
// was evaluated at one end of a step only contributes by the linear form of
// the ratio of sums. It returns nil when there are fewer than 3 subjects or no
// steps.
func meanJitter(p *panel, steps [][2]int) *variance {
	n := float64(p.subjects)
	if p.subjects < 3 || len(steps) == 0 {
		return nil
	}
	v := &variance{modelWithout: make([]float64, p.subjects), finiteWithout: make([]float64, p.subjects)}
	square := make([]float64, p.subjects) // e_i²
	step := make([]float64, p.subjects)   // step of the curve without subject i
	for _, s := range steps {
		d, ok := stepWithout(p.values[s[0]], p.values[s[1]], step, square)
		if !ok {
			return nil
		}
		sum := 0.0
		for _, e := range square {
			sum += e
		}
		finite := sum / (n * (n - 1))
		v.finite += finite
		v.model += d*d - finite
		for i, e := range square {
			// s² of the others, by the identity for a mean updated by one.
			spread := math.Max(0, sum-e*n/(n-1)) / (n - 2)
			v.finiteWithout[i] += spread / n
			v.modelWithout[i] += step[i]*step[i] - spread/(n-1)
		}
	}
	v.scale(1 / (2 * float64(len(steps))))
	return v
}

func (v *variance) scale(f float64) {
	v.model *= f
	v.finite *= f
	for i := range v.modelWithout {
		v.modelWithout[i] *= f
		v.finiteWithout[i] *= f
	}
}

// stepWithout returns the step of the mean from one epoch to the next, and
// writes the step without each subject and the square of each subject's
// deviation, scaled so that complete data give (Delta_i - D)². It fails when
// an epoch has no subject.
func stepWithout(from, to, without, square []float64) (step float64, ok bool) {
	sumFrom, weightFrom := total(from)
	sumTo, weightTo := total(to)
	if weightFrom == 0 || weightTo == 0 {
		return 0, false
	}
	n := float64(len(from))
	a, b := sumFrom/weightFrom, sumTo/weightTo
	for i := range from {
		deviation, a1, b1 := 0.0, a, b
		if x := from[i]; !math.IsNaN(x) {
			deviation -= (x - a) / weightFrom
			a1 = without1(sumFrom, weightFrom, x, a)
		}
		if x := to[i]; !math.IsNaN(x) {
			deviation += (x - b) / weightTo
			b1 = without1(sumTo, weightTo, x, b)
		}
		without[i] = b1 - a1
		square[i] = deviation * deviation * n * n
	}
	return b - a, true
}

// without1 is the mean without x, or the mean itself when x is all there is.
func without1(sum, weight, x, mean float64) float64 {
	if weight < 2 {
		return mean
	}
	return (sum - x) / (weight - 1)
}

// total returns the sum and the number of values that are not NaN.
func total(values []float64) (sum, count float64) {
	for _, x := range values {
		if !math.IsNaN(x) {
			sum += x
			count++
		}
	}
	return sum, count
}
