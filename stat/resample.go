package stat

import (
	"math"
	"slices"
)

// JackknifeCovariance returns the delete-one jackknife estimate of the
// covariance of two estimates, from their values with each of n subjects left
// out in turn:
//
//	(n-1)/n Σ_i (a_i - mean a)(b_i - mean b)
//
// With a and b the same it is the jackknife variance. It is NaN for fewer than
// two values. Efron and Stein, "The jackknife estimate of variance" (Annals of
// Statistics 1981).
func JackknifeCovariance(a, b []float64) float64 {
	if len(a) != len(b) {
		panic("stat: JackknifeCovariance needs as many values of both estimates")
	}
	if len(a) < 2 {
		return math.NaN()
	}
	n := float64(len(a))
	meanA, meanB := 0.0, 0.0
	for i := range a {
		meanA += a[i] / n
		meanB += b[i] / n
	}
	sum := 0.0
	for i := range a {
		sum += (a[i] - meanA) * (b[i] - meanB)
	}
	return sum * (n - 1) / n
}

// Quantile returns the p-quantile of values by linear interpolation between
// order statistics (type 7 of Hyndman and Fan, the default of R and NumPy).
// It is NaN for no values, a NaN among them, or p outside [0, 1]; values stay
// as they are.
func Quantile(values []float64, p float64) float64 {
	if len(values) == 0 || !(p >= 0 && p <= 1) || slices.ContainsFunc(values, math.IsNaN) {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	position := p * float64(len(sorted)-1)
	low := int(position)
	if low == len(sorted)-1 {
		return sorted[low]
	}
	return sorted[low] + (position-float64(low))*(sorted[low+1]-sorted[low])
}

// Resample fills counts with how often each of len(counts) subjects is drawn
// in one bootstrap sample of as many, with replacement.
// Efron, "Bootstrap methods: another look at the jackknife" (Annals of Statistics 1979).
func Resample(s *Stream, counts []int) {
	clear(counts)
	for range counts {
		counts[s.IntN(len(counts))]++
	}
}

// PermutationP returns the one-sided p-value of an observed statistic against
// its values under permuted labels, (1 + #{null >= observed}) / (1 + #null),
// which never is zero. Values equal within a relative 1e-12 count as equal.
// Phipson and Smyth, "Permutation p-values should never be zero" (2010).
func PermutationP(observed float64, null []float64) float64 {
	atLeast := 1
	for _, x := range null {
		if x >= observed-float64(1e-12*math.Abs(observed)) {
			atLeast++
		}
	}
	return float64(atLeast) / float64(1+len(null))
}

// Newcombe returns the interval of the difference of two independent
// proportions ka/na - kb/nb by the hybrid score method: with the Wilson
// intervals of both,
//
//	d - sqrt((a - lowA)² + (highB - b)²), d + sqrt((highA - a)² + (b - lowB)²)
//
// Newcombe, "Interval estimation for the difference between independent
// proportions" (Statistics in Medicine 1998), method 10.
func Newcombe(ka, na, kb, nb, level float64) (low, high float64) {
	lowA, highA := Wilson(ka, na, level)
	lowB, highB := Wilson(kb, nb, level)
	a, b := ka/na, kb/nb
	return a - b - math.Hypot(a-lowA, highB-b), a - b + math.Hypot(highA-a, b-lowB)
}

// CalibrationError returns the expected calibration error: subjects are put
// into bins of equal width by their confidence, and the differences between
// the mean confidence and the share correct of each bin are averaged with the
// bins' sizes as weights. A confidence of 1 belongs to the last bin. It is NaN
// without subjects. Its expectation is above zero even for perfect
// calibration, the more so the fewer subjects.
// Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks" (ICML 2017).
func CalibrationError(confidence []float64, correct []bool, bins int) float64 {
	if len(confidence) != len(correct) || bins < 1 {
		panic("stat: CalibrationError needs one outcome per confidence and a bin")
	}
	if len(confidence) == 0 {
		return math.NaN()
	}
	excess := make([]float64, bins)
	for i, p := range confidence {
		if !(p >= 0 && p <= 1) {
			return math.NaN()
		}
		bin := min(bins-1, int(p*float64(bins)))
		excess[bin] += p
		if correct[i] {
			excess[bin]--
		}
	}
	sum := 0.0
	for _, x := range excess {
		sum += math.Abs(x)
	}
	return sum / float64(len(confidence))
}
