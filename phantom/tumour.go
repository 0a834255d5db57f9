package phantom

import (
	"math"

	"ballast/stat"
)

// A tumour is a star-shaped body: an ellipsoid of any orientation whose surface
// is pushed in and out by polynomials of the direction.
type tumour struct {
	head   *head      // it does not cross the skull
	frame  *frame     // to where the ellipsoid is the unit sphere
	centre [3]float64 // mm from the middle of the volume
	size   float64    // radius of the ball of about the same volume, mm
	axis   [3]float64 // semi-axes, mm
	bulge  [4]float64 // coefficients of the surface polynomials
	mean   float64    // mean intensity in the mask
	core   float64    // extent of the necrotic core, relative to the surface
}

// newTumour draws size, shape and place so that the tumour lies in the brain,
// nearer to the middle the larger it is.
func newTumour(g grid, h *head, dims int, stream *stat.Stream) *tumour {
	orientation := [4]float64{stream.Normal(), stream.Normal(), stream.Normal(), stream.Normal()}
	t := &tumour{
		head: h,
		size: float64(g.extent * (0.14 + float64(0.09*stream.Float64()))),
		mean: lesion + float64(0.08*stream.Normal()),
		core: 0.60 + float64(0.12*stream.Float64()),
	}
	var stretch, direction [3]float64
	for axis := range 3 {
		stretch[axis] = float64(0.16 * stream.Normal())
		direction[axis] = stream.Normal()
	}
	for n, sd := range [4]float64{0.10, 0.06, 0.06, 0.12} {
		t.bulge[n] = float64(sd * max(-2, min(2, stream.Normal())))
	}
	if dims == 2 {
		direction[2] = 0
	}
	reach := max(0.1, 0.84-float64(1.1*t.size)/h.smallest())
	reach = float64(reach*math.Sqrt(stream.Float64())) / norm(direction[0], direction[1], direction[2])
	mean := (stretch[0] + stretch[1] + stretch[2]) / 3
	for axis := range 3 {
		// A ball as wide as a voxel's diagonal holds the centre of one, so no mask is empty.
		t.axis[axis] = max(float64(t.size*stat.Exp(stretch[axis]-mean)), float64(halfDiagonal*g.voxel)/minSurface)
		t.centre[axis] = h.centre[axis] + float64(float64(reach*direction[axis])*h.radius[axis])
	}
	if dims == 2 { // the slice goes through the tumour's centre
		t.centre[2] = 0
	}
	t.frame = newFrame(t.centre, orientation, t.axis)
	return t
}

// level returns 0 at the tumour's centre, 1 on its surface, growing linearly
// along every ray; the skull is part of the surface. The argument is a point in mm
// from the middle of the volume. Beyond the limit any number above it may be
// returned.
func (t *tumour) level(x, y, z, limit float64) float64 {
	u, v, w := t.frame.apply(x, y, z)
	distance := norm(u, v, w)
	if distance == 0 || distance > float64(maxSurface*limit) {
		return distance
	}
	radius := norm(t.head.frame.apply(x, y, z))
	beyond := 1 + float64((radius-innerSkull)*t.head.smallest())/t.size
	x, y, z = u/distance, v/distance, w/distance
	x2, y2, z2 := float64(x*x), float64(y*y), float64(z*z)
	surface := 1 + float64(t.bulge[0]*float64(float64(float64(5.2*x)*y)*z)) +
		float64(t.bulge[1]*float64(x*(float64(2.5*x2)-1.5))) +
		float64(t.bulge[2]*float64(y*(float64(2.5*y2)-1.5))) +
		float64(t.bulge[3]*(float64(2.5*(float64(x2*x2)+float64(y2*y2)+float64(z2*z2)))-1.5))
	return max(beyond, distance/max(minSurface, min(maxSurface, surface)))
}

const (
	minSurface, maxSurface = 0.5, 1.5           // bounds of the surface polynomial
	halfDiagonal           = 0.8660254037844386 // of a voxel: sqrt(3)/2
)

// width returns how wide the border is, relative to the tumour's size, and at
// least one voxel; reach returns the level at which the tumour has faded out.
func (t *tumour) width(g grid, f features) float64 {
	return max(g.voxel/t.size, sharpest+float64((bluntest-sharpest)*(1-f.margin)))
}

func (t *tumour) reach(g grid, f features) float64 { return 1 + float64(t.width(g, f)/2) }

