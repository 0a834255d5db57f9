package main

import "ballast/train"

// A network is one of those that every fault is planted in, with the optimiser and
// the learning rate at which it trains well here.
type network struct {
	name      string
	batchNorm bool
	// Factors of the learning rate at which training jumps without dying, and at
	// which batches of two make it.
	tooHigh, smallBatch float64
	plan                func(*train.Plan)
}

// The networks differ in depth, shortcut connections, normalisation and optimiser.
var networks = []network{
	{"cnn3", true, 60, 4, func(p *train.Plan) {
		p.Net.Name, p.Net.Width = "cnn3", 8
		p.Optimizer.Name, p.Optimizer.LR = "adam", 1e-3
		p.Schedule.Name = "cosine"
	}},
	{"resnet10", true, 10, 0.5, func(p *train.Plan) {
		p.Net.Name, p.Net.Width = "resnet10", 4
		p.Optimizer.Name, p.Optimizer.LR, p.Optimizer.Momentum = "sgd", 0.02, 0.9
		p.Schedule.Name = "cosine"
		p.Validation.Recalibrate = true // without it the running statistics lag, as those of cnn3 do
	}},
	{"cnn4-plain", false, 30, 8, func(p *train.Plan) {
		p.Net.Name, p.Net.Width, p.Net.Norm = "cnn4", 8, "none"
		p.Optimizer.Name, p.Optimizer.LR = "adamw", 1e-3
		p.Schedule.Name = "cosine"
	}},
}

// basePlan is a well-set run: enough training subjects for its small network, a
// learning rate that is neither too high nor too low and falls at the end,
// augmentation, and as many epochs as it needs.
func basePlan(n *network, seed uint64) train.Plan {
	plan := train.DefaultPlan()
	plan.Seed, plan.Epochs, plan.Batch = seed, baseEpochs, 16
	plan.Views.Images = 128
	n.plan(&plan)
	return plan
}

const (
	baseEpochs = 30
	baseTrain  = 300 // training subjects
)
