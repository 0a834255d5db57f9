package prep

import (
	"errors"
	"fmt"

	"ballast/stat"
)

// Elastic bends the image smoothly: soft tissue yields, organs differ in shape.
//
// A grid of control points lies over the image, each with a random displacement
// along every axis. The result shows at q what the image shows at q + u(q), with
// u the uniform cubic B-spline of the displacements,
//
//	u(q) = sum over the 4 x 4 x 4 nearest control points of B_i(q) B_j(q) B_k(q) u_ijk
//
// (4 x 4 in 2D). With n control points along an axis, n - 3 spans cover it from
// the first voxel to the last; the two outermost points at either end are kept
// still. Interpolation as for Affine; if both are drawn, the image is interpolated
// once, at the place that Affine names plus u.
//
// Displacements are drawn evenly up to a share of the distance between control
// points. Tissue never folds: below 1/2.48 of that distance (1/2.05 in 2D) the map
// is one to one (Choi and Lee, "Injectivity conditions of 2D and 3D uniform cubic
// B-spline functions", Graphical Models 62, 2000), and more than 0.4 is refused.
//
// After Rueckert et al., "Nonrigid registration using free-form deformations"
// (IEEE Transactions on Medical Imaging 18, 1999) and TorchIO's
// RandomElasticDeformation.
type Elastic struct {
	Probability  float64 `yaml:"probability" doc:"share of the images that are bent"`
	Displacement float64 `yaml:"displacement" doc:"largest displacement of a control point along each axis, either way, as a share of the distance between control points; at most 0.4, beyond which tissue can fold over itself"`
	Points       int     `yaml:"points" doc:"control points along each axis, the two still ones at either end included"`
}

// An ElasticDraw is the parameters of one Elastic.
type ElasticDraw struct {
	Points [3]int `json:"points"` // along D, H, W
	// Displacement holds, for D, then H, then W, the displacement along that axis
	// of each control point in mm, the points in the order (D, H, W).
	Displacement []float32  `json:"displacement_mm"`
	Spacing      [3]float64 `json:"spacing_mm"` // of the grid along D, H, W
}

const still = 2 // control points at either end that stay where they are

func (e Elastic) check() error {
	low := 0.0
	if e.Probability > 0 {
		low = 2*still + 1 // fewer would leave none that moves
	}
	return errors.Join(setting("elastic.displacement", e.Displacement, 0, 0.4), setting("elastic.points", float64(e.Points), low, 64))
}

func (e Elastic) draw(s *stat.Stream, g grid) *ElasticDraw {
	d := &ElasticDraw{Points: [3]int{e.Points, e.Points, e.Points}, Spacing: g.spacing}
	if g.flat() {
		d.Points[0] = 1
	}
	count := d.Points[0] * d.Points[1] * d.Points[2]
	d.Displacement = make([]float32, 3*count)
	for n := range d.Displacement {
		axis, point := n/count, n%count
		w, h, along := point%d.Points[2], point/d.Points[2]%d.Points[1], point/d.Points[2]/d.Points[1]
		if inner(w, d.Points[2]) && inner(h, d.Points[1]) && inner(along, d.Points[0]) && !(g.flat() && axis == 0) {
			between := float64(g.size[axis]-1) * g.spacing[axis] / float64(e.Points-3)
			d.Displacement[n] = float32(either(s, e.Displacement) * between)
		}
	}
	return d
}

// inner tells whether a control point may move.
func inner(point, points int) bool {
	return points == 1 || point >= still && point < points-still
}

func (d *ElasticDraw) checkFits(g grid) error {
	count := 3
	for axis, points := range d.Points {
		if points > 64 || points < 4 && (points != 1 || g.size[axis] != 1) {
			return errors.New("elastic: needs 4 to 64 control points along each axis, 1 along the depth of a 2D image")
		}
		count *= points
	}
	if len(d.Displacement) != count {
		return fmt.Errorf("elastic: %d displacements of %d", len(d.Displacement), count)
	}
	for n, u := range d.Displacement {
		if !finite(1e5, float64(u)) || g.flat() && n < count/3 && u != 0 {
			return errors.New("elastic: displacements out of range, or out of the plane of a 2D image")
		}
	}
	if !validSpacing(d.Spacing) {
		return errors.New("elastic: spacing out of range")
	}
	return nil
}

// A displacement evaluates u, one plane and one row at a time.
type displacement struct {
	draw    *ElasticDraw
	basis   [3][]spline // of every voxel along D, H, W
	ofPlane []float64   // control points of the present plane (axis, H, W), in voxels
	ofRow   []float64   // control points of one row
}

// A spline is the four control points that a voxel feels.
type spline struct {
	first  int
	weight [4]float64
}

func newDisplacement(d *ElasticDraw, g grid) *displacement {
	u := &displacement{draw: d, ofPlane: make([]float64, 3*d.Points[1]*d.Points[2]), ofRow: make([]float64, d.Points[2])}
	for axis, size := range g.size {
		u.basis[axis] = splines(size, d.Points[axis])
	}
	return u
}

// splines returns the cubic B-spline basis at size voxels from the first span's
// beginning to the last one's end.
func splines(size, points int) []spline {
	list := make([]spline, size)
	if points == 1 {
		for n := range list {
			list[n].weight[0] = 1
		}
		return list
	}
	spans := points - 3
	for n := range list {
		at := 0.0
		if size > 1 {
			at = float64(n*spans) / float64(size-1)
		}
		first := min(int(at), spans-1)
		list[n] = spline{first, splinePieces(at - float64(first))}
	}
	return list
}

// splinePieces returns the four pieces of the cubic B-spline at t of 0 to 1.
func splinePieces(t float64) [4]float64 {
	r := 1 - t
	t2, r2 := float64(t*t), float64(r*r)
	t3, r3 := float64(t2*t), float64(r2*r)
	return [4]float64{
		r3 / 6,
		(float64(3*t3) - float64(6*t2) + 4) / 6,
		(float64(3*r3) - float64(6*r2) + 4) / 6,
		t3 / 6,
	}
}

// plane sums over the control points along D for plane d.
func (u *displacement) plane(d int) {
	points := u.draw.Points
	inPlane := points[1] * points[2]
	b := u.basis[0][d]
	for axis := range 3 {
		target := u.ofPlane[axis*inPlane : (axis+1)*inPlane]
		clear(target)
		for k := range min(4, points[0]) {
			weight := b.weight[k] / u.draw.Spacing[axis]
			source := u.draw.Displacement[(axis*points[0]+b.first+k)*inPlane:][:inPlane]
			for n := range target {
				target[n] += float64(weight * float64(source[n]))
			}
		}
	}
}

// addRow adds the displacement along row h of the plane, in voxels, to the
// coordinates z, y, x, one after the other in row.
func (u *displacement) addRow(row []float64, h int) {
	points := u.draw.Points
	b := u.basis[1][h]
	width := len(row) / 3
	for axis := range 3 {
		if u.draw.Points[0] == 1 && axis == 0 {
			continue
		}
		clear(u.ofRow)
		for k, weight := range b.weight {
			source := u.ofPlane[(axis*points[1]+b.first+k)*points[2]:][:points[2]]
			for n := range u.ofRow {
				u.ofRow[n] += float64(weight * source[n])
			}
		}
		coordinates := row[axis*width : (axis+1)*width]
		for w, c := range u.basis[2] {
			p := u.ofRow[c.first : c.first+4]
			coordinates[w] += float64(c.weight[0]*p[0]) + float64(c.weight[1]*p[1]) + float64(c.weight[2]*p[2]) + float64(c.weight[3]*p[3])
		}
	}
}
