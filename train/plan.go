// Package train trains a network on a cohort by a plan and records what
// happened: the Plan, the loop, the optimisers, and the views by which the same
// weights are evaluated again with one source of fluctuation after another
// switched off.
package train

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ballast/cohort"
	"ballast/net"
	"ballast/prep"
)

// PlanFormat is the version of the plan format.
const PlanFormat = 1

// ErrPlan is wrapped by every complaint about a plan.
var ErrPlan = errors.New("plan")

// A Plan is everything that decides a run apart from the cohort itself. The
// same plan on the same cohort gives the same bits.
//
// A zero value in a field marked auto means: chosen from the training subjects
// by Resolve. The plan stored with a run is resolved and states every value.
type Plan struct {
	Format     int        `yaml:"format"`
	Seed       uint64     `yaml:"seed" doc:"every random number comes from it"`
	Epochs     int        `yaml:"epochs" doc:"passes over the training images"`
	Batch      int        `yaml:"batch" doc:"images per step; 0: auto"`
	Data       Data       `yaml:"data"`
	Split      Split      `yaml:"split"`
	Prep       Prep       `yaml:"prep"`
	Augment    Augment    `yaml:"augment"`
	Net        Net        `yaml:"net"`
	Optimizer  Optimizer  `yaml:"optimizer"`
	Validation Validation `yaml:"validation"`
	Views      Views      `yaml:"views"`
}

// Data names the columns of the cohort's table and chooses among its images;
// empty: found as documented at cohort.Open. Its fields are those of
// cohort.Options.
type Data struct {
	Path      []string `yaml:"path,flow" doc:"columns with the image files: one, or one for each sequence"`
	Label     string   `yaml:"label" doc:"column with the class"`
	Subject   string   `yaml:"subject" doc:"column with the patient"`
	Mask      string   `yaml:"mask" doc:"column with the mask file; in a BIDS tree the mask's name, as label-lesion_mask"`
	Site      string   `yaml:"site" doc:"column with the scanner or hospital"`
	Set       string   `yaml:"set" doc:"column that fixes train, validation or test"`
	Fold      string   `yaml:"fold" doc:"column with the fold of a published cross-validation"`
	Sequences []string `yaml:"sequences,flow" doc:"MRI sequences, a channel each, as T1w and FLAIR; empty: the first one that all subjects have"`
	Session   string   `yaml:"session" doc:"the visit to use: its name, or first; empty: each visit is an image of its subject"`
	Volume    string   `yaml:"volume" doc:"of 4D files: an index from 0, or the column that holds it; none: a column called volume is no index"`
}

// Split says how many subjects are set aside, and which.
type Split struct {
	Validation float64  `yaml:"validation" doc:"share of subjects to validate on after every epoch"`
	Test       float64  `yaml:"test" doc:"share of subjects evaluated once, at the end"`
	Stratify   []string `yaml:"stratify,flow" doc:"what every set holds in proportion: label, and site or another column"`
	LeaveOut   string   `yaml:"leave_out" doc:"site whose subjects are the test set, all of them and no others"`
	Fold       string   `yaml:"fold" doc:"fold of data.fold to validate on; the other folds are trained on"`
}

// Options are the wishes that cohort.Cohort.SplitBy takes.
func (s Split) Options() cohort.SplitOptions { return cohort.SplitOptions(s) }

// Prep is the preprocessing of every image, the same for all sets.
type Prep struct {
	Orient      string    `yaml:"orient" doc:"anatomy: RAS+, in 2D a radiologist's screen; stored: as the file runs"`
	Bias        string    `yaml:"bias" doc:"none; n4: the shading by the receive coils is estimated and divided out"`
	Crop        string    `yaml:"crop" doc:"mask, foreground or none; empty: mask if every image has one"`
	Margin      float64   `yaml:"margin" doc:"mm (pixels for images without a scale) around the crop"`
	Slice       string    `yaml:"slice" doc:"makes a 2D run of 3D images: middle of the crop, mask-largest or all of the crop; empty: 3D, or middle where the grid has two numbers"`
	Grid        []int     `yaml:"grid,flow" doc:"voxels along D, H, W ([H, W] in 2D); empty: auto"`
	Spacing     []float64 `yaml:"spacing,flow" doc:"mm per voxel along D, H, W ([H, W] in 2D); empty: auto"`
	Resample    string    `yaml:"resample" doc:"linear, cubic, nearest or area; all but nearest are antialiased; masks are always nearest"`
	Pad         string    `yaml:"pad" doc:"what lies outside the image: background, or a number in the image's own units"`
	Clip        []float64 `yaml:"clip,flow" doc:"low and high percentile that values are cut off at, as [0.5, 99.5]; empty: values stay"`
	Standardise string    `yaml:"standardise" doc:"none; nyul: histograms are matched to that of the training images"`
	Normalise   string    `yaml:"normalise" doc:"zscore, minmax or none"`
	Over        string    `yaml:"over" doc:"what clip, standardise and normalise look at: foreground, mask or image"`
	Channels    int       `yaml:"channels" doc:"sequences per image; 0: auto"`
}

