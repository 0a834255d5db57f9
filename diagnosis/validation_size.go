package diagnosis

import (
	"fmt"
	"math"
	"slices"
)

// A ValidationSize is what the accuracies of a log say about the number of
// cases that were validated on.
type ValidationSize struct {
	Cases  int    // the smallest number that explains every accuracy; 0 when it cannot be told
	Digits int    // decimals of the shares as printed; 0 when they are not rounded
	Values int    // different accuracies between 0 and 1
	Why    string // why it cannot be told
}

const (
	leastValues   = 5       // different accuracies; fewer fit too many sizes
	mostCases     = 100_000 // beyond which not even six digits tell sizes apart
	luckyFit      = 0.01    // expected number of sizes that fit by luck, up to the one found
	mostDigits    = 6       // decimals; more are what a float32 holds
	floatRounding = 1e-7    // of a share kept as a float32
)

// InferValidationSize returns the smallest n for which all accuracies are k/n
// within their printed precision. The set may hold a multiple of n, if every
// accuracy happens to be one of the smaller set.
//
// A number of d decimals is within rounding of some k/n with probability
// min(1, n / 10^d), so m different ones all are by luck with the m-th power of
// it. Where the sum of these over the sizes up to n exceeds luckyFit the size
// cannot be told; nor beyond half of 10^d, where neighbouring numbers fit
// together and luck is no power any more. Averages over batches of unequal size
// and measures other than accuracy fit no n or a very large one.
func InferValidationSize(accuracies []float64) ValidationSize {
	var values []float64
	for _, a := range accuracies {
		if isFinite(a) && a > 0 && a < 1 {
			values = append(values, a)
		}
	}
	slices.Sort(values)
	values = slices.Compact(values)
	size := ValidationSize{Digits: printedDigits(values), Values: len(values)}
	tolerance := floatRounding
	if size.Digits > 0 {
		tolerance = 0.5*math.Pow10(-size.Digits)*(1+1e-6) + 1e-9
	}
	if size.Values < leastValues {
		size.Why = fmt.Sprintf("the accuracy takes only %d different values; %d are needed", size.Values, leastValues)
		return size
	}
	lucky := 0.0
	for n := 1; n <= mostCases; n++ {
		lucky += math.Pow(math.Min(1, 2*tolerance*float64(n)), float64(size.Values))
		if lucky > luckyFit || 2*tolerance*float64(n) > 0.5 {
			size.Why = fmt.Sprintf("%d different accuracies of %s do not tell sets of %d cases or more apart", size.Values, size.precision(), n)
			return size
		}
		if fits(values, n, tolerance) {
			size.Cases = n
			return size
		}
	}
	size.Why = fmt.Sprintf("no set of up to %d cases gives these accuracies; they may be averages over batches", mostCases)
	return size
}

func (s *ValidationSize) precision() string {
	switch s.Digits {
	case 0:
		return "full precision"
	case 1:
		return "1 decimal"
	}
	return fmt.Sprintf("%d decimals", s.Digits)
}

func fits(values []float64, n int, tolerance float64) bool {
	for _, a := range values {
		if math.Abs(a-math.Round(a*float64(n))/float64(n)) > tolerance {
			return false
		}
	}
	return true
}

// printedDigits is the least number of decimals, up to mostDigits, that writes
// every share; 0 when there is none.
func printedDigits(values []float64) int {
	for d := 1; d <= mostDigits; d++ {
		unit := math.Pow10(-d)
		if !slices.ContainsFunc(values, func(a float64) bool { return math.Abs(a-math.Round(a/unit)*unit) > 4e-8 }) {
			return d
		}
	}
	return 0
}
