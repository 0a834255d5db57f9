package cohort

import (
	"fmt"
	"math"
)

// spacingOf returns the lengths of the affine's columns: mm per voxel.
func spacingOf(affine [3][4]float64) (spacing [3]float64) {
	for axis := range 3 {
		spacing[axis] = math.Sqrt(float64(affine[0][axis]*affine[0][axis]) +
			float64(affine[1][axis]*affine[1][axis]) + float64(affine[2][axis]*affine[2][axis]))
	}
	return spacing
}

// checkAffine refuses an affine that cannot place voxels: not finite, or with
// voxels of no volume.
func checkAffine(affine [3][4]float64) error {
	for _, row := range affine {
		for _, x := range row {
			if x-x != 0 {
				return fmt.Errorf("%w: the affine is not finite", ErrHeader)
			}
		}
	}
	s := spacingOf(affine)
	if !(math.Abs(determinant(affine)) > 1e-6*s[0]*s[1]*s[2]) || s[0]*s[1]*s[2] == 0 {
		return fmt.Errorf("%w: the affine is singular", ErrHeader)
	}
	return nil
}

func determinant(m [3][4]float64) float64 {
	sum := 0.0
	for c := range 3 {
		sum += float64(m[0][c] * minor(m[1][(c+1)%3], m[2][(c+2)%3], m[1][(c+2)%3], m[2][(c+1)%3]))
	}
	return sum
}

// minor is ab - cd, each product rounded (an affine gives the spacing, and the
// spacing every resampled voxel, so its bits must not depend on the CPU).
func minor(a, b, c, d float64) float64 { return float64(a*b) - float64(c*d) }

// fromQuaternion is the NIfTI-1 "method 2": the rotation of the unit quaternion
// (a, b, c, d) with a >= 0 from b, c, d, times spacing; qfac = -1 reverses k.
// As in nibabel, b² + c² + d² may exceed 1 by float32 rounding (3 eps).
func fromQuaternion(b, c, d float64, offset, spacing [3]float64, qfac float64) ([3][4]float64, error) {
	const tolerance = 3 * 1.1920929e-07
	bb, cc, dd := float64(b*b), float64(c*c), float64(d*d)
	square := 1 - (bb + cc + dd)
	if !(square >= -tolerance) {
		return [3][4]float64{}, fmt.Errorf("%w: quaternion (%g, %g, %g) is longer than 1", ErrHeader, b, c, d)
	}
	a := math.Sqrt(max(square, 0))
	s := 2 / (float64(a*a) + bb + cc + dd)
	rotation := [3][3]float64{
		{1 - float64(s*(cc+dd)), s * minor(b, c, a, d), s * minor(b, d, -a, c)},
		{s * minor(b, c, -a, d), 1 - float64(s*(bb+dd)), s * minor(c, d, a, b)},
		{s * minor(b, d, a, c), s * minor(c, d, -a, b), 1 - float64(s*(bb+cc))},
	}
	spacing[2] *= qfac
	var affine [3][4]float64
	for row := range 3 {
		for axis := range 3 {
			affine[row][axis] = rotation[row][axis] * spacing[axis]
		}
		affine[row][3] = offset[row]
	}
	return affine, nil
}

// toQuaternion returns b, c, d and qfac of the rotation nearest to the
// affine's (its orthogonal polar factor, which removes shears).
func toQuaternion(affine [3][4]float64) (b, c, d, qfac float64) {
	spacing := spacingOf(affine)
	var m [3][3]float64
	for row := range 3 {
		for axis := range 3 {
			m[row][axis] = affine[row][axis] / spacing[axis]
		}
	}
	m, qfac = nearestOrthogonal(m), 1
	if determinant([3][4]float64{{m[0][0], m[0][1], m[0][2]}, {m[1][0], m[1][1], m[1][2]}, {m[2][0], m[2][1], m[2][2]}}) < 0 {
		qfac = -1
		for row := range 3 {
			m[row][2] = -m[row][2]
		}
	}
	// The largest of a², b², c², d² is found first, so that nothing is divided
	// by a small number (Shepperd 1978).
	squares := [4]float64{
		1 + m[0][0] + m[1][1] + m[2][2], 1 + m[0][0] - m[1][1] - m[2][2],
		1 - m[0][0] + m[1][1] - m[2][2], 1 - m[0][0] - m[1][1] + m[2][2],
	}
	largest := 0
	for n, x := range squares {
		if x > squares[largest] {
			largest = n
		}
	}
	q := math.Sqrt(squares[largest]) / 2
	f := 1 / (4 * q)
	var a float64
	switch largest {
	case 0:
		a, b, c, d = q, f*(m[2][1]-m[1][2]), f*(m[0][2]-m[2][0]), f*(m[1][0]-m[0][1])
	case 1:
		a, b, c, d = f*(m[2][1]-m[1][2]), q, f*(m[0][1]+m[1][0]), f*(m[0][2]+m[2][0])
	case 2:
		a, b, c, d = f*(m[0][2]-m[2][0]), f*(m[0][1]+m[1][0]), q, f*(m[1][2]+m[2][1])
	case 3:
		a, b, c, d = f*(m[1][0]-m[0][1]), f*(m[0][2]+m[2][0]), f*(m[1][2]+m[2][1]), q
	}
	if a < 0 {
		b, c, d = -b, -c, -d
	}
	return b, c, d, qfac
}

// nearestOrthogonal is Newton's iteration X <- (X + X^-T) / 2 for the polar
// factor (Higham 1986); it converges quadratically from any regular matrix.
func nearestOrthogonal(m [3][3]float64) [3][3]float64 {
	for range 50 {
		var cofactor [3][3]float64
		for r := range 3 {
			for c := range 3 {
				r1, r2, c1, c2 := (r+1)%3, (r+2)%3, (c+1)%3, (c+2)%3
				cofactor[r][c] = minor(m[r1][c1], m[r2][c2], m[r1][c2], m[r2][c1])
			}
		}
		det := float64(m[0][0]*cofactor[0][0]) + float64(m[0][1]*cofactor[0][1]) + float64(m[0][2]*cofactor[0][2])
		change := 0.0
		for r := range 3 {
			for c := range 3 {
				next := (m[r][c] + cofactor[r][c]/det) / 2
				change = max(change, math.Abs(next-m[r][c]))
				m[r][c] = next
			}
		}
		if change < 1e-15 {
			break
		}
	}
	return m
}

// Orientation says how the voxel axes i, j, k run through the body: axis n runs
// along world axis world[n] (0 towards the right, 1 anterior, 2 superior),
// backwards where reversed[n]. An oblique image gets the nearest of the 48 axis
// orders, as by nibabel's io_orientation.
func (v *Volume) Orientation() (world [3]int, reversed [3]bool) {
	var m [3][3]float64
	for r := range 3 {
		for c := range 3 {
			m[r][c] = v.Affine[r][c] / v.Spacing[c]
		}
	}
	m = nearestOrthogonal(m)
	var rowTaken, columnTaken [3]bool
	for range 3 {
		row, column, largest := 0, 0, -1.0
		for c := range 3 {
			for r := range 3 {
				if size := math.Abs(m[r][c]); !rowTaken[r] && !columnTaken[c] && !(size <= largest) {
					row, column, largest = r, c, size
				}
			}
		}
		rowTaken[row], columnTaken[column] = true, true
		world[column], reversed[column] = row, m[row][column] < 0
	}
	return world, reversed
}
