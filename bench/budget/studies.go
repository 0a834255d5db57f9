package main

import "ballast/train"

// A kind of training: clean, or with something planted.
type kind struct {
	name    string
	planted bool
	train   int               // subjects
	change  func(*train.Plan) // of the plan that all have in common
}

// kinds lists them. Each is trained several times, in turn on each phantom.
var kinds = []kind{
	{"two blocks", false, 120, func(p *train.Plan) { p.Net.Name, p.Net.Width = "cnn2", 8 }},
	{"three blocks", false, 120, func(*train.Plan) {}},
	{"no norm", false, 80, func(p *train.Plan) { p.Net.Norm = "none" }},
	{"group norm", false, 160, func(p *train.Plan) { p.Net.Norm, p.Net.Groups = "group", 4 }},
	{"cosine schedule", false, 120, func(p *train.Plan) { p.Schedule.Name, p.Batch = "cosine", 8 }},
	{"curve of averaged weights", false, 120, func(p *train.Plan) { p.Validation.Weights = "averaged" }},

	{"dropout left on", true, 120, func(p *train.Plan) { p.Net.Dropout, p.Net.BlockDropout, p.Validation.Dropout = 0.5, 0.2, true }},
	{"half the set at random", true, 120, func(p *train.Plan) { p.Validation.Fraction = 0.5 }},
	{"augmented validation", true, 120, func(p *train.Plan) {
		p.Augment.Noise.Probability, p.Augment.Noise.Sigma, p.Validation.Augment = 1, 0.5, true
	}},
	{"slow batch-norm statistics", true, 120, func(p *train.Plan) { p.Net.Momentum, p.Optimizer.LR = 0.02, 5e-3 }},
	{"batches of 4", true, 80, func(p *train.Plan) { p.Batch = 4 }},
	{"high learning rate", true, 120, func(p *train.Plan) { p.Optimizer.LR = 3e-2 }},
	{"high learning rate, no norm", true, 120, func(p *train.Plan) { p.Net.Norm, p.Optimizer.LR = "none", 1e-2 }},
	{"no signal", true, 80, func(p *train.Plan) { p.Mistakes.PermuteLabels = true }},
	{"label noise", true, 120, func(p *train.Plan) { p.Mistakes.LabelNoise = 0.25 }},
	{"memorised", true, 30, func(p *train.Plan) { p.Net.Width, p.Optimizer.LR = 8, 3e-3 }},
	{"training images sorted", true, 120, func(p *train.Plan) { p.Sampling.Draw = "sorted" }},
}

// A study is one training.
type study struct {
	kind
	number     int // from 0
	seed       uint64
	population *population
}

// plan is the plan of the study's training.
func (s *study) plan(epochs int) train.Plan {
	p := train.DefaultPlan()
	p.Seed, p.Epochs, p.Batch = s.seed, epochs, 16
	p.Net.Name, p.Net.Width = "cnn3", 4
	p.Augment.Flip, p.Augment.Shift = []string{}, 0
	s.change(&p)
	s.population.prepare(&p)
	return p
}
