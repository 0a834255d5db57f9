package probe

import (
	"context"

	"ballast/net"
	"ballast/run"
	"ballast/train"
)

var averagedWeights = Probe{
	ID:    "averaged-weights",
	Title: "averaging the weights",
	Explain: "Do the weights jump about a better place? The validation set is evaluated with the last weights and with their " +
		"average over the last epochs, the batch-norm statistics recomputed.",
	Values: []string{"loss_last", "accuracy_last", "loss_recalibrated", "accuracy_recalibrated", "loss_averaged", "accuracy_averaged"},
	Cost: func(b *Bench) float64 {
		return float64(2*float64(b.Lab.CalibrationImages())) + float64(3*samples(&b.Images.Validation))
	},
	Run: func(ctx context.Context, b *Bench) (map[string]run.Float, error) {
		if b.State.Averaged == nil {
			return nil, notApplicable("the run has no checkpoint of its last epoch, which holds the average")
		}
		values := map[string]run.Float{}
		for _, way := range []struct {
			name    string
			weights []net.Tensor
			fresh   bool // batch-norm statistics recomputed
		}{{"last", b.State.Current, false}, {"recalibrated", b.State.Current, true}, {"averaged", b.State.Averaged, true}} {
			e, err := b.evaluateWeights(ctx, way.weights, way.fresh)
			if err != nil {
				return nil, err
			}
			values["loss_"+way.name], values["accuracy_"+way.name] = e.Loss, e.Accuracy
		}
		return values, nil
	},
}

// evaluateWeights predicts the validation set with other weights, with their own
// batch-norm statistics or fresh ones.
func (b *Bench) evaluateWeights(ctx context.Context, weights []net.Tensor, fresh bool) (run.Evaluation, error) {
	if err := b.Lab.Load(weights); err != nil {
		return run.Evaluation{}, err
	}
	if fresh && b.Lab.HasBatchNorm() {
		if _, err := b.Lab.Recalibrate(ctx, 0); err != nil {
			return run.Evaluation{}, err
		}
	}
	return b.Lab.Evaluate(ctx, &b.Images.Validation, train.Look{})
}
