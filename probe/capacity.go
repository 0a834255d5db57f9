package probe

import (
	"context"
	"errors"
	"math"

	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

const (
	widthFactor      = 4
	widthFactorQuick = 2
	lossFloor        = 1e-7 // the least probability that a subject's loss is computed with
)

var capacity = Probe{
	ID:    "capacity",
	Title: "retraining a narrower and a wider network",
	Explain: "Is the network too small or too large for this cohort? The run is repeated with a narrower and with a wider network, everything " +
		"else being equal, and their losses are compared, subject by subject.",
	Values: []string{"narrow_width", "wide_width", "same_training_loss", "same_validation_loss",
		"narrow_training_loss", "narrow_validation_loss", "narrow_gain", "narrow_gain_low", "narrow_gain_high",
		"wide_training_loss", "wide_validation_loss", "wide_gain", "wide_gain_low", "wide_gain_high"},
	Cost: func(b *Bench) float64 {
		factor := float64(b.fewer(widthFactor, widthFactorQuick))
		return (float64(factor*factor) + 1/factor) * float64(len(b.Run.Epochs)) * 3 * b.trained(b.Lab.Units())
	},
	Run: changeCapacity,
}

// changeCapacity evaluates all three networks with batch-norm statistics recomputed
// at their last weights, so that what their running statistics lag behind plays no
// part.
func changeCapacity(ctx context.Context, b *Bench) (map[string]run.Float, error) {
	switch {
	case b.Plan.Net.Name == "linear":
		return nil, notApplicable("a linear network has no width")
	case len(b.Images.Initial) > 0 || len(b.Plan.Net.Freeze) > 0:
		return nil, notApplicable("a network that starts from given weights has their width")
	}
	values, same, err := b.asItIs(ctx)
	if err != nil {
		return nil, err
	}
	factor, width := b.fewer(widthFactor, widthFactorQuick), b.Plan.Net.Width
	for _, other := range []struct {
		name  string
		width int
	}{{"narrow", max(1, width/factor)}, {"wide", width * factor}} {
		p := b.Plan
		p.Net.Width, p.Epochs, p.Views.Every = other.width, len(b.Run.Epochs), 0
		if other.width == width || p.Validate() != nil {
			continue
		}
		values[other.name+"_width"] = run.Float(p.Net.Width)
		if err := b.retrain(ctx, values, other.name, p, same); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// asItIs evaluates the run at its last weights, with batch-norm statistics recomputed,
// and begins the values with its losses, which those of retrained networks join.
func (b *Bench) asItIs(ctx context.Context) (values map[string]run.Float, same run.Evaluation, err error) {
	training, err := b.Lab.Recalibrate(ctx, 0)
	if err != nil {
		return nil, same, err
	}
	if same, err = b.Lab.Evaluate(ctx, &b.Images.Validation, train.Look{}); err != nil {
		return nil, same, err
	}
	return map[string]run.Float{"same_training_loss": training.Loss, "same_validation_loss": same.Loss}, same, nil
}

// retrain puts in what training by a plan comes to, beside the evaluation of the run
// itself. One that diverges has NaN for its losses.
func (b *Bench) retrain(ctx context.Context, values map[string]run.Float, name string, p train.Plan, same run.Evaluation) error {
	units := float64(p.Net.Width) / float64(b.Plan.Net.Width)
	worked := func(images int) { b.Worked(int(units * units * float64(images))) }
	training, validation, err := train.Refit(ctx, p, b.Images, b.Threads, worked)
	if errors.Is(err, train.ErrDiverged) {
		nan := run.Float(math.NaN())
		values[name+"_training_loss"], values[name+"_validation_loss"] = nan, nan
		return nil
	}
	if err != nil {
		return err
	}
	values[name+"_training_loss"], values[name+"_validation_loss"] = training.Loss, validation.Loss
	gain, low, high := pairedGain(same, validation, b.Images.Validation.Subjects)
	values[name+"_gain"], values[name+"_gain_low"], values[name+"_gain_high"] = run.Float(gain), run.Float(low), run.Float(high)
	return nil
}

// pairedGain is by how many nats the mean loss of the second evaluation is lower,
// with a 95 % interval over subjects by Student's t.
func pairedGain(first, second run.Evaluation, subjects []run.Subject) (mean, low, high float64) {
	gains := make([]float64, len(subjects))
	for i, subject := range subjects {
		gains[i] = lossOfRow(first.Probabilities[i], subject.Class) - lossOfRow(second.Probabilities[i], subject.Class)
	}
	mean, deviation := meanAndDeviation(gains)
	n := float64(len(gains))
	reach := stat.StudentQuantile(0.975, n-1) * deviation / math.Sqrt(n)
	return mean, mean - reach, mean + reach
}

// lossOfRow is the cross-entropy of one subject.
func lossOfRow(row run.Row, class int) float64 {
	return -stat.Log(math.Max(lossFloor, float64(row[class])))
}
