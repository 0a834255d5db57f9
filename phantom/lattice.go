package phantom

import (
	"math"

	"ballast/stat"
)

// A grid is where the voxels lie: voxel n of an axis is centred at coordinate
// (n - (size-1)/2) * spacing, in mm from the middle of the volume.
type grid struct {
	size    [3]int
	spacing [3]float64
	field   [3]float64 // field of view along each axis, mm
	extent  float64    // smallest field of view among the dimensions, mm
	voxel   float64    // coarsest spacing among the dimensions, mm
}

func (c Config) grid() grid {
	g := grid{size: c.Size, spacing: c.Spacing, extent: math.Inf(1)}
	for axis := range 3 {
		g.field[axis] = float64(float64(c.Size[axis]) * c.Spacing[axis])
		if axis < c.Dims {
			g.extent = math.Min(g.extent, g.field[axis])
			g.voxel = math.Max(g.voxel, c.Spacing[axis])
		}
	}
	if c.Dims == 2 { // a slice of a head as thick as the slice is wide
		g.field[2] = g.extent
	}
	return g
}

func (g grid) voxels() int { return g.size[0] * g.size[1] * g.size[2] }

// middle returns the voxel number, maybe half, of the middle of an axis.
func (g grid) middle(axis int) float64 { return float64(float64(g.size[axis]-1) / 2) }

// axis returns the coordinates of all voxels along an axis.
func (g grid) axis(axis int) []float64 {
	x := make([]float64, g.size[axis])
	for n := range x {
		x[n] = g.coordinate(axis, n)
	}
	return x
}

// A box is the voxels from low up to but not including high.
type box struct{ low, high [3]int }

func (g grid) box() box { return box{high: g.size} }

// coordinate returns where voxel n of an axis lies, in mm from the middle.
func (g grid) coordinate(axis, n int) float64 {
	return float64((float64(n) - g.middle(axis)) * g.spacing[axis])
}

// A knot holds the cubic B-spline weights of the four lattice points around one
// voxel along one axis.
type knot struct {
	first  int
	weight [4]float64
}

// smoothNoise returns a random field on the grid with mean 0 and standard
// deviation near 1 and a correlation length of about cell mm: random numbers on
// a lattice of that pitch, interpolated by cubic B-splines along one axis after
// another. The lattice starts at a random phase and covers the grid; the field
// is filled in within the box only.
func smoothNoise(g grid, within box, cell float64, stream *stat.Stream) []float64 {
	var knots [3][]knot
	var points [3]int
	for axis := range 3 {
		phase := stream.Float64()
		knots[axis] = make([]knot, g.size[axis])
		for n := range knots[axis] {
			position := float64(float64(n)*g.spacing[axis])/cell + phase
			first := math.Floor(position)
			knots[axis][n] = knot{int(first), bspline(position - first)}
			points[axis] = int(first) + 4
		}
	}
	// A number even in [-1, 1) has variance 1/3; the interpolation keeps 151/315
	// of it per axis, on average over positions.
	const kept = 151.0 / 315
	scale := math.Sqrt(3 / (kept * kept * kept))
	values := make([]float64, points[0]*points[1]*points[2])
	for n := range values {
		values[n] = float64(scale * (float64(float64(stream.Uint32())*(1.0/(1<<31))) - 1))
	}
	return interpolate(g, within, knots, points, values)
}

// bspline returns the uniform cubic B-spline's four weights at offset t in [0, 1).
func bspline(t float64) [4]float64 {
	t2 := float64(t * t)
	t3 := float64(t2 * t)
	u := 1 - t
	return [4]float64{
		float64(float64(u*u)*u) / 6,
		(float64(3*t3) - float64(6*t2) + 4) / 6,
		(float64(-3*t3) + float64(3*t2) + float64(3*t) + 1) / 6,
		t3 / 6,
	}
}

// interpolate evaluates the lattice within the box, collapsing k, then j, then i.
func interpolate(g grid, within box, knots [3][]knot, points [3]int, values []float64) []float64 {
	field := make([]float64, g.voxels())
	planeSize := points[0] * points[1]
	plane, row := make([]float64, planeSize), make([]float64, points[0])
	across := knots[0][within.low[0]:within.high[0]]
	for k := within.low[2]; k < within.high[2]; k++ {
		at := knots[2][k]
		blend(plane, values[at.first*planeSize:], planeSize, at.weight)
		for j := within.low[1]; j < within.high[1]; j++ {
			at := knots[1][j]
			blend(row, plane[at.first*points[0]:], points[0], at.weight)
			line := field[within.low[0]+g.size[0]*(j+g.size[1]*k):][:len(across)]
			for i := range line {
				at := &across[i]
				r, w := row[at.first:at.first+4:at.first+4], &at.weight
				line[i] = float64(w[0]*r[0]) + float64(w[1]*r[1]) + float64(w[2]*r[2]) + float64(w[3]*r[3])
			}
		}
	}
	return field
}

// blend sets each out[n] to the weighted sum of from[n], from[n+stride],
// from[n+2 stride] and from[n+3 stride].
func blend(out, from []float64, stride int, w [4]float64) {
	a, b, c, d := from[:stride], from[stride:2*stride], from[2*stride:3*stride], from[3*stride:4*stride]
	for n := range out {
		out[n] = float64(w[0]*a[n]) + float64(w[1]*b[n]) + float64(w[2]*c[n]) + float64(w[3]*d[n])
	}
}

// A frame maps points, in mm from the middle of the volume, to a body's own
// coordinates: column 3 is added after the linear part.
type frame [3][4]float64

// newFrame returns the frame of a body with the given centre, orientation and
// semi-axes: its surface becomes the unit sphere.
//
// The orientation is a quaternion of any length but zero. Four independent
// normal numbers make every orientation equally likely (Shoemake, "Uniform
// random rotations", Graphics Gems III, 1992); no sine is needed.
func newFrame(centre [3]float64, quaternion [4]float64, radius [3]float64) *frame {
	w, x, y, z := quaternion[0], quaternion[1], quaternion[2], quaternion[3]
	s := 2 / (float64(w*w) + float64(x*x) + float64(y*y) + float64(z*z))
	product := func(a, b float64) float64 { return float64(float64(s*a) * b) }
	rotation := [3][3]float64{
		{1 - product(y, y) - product(z, z), product(x, y) - product(z, w), product(x, z) + product(y, w)},
		{product(x, y) + product(z, w), 1 - product(x, x) - product(z, z), product(y, z) - product(x, w)},
		{product(x, z) - product(y, w), product(y, z) + product(x, w), 1 - product(x, x) - product(y, y)},
	}
	f := new(frame)
	for row := range 3 {
		for axis := range 3 {
			f[row][axis] = rotation[row][axis] / radius[row]
			f[row][3] -= float64(f[row][axis] * centre[axis])
		}
	}
	return f
}

func (f *frame) apply(x, y, z float64) (u, v, w float64) {
	return float64(f[0][0]*x) + float64(f[0][1]*y) + float64(f[0][2]*z) + f[0][3],
		float64(f[1][0]*x) + float64(f[1][1]*y) + float64(f[1][2]*z) + f[1][3],
		float64(f[2][0]*x) + float64(f[2][1]*y) + float64(f[2][2]*z) + f[2][3]
}

func norm(x, y, z float64) float64 {
	return math.Sqrt(float64(x*x) + float64(y*y) + float64(z*z))
}
