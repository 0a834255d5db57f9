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

// coordinate returns where voxel n of an axis lies, in mm from the middle.
func (g grid) coordinate(axis, n int) float64 {
	return float64((float64(n) - float64(g.size[axis]-1)/2) * g.spacing[axis])
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
// another. The lattice starts at a random phase.
func smoothNoise(g grid, stream *stat.Stream, cell float64) []float64 {
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
		values[n] = float64(scale * (float64(stream.Uint32())*(1.0/(1<<31)) - 1))
	}
	return interpolate(g, knots, points, values)
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

// interpolate evaluates the lattice on the grid, collapsing k, then j, then i.
func interpolate(g grid, knots [3][]knot, points [3]int, values []float64) []float64 {
	field := make([]float64, g.voxels())
	planeSize := points[0] * points[1]
	plane, row := make([]float64, planeSize), make([]float64, points[0])
	for k, knotK := range knots[2] {
		blend(plane, values[knotK.first*planeSize:], planeSize, knotK.weight)
		for j, knotJ := range knots[1] {
			blend(row, plane[knotJ.first*points[0]:], points[0], knotJ.weight)
			line := field[g.size[0]*(j+g.size[1]*k):][:g.size[0]]
			for i, knotI := range knots[0] {
				r, w := row[knotI.first:knotI.first+4], &knotI.weight
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

// A rotation is an orthogonal matrix.
type rotation [3][3]float64

// rotationOf returns the rotation of a quaternion of any length but zero. Four
// independent normal numbers make every rotation equally likely (Shoemake,
// "Uniform random rotations", Graphics Gems III, 1992); no sine is needed.
func rotationOf(w, x, y, z float64) rotation {
	s := 2 / (float64(w*w) + float64(x*x) + float64(y*y) + float64(z*z))
	product := func(a, b float64) float64 { return float64(float64(s*a) * b) }
	return rotation{
		{1 - product(y, y) - product(z, z), product(x, y) - product(z, w), product(x, z) + product(y, w)},
		{product(x, y) + product(z, w), 1 - product(x, x) - product(z, z), product(y, z) - product(x, w)},
		{product(x, z) - product(y, w), product(y, z) + product(x, w), 1 - product(x, x) - product(y, y)},
	}
}

// apply returns the rotated vector.
func (r *rotation) apply(v [3]float64) [3]float64 {
	var out [3]float64
	for a := range 3 {
		out[a] = float64(r[a][0]*v[0]) + float64(r[a][1]*v[1]) + float64(r[a][2]*v[2])
	}
	return out
}
