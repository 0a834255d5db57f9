package prep

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"ballast/stat"
)

// Motion blurs and doubles the image as a patient does who moves during the scan:
// parts of k-space then belong to different positions.
//
// The lines of k-space along one axis are filled one after another, from -n/2 to
// n/2 - 1, while the patient takes several rigid poses. With s_m the signal above
// empty space in pose m (see Affine for rotation and movement) and S_m its
// discrete Fourier transform along the axis,
//
//	S'(k) = S_m(k), m the pose at the time of line k,      s' = |inverse transform of S'|
//
// The pose in which the centre of k-space was filled is the image as it is: it
// decides where the patient appears to lie. Times are drawn evenly over the
// scan, rotations and movements evenly for each pose; channels move alike.
//
// After Shaw, Sudre, Ourselin and Cardoso, "MRI k-space motion artefact
// augmentation" (MIDL 2019), as in TorchIO's RandomMotion, which takes the real
// part where a scanner shows the magnitude.
type Motion struct {
	Probability float64 `yaml:"probability" doc:"share of the images that are blurred as by a patient who moves"`
	Rotation    float64 `yaml:"rotation" doc:"largest angle of a pose about each axis in degrees, either way"`
	Translation float64 `yaml:"translation" doc:"largest movement of a pose along each axis in mm, either way"`
	Movements   int     `yaml:"movements" doc:"largest number of movements during the scan"`
}

// A MotionDraw is the parameters of one Motion.
type MotionDraw struct {
	Axis    int        `json:"axis"`       // 0, 1, 2 for D, H, W
	Times   []float64  `json:"times"`      // when the next pose begins, rising from 0 to 1
	Poses   []PoseDraw `json:"poses"`      // one more than times
	Spacing [3]float64 `json:"spacing_mm"` // of the grid along D, H, W
}

// A PoseDraw is one position of a patient.
type PoseDraw struct {
	Rotation    [3]float64 `json:"rotation_degrees"` // about D, H, W
	Translation [3]float64 `json:"translation_mm"`   // along D, H, W
}

const maxMovements = 16

func (m Motion) check() error {
	low := 0.0
	if m.Probability > 0 {
		low = 1
	}
	return errors.Join(setting("motion.rotation", m.Rotation, 0, 180), setting("motion.translation", m.Translation, 0, 1e4),
		setting("motion.movements", float64(m.Movements), low, maxMovements))
}

func (m Motion) checkGrid(g grid) error {
	for axis, size := range g.size {
		if length := g.length(axis); size > 1 && m.Probability > 0 && m.Translation > length/2 {
			return fmt.Errorf("motion.translation is %g mm, more than half of the grid's %g mm: it would move the patient out of view", m.Translation, length)
		}
	}
	return nil
}

func (m Motion) draw(s *stat.Stream, g grid) *MotionDraw {
	d := &MotionDraw{Axis: g.drawAxis(s), Spacing: g.spacing}
	d.Times = eachOf(1+s.IntN(m.Movements), s.Float64)
	slices.Sort(d.Times)
	for range len(d.Times) + 1 {
		var pose PoseDraw
		for axis := range 3 {
			pose.Rotation[axis] = either(s, m.Rotation)
			pose.Translation[axis] = either(s, m.Translation)
		}
		if g.flat() {
			pose.Rotation[1], pose.Rotation[2], pose.Translation[0] = 0, 0, 0
		}
		d.Poses = append(d.Poses, pose)
	}
	return d
}

func (d *MotionDraw) checkFits(g grid) error {
	if d.Axis < 0 || d.Axis > 2 || len(d.Times) > maxMovements || len(d.Poses) != len(d.Times)+1 || !slices.IsSorted(d.Times) || !finite(1, d.Times...) {
		return fmt.Errorf("motion: needs an axis of 0, 1 or 2, up to %d rising times of 0 to 1 and one pose more", maxMovements)
	}
	for _, pose := range d.Poses {
		affine := AffineDraw{Rotation: pose.Rotation, Translation: pose.Translation, Scale: 1, Spacing: d.Spacing}
		if affine.checkFits(g) != nil {
			return errors.New("motion: numbers of a pose out of range, or a turn out of the plane of a 2D image")
		}
	}
	return nil
}

// poseOf returns the pose in which line i was filled, i counted in time.
func (d *MotionDraw) poseOf(i, n int) int {
	pose := 0
	for pose < len(d.Times) && float64(i) >= d.Times[pose]*float64(n) {
		pose++
	}
	return pose
}

// A segment is the frequencies that were filled in one pose.
type segment struct {
	pose        int
	frequencies []int // 0..n-1, negative ones as n - |k|
}

// segments returns what the poses filled but the one of the centre.
func (d *MotionDraw) segments(n int) []segment {
	var list []segment
	centre := d.poseOf(n/2, n)
	for i := range n {
		pose, k := d.poseOf(i, n), (i-n/2+n)%n
		switch {
		case pose == centre:
		case len(list) > 0 && list[len(list)-1].pose == pose:
			last := &list[len(list)-1]
			last.frequencies = append(last.frequencies, k)
		default:
			list = append(list, segment{pose, []int{k}})
		}
	}
	return list
}

func (d *MotionDraw) apply(data []float32, g grid, zero, background float32) {
	_, n, _ := g.lines(d.Axis)
	segments := d.segments(n)
	if len(segments) == 0 {
		return
	}
	moved := make([]*[]float32, len(segments))
	for m, part := range segments {
		pose := AffineDraw{Rotation: d.Poses[part.pose].Rotation, Translation: d.Poses[part.pose].Translation, Scale: 1, Spacing: d.Spacing}
		moved[m] = borrow(len(data))
		defer giveBack(moved[m])
		warp(*moved[m], data, g, pose.mapping(g), nil, background)
	}
	t := newTransform(n)
	sum, part := newSpectrum(n), newSpectrum(n)
	eachBlock(g, d.Axis, lanes, func(block lineBlock) {
		block.read(sum.re, 0, data, zero)
		clear(sum.im)
		t.forward(sum)
		// Two poses share a transform, one as its real, one as its imaginary part.
		for m := 0; m < len(segments); m += 2 {
			block.read(part.re, 0, *moved[m], zero)
			if m+1 < len(segments) {
				block.read(part.im, 0, *moved[m+1], zero)
			} else {
				clear(part.im)
			}
			t.forward(part)
			take(sum, part, segments[m].frequencies, n, false)
			if m+1 < len(segments) {
				take(sum, part, segments[m+1].frequencies, n, true)
			}
		}
		t.backward(sum)
		for i, re := range sum.re {
			sum.re[i] = math.Sqrt(float64(re*re)+float64(sum.im[i]*sum.im[i])) / float64(n)
		}
		block.writeAbs(sum.re, 0, data, zero)
	})
}

// take copies some frequencies of one of the two real lines that share the
// transform pair: that of the real part is (P(k) + conj P(-k)) / 2, that of the
// imaginary part (P(k) - conj P(-k)) / 2i.
func take(sum, pair *spectrum, frequencies []int, n int, second bool) {
	for _, k := range frequencies {
		at, mirror := k*lanes, (n-k)%n*lanes
		for lane := range lanes {
			re, im := pair.re[at+lane], pair.im[at+lane]
			mirrorRe, mirrorIm := pair.re[mirror+lane], pair.im[mirror+lane]
			if second {
				sum.re[at+lane], sum.im[at+lane] = (im+mirrorIm)/2, (mirrorRe-re)/2
			} else {
				sum.re[at+lane], sum.im[at+lane] = (re+mirrorRe)/2, (im-mirrorIm)/2
			}
		}
	}
}
