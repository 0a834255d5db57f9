package main

import (
	"math"
	"slices"

	"ballast/diagnosis"
	"ballast/run"
	"ballast/stat"
)

// Several causes are consequences of others, or properties of a whole training that
// nobody plants: a clean run may well have batch-norm statistics that lag, and any
// long training on few subjects overfits. Whether such a cause is true of a run is
// measured on fresh subjects, by the same sizes of effect that the verdicts are about
// (docs/budget.md); a claim that the fresh subjects bear out is no false alarm.
const (
	gap      = 0.10 // of accuracy, or of confidence less accuracy
	gain     = 0.02 // of accuracy, by which a change of evaluation or a choice of epoch flatters
	share    = 0.10 // of the variance of the logged curve
	jitter   = 1.0  // points: a calmer curve needs no explanation
	trend    = 0.10 // by which a loss still falls
	rebound  = 0.20 // by which a loss has risen again
	oneClass = 0.90 // of the subjects given to one class
)

// A course is how a training went on the fresh subjects.
type course struct {
	fresh *run.Run         // fresh subjects in place of the validation set
	late  int              // index of the first of the last third of the epochs
	views []diagnosis.View // of the fresh subjects; nil where there is nothing to diagnose
}

func newCourse(fresh *run.Run) *course {
	c := &course{fresh: fresh, late: 2 * len(fresh.Epochs) / 3}
	if report, err := diagnosis.Diagnose(fresh); err == nil {
		c.views = report.Views
	}
	return c
}

// measured lists the causes that fresh subjects show to be true of a run.
func measured(r *run.Run, c *course) []string {
	ids := facts(r)
	if c == nil || len(c.fresh.Epochs) == 0 || len(r.Epochs) != len(c.fresh.Epochs) {
		return ids
	}
	accuracy := c.mean(run.Deterministic, run.Validation, accuracyOf)
	training := c.mean(run.Deterministic, run.Train, accuracyOf)
	n := len(r.Header.Sets[run.Validation])
	add := func(id string, holds bool) {
		if holds && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	add("overfitting", training-accuracy >= gap)
	add("overconfidence", c.confidence()-accuracy >= gap || c.rebounds() && c.accuracyHolds())
	add("trained-too-long", c.rebounds())
	add("trained-too-short", c.falls())
	guess := c.commonest()
	add("coin-flip", accuracy-guess < (1-guess)/10)
	add("too-little-learning", training-guess < (1-guess)/10)
	add("validation-better-than-training", accuracy-c.mean(run.Logged, run.Train, accuracyOf) >= gain)
	add("class-bias-oscillation", c.swings())
	add("optimistic-selection", c.flatters(r.Header.Sets[run.Validation]) >= gain)
	c.shares(n, add)
	return ids
}

func accuracyOf(v *run.Evaluation) float64 { return float64(v.Accuracy) }
func lossOf(v *run.Evaluation) float64     { return float64(v.Loss) }

// curve is a value of every epoch; NaN where it is not recorded.
func (c *course) curve(view, set string, of func(*run.Evaluation) float64) []float64 {
	values := make([]float64, len(c.fresh.Epochs))
	for t := range c.fresh.Epochs {
		values[t] = math.NaN()
		if v := c.fresh.Epochs[t].Evaluation(view, set); v != nil {
			values[t] = of(v)
		}
	}
	return values
}

// mean is that over the last third of the epochs.
func (c *course) mean(view, set string, of func(*run.Evaluation) float64) float64 {
	return average(c.curve(view, set, of)[c.late:])
}

// average is the mean of the finite values; NaN where there is none.
func average(values []float64) float64 {
	sum, n := 0.0, 0.0
	for _, x := range values {
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			sum, n = sum+x, n+1
		}
	}
	return sum / n
}

// confidence is the mean late probability of the class that is named.
func (c *course) confidence() float64 {
	return c.mean(run.Deterministic, run.Validation, func(v *run.Evaluation) float64 {
		sum := 0.0
		for _, row := range v.Probabilities {
			sum += float64(slices.Max(row))
		}
		return sum / float64(len(v.Probabilities))
	})
}

