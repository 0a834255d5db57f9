// Command faults measures how reliable the diagnosis is. It plants causes in
// trainings on phantom and on real cohorts by the keys of their plans, diagnoses the
// runs with and without experiments, and holds what is named against what was
// planted, beside the public rules of four other tools on the same records. It
// writes docs/reliability-of-diagnosis.md, the rates in the doc comments of the
// causes, and the table that ballast explain prints.
//
//	go run ./bench/faults [-out FOLDER] [-real FOLDER] [-logs FOLDER] [-budget] [train|probe|judge|others|publish ...]
//
// Without steps it does all of them. Runs that are there already are kept. FOLDER of
// -real holds cheng-brain-tumour and sts-lungmets; without it phantoms alone are
// trained on. The step others makes the tables of the budget and of other people's
// logs, which the page takes over. -development trains on the seeds that thresholds and faults were
// chosen on; their results are printed and published nowhere.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A study is what one command works on.
type study struct {
	root        string // of the runs
	real        string // folder of the real cohorts; empty: none
	logs        string // folder of other people's logs; empty: none
	budget      bool   // whether the budget is validated anew
	development bool
	seeds       seeds
	only        string // part of the names of the runs
	experiments string // ids, by commas, of those that are made anew; empty: all, where none were made
}

// seeds of a study: the first ones get every fault, all of them a clean control.
type seeds struct {
	first         uint64
	faults, clean int
	stride        int // every so manieth faulty training of a seed is experimented with
}

// The seeds that results are published of are used nowhere else.
var (
	developmentSeeds = seeds{first: 101, faults: 2, clean: 6, stride: 1}
	evaluationSeeds  = seeds{first: 60_001, faults: 8, clean: 20, stride: 2}
)

var steps = []struct {
	name string
	run  func(*study) error
}{
	{"train", (*study).train}, {"probe", (*study).probe}, {"judge", (*study).judge}, {"others", (*study).others}, {"publish", (*study).publish},
}

func main() {
	log.SetFlags(0)
	s := study{}
	flag.StringVar(&s.root, "out", filepath.Join(os.TempDir(), "ballast-faults"), "folder of the runs; those that are there are kept")
	flag.StringVar(&s.real, "real", "", "folder with the real cohorts cheng-brain-tumour and sts-lungmets")
	flag.StringVar(&s.logs, "logs", "", "folder with logs of other people and what is known of them (facts.json)")
	flag.BoolVar(&s.budget, "budget", false, "validate the budget, too: half an hour")
	flag.BoolVar(&s.development, "development", false, "the seeds that faults and thresholds were chosen on")
	flag.StringVar(&s.only, "only", "", "only runs whose name has this part")
	flag.StringVar(&s.experiments, "experiments", "", "make only these again, by their ids with commas between")
	first := flag.Uint64("first", 0, "first seed, in place of the study's own: for work divided among several commands")
	count := flag.Int("seeds", 0, "number of seeds, likewise")
	flag.Parse()
	s.seeds = evaluationSeeds
	if s.development {
		s.seeds = developmentSeeds
	}
	s.restrict(*first, *count)
	if err := s.do(flag.Args()); err != nil {
		log.Fatal(err)
	}
}

// restrict leaves only some of the seeds.
func (s *study) restrict(first uint64, count int) {
	if first == 0 || first < s.seeds.first {
		return
	}
	skipped := int(first - s.seeds.first)
	left := func(n int) int {
		n = max(0, n-skipped)
		if count > 0 {
			n = min(n, count)
		}
		return n
	}
	s.seeds = seeds{first, left(s.seeds.faults), left(s.seeds.clean), s.seeds.stride}
}

// do takes the named steps, in their order; all where none is named.
func (s *study) do(names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(steps, func(step struct {
			name string
			run  func(*study) error
		}) bool {
			return step.name == name
		}) {
			return fmt.Errorf("%q is no step; there are train, probe, judge, others and publish", name)
		}
	}
	for _, step := range steps {
		if len(names) > 0 && !slices.Contains(names, step.name) {
			continue
		}
		if s.development && (step.name == "others" || step.name == "publish") {
			continue
		}
		if err := step.run(s); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// wanted reports whether a trial is among those of this command.
func (s *study) wanted(t *trial) bool {
	return s.only == "" || strings.Contains(filepath.Base(t.folder("", validationSizes[0])), s.only)
}
