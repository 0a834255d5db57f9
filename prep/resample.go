package prep

import "ballast/cohort"

// resample applies the filters of D, H and W and returns the result in the
// order (D, H, W). Whatever the order of the voxels in the file, the passes run
// along W, H, D, so that one anatomy gives the same bits.
func resample(v *cohort.Volume, axes [3]axis, filters [3][]taps, outside float32) []float32 {
	var low, size [3]int
	for n, list := range filters {
		var high int
		low[n], high = span(list)
		size[n] = high - low[n]
	}
	data := rows(v, axes, low, size, filters[2], outside)
	// Along H rows are W apart; along D, H*W.
	data = pass(data, size[0], size[1], len(filters[2]), low[1], filters[1], outside)
	return pass(data, 1, size[0], len(filters[1])*len(filters[2]), low[0], filters[0], outside)
}

// rows takes the part of a volume that the filters of D and H need, along these
// axes, and filters its rows along W: the result has the shape (size[0], size[1],
// len(list)).
func rows(v *cohort.Volume, axes [3]axis, low, size [3]int, list []taps, outside float32) []float32 {
	dst := make([]float32, size[0]*size[1]*len(list))
	start := origin(axes) + low[0]*axes[0].stride + low[1]*axes[1].stride + low[2]*axes[2].stride
	rest := make([]float64, len(list))
	for n, t := range list {
		rest[n] = float64(t.outside * float64(outside))
	}
	row := make([]float64, size[2]) // one row of the volume
	for d := range size[0] {
		for h := range size[1] {
			at := start + d*axes[0].stride + h*axes[1].stride
			for x := range row {
				row[x] = float64(v.Data[at])
				at += axes[2].stride
			}
			out := dst[(d*size[1]+h)*len(list):][:len(list)]
			for n := range list {
				t := &list[n]
				sum := rest[n]
				if len(t.weights) > 0 {
					values := row[t.first-low[2]:][:len(t.weights)]
					for m, weight := range t.weights {
						sum += float64(weight * values[m])
					}
				}
				out[n] = float32(sum)
			}
		}
	}
	return dst
}

// pass filters the middle axis of src, which has the shape (outer, size, inner)
// and whose voxel 0 along the middle is number low of the image. The result has
// the shape (outer, len(list), inner).
func pass(src []float32, outer, size, inner, low int, list []taps, outside float32) []float32 {
	dst := make([]float32, outer*len(list)*inner)
	sums := make([]float64, inner)
	for o := range outer {
		for n, t := range list {
			rest := float64(t.outside * float64(outside))
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
