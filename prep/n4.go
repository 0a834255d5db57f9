package prep

import (
	"errors"
	"fmt"
	"math"

	"ballast/cohort"
	"ballast/stat"
)

// The settings of CorrectBias; the names and values are those of ITK's
// N4BiasFieldCorrectionImageFilter.
const (
	n4Levels     = 4     // fitting levels; the mesh of the spline has 1, 2, 4, 8 elements along an axis
	n4Iterations = 50    // at most, per level
	n4Converged  = 0.001 // coefficient of variation of the last change of the field
	n4Bins       = 200   // of the histogram of logarithms
	n4FWHM       = 0.15  // of the Gaussian that the histogram is sharpened by, in units of the logarithm
	n4Noise      = 0.01  // of the Wiener filter that does it
	n4Samples    = 48    // the field is estimated on at most so many voxels along an axis
)

// CorrectBias divides an image by an estimate of its bias field, the slow shading
// that the receive coils leave: N4 (N. J. Tustison et al., "N4ITK: improved N3
// bias correction", IEEE Transactions on Medical Imaging 29, 2010), which looks
// for the smooth field, a cubic B-spline of the logarithm, without which the
// histogram of the body is sharpest. The field is scaled so that the mean of its
// logarithm over the body is 0: brightness as a whole stays.
//
// The steps are those of ITK's filter with its defaults, on the voxels that
// Foreground calls body instead of an Otsu mask, and on every second, third, ...
// voxel of a large image. The result has the same bits on every CPU.
func CorrectBias(v *cohort.Volume, body Ground) (*cohort.Volume, error) {
	f, err := newBiasFit(v, body)
	if err != nil {
		return nil, err
	}
	for level := range n4Levels {
		f.fit(1 << level)
	}
	return f.correct(v), nil
}

// A biasFit is the estimate of a field under way, on a thinned image.
type biasFit struct {
	full, shape [3]int     // voxels along i, j, k of the image and of the thinned one
	at          [3][]int   // where the thinned voxels lie
	inside      []float64  // 1 in the body, else 0
	logs        []float64  // logarithm of the image in the body, else 0
	field       []float64  // estimated so far, at the thinned voxels
	count       int        // voxels in the body
	levels      []biasMesh // fitted so far
}

// A biasMesh is a B-spline: control points, index i fastest, on a mesh of
// elements along each axis that the image has.
type biasMesh struct {
	elements int
	points   []float64
}

func newBiasFit(v *cohort.Volume, body Ground) (*biasFit, error) {
	f := &biasFit{full: v.Shape}
	for axis, size := range v.Shape {
		step := (size + n4Samples - 1) / n4Samples
		start := (size - 1) % step / 2
		for x := start; x < size; x += step {
			f.at[axis] = append(f.at[axis], x)
		}
		f.shape[axis] = len(f.at[axis])
	}
	voxels, dark := f.shape[0]*f.shape[1]*f.shape[2], 0
	f.inside, f.logs, f.field = make([]float64, voxels), make([]float64, voxels), make([]float64, voxels)
	n := 0
	for _, k := range f.at[2] {
		for _, j := range f.at[1] {
			for _, i := range f.at[0] {
				if x := v.At(i, j, k); body.Contains(x) && x > 0 {
					f.inside[n], f.logs[n] = 1, stat.Log(float64(x))
					f.count++
				} else if body.Contains(x) {
					dark++
				}
				n++
			}
		}
	}
	if dark > f.count {
		return nil, fmt.Errorf("bias n4 needs positive intensities, but %d of %d voxels of the body are 0 or below: the image was normalised before", dark, dark+f.count)
	}
	if f.count < 64 {
		return nil, errors.New("bias n4 finds too little body to estimate a field")
	}
	return f, nil
}

// fit adds a level to the field: again and again the difference between the
// corrected image and its sharpened self is smoothed by a B-spline.
func (f *biasFit) fit(elements int) {
	var b [3]basis
	for axis := range 3 {
		b[axis] = newBasis(f.at[axis], f.full[axis], elements)
	}
	weight := gather(f.inside, f.shape, b, func(w, _ float64) float64 { return float64(w * w) })
	mesh := biasMesh{elements, make([]float64, len(weight))}
	residual := make([]float64, len(f.logs))
	for range n4Iterations {
		f.sharpen(residual)
		points := gather(residual, f.shape, b, func(w, squares float64) float64 { return float64(float64(w*w)*w) / squares })
		for n, w := range weight {
			if w > 0 {
				points[n] /= w
				mesh.points[n] += points[n]
			}
		}
		change := splineAt(points, f.shape, b)
		for n, x := range change {
			f.field[n] += x
		}
		if f.variation(change) < n4Converged {
			break
		}
	}
	f.levels = append(f.levels, mesh)
}

// variation returns the coefficient of variation of exp(change) in the body.
func (f *biasFit) variation(change []float64) float64 {
	sum, square := 0.0, 0.0
	for n, x := range change {
		if f.inside[n] == 1 {
			e := stat.Exp(x)
			sum += e
			square += float64(e * e)
		}
	}
	count := float64(f.count)
	mean := sum / count
	return math.Sqrt(max(0, (square-float64(float64(mean*mean)*count))/(count-1))) / mean
}

