package prep

import (
	"fmt"
	"math"

	"ballast/cohort"
)

// An Overview is a whole image, turned as Image says, on voxels of equal edges,
// with the field that the grid of a run takes from it: for people to look at.
type Overview struct {
	Size    [3]int     // voxels along D, H, W
	Spacing [3]float64 // mm
	Data    []float32  // in the order (D, H, W)
	Extent  [3]float64 // mm of the image along D, H, W, which the voxels cover or more

	// Low and High are the edges of the field along D, H, W in voxels, of which
	// number n reaches from n - 0.5 to n + 0.5. They may lie outside the image.
	Low, High [3]float64
}

// Overlook reads an image and returns an overview of each of its sequences, at
// most so many voxels along the longest side. result says which of the results
// of LoadAll the field is that of; in 2D the overview of a 3D image is the slice
// through it.
func Overlook(image cohort.Image, c Config, result, most int) ([]*Overview, error) {
	volumes, mask, err := readAll(image, c)
	if err != nil {
		return nil, err
	}
	p, err := newPreparation(volumes, mask, c)
	var depths []depth
	if err == nil {
		depths, err = p.depths()
	}
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", image.Path, err)
	}
	return p.overviews(depths[min(result, len(depths)-1)], most), nil
}

func (p *preparation) overviews(at depth, most int) []*Overview {
	longest, finest := 0.0, math.Inf(1)
	for n, a := range p.axes {
		if p.Dims == 3 || n > 0 {
			longest, finest = max(longest, float64(float64(a.size)*a.spacing)), min(finest, a.spacing)
		}
	}
	mm := max(longest/float64(most), finest)
	whole := placement{axes: p.axes}
	var plan Overview
	for n, a := range p.axes {
		edge, centre := mm, float64(float64(p.box.low[n]+p.box.high[n])/2)
		whole.count[n] = max(1, int(math.Ceil(float64(float64(a.size)*a.spacing)/mm-1e-6)))
		whole.centre[n] = float64(a.size-1) / 2
		if p.Dims == 2 && n == 0 {
			edge, centre = at.spacing, at.centre
			whole.count[n], whole.centre[n] = 1, at.centre
		}
		whole.step[n] = edge / a.spacing
		middle := (centre-whole.centre[n])/whole.step[n] + float64(float64(whole.count[n]-1)/2)
		half := float64(float64(p.Grid[n]) * p.Spacing[n] / edge / 2)
		plan.Extent[n] = float64(float64(a.size) * a.spacing)
		plan.Spacing[n], plan.Low[n], plan.High[n] = edge, middle-half, middle+half
	}
	plan.Size = whole.count
	var list []*Overview
	for n, v := range p.volumes {
		overview := plan
		overview.Data = whole.resample(p.volumes[0], v, "linear", p.grounds[n].Background)
		list = append(list, &overview)
	}
	return list
}