// box returns a box that holds all voxels with a level below the limit.
func (t *tumour) box(g grid, limit float64) box {
	reach := float64(max(t.axis[0], t.axis[1], t.axis[2]) * float64(maxSurface*limit))
	var b box
	for axis := range 3 {
		middle := t.centre[axis]/g.spacing[axis] + g.middle(axis)
		b.low[axis] = max(0, int(math.Floor(middle-reach/g.spacing[axis])))
		b.high[axis] = min(g.size[axis], int(math.Ceil(middle+reach/g.spacing[axis]))+1)
	}
	return b
}

// grains are two random fields from which the texture of a tumour is mixed.
type grains struct{ coarse, fine []float64 }

// A tumourVoxel is a voxel in or near the tumour.
type tumourVoxel struct {
	index  int
	level  float64
	share  float64 // how much of the voxel is tumour
	inside bool    // in the mask
}

const (
	coreContrast = 1.00 // of the deepest core against the rim
	coarseGrain  = 0.12 // standard deviation of the coarse texture
	fineGrain    = 0.36 // standard deviation of the fine texture where it is strongest
	coreEdge     = 0.25 // width of the core's border, relative to the surface
	sharpest     = 0.10 // width of the tumour's border, relative to its size
	bluntest     = 1.10
)

// paint draws the tumour into the image and returns its mask, the voxels with
// level below 1. Mask and mean intensity in the mask are the same whatever the
// features are, so neither volume nor brightness gives the label away:
//
//   - core: contrast of the core is f.core, at fixed core size;
//   - texture: 0.12 coarse + 0.36 f.texture fine, two random fields brought to
//     mean 0 and variance 1 in the mask;
//   - margin: the border is 0.10 + (1 - f.margin) tumour radii wide, at
//     least one voxel, and centred on the surface. A wide border brightens the
//     brain around the mask, so the mean of the whole image keeps a trace of this
//     one: AUROC 0.47 for an effect of 2.
func (t *tumour) paint(g grid, f features, grain grains, image []float64) []float32 {
	width := t.width(g, f)
	voxels := t.voxels(g, t.reach(g, f))
	standardise(grain.coarse, voxels)
	standardise(grain.fine, voxels)
	fine := float64(fineGrain * f.texture)
	edge := max(coreEdge, g.voxel/t.size)

	// pattern is the tumour's intensity up to a constant, which is then chosen so
	// that the mean over the mask is t.mean.
	pattern := make([]float64, len(voxels))
	mask := make([]float32, len(image))
	sum, shares, count := 0.0, 0.0, 0
	for n := range voxels {
		v := &voxels[n]
		v.share = smoothRamp((1 - v.level) / width)
		core := ramp((t.core - v.level) / edge)
		pattern[n] = float64(coarseGrain*grain.coarse[v.index]) + float64(fine*grain.fine[v.index]) -
			float64(float64(coreContrast*f.core)*core)
		if v.inside {
			mask[v.index] = 1
			sum += float64(v.share*pattern[n]) + float64((1-v.share)*image[v.index])
			shares += v.share
			count++
		}
	}
	constant := (float64(float64(count)*t.mean) - sum) / shares
	for n, v := range voxels {
		image[v.index] += float64(v.share * (pattern[n] + constant - image[v.index]))
	}
	return mask
}

// voxels lists the voxels with a level below the limit, in storage order.
func (t *tumour) voxels(g grid, limit float64) []tumourVoxel {
	var voxels []tumourVoxel
	b := t.box(g, limit)
	for k := b.low[2]; k < b.high[2]; k++ {
		z := g.coordinate(2, k)
		for j := b.low[1]; j < b.high[1]; j++ {
			y := g.coordinate(1, j)
			for i := b.low[0]; i < b.high[0]; i++ {
				if level := t.level(g.coordinate(0, i), y, z, limit); level < limit {
					index := i + g.size[0]*(j+g.size[1]*k)
					voxels = append(voxels, tumourVoxel{index: index, level: level, inside: level < 1})
				}
			}
		}
	}
	return voxels
}

// standardise brings a field to mean 0 and variance 1 over the mask.
func standardise(field []float64, voxels []tumourVoxel) {
	sum, count := 0.0, 0.0
	for _, v := range voxels {
		if v.inside {
			sum += field[v.index]
			count++
		}
	}
	mean, squares := sum/count, 0.0
	for _, v := range voxels {
		if v.inside {
			d := field[v.index] - mean
			squares += float64(d * d)
		}
	}
	scale := math.Sqrt(count / max(squares, 1e-12))
	for _, v := range voxels {
		field[v.index] = float64((field[v.index] - mean) * scale)
	}
}
