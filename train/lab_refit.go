package train

import (
	"context"
	"fmt"

	"ballast/run"
)

// Refit trains by a plan, evaluates nothing on the way, and returns what the last
// weights predict for the training set and for the validation set: those that
// validation.weights names, with the batch-norm statistics recomputed. The first
// is of the images that the statistics were recomputed from, each batch by its own.
// Nothing is recorded, and stopping rules play no part. worked, which may be nil, is
// told of work done, in images passed forward once.
func Refit(ctx context.Context, p Plan, images *Images, threads int, worked func(images int)) (training, validation run.Evaluation, err error) {
	t, err := newTrainer(p, images.withoutTest(), Options{Threads: threads})
	if err != nil {
		return training, validation, err
	}
	defer t.pool.Close()
	t.worked = worked
	for epoch := 1; epoch <= p.Epochs; epoch++ {
		var sum tally
		err := t.eachBatch(ctx, epoch, func(indices []int, last bool) error {
			t.trainBatch(indices, last, &sum)
			t.advance(3 * t.batch.N)
			return nil
		})
		if err != nil {
			return training, validation, err
		}
		t.losses = append(t.losses, sum.crossEntropy/float64(t.units()))
		if !isFinite(t.losses[epoch-1]) {
			return training, validation, fmt.Errorf("%w in epoch %d of a refit", ErrDiverged, epoch)
		}
		t.averageEpoch(epoch)
	}
	evaluate := func() ([]run.Evaluation, error) { return t.withFreshStatistics(ctx, run.Recalibrated) }
	evaluated := evaluate
	if p.logsAveraged() {
		evaluated = func() ([]run.Evaluation, error) { return t.withAveraged(evaluate) }
	}
	both, err := evaluated()
	if err != nil {
		return training, validation, err
	}
	return both[0], both[1], nil
}
