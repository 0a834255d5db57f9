package stat

import (
	"cmp"
	"math"
	"slices"
)

// AUROC returns the area under the ROC curve of scores for positive subjects
// against negative ones, ties counting one half, with its variance after
// DeLong:
//
//	A = mean over positives of V10 = mean over negatives of V01
//	Var = s²(V10)/m + s²(V01)/n
//
// where the placement value V10 of a positive is the share of negatives that
// score lower, and V01 of a negative the share of positives that score higher.
// A is NaN without both classes or with a NaN score; Var is NaN with fewer
// than two subjects of either class.
// DeLong, DeLong and Clarke-Pearson (Biometrics 1988), by the mid-ranks of Sun
// and Xu (IEEE Signal Processing Letters 2014).
func AUROC(scores []float64, positive []bool) (area, variance float64) {
	placement := Placement(scores, positive)
	var sum, square [2]float64
	var count [2]int
	for i, v := range placement {
		class := 0
		if positive[i] {
			class = 1
		}
		sum[class] += v
		count[class]++
	}
	if count[0] == 0 || count[1] == 0 {
		return math.NaN(), math.NaN()
	}
	for i, v := range placement {
		class := 0
		if positive[i] {
			class = 1
		}
		d := v - sum[class]/float64(count[class])
		square[class] += d * d
	}
	area = sum[1] / float64(count[1])
	if count[0] < 2 || count[1] < 2 {
		return area, math.NaN()
	}
	for class, n := range count {
		variance += square[class] / float64(n-1) / float64(n)
	}
	return area, variance
}

// Placement returns every subject's placement value: for a positive the share
// of negatives that score lower, for a negative the share of positives that
// score higher, ties counting one half. All are NaN when a class is missing or
// a score is NaN.
func Placement(scores []float64, positive []bool) []float64 {
	if len(scores) != len(positive) {
		panic("stat: Placement needs as many labels as scores")
	}
	n := len(scores)
	order := make([]int, n)
	placement := make([]float64, n)
	positives, undefined := 0, false
	for i := range order {
		order[i] = i
		if positive[i] {
			positives++
		}
		undefined = undefined || math.IsNaN(scores[i])
	}
	if undefined || positives == 0 || positives == n {
		for i := range placement {
			placement[i] = math.NaN()
		}
		return placement
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	negatives := n - positives
	lower := [2]int{} // negatives and positives with lower scores
	for start := 0; start < n; {
		end, tied := start, [2]int{}
		for ; end < n && scores[order[end]] == scores[order[start]]; end++ {
			if positive[order[end]] {
				tied[1]++
			} else {
				tied[0]++
			}
		}
		for _, i := range order[start:end] {
			if positive[i] {
				placement[i] = (float64(lower[0]) + float64(tied[0])/2) / float64(negatives)
			} else {
				placement[i] = (float64(positives-lower[1]) - float64(tied[1])/2) / float64(positives)
			}
		}
		lower[0] += tied[0]
		lower[1] += tied[1]
		start = end
	}
	return placement
}

// MidRanks returns the ranks of values from 1, equal values sharing the mean
// of their ranks; NaNs rank after all others in an unspecified order.
func MidRanks(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if nanA, nanB := math.IsNaN(values[a]), math.IsNaN(values[b]); nanA || nanB {
			return cmp.Compare(indicator(nanA), indicator(nanB))
		}
		return cmp.Compare(values[a], values[b])
	})
	ranks := make([]float64, len(values))
	for start := 0; start < len(order); {
		end := start + 1
		for end < len(order) && values[order[end]] == values[order[start]] {
			end++
		}
		for _, i := range order[start:end] {
			ranks[i] = float64(start+1+end) / 2
		}
		start = end
	}
	return ranks
}
