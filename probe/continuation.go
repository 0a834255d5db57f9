package probe

import (
	"context"
	"math"

	"ballast/run"
	"ballast/train"
)

// A continuation has first the epochs in which training settles at its changed
// settings and then those that are measured, which are one step of the curve fewer.
const (
	settling      = 2
	measured      = 9
	measuredQuick = 5
)

// continuations are the settings that training goes on with.
var continuations = []struct {
	name        string
	rate, batch float64 // times those of the run
}{
	{"same", 1, 1}, {"half", 0.5, 1}, {"tenth", 0.1, 1}, {"triple", 3, 1}, {"double_batch", 1, 2},
}

var continuation = Probe{
	ID:    "continuation",
	Title: "training on with other settings",
	Explain: "What would a calmer setting have done? Training goes on for a few epochs from where it ended, on the same images in turn, once as " +
		"it was, and once each with a half, a tenth and three times the learning rate and with batches of twice the size.",
	Values: continuationValues(),
	Cost: func(b *Bench) float64 {
		epoch := float64(3*b.trained(b.Lab.Units())) + samples(&b.Images.Validation)
		if b.Plan.FinalView() == run.Averaged || b.Plan.Validation.Recalibrate {
			epoch += float64(b.Lab.CalibrationImages())
		}
		return float64(len(continuations)*(settling+b.fewer(measured, measuredQuick))) * epoch
	},
	Run: continueTraining,
}

func continuationValues() []string {
	names := []string{"before_loss", "before_validation_loss", "before_validation_accuracy", "epochs", "learning_rate"}
	for _, c := range continuations {
		for _, what := range continuationMeasures {
			names = append(names, c.name+what)
		}
	}
	return names
}

// continuationMeasures is what follows the name of a continuation.
var continuationMeasures = []string{"_loss", "_validation_loss", "_validation_accuracy", "_jitter", "_loss_jitter"}

func continueTraining(ctx context.Context, b *Bench) (map[string]run.Float, error) {
	epochs := b.fewer(measured, measuredQuick)
	rate := typicalRate(b.Run)
	if !(rate > 0) || math.IsInf(rate, 0) {
		return nil, notApplicable("the learning rate was %g", rate)
	}
	values := map[string]run.Float{"epochs": run.Float(epochs), "learning_rate": run.Float(rate)}
	b.before(values, epochs)
	for _, c := range continuations {
		trained, err := b.State.Continue(ctx, b.Plan, b.Images, train.Continuation{
			Epochs: settling + epochs, Rate: c.rate * rate, Batch: int(c.batch) * b.Plan.Batch,
		}, b.Threads, b.Worked)
		if err != nil {
			return nil, err
		}
		summarise(values, c.name, trained, settling+epochs)
	}
	return values, nil
}

// before puts in the means over the last epochs of the run that a continuation is
// held against.
func (b *Bench) before(values map[string]run.Float, epochs int) {
	recorded := b.Run.Epochs[max(0, len(b.Run.Epochs)-epochs):]
	values["before_loss"] = meanOf(recorded, run.Logged, run.Train, lossOf)
	view := b.Plan.FinalView()
	if recorded[len(recorded)-1].Evaluation(view, run.Validation) == nil {
		view = run.Logged
	}
	values["before_validation_loss"] = meanOf(recorded, view, run.Validation, lossOf)
	values["before_validation_accuracy"] = meanOf(recorded, view, run.Validation, accuracyOf)
}

// summarise puts in what a continuation came to: means over its epochs, but for
// those in which it settled, and the jitter of the validation curve over them. One
// that ended early has a loss that is no number.
func summarise(values map[string]run.Float, name string, epochs []run.Epoch, planned int) {
	if len(epochs) < planned {
		for _, what := range continuationMeasures {
			values[name+what] = run.Float(math.NaN())
		}
		return
	}
	counted := epochs[settling:]
	values[name+"_loss"] = meanOf(counted, run.Logged, run.Train, lossOf)
	values[name+"_validation_loss"] = meanOf(counted, run.Logged, run.Validation, lossOf)
	values[name+"_validation_accuracy"] = meanOf(counted, run.Logged, run.Validation, accuracyOf)
	values[name+"_jitter"] = 100 * jitterOf(counted, accuracyOf)
	values[name+"_loss_jitter"] = jitterOf(counted, lossOf)
}

func lossOf(e *run.Evaluation) float64     { return float64(e.Loss) }
func accuracyOf(e *run.Evaluation) float64 { return float64(e.Accuracy) }

// meanOf is the mean over epochs of a measure of one evaluation, those epochs left
// out that lack it.
func meanOf(epochs []run.Epoch, view, set string, measure func(*run.Evaluation) float64) run.Float {
	sum, count := 0.0, 0.0
	for i := range epochs {
		if e := epochs[i].Evaluation(view, set); e != nil {
			sum += measure(e)
			count++
		}
	}
	return run.Float(sum / count)
}

// jitterOf is that of the validation curve: J² is half the mean square of the
// differences from epoch to epoch, as in the budget.
func jitterOf(epochs []run.Epoch, measure func(*run.Evaluation) float64) run.Float {
	squares := 0.0
	for i := 1; i < len(epochs); i++ {
		step := measure(epochs[i].Evaluation(run.Logged, run.Validation)) - measure(epochs[i-1].Evaluation(run.Logged, run.Validation))
		squares += float64(step * step)
	}
	return run.Float(math.Sqrt(squares / float64(2*(len(epochs)-1))))
}
