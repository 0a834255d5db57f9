package main

import (
	"ballast/train"
)

// A fault is a way to spoil a well-set run by the plan or by the size of the
// cohort, and the causes that a diagnosis should then name.
type fault struct {
	name  string   // of the fault; several may plant the same cause
	cause string   // the id that is planted; empty: a clean control
	also  []string // ids that are true as well by construction
	plan  func(*train.Plan, *network)
	train int // training subjects; 0: baseTrain
	// effect is Cohen's d of the phantom's latent variable; 0: baseEffect.
	effect float64
	// each marks a fault whose plan means something else for every number of
	// validation subjects, so that the training cannot be shared.
	each bool
	// plants reports whether the fault does anything to a network; nil: to all.
	plants func(*network) bool
	// phantom marks a fault of which it is not known whether it does anything to a real
	// cohort.
	phantom bool
}

func normalised(n *network) bool   { return n.batchNorm }
func unnormalised(n *network) bool { return !n.batchNorm }

func in(name string) func(*network) bool     { return func(n *network) bool { return n.name == name } }
func except(name string) func(*network) bool { return func(n *network) bool { return n.name != name } }

// memorises is true of a run that learns few subjects by heart.
var memorises = []string{"overfitting", "overconfidence", "trained-too-long", "too-much-capacity"}

