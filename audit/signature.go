package audit

import (
	"encoding/hex"
	"math"
	"slices"

	"ballast/cohort"
)

// A signature is what an image is recognised by when it was saved again, moved
// or mirrored.
//
// The image is turned to RAS+ and sampled onto a small grid that is centred on
// the centroid of its bright part and spans reach standard deviations of that to
// either side along each axis, so that a shift, a border or
// another voxel size changes nothing. Of this thumbnail are kept:
//
//   - coefficients: its lowest frequencies (DCT-II without the constant). Their
//     signs against the cohort's medians are the perceptual hash by which
//     candidates are found, as in pHash (Zauner, "Implementation and benchmarking
//     of perceptual image hash functions", 2010), in three dimensions;
//   - detail: what is left of it without its local mean, as int8. The correlation
//     of two details, which anatomy shared by all heads does not raise, decides.
type signature struct {
	dims         int
	detail       []int8 // x fastest, then y, then z
	coefficients []float32
}

// Sides of the thumbnail, kept frequencies per axis, and reach.
const (
	side3D, kept3D = 32, 6
	side2D, kept2D = 64, 16
	reach          = 2.5
	blurRadius     = 2   // of the local mean: a box of 5 thumbnail voxels
	quiet          = 0.5 // part of the whole thumbnail's deviation that is added to the local one
)

func (s *signature) side() [3]int {
	if s.dims == 2 {
		return [3]int{side2D, side2D, 1}
	}
	return [3]int{side3D, side3D, side3D}
}

func (s *signature) kept() [3]int {
	if s.dims == 2 {
		return [3]int{kept2D, kept2D, 1}
	}
	return [3]int{kept3D, kept3D, kept3D}
}

// newSignature returns nil for an image of which the thumbnail shows nothing.
func newSignature(v *cohort.Volume) *signature {
	background := cornerValue(v)
	s := &signature{dims: 3}
	for axis := range 3 {
		if v.Shape[axis] == 1 {
			s.dims = 2
		}
	}
	axes := worldAxes(v, s.dims)
	centre, spread := place(v)
	side := s.side()
	data, size := v.Data, v.Shape
	stride := [3]int{1, v.Shape[0], v.Shape[0] * v.Shape[1]}
	// One axis of the result after another; the sampled one becomes the slowest,
	// so after three passes they stand in the order x, y, z.
	for w, axis := range axes {
		step := 2 * reach * spread[axis.voxel] / float64(side[w])
		data = sampleAxis(data, size, stride, axis, centre[axis.voxel], step, side[w], background)
		size[axis.voxel] = side[w]
		stride = [3]int{}
		next := 1
		for n := range 3 { // the layout that sampleAxis leaves: i, j, k as before
			stride[n] = next
			next *= size[n]
		}
	}
	thumbnail := reorder(data, stride, axes, side)
	if !standardise(thumbnail) {
		return nil
	}
	s.coefficients = cosines(thumbnail, side, s.kept())
	s.detail = detail(thumbnail, side)
	return s
}

// cornerValue is the middle of the values at the eight corners: what lies beyond
// the border of the image.
func cornerValue(v *cohort.Volume) float32 {
	var corners [8]float32
	for n := range corners {
		corners[n] = v.At((n&1)*(v.Shape[0]-1), (n>>1&1)*(v.Shape[1]-1), (n>>2&1)*(v.Shape[2]-1))
	}
	slices.Sort(corners[:])
	return corners[3]
}

// A worldAxis is the voxel axis that runs along x, y or z of the thumbnail.
type worldAxis struct {
	voxel    int
	reversed bool
}

// worldAxes orders the voxel axes along right, anterior, superior; of a 2D image
// the two within the picture come first.
func worldAxes(v *cohort.Volume, dims int) (axes [3]worldAxis) {
	world, reversed := v.Orientation()
	for n := range 3 {
		axes[world[n]] = worldAxis{n, reversed[n]}
	}
	if dims == 2 {
		thin := 2
		for w := range 3 {
			if v.Shape[axes[w].voxel] == 1 {
				thin = w
			}
		}
		axes[thin], axes[2] = axes[2], axes[thin]
		if thin == 0 { // x is thin: y and z keep their order
			axes[0], axes[1] = axes[1], axes[0]
		}
	}
	return axes
}

