package cohort

import (
	"errors"
	"fmt"
	"math"
	"sync"
)

// ErrVolumes is wrapped when a file holds several volumes and none of them was
// chosen, or one was chosen that it does not hold.
var ErrVolumes = errors.New("several volumes in one file")

// Unchosen is the index of a volume for files that hold only one.
const Unchosen = -1

// chooseVolume returns the volume to read of count many; what describes them,
// such as "shape 17 x 21 x 3 x 20". Which one is the user's decision.
func chooseVolume(what string, count, index int) (int, error) {
	switch {
	case index < 0 && count > 1:
		return 0, fmt.Errorf("%w: %s holds %d; choose one, 0 to %d, by the table's column volume, data.volume in the plan or --volume", ErrVolumes, what, count, count-1)
	case index >= count && count == 1:
		return 0, fmt.Errorf("%w: volume %d was asked for, but %s holds one only, number 0", ErrVolumes, index, what)
	case index >= count:
		return 0, fmt.Errorf("%w: volume %d was asked for, but %s holds 0 to %d", ErrVolumes, index, what, count-1)
	}
	return max(index, 0), nil
}

// A Volume is one image with its geometry.
//
// Voxels are float32 with stored scaling applied, index i fastest:
// Data[i + Shape[0]*(j + Shape[1]*k)]. A 2D image is a Volume with
// Shape[2] = 1, unit spacing when the file states none.
//
// In a photograph-like file (PNG, JPEG, TIFF, BMP) i runs along a row from left to right
// and j from the top row down. Such a file says nothing of anatomy; it is given
// the affine of an axial slice on a radiologist's screen, diag(-1, -1, 1): i
// towards the patient's left, j towards posterior.
type Volume struct {
	Data    []float32
	Shape   [3]int        // voxels along i, j, k
	Affine  [3][4]float64 // voxel index (i, j, k, 1) to RAS+ world coordinates in mm
	Spacing [3]float64    // mm between voxel centres along i, j, k

	// NonFinite counts the voxels that were NaN or infinite in the file. They
	// hold the lowest finite value of the image (0 when there is none).
	NonFinite int
}

// At returns the voxel at (i, j, k).
func (v *Volume) At(i, j, k int) float32 {
	return v.Data[i+v.Shape[0]*(j+v.Shape[1]*k)]
}

// voxelMemory holds slices that Release gave back. A cohort is read image after
// image of similar size; taking fresh memory from the system for each costs as
// much time as converting the voxels.
var voxelMemory sync.Pool

// takeVoxels returns an empty slice with room for at least n voxels.
func takeVoxels(n int) []float32 {
	if data, ok := voxelMemory.Get().(*[]float32); ok && cap(*data) >= n {
		return (*data)[:0]
	}
	return make([]float32, 0, n)
}

// Release gives the voxels' memory back for images that are read later. It need
// not be called; after it Data is nil, and no slice of it may be used any more.
func (v *Volume) Release() {
	if v.Data != nil {
		data := v.Data
		voxelMemory.Put(&data)
	}
	v.Data = nil
}

// Check returns an error when no network can learn from the image:
// ErrNonFinite when more than half of its voxels were not finite, ErrConstant
// when all voxels are equal.
func (v *Volume) Check() error {
	if 2*v.NonFinite > len(v.Data) {
		return fmt.Errorf("%w: %d of %d; give empty space a number, such as 0", ErrNonFinite, v.NonFinite, len(v.Data))
	}
	for _, x := range v.Data {
		if x != v.Data[0] {
			return nil
		}
	}
	return fmt.Errorf("%w: %g", ErrConstant, v.Data[0])
}

// SameGrid returns ErrGeometry, with both shapes or the distance in mm, unless
// the two volumes have one shape and their corner voxels lie at the same place
// in the world within a tenth of a voxel.
func (v *Volume) SameGrid(mask *Volume) error {
	if v.Shape != mask.Shape {
		return fmt.Errorf("%w: the image has %s voxels, the mask %s", ErrGeometry, product(v.Shape[:]), product(mask.Shape[:]))
	}
	worst := farthestCorner(v.Affine, mask.Affine, v.Shape)
	if !(worst <= 0.1*min(v.Spacing[0], v.Spacing[1], v.Spacing[2])) {
		return fmt.Errorf("%w: the mask (%s voxels like the image) lies up to %.3g mm away from the image", ErrGeometry, product(v.Shape[:]), worst)
	}
	return nil
}

// farthestCorner is the largest distance in mm between where two affines put one
// of the eight corner voxels.
func farthestCorner(a, b [3][4]float64, shape [3]int) float64 {
	worst := 0.0
	for corner := range 8 {
		square := 0.0
		for row := range 3 {
			d := a[row][3] - b[row][3]
			for axis := range 3 {
				if corner>>axis&1 == 1 {
					d += (a[row][axis] - b[row][axis]) * float64(shape[axis]-1)
				}
			}
			square += d * d
		}
		worst = max(worst, math.Sqrt(square))
	}
	return worst
}

// replaceNonFinite counts NaN and infinite voxels and gives them the lowest
// finite value.
func (v *Volume) replaceNonFinite() {
	lowest, any := float32(math.Inf(1)), false
	for _, x := range v.Data {
		if x-x != 0 {
			v.NonFinite++
		} else if x < lowest {
			lowest, any = x, true
		}
	}
	if v.NonFinite == 0 {
		return
	}
	if !any {
		lowest = 0
	}
	for n, x := range v.Data {
		if x-x != 0 {
			v.Data[n] = lowest
		}
	}
}

// product writes a shape as "75 x 55 x 25".
func product(shape []int) string {
	text := ""
	for n, size := range shape {
		if n > 0 {
			text += " x "
		}
		text += fmt.Sprint(size)
	}
	return text
}
