// Package prep brings images onto one grid: it turns them to one orientation,
// crops, resamples, normalises and augments them. Training and validation
// images go through the same function, and equal input gives equal bits on any
// CPU.
package prep

import (
	"fmt"
	"math"

	"ballast/cohort"
)

// A Config says what every image of a run becomes.
type Config struct {
	Dims int // 2 or 3

	// Crop names the box on whose centre the result is centred: "mask", the
	// bounding box of the mask; "foreground", that of the voxels that are not
	// background (see Foreground); "none", the whole image. Nothing inside the
	// grid is blanked, so the surroundings of a tumour stay visible.
	Crop string

	Margin    float64    // mm around the box, for Measure
	Grid      [3]int     // D, H, W voxels of the result; D = 1 in 2D
	Spacing   [3]float64 // mm per voxel of the result along D, H, W
	Normalise string     // "zscore": mean 0 and standard deviation 1 in the foreground of the result; "none"
}

// An Image is a prepared image, Data in the order (C, D, H, W), W fastest.
//
// In 3D the axes are RAS+: W runs towards the patient's right, H towards
// anterior, D towards superior. In 2D the picture looks as on a radiologist's
// screen: W runs from the left edge of the screen to the right, which in an
// axial or coronal slice is towards the patient's left and in a sagittal slice
// towards posterior; H runs from the top row down, towards posterior in an axial
// slice and inferior in the others. A PNG or JPEG keeps its rows and columns.
type Image struct {
	C, D, H, W int
	Data       []float32

	// Background is the value of empty space after normalisation: what lies
	// outside the scanned field, and what a shift brings in.
	Background float32

	// NonFinite counts the voxels of the file that were NaN or infinite and were
	// replaced by its lowest value: a caller should warn of them.
	NonFinite int
}

// Check returns an error that names the first setting that cannot be used.
func (c Config) Check() error {
	switch {
	case c.Dims != 2 && c.Dims != 3:
		return fmt.Errorf("%d dimensions: choose 2 or 3", c.Dims)
	case c.Crop != "mask" && c.Crop != "foreground" && c.Crop != "none":
		return fmt.Errorf("crop %q: choose mask, foreground or none", c.Crop)
	case c.Normalise != "zscore" && c.Normalise != "none":
		return fmt.Errorf("normalise %q: choose zscore or none", c.Normalise)
	case !(c.Margin >= 0 && c.Margin <= 1e4):
		return fmt.Errorf("margin of %g mm: choose 0 or more", c.Margin)
	case c.Dims == 2 && c.Grid[0] != 1:
		return fmt.Errorf("a grid %d deep in 2D: its depth is 1", c.Grid[0])
	}
	for axis := range 3 {
		if c.Grid[axis] < 1 || c.Grid[axis] > 1<<15 {
			return fmt.Errorf("grid %v: every size must lie between 1 and 32768", c.Grid)
		}
		if !(c.Spacing[axis] >= 1e-3 && c.Spacing[axis] <= 1e3) {
			return fmt.Errorf("spacing %v mm: every value must lie between 0.001 and 1000", c.Spacing)
		}
	}
	return nil
}

// Read reads an image, and its mask when the crop needs it; else the mask is nil.
func Read(image cohort.Image, crop string) (v, mask *cohort.Volume, err error) {
	if crop != "mask" {
		image.Mask = ""
	}
	return image.Load()
}

// Load reads an image as Read does and prepares it.
func Load(image cohort.Image, c Config) (*Image, error) {
	v, mask, err := Read(image, c.Crop)
	if err != nil {
		return nil, err
	}
	prepared, err := Prepare(v, mask, c)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", image.Path, err)
	}
	return prepared, nil
}

// Prepare turns the image to the orientation of Image, places a grid of c.Grid
// voxels of c.Spacing mm on the centre of the crop's box, resamples the image
// onto it (see taps for the filter) with the background value outside, and
// normalises. An oblique image is turned by the nearest right angles only. A 2D
// result of a 3D image is its axial slice through the centre of the box.
//
// The mask may be nil unless the crop is "mask"; it must lie on the image's grid
// (cohort.ErrGeometry). An image that fails cohort.Volume.Check is refused
// (cohort.ErrNonFinite, cohort.ErrConstant). Neither volume is changed.
func Prepare(v, mask *cohort.Volume, c Config) (*Image, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if err := v.Check(); err != nil {
		return nil, err
	}
	axes, err := orient(v, c.Dims)
	if err != nil {
		return nil, err
	}
	ground := Foreground(v)
	box, err := cropBox(v, mask, c.Crop, axes, ground)
	if err != nil {
		return nil, err
	}
	var filters [3][]taps
	for axis := range 3 {
		centre := float64(box.low[axis]+box.high[axis]) / 2
		filters[axis] = filter(c.Grid[axis], centre, c.Spacing[axis]/axes[axis].spacing, axes[axis].size)
	}
	image := &Image{C: 1, D: c.Grid[0], H: c.Grid[1], W: c.Grid[2], Background: ground.Background, NonFinite: v.NonFinite}
	image.Data = resample(v, axes, filters, ground.Background)
	if c.Normalise == "zscore" {
		if err := normalise(image, ground); err != nil {
			return nil, err
		}
	}
	return image, nil
}

// normalise subtracts the mean and divides by the standard deviation (with n,
// not n - 1) of the foreground voxels. When the field shows no foreground, or a
// flat one, all its voxels are used.
func normalise(image *Image, ground Ground) error {
	mean, deviation := moments(image.Data, ground.Contains)
	if !(deviation > 0) {
		mean, deviation = moments(image.Data, func(float32) bool { return true })
	}
	if !(deviation > 0) {
		return fmt.Errorf("%w in the field around the centre of the crop", cohort.ErrConstant)
	}
	for n, x := range image.Data {
		image.Data[n] = float32((float64(x) - mean) / deviation)
	}
	image.Background = float32((float64(image.Background) - mean) / deviation)
	return nil
}

// moments returns mean and standard deviation of the voxels that are in; two
// passes in float64, in order. The deviation is 0 when fewer than two are in.
func moments(data []float32, in func(float32) bool) (mean, deviation float64) {
	sum, count := 0.0, 0
	for _, x := range data {
		if in(x) {
			sum += float64(x)
			count++
		}
	}
	if count < 2 {
		return 0, 0
	}
	mean = sum / float64(count)
	square := 0.0
	for _, x := range data {
		if in(x) {
			d := float64(x) - mean
			square += float64(d * d)
		}
	}
	return mean, math.Sqrt(square / float64(count))
}
