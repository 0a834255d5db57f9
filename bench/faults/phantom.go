package main

import (
	"fmt"
	"slices"

	"ballast/phantom"
	"ballast/prep"
	"ballast/run"
	"ballast/train"
)

// Subjects of a phantom cohort by number: to train on, to validate on, and fresh
// ones that measure what a network is really worth.
const (
	firstValidation = 5_000
	firstFresh      = 10_000
	freshSubjects   = 200
	mostValidation  = 200
	baseEffect      = 4 // Cohen's d: 98 % of the subjects could be told rightly
)

// freshSet is the name of the set of fresh subjects while a network is trained.
const freshSet = "fresh"

// validationSizes are the numbers of validation subjects that runs are judged with.
var validationSizes = []int{20, 50, 200}

// A pool is all subjects of a cohort, prepared: runs take from it what they need.
type pool struct {
	classes                  []string
	train, validation, fresh train.Set
	grid                     []int
	spacing                  []float64
	crop                     string
}

// phantomPool makes a 2D phantom cohort in memory.
func phantomPool(seed uint64, effect float64) (*pool, error) {
	config := phantom.Default().Resized(2, 24)
	config.Seed, config.Effect = seed, effect
	plan := train.DefaultPlan()
	plan.Prep.Crop = "mask"
	var extents []prep.Extent
	for k := range baseTrain {
		subject := config.Subject(k)
		extent, err := prep.Measure(subject.Volume, subject.Mask, plan.Prep.Crop, plan.Prep.Margin)
		if err != nil {
			return nil, err
		}
		extents = append(extents, extent)
	}
	grid, spacing := prep.Choose(extents, 2, 16*16)
	plan.Prep.Grid, plan.Prep.Spacing = grid[1:], spacing[1:]
	p := &pool{classes: []string{"non-responder", "responder"}, grid: grid[1:], spacing: spacing[1:], crop: "mask"}
	for _, part := range []struct {
		set     *train.Set
		name    string
		from, n int
	}{
		{&p.train, run.Train, 0, baseTrain},
		{&p.validation, run.Validation, firstValidation, mostValidation},
		{&p.fresh, freshSet, firstFresh, freshSubjects},
	} {
		part.set.Name = part.name
		for k := part.from; k < part.from+part.n; k++ {
			subject := config.Subject(k)
			image, err := prep.Prepare(subject.Volume, subject.Mask, plan.PrepConfig())
			if err != nil {
				return nil, fmt.Errorf("phantom subject %d: %w", k, err)
			}
			part.set.Add(run.Subject{ID: subject.ID, Class: subject.Label}, image)
		}
	}
	return p, nil
}

// images are some subjects to train on, some to validate on and all fresh ones.
func (p *pool) images(training, validation int) *train.Images {
	images := &train.Images{
		Classes:    slices.Clone(p.classes),
		Train:      part(&p.train, places(&p.train, training)),
		Validation: part(&p.validation, places(&p.validation, validation)),
	}
	if p.fresh.Samples != nil {
		images.More = []train.Set{part(&p.fresh, places(&p.fresh, len(p.fresh.Subjects)))}
	}
	return images
}

// places chooses n subjects of a set that hold its classes in proportion, in their
// order.
func places(set *train.Set, n int) []int {
	return chosenOf(set.Subjects, n)
}

// shareOf chooses n places that hold the classes in proportion: of each class the
// first ones, the remainders going to the classes with the largest ones.
func shareOf(classes []int, n int) []int {
	counts := map[int]int{}
	for _, class := range classes {
		counts[class]++
	}
	var order []int
	for class := range counts {
		order = append(order, class)
	}
	slices.Sort(order)
	quota, left := map[int]int{}, n
	for _, class := range order {
		quota[class] = n * counts[class] / len(classes)
		left -= quota[class]
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return n*counts[b]%len(classes) - n*counts[a]%len(classes)
	})
	for _, class := range order[:left] {
		quota[class]++
	}
	var chosen []int
	for i, class := range classes {
		if quota[class] > 0 {
			quota[class]--
			chosen = append(chosen, i)
		}
	}
	return chosen
}

// part is some subjects of a set with their images.
func part(set *train.Set, places []int) train.Set {
	samples := make([][]train.Sample, len(set.Subjects))
	for _, sample := range set.Samples {
		samples[sample.Subject] = append(samples[sample.Subject], sample)
	}
	chosen := train.Set{Name: set.Name}
	for _, i := range places {
		chosen.Subjects = append(chosen.Subjects, set.Subjects[i])
		for _, sample := range samples[i] {
			sample.Subject = len(chosen.Subjects) - 1
			chosen.Samples = append(chosen.Samples, sample)
		}
	}
	return chosen
}
