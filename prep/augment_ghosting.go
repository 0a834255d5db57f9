package prep

import (
	"errors"
	"fmt"
	"math"

	"ballast/stat"
)

// Ghosting repeats the image faintly along one axis: breathing, heartbeat and
// pulsating vessels modulate the lines of k-space periodically.
//
// With S the discrete Fourier transform of the signal s above empty space along
// the axis, of n lines,
//
//	S'(k) = S(k) (1 - strength)   when k is a multiple of the number of ghosts and not 0
//	S'(k) = S(k)                  else,      s' = |inverse transform of S'|
//
// k counted from the centre of k-space, from -n/2 to n/2. That makes so many
// copies of the image, evenly spaced over the field, the strongest in place; the
// centre of k-space keeps the brightness. As the lines of the other axes are all
// treated alike, a transform along the one axis gives what a transform along all
// would. Number of ghosts, strength and axis are drawn for each image, the
// strength for each channel anew.
//
// After TorchIO's RandomGhosting; Axel, Summers, Kressel and Charles,
// "Respiratory effects in two-dimensional Fourier transform MR imaging"
// (Radiology 160, 1986), for the cause.
type Ghosting struct {
	Probability float64 `yaml:"probability" doc:"share of the images that get ghosts"`
	Ghosts      int     `yaml:"ghosts" doc:"largest number of copies, at least 2"`
	Strength    float64 `yaml:"strength" doc:"largest share that the ghosting lines of k-space lose"`
}

// A GhostingDraw is the parameters of one Ghosting.
type GhostingDraw struct {
	Axis     int       `json:"axis"` // 0, 1, 2 for D, H, W
	Ghosts   int       `json:"ghosts"`
	Strength []float64 `json:"strength"` // of each channel
}

func (o Ghosting) check() error {
	low := 0.0
	if o.Probability > 0 {
		low = 2
	}
	return errors.Join(setting("ghosting.ghosts", float64(o.Ghosts), low, 64), setting("ghosting.strength", o.Strength, 0, 1))
}

func (o Ghosting) draw(s *stat.Stream, g grid, channels int) *GhostingDraw {
	return &GhostingDraw{
		Axis:     g.drawAxis(s),
		Ghosts:   2 + s.IntN(o.Ghosts-1),
		Strength: eachOf(channels, func() float64 { return uniform(s, 0, o.Strength) }),
	}
}

func (d *GhostingDraw) checkFits(g grid, channels int) error {
	if d.Axis < 0 || d.Axis > 2 || d.Ghosts < 2 || len(d.Strength) != channels || !finite(1, d.Strength...) {
		return fmt.Errorf("ghosting: needs an axis of 0, 1 or 2, at least 2 ghosts and a strength up to 1 for each of %d channels", channels)
	}
	return nil
}

func (d *GhostingDraw) apply(data []float32, g grid, channel int, zero float32) {
	_, n, _ := g.lines(d.Axis)
	keep := make([]float64, n) // with the 1/n of the transform back
	for k := range keep {
		keep[k] = 1 / float64(n)
		if fromCentre := min(k, n-k); fromCentre != 0 && fromCentre%d.Ghosts == 0 {
			keep[k] = (1 - d.Strength[channel]) / float64(n)
		}
	}
	t := newTransform(n)
	s := newSpectrum(n)
	// The factors are real and the same for k and -k, so that a real line stays
	// real: two lines share a transform, one as its real, one as its imaginary part.
	eachBlock(g, d.Axis, 2*lanes, func(block lineBlock) {
		block.read(s.re, 0, data, zero)
		block.read(s.im, lanes, data, zero)
		t.forward(s)
		for k, factor := range keep {
			for i := k * lanes; i < (k+1)*lanes; i++ {
				s.re[i], s.im[i] = float64(s.re[i]*factor), float64(s.im[i]*factor)
			}
		}
		t.backward(s)
		block.writeAbs(s.re, 0, data, zero)
		block.writeAbs(s.im, lanes, data, zero)
	})
}

// A lineBlock is some lines along an axis: line i starts at voxel first[i] and
// goes on every step voxels.
type lineBlock struct {
	first   []int
	step, n int
}

// eachBlock visits the lines along an axis, at most so many at a time.
func eachBlock(g grid, axis, most int, visit func(lineBlock)) {
	outer, size, inner := g.lines(axis)
	block := lineBlock{make([]int, 0, most), inner, size}
	for line := range outer * inner {
		block.first = append(block.first, line/inner*size*inner+line%inner)
		if len(block.first) == most || line == outer*inner-1 {
			visit(block)
			block.first = block.first[:0]
		}
	}
}

// lane returns where the lines from number from on start, at most lanes of them.
func (b lineBlock) lane(from int) []int {
	return b.first[min(from, len(b.first)):min(from+lanes, len(b.first))]
}

// read puts the signal above zero of the lines from number from on into the lanes
// of target; lanes without a line become 0.
func (b lineBlock) read(target []float64, from int, data []float32, zero float32) {
	starts := b.lane(from)
	if len(starts) < lanes {
		clear(target)
	}
	for lane, at := range starts {
		for i := lane; i < b.n*lanes; i += lanes {
			target[i] = float64(data[at] - zero)
			at += b.step
		}
	}
}

// writeAbs writes the lanes back as magnitudes above zero.
func (b lineBlock) writeAbs(source []float64, from int, data []float32, zero float32) {
	for lane, at := range b.lane(from) {
		for i := lane; i < b.n*lanes; i += lanes {
			data[at] = zero + float32(math.Abs(source[i]))
			at += b.step
		}
	}
}
