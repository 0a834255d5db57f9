package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"ballast/cohort"
	"ballast/run"
)

// ErrFinished is returned for a run that has nothing left to do.
var ErrFinished = errors.New("the run has ended")

// ErrMismatch is wrapped where a run cannot go on because the cohort, its split, its
// images or the plan are not those it was begun with.
var ErrMismatch = run.ErrMismatch

// OpenForResume opens a run that is to go on and returns the plan for it, with
// another number of epochs unless that is 0. It returns ErrFinished where no epoch
// is left, and ErrDiverged for a run that would only diverge again.
func OpenForResume(dir string, epochs int) (*run.Run, Plan, error) {
	r, plan, err := openWithPlan(dir)
	if err != nil {
		return nil, plan, err
	}
	if err = plan.extend(r, epochs); err != nil {
		return nil, plan, fmt.Errorf("resume %s: %w", dir, err)
	}
	return r, plan, nil
}

// extend sets the number of epochs of a run's plan, where it may be another one.
func (p *Plan) extend(r *run.Run, epochs int) error {
	recorded := len(r.Epochs)
	if recorded > 0 && r.Header.Status == run.Interrupted {
		if training := r.Epochs[recorded-1].Evaluation(run.Logged, run.Train); training != nil && !isFinite(float64(training.Loss)) {
			return fmt.Errorf("%w: the training loss of epoch %d is %g; train anew with a lower optimizer.lr (now %g)", ErrDiverged, recorded, training.Loss, p.Optimizer.LR)
		}
	}
	switch {
	case r.Header.Status == run.Stopped:
		return fmt.Errorf("%w: its own rule stopped it after epoch %d (stopping.patience: %d)", ErrFinished, recorded, p.Stopping.Patience)
	case epochs == 0 || epochs == p.Epochs:
		if r.Header.Status == run.Complete {
			return fmt.Errorf("%w: all %d epochs are recorded; --epochs N goes on to more", ErrFinished, recorded)
		}
		return nil
	case epochs < recorded:
		return fmt.Errorf("%w: epochs is %d, but %d are recorded", ErrPlan, epochs, recorded)
	}
	if key := p.needsEpochs(); key != "" {
		return fmt.Errorf("%w: epochs cannot become %d, because %s depends on the %d planned epochs from the first step on; train anew", ErrPlan, epochs, key, p.Epochs)
	}
	p.Epochs = epochs
	return p.Validate()
}

// needsEpochs names the value by which the course of an epoch depends on how many
// are planned; empty where it does not.
func (p *Plan) needsEpochs() string {
	switch {
	case p.Schedule.Name == "cosine" || p.Schedule.Name == "one-cycle":
		return "schedule.name: " + p.Schedule.Name
	case p.Average.Name == "swa":
		return "average.name: swa"
	}
	return ""
}

// SameSubjects says, before any image is read, whether the sets of a split are those
// of the run; the error wraps ErrMismatch.
func SameSubjects(r *run.Run, c *cohort.Cohort, split cohort.Split) error {
	planted, err := plantedSubjects(r, c, split)
	if err != nil {
		return err
	}
	for _, set := range planted.sets() {
		own := r.Header.Sets[set.Name]
		for i := range max(len(own), len(set.Subjects)) {
			switch {
			case i >= len(set.Subjects):
				return fmt.Errorf("%w: subject %s of its set %s is not in that of the cohort", ErrMismatch, own[i].ID, set.Name)
			case i >= len(own):
				return fmt.Errorf("%w: subject %s of the cohort is not in its set %s", ErrMismatch, set.Subjects[i].ID, set.Name)
			case own[i].ID != set.Subjects[i].ID:
				return fmt.Errorf("%w: subject %d of its set %s is %s, in the cohort %s", ErrMismatch, i+1, set.Name, own[i].ID, set.Subjects[i].ID)
			}
		}
	}
	return nil
}

