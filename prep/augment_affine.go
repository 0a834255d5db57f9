package prep

import (
	"errors"
	"fmt"

	"ballast/stat"
)

// Affine turns, scales, shears and moves the image as a whole: patients lie
// differently and are of different size.
//
// With q the place of a voxel of the result and p that of the image which shows
// there, both in mm from the centre of the grid along (D, H, W),
//
//	q = R S p + t,   R = R_D R_H R_W,   S = s (1 + shear)
//
// where R_D turns the plane (H, W) and so on (from the earlier axis towards the
// later one), s is one scale for all axes and the shear adds its three numbers
// above the diagonal: of H to D, of W to D, of W to H. The image is interpolated
// linearly, with the background outside. In 2D only R_D, the scale, the shear of
// W to H and the movement in the plane act. Lengths are in mm, so that voxels
// longer than wide are turned without distortion.
//
// After TorchIO's RandomAffine (Pérez-García, Sparks and Ourselin, "TorchIO",
// Computer Methods and Programs in Biomedicine 208, 2021).
type Affine struct {
	Probability float64 `yaml:"probability" doc:"share of the images that are turned, scaled, sheared and moved"`
	Rotation    float64 `yaml:"rotation" doc:"largest angle about each axis in degrees, either way"`
	Scale       float64 `yaml:"scale" doc:"largest change of size: 0.1 is a factor between 1/1.1 and 1.1"`
	Shear       float64 `yaml:"shear" doc:"largest shear between two axes, either way: 0.1 moves by a tenth of the distance from the centre"`
	Translation float64 `yaml:"translation" doc:"largest movement along each axis in mm, either way"`
}

// An AffineDraw is the parameters of one Affine.
type AffineDraw struct {
	Rotation    [3]float64 `json:"rotation_degrees"` // about D, H, W
	Scale       float64    `json:"scale"`
	Shear       [3]float64 `json:"shear"`          // of H to D, of W to D, of W to H
	Translation [3]float64 `json:"translation_mm"` // along D, H, W
	Spacing     [3]float64 `json:"spacing_mm"`     // of the grid along D, H, W
}

func (a Affine) check() error {
	return errors.Join(setting("affine.rotation", a.Rotation, 0, 180), setting("affine.scale", a.Scale, 0, 1),
		setting("affine.shear", a.Shear, 0, 0.5), setting("affine.translation", a.Translation, 0, 1e4))
}

func (a Affine) checkGrid(g grid) error {
	for axis, size := range g.size {
		if length := g.length(axis); size > 1 && a.Probability > 0 && a.Translation > length/2 {
			return fmt.Errorf("affine.translation is %g mm, more than half of the grid's %g mm: it would move images out of view", a.Translation, length)
		}
	}
	return nil
}

func (a Affine) draw(s *stat.Stream, g grid) *AffineDraw {
	d := &AffineDraw{Spacing: g.spacing}
	for axis := range 3 {
		d.Rotation[axis] = either(s, a.Rotation)
		d.Shear[axis] = either(s, a.Shear)
		d.Translation[axis] = either(s, a.Translation)
	}
	d.Scale = factor(s, 1+a.Scale)
	if g.flat() {
		d.Rotation = [3]float64{d.Rotation[0]}
		d.Shear = [3]float64{2: d.Shear[2]}
		d.Translation[0] = 0
	}
	return d
}

func (d *AffineDraw) checkFits(g grid) error {
	ok := d.Scale >= 0.1 && d.Scale <= 10 && finite(360, d.Rotation[:]...) && finite(1, d.Shear[:]...) &&
		finite(1e5, d.Translation[:]...) && validSpacing(d.Spacing)
	if ok && g.flat() {
		ok = d.Rotation[1] == 0 && d.Rotation[2] == 0 && d.Shear[0] == 0 && d.Shear[1] == 0 && d.Translation[0] == 0
	}
	if !ok {
		return errors.New("affine: numbers out of range, or a turn out of the plane of a 2D image")
	}
	return nil
}

// matrix is R S, in mm.
func (d *AffineDraw) matrix() [3][3]float64 {
	m := rotation(d.Rotation)
	s := [3][3]float64{
		{d.Scale, float64(d.Scale * d.Shear[0]), float64(d.Scale * d.Shear[1])},
		{0, d.Scale, float64(d.Scale * d.Shear[2])},
		{0, 0, d.Scale},
	}
	return product(m, s)
}

// mapping returns where the voxels of the result come from.
func (d *AffineDraw) mapping(g grid) mapping {
	return newMapping(g, d.Spacing, d.matrix(), d.Translation)
}

// rotation returns R_D R_H R_W of angles in degrees.
func rotation(degrees [3]float64) [3][3]float64 {
	m := [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
	for axis := range 3 {
		// The turn goes from the first of the other two axes to the second.
		first, second := 0, 2
		switch axis {
		case 0:
			first = 1
		case 2:
			second = 1
		}
		cos, sin := stat.CosPi(degrees[axis]/180), stat.SinPi(degrees[axis]/180)
		r := [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
		r[first][first], r[first][second] = cos, -sin
		r[second][first], r[second][second] = sin, cos
		m = product(m, r)
	}
	return m
}

func product(a, b [3][3]float64) (c [3][3]float64) {
	for i := range 3 {
		for j := range 3 {
			c[i][j] = float64(a[i][0]*b[0][j]) + float64(a[i][1]*b[1][j]) + float64(a[i][2]*b[2][j])
		}
	}
	return c
}

// inverse returns the inverse of a matrix by its cofactors.
func inverse(m [3][3]float64) (inv [3][3]float64) {
	minor := func(r, c int) float64 {
		r0, r1, c0, c1 := (r+1)%3, (r+2)%3, (c+1)%3, (c+2)%3
		return float64(m[r0][c0]*m[r1][c1]) - float64(m[r0][c1]*m[r1][c0])
	}
	determinant := float64(m[0][0]*minor(0, 0)) + float64(m[0][1]*minor(0, 1)) + float64(m[0][2]*minor(0, 2))
	for i := range 3 {
		for j := range 3 {
			inv[i][j] = minor(j, i) / determinant
		}
	}
	return inv
}

func validSpacing(spacing [3]float64) bool {
	for _, mm := range spacing {
		if !(mm >= 1e-3 && mm <= 1e3) {
			return false
		}
	}
	return true
}