// Net is the network.
type Net struct {
	Name     string  `yaml:"name" doc:"cnn1 to cnn6: that many blocks of convolution, norm, ReLU and pooling; resnet10, resnet18, resnet34; linear: a baseline"`
	Width    int     `yaml:"width" doc:"channels of the first block; each block doubles them"`
	Norm     string  `yaml:"norm" doc:"batch; batch-after-pool: of what the pooling gives; or none"`
	Momentum float64 `yaml:"momentum" doc:"share of a new batch in the running statistics (PyTorch's sense; Keras's is 1 minus it)"`
	Dropout  float64 `yaml:"dropout" doc:"share of features dropped before the last layer"`

	BlockDropout float64 `yaml:"block_dropout" doc:"share of elements dropped after every block of cnn1 to cnn6"`
}

// Optimizer is the rule that changes the weights.
type Optimizer struct {
	Name        string  `yaml:"name" doc:"adam or sgd"`
	LR          float64 `yaml:"lr" doc:"learning rate"`
	Momentum    float64 `yaml:"momentum" doc:"of sgd"`
	WeightDecay float64 `yaml:"weight_decay" doc:"added to the gradient of weights (not of biases and norms)"`
}

// Validation is how an epoch ends and how the view "logged" evaluates the
// validation set. Augment, Dropout and Fraction reproduce common mistakes.
type Validation struct {
	Recalibrate bool    `yaml:"recalibrate" doc:"recompute the batch-norm statistics on training images at the end of every epoch, before validating"`
	Augment     bool    `yaml:"augment" doc:"validate on augmented images: a mistake"`
	Dropout     bool    `yaml:"dropout" doc:"leave dropout on while validating: a mistake"`
	Fraction    float64 `yaml:"fraction" doc:"share of the validation subjects drawn anew each epoch: below 1 a mistake"`
}

// clean reports whether "logged" is the deterministic evaluation.
func (v Validation) clean() bool { return !v.Augment && !v.Dropout && v.Fraction == 1 }

// Views decides the evaluations beyond the logged one.
type Views struct {
	Every  int     `yaml:"every" doc:"epochs between full sets of views; 0: only the logged view"`
	Images int     `yaml:"images" doc:"at most so many training images to recompute batch-norm statistics"`
	Decay  float64 `yaml:"decay" doc:"part of the averaged weights that an epoch leaves in place; over the first steps the average is their plain mean"`
}

// DefaultPlan returns the plan that `ballast train COHORT` starts from.
func DefaultPlan() Plan {
	return Plan{
		Format: PlanFormat,
		Seed:   1,
		Epochs: 50,
		Split:  Split{Validation: 0.25, Stratify: []string{"label"}},
		Prep: Prep{
			Orient: "anatomy", Bias: "none", Margin: 10, Resample: "linear", Pad: "background",
			Standardise: "none", Normalise: "zscore", Over: "foreground",
		},
		Augment:    defaultAugment(),
		Net:        Net{Name: "cnn4", Width: 16, Norm: "batch", Momentum: 0.1},
		Optimizer:  Optimizer{Name: "adam", LR: 1e-3, Momentum: 0.9},
		Validation: Validation{Fraction: 1},
		Views:      Views{Every: 1, Images: 256, Decay: 0.8},
	}
}

