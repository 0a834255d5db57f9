package stat

import "math"

// Bootstrap returns a statistic computed on resampled subjects, draws times.
// Each time sample holds the indices of as many subjects as there are, drawn
// with replacement within each stratum (a subject's class: the split has fixed
// how many there are of each; nil: one stratum). Everything that belongs to a
// subject, its images and predictions, is to be looked up by its index and so
// travels with it: resampling images would call correlated data independent.
// Draw k comes from the stream (seed, "bootstrap", k) and is the same for every
// statistic, so that differences between statistics can be resampled too.
// Efron, "Bootstrap methods: another look at the jackknife" (Annals of
// Statistics 1979); Field and Welsh, "Bootstrapping clustered data" (JRSS B 2007).
func Bootstrap(seed uint64, strata []int, subjects, draws int, statistic func(sample []int) float64) []float64 {
	if strata == nil {
		strata = make([]int, subjects)
	}
	checkLengths(len(strata), subjects)
	var groups [][]int
	for i, stratum := range strata {
		for len(groups) <= stratum {
			groups = append(groups, nil)
		}
		groups[stratum] = append(groups[stratum], i)
	}
	values, sample := make([]float64, draws), make([]int, 0, subjects)
	for k := range values {
		stream := NewStream(seed, "bootstrap", uint64(k))
		sample = sample[:0]
		for _, group := range groups {
			for range group {
				sample = append(sample, group[stream.IntN(len(group))])
			}
		}
		values[k] = statistic(sample)
	}
	return values
}

// ExpandedLevel returns the level at which a percentile interval of resampled
// values is to be taken so that it covers the truth with the given level: the
// plain one is too narrow for few subjects, as the variance of a resample is too
// small by (n-k)/n, with n subjects in k strata, and the normal distribution is
// not Student's:
//
//	Φ(t sqrt(n/(n-k))) - Φ(-t sqrt(n/(n-k))),  t Student's quantile, n-k degrees of freedom
//
// NaN when there are no more subjects than strata.
// Hesterberg, "What teachers should know about the bootstrap" (The American
// Statistician 2015), section 5.3.
func ExpandedLevel(level float64, subjects, strata int) float64 {
	n, freedom := float64(subjects), float64(subjects-strata)
	if freedom < 1 {
		return math.NaN()
	}
	return 2*NormalCDF(StudentQuantile((1+level)/2, freedom)*math.Sqrt(n/freedom)) - 1
}

// PercentileInterval returns the (1-level)/2 and (1+level)/2 quantiles of
// resampled values, those that are NaN left out; NaN when more than one in
// twenty is, or all are the same, since then the resampling says nothing.
func PercentileInterval(values []float64, level float64) (low, high float64) {
	var defined []float64
	for _, x := range values {
		if !math.IsNaN(x) {
			defined = append(defined, x)
		}
	}
	if len(defined) == 0 || 20*len(defined) < 19*len(values) {
		return math.NaN(), math.NaN()
	}
	low, high = Quantile(defined, (1-level)/2), Quantile(defined, (1+level)/2)
	if low == high {
		return math.NaN(), math.NaN()
	}
	return low, high
}
