package train

import (
	"fmt"
	"math"

	"ballast/run"
)

// A course is how far a training has come. It is computed from the recorded epochs
// alone, so a resumed training, told of them, goes on as if it had never stopped.
type course struct {
	plan   *Plan
	epochs int    // finished
	status string // of the run, how training ended; empty while it goes on
	reason string // in words, where it ended before the last planned epoch
	err    error  // where it failed

	best      float64 // of the criterion
	bestEpoch int     // the first with it; 0: none yet
	smoothed  float64 // exponentially, towards 0
	weight    float64 // of the values in it
}

// BestEpoch is the index of the epoch whose weights a run of the plan keeps as
// BestWeights; -1 where no epoch has a finite criterion.
func (p *Plan) BestEpoch(epochs []run.Epoch) int {
	c, best := newCourse(p), -1
	for i := range epochs {
		if c.add(&epochs[i]) {
			best = i
		}
	}
	return best
}

func newCourse(p *Plan) *course { return &course{plan: p, best: math.Inf(-1)} }

// leastGain is what the criterion must gain to be better: a constant curve, smoothed,
// is constant only up to rounding.
const leastGain = 1e-9

// add takes a finished epoch into account and reports whether it is the best so far.
func (c *course) add(e *run.Epoch) (best bool) {
	c.epochs = e.Epoch
	if validation := e.Evaluation(run.Logged, run.Validation); validation != nil {
		value := c.criterion(validation)
		if best = value > c.best+leastGain; best {
			c.best, c.bestEpoch = value, e.Epoch
		}
	}
	if training := e.Evaluation(run.Logged, run.Train); training != nil {
		c.end(float64(training.Loss))
	}
	return best
}

// end decides whether training goes on after the epoch just added.
func (c *course) end(loss float64) {
	switch patience := c.plan.Stopping.Patience; {
	case math.IsNaN(loss) || math.IsInf(loss, 0):
		c.status = run.Interrupted
		c.err = fmt.Errorf("%w: the training loss is %g in epoch %d; lower optimizer.lr (now %g)", ErrDiverged, loss, c.epochs, c.plan.Optimizer.LR)
	case c.epochs >= c.plan.Epochs:
		c.status = run.Complete
	case patience > 0 && c.epochs-c.bestEpoch >= patience:
		c.status = run.Stopped
		c.reason = fmt.Sprintf("stopped after epoch %d of %d: the smoothed validation %s was best after epoch %d and has not improved for %d epochs (stopping.patience)",
			c.epochs, c.plan.Epochs, c.plan.Stopping.Watch, c.bestEpoch, patience)
	}
}

// criterion is what the best epoch has most of: the logged validation accuracy,
// or, where training may stop early, what it watches, smoothed, a loss with its
// sign changed.
//
// The smoothed value is the mean of all values so far, each counted
// stopping.smoothing times as much as the one after it: s = b s + (1 - b) x,
// divided by the weight 1 - b^t that s has after t epochs, as Adam corrects its
// moments (Kingma and Ba 2015). A value that is not finite is left out and is no
// improvement.
func (c *course) criterion(logged *run.Evaluation) float64 {
	rule := c.plan.Stopping
	if rule.Patience == 0 {
		return float64(logged.Accuracy)
	}
	value := -float64(logged.Loss)
	if rule.Watch == "accuracy" {
		value = float64(logged.Accuracy)
	}
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return math.NaN()
	}
	c.smoothed = float64(rule.Smoothing*c.smoothed) + float64((1-rule.Smoothing)*value)
	c.weight = float64(rule.Smoothing*c.weight) + (1 - rule.Smoothing)
	return c.smoothed / c.weight
}