// Validate reports every value that cannot be used, in one error that wraps
// ErrPlan.
func (p *Plan) Validate() error {
	var problems []string
	require := func(ok bool, format string, values ...any) {
		if !ok {
			problems = append(problems, fmt.Sprintf(format, values...))
		}
	}
	oneOf := func(key, value string, allowed ...string) {
		require(slices.Contains(allowed, value), "%s is %q; it can be %s", key, value, strings.Join(allowed, ", "))
	}
	share := func(key string, value, low, high float64) {
		require(value >= low && value <= high, "%s is %g; it must lie between %g and %g", key, value, low, high)
	}
	require(p.Format == PlanFormat, "format is %d; this program reads format %d", p.Format, PlanFormat)
	require(p.Epochs >= 1 && p.Epochs <= 100_000, "epochs is %d; it must lie between 1 and 100000", p.Epochs)
	require(p.Batch >= 0 && p.Batch <= 100_000, "batch is %d; it must lie between 1 and 100000, or be 0 for a chosen one", p.Batch)
	share("split.validation", p.Split.Validation, 0.01, 0.9)
	share("split.test", p.Split.Test, 0, 0.9)
	require(p.Split.LeaveOut == "" || p.Split.Test == 0, "split.test is %g, but split.leave_out makes %s the test set; set one of them", p.Split.Test, p.Split.LeaveOut)
	require(p.Split.Validation+p.Split.Test < 0.95, "split.validation and split.test leave nothing to train on")
	p.validatePrep(require, oneOf)
	p.validateAugment(require, oneOf)
	oneOf("net.name", p.Net.Name, net.Names()...)
	require(p.Net.Width >= 1 && p.Net.Width <= 1024, "net.width is %d; it must lie between 1 and 1024", p.Net.Width)
	oneOf("net.norm", p.Net.Norm, "batch", "batch-after-pool", "none")
	share("net.momentum", p.Net.Momentum, 1e-6, 1)
	require(p.Net.BlockDropout >= 0 && p.Net.BlockDropout < 1, "net.block_dropout is %g; it must be at least 0 and below 1", p.Net.BlockDropout)
	require(p.Net.Dropout >= 0 && p.Net.Dropout < 1, "net.dropout is %g; it must be at least 0 and below 1", p.Net.Dropout)
	oneOf("optimizer.name", p.Optimizer.Name, "adam", "sgd")
	require(p.Optimizer.LR > 0 && p.Optimizer.LR <= 1000, "optimizer.lr is %g; it must be above 0 and at most 1000", p.Optimizer.LR)
	require(p.Optimizer.Momentum >= 0 && p.Optimizer.Momentum < 1, "optimizer.momentum is %g; it must be at least 0 and below 1", p.Optimizer.Momentum)
	share("optimizer.weight_decay", p.Optimizer.WeightDecay, 0, 1)
	require(p.Validation.Fraction > 0 && p.Validation.Fraction <= 1, "validation.fraction is %g; it must be above 0 and at most 1", p.Validation.Fraction)
	require(p.Views.Every >= 0, "views.every is %d; it must be at least 0", p.Views.Every)
	require(p.Views.Images >= 2, "views.images is %d; it must be at least 2", p.Views.Images)
	require(p.Views.Decay >= 0 && p.Views.Decay < 1, "views.decay is %g; it must be at least 0 and below 1", p.Views.Decay)
	if problems = slices.Compact(problems); len(problems) > 0 {
		return fmt.Errorf("%w: %s", ErrPlan, strings.Join(problems, "; "))
	}
	return nil
}

func (p *Plan) validatePrep(require func(bool, string, ...any), oneOf func(string, string, ...string)) {
	if p.Prep.Crop != "" {
		oneOf("prep.crop", p.Prep.Crop, "mask", "foreground", "none")
	}
	oneOf("prep.orient", p.Prep.Orient, prep.Choices("orient")...)
	oneOf("prep.bias", p.Prep.Bias, prep.Choices("bias")...)
	if p.Prep.Slice != "" {
		oneOf("prep.slice", p.Prep.Slice, prep.Choices("slice")...)
	}
	oneOf("prep.resample", p.Prep.Resample, prep.Choices("resample")...)
	oneOf("prep.standardise", p.Prep.Standardise, prep.Choices("standardise")...)
	oneOf("prep.normalise", p.Prep.Normalise, prep.Choices("normalise")...)
	oneOf("prep.over", p.Prep.Over, prep.Choices("over")...)
	numbers := prep.Config{Dims: 3, Crop: "none", Grid: [3]int{1, 1, 1}, Spacing: [3]float64{1, 1, 1}, Pad: p.Prep.Pad, Clip: p.Prep.Clip}
	if err := numbers.Check(); err != nil {
		require(false, "prep.%v", err)
	}
	require(p.Prep.Standardise != "nyul" || p.Prep.Over != "mask", "prep.standardise is \"nyul\" and prep.over \"mask\"; its landmarks come from the foreground or the image")
	require(p.Prep.Slice == "" || len(p.Prep.Grid) < 3 && len(p.Prep.Spacing) < 3, "prep.slice is %q, which makes a 2D run, but prep.grid or prep.spacing has 3 numbers", p.Prep.Slice)
	require(p.Prep.Channels >= 0 && p.Prep.Channels <= 64, "prep.channels is %d; it must lie between 1 and 64, or be 0 to be counted", p.Prep.Channels)
	require(p.Prep.Margin >= 0 && p.Prep.Margin <= 1000, "prep.margin is %g; it must lie between 0 and 1000", p.Prep.Margin)
	for _, size := range p.Prep.Grid {
		require(size >= 1 && size <= 1024, "prep.grid has %d; sizes lie between 1 and 1024", size)
	}
	for _, mm := range p.Prep.Spacing {
		require(mm > 0 && mm <= 1000, "prep.spacing has %g; spacings are above 0 and at most 1000 mm", mm)
	}
	grid, spacing := len(p.Prep.Grid), len(p.Prep.Spacing)
	require(grid == 0 || grid == 2 || grid == 3, "prep.grid has %d numbers; it needs 3 (D, H, W), or 2 (H, W) for 2D images", grid)
	require(spacing == 0 || spacing == 2 || spacing == 3, "prep.spacing has %d numbers; it needs 3 (D, H, W), or 2 (H, W) for 2D images", spacing)
	require(grid == 0 || spacing == 0 || grid == spacing, "prep.grid and prep.spacing differ in length")
}
