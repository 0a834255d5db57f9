package train

import (
	"math"

	"ballast/run"
)

// average moves the averaged weights towards the present ones after a step, where
// the plan asks for the exponential moving average. An epoch leaves Views.Decay of
// the old average in place, but step t never more than (t-1)/t of it: a young run's
// average is the plain mean over its steps, and the initial weights are not in it.
func (t *trainer) average() {
	if t.plan.Average.Name != "ema" {
		return
	}
	taken := float64(t.step)
	t.moveAverage(float32(1 - min(t.keep, (taken-1)/taken)))
}

// averageEpoch moves the averaged weights towards those at the end of an epoch,
// where the plan asks for stochastic weight averaging (Izmailov et al. 2018): their
// plain mean over the epochs from the first averaged one on, as
// torch.optim.swa_utils.AveragedModel; before that the present weights.
func (t *trainer) averageEpoch(epoch int) {
	if t.plan.Average.Name != "swa" {
		return
	}
	if count := epoch - t.plan.firstAveraged() + 1; count > 1 {
		t.moveAverage(float32(1 / float64(count)))
		return
	}
	for i, param := range t.net.Params() {
		copy(t.averaged.Params()[i].Value, param.Value)
	}
}

// moveAverage goes a share of the way from the averaged weights to the present.
func (t *trainer) moveAverage(share float32) {
	now, mean := t.net.Params(), t.averaged.Params()
	t.chunks.each(t.pool, func(i, from, to int) {
		target := now[i].Value[from:to]
		for j, old := range mean[i].Value[from:to] {
			mean[i].Value[from+j] = old + float32(share*(target[j]-old))
		}
	})
}

// firstAveraged is the first epoch whose weights are in the mean of "swa": so
// many epochs before it as average.start says, rounded down but for the
// representation of decimal shares (0.29 of 100 is 29).
func (p *Plan) firstAveraged() int {
	before := int(math.Floor(float64(p.Average.Start*float64(p.Epochs)) + 1e-9))
	return min(before+1, p.Epochs)
}

// logsAveraged reports whether the logged validation curve, and with it early
// stopping and the weights that a run leaves, is that of the averaged weights.
func (p *Plan) logsAveraged() bool { return p.Validation.Weights == "averaged" }

// FinalView is the view that evaluates cleanly, without the mistakes a plan may ask
// for, the weights that the logged validation curve is of and that a run leaves as
// LastWeights: after every epoch that has all views, and of the test set.
func (p *Plan) FinalView() string {
	if p.logsAveraged() {
		return run.Averaged
	}
	return run.Deterministic
}
