// Package train trains a network on a cohort by a plan and records what
// happened: the Plan, the loop, the optimisers, and the views by which the same
// weights are evaluated again with one source of fluctuation after another
// switched off.
package train

import (
	"errors"

	"ballast/cohort"
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
	Recipe     string     `yaml:"recipe" doc:"plain: every key has the default shown here; steady: sets the keys listed below this table; keys given beside it or later win"`
	Seed       uint64     `yaml:"seed" doc:"every random number comes from it"`
	Epochs     int        `yaml:"epochs" doc:"passes over the training images"`
	Batch      int        `yaml:"batch" doc:"images per step, or subjects where net.pooling is attention; 0: auto"`
	Data       Data       `yaml:"data"`
	Split      Split      `yaml:"split"`
	Prep       Prep       `yaml:"prep"`
	Augment    Augment    `yaml:"augment"`
	Sampling   Sampling   `yaml:"sampling"`
	Net        Net        `yaml:"net"`
	Loss       Loss       `yaml:"loss"`
	Optimizer  Optimizer  `yaml:"optimizer"`
	Schedule   Schedule   `yaml:"schedule"`
	Average    Average    `yaml:"average"`
	Stopping   Stopping   `yaml:"stopping"`
	Validation Validation `yaml:"validation"`
	Views      Views      `yaml:"views"`
	Mistakes   Mistakes   `yaml:"mistakes"`
}