// commonest is the share of the commonest class.
func (c *course) commonest() float64 {
	counts := make([]int, len(c.fresh.Header.Classes))
	subjects := c.fresh.Header.Sets[run.Validation]
	for _, subject := range subjects {
		counts[subject.Class]++
	}
	return float64(slices.Max(counts)) / float64(len(subjects))
}

// smoothLoss is the loss on fresh subjects, averaged over five epochs.
func (c *course) smoothLoss() []float64 {
	loss := c.curve(run.Deterministic, run.Validation, lossOf)
	smooth := make([]float64, len(loss))
	for t := range loss {
		smooth[t] = average(loss[max(0, t-2):min(len(loss), t+3)])
	}
	return smooth
}

// rebounds reports whether the loss was lowest in the first two thirds and has risen
// since.
func (c *course) rebounds() bool {
	loss := c.smoothLoss()
	lowest, at := math.Inf(1), 0
	for t, x := range loss {
		if x < lowest {
			lowest, at = x, t
		}
	}
	return len(loss) >= 10 && at < c.late && loss[len(loss)-1] >= (1+rebound)*lowest
}

// accuracyHolds reports whether the accuracy is not below what it was at the lowest loss.
func (c *course) accuracyHolds() bool {
	loss, accuracy := c.smoothLoss(), c.curve(run.Deterministic, run.Validation, accuracyOf)
	at := 0
	for t := range loss {
		if loss[t] < loss[at] {
			at = t
		}
	}
	return average(accuracy[c.late:]) >= average(accuracy[max(0, at-2):min(len(accuracy), at+3)])-gain
}

// falls reports whether the loss goes on falling in the last third, or, of a training
// of fewer than ten epochs, at all.
func (c *course) falls() bool {
	loss := c.curve(run.Deterministic, run.Validation, lossOf)
	if len(loss) < 10 {
		return loss[len(loss)-1] < (1-trend)*loss[0]
	}
	half := (c.late + len(loss)) / 2
	return average(loss[half:]) < (1-trend)*average(loss[c.late:half])
}

// swings reports whether nearly all late answers are one class at one time and another
// one at another.
func (c *course) swings() bool {
	taken := map[int]bool{}
	for _, epoch := range c.fresh.Epochs[c.late:] {
		v := epoch.Evaluation(run.Deterministic, run.Validation)
		if v == nil {
			continue
		}
		counts := make([]int, len(c.fresh.Header.Classes))
		for _, row := range v.Probabilities {
			counts[named(row)]++
		}
		for class, count := range counts {
			if float64(count) >= oneClass*float64(len(v.Probabilities)) {
				taken[class] = true
			}
		}
	}
	return len(taken) > 1
}

// draws is the number of validation sets that flatters draws.
const draws = 300

// flatters is how far the best epoch of n validation subjects, evaluated as the run logs
// them, is expected to lie above what all fresh subjects show of that epoch without noise
// of the evaluation: sets of n are drawn from the fresh subjects, as many of each class as
// are validated on, with replacement.
func (c *course) flatters(subjects []run.Subject) float64 {
	right, clean := c.right(run.Logged), c.right(run.Deterministic)
	if len(right) == 0 || len(right) != len(clean) {
		return math.NaN()
	}
	members := map[int][]int{}
	for i, subject := range c.fresh.Header.Sets[run.Validation] {
		members[subject.Class] = append(members[subject.Class], i)
	}
	all := make([]float64, len(right))
	for t := range right {
		all[t] = average(clean[t])
	}
	sum := 0.0
	for k := range draws {
		stream := stat.NewStream(1, "faults/flatters", uint64(k))
		var drawn []int
		for _, subject := range subjects {
			if own := members[subject.Class]; len(own) > 0 {
				drawn = append(drawn, own[stream.IntN(len(own))])
			}
		}
		best, at := -1.0, 0
		for t := range right {
			of := make([]float64, len(drawn))
			for k, i := range drawn {
				of[k] = right[t][i]
			}
			if accuracy := average(of); accuracy > best {
				best, at = accuracy, t
			}
		}
		sum += best - all[at]
	}
	return sum / draws
}

