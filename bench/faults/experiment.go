package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"ballast/probe"
	"ballast/run"
)

// probe makes the experiments on clean controls and on the faulty runs of the first
// seeds. Runs of one training that differ in nothing but their validation subjects
// would tell nearly the same, so that each training is experimented with once, the
// numbers of validation subjects taking turns.
func (s *study) probe() error {
	started, made := time.Now(), 0
	for seed := s.seeds.first; seed < s.seeds.first+uint64(s.seeds.clean); seed++ {
		n, pools := validationSizes[seed%uint64(len(validationSizes))], map[float64]*pool{}
		for _, t := range s.trials(phantomCohort, seed) {
			dir := t.folder(s.root, n)
			if t.fault.name != clean && seed >= s.seeds.first+uint64(s.seeds.probed) || !complete(dir) {
				continue
			}
			if _, err := os.Stat(filepath.Join(dir, run.ProbesFile)); err == nil {
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
			if err := t.experiment(dir, pools[effect], n); err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
			made++
		}
	}
	if made > 0 {
		log.Printf("experiments on %d runs in %.0f s", made, time.Since(started).Seconds())
	}
	return nil
}

// experiment makes the experiments on one run.
func (t *trial) experiment(dir string, p *pool, n int) error {
	_, images, err := t.prepare(p, t.trainedWith(n, validationSizes))
	if err != nil {
		return err
	}
	images.Validation = part(&images.Validation, chosenOf(images.Validation.Subjects, n))
	bench, err := probe.Open(dir, images, 1)
	if err != nil {
		return err
	}
	defer bench.Close()
	bench.Quick = true
	results, err := probe.Run(context.Background(), bench, probe.Options{})
	if err != nil {
		return err
	}
	return run.WriteProbes(dir, results)
}
