package train

import (
	"context"
	"errors"
	"fmt"

	"ballast/run"
)

// A Continuation is how training goes on after the last epoch of a run: with
// everything as the plan says, the schedule apart.
type Continuation struct {
	Epochs int
	Rate   float64 // learning rate of every step
	Batch  int     // units per batch
}

// Continue goes on training from a state of a run of the plan and returns the
// epochs, each with the logged evaluation of the training and the validation set;
// the latter without the mistakes that section validation may ask for. The units
// come in the order that the epochs after the last one would have had, so
// continuations with other rates or batches are trained on the same images in
// turn. From a state without a checkpoint the optimiser begins anew. worked, which
// may be nil, is told of work done, in images passed forward once. A continuation
// ends early, without an error, with the epoch in which its loss stops being a
// number.
func (s *State) Continue(ctx context.Context, p Plan, images *Images, c Continuation, threads int, worked func(images int)) ([]run.Epoch, error) {
	p.Optimizer.LR, p.Batch = c.Rate, c.Batch
	p.Schedule = DefaultPlan().Schedule
	p.Views.Every = 0
	p.Validation = Validation{Weights: p.Validation.Weights, Recalibrate: p.Validation.Recalibrate, Fraction: 1}
	t, err := newTrainer(p, images.withoutTest(), Options{Threads: threads})
	if err != nil {
		return nil, err
	}
	defer t.pool.Close()
	t.worked = worked
	if err := t.resumeFrom(s); err != nil {
		return nil, fmt.Errorf("continue after epoch %d: %w", s.Epoch, err)
	}
	var epochs []run.Epoch
	for number := s.Epoch + 1; number <= s.Epoch+c.Epochs; number++ {
		epoch, err := t.epoch(ctx, number)
		if err != nil {
			return nil, err
		}
		epochs = append(epochs, epoch)
		if !isFinite(float64(epoch.Evaluation(run.Logged, run.Train).Loss)) {
			break
		}
	}
	return epochs, nil
}

// resumeFrom brings a trainer into a state.
func (t *trainer) resumeFrom(s *State) error {
	if err := t.net.LoadState(s.Current); err != nil {
		return err
	}
	c := s.checkpoint
	if c == nil {
		return t.averaged.LoadState(s.Current)
	}
	t.step, t.batches = c.step, c.batches
	return errors.Join(t.averaged.LoadState(c.averaged), t.restoreOptimizer(c.optimizer, c.step))
}

// withoutTest returns the images of the training and the validation set alone.
func (i *Images) withoutTest() *Images {
	reduced := *i
	reduced.Test, reduced.More = Set{}, nil
	return &reduced
}
