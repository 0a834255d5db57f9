package probe

import (
	"fmt"

	"ballast/net"
	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

// A Bench is what experiments are made with: a finished run, its images and a
// network that holds its weights.
type Bench struct {
	Run     *run.Run
	Plan    train.Plan // resolved, of the run
	Images  *train.Images
	State   *train.State
	Lab     *train.Lab
	Threads int
	// Quick makes the costly experiments with fewer subjects, refits, epochs and
	// products: less sure, in a third of the time or less.
	Quick bool

	quickened bool // the experiment under way depends on Quick

	work   float64          // done by the experiment under way, in images passed forward once
	worked func(images int) // nil: nobody listens
}

// Open puts the run in a folder on a bench, with the images that train.Load
// prepares by its plan. The error wraps train.ErrMismatch where they are not those
// of the run, and train.ErrNoWeights where it has left no weights. The caller
// closes the bench.
func Open(dir string, images *train.Images, threads int) (*Bench, error) {
	r, plan, _, err := train.OpenForReplay(dir)
	if err != nil {
		return nil, err
	}
	state, err := train.ReadState(dir, r)
	if err != nil {
		return nil, err
	}
	b, err := New(r, plan, images, state, threads)
	if err != nil {
		return nil, fmt.Errorf("probe %s: %w", dir, err)
	}
	return b, nil
}

// New puts a run that is in memory on a bench.
func New(r *run.Run, p train.Plan, images *train.Images, state *train.State, threads int) (*Bench, error) {
	b := &Bench{Run: r, Plan: p, Images: images, State: state, Threads: threads}
	if err := sameSubjects(r, images); err != nil {
		return nil, err
	}
	var err error
	if b.Lab, err = train.NewLab(p, images, threads, b.Worked); err != nil {
		return nil, err
	}
	if err = b.Lab.Check(state); err == nil {
		err = b.Lab.Load(state.Last)
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Close ends the workers of the bench.
func (b *Bench) Close() { b.Lab.Close() }

// Worked is told of work done, in images passed forward once, by experiments that
// do not leave that to the lab.
func (b *Bench) Worked(images int) {
	b.work += float64(images)
	if b.worked != nil {
		b.worked(images)
	}
}

// sameSubjects holds the subjects of the images against those of the run.
func sameSubjects(r *run.Run, images *train.Images) error {
	for _, set := range []*train.Set{&images.Train, &images.Validation} {
		own := r.Header.Sets[set.Name]
		if len(own) != len(set.Subjects) {
			return fmt.Errorf("%w: its set %s has %d subjects, the images are of %d", train.ErrMismatch, set.Name, len(own), len(set.Subjects))
		}
		for i, subject := range set.Subjects {
			if own[i].ID != subject.ID || own[i].Class != subject.Class {
				return fmt.Errorf("%w: subject %d of its set %s is %s of class %d, that of the images %s of class %d",
					train.ErrMismatch, i+1, set.Name, own[i].ID, own[i].Class, subject.ID, subject.Class)
			}
		}
	}
	return nil
}

// lab returns another network of a plan with the given weights. The caller closes it.
func (b *Bench) lab(p train.Plan, images *train.Images, weights []net.Tensor) (*train.Lab, error) {
	lab, err := train.NewLab(p, images, b.Threads, b.Worked)
	if err != nil {
		return nil, err
	}
	if err := lab.Load(weights); err != nil {
		lab.Close()
		return nil, err
	}
	return lab, nil
}

// fewer is one of two numbers, the second where the experiments are to be quick.
func (b *Bench) fewer(many, few int) int {
	b.quickened = true
	if b.Quick {
		return few
	}
	return many
}

// trained is the number of images of so many training units, about.
func (b *Bench) trained(units int) float64 {
	return float64(b.Lab.TrainingImages()) * float64(units) / float64(b.Lab.Units())
}

// typicalRate is the median of the learning rates that the epochs ended with: a
// schedule that falls to almost nothing says little about the training by its last.
func typicalRate(r *run.Run) float64 {
	var rates []float64
	for i := range r.Epochs {
		rates = append(rates, float64(r.Epochs[i].LearningRate))
	}
	return stat.Quantile(rates, 0.5)
}

// samples is the number of images of a set.
func samples(set *train.Set) float64 { return float64(len(set.Samples)) }

// put adds the loss and the accuracy of an evaluation to values, as PREFIX_loss and
// PREFIX_accuracy.
func put(values map[string]run.Float, prefix string, e run.Evaluation) {
	values[prefix+"_loss"] = e.Loss
	values[prefix+"_accuracy"] = e.Accuracy
}
