package cohort

import (
	"fmt"
	"math"
)

// sizes returns the whole shape as the header gives it, the shape of one volume,
// its voxels and the number of volumes: all axes from the fourth on count
// volumes, the fourth fastest.
func (h *niftiHeader) sizes() (whole []int, shape [3]int, voxels, volumes int, err error) {
	if h.dim[0] < 1 || h.dim[0] > 7 {
		return nil, shape, 0, 0, fmt.Errorf("%w: %d dimensions", ErrHeader, h.dim[0])
	}
	whole = make([]int, h.dim[0])
	for n := range whole {
		size := h.dim[n+1]
		if size < 1 || size > maxVoxels {
			return nil, shape, 0, 0, fmt.Errorf("%w: %d voxels along axis %d", ErrHeader, size, n+1)
		}
		whole[n] = int(size)
	}
	if len(whole) == 1 {
		return nil, shape, 0, 0, fmt.Errorf("%w: one-dimensional, of %d values", ErrUnsupported, whole[0])
	}
	shape, voxels, volumes = [3]int{1, 1, 1}, 1, 1
	for axis, size := range whole {
		if axis < 3 {
			shape[axis] = size
		}
		count, most := &voxels, maxVoxels
		if axis >= 3 {
			count, most = &volumes, int(min(int64(maxFileBytes), math.MaxInt)/int64(voxels))
		}
		if size > most / *count {
			return nil, shape, 0, 0, fmt.Errorf("%w: shape %s is more than ballast reads (%d voxels in a volume, %d bytes in a file)", ErrUnsupported, product(whole), maxVoxels, int64(maxFileBytes))
		}
		*count *= size
	}
	return whole, shape, voxels, volumes, nil
}

// spacing returns the stored voxel size, repaired as by nibabel's header check:
// 0 becomes 1 and a negative size positive. Axes that the image does not have may
// hold anything; a size that makes sense there is the thickness of the slice.
func (h *niftiHeader) spacing() (spacing [3]float64) {
	for axis := range 3 {
		spacing[axis] = math.Abs(h.pixdim[axis+1])
		if spacing[axis] == 0 || axis >= int(h.dim[0]) && spacing[axis]-spacing[axis] != 0 {
			spacing[axis] = 1
		}
	}
	return spacing
}

// qform is the affine of the quaternion, in the units of the file.
func (h *niftiHeader) qform() ([3][4]float64, error) {
	qfac := 1.0
	if h.pixdim[0] == -1 {
		qfac = -1
	}
	q := h.quaternion
	return fromQuaternion(q[0], q[1], q[2], h.qoffset, h.spacing(), qfac)
}

// affine follows nibabel: the sform when its code is above 0, else the qform,
// else the voxel size with i towards the left and the origin in the middle.
// Unlike nibabel it applies xyzt_units, so that the result is in mm.
func (h *niftiHeader) affine(shape [3]int) (affine [3][4]float64, err error) {
	switch {
	case h.sformCode > 0:
		affine = h.sform
		fillThinColumn(&affine, shape)
	case h.qformCode > 0:
		if affine, err = h.qform(); err != nil {
			return affine, err
		}
	default:
		spacing := h.spacing()
		spacing[0] = -spacing[0]
		for axis := range 3 {
			if axis >= int(h.dim[0]) {
				spacing[axis] = 1
			}
			affine[axis][axis] = spacing[axis]
			affine[axis][3] = -spacing[axis] * float64(shape[axis]-1) / 2
		}
	}
	if scale := h.millimetres(); scale != 1 {
		for row := range 3 {
			for column := range 4 {
				affine[row][column] *= scale
			}
		}
	}
	return affine, checkAffine(affine)
}

// millimetres in one unit of the file; an unknown unit is taken for mm.
func (h *niftiHeader) millimetres() float64 {
	switch h.unit {
	case 1: // metres
		return 1000
	case 3: // micrometres
		return 0.001
	}
	return 1
}

// fillThinColumn gives a 2D image whose sform says nothing of the third axis
// the normal of its plane, one mm thick.
func fillThinColumn(affine *[3][4]float64, shape [3]int) {
	if shape[2] != 1 || spacingOf(*affine)[2] != 0 {
		return
	}
	var normal [3]float64
	for r := range 3 {
		r1, r2 := (r+1)%3, (r+2)%3
		normal[r] = minor(affine[r1][0], affine[r2][1], affine[r2][0], affine[r1][1])
	}
	length := math.Sqrt(float64(normal[0]*normal[0]) + float64(normal[1]*normal[1]) + float64(normal[2]*normal[2]))
	for r := range 3 {
		affine[r][2] = normal[r] / length
	}
}

// scaling returns slope and intercept; as in nibabel a slope that is 0 or not
// finite means that the numbers are stored unscaled.
func (h *niftiHeader) scaling() (slope, inter float64, err error) {
	if h.slope == 0 || h.slope-h.slope != 0 {
		return 1, 0, nil
	}
	if h.inter-h.inter != 0 {
		return 0, 0, fmt.Errorf("%w: scl_slope is %g but scl_inter is %g", ErrHeader, h.slope, h.inter)
	}
	return h.slope, h.inter, nil
}

// dataOffset returns where the voxels start in the file that holds them.
func (h *niftiHeader) dataOffset() (int64, error) {
	first := float64(h.size + 4)
	if !h.single {
		first = 0
	}
	if h.offset == 0 {
		return int64(first), nil
	}
	if !(h.offset >= first && h.offset <= maxOffset) || h.offset != math.Floor(h.offset) {
		return 0, fmt.Errorf("%w: voxels would start at byte %g", ErrHeader, h.offset)
	}
	return int64(h.offset), nil
}
