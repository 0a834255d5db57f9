package prep

import (
	"fmt"
	"sync"
)

// CheckFits returns an error that wraps ErrDraw when a draw, read from a file
// perhaps, cannot be applied to an image.
func (d *Draw) CheckFits(image *Image) error {
	g := grid{size: [3]int{image.D, image.H, image.W}}
	var problems []error
	for _, shift := range d.Shift {
		if shift < -1<<15 || shift > 1<<15 {
			problems = append(problems, fmt.Errorf("shift %d is out of range", shift))
		}
	}
	check := func(drawn bool, fits func() error) {
		if drawn {
			problems = append(problems, fits())
		}
	}
	check(d.Affine != nil, func() error { return d.Affine.checkFits(g) })
	check(d.Elastic != nil, func() error { return d.Elastic.checkFits(g) })
	check(d.Bias != nil, func() error { return d.Bias.checkFits(g, image.C) })
	check(d.Motion != nil, func() error { return d.Motion.checkFits(g) })
	check(d.Ghosting != nil, func() error { return d.Ghosting.checkFits(g, image.C) })
	check(d.Downsample != nil, func() error { return d.Downsample.checkFits() })
	check(d.Blur != nil, func() error { return d.Blur.checkFits(g, image.C) })
	check(d.Rician != nil, func() error { return d.Rician.checkFits("rician", image.C) })
	check(d.Noise != nil, func() error { return d.Noise.checkFits("noise", image.C) })
	check(d.Gamma != nil, func() error { return d.Gamma.checkFits(image.C) })
	check(d.Contrast != nil, func() error { return d.Contrast.checkFits(image.C) })
	check(d.Cutout != nil, func() error { return d.Cutout.checkFits() })
	for _, problem := range problems {
		if problem != nil {
			return fmt.Errorf("%w: %w", ErrDraw, problem)
		}
	}
	return nil
}

// Apply writes the changed image to dst, which has the length of src.Data and
// does not overlap it. It is a pure function: equal images and draws give equal
// bits on every CPU. Spatial changes are shared by the channels, and bring in
// the background of each from outside. In a 2D image (D = 1) the depth is left as it is.
//
// Apply panics if the lengths differ or the draw does not fit; see CheckFits.
func Apply(dst []float32, src *Image, d Draw) {
	if len(dst) != len(src.Data) || len(dst) != src.C*src.D*src.H*src.W {
		panic(fmt.Sprintf("prep: Apply to %d voxels of an image of %d", len(dst), len(src.Data)))
	}
	if err := d.CheckFits(src); err != nil {
		panic("prep: " + err.Error())
	}
	flipAndShift(dst, src, d)
	g := grid{size: [3]int{src.D, src.H, src.W}}
	for channel := range src.C {
		part := func(data []float32) []float32 { return data[channel*g.voxels() : (channel+1)*g.voxels()] }
		d.applyTo(part(dst), part(src.Data), g, channel, src.BackgroundOf(channel))
	}
}

// applyTo changes a channel that was flipped and shifted; before is what it was
// at first.
func (d *Draw) applyTo(data, before []float32, g grid, channel int, background float32) {
	d.applySpatial(data, g, background)
	zero, deviation := background, 0.0
	if d.Bias != nil || d.Motion != nil || d.Ghosting != nil || d.Rician != nil {
		// No voxel has less signal than none.
		lowest, _ := lowAndHigh(before)
		zero = min(zero, lowest)
	}
	if d.Rician != nil || d.Noise != nil {
		_, deviation = spread(before)
	}
	if d.Bias != nil {
		d.Bias.apply(data, g, channel, zero)
	}
	if d.Motion != nil {
		d.Motion.apply(data, g, zero, background)
	}
	if d.Ghosting != nil {
		d.Ghosting.apply(data, g, channel, zero)
	}
	if d.Downsample != nil {
		d.Downsample.apply(data, g)
	}
	if d.Blur != nil {
		d.Blur.apply(data, g, channel)
	}
	if d.Rician != nil {
		d.Rician.rician(data, channel, deviation, zero)
	}
	if d.Noise != nil {
		d.Noise.gaussian(data, channel, deviation)
	}
	if d.Gamma != nil {
		d.Gamma.apply(data, channel)
	}
	if d.Contrast != nil {
		d.Contrast.apply(data, channel)
	}
	if d.Cutout != nil {
		d.Cutout.apply(data, g, background)
	}
}

// applySpatial interpolates once for Affine and Elastic together.
func (d *Draw) applySpatial(data []float32, g grid, background float32) {
	if d.Affine == nil && d.Elastic == nil {
		return
	}
	place := stay()
	if d.Affine != nil {
		place = d.Affine.mapping(g)
	}
	var u *displacement
	if d.Elastic != nil {
		u = newDisplacement(d.Elastic, g)
	}
	before := borrow(len(data))
	defer giveBack(before)
	copy(*before, data)
	warp(data, *before, g, place, u, background)
}

// flipAndShift writes the flipped, then shifted image.
func flipAndShift(dst []float32, src *Image, d Draw) {
	if src.D == 1 {
		d.Flip[0], d.Shift[0] = false, 0
	}
	size := [3]int{src.D, src.H, src.W}
	// from[axis] is where the voxel at index 0 comes from, step the way onwards.
	var from, step [3]int
	for axis := range 3 {
		from[axis], step[axis] = -d.Shift[axis], 1
		if d.Flip[axis] {
			from[axis], step[axis] = size[axis]-1+d.Shift[axis], -1
		}
	}
	row := 0
	for channel := range src.C {
		background := src.BackgroundOf(channel)
		for z := range src.D {
			for y := range src.H {
				fromZ, fromY := from[0]+step[0]*z, from[1]+step[1]*y
				out := dst[row : row+src.W]
				row += src.W
				if fromZ < 0 || fromZ >= src.D || fromY < 0 || fromY >= src.H {
					for x := range out {
						out[x] = background
					}
					continue
				}
				in := src.Data[((channel*src.D+fromZ)*src.H+fromY)*src.W:][:src.W]
				for x, at := 0, from[2]; x < src.W; x, at = x+1, at+step[2] {
					if at < 0 || at >= src.W {
						out[x] = background
					} else {
						out[x] = in[at]
					}
				}
			}
		}
	}
}

// rooms are slices that were used, kept for the next image.
var rooms sync.Pool

// borrow returns a slice of n numbers, of any value.
func borrow(n int) *[]float32 {
	if room, ok := rooms.Get().(*[]float32); ok && cap(*room) >= n {
		*room = (*room)[:n]
		return room
	}
	room := make([]float32, n)
	return &room
}

func giveBack(room *[]float32) { rooms.Put(room) }