// correct divides the image by the field at every voxel.
func (f *biasFit) correct(v *cohort.Volume) *cohort.Volume {
	mean := 0.0
	for n, x := range f.field {
		mean += float64(f.inside[n] * x)
	}
	mean /= float64(f.count)
	corrected := *v
	corrected.Data = make([]float32, len(v.Data))
	plane := v.Shape[0] * v.Shape[1]
	var planes [][]float64 // of each level, of each control point along k: the spline along i and j
	var along []basis      // k
	for _, level := range f.levels {
		var b [3]basis
		for axis := range 3 {
			b[axis] = newBasis(everyVoxel(v.Shape[axis]), v.Shape[axis], level.elements)
		}
		data := widen(level.points, b[1].points*b[2].points, b[0], 1)
		planes = append(planes, widen(data, b[2].points, b[1], v.Shape[0]))
		along = append(along, b[2])
	}
	field := make([]float64, plane)
	for k := range v.Shape[2] {
		for n := range field {
			field[n] = -mean
		}
		for level, b := range along {
			for q, w := range b.weights[k] {
				if w != 0 {
					for n, x := range planes[level][(b.first[k]+q)*plane:][:plane] {
						field[n] += float64(w * x)
					}
				}
			}
		}
		for n, x := range v.Data[k*plane:][:plane] {
			corrected.Data[k*plane+n] = float32(float64(x) / stat.Exp(field[n]))
		}
	}
	return &corrected
}

func everyVoxel(size int) []int {
	all := make([]int, size)
	for n := range all {
		all[n] = n
	}
	return all
}

// sharpen writes to residual how much the logarithm of the corrected image lies
// above what it would be without a field: the mean over all true values that, by
// the sharpened histogram, may lie behind the measured one (J. G. Sled, A. P.
// Zijdenbos and A. C. Evans, "A nonparametric method for automatic correction of
// intensity nonuniformity in MRI data", IEEE Transactions on Medical Imaging 17,
// 1998).
func (f *biasFit) sharpen(residual []float64) {
	low, high := math.Inf(1), math.Inf(-1)
	for n, x := range f.logs {
		if f.inside[n] == 1 {
			x -= f.field[n]
			residual[n] = x
			low, high = min(low, x), max(high, x)
		}
	}
	if !(high > low) {
		clear(residual)
		return
	}
	width := (high - low) / (n4Bins - 1)
	counts := make([]float64, n4Bins)
	for n, x := range residual {
		if f.inside[n] == 1 {
			at := (x - low) / width
			bin := min(int(at), n4Bins-2)
			share := at - float64(bin)
			counts[bin] += 1 - share
			counts[bin+1] += share
		}
	}
	expected := expectation(counts, low, width)
	for n, x := range residual {
		if f.inside[n] == 1 {
			at := (x - low) / width
			bin := min(int(at), n4Bins-2)
			share := at - float64(bin)
			residual[n] = x - (expected[bin] + float64(share*(expected[bin+1]-expected[bin])))
		}
	}
}

// expectation sharpens a histogram, whose first bin lies at low, by a Wiener
// filter and returns, for each bin, the true value that is expected behind it.
func expectation(counts []float64, low, width float64) []float64 {
	const padded, offset = 512, (512 - n4Bins) / 2
	t := newTransform(padded)
	s := newSpectrum(padded) // lane 0: the histogram, lane 1: the Gaussian around bin 0
	for n, x := range counts {
		s.re[(offset+n)*lanes] = x
	}
	const ln2 = 0.693147180559945309417
	fwhm := n4FWHM / width
	for n := range padded {
		away := float64(min(n, padded-n))
		s.re[n*lanes+1] = 2 * math.Sqrt(ln2/math.Pi) / fwhm * stat.Exp(-float64(away*away)*(4*ln2/float64(fwhm*fwhm)))
	}
	t.forward(s)
	gauss := make([]float64, padded) // the transform of a symmetric function is real
	for n := range gauss {
		gauss[n] = s.re[n*lanes+1]
		wiener := gauss[n] / (float64(gauss[n]*gauss[n]) + n4Noise)
		s.re[n*lanes] *= wiener
		s.im[n*lanes] *= wiener
	}
	t.backward(s)
	// Of the sharpened histogram u: lane 0 becomes u times the value, lane 1 is u.
	for n := range padded {
		u := max(0, s.re[n*lanes]/padded)
		s.re[n*lanes] = float64(u * (low + float64(float64(n-offset)*width)))
		s.re[n*lanes+1] = u
	}
	clear(s.im)
	t.forward(s)
	for n, g := range gauss {
		for at := n * lanes; at < n*lanes+2; at++ {
			s.re[at] *= g
			s.im[at] *= g
		}
	}
	t.backward(s)
	expected := make([]float64, n4Bins)
	for n := range expected {
		at := (offset + n) * lanes
		if mass := s.re[at+1]; mass != 0 {
			expected[n] = s.re[at] / mass
		}
	}
	return expected
}
