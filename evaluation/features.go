package evaluation

import (
	"fmt"
	"math"

	"ballast/cohort"
	"ballast/kernel"
	"ballast/prep"
)

// Thumbnail sides, at most: of pictures and of volumes.
const (
	thumbnail2D = 32
	thumbnail3D = 16
)

// Thumbnail averages a prepared image down to at most 32 x 32 pixels or 16 x 16
// x 16 voxels, channel after channel: what a linear model can be given of it.
func Thumbnail(image *prep.Image) []float64 {
	in, out := [3]int{image.D, image.H, image.W}, [3]int{}
	most := thumbnail3D
	if image.D == 1 {
		most = thumbnail2D
	}
	for axis, size := range in {
		out[axis] = min(size, most)
	}
	small := make([]float32, image.C*out[0]*out[1]*out[2])
	pool := kernel.NewPool(1)
	defer pool.Close()
	kernel.AdaptiveAverage(pool, image.C, in, out, image.Data, small)
	wide := make([]float64, len(small))
	for i, x := range small {
		wide[i] = float64(x)
	}
	return wide
}

// VolumeAndIntensity reads an image as it is stored and returns two numbers: the
// logarithm of the volume in mm³ of its mask, and the mean intensity inside it;
// of an image without a mask, those of its foreground (prep.Foreground). Of
// several sequences it looks at the first.
func VolumeAndIntensity(image cohort.Image) ([]float64, error) {
	v, mask, err := image.Load()
	if err != nil {
		return nil, err
	}
	inside := prep.Foreground(v).Contains
	count, sum := 0, 0.0
	for i, x := range v.Data {
		if mask != nil && mask.Data[i] > 0 || mask == nil && inside(x) {
			count++
			sum += float64(x)
		}
	}
	volume := float64(count) * v.Spacing[0] * v.Spacing[1] * v.Spacing[2]
	v.Release()
	if mask != nil {
		mask.Release()
	}
	if count == 0 {
		return nil, fmt.Errorf("read %s: no voxel is inside", image.Path)
	}
	return []float64{math.Log(volume), sum / float64(count)}, nil
}

// MeanRow is the mean of rows: one row for a subject of several images.
func MeanRow(rows [][]float64) []float64 {
	mean := make([]float64, len(rows[0]))
	for _, row := range rows {
		for i, x := range row {
			mean[i] += x / float64(len(rows))
		}
	}
	return mean
}
