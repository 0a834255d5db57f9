package train

import (
	"context"
	"fmt"

	"ballast/run"
)

// A Snapshot is what the weights after an epoch predict.
type Snapshot struct {
	Epoch                int
	Training, Validation run.Evaluation
}

// Refit trains by a plan, evaluates nothing on the way, and returns what the last
// weights predict for the training set and for the validation set: those that
// validation.weights names, with the batch-norm statistics recomputed. The first
// is of the images that the statistics were recomputed from, each batch by its own.
// Nothing is recorded, and stopping rules play no part. worked, which may be nil, is
// told of work done, in images passed forward once.
func Refit(ctx context.Context, p Plan, images *Images, threads int, worked func(images int)) (training, validation run.Evaluation, err error) {
	course, err := RefitCourse(ctx, p, images, threads, p.Epochs, worked)
	if err != nil {
		return training, validation, err
	}
	last := course[len(course)-1]
	return last.Training, last.Validation, nil
}

// RefitCourse is Refit with an evaluation after every so manieth epoch, counted from
// the last one backwards, in the order of the epochs. The evaluations leave no trace
// in the training.
func RefitCourse(ctx context.Context, p Plan, images *Images, threads, every int, worked func(images int)) ([]Snapshot, error) {
	t, err := newTrainer(p, images.withoutTest(), Options{Threads: threads})
	if err != nil {
		return nil, err
	}
	defer t.pool.Close()
	t.worked = worked
	var course []Snapshot
	for epoch := 1; epoch <= p.Epochs; epoch++ {
		if err := t.refitEpoch(ctx, epoch); err != nil {
			return nil, err
		}
		if (p.Epochs-epoch)%every != 0 {
			continue
		}
		both, err := t.refitted(ctx)
		if err != nil {
			return nil, err
		}
		course = append(course, Snapshot{epoch, both[0], both[1]})
	}
	return course, nil
}

// refitEpoch trains for one epoch.
func (t *trainer) refitEpoch(ctx context.Context, epoch int) error {
	var sum tally
	err := t.eachBatch(ctx, epoch, func(indices []int, last bool) error {
		t.trainBatch(indices, last, &sum)
		t.advance(3 * t.batch.N)
		return nil
	})
	if err != nil {
		return err
	}
	t.losses = append(t.losses, sum.crossEntropy/float64(t.units()))
	if !isFinite(t.losses[epoch-1]) {
		return fmt.Errorf("%w in epoch %d of a refit", ErrDiverged, epoch)
	}
	t.averageEpoch(epoch)
	return nil
}

// refitted evaluates the training and the validation set.
func (t *trainer) refitted(ctx context.Context) ([]run.Evaluation, error) {
	evaluate := func() ([]run.Evaluation, error) { return t.withFreshStatistics(ctx, run.Recalibrated) }
	if t.plan.logsAveraged() {
		return t.withAveraged(evaluate)
	}
	return evaluate()
}
