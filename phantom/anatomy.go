package phantom

import (
	"math"

	"ballast/stat"
)

// Intensities of the tissues in a T1-weighted image, white matter = 1.
const (
	scalp       = 0.90
	skull       = 0.12
	fluid       = 0.30
	greyMatter  = 0.72
	whiteMatter = 1.00
	lesion      = 1.35 // mean over the tumour, enhanced by contrast agent
)

// innerSkull is the radius of the skull's inner surface relative to the scalp.
const innerSkull = 0.87

// anatomy returns the noise-free image of subject k, white matter = 1, and the
// tumour's mask.
func (c Config) anatomy(g grid, k int, f features) (image []float64, mask []float32) {
	h := newHead(g, c.stream("head", k))
	image = h.paint(g, smoothNoise(g, g.box(), g.extent/11, c.stream("tissue", k)))
	t := newTumour(g, h, c.Dims, c.stream("tumour", k))
	within := t.box(g, t.reach(g, f))
	grain := grains{
		coarse: smoothNoise(g, within, g.extent/4, c.stream("grain/coarse", k)),
		fine:   smoothNoise(g, within, g.extent/16, c.stream("grain/fine", k)),
	}
	return image, t.paint(g, f, grain, image)
}

// A head is a set of nested ellipsoidal shells with two ventricles.
type head struct {
	frame     *frame     // to where the scalp is the unit sphere
	centre    [3]float64 // mm from the middle of the volume
	radius    [3]float64 // mm
	shell     [5]float64 // relative radius at which each tissue of layers begins, outermost first
	layer     [5]float64 // intensity of each tissue
	fold      float64    // how far the texture moves the borders of the cortex, in relative radius
	grain     float64    // how far the texture moves the intensity of a tissue
	ventricle [3]float64 // semi-axes in relative radius
	blur      float64    // one voxel in relative radius
}

func newHead(g grid, stream *stat.Stream) *head {
	vary := func(mean, sd float64) float64 { return mean + float64(sd*stream.Normal()) }
	h := &head{
		fold: 0.045, grain: 0.04,
		shell: [5]float64{1, 0.93, innerSkull, 0.83, vary(0.70, 0.02)},
		layer: [5]float64{vary(scalp, 0.06), skull, fluid, vary(greyMatter, 0.03), whiteMatter},
	}
	size := vary(0.44, 0.012)
	for axis, aspect := range [3]float64{0.90, 1.02, 0.94} {
		h.radius[axis] = float64(float64(g.field[axis]*size) * vary(aspect, 0.02))
		h.centre[axis] = float64(g.field[axis] * vary(0, 0.012))
		h.ventricle[axis] = [3]float64{0.10, 0.36, 0.20}[axis] * stat.Exp(float64(0.15*stream.Normal()))
	}
	h.frame = newFrame(h.centre, [4]float64{1, vary(0, 0.04), vary(0, 0.04), vary(0, 0.06)}, h.radius)
	h.blur = g.voxel / h.smallest()
	return h
}

// smallest returns the smallest radius in mm.
func (h *head) smallest() float64 { return min(h.radius[0], h.radius[1], h.radius[2]) }

// paint draws the head. A border is a linear ramp one voxel wide, which is what
// averaging over the voxel makes of a sharp one; so thin shells fade, not
// flicker, in coarse volumes.
func (h *head) paint(g grid, texture []float64) []float64 {
	image := make([]float64, g.voxels())
	across := g.axis(0)
	n := 0
	for k := range g.size[2] {
		z := g.coordinate(2, k)
		for j := range g.size[1] {
			y := g.coordinate(1, j)
			for _, x := range across {
				u, v, w := h.frame.apply(x, y, z)
				if radius := norm(u, v, w); radius < 1+h.blur {
					image[n] = h.intensity(u, v, w, radius, texture[n])
				}
				n++
			}
		}
	}
	return image
}

// intensity returns the head's intensity at the point (x, y, z) of its own frame.
func (h *head) intensity(x, y, z, radius, texture float64) float64 {
	value, outside := 0.0, 0.0
	for n, shell := range h.shell {
		depth := shell - radius
		if n >= 3 { // the cortex is folded
			depth -= float64(h.fold * texture)
		}
		value += float64((h.layer[n] - outside) * ramp(depth/h.blur))
		outside = h.layer[n]
	}
	// Two ventricles beside the midline, elongated from front to back.
	level := norm((math.Abs(x)-0.13)/h.ventricle[0], y/h.ventricle[1], (z-0.05)/h.ventricle[2])
	if level < 3 {
		inside := ramp(float64((1-level)*h.ventricle[0]) / h.blur)
		value += float64(inside * (fluid - value))
	}
	return float64(value * (1 + float64(h.grain*texture)))
}

// ramp rises from 0 at -1/2 to 1 at 1/2.
func ramp(x float64) float64 { return max(0, min(1, x+0.5)) }

// smoothRamp rises from 0 at -1/2 to 1 at 1/2 with flat ends: 3 s^2 - 2 s^3.
func smoothRamp(x float64) float64 {
	s := ramp(x)
	return float64(float64(s*s) * (3 - float64(2*s)))
}
