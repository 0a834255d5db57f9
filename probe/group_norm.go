package probe

import (
	"context"

	"ballast/run"
)

// smallBatches are those up to which it is worth asking whether batch norm suffers
// from them: the mean of eight images has a third of their standard deviation.
const smallBatches = 8

var groupNorm = Probe{
	ID:    "group-norm",
	Title: "retraining with group normalisation",
	Explain: "Does batch norm suffer from small batches? The run is repeated with group normalisation, which rests on one image and not on the " +
		"others of its batch, everything else being equal, and the losses are compared, subject by subject.",
	Values: []string{"same_training_loss", "same_validation_loss", "group_training_loss", "group_validation_loss",
		"group_gain", "group_gain_low", "group_gain_high"},
	Cost: func(b *Bench) float64 { return float64(len(b.Run.Epochs)) * 3 * b.trained(b.Lab.Units()) },
	Run:  retrainWithGroupNorm,
}

// retrainWithGroupNorm evaluates the run itself with batch-norm statistics recomputed
// at its last weights, so that what the running ones lag behind plays no part.
func retrainWithGroupNorm(ctx context.Context, b *Bench) (map[string]run.Float, error) {
	switch {
	case !b.Lab.HasBatchNorm():
		return nil, errNoBatchNorm
	case b.Plan.Batch > smallBatches:
		return nil, notApplicable("a batch has %d images; those of more than %d are no reason", b.Plan.Batch, smallBatches)
	case len(b.Images.Initial) > 0 || len(b.Plan.Net.Freeze) > 0:
		return nil, notApplicable("a network that starts from given weights has their normalisation")
	}
	p := b.Plan
	p.Net.Norm, p.Epochs, p.Views.Every = "group", len(b.Run.Epochs), 0
	p.Validation.Recalibrate = false
	if err := p.Validate(); err != nil {
		return nil, notApplicable("%v", err)
	}
	values, same, err := b.asItIs(ctx)
	if err != nil {
		return nil, err
	}
	return values, b.retrain(ctx, values, "group", p, same)
}
