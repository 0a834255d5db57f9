package train

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"ballast/prep"
	"ballast/stat"
)

// Augment is the random change of training images. Each member but flip and
// shift is off while its probability is 0; its other values are those that a
// user gets by raising the probability alone.
type Augment struct {
	Preset     string          `yaml:"preset" doc:"none, light or mri: sets every other key of this section; keys given beside it or later win"`
	Flip       []string        `yaml:"flip,flow" doc:"axes of random mirroring: left-right, anterior-posterior, superior-inferior; leave out left-right where the side matters"`
	Shift      int             `yaml:"shift" doc:"largest random shift along each axis in voxels"`
	Affine     prep.Affine     `yaml:"affine"`
	Elastic    prep.Elastic    `yaml:"elastic"`
	Bias       prep.Bias       `yaml:"bias"`
	Motion     prep.Motion     `yaml:"motion"`
	Ghosting   prep.Ghosting   `yaml:"ghosting"`
	Downsample prep.Downsample `yaml:"downsample"`
	Blur       prep.Blur       `yaml:"blur"`
	Rician     prep.Noise      `yaml:"rician"`
	Noise      prep.Noise      `yaml:"noise"`
	Gamma      prep.Gamma      `yaml:"gamma"`
	Contrast   prep.Contrast   `yaml:"contrast"`
	Cutout     prep.Cutout     `yaml:"cutout"`
	Mixup      Mixup           `yaml:"mixup"`
}

// Mixup blends each training image of a batch, and its label, with another one.
type Mixup struct {
	Alpha float64 `yaml:"alpha" doc:"of the Beta distribution of the share that an image keeps; 0: no mixing, 0.2 a little, 1 all shares alike"`
}

// defaultAugment flips and shifts; everything else is off.
func defaultAugment() Augment {
	a := quietAugment()
	a.Flip, a.Shift = []string{"left-right"}, 2
	return a
}

// quietAugment changes nothing, with the values that take effect once a
// probability is raised.
func quietAugment() Augment {
	return Augment{
		Flip:       []string{},
		Affine:     prep.Affine{Rotation: 10, Scale: 0.1},
		Elastic:    prep.Elastic{Displacement: 0.2, Points: 7},
		Bias:       prep.Bias{Strength: 0.3, Order: 3},
		Motion:     prep.Motion{Rotation: 5, Translation: 3, Movements: 3},
		Ghosting:   prep.Ghosting{Ghosts: 8, Strength: 0.5},
		Downsample: prep.Downsample{Factor: 3},
		Blur:       prep.Blur{Sigma: 1},
		Rician:     prep.Noise{Sigma: 0.1},
		Noise:      prep.Noise{Sigma: 0.1},
		Gamma:      prep.Gamma{Change: 1.4},
		Contrast:   prep.Contrast{Contrast: 0.2, Brightness: 0.2},
		Cutout:     prep.Cutout{Size: 0.25, Boxes: 1},
	}
}

// presets are whole sections by name.
var presets = map[string]func() Augment{
	"none": quietAugment,
	"light": func() Augment {
		a := defaultAugment()
		a.Affine = prep.Affine{Probability: 0.5, Rotation: 5, Scale: 0.05}
		a.Noise = prep.Noise{Probability: 0.2, Sigma: 0.05}
		a.Contrast = prep.Contrast{Probability: 0.3, Contrast: 0.1, Brightness: 0.1}
		return a
	},
	"mri": func() Augment {
		a := defaultAugment()
		a.Affine.Probability = 0.5
		a.Elastic.Probability = 0.2
		a.Bias.Probability = 0.3
		a.Motion.Probability = 0.1
		a.Ghosting.Probability = 0.1
		a.Downsample.Probability = 0.15
		a.Blur.Probability = 0.15
		a.Rician.Probability = 0.2
		a.Gamma.Probability = 0.3
		a.Contrast.Probability = 0.3
		return a
	},
}

// UnmarshalYAML puts the preset in place, if one is named, and then the other
// keys, whatever their order in the text.
func (a *Augment) UnmarshalYAML(section *yaml.Node) error {
	var named struct{ Preset string }
	if err := section.Decode(&named); err != nil {
		return err
	}
	if named.Preset != "" {
		preset, ok := presets[named.Preset]
		if !ok {
			return fmt.Errorf("augment.preset is %q; it can be %s", named.Preset, strings.Join(slices.Sorted(maps.Keys(presets)), ", "))
		}
		*a = preset()
	}
	type keys Augment // without this method
	return section.Decode((*keys)(a))
}

