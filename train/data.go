package train

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"ballast/cohort"
	"ballast/net"
	"ballast/prep"
	"ballast/run"
)

// A Set is the prepared images of some subjects.
type Set struct {
	Name     string
	Subjects []run.Subject
	Samples  []Sample // all images of subject 0, then of subject 1, ...

	Covariates [][]float32 // of each subject, as Images.Covariates encodes them; nil without
}

// encoded returns the covariates of a subject.
func (s *Set) encoded(subject int) []float32 {
	if s.Covariates == nil {
		return nil
	}
	return s.Covariates[subject]
}

// Add adds a subject, by its class, with its images.
func (s *Set) Add(subject run.Subject, images ...*prep.Image) {
	subject.Images = len(images)
	for _, image := range images {
		s.Samples = append(s.Samples, Sample{Subject: len(s.Subjects), Class: subject.Class, Image: image})
	}
	s.Subjects = append(s.Subjects, subject)
}

// A Sample is one prepared image.
type Sample struct {
	Subject int // index into Set.Subjects
	Class   int
	Image   *prep.Image

	before *prep.Image // what the pipeline of its set made Image of, where Plant changed it; else nil
}

// Prepared is the image before the pipelines that Plant stands for, the same of every
// set: what Plan.AsTraining and Plan.AsValidation take.
func (s *Sample) Prepared() *prep.Image {
	if s.before != nil {
		return s.before
	}
	return s.Image
}

// Images is everything a run trains and evaluates on.
type Images struct {
	Classes    []string
	Train      Set
	Validation Set
	Test       Set          // evaluated once, at the end; may be empty
	More       []Set        // evaluated beside the validation set after every epoch: fresh subjects that measure the truth
	Fitted     *prep.Fitted // what the preprocessing fitted on the training images; nil when it needs nothing
	Covariates *Covariates  // what was fitted on those of the training subjects; nil without
	Initial    []net.Tensor // that training starts from, of net.weights; nil: all drawn from the seed
	Notes      []string     // what a user may want to know of single images, one line each
}

// Reading is how images are read. It does not change what they become.
type Reading struct {
	Threads int
	Cache   *prep.Cache // nil: every image is prepared anew
	Each    func()      // called after each image, from several goroutines; may be nil
}

func (r Reading) each() {
	if r.Each != nil {
		r.Each()
	}
}

// Load reads and prepares every image of the split. The plan must be resolved.
// Statistics that need a cohort are fitted on the training images first, and the
// mistakes of the plan are planted last.
func Load(ctx context.Context, c *cohort.Cohort, split cohort.Split, p Plan, r Reading) (*Images, error) {
	images := &Images{Classes: c.Classes}
	config := p.PrepConfig()
	var err error
	if images.Fitted, err = fit(ctx, config, trainingImages(c, split), r); err != nil {
		return nil, err
	}
	config.Fitted = images.Fitted
	if images.Covariates, err = p.fitCovariates(c, split); err != nil {
		return nil, err
	}
	var jobs []loadJob
	for _, part := range images.parts(split) {
		part.set.Name = part.name
		for _, s := range part.subjects {
			subject := c.Subjects[s]
			part.set.Subjects = append(part.set.Subjects, run.Subject{ID: subject.ID, Class: subject.Class, Site: subject.Site})
			if err := images.encode(part.set, &subject); err != nil {
				return nil, err
			}
			for _, image := range subject.Images {
				jobs = append(jobs, loadJob{part.set, len(part.set.Subjects) - 1, image, nil})
			}
		}
	}
	initial, notes, err := readInitial(&p, p.netConfig(len(c.Classes), images.Covariates.Width()))
	if err != nil {
		return nil, err
	}
	images.Initial, images.Notes = initial, notes
	err = inParallel(ctx, len(jobs), r.Threads, func(i int) (err error) {
		if jobs[i].prepared, err = r.Cache.Images(jobs[i].image, config); err == nil {
			r.each()
		}
		return err
	})
	for _, job := range jobs {
		images.Notes = append(images.Notes, job.add()...)
	}
	if p.Prep.Slice != "" {
		images.Notes = append(images.Notes, fmt.Sprintf("the images are volumes and the network sees slices of them (prep.slice: %s)", p.Prep.Slice))
	}
	if err != nil {
		return images, err
	}
	return images, p.Plant(images)
}

// A setPart is a set and the subjects of the cohort that belong to it.
type setPart struct {
	set      *Set
	name     string
	subjects []int
}

// parts lists the sets that a split fills.
func (images *Images) parts(split cohort.Split) []setPart {
	return []setPart{{&images.Train, run.Train, split.Train}, {&images.Validation, run.Validation, split.Validation}, {&images.Test, run.Test, split.Test}}
}

// fitCovariates fits the covariates of the plan on the training subjects.
func (p *Plan) fitCovariates(c *cohort.Cohort, split cohort.Split) (*Covariates, error) {
	var training []cohort.Subject
	for _, s := range split.Train {
		training = append(training, c.Subjects[s])
	}
	return FitCovariates(p.Data.Covariates, training)
}

// encode adds the covariates of a subject to its set.
func (images *Images) encode(set *Set, subject *cohort.Subject) error {
	if images.Covariates == nil {
		return nil
	}
	encoded, err := images.Covariates.Encode(subject.Covariates)
	if err != nil {
		return fmt.Errorf("subject %s: %w", subject.ID, err)
	}
	set.Covariates = append(set.Covariates, encoded)
	for _, line := range images.Covariates.Odd(subject.Covariates) {
		images.Notes = append(images.Notes, fmt.Sprintf("subject %s: %s", subject.ID, line))
	}
	return nil
}

// fit fits what the preprocessing needs to know of the training images; nil when
// that is nothing.
func fit(ctx context.Context, config prep.Config, training []cohort.Image, r Reading) (*prep.Fitted, error) {
	if config.Standardise != "nyul" {
		return nil, nil
	}
	landmarks := make([][][]float64, len(training))
	err := inParallel(ctx, len(training), r.Threads, func(i int) (err error) {
		landmarks[i], err = r.Cache.Landmarks(training[i], config)
		return err
	})
	if err != nil {
		return nil, err
	}
	return prep.Fit(landmarks)
}

// A loadJob is one image of a subject of a set.
type loadJob struct {
	set      *Set
	subject  int // index into set.Subjects
	image    cohort.Image
	prepared []*prep.Image
}

// add puts what was prepared into the set and says what is odd about it.
func (j loadJob) add() (notes []string) {
	subject := &j.set.Subjects[j.subject]
	subject.Images += len(j.prepared)
	for _, prepared := range j.prepared {
		j.set.Samples = append(j.set.Samples, Sample{Subject: j.subject, Class: subject.Class, Image: prepared})
	}
	if len(j.prepared) > 0 && j.prepared[0].NonFinite > 0 {
		notes = append(notes, fmt.Sprintf("%s: %d voxels are not finite and were given the lowest value", j.image.Path, j.prepared[0].NonFinite))
	}
	return notes
}

// inParallel calls f for 0..n-1 on some threads until one fails, and returns
// the failure of the lowest index.
func inParallel(ctx context.Context, n, threads int, f func(int) error) error {
	failures := make([]error, n)
	var next atomic.Int64
	var failed atomic.Bool
	var workers sync.WaitGroup
	for range max(1, min(threads, n)) {
		workers.Go(func() {
			for ctx.Err() == nil && !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if failures[i] = f(i); failures[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	workers.Wait()
	for _, failure := range failures {
		if failure != nil {
			return failure
		}
	}
	return ctx.Err()
}
