package prep

import "math"

// taps is how one voxel of the result is made along one axis: the sum of
// weights[n] times voxel first + n, plus outside times what lies outside.
type taps struct {
	first   int
	weights []float64
	outside float64
}

// filter returns the taps of count voxels of the result whose middle lies at
// voxel coordinate centre of a row of size voxels; ratio is the new spacing over
// the old one.
//
// The kernels:
//
//	linear   a triangle: linear interpolation when the result is as fine as the image (ratio <= 1), widened by the
//	         ratio when it is coarser, so that no detail folds back as false structure (the antialiased bilinear
//	         filter of PIL). A linear ramp is kept exactly when ratio <= 1 or a whole number.
//	cubic    cubic convolution with a = -1/2 (Keys 1981), widened in the same way (PIL's bicubic filter). It is
//	         sharper than linear and overshoots beside edges.
//	area     the mean over the voxel of the result of an image that is constant within each of its own voxels.
//	nearest  the nearest voxel, the upper one of two equally near: for images of labels. Nothing is widened.
//
// Weights outside the row count for what lies outside.
func filter(kernel string, count int, centre, ratio float64, size int) []taps {
	list := make([]taps, count)
	for n := range list {
		if size == 1 && count == 1 {
			list[n] = taps{0, []float64{1}, 0} // the one slice of a 2D image
			continue
		}
		at := centre + float64((float64(n)-float64(count-1)/2)*ratio)
		list[n] = tapsAt(kernel, at, ratio, size, nil)
	}
	return list
}

// tapsAt returns the taps of a voxel at a coordinate; their weights are put
// behind room.
func tapsAt(kernel string, at, ratio float64, size int, room []float64) taps {
	radius := max(1, ratio)
	switch kernel {
	case "cubic":
		return weigh(at, radius, size, room, cubic)
	case "nearest":
		return nearest(at, size, room)
	case "area":
		return area(at, ratio, size, room)
	}
	return weigh(at, radius, size, room, triangle)
}

// A shape is a kernel of radius 1 in x and what it is at distance x.
type shape struct {
	support float64
	weight  func(x float64) float64
}

var (
	triangle = shape{1, func(x float64) float64 { return 1 - x }}
	cubic    = shape{2, keys}
)

// keys is the cubic convolution kernel with a = -1/2 at distance x >= 0 (R. G.
// Keys, "Cubic convolution interpolation for digital image processing", IEEE
// Transactions on Acoustics, Speech, and Signal Processing 29, 1981).
func keys(x float64) float64 {
	if x < 1 {
		return float64(float64((float64(1.5*x)-2.5)*x)*x) + 1
	}
	return float64((float64((float64(-0.5*x)+2.5)*x)-4)*x) + 2
}

// weigh samples a kernel widened to radius at the whole numbers and divides by
// the sum of all samples, those outside 0..size-1 included.
func weigh(at, radius float64, size int, room []float64, kernel shape) taps {
	reach := float64(kernel.support * radius)
	low, high := int(math.Floor(at-reach))+1, int(math.Ceil(at+reach))-1
	t := taps{first: max(low, 0), weights: room}
	total := 0.0
	for x := low; x <= high; x++ {
		weight := kernel.weight(math.Abs(float64(x)-at) / radius)
		total += weight
		t.add(x, weight, size)
	}
	t.divide(total)
	return t
}

func nearest(at float64, size int, room []float64) taps {
	x := int(math.Floor(at + 0.5))
	t := taps{first: max(x, 0), weights: room}
	t.add(x, 1, size)
	return t
}

// area weighs voxels by their overlap with the range of ratio voxels around at.
func area(at, ratio float64, size int, room []float64) taps {
	half := float64(ratio / 2)
	from, to := at-half, at+half
	low, high := int(math.Floor(from+0.5)), int(math.Ceil(to-0.5))
	t := taps{first: max(low, 0), weights: room}
	total := 0.0
	for x := low; x <= high; x++ {
		overlap := max(0, min(to, float64(x)+0.5)-max(from, float64(x)-0.5))
		total += overlap
		t.add(x, overlap, size)
	}
	t.divide(total)
	return t
}

// add counts the weight of voxel x for the voxel, or for what lies outside.
func (t *taps) add(x int, weight float64, size int) {
	if x < 0 || x >= size {
		t.outside += weight
	} else {
		t.weights = append(t.weights, weight)
	}
}

func (t *taps) divide(total float64) {
	for n := range t.weights {
		t.weights[n] /= total
	}
	t.outside /= total
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