// Data names the columns of the cohort's table and chooses among its images;
// empty: found as documented at cohort.Open. Its fields are those of
// cohort.Options.
type Data struct {
	Path       []string `yaml:"path,flow" doc:"columns with the image files: one, or one for each sequence"`
	Label      string   `yaml:"label" doc:"column with the class"`
	Subject    string   `yaml:"subject" doc:"column with the patient"`
	Mask       string   `yaml:"mask" doc:"column with the mask file; in a BIDS tree the mask's name, as label-lesion_mask"`
	Site       string   `yaml:"site" doc:"column with the scanner or hospital"`
	Set        string   `yaml:"set" doc:"column that fixes train, validation or test"`
	Fold       string   `yaml:"fold" doc:"column with the fold of a published cross-validation"`
	Sequences  []string `yaml:"sequences,flow" doc:"MRI sequences, a channel each, as T1w and FLAIR; empty: the first one that all subjects have"`
	Session    string   `yaml:"session" doc:"the visit to use: its name, or first; empty: each visit is an image of its subject"`
	Covariates []string `yaml:"covariates,flow" doc:"columns with clinical values that are known before the outcome, joined to the features before the last layer"`
	Volume     string   `yaml:"volume" doc:"of 4D files: an index from 0, or the column that holds it; none: a column called volume is no index"`
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

// Sampling is which training images an epoch sees, and in which order.
type Sampling struct {
	Draw string `yaml:"draw" doc:"shuffled: every image once; balanced: images drawn so that each class is equally frequent; sorted: every image once, by class, a mistake"`
}

// Net is the network.
type Net struct {
	Name           string   `yaml:"name" doc:"cnn1 to cnn6: that many blocks of convolution, norm, activation and pooling; vgg11, vgg13, vgg16; resnet10, resnet18, resnet34; linear: a baseline"`
	Depth          int      `yaml:"depth" doc:"blocks of a cnn in place of the number in its name; 0: that number"`
	Width          int      `yaml:"width" doc:"channels of the first block; each block doubles them"`
	Norm           string   `yaml:"norm" doc:"batch; batch-after-pool: of what the pooling gives; group: over groups of channels of one image; or none"`
	Groups         int      `yaml:"groups" doc:"of group norm; a layer whose channels it does not divide takes their greatest common divisor"`
	Momentum       float64  `yaml:"momentum" doc:"share of a new batch in the running statistics (PyTorch's sense; Keras's is 1 minus it)"`
	Activation     string   `yaml:"activation" doc:"relu or leaky-relu"`
	Slope          float64  `yaml:"slope" doc:"of leaky-relu below zero"`
	Dropout        float64  `yaml:"dropout" doc:"share of features dropped before the last layer"`
	BlockDropout   float64  `yaml:"block_dropout" doc:"share of elements dropped after every block"`
	SpatialDropout float64  `yaml:"spatial_dropout" doc:"share of whole channels dropped after every block"`
	Pooling        string   `yaml:"pooling" doc:"of a subject's images: mean of their probabilities; attention: of their features, with learnt weights, a step taking at most 16 images of a subject"`
	Weights        string   `yaml:"weights" doc:"safetensors file that training starts from, as import-weights writes it; empty: drawn from the seed"`
	Freeze         []string `yaml:"freeze,flow" doc:"layers that stay as they start, by the beginning of their names, as [block1, block2]"`
}

// Loss is what training lessens. Every recorded loss is the plain cross-entropy,
// unweighted, so that the training and validation curves are comparable.
type Loss struct {
	Name      string  `yaml:"name" doc:"cross-entropy or focal"`
	Gamma     float64 `yaml:"gamma" doc:"of focal: how much less an image counts that is already classified well"`
	Weights   string  `yaml:"weights" doc:"none; balanced: classes count in inverse proportion to their training images"`
	Smoothing float64 `yaml:"smoothing" doc:"share of the label that is spread over all classes"`
}

// Optimizer is the rule that changes the weights.
type Optimizer struct {
	Name        string  `yaml:"name" doc:"adam, adamw, rmsprop or sgd"`
	LR          float64 `yaml:"lr" doc:"learning rate; the largest one under a schedule"`
	Momentum    float64 `yaml:"momentum" doc:"of sgd"`
	Nesterov    bool    `yaml:"nesterov" doc:"momentum of sgd as Nesterov's"`
	Alpha       float64 `yaml:"alpha" doc:"of rmsprop: share of the old mean of squared gradients that a step keeps"`
	Beta1       float64 `yaml:"beta1" doc:"of adam and adamw: share of the old mean of gradients that a step keeps"`
	Beta2       float64 `yaml:"beta2" doc:"of adam and adamw: share of the old mean of squared gradients that a step keeps"`
	Epsilon     float64 `yaml:"epsilon" doc:"of adam, adamw and rmsprop: added to the root of the mean of squared gradients"`
	WeightDecay float64 `yaml:"weight_decay" doc:"added to the gradient of weights (not of biases and norms); of adamw: taken off the weights"`
	Clip        float64 `yaml:"clip" doc:"largest norm of the gradient; 0: no limit"`
	Accumulate  int     `yaml:"accumulate" doc:"batches whose mean gradient makes one step"`
}

// Schedule is how the learning rate changes.
type Schedule struct {
	Name     string  `yaml:"name" doc:"constant; step; cosine; one-cycle: up to optimizer.lr and down, once; plateau: falls when the training loss stalls"`
	WarmUp   float64 `yaml:"warm_up" doc:"epochs in which the rate rises from 0, before constant, step, cosine and plateau"`
	Every    int     `yaml:"every" doc:"of step: epochs between falls"`
	Factor   float64 `yaml:"factor" doc:"of step and plateau: what the rate is multiplied by"`
	Patience int     `yaml:"patience" doc:"of plateau: epochs without improvement that are borne"`
	Final    float64 `yaml:"final" doc:"of cosine and one-cycle: the last rate as a share of optimizer.lr; of plateau: the least"`
	Rise     float64 `yaml:"rise" doc:"of one-cycle: share of the steps in which the rate rises"`
}

// Average is how weights are averaged beside training. The averages are
// evaluated in the view "averaged"; see Validation.Weights and Views.Decay.
type Average struct {
	Name  string  `yaml:"name" doc:"ema: moving average over steps, of views.decay; swa: plain mean of the weights after each epoch from average.start on"`
	Start float64 `yaml:"start" doc:"of swa: share of the epochs before the first that is averaged"`
}

// Stopping ends a training that no longer gets better.
type Stopping struct {
	Patience  int     `yaml:"patience" doc:"epochs without improvement after which training stops; 0: never"`
	Watch     string  `yaml:"watch" doc:"what must improve: loss or accuracy of the logged validation curve"`
	Smoothing float64 `yaml:"smoothing" doc:"share of the old smoothed value that an epoch keeps: 0 follows the curve itself"`
}

// Validation is how an epoch ends and how the view "logged" evaluates the
// validation set. Augment, Dropout and Fraction reproduce common mistakes.
type Validation struct {
	Weights     string  `yaml:"weights" doc:"current, or averaged: those of section average, with batch-norm statistics recomputed"`
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

// Mistakes plants what goes wrong in other people's runs, so that a diagnosis can be
// held against a known truth. Subjects are chosen by the stream "mistakes/KEY".
type Mistakes struct {
	PermuteLabels    bool    `yaml:"permute_labels" doc:"the classes of all subjects are dealt out anew within each set: nothing is left to learn"`
	LabelNoise       float64 `yaml:"label_noise" doc:"share of the subjects of every set that are given another class"`
	Leak             float64 `yaml:"leak" doc:"share of the validation subjects of whom a copy is trained on, under another name"`
	Shortcut         float64 `yaml:"shortcut" doc:"every subject gets a site, A or B, and this share of each class has the same one, images of A being darker and of less contrast; 0: nobody gets a site"`
	Drop             float64 `yaml:"drop" doc:"share of the subjects of the last class that is left out of every set"`
	InputGain        float64 `yaml:"input_gain" doc:"all prepared images are multiplied by it"`
	InputOffset      float64 `yaml:"input_offset" doc:"and this is added"`
	ValidationGain   float64 `yaml:"validation_gain" doc:"the prepared images of all sets but train are multiplied by it, after input_gain"`
	ValidationOffset float64 `yaml:"validation_offset" doc:"and this is added"`
	InitialGain      float64 `yaml:"initial_gain" doc:"initial weights of convolutions are multiplied by it"`
	InitialBias      float64 `yaml:"initial_bias" doc:"added to the initial bias of every block: of its norm, or of its convolution without one"`
	ClassWeight      float64 `yaml:"class_weight" doc:"weight of the last class in the loss that training lessens"`
}

// DefaultPlan returns the plan that `ballast train COHORT` starts from.
func DefaultPlan() Plan {
	return Plan{
		Format: PlanFormat,
		Recipe: "plain",
		Seed:   1,
		Epochs: 50,
		Split:  Split{Validation: 0.25, Stratify: []string{"label"}},
		Prep: Prep{
			Orient: "anatomy", Bias: "none", Margin: 10, Resample: "linear", Pad: "background",
			Standardise: "none", Normalise: "zscore", Over: "foreground",
		},
		Augment:    defaultAugment(),
		Sampling:   Sampling{Draw: "shuffled"},
		Net:        Net{Name: "cnn4", Width: 16, Norm: "batch", Groups: 8, Momentum: 0.1, Activation: "relu", Slope: 0.01, Pooling: "mean"},
		Loss:       Loss{Name: "cross-entropy", Gamma: 2, Weights: "none"},
		Optimizer:  Optimizer{Name: "adam", LR: 1e-3, Momentum: 0.9, Alpha: 0.99, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Accumulate: 1},
		Schedule:   Schedule{Name: "constant", Every: 20, Factor: 0.1, Patience: 10, Final: 0.001, Rise: 0.3},
		Average:    Average{Name: "ema", Start: 0.75},
		Stopping:   Stopping{Watch: "loss", Smoothing: 0.6},
		Validation: Validation{Weights: "current", Fraction: 1},
		Views:      Views{Every: 1, Images: 256, Decay: 0.8},
		Mistakes:   Mistakes{InputGain: 1, ValidationGain: 1, InitialGain: 1, ClassWeight: 1},
	}
}
