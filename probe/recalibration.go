package probe

import (
	"context"
	"fmt"

	"ballast/run"
	"ballast/train"
)

var recalibration = Probe{
	ID:    "recalibration",
	Title: "recomputing the batch-norm statistics",
	Explain: "Do the batch-norm statistics fit the weights? They are recomputed from training images at the last weights, run over " +
		"one frozen epoch with three momenta, and taken from batches of several sizes; the validation set is evaluated each time.",
	Values: []string{"loss_before", "accuracy_before", "loss_after", "accuracy_after",
		"loss_momentum_0.01", "accuracy_momentum_0.01", "loss_momentum_0.1", "accuracy_momentum_0.1", "loss_momentum_0.5", "accuracy_momentum_0.5",
		"loss_batch_2", "accuracy_batch_2", "loss_batch_4", "accuracy_batch_4", "loss_batch_8", "accuracy_batch_8",
		"loss_batch_16", "accuracy_batch_16", "loss_batch_32", "accuracy_batch_32",
		"train_batch_2_loss", "train_batch_2_accuracy", "train_batch_4_loss", "train_batch_4_accuracy", "train_batch_8_loss", "train_batch_8_accuracy",
		"train_batch_16_loss", "train_batch_16_accuracy", "train_batch_32_loss", "train_batch_32_accuracy"},
	Cost: func(b *Bench) float64 {
		passes := float64(1 + len(momenta) + len(batchSizes))
		return float64(passes*float64(b.Lab.CalibrationImages())) + float64((passes+1)*samples(&b.Images.Validation))
	},
	Run: func(ctx context.Context, b *Bench) (map[string]run.Float, error) {
		if !b.Lab.HasBatchNorm() {
			return nil, errNoBatchNorm
		}
		r := recalibrating{b, map[string]run.Float{}}
		if err := r.look(ctx, "before", func() error { return nil }); err != nil {
			return nil, err
		}
		if err := r.look(ctx, "after", func() error { return r.recalibrate(ctx, 0, "") }); err != nil {
			return nil, err
		}
		for _, momentum := range momenta {
			err := r.look(ctx, fmt.Sprintf("momentum_%g", momentum), func() error { return b.Lab.RunStatistics(ctx, momentum) })
			if err != nil {
				return nil, err
			}
		}
		for _, size := range batchSizes {
			if size > b.Lab.Units() {
				break
			}
			name := fmt.Sprintf("batch_%d", size)
			if err := r.look(ctx, name, func() error { return r.recalibrate(ctx, size, name) }); err != nil {
				return nil, err
			}
		}
		return r.values, nil
	},
}

// What the statistics are tried with.
var (
	momenta    = []float64{0.01, 0.1, 0.5}
	batchSizes = []int{2, 4, 8, 16, 32}
)

type recalibrating struct {
	*Bench
	values map[string]run.Float
}

// look changes the statistics of the last weights and evaluates the validation set.
func (r *recalibrating) look(ctx context.Context, name string, change func() error) error {
	if err := r.Lab.Load(r.State.Last); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	e, err := r.Lab.Evaluate(ctx, &r.Images.Validation, train.Look{})
	r.values["loss_"+name], r.values["accuracy_"+name] = e.Loss, e.Accuracy
	return err
}

// recalibrate takes the statistics of batches of a size, and notes how well the
// network knows its training subjects when each batch is normalised by its own.
func (r *recalibrating) recalibrate(ctx context.Context, size int, name string) error {
	e, err := r.Lab.Recalibrate(ctx, size)
	if name != "" {
		put(r.values, "train_"+name, e)
	}
	return err
}
