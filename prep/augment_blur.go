package prep

import (
	"fmt"

	"ballast/stat"
)

// Blur smooths the image with a Gaussian: scans differ in resolution and filter.
//
//	x'(q) = sum over r of x(q + r) exp(-r²/(2 sigma²)) / sum of the same exponentials
//
// along each axis in turn, r up to 4 sigma rounded to whole voxels, the image
// mirrored at its border (…b a | a b…), as scipy.ndimage.gaussian_filter does.
// Sigma is in mm, so that anisotropic voxels are blurred alike in space, and
// drawn evenly from 0 to the largest, for each channel anew.
//
// After TorchIO's RandomBlur.
type Blur struct {
	Probability float64 `yaml:"probability" doc:"share of the images that are blurred"`
	Sigma       float64 `yaml:"sigma" doc:"largest standard deviation of the Gaussian in mm"`
}

// A BlurDraw is the parameters of one Blur.
type BlurDraw struct {
	Sigma   []float64  `json:"sigma_mm"`   // of each channel
	Spacing [3]float64 `json:"spacing_mm"` // of the grid along D, H, W
}

func (o Blur) check() error { return setting("blur.sigma", o.Sigma, 0, 100) }

func (o Blur) checkGrid(g grid) error {
	for axis, size := range g.size {
		if length := g.length(axis); size > 1 && o.Probability > 0 && o.Sigma > length/4 {
			return fmt.Errorf("blur.sigma is %g mm, more than a quarter of the grid's %g mm: nothing would be left to see", o.Sigma, length)
		}
	}
	return nil
}

func (o Blur) draw(s *stat.Stream, g grid, channels int) *BlurDraw {
	return &BlurDraw{Sigma: eachOf(channels, func() float64 { return uniform(s, 0, o.Sigma) }), Spacing: g.spacing}
}

func (d *BlurDraw) checkFits(g grid, channels int) error {
	if len(d.Sigma) != channels || !validSpacing(d.Spacing) {
		return fmt.Errorf("blur: %d sigmas for %d channels, or spacing out of range", len(d.Sigma), channels)
	}
	for _, sigma := range d.Sigma {
		for axis, size := range g.size {
			if size == 1 {
				continue
			}
			if !(sigma >= 0 && sigma <= float64(float64(size)*d.Spacing[axis])) {
				return fmt.Errorf("blur: sigma of %g mm; it must lie between 0 and the length of the grid", sigma)
			}
		}
	}
	return nil
}

func (d *BlurDraw) apply(data []float32, g grid, channel int) {
	room := borrow(len(data))
	defer giveBack(room)
	from, to := data, *room
	for axis := range 3 {
		outer, size, inner := g.lines(axis)
		if size == 1 {
			continue
		}
		weights := gaussian(d.Sigma[channel] / d.Spacing[axis])
		if len(weights) == 1 {
			continue
		}
		if inner == 1 {
			smoothRows(to, from, size, weights)
		} else {
			smoothPlanes(to, from, outer, size, inner, weights)
		}
		from, to = to, from
	}
	if &from[0] != &data[0] {
		copy(data, from)
	}
}

// gaussian returns the weights at distance 0, 1, ... of the middle, of which those
// from 1 on count twice; they add up to 1. sigma is in voxels.
func gaussian(sigma float64) []float32 {
	radius := int(float64(4*sigma) + 0.5)
	exact := make([]float64, radius+1)
	sum := 0.0
	for r := range exact {
		exact[r] = 1
		if r > 0 {
			exact[r] = stat.Exp(-float64(r*r) / (2 * float64(sigma*sigma)))
			sum += exact[r]
		}
		sum += exact[r]
	}
	weights := make([]float32, len(exact))
	for r := range weights {
		weights[r] = float32(exact[r] / sum)
	}
	return weights
}

// mirrored returns the voxel that stands for number n of a row of size voxels.
func mirrored(n, size int) int {
	n %= 2 * size
	if n < 0 {
		n += 2 * size
	}
	return min(n, 2*size-1-n)
}

// smoothRows filters along rows of neighbouring voxels.
func smoothRows(to, from []float32, size int, weights []float32) {
	radius := len(weights) - 1
	padded := make([]float32, size+2*radius)
	for start := 0; start < len(from); start += size {
		row := from[start : start+size]
		for n := range radius {
			padded[n] = row[mirrored(n-radius, size)]
			padded[radius+size+n] = row[mirrored(size+n, size)]
		}
		copy(padded[radius:], row)
		out := to[start : start+size]
		middle := padded[radius:][:size]
		for x := range out {
			out[x] = float32(weights[0] * middle[x])
		}
		for r := 1; r <= radius; r++ {
			w, left, right := weights[r], padded[radius-r:][:size], padded[radius+r:][:size]
			for x := range out {
				out[x] += float32(w * (left[x] + right[x]))
			}
		}
	}
}

// smoothPlanes filters along an axis of size planes of inner voxels, a piece of a
// plane at a time so that its neighbours stay in the cache.
func smoothPlanes(to, from []float32, outer, size, inner int, weights []float32) {
	const piece = 256
	for o := range outer {
		for start := 0; start < inner; start += piece {
			end := min(start+piece, inner)
			plane := func(n int) []float32 {
				return from[(o*size+mirrored(n, size))*inner:][start:end:end]
			}
			for n := range size {
				out := to[(o*size+n)*inner:][start:end:end]
				smoothPiece(out, plane, n, weights)
			}
		}
	}
}

// smoothPiece writes the weighted sum of the planes around number n.
func smoothPiece(out []float32, plane func(int) []float32, n int, weights []float32) {
	middle := plane(n)[:len(out)]
	for x := range out {
		out[x] = float32(weights[0] * middle[x])
	}
	r := 1
	for ; r+1 < len(weights); r += 2 { // two distances at once spare half of the additions' traffic
		w, v := weights[r], weights[r+1]
		a, b, c, d := plane(n - r)[:len(out)], plane(n + r)[:len(out)], plane(n - r - 1)[:len(out)], plane(n + r + 1)[:len(out)]
		for x := range out {
			out[x] = out[x] + float32(w*(a[x]+b[x])) + float32(v*(c[x]+d[x]))
		}
	}
	if r < len(weights) {
		w, a, b := weights[r], plane(n - r)[:len(out)], plane(n + r)[:len(out)]
		for x := range out {
			out[x] += float32(w * (a[x] + b[x]))
		}
	}
}
