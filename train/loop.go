package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ballast/kernel"
	"ballast/net"
	"ballast/prep"
	"ballast/run"
	"ballast/stat"
)

// ErrInterrupted is returned when the context ends training early. The run
// holds every finished epoch and is valid.
var ErrInterrupted = errors.New("interrupted")

// ErrDiverged is returned when a training loss stops being a number. The run
// holds every finished epoch, the one that diverged included.
var ErrDiverged = errors.New("training diverged")

// A Recorder keeps what happens; run.Writer is one.
type Recorder interface {
	Append(run.Epoch) error
	WriteFile(name string, data []byte) error // data is valid during the call only
	WriteFrom(name string, contents func(io.Writer) error) error
	WriteTest([]run.Evaluation) error
	Finish(status string) error
}

// Options is what does not change the result.
type Options struct {
	Threads  int            // 0: all
	Progress func(Progress) // called from the training goroutine after each batch; may be nil
}

// Progress says how far training is.
type Progress struct {
	Share float64    // of the whole work, 0 to 1
	Epoch *run.Epoch // the epoch just finished, else nil
	Ended string     // in words, when the plan's own rule ends training with this epoch
}

// Train trains by a resolved plan and records every epoch. It returns
// ErrInterrupted or ErrDiverged when it ended early with a valid run; one that
// its plan stops early has the status run.Stopped and no error.
func Train(ctx context.Context, p Plan, images *Images, recorder Recorder, o Options) error {
	t, err := newTrainer(p, images, o)
	if err != nil {
		return err
	}
	defer t.pool.Close()
	if err := t.recordStart(recorder); err != nil {
		return err
	}
	return t.train(ctx, recorder)
}

// train runs the epochs that are left, none of them when the course has ended.
func (t *trainer) train(ctx context.Context, recorder Recorder) error {
	for t.course.status == "" {
		epoch, err := t.epoch(ctx, t.course.epochs+1)
		if err != nil { // interrupted: the epoch under way is not recorded
			return errors.Join(err, recorder.Finish(run.Interrupted))
		}
		// The line comes first and the checkpoint last. Training killed in between
		// goes on from the checkpoint before, and the epoch comes out the same again.
		if err := recorder.Append(epoch); err != nil {
			return err
		}
		best := t.course.add(&epoch)
		if err := t.save(recorder, best); err != nil {
			return err
		}
		t.report(&epoch)
	}
	if t.course.err != nil {
		return errors.Join(t.course.err, recorder.Finish(t.course.status))
	}
	if err := t.recordTest(recorder); err != nil {
		return err
	}
	return recorder.Finish(t.course.status)
}

// trainer is the state of a training under way.
type trainer struct {
	plan      Plan
	images    *Images
	pool      *kernel.Pool
	net       *net.Net
	averaged  *net.Net // holds the average of the weights, never runs
	objective *objective
	optimizer optimizer
	chunks    chunks // of the parameters
	// accumulation gathers the gradients of the batches that share a step.
	accumulation *accumulation
	augment      prep.Augmentation
	batch        net.Batch     // the one that is used; its memory is reused
	next         net.Batch     // the one that is made meanwhile; see feed
	waited       time.Duration // for batches that were not yet made
	labels       []int         // reused
	mixture      mixture       // of the batch, reused
	predicted    []float32     // probabilities, reused
	gradient     []float32     // of the logits, reused
	state        []net.Tensor  // of the weights being saved, reused
	mean         []net.Tensor  // of the averaged weights being saved, reused
	moments      []net.Tensor  // of the optimiser's state being saved, reused
	course       *course
	begun        origin    // see origin
	batches      int       // trained on
	step         int       // optimiser steps taken
	losses       []float64 // of training, in the finished epochs
	done         float64   // work done, in images passed forward once
	total        float64
	keep         float64 // part of the averaged weights that a step leaves in place, once enough steps are taken
	health       *watch  // of the epoch under way
	// calibration is the training units from which batch-norm statistics are
	// recomputed, in an order that mixes the subjects: the same all through a run.
	calibration       []int
	calibrationImages int
	progress          func(Progress)
	worked            func(images int) // told of work done, in images passed forward once; see Lab
}

