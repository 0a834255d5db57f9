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
// test subjects decides how they are evaluated. measured is called after each
// image that had to be read, from several goroutines.
func Resolve(ctx context.Context, p Plan, c *cohort.Cohort, split cohort.Split, threads int, measured func()) (Plan, error) {
	if err := p.Validate(); err != nil {
		return p, err
	}
	if p.Prep.Crop == "" {
		p.Prep.Crop = chooseCrop(c)
	}
	training := trainingImages(c, split)
	if len(p.Prep.Grid) == 0 || len(p.Prep.Spacing) == 0 {
		if err := chooseGrid(ctx, &p, training, threads, measured); err != nil {
			return p, err
		}
	}
	if p.Batch == 0 {
		p.Batch = chooseBatch(len(p.Prep.Grid), len(training))
	}
	if err := p.Validate(); err != nil {
		return p, err
	}
	if smallest := slices.Min(p.Prep.Grid); p.Augment.Shift > smallest/2 {
		return p, fmt.Errorf("%w: augment.shift is %d, more than half of the grid's %d voxels: it would move images out of view", ErrPlan, p.Augment.Shift, smallest)
	}
	if err := p.PrepConfig().Check(); err != nil {
		return p, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	return p, p.netConfig(len(c.Classes)).Check()
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

// MeasuredImages is the number of images Resolve reads at most.
const MeasuredImages = 200

// chooseGrid reads up to MeasuredImages training images, evenly spread, and
// chooses the grid and the spacing that cover them.
func chooseGrid(ctx context.Context, p *Plan, images []cohort.Image, threads int, measured func()) error {
	n := min(len(images), MeasuredImages)
	extents := make([]prep.Extent, n)
	flat := make([]bool, n)
	err := inParallel(ctx, n, threads, func(i int) error {
		image := images[i*len(images)/n]
		volume, mask, err := prep.Read(image, p.Prep.Crop)
		if err != nil {
			return err
		}
		flat[i] = volume.Shape[2] == 1
		if extents[i], err = prep.Measure(volume, mask, p.Prep.Crop, p.Prep.Margin); err != nil {
			return fmt.Errorf("measure %s: %w", image.Path, err)
		}
		measured()
		return nil
	})
	if err != nil {
		return err
	}
	if odd := slices.Index(flat, !flat[0]); odd >= 0 {
		picture, volume := images[odd*len(images)/n].Path, images[0].Path
		if flat[0] {
			picture, volume = volume, picture
		}
		return fmt.Errorf("the cohort mixes 2D images (%s) and 3D volumes (%s); give each its own table", picture, volume)
	}
	dims, most := 3, maxVoxels3D
	if flat[0] {
		dims, most = 2, maxVoxels2D
	}
	for _, given := range []struct {
		key    string
		length int
	}{{"prep.grid", len(p.Prep.Grid)}, {"prep.spacing", len(p.Prep.Spacing)}} {
		if given.length != 0 && given.length != dims {
			return fmt.Errorf("%w: %s has %d numbers, but the images are %dD", ErrPlan, given.key, given.length, dims)
		}
	}
	grid, spacing := prep.Choose(extents, dims, most)
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

// PrepConfig is the preprocessing of a resolved plan.
func (p *Plan) PrepConfig() prep.Config {
	config := prep.Config{
		Dims: len(p.Prep.Grid), Crop: p.Prep.Crop, Margin: p.Prep.Margin, Normalise: p.Prep.Normalise,
		Grid: [3]int{1, 1, 1}, Spacing: [3]float64{1, 1, 1},
	}
	copy(config.Grid[3-len(p.Prep.Grid):], p.Prep.Grid)
	copy(config.Spacing[3-len(p.Prep.Spacing):], p.Prep.Spacing)
	return config
}

// netConfig is the network of a resolved plan.
func (p *Plan) netConfig(classes int) net.Config {
	config := p.PrepConfig()
	return net.Config{
		Name: p.Net.Name, Dims: config.Dims, Channels: 1, Size: config.Grid, Classes: classes,
		Width: p.Net.Width, Norm: p.Net.Norm, Momentum: p.Net.Momentum, Dropout: p.Net.Dropout,
	}
}
