package prep

import (
	"math"

	"ballast/cohort"
)

// A placement is where the grid of a result lies in a volume.
type placement struct {
	axes   [3]axis
	centre [3]float64 // of the grid along D, H, W, in voxels of the volume
	step   [3]float64 // voxels of the volume per voxel of the grid
	count  [3]int     // voxels of the grid
}

// resample brings v onto the grid placed in the volume first.
func (p placement) resample(first, v *cohort.Volume, kernel string, outside float32) []float32 {
	if v == first || v.Affine == first.Affine && v.Shape == first.Shape {
		return p.in(v, kernel, outside)
	}
	lattice := p.lattice(first, v)
	if aligned, ok := lattice.aligned(v); ok {
		return aligned.in(v, kernel, outside)
	}
	return lattice.sample(v, kernel, outside)
}

// in resamples the volume that the grid was placed in.
func (p placement) in(v *cohort.Volume, kernel string, outside float32) []float32 {
	var filters [3][]taps
	for n, a := range p.axes {
		filters[n] = filter(kernel, p.count[n], p.centre[n], p.step[n], a.size)
	}
	return resample(v, p.axes, filters, outside)
}

// A lattice is a grid in the voxel coordinates (i, j, k) of any volume of the
// same world, parallel to its axes or not.
type lattice struct {
	middle [3]float64    // of the grid
	step   [3][3]float64 // from one voxel of the grid to the next along D, H, W
	count  [3]int
}

// lattice expresses the grid in the voxels of another volume.
func (p placement) lattice(first, other *cohort.Volume) lattice {
	inverse := inverseOf(other.Affine)
	var world [3]float64 // of the grid's middle, relative to the other volume's first voxel
	var index [3]float64
	l := lattice{count: p.count}
	for n, a := range p.axes {
		index[a.voxel] = p.centre[n]
		step := p.step[n]
		if a.reversed {
			index[a.voxel] = float64(a.size-1) - p.centre[n]
			step = -step
		}
		var way [3]float64
		for row := range 3 {
			way[row] = step * first.Affine[row][a.voxel]
		}
		l.step[n] = times(inverse, way)
	}
	for row := range 3 {
		world[row] = first.Affine[row][3] - other.Affine[row][3]
		for axis := range 3 {
			world[row] += float64(first.Affine[row][axis] * index[axis])
		}
	}
	l.middle = times(inverse, world)
	return l
}

// skew is how far, in voxels at the edge of the grid, a lattice may leave the
// axes of a volume and still be taken as parallel to them: what headers lose by
// rounding.
const skew = 0.01

// aligned returns the lattice as a placement when it is parallel to the axes.
func (l lattice) aligned(v *cohort.Volume) (p placement, ok bool) {
	strides := [3]int{1, v.Shape[0], v.Shape[0] * v.Shape[1]}
	p.count = l.count
	for n := range 3 {
		along := 0
		for axis := range 3 {
			if math.Abs(l.step[n][axis]) > math.Abs(l.step[n][along]) {
				along = axis
			}
		}
		for axis := range 3 {
			if axis != along && !(math.Abs(l.step[n][axis])*float64(l.count[n])/2 <= skew) {
				return p, false
			}
		}
		step, size := l.step[n][along], v.Shape[along]
		p.axes[n] = axis{voxel: along, size: size, stride: strides[along], spacing: v.Spacing[along]}
		p.step[n], p.centre[n] = step, l.middle[along]
		if step < 0 {
			p.axes[n].reversed, p.axes[n].stride = true, -strides[along]
			p.step[n], p.centre[n] = -step, float64(size-1)-l.middle[along]
		}
	}
	return p, true
}

// sample interpolates a volume at every voxel of the lattice. Where the lattice
// is coarser than the volume along one of the volume's axes, the volume is first
// smoothed along it by the triangle of linear resampling, so that no detail folds
// back; "area" is then linear.
func (l lattice) sample(v *cohort.Volume, kernel string, outside float32) []float32 {
	data := v.Data
	if kernel != "nearest" {
		data = l.smooth(v, outside)
	}
	out := make([]float32, 0, l.count[0]*l.count[1]*l.count[2])
	for d := range l.count[0] {
		for h := range l.count[1] {
			for w := range l.count[2] {
				at := l.at([3]int{d, h, w})
				out = append(out, interpolate(data, v.Shape, at, kernel, outside))
			}
		}
	}
	return out
}

// at returns where a voxel of the grid lies in the volume.
func (l lattice) at(index [3]int) (at [3]float64) {
	at = l.middle
	for n := range 3 {
		far := float64(index[n]) - float64(float64(l.count[n]-1)/2)
		for axis := range 3 {
			at[axis] += float64(far * l.step[n][axis])
		}
	}
	return at
}

func (l lattice) smooth(v *cohort.Volume, outside float32) []float32 {
	data := v.Data
	inner := 1
	for axis, size := range v.Shape {
		ratio := 1.0
		for n := range 3 {
			if l.count[n] > 1 {
				ratio = max(ratio, math.Abs(l.step[n][axis]))
			}
		}
		if ratio > 1 && size > 1 {
			list := make([]taps, size)
			for n := range list {
				list[n] = weigh(float64(n), ratio, size, nil, triangle)
			}
			data = pass(data, len(data)/size/inner, size, inner, 0, list, outside)
		}
		inner *= size
	}
	return data
}

// interpolate returns the value of a volume between its voxels.
func interpolate(data []float32, shape [3]int, at [3]float64, kernel string, outside float32) float32 {
	var t [3]taps
	var room [3][4]float64
	for axis, size := range shape {
		t[axis] = tapsAt(kernel, at[axis], 1, size, room[axis][:0])
	}
	sum, inside := 0.0, 0.0
	for c, wk := range t[2].weights {
		for b, wj := range t[1].weights {
			start := shape[0] * (t[1].first + b + shape[1]*(t[2].first+c))
			weight := float64(wk * wj)
			for a, wi := range t[0].weights {
				w := float64(weight * wi)
				inside += w
				sum += float64(w * float64(data[start+t[0].first+a]))
			}
		}
	}
	return float32(sum + float64((1-inside)*float64(outside)))
}

// inverseOf returns the inverse of the affine's linear part.
func inverseOf(m [3][4]float64) (inverse [3][3]float64) {
	for r := range 3 {
		for c := range 3 {
			r1, r2, c1, c2 := (r+1)%3, (r+2)%3, (c+1)%3, (c+2)%3
			inverse[c][r] = float64(m[r1][c1]*m[r2][c2]) - float64(m[r1][c2]*m[r2][c1])
		}
	}
	determinant := float64(m[0][0]*inverse[0][0]) + float64(m[0][1]*inverse[1][0]) + float64(m[0][2]*inverse[2][0])
	for r := range 3 {
		for c := range 3 {
			inverse[r][c] /= determinant
		}
	}
	return inverse
}

func times(m [3][3]float64, x [3]float64) (y [3]float64) {
	for r := range 3 {
		y[r] = float64(m[r][0]*x[0]) + float64(m[r][1]*x[1]) + float64(m[r][2]*x[2])
	}
	return y
}
