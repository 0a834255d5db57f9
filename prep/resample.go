package prep

import (
	"math"

	"ballast/cohort"
)

// taps is how one voxel of the result is made along one axis: the sum of
// weights[n] times voxel first + n, plus outside times the background.
type taps struct {
	first   int
	weights []float64
	outside float64
}

// filter returns the taps of count voxels of the result whose middle lies at
// voxel coordinate centre of a row of size voxels; ratio is the new spacing over
// the old one.
//
// The filter is a triangle: linear interpolation when the result is as fine as
// the image (ratio <= 1), widened by the ratio when it is coarser, so that no
// detail folds back as false structure (the antialiased bilinear filter of PIL).
// A linear ramp is kept exactly when ratio <= 1 or a whole number.
func filter(count int, centre, ratio float64, size int) []taps {
	list := make([]taps, count)
	radius := max(1, ratio)
	for n := range list {
		if size == 1 && count == 1 {
			list[n] = taps{0, []float64{1}, 0} // the one slice of a 2D image
			continue
		}
		at := centre + float64((float64(n)-float64(count-1)/2)*ratio)
		list[n] = triangle(at, radius, size)
	}
	return list
}

// triangle samples 1 - |x - at|/radius at the whole numbers and divides by the
// sum of all samples, those outside 0..size-1 included.
func triangle(at, radius float64, size int) taps {
	low, high := int(math.Floor(at-radius))+1, int(math.Ceil(at+radius))-1
	t := taps{first: max(low, 0)}
	total := 0.0
	for x := low; x <= high; x++ {
		weight := 1 - math.Abs(float64(x)-at)/radius
		total += weight
		if x < 0 || x >= size {
			t.outside += weight
		} else {
			t.weights = append(t.weights, weight)
		}
	}
	for n := range t.weights {
		t.weights[n] /= total
	}
	t.outside /= total
	return t
}

// span returns the first voxel that any tap uses and the one behind the last.
func span(list []taps) (low, high int) {
	low, high = math.MaxInt, 0
	for _, t := range list {
		if len(t.weights) > 0 {
			low, high = min(low, t.first), max(high, t.first+len(t.weights))
		}
	}
	return min(low, high), high
}

// resample applies the filters of D, H and W and returns the result in the
// order (D, H, W). Whatever the order of the voxels in the file, the passes run
// along W, H, D, so that one anatomy gives the same bits.
func resample(v *cohort.Volume, axes [3]axis, filters [3][]taps, background float32) []float32 {
	var low, size [3]int
	for n, list := range filters {
		var high int
		low[n], high = span(list)
		size[n] = high - low[n]
	}
	data := cut(v, axes, low, size)
	// Along W every row is a row; along H rows are W apart; along D, H*W.
	for n := 2; n >= 0; n-- {
		inner := 1
		for m := n + 1; m < 3; m++ {
			inner *= len(filters[m])
		}
		outer := 1
		for m := range n {
			outer *= size[m]
		}
		data = pass(data, outer, size[n], inner, low[n], filters[n], background)
	}
	return data
}

// cut copies the part of a volume that the filters need, in the order (D, H, W).
func cut(v *cohort.Volume, axes [3]axis, low, size [3]int) []float32 {
	out := make([]float32, 0, size[0]*size[1]*size[2])
	start := origin(axes)
	for n, a := range axes {
		start += low[n] * a.stride
	}
	for d := range size[0] {
		for h := range size[1] {
			at := start + d*axes[0].stride + h*axes[1].stride
			for range size[2] {
				out = append(out, v.Data[at])
				at += axes[2].stride
			}
		}
	}
	return out
}

// pass filters the middle axis of src, which has the shape (outer, size, inner)
// and whose voxel 0 along the middle is number low of the image. The result has
// the shape (outer, len(list), inner).
func pass(src []float32, outer, size, inner, low int, list []taps, background float32) []float32 {
	dst := make([]float32, outer*len(list)*inner)
	sums := make([]float64, inner)
	for o := range outer {
		for n, t := range list {
			rest := float64(t.outside * float64(background))
			for x := range sums {
				sums[x] = rest
			}
			for m, weight := range t.weights {
				at := (o*size + t.first - low + m) * inner
				for x, value := range src[at : at+inner] {
					sums[x] += float64(weight * float64(value))
				}
			}
			row := dst[(o*len(list)+n)*inner:][:inner]
			for x, sum := range sums {
				row[x] = float32(sum)
			}
		}
	}
	return dst
}
