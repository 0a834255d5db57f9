package main

import (
	"fmt"

	"ballast/phantom"
	"ballast/prep"
	"ballast/run"
	"ballast/train"
)

// A population is a phantom whose subjects are prepared once for all trainings on
// it. Every set of it has the phantom's share of each class, as splits by class have.
type population struct {
	name   string
	config phantom.Config
	grid   []int
	space  []float64 // mm per voxel
	pool   train.Set // from which validation sets are cut
	fresh  train.Set // that measure the truth
}

// The names of the sets that are evaluated beside the validation set, and the
// numbers of their first subjects in the phantom, beyond all that are trained on.
const (
	poolSet, freshSet     = "pool", "fresh"
	firstPool, firstFresh = 100_000, 1_000_000
)

// poolSize is the number of subjects from which validation sets are cut: some more
// than the largest sets need, since not every class fits in whole numbers.
const poolSize = 1700

// The phantoms: a clear signal, a weak one from several scanners, and one whose
// classes are not equally frequent.
var phantoms = []struct {
	name   string
	change func(*phantom.Config)
}{
	{"clear", func(c *phantom.Config) { c.Effect = 4 }},
	{"weak", func(c *phantom.Config) { c.Effect, c.Sites = 2.5, 3 }},
	{"unequal", func(c *phantom.Config) { c.Effect, c.Prevalence = 3, 0.3 }},
}

// newPopulation prepares one of the phantoms: 32 x 32 voxels, of which the network
// sees the 16 x 16 around the tumour.
func newPopulation(index int, seed uint64, fresh int) (*population, error) {
	kind := phantoms[index]
	p := &population{name: kind.name, config: phantom.Default().Resized(2, 32)}
	p.config.Seed = seed + uint64(index)
	kind.change(&p.config)
	var extents []prep.Extent
	for k := range 60 {
		subject := p.config.Subject(k)
		extent, err := prep.Measure(subject.Volume, subject.Mask, crop, margin)
		if err != nil {
			return nil, err
		}
		extents = append(extents, extent)
	}
	grid, spacing := prep.Choose(extents, 2, 16*16)
	p.grid, p.space = grid[1:], spacing[1:]
	var err error
	if p.pool, err = p.set(poolSet, firstPool, poolSize); err == nil {
		p.fresh, err = p.set(freshSet, firstFresh, fresh)
	}
	return p, err
}

const (
	crop   = "mask"
	margin = 4.0 // mm
)

// set prepares n subjects from number from on, passing over those of a class that
// has its share already.
func (p *population) set(name string, from, n int) (train.Set, error) {
	set := train.Set{Name: name}
	left := counts(p.config.Prevalence, n)
	plan := train.DefaultPlan()
	p.prepare(&plan)
	for k := from; len(set.Subjects) < n; k++ {
		subject := p.config.Subject(k)
		if left[subject.Label] == 0 {
			continue
		}
		left[subject.Label]--
		image, err := prep.Prepare(subject.Volume, subject.Mask, plan.PrepConfig())
		if err != nil {
			return set, fmt.Errorf("phantom %s, subject %d: %w", p.name, k, err)
		}
		set.Add(run.Subject{ID: subject.ID, Class: subject.Label}, image)
	}
	return set, nil
}

// counts divides n subjects between the classes.
func counts(prevalence float64, n int) [2]int {
	positive := int(prevalence*float64(n) + 0.5)
	return [2]int{n - positive, positive}
}

// prepare makes the plan's images those of the population.
func (p *population) prepare(plan *train.Plan) {
	plan.Prep.Crop, plan.Prep.Margin, plan.Prep.Channels = crop, margin, 1
	plan.Prep.Grid, plan.Prep.Spacing = p.grid, p.space
}

// images gathers what one training needs. Its subjects are nobody else's; what it
// validates on does not matter, since the validation sets are cut from the pool.
func (p *population) images(plan *train.Plan, number, n int) (*train.Images, error) {
	training, err := p.set(run.Train, 1000*number, n)
	if err != nil {
		return nil, err
	}
	validation := train.Set{Name: run.Validation, Subjects: p.pool.Subjects[:8], Samples: p.pool.Samples[:8]}
	images := &train.Images{
		Classes: []string{"non-responder", "responder"}, Train: training, Validation: validation,
		More: []train.Set{p.pool, p.fresh},
	}
	return images, plan.Plant(images)
}
