package stat

import (
	"cmp"
	"math"
	"slices"
)

// A Bin is the subjects whose predicted probability lies in a range, and how
// often what was predicted came true for them. In a reliability diagram
// Frequency is drawn against Mean; calibrated predictions lie on the diagonal.
type Bin struct {
	Low, High float64 // of the probabilities
	Count     int
	True      int     // of them
	Mean      float64 // probability of its subjects; NaN when there are none
	Frequency float64 // True / Count; NaN when there are none
}

// EqualWidthBins divides [0, 1] into bins of the same width; a probability of 1
// belongs to the last. It is nil when a probability lies outside [0, 1].
// DeGroot and Fienberg, "The comparison and evaluation of forecasters" (The Statistician 1983).
func EqualWidthBins(probability []float64, outcome []bool, bins int) []Bin {
	checkBins(probability, outcome, bins)
	members := make([][]int, bins)
	for i, p := range probability {
		if !(p >= 0 && p <= 1) {
			return nil
		}
		bin := min(bins-1, int(p*float64(bins)))
		members[bin] = append(members[bin], i)
	}
	result := make([]Bin, bins)
	for n := range result {
		result[n] = newBin(float64(n)/float64(bins), float64(n+1)/float64(bins), members[n], probability, outcome)
	}
	return result
}

// EqualMassBins divides the subjects, in the order of their probabilities, into
// bins of the same number, as nearly as can be; equal probabilities stay
// together, so there may be fewer bins. Low and High are the extremes in the
// bin. It is nil without subjects or when a probability lies outside [0, 1].
// Nixon, Dusenberry, Zhang, Jerfel and Tran, "Measuring calibration in deep
// learning" (CVPR workshops 2019).
func EqualMassBins(probability []float64, outcome []bool, bins int) []Bin {
	checkBins(probability, outcome, bins)
	order := make([]int, len(probability))
	for i, p := range probability {
		if !(p >= 0 && p <= 1) {
			return nil
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(probability[a], probability[b]) })
	var result []Bin
	for n, start := 0, 0; n < bins && start < len(order); n++ {
		end := max((n+1)*len(order)/bins, start)
		for end < len(order) && end > 0 && probability[order[end]] == probability[order[end-1]] {
			end++
		}
		if end == start {
			continue
		}
		members := order[start:end]
		result = append(result, newBin(probability[members[0]], probability[members[len(members)-1]], members, probability, outcome))
		start = end
	}
	return result
}

func checkBins(probability []float64, outcome []bool, bins int) {
	if len(probability) != len(outcome) || bins < 1 {
		panic("stat: bins need one outcome per probability, and there must be one")
	}
}

func newBin(low, high float64, members []int, probability []float64, outcome []bool) Bin {
	b := Bin{Low: low, High: high, Count: len(members)}
	sum := 0.0
	for _, i := range members {
		sum += probability[i]
		if outcome[i] {
			b.True++
		}
	}
	b.Mean, b.Frequency = sum/float64(b.Count), float64(b.True)/float64(b.Count)
	return b
}

// BinnedError returns Σ_b n_b/n |mean probability - frequency|: of bins of equal
// width the expected calibration error, see CalibrationError, of bins of equal
// mass the adaptive one. NaN without subjects.
func BinnedError(bins []Bin) float64 {
	sum, count := 0.0, 0
	for _, b := range bins {
		if b.Count > 0 {
			sum += float64(b.Count) * math.Abs(b.Mean-b.Frequency)
			count += b.Count
		}
	}
	return sum / float64(count)
}
