package main

import (
	"fmt"
	"log"
	"time"
)

// trials lists what the study trains with one seed on one cohort.
func (s *study) trials(cohort string, seed uint64) []trial {
	var all []trial
	for i := range faults {
		f := &faults[i]
		if f.name != clean && seed >= s.seeds.first+uint64(s.seeds.faults) {
			continue
		}
		for j := range networks {
			t := trial{fault: f, network: &networks[j], cohort: cohort, seed: seed}
			if (f.plants == nil || f.plants(t.network)) && (cohort == phantomCohort || !f.phantom) && s.wanted(&t) {
				all = append(all, t)
			}
		}
	}
	return all
}

// phantomCohort is the name of the cohorts made in memory.
const phantomCohort = "phantom"

// train trains every trial that is missing.
func (s *study) train() error {
	for seed := s.seeds.first; seed < s.seeds.first+uint64(s.seeds.clean); seed++ {
		if err := s.trainPhantom(seed); err != nil {
			return err
		}
	}
	return s.trainReal()
}

// effect is the phantom's effect size for a fault.
func (f *fault) size() float64 {
	if f.effect > 0 {
		return f.effect
	}
	return baseEffect
}

func (s *study) trainPhantom(seed uint64) error {
	pools, started, made := map[float64]*pool{}, time.Now(), 0
	for _, t := range s.trials(phantomCohort, seed) {
		if len(t.missing(s.root, validationSizes)) == 0 {
			continue
		}
		effect := t.fault.size()
		if pools[effect] == nil {
			p, err := phantomPool(seed, effect)
			if err != nil {
				return err
			}
			pools[effect] = p
		}
		if err := t.make(s.root, pools[effect], validationSizes); err != nil {
			return fmt.Errorf("%s: %w", t.folder("", 0), err)
		}
		made++
	}
	if made > 0 {
		log.Printf("%s, seed %d: %d trainings in %.0f s", phantomCohort, seed, made, time.Since(started).Seconds())
	}
	return nil
}
