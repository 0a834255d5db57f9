package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"ballast/diagnosis"
	"ballast/run"
)

// An outcome is one run, what is true of it, and what was said of it.
type outcome struct {
	cohort, fault, planted, network string
	validation                      int // subjects; what was asked for
	seed                            uint64
	// judged says that the consequences were measured on fresh subjects, so that every
	// claim can be called true or false.
	judged bool
	truth  []string // ids
	// alone and probed are the findings that are possible or surer, in the order in
	// which a person reads them, and all others behind them: from the record alone, and
	// with experiments; the latter nil where none were made.
	alone, probed []claim
	fired         [][]int // by the order of rivals: the rules that gave an alarm, by their order
	alarms        []int   // of each rival, epoch by epoch
	// accuracy is that of the late epochs on fresh subjects, NaN where there are none;
	// points is the jitter of the logged accuracy.
	accuracy, points float64
}

// A claim is a verdict on a cause.
type claim struct{ id, verdict string }

func (c claim) sure() bool {
	return c.verdict == diagnosis.Confirmed || c.verdict == diagnosis.Likely
}
func (c claim) leans() bool { return c.sure() || c.verdict == diagnosis.Possible }

// judge diagnoses every run that is there.
func (s *study) judge() error {
	outcomes, err := s.outcomes()
	if err != nil {
		return err
	}
	if s.development {
		fmt.Print(summary(outcomes))
		return nil
	}
	return writeResults(resultsFile, outcomes)
}

// outcomes judges the runs of the study's seeds.
func (s *study) outcomes() ([]outcome, error) {
	dirs, err := filepath.Glob(filepath.Join(s.root, "*", truthFile))
	if err != nil {
		return nil, err
	}
	var chosen []string
	var truths []*truth
	for _, file := range dirs {
		dir := filepath.Dir(file)
		t, err := readTruth(dir)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		if strings.HasSuffix(dir, freshEnding) || !planned(t.Fault, t.Network) || t.Seed < s.seeds.first || t.Seed >= s.seeds.first+uint64(s.seeds.clean) ||
			s.only != "" && !strings.Contains(filepath.Base(dir), s.only) {
			continue
		}
		chosen, truths = append(chosen, dir), append(truths, t)
	}
	if len(chosen) == 0 {
		return nil, errors.New(s.root + " holds no run of these seeds; the step train makes them")
	}
	all := make([]outcome, len(chosen))
	failures := make([]error, len(chosen))
	fresh := &courses{}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(chosen); i = int(next.Add(1)) - 1 {
				o, err := judgeRun(chosen[i], truths[i], fresh)
				if err != nil {
					failures[i] = fmt.Errorf("judge %s: %w", chosen[i], err)
					continue
				}
				all[i] = *o
			}
		})
	}
	workers.Wait()
	log.Printf("%d runs judged", len(all))
	return all, errors.Join(failures...)
}

// planned reports whether a fault is among those that are judged in a network.
func planned(name, in string) bool {
	return slices.ContainsFunc(faults, func(f fault) bool {
		return f.name == name && slices.ContainsFunc(networks, func(n network) bool { return n.name == in && (f.plants == nil || f.plants(&n)) })
	})
}

// judgeRun diagnoses one run without and with the experiments made on it.
func judgeRun(dir string, t *truth, fresh *courses) (*outcome, error) {
	r, err := run.Open(dir)
	if err != nil {
		return nil, err
	}
	o := &outcome{
		cohort: t.Cohort, fault: t.Fault, planted: t.Planted, network: t.Network, seed: t.Seed, validation: t.Validation,
		truth: slices.Clone(t.Also),
	}
	if t.Planted != "" {
		o.truth = append(o.truth, t.Planted)
	}
	m, err := measurementOf(dir, r, t, fresh)
	if err != nil {
		return nil, err
	}
	o.judged, o.accuracy = m.Judged, float64(m.Accuracy)
	for _, id := range m.True {
		if !slices.Contains(o.truth, id) {
			o.truth = append(o.truth, id)
		}
	}
	probes := r.Probes
	r.Probes = nil
	if o.alone, o.points, err = claims(r); err != nil {
		return nil, err
	}
	if r.Probes = probes; probes != nil {
		if o.probed, _, err = claims(r); err != nil {
			return nil, err
		}
	}
	for _, rival := range rivals {
		fired, alarms := rival.judge(r)
		o.fired, o.alarms = append(o.fired, fired), append(o.alarms, alarms)
	}
	return o, nil
}

// A measurement is what fresh subjects say of a run. It is made once and kept beside
// the run.
type measurement struct {
	Judged   bool      `json:"judged"`   // whether there are fresh subjects
	Accuracy run.Float `json:"accuracy"` // of the late epochs
	True     []string  `json:"true"`     // ids of causes
}

const measurementFile = "measured.json"

func measurementOf(dir string, r *run.Run, t *truth, fresh *courses) (*measurement, error) {
	file, m := filepath.Join(dir, measurementFile), &measurement{}
	text, err := os.ReadFile(file)
	if err == nil {
		return m, json.Unmarshal(text, m)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	c, err := fresh.of(dir, t)
	if err != nil {
		return nil, err
	}
	m.Judged, m.Accuracy, m.True = c != nil, run.Float(math.NaN()), append([]string{}, measured(r, c)...)
	if c != nil {
		m.Accuracy = run.Float(c.mean(run.Deterministic, run.Validation, accuracyOf))
	}
	if text, err = json.Marshal(m); err != nil {
		return nil, err
	}
	return m, os.WriteFile(file, append(text, '\n'), 0o644)
}

// courses are the trainings on fresh subjects that were opened, by folder, as several
// runs share one. It is safe for concurrent use.
type courses struct{ opened sync.Map } // of func() (*course, error)

// of opens the record of the same training on fresh subjects; nil where there is none.
func (c *courses) of(dir string, t *truth) (*course, error) {
	for _, n := range []int{t.Validation, mostValidation} {
		name := strings.Replace(dir, fmt.Sprintf("_n%d_", t.Validation), fmt.Sprintf("_n%d_", n), 1) + freshEnding
		if _, err := os.Stat(name); err != nil {
			continue
		}
		open, _ := c.opened.LoadOrStore(name, sync.OnceValues(func() (*course, error) {
			r, err := run.Open(name)
			if err != nil {
				return nil, err
			}
			return newCourse(r), nil
		}))
		return open.(func() (*course, error))()
	}
	return nil, nil
}

// claims are the findings of a diagnosis in the order in which a person reads them,
// and the jitter of the logged accuracy in points.
func claims(r *run.Run) ([]claim, float64, error) {
	report, err := diagnosis.Diagnose(r)
	if err != nil {
		return nil, 0, err
	}
	points := math.NaN()
	if j, known := report.Jitter["accuracy"]; known {
		points = float64(j.Points)
	}
	var all []claim
	for _, f := range report.ForReading() {
		all = append(all, claim{f.ID, f.Verdict})
	}
	return all, points, nil
}
