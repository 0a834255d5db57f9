package engine

import (
	"math"
	"slices"
)

// Median returns the median, 0 of nothing.
func Median(values []float64) float64 { return quantile(values, 0.5) }

// Quartiles returns the lower and the upper quartile.
func Quartiles(values []float64) (low, high float64) {
	return quantile(values, 0.25), quantile(values, 0.75)
}

// quantile interpolates between the sorted values, the first of which is
// quantile 0 and the last 1.
func quantile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	whole, part := math.Modf(share * float64(len(sorted)-1))
	at := sorted[int(whole)]
	if part == 0 {
		return at
	}
	return at + part*(sorted[int(whole)+1]-at)
}
