package train

import (
	"context"
	"fmt"
	"slices"

	"ballast/cohort"
	"ballast/net"
	"ballast/prep"
)

// The largest grids that Resolve chooses. They keep a training step of the
// four-layer network within about a second on two cores.
const (
	maxVoxels3D = 32 * 48 * 48
	maxVoxels2D = 128 * 128
)

// Resolve fills every value of the plan that is left to be chosen. Sizes are
// chosen from the training subjects alone: nothing about the validation or
// test subjects decides how they are evaluated. r.Each is called after each
// image that had to be measured.
func Resolve(ctx context.Context, p Plan, c *cohort.Cohort, split cohort.Split, r Reading) (Plan, error) {
	if err := p.Validate(); err != nil {
		return p, err
	}
	if p.Prep.Crop == "" {
		p.Prep.Crop = chooseCrop(c)
	}
	if err := chooseChannels(&p, c); err != nil {
		return p, err
	}
	if err := checkMasks(&p, c); err != nil {
		return p, err
	}
	training := trainingImages(c, split)
	samples := len(training)
	if len(p.Prep.Grid) == 0 || len(p.Prep.Spacing) == 0 || len(p.Prep.Grid) == 2 {
		m, err := measure(ctx, &p, training, r)
		if err != nil {
			return p, err
		}
		if err := chooseGrid(&p, m); err != nil {
			return p, err
		}
		samples = m.samples(&p, len(training))
	}
	if p.Batch == 0 {
		p.Batch = chooseBatch(len(p.Prep.Grid), samples)
		if p.attends() {
			p.Batch = max(2, min(subjectsPerStep, len(split.Train)/4))
		}
	}
	if err := p.Validate(); err != nil {
		return p, err
	}
	if err := p.checkAugment(c.Classes); err != nil {
		return p, err
	}
	config := p.PrepConfig()
	if err := config.Check(); err != nil {
		return p, fmt.Errorf("%w: prep.%w", ErrPlan, err)
	}
	covariates, err := p.fitCovariates(c, split)
	if err != nil {
		return p, err
	}
	network := p.netConfig(len(c.Classes), covariates.Width())
	if err := network.Check(); err != nil {
		return p, err
	}
	_, _, err = readInitial(&p, network)
	return p, err
}

// chooseCrop is the mask where every image has one: the tumour is then always
// in view at full resolution. Without masks it is what is not background.
func chooseCrop(c *cohort.Cohort) string {
	for _, subject := range c.Subjects {
		for _, image := range subject.Images {
			if image.Mask == "" {
				return "foreground"
			}
		}
	}
	return "mask"
}

func trainingImages(c *cohort.Cohort, split cohort.Split) []cohort.Image {
	var images []cohort.Image
	for _, s := range split.Train {
		images = append(images, c.Subjects[s].Images...)
	}
	return images
}

// chooseChannels counts the sequences of the images, which must all have as many.
func chooseChannels(p *Plan, c *cohort.Cohort) error {
	for _, subject := range c.Subjects {
		for _, image := range subject.Images {
			n := 1 + len(image.Also)
			if p.Prep.Channels == 0 {
				p.Prep.Channels = n
			}
			if n != p.Prep.Channels {
				return fmt.Errorf("%w: prep.channels is %d, but %s of subject %s comes with %d in all; choose sequences that every image has",
					ErrPlan, p.Prep.Channels, image.Path, subject.ID, n)
			}
		}
	}
	return nil
}

// checkMasks refuses a preprocessing that needs masks which are not there.
func checkMasks(p *Plan, c *cohort.Cohort) error {
	config := p.PrepConfig()
	if p.Prep.Slice != "" {
		config.Dims = 2
	}
	if !config.NeedsMask() {
		return nil
	}
	for _, subject := range c.Subjects {
		for _, image := range subject.Images {
			if image.Mask == "" {
				return fmt.Errorf("%w: prep.crop %s, prep.slice %q and prep.over %s need a mask for every image, but %s has none; name their column with data.mask, or choose without masks",
					ErrPlan, config.Crop, config.Slice, config.Over, image.Path)
			}
		}
	}
	return nil
}

// MeasuredImages is the number of images Resolve reads at most.
const MeasuredImages = 200

// A measured is what Resolve reads of some training images, evenly spread.
type measured struct {
	extents []prep.Extent
	flat    bool // the images are 2D
}

// measure reads up to MeasuredImages images; only one when all that is to be
// learned is whether they are 2D.
func measure(ctx context.Context, p *Plan, images []cohort.Image, r Reading) (measured, error) {
	n := min(len(images), MeasuredImages)
	if len(p.Prep.Grid) == 2 && len(p.Prep.Spacing) == 2 && p.Prep.Slice != "all" {
		n = min(n, 1)
	}
	m := measured{extents: make([]prep.Extent, n)}
	flat := make([]bool, n)
	config := p.PrepConfig()
	err := inParallel(ctx, n, r.Threads, func(i int) (err error) {
		m.extents[i], flat[i], err = r.Cache.Measure(images[i*len(images)/n], config)
		if err == nil {
			r.each()
		}
		return err
	})
	if err != nil {
		return m, err
	}
	if odd := slices.Index(flat, !flat[0]); odd >= 0 {
		picture, volume := images[odd*len(images)/n].Path, images[0].Path
		if flat[0] {
			picture, volume = volume, picture
		}
		return m, fmt.Errorf("the cohort mixes 2D images (%s) and 3D volumes (%s); give each its own table", picture, volume)
	}
	m.flat = flat[0]
	return m, nil
}

