package main

import (
	"context"
	"fmt"
	"log"
	"path/filepath"
	"slices"
	"time"

	"ballast/cohort"
	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

// A realCohort is one of patients. Nobody knows what is true of it beyond what is
// planted, so it measures whether planted causes are found, and no false alarms.
type realCohort struct {
	name, folder, table string
	options             cohort.Options
	grid                []int
	most                int   // images of a patient
	sizes               []int // of the validation set; the rest is trained on
}

var realCohorts = []realCohort{
	{"brain-tumour", "cheng-brain-tumour", "images.csv", cohort.Options{Subject: "patient_group"}, []int{32, 32}, 2, []int{20, 40}},
	{"sarcoma", "sts-lungmets", "participants.tsv", cohort.Options{}, []int{16, 16, 16}, 1, []int{20}},
}

// realSeeds is the number of seeds; each trains one of the networks in turn, and
// divides the patients anew.
const realSeeds = 3

func (s *study) trainReal() error {
	if s.real == "" {
		return nil
	}
	for i := range realCohorts {
		c := &realCohorts[i]
		all, err := c.load(s.real)
		if err != nil {
			return err
		}
		for k := range min(uint64(realSeeds), uint64(s.seeds.faults)) {
			if err := s.trainOn(c, all, s.seeds.first+k); err != nil {
				return err
			}
		}
	}
	return nil
}

// trainOn trains what is missing with one seed.
func (s *study) trainOn(c *realCohort, all *pool, seed uint64) error {
	started, made := time.Now(), 0
	divided := all.divide(seed, slices.Max(c.sizes))
	for _, t := range s.trials(c.name, seed) {
		if t.network != &networks[seed%uint64(len(networks))] {
			continue
		}
		if len(t.missing(s.root, c.sizes)) == 0 {
			continue
		}
		if err := t.make(s.root, divided, c.sizes); err != nil {
			return fmt.Errorf("%s: %w", t.folder("", 0), err)
		}
		made++
	}
	if made > 0 {
		log.Printf("%s, seed %d: %d trainings in %.0f s", c.name, seed, made, time.Since(started).Seconds())
	}
	return nil
}

// load reads and prepares all patients, as training subjects.
func (c *realCohort) load(root string) (*pool, error) {
	ctx := context.Background()
	found, err := cohort.Open(filepath.Join(root, c.folder, c.table), c.options)
	if err != nil {
		return nil, err
	}
	split := cohort.Split{}
	for i := range found.Subjects {
		split.Train = append(split.Train, i)
		images := &found.Subjects[i].Images
		*images = spread(*images, c.most)
	}
	plan := train.DefaultPlan()
	plan.Prep.Grid = c.grid
	plan, err = train.Resolve(ctx, plan, found, split, train.Reading{Threads: 1})
	if err != nil {
		return nil, err
	}
	images, err := train.Load(ctx, found, split, plan, train.Reading{Threads: 1})
	if err != nil {
		return nil, err
	}
	return &pool{classes: images.Classes, train: images.Train, grid: plan.Prep.Grid, spacing: plan.Prep.Spacing, crop: plan.Prep.Crop}, nil
}

// spread takes at most so many elements, evenly spread.
func spread[T any](all []T, most int) []T {
	if len(all) <= most {
		return all
	}
	some := make([]T, most)
	for i := range some {
		some[i] = all[(2*i+1)*len(all)/(2*most)]
	}
	return some
}

// divide sets n patients aside to validate on, the classes in proportion.
func (p *pool) divide(seed uint64, n int) *pool {
	order := stat.NewStream(seed, "faults/divide").Perm(len(p.train.Subjects))
	classes := make([]int, len(order))
	for i, at := range order {
		classes[i] = p.train.Subjects[at].Class
	}
	chosen := shareOf(classes, n)
	var aside, kept []int
	for i, at := range order {
		if slices.Contains(chosen, i) {
			aside = append(aside, at)
		} else {
			kept = append(kept, at)
		}
	}
	divided := *p
	divided.train, divided.validation = part(&p.train, kept), part(&p.train, aside)
	divided.train.Name, divided.validation.Name = run.Train, run.Validation
	return &divided
}
