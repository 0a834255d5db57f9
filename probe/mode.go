package probe

import (
	"context"

	"ballast/run"
	"ballast/train"
)

var mode = Probe{
	ID:    "mode",
	Title: "exchanging the batch-norm modes",
	Explain: "Does the network answer otherwise in evaluation mode than in training mode? Training and validation subjects are " +
		"evaluated with the running batch-norm statistics and with those of the batch, dropout off in both.",
	Values: []string{"train_running_loss", "train_running_accuracy", "train_batch_loss", "train_batch_accuracy",
		"validation_running_loss", "validation_running_accuracy", "validation_batch_loss", "validation_batch_accuracy"},
	Cost: func(b *Bench) float64 { return 2 * (samples(&b.Images.Train) + samples(&b.Images.Validation)) },
	Run: func(ctx context.Context, b *Bench) (map[string]run.Float, error) {
		if !b.Lab.HasBatchNorm() {
			return nil, errNoBatchNorm
		}
		values := map[string]run.Float{}
		for _, set := range []*train.Set{&b.Images.Train, &b.Images.Validation} {
			for _, way := range []struct {
				name  string
				batch bool
			}{{"running", false}, {"batch", true}} {
				e, err := b.Lab.Evaluate(ctx, set, train.Look{Batch: way.batch})
				if err != nil {
					return nil, err
				}
				put(values, set.Name+"_"+way.name, e)
			}
		}
		return values, nil
	},
}

var errNoBatchNorm = notApplicable("the network has no batch normalisation")
