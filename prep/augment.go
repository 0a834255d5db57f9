package prep

import (
	"fmt"
	"slices"
	"strings"

	"ballast/stat"
)

// flips names the axes that an augmentation may flip, in the order D, H, W. In
// a 2D image they are the axes of an axial slice: "left-right" is W, whatever
// the slice shows.
var flips = [3]string{"superior-inferior", "anterior-posterior", "left-right"}

// An Augmentation is a family of random changes that keep the label.
type Augmentation struct {
	Flip  []string // "left-right", "anterior-posterior", "superior-inferior": each with probability 1/2
	Shift int      // at most so many voxels along each axis, either way
}

// A Draw is the parameters of one augmentation: what a run records to replay it.
type Draw struct {
	Flip  [3]bool // along D, H, W
	Shift [3]int  // voxels towards larger D, H, W
}

// Check returns an error that names the first setting that cannot be used.
func (a Augmentation) Check() error {
	for _, name := range a.Flip {
		if !slices.Contains(flips[:], name) {
			return fmt.Errorf("augment: flip %q: choose among %s", name, strings.Join(flips[:], ", "))
		}
	}
	if a.Shift < 0 || a.Shift > 1<<15 {
		return fmt.Errorf("augment: shift of %d voxels: choose 0 or more", a.Shift)
	}
	return nil
}

// Draw draws parameters: for D, H, W in turn the flip, if it is named, then the
// shift, if there is one. It panics if Check would return an error.
func (a Augmentation) Draw(s *stat.Stream) (d Draw) {
	if err := a.Check(); err != nil {
		panic(err)
	}
	for axis, name := range flips {
		if slices.Contains(a.Flip, name) {
			d.Flip[axis] = s.IntN(2) == 1
		}
		if a.Shift > 0 {
			d.Shift[axis] = s.IntN(2*a.Shift+1) - a.Shift
		}
	}
	return d
}

// Apply writes the flipped, then shifted image to dst, which has the length of
// src.Data and does not overlap it. Voxels that a shift brings in from outside
// are src.Background. In a 2D image (D = 1) the depth is left as it is. Apply
// panics if the lengths differ.
func Apply(dst []float32, src *Image, d Draw) {
	if len(dst) != len(src.Data) || len(dst) != src.C*src.D*src.H*src.W {
		panic(fmt.Sprintf("prep: Apply to %d voxels of an image of %d", len(dst), len(src.Data)))
	}
	if src.D == 1 {
		d.Flip[0], d.Shift[0] = false, 0
	}
	size := [3]int{src.D, src.H, src.W}
	// from[axis] is where the voxel at index 0 comes from, step the way onwards.
	var from, step [3]int
	for axis := range 3 {
		from[axis], step[axis] = -d.Shift[axis], 1
		if d.Flip[axis] {
			from[axis], step[axis] = size[axis]-1+d.Shift[axis], -1
		}
	}
	row := 0
	for channel := range src.C {
		for z := range src.D {
			for y := range src.H {
				fromZ, fromY := from[0]+step[0]*z, from[1]+step[1]*y
				out := dst[row : row+src.W]
				row += src.W
				if fromZ < 0 || fromZ >= src.D || fromY < 0 || fromY >= src.H {
					for x := range out {
						out[x] = src.Background
					}
					continue
				}
				in := src.Data[((channel*src.D+fromZ)*src.H+fromY)*src.W:][:src.W]
				for x, at := 0, from[2]; x < src.W; x, at = x+1, at+step[2] {
					if at < 0 || at >= src.W {
						out[x] = src.Background
					} else {
						out[x] = in[at]
					}
				}
			}
		}
	}
}