// Every fault stands for the cause of its name, or of the field cause. Their sizes
// were chosen on the development seeds, so that each does harm that can be
// measured (docs/reliability-of-diagnosis.md).
var faults = []fault{
	{name: "clean", plan: func(*train.Plan, *network) {}},
	{name: "no-signal", also: append([]string{"coin-flip"}, memorises...),
		plan: func(p *train.Plan, _ *network) { p.Mistakes.PermuteLabels = true }},
	{name: "no-signal-memorised", cause: "no-signal", train: 60, also: append([]string{"coin-flip"}, memorises...),
		plan: func(p *train.Plan, _ *network) {
			p.Mistakes.PermuteLabels, p.Augment, p.Epochs = true, train.Augment{}, 60
		}},
	{name: "overfitting", train: 30, also: memorises[1:],
		plan: func(p *train.Plan, _ *network) { p.Augment, p.Epochs, p.Batch = train.Augment{}, 40, 8 }},
	{name: "too-little-capacity", phantom: true,
		plan: func(p *train.Plan, _ *network) {
			p.Net.Name, p.Net.Width, p.Net.Norm = "linear", 1, "none"
			if p.Optimizer.Name == "sgd" {
				p.Optimizer.LR /= 10 // its whole gradient falls on one layer
			} else {
				p.Optimizer.LR *= 2
			}
		}},
	{name: "trained-too-long", train: 40, plants: except("cnn3"), also: []string{"overfitting", "overconfidence"},
		plan: func(p *train.Plan, n *network) {
			p.Epochs, p.Augment = 150, train.Augment{}
			if !n.batchNorm {
				p.Schedule.Name = "constant" // else the loss comes to rest before it has risen
			}
		}},
	{name: "trained-too-short",
		plan: func(p *train.Plan, _ *network) { p.Epochs = 4 }},
	{name: "learning-rate-too-high",
		plan: func(p *train.Plan, n *network) {
			p.Schedule.Name = "constant"
			p.Optimizer.LR *= n.tooHigh
		}},
	{name: "learning-rate-too-low", also: []string{"trained-too-short"},
		plan: func(p *train.Plan, _ *network) { p.Optimizer.LR /= 100 }},
	{name: "batch-too-small", train: 150,
		plan: func(p *train.Plan, n *network) {
			p.Batch, p.Schedule.Name = 2, "constant"
			p.Optimizer.LR *= n.smallBatch
			if n.batchNorm {
				p.Net.Norm = "group"
			}
		}},
	{name: "batch-norm-small-batch", plants: in("resnet10"), also: []string{"batch-too-small"},
		plan: func(p *train.Plan, _ *network) {
			p.Optimizer.LR *= 2 / float64(p.Batch) // so that the steps are not too large as well
			p.Batch, p.Validation.Recalibrate = 2, false
		}},
	{name: "batch-norm-lag", plants: normalised,
		plan: func(p *train.Plan, _ *network) { p.Net.Momentum, p.Validation.Recalibrate = 0.003, false }},
	{name: "unshuffled-training",
		plan: func(p *train.Plan, _ *network) { p.Sampling.Draw = "sorted" }},
	{name: "dropout-while-validating", cause: "stochastic-evaluation",
		plan: func(p *train.Plan, _ *network) {
			p.Net.Dropout, p.Net.BlockDropout, p.Validation.Dropout = 0.6, 0.15, true
		}},
	{name: "augmented-validation", cause: "stochastic-evaluation",
		plan: func(p *train.Plan, _ *network) {
			p.Augment.Shift, p.Augment.Affine.Probability, p.Augment.Affine.Rotation, p.Augment.Affine.Scale = 3, 1, 25, 0.15
			p.Validation.Augment = true
		}},
	{name: "random-validation-subset", also: []string{"stochastic-evaluation"}, each: true,
		plan: func(p *train.Plan, _ *network) { p.Validation.Fraction = 0.4 }},
	{name: "brighter-validation", cause: "preprocessing-mismatch",
		plan: func(p *train.Plan, _ *network) { p.Mistakes.ValidationOffset = 2 }},
	{name: "stretched-validation", cause: "preprocessing-mismatch", plants: normalised,
		plan: func(p *train.Plan, _ *network) { p.Mistakes.ValidationGain = 0.3 }},
	{name: "loss-weight-mismatch",
		plan: func(p *train.Plan, _ *network) { p.Mistakes.ClassWeight = 15 }},
	{name: "class-imbalance", phantom: true,
		plan: func(p *train.Plan, _ *network) { p.Mistakes.Drop = 0.85 }},
	{name: "unscaled-input", plants: unnormalised,
		plan: func(p *train.Plan, _ *network) { p.Mistakes.InputGain, p.Mistakes.InputOffset = 300, 1000 }},
	{name: "validation-better-than-training", phantom: true, plants: in("cnn3"),
		plan: func(p *train.Plan, _ *network) { p.Net.Dropout, p.Net.BlockDropout = 0.7, 0.1 }},
	{name: "dead-relu",
		plan: func(p *train.Plan, _ *network) { p.Mistakes.InitialBias = -3 }},
	{name: "vanishing-gradient", plants: unnormalised,
		plan: func(p *train.Plan, _ *network) { p.Mistakes.InitialGain = 0.02 }},
	{name: "exploding-gradient", plants: unnormalised,
		plan: func(p *train.Plan, _ *network) { p.Mistakes.InitialGain = 10 }},
	{name: "non-finite-loss", also: []string{"learning-rate-too-high", "exploding-gradient"},
		plan: func(p *train.Plan, _ *network) {
			p.Optimizer.Name, p.Optimizer.LR, p.Optimizer.Momentum = "sgd", 100, 0.9
			p.Schedule.WarmUp, p.Net.Activation = 29, "leaky-relu"
		}},
	{name: "label-noise",
		plan: func(p *train.Plan, _ *network) { p.Mistakes.LabelNoise = 0.25 }},
	{name: "subject-leakage", each: true, train: 60, also: memorises,
		plan: func(p *train.Plan, _ *network) { p.Mistakes.Leak, p.Augment = 0.6, train.Augment{} }},
	{name: "site-shortcut", effect: 1,
		plan: func(p *train.Plan, _ *network) { p.Mistakes.Shortcut = 0.95 }},
}

// planted is the id of the cause; empty for a clean control.
func (f *fault) planted() string {
	switch {
	case f.name == clean:
		return ""
	case f.cause != "":
		return f.cause
	}
	return f.name
}

// clean is the name of the controls.
const clean = "clean"