// right is, for every epoch and fresh subject, 1 where the subject is classified
// rightly, NaN where a view leaves it out; epochs without predictions are left out.
func (c *course) right(view string) (right [][]float64) {
	subjects := c.fresh.Header.Sets[run.Validation]
	for t := range c.fresh.Epochs {
		v := c.fresh.Epochs[t].Evaluation(view, run.Validation)
		if v == nil || len(v.Probabilities) != len(subjects) {
			continue
		}
		row := make([]float64, len(subjects))
		for i, p := range v.Probabilities {
			switch {
			case p == nil:
				row[i] = math.NaN()
			case named(p) == subjects[i].Class && p[0] == p[0]:
				row[i] = 1
			}
		}
		right = append(right, row)
	}
	return right
}

// shares adds the causes that are shares of the jitter: those that the ladder of views
// shows on the fresh subjects, with the part added that n subjects have by being few.
func (c *course) shares(n int, add func(string, bool)) {
	if c.views == nil {
		return
	}
	fresh := float64(len(c.fresh.Header.Sets[run.Validation]))
	total, finite := map[string]float64{}, map[string]float64{}
	for _, view := range c.views {
		variance := square(float64(view.Jitter.Points) / 100)
		few := variance * float64(view.Finite.Points) * fresh / float64(n)
		if math.IsNaN(few) { // no prediction ever changes
			few = 0
		}
		total[view.View], finite[view.View] = math.Max(0, variance*(1-orZero(float64(view.Finite.Points))))+few, few
	}
	logged := total[run.Logged]
	moves := 100*math.Sqrt(logged) >= jitter
	part := func(from, to string) bool { return moves && (total[from]-total[to])/logged >= share }
	add("small-validation-set", moves && finite[run.Logged]/logged >= share)
	add("batch-norm-lag", part(run.Deterministic, run.Recalibrated) ||
		c.mean(run.Recalibrated, run.Validation, accuracyOf)-c.mean(run.Deterministic, run.Validation, accuracyOf) >= gain)
	add("threshold-flicker", part(run.Recalibrated, run.Recalibrated+"+threshold"))
}

func square(x float64) float64 { return x * x }

func orZero(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return x
}

// facts lists what the record of a run shows without any doubt.
func facts(r *run.Run) (ids []string) {
	lost, dead, vanished := false, 0, 0
	for _, epoch := range r.Epochs {
		for _, v := range epoch.Evaluations {
			lost = lost || math.IsNaN(float64(v.Loss)) || math.IsInf(float64(v.Loss), 0)
		}
		if epoch.Health == nil || len(epoch.Health.Layers) == 0 {
			continue
		}
		for _, layer := range epoch.Health.Layers {
			if layer.Dead >= 0.5 || layer.Active < 0.01 {
				dead++
				break
			}
		}
		if epoch.Health.Layers[0].Gradient < 1e-7 {
			vanished++
		}
	}
	if lost {
		ids = append(ids, "non-finite-loss")
	}
	if 3*dead >= len(r.Epochs) && dead > 0 {
		ids = append(ids, "dead-relu")
	}
	if 3*vanished >= len(r.Epochs) && vanished > 0 {
		ids = append(ids, "vanishing-gradient")
	}
	if p, ok := imbalance(r.Header.Sets[run.Train], len(r.Header.Classes)); ok && p >= 0.8 {
		ids = append(ids, "class-imbalance")
	}
	return ids
}

// imbalance is the share of the commonest class.
func imbalance(subjects []run.Subject, classes int) (share float64, known bool) {
	counts := make([]float64, classes)
	for _, subject := range subjects {
		counts[subject.Class]++
	}
	if len(subjects) == 0 {
		return 0, false
	}
	return stat.Quantile(counts, 1) / float64(len(subjects)), true
}
