package prep

import (
	"fmt"
	"slices"

	"ballast/cohort"
)

// An axis is one of D, H, W seen in a volume.
type axis struct {
	voxel    int  // 0, 1, 2 for i, j, k
	reversed bool // runs against the voxel index
	size     int  // voxels
	stride   int  // of Data between neighbours along the axis, negative when reversed
	spacing  float64
}

// orient finds D, H and W in a volume (see Image for their directions). The
// axis of a 2D image along which it is one voxel thick is D. With "stored" W, H
// and D run as i, j and k.
func orient(v *cohort.Volume, dims int, how string) (axes [3]axis, err error) {
	thin := thinAxis(v)
	if thin >= 0 && dims == 3 {
		return axes, fmt.Errorf("the image is 2D (%d x %d x %d voxels), but the plan asks for 3D", v.Shape[0], v.Shape[1], v.Shape[2])
	}
	world, reversed := v.Orientation()
	onScreen := dims == 2 // the screen shows W and H running to the left, to posterior or down
	if how == "stored" {
		world, reversed, onScreen = [3]int{0, 1, 2}, [3]bool{}, false
	}
	if thin < 0 {
		for voxel := range 3 {
			if world[voxel] == 2 {
				thin = voxel
			}
		}
	}
	first, second := (thin+1)%3, (thin+2)%3
	if world[first] > world[second] {
		first, second = second, first
	}
	strides := [3]int{1, v.Shape[0], v.Shape[0] * v.Shape[1]}
	for n, voxel := range [3]int{thin, second, first} {
		if mm := v.Spacing[voxel]; !(mm >= 1e-3 && mm <= 1e3) {
			return axes, fmt.Errorf("voxels of %.3g mm are no MRI: correct the spacing or its unit in the header", mm)
		}
		backwards := reversed[voxel] != (onScreen && n > 0)
		axes[n] = axis{voxel, backwards, v.Shape[voxel], strides[voxel], v.Spacing[voxel]}
		if backwards {
			axes[n].stride = -strides[voxel]
		}
	}
	return axes, nil
}

// thinAxis returns the axis along which a 2D image is one voxel thick, k if
// there are several, -1 in 3D.
func thinAxis(v *cohort.Volume) int {
	for voxel := 2; voxel >= 0; voxel-- {
		if v.Shape[voxel] == 1 {
			return voxel
		}
	}
	return -1
}

// origin returns the index in Data of the voxel where D, H and W start.
func origin(axes [3]axis) int {
	start := 0
	for _, a := range axes {
		if a.reversed {
			start -= a.stride * (a.size - 1)
		}
	}
	return start
}

// A box is a range of voxels along D, H, W, both ends inside.
type box struct{ low, high [3]int }

// cropBox returns the box that a crop is centred on. The mask has been checked.
func cropBox(v, mask *cohort.Volume, crop string, axes [3]axis, ground Ground) (box, error) {
	switch crop {
	case "mask":
		b, ok := bounds(mask, axes, inMask)
		if !ok {
			return box{}, cohort.ErrEmptyMask
		}
		return b, nil
	case "foreground":
		if b, ok := bounds(v, axes, ground); ok {
			return b, nil
		}
	}
	return box{high: [3]int{axes[0].size - 1, axes[1].size - 1, axes[2].size - 1}}, nil
}

// bounds returns the smallest box that holds every voxel of the body.
func bounds(v *cohort.Volume, axes [3]axis, body Ground) (box, bool) {
	low, high := v.Shape, [3]int{-1, -1, -1}
	for k := range v.Shape[2] {
		for j := range v.Shape[1] {
			start := v.Shape[0] * (j + v.Shape[1]*k)
			row := v.Data[start : start+v.Shape[0]]
			first := 0
			for first < len(row) && !body.Contains(row[first]) {
				first++
			}
			if first == len(row) {
				continue
			}
			last := len(row) - 1
			for !body.Contains(row[last]) {
				last--
			}
			low[0], high[0] = min(low[0], first), max(high[0], last)
			low[1], high[1] = min(low[1], j), max(high[1], j)
			low[2], high[2] = min(low[2], k), max(high[2], k)
		}
	}
	var b box
	for n, a := range axes {
		b.low[n], b.high[n] = low[a.voxel], high[a.voxel]
		if a.reversed {
			b.low[n], b.high[n] = a.size-1-high[a.voxel], a.size-1-low[a.voxel]
		}
	}
	return b, high[0] >= 0
}

// largestSlice returns the slice across an axis that has the most voxels of the
// mask, the first of equals along the axis.
func largestSlice(mask *cohort.Volume, across axis) (slice int, found bool) {
	area := make([]int, across.size)
	for k := range mask.Shape[2] {
		for j := range mask.Shape[1] {
			start := mask.Shape[0] * (j + mask.Shape[1]*k)
			for i, x := range mask.Data[start : start+mask.Shape[0]] {
				if inMask.Contains(x) {
					area[[3]int{i, j, k}[across.voxel]]++
				}
			}
		}
	}
	if across.reversed {
		slices.Reverse(area)
	}
	for n, voxels := range area {
		if voxels > area[slice] {
			slice = n
		}
	}
	return slice, area[slice] > 0
}