// samples estimates how many samples the images become: more than one each when
// all slices of volumes are used.
func (m measured) samples(p *Plan, images int) int {
	if p.Prep.Slice != "all" {
		return images
	}
	slices := 0.0
	for _, e := range m.extents {
		slices += max(1, (e.Size[0]-2*p.Prep.Margin)/e.Spacing[0])
	}
	return int(slices / float64(len(m.extents)) * float64(images))
}

// chooseGrid chooses what is open of the grid, the spacing and the slices.
func chooseGrid(p *Plan, m measured) error {
	dims, most, kind := 3, maxVoxels3D, "3D"
	switch {
	case m.flat && p.Prep.Slice != "":
		return fmt.Errorf("%w: prep.slice is %q, but the images are 2D; leave it empty", ErrPlan, p.Prep.Slice)
	case m.flat:
		dims, most, kind = 2, maxVoxels2D, "2D"
	case p.Prep.Slice != "":
		dims, most, kind = 2, maxVoxels2D, "slices ("+p.Prep.Slice+")"
	case len(p.Prep.Grid) == 2 && len(p.Prep.Spacing) == 2:
		p.Prep.Slice = "middle"
		return nil
	}
	for _, given := range []struct {
		key    string
		length int
	}{{"prep.grid", len(p.Prep.Grid)}, {"prep.spacing", len(p.Prep.Spacing)}} {
		if given.length != 0 && given.length != dims {
			return fmt.Errorf("%w: %s has %d numbers, but the images are %s", ErrPlan, given.key, given.length, kind)
		}
	}
	grid, spacing := prep.Choose(m.extents, dims, most)
	least := net.Config{Name: p.Net.Name, Depth: p.Net.Depth}.LeastSize()
	for axis := 3 - dims; axis < 3; axis++ { // deep networks see more background
		grid[axis] = max(grid[axis], least)
	}
	if len(p.Prep.Grid) == 0 {
		p.Prep.Grid = append([]int(nil), grid[3-dims:]...)
	}
	if len(p.Prep.Spacing) == 0 {
		p.Prep.Spacing = append([]float64(nil), spacing[3-dims:]...)
	}
	return nil
}

// chooseBatch is 8 volumes or 32 slices, less where that would leave fewer
// than four steps in an epoch.
func chooseBatch(dims, images int) int {
	batch := 8
	if dims == 2 {
		batch = 32
	}
	return max(2, min(batch, images/4))
}

// subjectsPerStep is what Resolve chooses where a step takes subjects with up to
// MaxBag images each.
const subjectsPerStep = 8

// PrepConfig is the preprocessing of a resolved plan.
func (p *Plan) PrepConfig() prep.Config {
	config := prep.Config{
		Dims: len(p.Prep.Grid), Orient: p.Prep.Orient, Bias: p.Prep.Bias, Crop: p.Prep.Crop, Margin: p.Prep.Margin, Slice: p.Prep.Slice,
		Resample: p.Prep.Resample, Pad: p.Prep.Pad, Clip: p.Prep.Clip,
		Standardise: p.Prep.Standardise, Normalise: p.Prep.Normalise, Over: p.Prep.Over, Channels: p.Prep.Channels,
		Grid: [3]int{1, 1, 1}, Spacing: [3]float64{1, 1, 1},
	}
	copy(config.Grid[3-len(p.Prep.Grid):], p.Prep.Grid)
	copy(config.Spacing[3-len(p.Prep.Spacing):], p.Prep.Spacing)
	return config
}

// Weights is the number of weights of the network of a resolved plan, to within a
// few per cent; see net.Config.Weights.
func (p *Plan) Weights(classes int) float64 { return p.netConfig(classes, 0).Weights() }

// netConfig is the network of a resolved plan, for subjects whose covariates are
// encoded in so many numbers.
func (p *Plan) netConfig(classes, covariates int) net.Config {
	config := p.PrepConfig()
	return net.Config{
		Name: p.Net.Name, Dims: config.Dims, Channels: max(1, p.Prep.Channels), Size: config.Grid, Classes: classes,
		Depth: p.Net.Depth, Width: p.Net.Width, Norm: p.Net.Norm, Groups: p.Net.Groups, Momentum: p.Net.Momentum,
		Activation: p.Net.Activation, Slope: p.Net.Slope,
		Dropout: p.Net.Dropout, BlockDropout: p.Net.BlockDropout, SpatialDropout: p.Net.SpatialDropout,
		Covariates: covariates, Pooling: p.Net.Pooling,
	}
}
