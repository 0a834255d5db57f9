package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ballast/probe"
	"ballast/run"
	"ballast/train"
)

// probe makes the experiments on the clean controls, then on a part of the faulty
// runs. Runs of one training that differ in nothing but their validation subjects
// would tell nearly the same, so that a training is experimented with once at most,
// the numbers of validation subjects taking turns over the seeds; and of the faulty
// ones every seed takes other trainings.
func (s *study) probe() error {
	started, made := time.Now(), 0
	for _, controls := range []bool{true, false} {
		for seed := s.seeds.first; seed < s.seeds.first+uint64(s.seeds.clean); seed++ {
			count, err := s.probeSeed(seed, controls)
			if err != nil {
				return err
			}
			made += count
		}
	}
	if made > 0 {
		log.Printf("experiments on %d runs in %.0f s", made, time.Since(started).Seconds())
	}
	return nil
}

// probeSeed makes those on the clean controls of a seed, or on its faulty runs.
func (s *study) probeSeed(seed uint64, controls bool) (made int, err error) {
	n, pools := validationSizes[seed%uint64(len(validationSizes))], map[float64]*pool{}
	for _, t := range s.trials(phantomCohort, seed) {
		dir := t.folder(s.root, n)
		if (t.fault.name == clean) != controls || !controls && t.turn()%uint64(s.seeds.stride) != 0 || !complete(dir) {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, run.ProbesFile)); err == nil && s.experiments == "" {
			continue
		}
		effect := t.fault.size()
		if pools[effect] == nil {
			if pools[effect], err = phantomPool(seed, effect); err != nil {
				return made, err
			}
		}
		if err := t.experiment(dir, pools[effect], n, s.experiments); err != nil {
			return made, fmt.Errorf("%s: %w", dir, err)
		}
		made++
	}
	return made, nil
}

// turn counts on with the fault, the network and the seed.
func (t *trial) turn() uint64 {
	fault := slices.IndexFunc(faults, func(f fault) bool { return f.name == t.fault.name })
	network := slices.IndexFunc(networks, func(n network) bool { return n.name == t.network.name })
	return uint64(fault+network) + t.seed
}

// experiment makes the experiments on one run: only those named, which replace their
// earlier results, or all.
func (t *trial) experiment(dir string, p *pool, n int, only string) error {
	_, images, err := t.prepare(p, t.trainedWith(n, validationSizes))
	if err != nil {
		return err
	}
	images.Validation, images.More = part(&images.Validation, chosenOf(images.Validation.Subjects, n)), nil
	bench, err := openBench(dir, images)
	if err != nil {
		return err
	}
	defer bench.Close()
	bench.Quick = true
	o := probe.Options{}
	if only != "" {
		o.Only = strings.Split(only, ",")
	}
	results, err := probe.Run(context.Background(), bench, o)
	if err != nil {
		return err
	}
	if earlier := bench.Run.Probes; earlier != nil {
		for _, result := range earlier.Results {
			if results.Result(result.ID) == nil {
				results.Results = append(results.Results, result)
			}
		}
	}
	return run.WriteProbes(dir, results)
}

// openBench puts a run on a bench with the validation subjects that it is judged by,
// of which it was trained beside more.
func openBench(dir string, images *train.Images) (*probe.Bench, error) {
	r, plan, _, err := train.OpenForReplay(dir)
	if err != nil {
		return nil, err
	}
	state, err := train.ReadState(dir, r)
	if err != nil {
		return nil, err
	}
	lab, err := train.NewLab(plan, images, 1, nil)
	if err != nil {
		return nil, err
	}
	lab.Vouch(state)
	lab.Close()
	return probe.New(r, plan, images, state, 1)
}
