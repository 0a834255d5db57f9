package train

// rate is the learning rate of the next step.
func (t *trainer) rate() float64 { return t.plan.Optimizer.LR }
