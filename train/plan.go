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

	"ballast/net"
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

// Data names the columns of the cohort's table; empty: found by name.
type Data struct {
	Path    string `yaml:"path" doc:"column with the image file"`
	Label   string `yaml:"label" doc:"column with the class"`
	Subject string `yaml:"subject" doc:"column with the patient"`
	Mask    string `yaml:"mask" doc:"column with the mask file"`
	Site    string `yaml:"site" doc:"column with the scanner or hospital"`
	Set     string `yaml:"set" doc:"column that fixes train, validation or test"`
}

// Split says how many subjects are set aside.
type Split struct {
	Validation float64 `yaml:"validation" doc:"share of subjects to validate on after every epoch"`
	Test       float64 `yaml:"test" doc:"share of subjects evaluated once, at the end"`
}

// Prep is the preprocessing of every image, the same for all sets.
type Prep struct {
	Crop      string    `yaml:"crop" doc:"mask, foreground or none; empty: mask if every image has one"`
	Margin    float64   `yaml:"margin" doc:"mm (pixels for images without a scale) around the crop"`
	Grid      []int     `yaml:"grid,flow" doc:"voxels along D, H, W ([H, W] in 2D); empty: auto"`
	Spacing   []float64 `yaml:"spacing,flow" doc:"mm per voxel along D, H, W ([H, W] in 2D); empty: auto"`
	Normalise string    `yaml:"normalise" doc:"zscore or none"`
}

// Augment is the random change of training images.
type Augment struct {
	Flip  []string `yaml:"flip,flow" doc:"axes of random mirroring: left-right, anterior-posterior, superior-inferior"`
	Shift int      `yaml:"shift" doc:"largest random shift along each axis in voxels"`
}

// Net is the network.
type Net struct {
	Name     string  `yaml:"name" doc:"cnn1 to cnn6: that many blocks of convolution, norm, ReLU and pooling; linear: a baseline"`
	Width    int     `yaml:"width" doc:"channels of the first block; each block doubles them"`
	Norm     string  `yaml:"norm" doc:"batch or none"`
	Momentum float64 `yaml:"momentum" doc:"share of a new batch in the running statistics (PyTorch's sense; Keras's is 1 minus it)"`
	Dropout  float64 `yaml:"dropout" doc:"share of features dropped before the last layer"`
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
		Split:  Split{Validation: 0.25},
		Prep:   Prep{Margin: 10, Normalise: "zscore"},
		Augment: Augment{
			Flip:  []string{"left-right"},
			Shift: 2,
		},
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
	require(p.Split.Validation+p.Split.Test < 0.95, "split.validation and split.test leave nothing to train on")
	p.validatePrep(require, oneOf)
	oneOf("net.name", p.Net.Name, net.Names()...)
	require(p.Net.Width >= 1 && p.Net.Width <= 1024, "net.width is %d; it must lie between 1 and 1024", p.Net.Width)
	oneOf("net.norm", p.Net.Norm, "batch", "none")
	share("net.momentum", p.Net.Momentum, 1e-6, 1)
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
	oneOf("prep.normalise", p.Prep.Normalise, "zscore", "none")
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
	for _, axis := range p.Augment.Flip {
		oneOf("augment.flip", axis, "left-right", "anterior-posterior", "superior-inferior")
	}
	require(p.Augment.Shift >= 0 && p.Augment.Shift <= 256, "augment.shift is %d; it must lie between 0 and 256", p.Augment.Shift)
}
