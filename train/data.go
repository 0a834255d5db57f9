package train

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"ballast/cohort"
	"ballast/prep"
	"ballast/run"
)

// A Set is the prepared images of some subjects.
type Set struct {
	Name     string
	Subjects []run.Subject
	Samples  []Sample // all images of subject 0, then of subject 1, ...
}

// A Sample is one prepared image.
type Sample struct {
	Subject int // index into Set.Subjects
	Class   int
	Image   *prep.Image
}

// Images is everything a run trains and evaluates on.
type Images struct {
	Classes    []string
	Train      Set
	Validation Set
	Test       Set      // evaluated once, at the end; may be empty
	More       []Set    // evaluated beside the validation set after every epoch: fresh subjects that measure the truth
	Notes      []string // what a user may want to know of single images, one line each
}

// Load reads and prepares every image of the split. The plan must be resolved.
// loaded is called after each image, from several goroutines.
func Load(ctx context.Context, c *cohort.Cohort, split cohort.Split, p Plan, threads int, loaded func()) (*Images, error) {
	images := &Images{Classes: c.Classes}
	var jobs []loadJob
	for _, part := range []struct {
		set      *Set
		name     string
		subjects []int
	}{{&images.Train, run.Train, split.Train}, {&images.Validation, run.Validation, split.Validation}, {&images.Test, run.Test, split.Test}} {
		part.set.Name = part.name
		for _, s := range part.subjects {
			subject := c.Subjects[s]
			part.set.Subjects = append(part.set.Subjects, run.Subject{
				ID: subject.ID, Class: subject.Class, Site: subject.Site, Images: len(subject.Images),
			})
			for _, image := range subject.Images {
				jobs = append(jobs, loadJob{part.set, len(part.set.Samples), image})
				part.set.Samples = append(part.set.Samples, Sample{Subject: len(part.set.Subjects) - 1, Class: subject.Class})
			}
		}
	}
	config := p.PrepConfig()
	err := inParallel(ctx, len(jobs), threads, func(i int) error {
		prepared, err := prep.Load(jobs[i].image, config)
		if err != nil {
			return err
		}
		jobs[i].set.Samples[jobs[i].sample].Image = prepared
		loaded()
		return nil
	})
	for _, job := range jobs {
		if image := job.set.Samples[job.sample].Image; image != nil && image.NonFinite > 0 {
			images.Notes = append(images.Notes, fmt.Sprintf("%s: %d voxels are not finite and were given the lowest value", job.image.Path, image.NonFinite))
		}
	}
	return images, err
}

type loadJob struct {
	set    *Set
	sample int
	image  cohort.Image
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
