package prep

import "ballast/cohort"

// A Ground tells the body from the empty space of an image.
type Ground struct {
	// Background is the value of empty space: that of the corner voxels when
	// more than half of the eight agree, else the lowest of the image.
	Background float32

	threshold float32
	padded    bool // empty space is not the darkest part: anything else is body
}

// inMask is the Ground by which the voxels of a mask are body.
var inMask = Ground{}

// Foreground examines an image. A voxel belongs to the body when it is brighter
// than a tenth of the way from the 2nd to the 98th percentile of all voxels, the
// rule by which FSL's FEAT tells brain from background. When the background lies
// above that (an image that was normalised before, padded with zeros), every
// voxel of another value does.
func Foreground(v *cohort.Volume) Ground {
	last := float64(len(v.Data) - 1)
	found := orderStatistics(v.Data, []int{0, int(0.02 * last), int(0.98 * last)})
	low, high := float64(found[1]), float64(found[2])
	g := Ground{Background: cornerValue(v, found[0])}
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