// plantedSubjects returns the sets of a split without their images and with the
// mistakes of the run's plan.
func plantedSubjects(r *run.Run, c *cohort.Cohort, split cohort.Split) (*Images, error) {
	plan := DefaultPlan()
	if r.Plan != nil {
		var err error
		if plan, err = ReadPlan(r.Plan); err != nil {
			return nil, err
		}
	}
	images := &Images{Classes: c.Classes}
	for _, part := range images.parts(split) {
		part.set.Name = part.name
		for _, s := range part.subjects {
			part.set.Subjects = append(part.set.Subjects, run.Subject{ID: c.Subjects[s].ID, Class: c.Subjects[s].Class})
		}
	}
	return images, plan.Plant(images)
}

// Resume goes on with a run in a folder, by the plan of OpenForResume and with the
// images that Load prepares by it. The run ends with the files, to the last bit, of
// one that was never interrupted. The errors are those of Train; one that wraps
// ErrMismatch, ErrCheckpoint or an error of run.Resume leaves the run as it was.
func Resume(ctx context.Context, dir string, p Plan, images *Images, o Options) error {
	r, err := run.Open(dir)
	if err != nil {
		return err
	}
	t, err := newTrainer(p, images, o)
	if err != nil {
		return err
	}
	defer t.pool.Close()
	epochs, err := t.goOn(dir, r)
	if err != nil {
		return fmt.Errorf("resume %s: %w", dir, err)
	}
	writer, err := run.Resume(dir, Header(p, images, r.Header.Creator), p.YAML(), epochs)
	if err != nil {
		return err
	}
	if err := t.recordStart(writer); err != nil {
		return errors.Join(err, writer.Close())
	}
	return errors.Join(t.train(ctx, writer), writer.Close())
}

// goOn takes the state of the run's checkpoint and returns the number of epochs
// that it has behind it. A run killed in its first epoch has none and begins again.
func (t *trainer) goOn(dir string, r *run.Run) (epochs int, err error) {
	c, err := readCheckpoint(dir)
	if err != nil {
		return 0, err
	}
	if c == nil {
		if len(r.Epochs) > 1 {
			return 0, fmt.Errorf("%w: %s is missing, from which training goes on; train anew", ErrCheckpoint, filepath.Join(dir, run.CheckpointFile))
		}
		return 0, nil
	}
	switch {
	case c.epoch > len(r.Epochs):
		return 0, fmt.Errorf("%w: it is that of epoch %d, but %d epochs are recorded: %s is damaged", ErrCheckpoint, c.epoch, len(r.Epochs), run.EpochsFile)
	case c.step != r.Epochs[c.epoch-1].Step:
		return 0, fmt.Errorf("%w: it is that of step %d, but epoch %d ended with step %d", ErrCheckpoint, c.step, c.epoch, r.Epochs[c.epoch-1].Step)
	case c.origin.plan != t.origin().plan:
		return 0, fmt.Errorf("%w: %s was changed", ErrMismatch, run.PlanFile)
	case c.origin.images != t.origin().images:
		return 0, fmt.Errorf("%w: the prepared images or the covariates have other values: the cohort's files, or the program that prepares them, were changed", ErrMismatch)
	}
	return c.epoch, t.restore(c, r.Epochs[:c.epoch])
}

// restore brings the trainer into the state after the epoch of a checkpoint.
func (t *trainer) restore(c *checkpoint, epochs []run.Epoch) error {
	if err := t.net.LoadState(c.weights); err != nil {
		return fmt.Errorf("%w: weights: %w", ErrCheckpoint, err)
	}
	if err := t.averaged.LoadState(c.averaged); err != nil {
		return fmt.Errorf("%w: averaged weights: %w", ErrCheckpoint, err)
	}
	if err := t.restoreOptimizer(c.optimizer, c.step); err != nil {
		return fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	t.step, t.batches = c.step, c.batches
	for i := range epochs {
		training, validation := epochs[i].Evaluation(run.Logged, run.Train), epochs[i].Evaluation(run.Logged, run.Validation)
		if training == nil || validation == nil {
			return fmt.Errorf("%w: epoch %d lacks the logged evaluation of training or validation", run.ErrInvalid, i+1)
		}
		t.losses = append(t.losses, float64(training.Loss))
		t.course.add(&epochs[i])
	}
	t.done = t.total * float64(c.epoch) / float64(t.plan.Epochs)
	return nil
}

func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