// family is the augmentation apart from the images it is for.
func (a Augment) family() prep.Augmentation {
	return prep.Augmentation{
		Flip: a.Flip, Shift: a.Shift,
		Affine: a.Affine, Elastic: a.Elastic, Bias: a.Bias, Motion: a.Motion, Ghosting: a.Ghosting,
		Downsample: a.Downsample, Blur: a.Blur, Rician: a.Rician, Noise: a.Noise, Gamma: a.Gamma,
		Contrast: a.Contrast, Cutout: a.Cutout,
	}
}

// Augmentation is what a resolved plan does to training images.
func (p *Plan) Augmentation() prep.Augmentation {
	a, network := p.Augment.family(), p.netConfig(1, 0)
	a.Channels, a.Grid, a.Spacing = network.Channels, network.Size, p.PrepConfig().Spacing
	return a
}

// DrawOf returns how a training image is changed in an epoch: what Train does
// and what any reader of the run can compute again from the plan alone. sample is
// the index into Images.Train.Samples, epochs count from 1.
func (p *Plan) DrawOf(sample, epoch int) prep.Draw { return p.DrawOfRepeat(sample, epoch, 0) }

// DrawOfRepeat is DrawOf where sampling.draw is balanced and an epoch may use an
// image more than once: repeat counts its uses before this one.
func (p *Plan) DrawOfRepeat(sample, epoch, repeat int) prep.Draw {
	if repeat == 0 {
		return p.Augmentation().Draw(stat.NewStream(p.Seed, "augment", uint64(sample), uint64(epoch)))
	}
	return p.Augmentation().Draw(stat.NewStream(p.Seed, "augment", uint64(sample), uint64(epoch), uint64(repeat)))
}

// validateAugment checks what does not depend on the images.
func (p *Plan) validateAugment(require func(bool, string, ...any), oneOf func(string, string, ...string)) {
	if p.Augment.Preset != "" {
		oneOf("augment.preset", p.Augment.Preset, slices.Sorted(maps.Keys(presets))...)
	}
	for _, axis := range p.Augment.Flip {
		oneOf("augment.flip", axis, "left-right", "anterior-posterior", "superior-inferior")
	}
	require(p.Augment.Shift >= 0 && p.Augment.Shift <= 256, "augment.shift is %d; it must lie between 0 and 256", p.Augment.Shift)
	require(p.Augment.Mixup.Alpha >= 0 && p.Augment.Mixup.Alpha <= 100, "augment.mixup.alpha is %g; it must lie between 0 and 100", p.Augment.Mixup.Alpha)
	require(p.Augment.Mixup.Alpha == 0 || p.Net.Pooling != "attention", "augment.mixup.alpha is %g, but net.pooling attention trains on subjects of differing numbers of images, which cannot be mixed", p.Augment.Mixup.Alpha)
	free := p.Augment.family()
	free.Flip, free.Shift = nil, 0
	if err := free.Check(); err != nil {
		require(false, "%s", strings.ReplaceAll(strings.Replace(err.Error(), "augment: ", "augment.", 1), "\n", "; augment."))
	}
}

// checkAugment refuses, in a resolved plan, changes that would destroy what the
// label rests on.
func (p *Plan) checkAugment(classes []string) error {
	if smallest := slices.Min(p.Prep.Grid); p.Augment.Shift > smallest/2 {
		return fmt.Errorf("%w: augment.shift is %d, more than half of the grid's %d voxels: it would move images out of view", ErrPlan, p.Augment.Shift, smallest)
	}
	if slices.Contains(p.Augment.Flip, "left-right") {
		if left, right := sided(classes, "left"), sided(classes, "right"); left != "" && right != "" {
			return fmt.Errorf("%w: augment.flip left-right would turn the class %q into %q: set augment.flip=[]", ErrPlan, left, right)
		}
	}
	if err := p.Augmentation().Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrPlan, err)
	}
	return nil
}

// sided returns a class that has the side as a word of its name.
func sided(classes []string, side string) string {
	for _, class := range classes {
		words := strings.FieldsFunc(strings.ToLower(class), func(r rune) bool { return r < 'a' || r > 'z' })
		if slices.Contains(words, side) {
			return class
		}
	}
	return ""
}