// place returns centroid and standard deviation in voxels along i, j, k of the
// bright part of the image; those of the whole grid where it is flat.
func place(v *cohort.Volume) (centre, spread [3]float64) {
	low, high := brightness(v)
	var counts [3][]float64
	for axis := range 3 {
		counts[axis] = make([]float64, v.Shape[axis])
	}
	n := 0
	for k := range v.Shape[2] {
		for j := range v.Shape[1] {
			row := 0.0
			for i, x := range v.Data[n : n+v.Shape[0]] {
				if x > low {
					w := min(1, float64((x-low)/(high-low)))
					counts[0][i] += w
					row += w
				}
			}
			counts[1][j] += row
			counts[2][k] += row
			n += v.Shape[0]
		}
	}
	for axis, count := range counts {
		centre[axis], spread[axis] = moments(count)
		if !(spread[axis] > 0.5) {
			even := make([]float64, len(count))
			for n := range even {
				even[n] = 1
			}
			centre[axis], spread[axis] = moments(even)
		}
		spread[axis] = max(spread[axis], 0.3) // one voxel has a spread of 1/sqrt(12)
	}
	return centre, spread
}

// brightness returns from where on a voxel counts and from where on it counts in
// full: three quarters and five quarters of the way from the darkest voxel to
// Otsu's threshold, which lies where it divides the voxels into two groups of
// the least variance. Noise in empty space hardly reaches it. (Otsu, "A threshold
// selection method from gray-level histograms", IEEE Trans. SMC 1979.)
func brightness(v *cohort.Volume) (low, high float32) {
	every := max(1, len(v.Data)/(1<<17))
	var sample []float32
	for n := 0; n < len(v.Data); n += every {
		sample = append(sample, v.Data[n])
	}
	slices.Sort(sample)
	floor, ceiling := sample[0], sample[len(sample)-1-len(sample)/200]
	if !(ceiling > floor) {
		ceiling = sample[len(sample)-1]
	}
	if !(ceiling > floor) {
		return floor, floor + 1
	}
	const bins = 256
	var counts [bins]float64
	total, sum := 0.0, 0.0
	for _, x := range sample {
		bin := min(bins-1, int(float64(x-floor)/float64(ceiling-floor)*bins))
		counts[bin]++
		total++
		sum += float64(bin)
	}
	best, threshold := -1.0, 0
	below, first := 0.0, 0.0
	for bin, count := range counts {
		below += count
		first += count * float64(bin)
		if below == 0 || below == total {
			continue
		}
		d := first/below - (sum-first)/(total-below)
		if between := below * (total - below) * d * d; between > best {
			best, threshold = between, bin+1
		}
	}
	at := float32(threshold) / bins * (ceiling - floor)
	return floor + 0.75*at, floor + 1.25*at
}

// moments returns mean and standard deviation of the index under the weights.
func moments(weights []float64) (mean, deviation float64) {
	sum, first, second := 0.0, 0.0, 0.0
	for n, w := range weights {
		sum += w
		first += w * float64(n)
	}
	mean = first / sum
	for n, w := range weights {
		d := float64(n) - mean
		second += w * d * d
	}
	return mean, math.Sqrt(second / sum)
}

// sampleAxis replaces one axis of a volume (layout i, j, k with i fastest) by
// count samples step voxels apart around centre, each a triangle filter as wide
// as the step, the background beyond the borders.
func sampleAxis(data []float32, size, stride [3]int, axis worldAxis, centre, step float64, count int, background float32) []float32 {
	a := axis.voxel
	length := size[a]
	inner, outer := stride[a], len(data)/(stride[a]*length)
	out := make([]float32, outer*count*inner)
	radius := math.Max(1, step)
	for n := range count {
		offset := (float64(n) - float64(count-1)/2) * step
		if axis.reversed {
			offset = -offset
		}
		at := centre + offset
		if length == 1 { // the one slice of a 2D image
			at, radius = 0, 1
		}
		low, high := int(math.Floor(at-radius))+1, int(math.Ceil(at+radius))-1
		total, outside := 0.0, 0.0
		for x := low; x <= high; x++ {
			w := 1 - math.Abs(float64(x)-at)/radius
			total += w
			if x < 0 || x >= length {
				outside += w
			}
		}
		for o := range outer {
			row := out[(o*count+n)*inner:][:inner]
			rest := float32(outside / total * float64(background))
			for m := range row {
				row[m] = rest
			}
			for x := max(low, 0); x <= min(high, length-1); x++ {
				w := float32((1 - math.Abs(float64(x)-at)/radius) / total)
				for m, value := range data[(o*length+x)*inner:][:inner] {
					row[m] += w * value
				}
			}
		}
	}
	return out
}

// reorder brings the samples into the order x fastest, then y, then z.
func reorder(data []float32, stride [3]int, axes [3]worldAxis, side [3]int) []float32 {
	out := make([]float32, 0, len(data))
	for z := range side[2] {
		for y := range side[1] {
			for x := range side[0] {
				out = append(out, data[x*stride[axes[0].voxel]+y*stride[axes[1].voxel]+z*stride[axes[2].voxel]])
			}
		}
	}
	return out
}

