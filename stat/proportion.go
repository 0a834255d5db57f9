package stat

import (
	"math"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"
)

// NormalQuantile returns z with P(Z <= z) = p for a standard normal Z:
// -Inf at p = 0, +Inf at p = 1, NaN outside [0, 1].
func NormalQuantile(p float64) float64 {
	if !(p >= 0 && p <= 1) {
		return math.NaN()
	}
	return distuv.UnitNormal.Quantile(p)
}

// NormalCDF returns P(Z <= z) for a standard normal Z.
func NormalCDF(z float64) float64 { return 0.5 * math.Erfc(-z/math.Sqrt2) }

// StudentQuantile returns t with P(T <= t) = p for Student's T with the given
// degrees of freedom (> 0; +Inf gives the normal quantile): -Inf at p = 0,
// +Inf at p = 1, NaN for other values.
func StudentQuantile(p, freedom float64) float64 {
	switch {
	case math.IsInf(freedom, 1):
		return NormalQuantile(p)
	case !(freedom > 0) || !(p >= 0 && p <= 1):
		return math.NaN()
	case p == 0 || p == 1:
		return math.Inf(int(2*p) - 1)
	}
	return distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}.Quantile(p)
}

// FQuantile returns x with P(F <= x) = p for the F distribution with a and b
// degrees of freedom (> 0, b may be +Inf): b y / (a (1 - y)) with y the
// p-quantile of the beta distribution of a/2 and b/2. It is NaN for p outside
// [0, 1] and degrees of freedom that are not positive.
func FQuantile(p, a, b float64) float64 {
	if !(p >= 0 && p <= 1 && a > 0 && b > 0) || math.IsInf(a, 1) {
		return math.NaN()
	}
	b = math.Min(b, 1e7) // beyond which the quantile no longer changes visibly
	y := mathext.InvRegIncBeta(a/2, b/2, p)
	return b * y / (a * (1 - y))
}

// Wilson returns the score interval of a proportion, k successes of n:
//
//	(k + z²/2 ± z sqrt(k (n-k) / n + z²/4)) / (n + z²)
//
// with z the normal quantile of (1 + level) / 2. k may be a fraction (a mean
// over correlated looks at the same n subjects, for which the interval is
// conservative). It is [0, 1] at n = 0 and NaN for n < 0 or k outside [0, n].
// Wilson, "Probable inference, the law of succession, and statistical
// inference" (JASA 1927); recommended by Brown, Cai and DasGupta (2001).
func Wilson(k, n, level float64) (low, high float64) {
	if !(n >= 0 && k >= 0 && k <= n) {
		return math.NaN(), math.NaN()
	}
	if n == 0 {
		return 0, 1
	}
	z := NormalQuantile((1 + level) / 2)
	centre := k + z*z/2
	half := z * math.Sqrt(k*(n-k)/n+z*z/4)
	return math.Max(0, (centre-half)/(n+z*z)), math.Min(1, (centre+half)/(n+z*z))
}

// ClopperPearson returns the exact interval of a proportion: the p at which
// the two tails P(X >= k) and P(X <= k) of the binomial distribution are
// (1 - level) / 2 each, which are quantiles of beta distributions. The low end
// is 0 at k = 0, the high end 1 at k = n.
// Clopper and Pearson, "The use of confidence or fiducial limits" (Biometrika 1934).
func ClopperPearson(k, n int, level float64) (low, high float64) {
	if n < 0 || k < 0 || k > n {
		return math.NaN(), math.NaN()
	}
	tail := (1 - level) / 2
	low, high = 0, 1
	if k > 0 {
		low = mathext.InvRegIncBeta(float64(k), float64(n-k+1), tail)
	}
	if k < n {
		high = mathext.InvRegIncBeta(float64(k+1), float64(n-k), 1-tail)
	}
	return low, high
}

// BinomialTail returns P(X >= k) for X binomial with n trials of probability
// p, the one-sided exact p-value of k successes: the regularised incomplete
// beta function I_p(k, n-k+1). It is 1 for k <= 0 and 0 for k > n.
func BinomialTail(k, n int, p float64) float64 {
	switch {
	case n < 0 || !(p >= 0 && p <= 1):
		return math.NaN()
	case k <= 0:
		return 1
	case k > n:
		return 0
	}
	return mathext.RegIncBeta(float64(k), float64(n-k+1), p)
}

// BinomialTest returns the two-sided exact p-value of k successes in n trials
// of probability p: the probability of all outcomes no likelier than k (with a
// relative tolerance of 1e-7 for ties, as R's binom.test and scipy do).
func BinomialTest(k, n int, p float64) float64 {
	if n < 0 || k < 0 || k > n || !(p >= 0 && p <= 1) {
		return math.NaN()
	}
	observed := binomialProbability(k, n, p)
	sum := 0.0
	for j := 0; j <= n; j++ {
		if q := binomialProbability(j, n, p); q <= observed*(1+1e-7) {
			sum += q
		}
	}
	return math.Min(1, sum)
}

func binomialProbability(k, n int, p float64) float64 {
	switch {
	case p == 0:
		return indicator(k == 0)
	case p == 1:
		return indicator(k == n)
	}
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return math.Exp(a - b - c + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

func indicator(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}

// LeastSignificant returns the least k with P(X >= k) <= alpha under n trials
// of probability p: how many subjects must be right before guessing is
// refuted. It is n + 1 where no result would do.
// Combrisson and Jerbi, "Exceeding chance level by chance" (J Neurosci Methods 2015).
func LeastSignificant(n int, p, alpha float64) int {
	low, high := 0, n+1 // BinomialTail falls with k
	for low < high {
		middle := (low + high) / 2
		if BinomialTail(middle, n, p) <= alpha {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

// McNemar returns the exact two-sided p-value of McNemar's test: whether
// changes from right to wrong (b) and from wrong to right (c) are equally
// likely, a binomial test of b in b + c at one half. It is 1 at b + c = 0.
// McNemar (Psychometrika 1947).
func McNemar(b, c int) float64 {
	if b < 0 || c < 0 {
		return math.NaN()
	}
	return math.Min(1, 2*BinomialTail(max(b, c), b+c, 0.5))
}

// BinomialRange returns the expected maximum and the expected range (maximum -
// minimum) of draws independent binomial counts of n trials of probability p,
// as shares of n:
//
//	E max = Σ_k 1 - F(k)^T,   E min = Σ_k (1 - F(k))^T   (k = 0..n-1)
//
// with F the distribution function. It is what a curve of T epochs would do if
// every epoch drew new subjects at a constant accuracy p.
func BinomialRange(n int, p float64, draws int) (maximum, span float64) {
	if n < 1 || draws < 1 || !(p >= 0 && p <= 1) {
		return math.NaN(), math.NaN()
	}
	cumulative, minimum := 0.0, 0.0
	for k := range n {
		cumulative = math.Min(1, cumulative+binomialProbability(k, n, p))
		maximum += 1 - math.Pow(cumulative, float64(draws))
		minimum += math.Pow(1-cumulative, float64(draws))
	}
	return maximum / float64(n), (maximum - minimum) / float64(n)
}
