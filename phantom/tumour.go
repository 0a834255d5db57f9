package phantom

import (
	"math"

	"ballast/stat"
)

// A tumour is a star-shaped body: an ellipsoid of any orientation whose surface
// is pushed in and out by polynomials of the direction.
type tumour struct {
	turn   rotation
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
	t := &tumour{
		size: float64(g.extent * (0.14 + float64(0.09*stream.Float64()))),
		turn: rotationOf(stream.Normal(), stream.Normal(), stream.Normal(), stream.Normal()),
		mean: lesion + float64(0.08*stream.Normal()),
		core: 0.60 + float64(0.12*stream.Float64()),
	}
	var stretch, direction [3]float64
	for axis := range 3 {
		stretch[axis] = float64(0.16 * stream.Normal())
		direction[axis] = stream.Normal()
	}
	for n, sd := range [4]float64{0.10, 0.06, 0.06, 0.12} {
		t.bulge[n] = float64(sd * math.Max(-2, math.Min(2, stream.Normal())))
	}
	if dims == 2 {
		direction[2] = 0
	}
	smallest := math.Min(h.radius[0], math.Min(h.radius[1], h.radius[2]))
	reach := math.Max(0.1, 0.84-float64(1.1*t.size)/smallest)
	reach = float64(reach*math.Sqrt(stream.Float64())) / norm(direction)
	mean := (stretch[0] + stretch[1] + stretch[2]) / 3
	for axis := range 3 {
		t.axis[axis] = float64(t.size * stat.Exp(stretch[axis]-mean))
		t.centre[axis] = h.centre[axis] + float64(float64(reach*direction[axis])*h.radius[axis])
	}
	if dims == 2 { // the slice goes through the tumour's centre
		t.centre[2] = 0
	}
	return t
}

// level returns 0 at the tumour's centre, 1 on its surface, growing linearly
// along every ray. The argument is a point in mm from the middle of the volume.
func (t *tumour) level(point [3]float64) float64 {
	for axis := range 3 {
		point[axis] -= t.centre[axis]
	}
	p := t.turn.apply(point)
	for axis := range 3 {
		p[axis] /= t.axis[axis]
	}
	distance := norm(p)
	if distance == 0 {
		return 0
	}
	x, y, z := p[0]/distance, p[1]/distance, p[2]/distance
	x2, y2, z2 := float64(x*x), float64(y*y), float64(z*z)
	legendre := func(u, u2 float64) float64 { return float64(u * (float64(2.5*u2) - 1.5)) }
	surface := 1 + float64(t.bulge[0]*float64(float64(float64(5.2*x)*y)*z)) +
		float64(t.bulge[1]*legendre(x, x2)) + float64(t.bulge[2]*legendre(y, y2)) +
		float64(t.bulge[3]*(float64(2.5*(float64(x2*x2)+float64(y2*y2)+float64(z2*z2)))-1.5))
	return distance / math.Max(0.5, surface)
}

// grains are two random fields from which the texture of a tumour is mixed.
type grains struct{ coarse, fine []float64 }

// texturePoint is a voxel in or near the tumour.
type tumourVoxel struct {
	index  int
	level  float64
	share  float64 // how much of the voxel is tumour
	inside bool    // in the mask
}

const (
	coreContrast = 0.85 // of the deepest core against the rim
	grainSD      = 0.16 // standard deviation of the texture
	coreEdge     = 0.25 // width of the core's border, relative to the surface
	sharpest     = 0.10 // width of the tumour's border, relative to its size
	bluntest     = 1.30
)

// paint draws the tumour into the image and returns its mask, the voxels with
// level below 1. Mask and mean intensity in the mask are the same whatever the
// features are, so neither volume nor brightness gives the label away:
//
//   - core: contrast of the core is 0.85 * f.core, at fixed core size;
//   - texture: sqrt(1 - f.texture) coarse + sqrt(f.texture) fine, both brought
//     to the same mean and variance in the mask;
//   - margin: the border is 0.10 + 1.20 (1 - f.margin) tumour radii wide, at
//     least one voxel, and centred on the surface.
func (t *tumour) paint(g grid, f features, grain grains, image []float64) []float32 {
	width := math.Max(g.voxel/t.size, sharpest+float64((bluntest-sharpest)*(1-f.margin)))
	voxels := t.voxels(g, 1+width/2)
	standardise(grain.coarse, voxels)
	standardise(grain.fine, voxels)
	coarse := float64(grainSD * math.Sqrt(1-f.texture))
	fine := float64(grainSD * math.Sqrt(f.texture))
	edge := math.Max(coreEdge, g.voxel/t.size)

	// pattern is the tumour's intensity up to a constant, which is then chosen so
	// that the mean over the mask is t.mean.
	pattern := make([]float64, len(voxels))
	mask := make([]float32, len(image))
	sum, shares, count := 0.0, 0.0, 0
	for n := range voxels {
		v := &voxels[n]
		v.share = smoothRamp((1 - v.level) / width)
		core := ramp((t.core - v.level) / edge)
		pattern[n] = float64(coarse*grain.coarse[v.index]) + float64(fine*grain.fine[v.index]) -
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
	longest := math.Max(t.axis[0], math.Max(t.axis[1], t.axis[2]))
	reach := float64(float64(longest*limit) * 1.6) // no surface polynomial exceeds 1.6
	var low, high [3]int
	for axis := range 3 {
		middle := t.centre[axis]/g.spacing[axis] + float64(g.size[axis]-1)/2
		low[axis] = max(0, int(math.Floor(middle-reach/g.spacing[axis])))
		high[axis] = min(g.size[axis]-1, int(math.Ceil(middle+reach/g.spacing[axis])))
	}
	var voxels []tumourVoxel
	for k := low[2]; k <= high[2]; k++ {
		for j := low[1]; j <= high[1]; j++ {
			for i := low[0]; i <= high[0]; i++ {
				level := t.level([3]float64{g.coordinate(0, i), g.coordinate(1, j), g.coordinate(2, k)})
				if level < limit {
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
	scale := math.Sqrt(count / math.Max(squares, 1e-12))
	for _, v := range voxels {
		field[v.index] = float64((field[v.index] - mean) * scale)
	}
}
