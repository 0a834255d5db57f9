package prep

import (
	"math"
	"slices"
	"strconv"

	"ballast/cohort"
)

// An Extent is what one image needs of a grid, in the order D, H, W.
type Extent struct {
	Size    [3]float64 // mm of the crop's box with its margin on both sides
	Spacing [3]float64 // mm per voxel of the image
}

// Measure returns the extent of an image that is cropped in this way. The mask
// may be nil unless the crop is "mask".
func Measure(v, mask *cohort.Volume, crop string, margin float64) (Extent, error) {
	return Config{Crop: crop, Margin: margin}.Measure(v, mask)
}

// geometry is the settings that an extent depends on.
func (c Config) geometry() Config {
	return Config{Dims: 3, Orient: c.Orient, Bias: c.Bias, Crop: c.Crop, Margin: c.Margin, Grid: [3]int{1, 1, 1}, Spacing: [3]float64{1, 1, 1}}.complete()
}

// Measure returns the extent of an image by Orient, Bias, Crop and Margin alone.
func (c Config) Measure(v, mask *cohort.Volume) (Extent, error) {
	c = c.geometry()
	if err := c.Check(); err != nil {
		return Extent{}, err
	}
	if thinAxis(v) >= 0 {
		c.Dims = 2
	}
	if err := v.Check(); err != nil {
		return Extent{}, err
	}
	axes, err := orient(v, c.Dims, c.Orient)
	if err != nil {
		return Extent{}, err
	}
	p := &preparation{Config: c, volumes: []*cohort.Volume{v}, mask: mask}
	if err := p.checkMask(); err != nil {
		return Extent{}, err
	}
	var ground Ground
	if c.Crop == "foreground" {
		if v, ground, err = c.examine(v); err != nil {
			return Extent{}, err
		}
	}
	b, err := cropBox(v, mask, c.Crop, axes, ground)
	if err != nil {
		return Extent{}, err
	}
	var e Extent
	for n, a := range axes {
		e.Spacing[n] = a.spacing
		e.Size[n] = float64(float64(b.high[n]-b.low[n]+1)*a.spacing) + 2*c.Margin
	}
	return e, nil
}

// Choose returns a grid and spacing for the extents of the training images, and
// of nothing else.
//
// Along each axis the grid covers the 90th percentile (nearest rank) of the
// sizes. Spacing starts at the median of the images', in-plane the larger of H's
// and W's, and is never finer. While the grid has more than maxVoxels voxels, the
// in-plane spacing grows by 1 % and, once it has reached that of D, both do. A
// grid size is a multiple of 16 (of 8 along D), at least 16; in 2D the depth is
// 1. The room that rounding up leaves is given back as finer spacing; spacing
// has three significant digits. The smallest grid is returned even if
// it has more than maxVoxels voxels. Choose panics without extents.
func Choose(extents []Extent, dims, maxVoxels int) (grid [3]int, spacing [3]float64) {
	var size, finest [3]float64
	for axis := range 3 {
		size[axis] = quantileOf(extents, 0.9, func(e Extent) float64 { return e.Size[axis] })
		finest[axis] = quantileOf(extents, 0.5, func(e Extent) float64 { return e.Spacing[axis] })
	}
	finest[1] = max(finest[1], finest[2])
	finest[2] = finest[1]
	for inPlane := finest[1]; ; inPlane *= 1.01 {
		spacing = [3]float64{max(finest[0], inPlane), inPlane, inPlane}
		grid = gridFor(size, spacing, dims)
		smallest := grid[1] == 16 && grid[2] == 16 && (dims == 2 || grid[0] == 16)
		if smallest || grid[0]*grid[1]*grid[2] <= maxVoxels {
			break
		}
	}
	inPlane := max(finest[1], size[1]/float64(grid[1]), size[2]/float64(grid[2]))
	spacing = [3]float64{finest[0], threeDigits(inPlane), threeDigits(inPlane)}
	if dims == 3 {
		spacing[0] = max(finest[0], size[0]/float64(grid[0]))
	}
	spacing[0] = threeDigits(spacing[0])
	return grid, spacing
}

// gridFor returns the voxels that cover the size.
func gridFor(size, spacing [3]float64, dims int) (grid [3]int) {
	for axis, multiple := range [3]int{8, 16, 16} {
		// A hair more than a whole number of voxels is no reason for another step.
		steps := int(math.Ceil(size[axis]/spacing[axis]/float64(multiple) - 1e-3))
		grid[axis] = max(16, multiple*steps)
	}
	if dims == 2 {
		grid[0] = 1
	}
	return grid
}

// quantileOf returns the value of rank ceil(q n), counted from 1.
func quantileOf(extents []Extent, q float64, value func(Extent) float64) float64 {
	values := make([]float64, len(extents))
	for n, e := range extents {
		values[n] = value(e)
	}
	slices.Sort(values)
	return values[max(0, int(math.Ceil(q*float64(len(values))))-1)]
}

// threeDigits rounds to three significant decimal digits.
func threeDigits(x float64) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 3, 64), 64)
	if err != nil {
		return x
	}
	return rounded
}
