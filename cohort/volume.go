package cohort

// A Volume is one image with its geometry.
//
// Voxels are float32 with stored scaling applied, index i fastest:
// Data[i + Shape[0]*(j + Shape[1]*k)]. A 2D image is a Volume with
// Shape[2] = 1, unit spacing when the file states none.
type Volume struct {
	Data    []float32
	Shape   [3]int        // voxels along i, j, k
	Affine  [3][4]float64 // voxel index (i, j, k, 1) to RAS+ world coordinates in mm
	Spacing [3]float64    // mm between voxel centres along i, j, k
}

// At returns the voxel at (i, j, k).
func (v *Volume) At(i, j, k int) float32 {
	return v.Data[i+v.Shape[0]*(j+v.Shape[1]*k)]
}
