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
	Test       Set   // evaluated once, at the end; may be empty
	More       []Set // evaluated beside the validation set after every epoch: fresh subjects that measure the truth
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
	config := p.prepConfig()
	err := inParallel(ctx, len(jobs), threads, func(i int) error {
		prepared, err := PrepareFile(jobs[i].image, config)
		if err != nil {
			return err
		}
		jobs[i].set.Samples[jobs[i].sample].Image = prepared
		loaded()
		return nil
	})
	return images, err
}

type loadJob struct {
	set    *Set
	sample int
	image  cohort.Image
}

// PrepareFile reads one image, with its mask where the crop needs one, and
// prepares it.
func PrepareFile(image cohort.Image, config prep.Config) (*prep.Image, error) {
	volume, err := cohort.ReadVolume(image.Path)
	if err != nil {
		return nil, err
	}
	var mask *cohort.Volume
	if config.Crop == "mask" {
		if image.Mask == "" {
			return nil, fmt.Errorf("prepare %s: prep.crop is mask, but the image has none", image.Path)
		}
		if mask, err = cohort.ReadMask(image.Mask); err != nil {
			return nil, err
		}
	}
	prepared, err := prep.Prepare(volume, mask, config)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", image.Path, err)
	}
	return prepared, nil
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
