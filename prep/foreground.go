package prep

import (
	"math"

	"ballast/cohort"
)

// A Ground tells the body from the empty space of an image.
type Ground struct {
	// Background is the value of empty space: that of the corner voxels when
	// more than half of the eight agree, else the lowest of the image.
	Background float32

	threshold float32
	padded    bool // empty space is not the darkest part: anything else is body
}

// Foreground examines an image. A voxel belongs to the body when it is brighter
// than a tenth of the way from the 2nd to the 98th percentile of all voxels, the
// rule by which FSL's FEAT tells brain from background. When the background lies
// above that (an image that was normalised before, padded with zeros), every
// voxel of another value does.
func Foreground(v *cohort.Volume) Ground {
	keys := newSelection(v.Data)
	low, high := float64(keys.quantile(0.02)), float64(keys.quantile(0.98))
	g := Ground{Background: cornerValue(v, keys.quantile(0))}
	g.threshold = float32(low + float64(0.1*(high-low)))
	if high <= low { // 96 % of the image is one value
		g.threshold = g.Background
	}
	g.padded = g.Background > g.threshold
	return g
}

// Contains tells whether a value is that of a voxel of the body.
func (g Ground) Contains(x float32) bool {
	if g.padded {
		return x != g.Background
	}
	return x > g.threshold
}

func cornerValue(v *cohort.Volume, lowest float32) float32 {
	var corners [8]float32
	for n := range corners {
		corners[n] = v.At((n&1)*(v.Shape[0]-1), (n>>1&1)*(v.Shape[1]-1), (n>>2&1)*(v.Shape[2]-1))
	}
	for _, x := range corners {
		agree := 0
		for _, y := range corners {
			if x == y {
				agree++
			}
		}
		if agree > 4 {
			return x
		}
	}
	return lowest
}

// A selection finds order statistics of float32 numbers without sorting them:
// it counts the upper 16 bits of keys that sort like the numbers, then the lower
// 16 bits within the one bin that holds the wanted rank.
type selection struct {
	data   []float32
	counts []int
}

// sortKey maps a float32 to a number that sorts alike.
func sortKey(x float32) uint32 {
	bits := math.Float32bits(x)
	if bits>>31 == 1 {
		return ^bits
	}
	return bits | 1<<31
}

func newSelection(data []float32) *selection {
	s := &selection{data, make([]int, 1<<16)}
	for _, x := range data {
		s.counts[sortKey(x)>>16]++
	}
	return s
}

// quantile returns the number of rank floor(q (n - 1)), counted from 0.
func (s *selection) quantile(q float64) float32 {
	rank := int(q * float64(len(s.data)-1))
	upper := uint32(0)
	for rank >= s.counts[upper] {
		rank -= s.counts[upper]
		upper++
	}
	counts := make([]int, 1<<16)
	for _, x := range s.data {
		if key := sortKey(x); key>>16 == upper {
			counts[key&0xffff]++
		}
	}
	lower := uint32(0)
	for rank >= counts[lower] {
		rank -= counts[lower]
		lower++
	}
	key := upper<<16 | lower
	if key>>31 == 1 {
		return math.Float32frombits(key &^ (1 << 31))
	}
	return math.Float32frombits(^key)
}
