package prep

import (
	"math"
	"slices"
)

// sortKey maps a float32 to a number that sorts alike.
func sortKey(x float32) uint32 {
	bits := math.Float32bits(x)
	// All bits of a negative number are turned over, of another only the sign.
	return bits ^ (uint32(int32(bits)>>31) | 1<<31)
}

func fromSortKey(key uint32) float32 {
	if key>>31 == 1 {
		return math.Float32frombits(key &^ (1 << 31))
	}
	return math.Float32frombits(^key)
}

// A bin is the numbers whose sort keys have the same upper half.
type bin struct {
	upper  uint32
	before int      // how many numbers are below the bin
	counts []uint32 // by lower half
}

// few is how many numbers are sooner sorted than counted.
const few = 1 << 14

// orderStatistics returns the numbers of the given ranks, counted from 0. Many
// numbers are not sorted: it counts the upper halves of all sort keys, then the
// lower halves in the bins that hold the ranks.
func orderStatistics(data []float32, ranks []int) []float32 {
	if len(data) <= few {
		return sortedStatistics(data, ranks)
	}
	counts := make([]uint32, 1<<16)
	for _, x := range data {
		counts[sortKey(x)>>16]++
	}
	bins := binsOf(counts, ranks)
	slot := make([]uint8, 1<<16) // of each upper half, the number of its bin, from 1
	for n, b := range bins {
		slot[b.upper] = uint8(n + 1)
	}
	for _, x := range data {
		key := sortKey(x)
		if n := slot[key>>16]; n > 0 {
			bins[n-1].counts[key&0xffff]++
		}
	}
	found := make([]float32, len(ranks))
	for n, rank := range ranks {
		last := len(bins) - 1
		for bins[last].before > rank {
			last--
		}
		found[n] = bins[last].at(rank - bins[last].before)
	}
	return found
}

func sortedStatistics(data []float32, ranks []int) []float32 {
	keys := make([]uint32, len(data))
	for n, x := range data {
		keys[n] = sortKey(x)
	}
	slices.Sort(keys)
	found := make([]float32, len(ranks))
	for n, rank := range ranks {
		found[n] = fromSortKey(keys[rank])
	}
	return found
}

// binsOf returns the bins that hold the ranks, in order.
func binsOf(counts []uint32, ranks []int) []bin {
	var bins []bin
	wanted := slices.Sorted(slices.Values(ranks))
	before := 0
	for upper, count := range counts {
		within := 0
		for within < len(wanted) && wanted[within] < before+int(count) {
			within++
		}
		if within > 0 {
			bins = append(bins, bin{uint32(upper), before, make([]uint32, 1<<16)})
			wanted = wanted[within:]
		}
		before += int(count)
	}
	return bins
}

// at returns the number of a rank within the bin.
func (b *bin) at(rank int) float32 {
	for lower, count := range b.counts {
		if rank < int(count) {
			return fromSortKey(b.upper<<16 | uint32(lower))
		}
		rank -= int(count)
	}
	panic("prep: a rank beyond its bin")
}

// percentiles returns percentiles, 0 to 100, of numbers, of which there must be
// one. Between two ranks they are interpolated linearly, as by numpy.percentile:
// rank p/100 (n - 1), counted from 0.
func percentiles(data []float32, p []float64) []float64 {
	var ranks []int
	var shares []float64
	for _, percent := range p {
		rank := float64(percent / 100 * float64(len(data)-1))
		low := int(math.Floor(rank))
		ranks = append(ranks, low, min(low+1, len(data)-1))
		shares = append(shares, rank-float64(low))
	}
	found := orderStatistics(data, ranks)
	values := make([]float64, len(p))
	for n, share := range shares {
		low, high := float64(found[2*n]), float64(found[2*n+1])
		values[n] = low + float64(share*(high-low))
	}
	return values
}