// standardise brings data to mean 0 and variance 1; false when it is constant.
func standardise(data []float32) bool {
	sum, square := 0.0, 0.0
	for _, x := range data {
		sum += float64(x)
	}
	mean := sum / float64(len(data))
	for _, x := range data {
		d := float64(x) - mean
		square += d * d
	}
	deviation := math.Sqrt(square / float64(len(data)))
	if !(deviation > 1e-6*math.Abs(mean)) || math.IsInf(deviation, 0) {
		return false
	}
	for n, x := range data {
		data[n] = float32((float64(x) - mean) / deviation)
	}
	return true
}

// cosines returns the DCT-II coefficients of the lowest frequencies, without
// the constant: sum of x[n] cos(pi u (2n+1) / (2N)) along each axis.
func cosines(data []float32, side, kept [3]int) []float32 {
	values := make([]float64, len(data))
	for n, x := range data {
		values[n] = float64(x)
	}
	inner := 1
	for axis := range 3 { // x, y, z; each pass shortens its axis
		values = cosinePass(values, inner, side[axis], kept[axis])
		inner *= kept[axis]
	}
	out := make([]float32, 0, len(values)-1)
	for _, x := range values[1:] {
		out = append(out, float32(x))
	}
	return out
}

func cosinePass(values []float64, inner, length, kept int) []float64 {
	outer := len(values) / (inner * length)
	out := make([]float64, outer*kept*inner)
	for u := range kept {
		for n := range length {
			w := math.Cos(math.Pi * float64(u) * float64(2*n+1) / float64(2*length))
			for o := range outer {
				row := out[(o*kept+u)*inner:][:inner]
				for m, x := range values[(o*length+n)*inner:][:inner] {
					row[m] += w * x
				}
			}
		}
	}
	return out
}

// detail subtracts the mean over a box of 2 blurRadius + 1 voxels and divides by
// the standard deviation over it, to which a part of the whole thumbnail's is
// added, so that the brain counts as much as the brighter scalp around it and
// empty space counts little. Three units to either side are kept in int8.
func detail(thumbnail []float32, side [3]int) []int8 {
	mean := boxMean(thumbnail, side)
	rest, square := make([]float32, len(mean)), make([]float32, len(mean))
	total := 0.0
	for n := range rest {
		rest[n] = thumbnail[n] - mean[n]
		square[n] = rest[n] * rest[n]
		total += float64(square[n])
	}
	floor := math.Sqrt(total / float64(len(rest)))
	variance := boxMean(square, side)
	out := make([]int8, len(rest))
	for n, x := range rest {
		rest[n] = float32(float64(x) / (math.Sqrt(float64(variance[n])) + quiet*floor))
	}
	keep(out, rest)
	return out
}

// keep stores values of -3 to 3 as int8.
func keep(out []int8, values []float32) {
	for n, x := range values {
		out[n] = int8(math.Round(float64(max(-3, min(3, x))) * 127 / 3))
	}
}

// boxMean is the mean over a box around each voxel.
func boxMean(data []float32, side [3]int) []float32 {
	mean, inner := data, 1
	for axis := range 3 {
		if side[axis] > 1 {
			mean = boxPass(mean, inner, side[axis])
		}
		inner *= side[axis]
	}
	return mean
}

func boxPass(data []float32, inner, length int) []float32 {
	out := make([]float32, len(data))
	for o := range len(data) / (inner * length) {
		block := data[o*length*inner:][:length*inner]
		for n := range length {
			low, high := max(0, n-blurRadius), min(length-1, n+blurRadius)
			row := out[(o*length+n)*inner:][:inner]
			for m := low; m <= high; m++ {
				for x, value := range block[m*inner:][:inner] {
					row[x] += value
				}
			}
			for x := range row {
				row[x] /= float32(high - low + 1)
			}
		}
	}
	return out
}

// A hash is the signs of the coefficients against thresholds, a bit each.
type hash [4]uint64

func (h hash) String() string {
	var bytes [32]byte
	for n, word := range h {
		for b := range 8 {
			bytes[8*n+b] = byte(word >> (8 * b))
		}
	}
	return hex.EncodeToString(bytes[:])
}

// hashOf mirrors the coefficients along the axes of the bits of flip (1: x, 2:
// y, 4: z), which changes the sign of odd frequencies, and compares them with
// the thresholds.
func (s *signature) hashOf(flip int, thresholds []float32) (h hash) {
	kept := s.kept()
	for n, c := range s.coefficients {
		if odd(n+1, kept, flip) {
			c = -c
		}
		if c > thresholds[n] {
			h[n>>6] |= 1 << (n & 63)
		}
	}
	return h
}

// odd tells whether coefficient n changes its sign when the axes are mirrored.
func odd(n int, kept [3]int, flip int) bool {
	u, v, w := n%kept[0], n/kept[0]%kept[1], n/(kept[0]*kept[1])
	return (u&flip&1)^(v&(flip>>1)&1)^(w&(flip>>2)&1) == 1
}