func newTrainer(p Plan, images *Images, o Options) (*trainer, error) {
	if err := trainable(&p, images); err != nil {
		return nil, err
	}
	pool := kernel.NewPool(o.Threads)
	config := p.netConfig(len(images.Classes), images.Covariates.Width())
	network, err := net.Build(config, p.Seed, pool)
	if err != nil {
		pool.Close()
		return nil, err
	}
	averaged, err := net.Build(config, p.Seed, pool)
	if err == nil {
		err = begin(&p, images, network, averaged)
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	t := &trainer{
		plan: p, images: images, pool: pool, net: network, averaged: averaged,
		objective: newObjective(p, images),
		optimizer: newOptimizer(p.Optimizer, network.Params(), pool),
		chunks:    chunksOf(network.Params()),
		augment:   p.Augmentation(),
		progress:  o.Progress,

		accumulation: newAccumulation(p.Optimizer.Accumulate, network.Params(), pool),
	}
	if p.Views.Decay > 0 {
		t.keep = stat.Exp(stat.Log(p.Views.Decay) / float64(t.stepsPerEpoch()))
	}
	t.health = newWatch(network, pool, t.stepsPerEpoch())
	t.calibration, t.calibrationImages = t.calibrate()
	largest := t.largestBatch()
	t.net.Reserve(largest)
	t.batch.Data = make([]float32, largest*config.Channels*config.Size[0]*config.Size[1]*config.Size[2])
	t.course = newCourse(&t.plan)
	t.total = t.work()
	return t, nil
}

// trainable says why a training cannot start.
func trainable(p *Plan, images *Images) error {
	if err := p.Validate(); err != nil {
		return err
	}
	switch {
	case p.Batch == 0 || len(p.Prep.Grid) == 0:
		return fmt.Errorf("%w: batch and prep.grid are still to be chosen: it needs Resolve first", ErrPlan)
	case len(images.Train.Samples) == 0:
		return errors.New("there are no images to train on")
	case len(images.Validation.Samples) == 0:
		return errors.New("there are no images to validate on")
	}
	for _, set := range append([]Set{images.Train, images.Validation, images.Test}, images.More...) {
		if images.Covariates != nil && len(set.Covariates) != len(set.Subjects) {
			return fmt.Errorf("the set %s has covariates of %d of %d subjects", set.Name, len(set.Covariates), len(set.Subjects))
		}
	}
	return p.checkAugment(images.Classes)
}

func (t *trainer) advance(images int) {
	t.done += float64(images)
	if t.worked != nil {
		t.worked(images)
	}
	if t.progress != nil {
		t.progress(Progress{Share: min(1, t.done/t.total)})
	}
}

func (t *trainer) report(epoch *run.Epoch) {
	if t.progress != nil {
		t.progress(Progress{Share: min(1, t.done/t.total), Epoch: epoch, Ended: t.course.reason})
	}
}

// epoch trains once over the training images and evaluates all views.
func (t *trainer) epoch(ctx context.Context, number int) (run.Epoch, error) {
	epoch := run.Epoch{Epoch: number}
	var sum tally
	t.health.begin()
	err := t.eachBatch(ctx, number, func(indices []int, last bool) error {
		t.trainBatch(indices, last, &sum)
		t.advance(3 * t.batch.N)
		return nil
	})
	if err != nil {
		return epoch, err
	}
	epoch.Step = t.step
	epoch.Health = t.health.summary()
	epoch.LearningRate = run.Float(sum.rate)
	epoch.GradientNorm = run.Float(sum.norm / float64(sum.steps))
	if !t.objective.plain() {
		mean := run.Float(sum.objective / sum.weight)
		epoch.Objective = &mean
	}
	epoch.Evaluations = append(epoch.Evaluations, run.Evaluation{
		View: run.Logged, Set: run.Train,
		Loss:     run.Float(sum.crossEntropy / float64(t.units())),
		Accuracy: run.Float(sum.correct / float64(t.units())),
	})
	t.losses = append(t.losses, sum.crossEntropy/float64(t.units()))
	t.averageEpoch(number)
	views, err := t.views(ctx, number)
	epoch.Evaluations = append(epoch.Evaluations, views...)
	return epoch, err
}

// resize returns a slice of n elements, reusing the old one's memory.
func resize(old []float32, n int) []float32 {
	if cap(old) < n {
		return make([]float32, n)
	}
	return old[:n]
}

type part struct{ from, to int }

// parts divides n images into the fewest batches of at most size images, as
// equal as possible: a last batch of one image would have no batch-norm
// variance worth the name.
func parts(n, size int) []part {
	count := (n + size - 1) / size
	divided := make([]part, count)
	for i := range divided {
		divided[i] = part{i * n / count, (i + 1) * n / count}
	}
	return divided
}
