package prep

import (
	"errors"
	"fmt"

	"ballast/cohort"
)

// PrepareAll makes the images of a run out of the sequences of one visit.
//
// The first volume is turned to the orientation of Image, and a grid of c.Grid
// voxels of c.Spacing mm is placed on the centre of the crop's box; an oblique
// image is turned by the nearest right angles only. Every volume is resampled
// onto that grid, the further ones in world coordinates by their own affine, and
// becomes one channel; clip, standardise and normalise follow. The result is one
// image. Only a 3D image in 2D with the slice "all" gives one for each axial
// slice of the box, those left out whose field shows nothing.
//
// The mask may be nil unless c.NeedsMask; it must lie on the grid of the first
// volume (cohort.ErrGeometry). An image that fails cohort.Volume.Check is refused
// (cohort.ErrNonFinite, cohort.ErrConstant). No volume is changed.
func PrepareAll(volumes []*cohort.Volume, mask *cohort.Volume, c Config) ([]*Image, error) {
	images, _, err := PrepareFields(volumes, mask, c)
	return images, err
}

// PrepareFields is PrepareAll with the field of each result.
func PrepareFields(volumes []*cohort.Volume, mask *cohort.Volume, c Config) ([]*Image, []*Field, error) {
	p, err := newPreparation(volumes, mask, c)
	if err != nil {
		return nil, nil, err
	}
	depths, err := p.depths()
	if err != nil {
		return nil, nil, err
	}
	var images []*Image
	var fields []*Field
	var first error
	for _, depth := range depths {
		at := p.placement(depth)
		image, err := p.image(at)
		if err != nil && (len(depths) == 1 || !errors.Is(err, cohort.ErrConstant)) {
			return nil, nil, err
		}
		if err != nil {
			first = errors.Join(first, err)
			continue
		}
		images = append(images, image)
		fields = append(fields, newField(at, volumes[0]))
	}
	if len(images) == 0 {
		return nil, nil, fmt.Errorf("none of %d slices can be used: %w", len(depths), first)
	}
	return images, fields, nil
}

// A preparation is what the results of one visit have in common.
type preparation struct {
	Config
	volumes []*cohort.Volume
	mask    *cohort.Volume // nil when it is not needed
	grounds []Ground       // of each volume
	axes    [3]axis        // of the first volume
	box     box
}

func newPreparation(volumes []*cohort.Volume, mask *cohort.Volume, c Config) (*preparation, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	p := &preparation{Config: c.complete(), mask: mask}
	if len(volumes) != p.Channels {
		return nil, fmt.Errorf("%d sequences for %d channels", len(volumes), p.Channels)
	}
	if p.Standardise == "nyul" && p.Fitted == nil {
		return nil, errors.New("standardise nyul, but no landmarks were fitted on training subjects")
	}
	for n, v := range volumes {
		v, ground, err := p.examine(v)
		if err != nil {
			return nil, inSequence(n, p.Channels, err)
		}
		p.volumes, p.grounds = append(p.volumes, v), append(p.grounds, ground)
	}
	var err error
	if p.axes, err = orient(volumes[0], p.Dims, p.Orient); err != nil {
		return nil, err
	}
	if err := p.checkMask(); err != nil {
		return nil, err
	}
	p.box, err = cropBox(p.volumes[0], p.mask, p.Crop, p.axes, p.grounds[0])
	return p, err
}

// examine checks a volume, corrects its bias field if that is asked for, and tells
// its foreground.
func (c Config) examine(v *cohort.Volume) (*cohort.Volume, Ground, error) {
	if err := v.Check(); err != nil {
		return nil, Ground{}, err
	}
	ground := Foreground(v)
	if c.Bias != "n4" {
		return v, ground, nil
	}
	corrected, err := CorrectBias(v, ground)
	if err != nil {
		return nil, Ground{}, err
	}
	return corrected, Foreground(corrected), nil
}

// inSequence names the sequence of an error where there are several.
func inSequence(n, of int, err error) error {
	if of == 1 {
		return err
	}
	return fmt.Errorf("sequence %d of %d: %w", n+1, of, err)
}

func (p *preparation) checkMask() error {
	if !p.NeedsMask() {
		p.mask = nil
		return nil
	}
	if p.mask == nil {
		key := "over"
		if p.Crop == "mask" {
			key = "crop"
		} else if p.Over != "mask" {
			key = "slice"
		}
		return fmt.Errorf("%s mask, but the image has no mask: list one, or choose another %s", key, key)
	}
	return p.volumes[0].SameGrid(p.mask)
}

// A depth is where the grid lies along D: its middle in voxels of the first
// volume and its spacing in mm.
type depth struct{ centre, spacing float64 }

// depths returns where the results lie along D.
func (p *preparation) depths() ([]depth, error) {
	d := p.axes[0]
	middle := depth{float64(p.box.low[0]+p.box.high[0]) / 2, p.Spacing[0]}
	switch {
	case p.Dims == 3 || d.size == 1 || p.Slice == "middle":
		return []depth{middle}, nil
	case p.Slice == "mask-largest":
		slice, found := largestSlice(p.mask, d)
		if !found {
			return nil, cohort.ErrEmptyMask
		}
		return []depth{{float64(slice), d.spacing}}, nil
	}
	var all []depth
	for slice := p.box.low[0]; slice <= p.box.high[0]; slice++ {
		all = append(all, depth{float64(slice), d.spacing})
	}
	return all, nil
}

// placement is where the grid lies at one depth.
func (p *preparation) placement(depth depth) placement {
	at := placement{axes: p.axes, count: p.Grid}
	for axis := range 3 {
		at.centre[axis] = float64(p.box.low[axis]+p.box.high[axis]) / 2
		at.step[axis] = p.Spacing[axis] / p.axes[axis].spacing
	}
	at.centre[0], at.step[0] = depth.centre, depth.spacing/p.axes[0].spacing
	return at
}

// image makes the result at one place.
func (p *preparation) image(at placement) (*Image, error) {
	image := &Image{C: p.Channels, D: p.Grid[0], H: p.Grid[1], W: p.Grid[2]}
	for n, v := range p.volumes {
		image.NonFinite += v.NonFinite
		outside, err := p.pad(p.grounds[n].Background)
		if err != nil {
			return nil, err
		}
		data := at.resample(p.volumes[0], v, p.Resample, outside)
		background, err := p.intensities(n, data, outside, at)
		if err != nil {
			return nil, inSequence(n, p.Channels, err)
		}
		if p.Channels == 1 {
			image.Data, image.Background = data, background
			return image, nil
		}
		image.Data = append(image.Data, data...)
		image.Backgrounds = append(image.Backgrounds, background)
	}
	image.Background = image.Backgrounds[0]
	return image, nil
}
