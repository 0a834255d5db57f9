package prep

import "math"

// A basis is the cubic B-splines of a mesh along one axis, at some voxels: each
// voxel sees four control points, the first of which is given, with the weights.
// An axis one voxel long has one control point.
type basis struct {
	points  int
	first   []int
	weights [][4]float64
}

// newBasis spans a mesh of elements over the voxels 0 to size-1.
func newBasis(at []int, size, elements int) basis {
	if size == 1 {
		return basis{1, []int{0}, [][4]float64{{1}}}
	}
	b := basis{points: elements + 3}
	for _, x := range at {
		u := float64(float64(x) / float64(size-1) * float64(elements))
		element := min(int(math.Floor(u)), elements-1)
		b.first = append(b.first, element)
		b.weights = append(b.weights, cubicSpline(u-float64(element)))
	}
	return b
}

// cubicSpline returns the uniform cubic B-splines at a place 0 <= t <= 1 of an
// element.
func cubicSpline(t float64) [4]float64 {
	r, tt := 1-t, float64(t*t)
	ttt := float64(tt * t)
	return [4]float64{
		float64(float64(r*r)*r) / 6,
		(float64(3*ttt) - float64(6*tt) + 4) / 6,
		(float64(3*tt) - float64(3*ttt) + float64(3*t) + 1) / 6,
		ttt / 6,
	}
}

// gather returns, for every control point, the sum over the voxels of their
// value times a weight, which is the product over the axes of weight(w, squares):
// w is the spline's, squares the sum of the squares of the voxel's four.
//
// With weights w³/squares, divided by the same sum with w² and values 1, the
// control points approximate scattered values (S. Lee, G. Wolberg and S. Y. Shin,
// "Scattered data interpolation with multilevel B-splines", IEEE Transactions on
// Visualization and Computer Graphics 3, 1997).
func gather(values []float64, shape [3]int, b [3]basis, weight func(w, squares float64) float64) []float64 {
	inner := [3]int{1, shape[0], shape[0] * shape[1]}
	outer := [3]int{b[1].points * b[2].points, b[2].points, 1}
	for axis := 2; axis >= 0; axis-- {
		values = narrow(values, outer[axis], b[axis], inner[axis], weight)
	}
	return values
}

// narrow sums over the middle axis of values, of the shape (outer, voxels,
// inner), for every control point.
func narrow(values []float64, outer int, b basis, inner int, weight func(w, squares float64) float64) []float64 {
	sums := make([]float64, outer*b.points*inner)
	for o := range outer {
		for n, four := range b.weights {
			squares := 0.0
			for _, w := range four {
				squares += float64(w * w)
			}
			row := values[(o*len(b.weights)+n)*inner:][:inner]
			for q, w := range four {
				if w == 0 {
					continue
				}
				factor := weight(w, squares)
				sum := sums[(o*b.points+b.first[n]+q)*inner:][:inner]
				for i, x := range row {
					sum[i] += float64(factor * x)
				}
			}
		}
	}
	return sums
}

// splineAt returns the value of the spline at every voxel.
func splineAt(points []float64, shape [3]int, b [3]basis) []float64 {
	points = widen(points, b[1].points*b[2].points, b[0], 1)
	points = widen(points, b[2].points, b[1], shape[0])
	return widen(points, 1, b[2], shape[0]*shape[1])
}

// widen evaluates the spline along the middle axis of points, of the shape
// (outer, control points, inner).
func widen(points []float64, outer int, b basis, inner int) []float64 {
	values := make([]float64, outer*len(b.weights)*inner)
	for o := range outer {
		for n, four := range b.weights {
			row := values[(o*len(b.weights)+n)*inner:][:inner]
			for q, w := range four {
				if w == 0 {
					continue
				}
				for i, x := range points[(o*b.points+b.first[n]+q)*inner:][:inner] {
					row[i] += float64(w * x)
				}
			}
		}
	}
	return values
}
