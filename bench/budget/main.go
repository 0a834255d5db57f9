// Command budget holds the fluctuation budget against the truth. It trains on
// phantom cohorts while also evaluating thousands of fresh subjects after every
// epoch in every view, and writes each share as estimated from the validation
// set beside the share that the fresh subjects show into docs/budget.md.
//
//	go run ./bench/budget
//
// The truth for a validation set of n subjects follows from N fresh ones: of
// each view, J² of infinitely many is J² - V_N, and the finite set adds
// V_n = V_N N/n (docs/budget.md).
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"strings"

	"ballast/bench/engine"
	"ballast/diagnosis"
	"ballast/phantom"
	"ballast/prep"
	"ballast/run"
	"ballast/train"
)

// firstFresh is the number of the first fresh subject of a phantom, beyond all
// that are trained or validated on.
const firstFresh = 10_000

const freshSet = "fresh"

// A study is one phantom run with something planted.
type study struct {
	name       string
	train      int
	validation int
	cohort     func(*phantom.Config)
	plan       func(*train.Plan)
}

// The seeds of these studies are used nowhere else, in no development.
const evaluationSeed = 7101

func asItIs(*phantom.Config) {}

var studies = []study{
	{"plain", 60, 20, asItIs, func(*train.Plan) {}},
	{"high learning rate, no batch norm", 60, 40, asItIs, func(p *train.Plan) { p.Net.Norm, p.Optimizer.LR = "none", 5e-3 }},
	{"no signal", 60, 40, func(c *phantom.Config) { c.Signal = phantom.SignalNone }, func(*train.Plan) {}},
	{"dropout left on", 60, 40, asItIs, func(p *train.Plan) { p.Net.Dropout, p.Validation.Dropout = 0.5, true }},
	{"slow batch-norm statistics", 60, 80, asItIs, func(p *train.Plan) { p.Net.Momentum, p.Optimizer.LR = 0.02, 3e-3 }},
}

func main() {
	fresh := flag.Int("fresh", 2000, "fresh subjects that measure the truth")
	epochs := flag.Int("epochs", 40, "epochs of each run")
	out := flag.String("out", "", "folder to keep the runs in, and to take them from where they are there (default: a temporary one)")
	flag.Parse()
	table, err := compare(*fresh, *epochs, *out)
	if err == nil {
		err = engine.Publish(page, "trained", table)
	}
	if err != nil {
		log.Fatal(err)
	}
}

const page = "docs/budget.md"

// compare returns the Markdown table of all studies.
func compare(fresh, epochs int, out string) (string, error) {
	if out == "" {
		temporary, err := os.MkdirTemp("", "ballast-budget-")
		if err != nil {
			return "", err
		}
		defer os.RemoveAll(temporary)
		out = temporary
	}
	var t table
	t.text.WriteString("| run | n | quantity | estimated from n subjects (95 % interval) | truth |\n|---|--:|---|--:|--:|\n")
	for i, s := range studies {
		r, err := s.record(evaluationSeed+uint64(i), fresh, epochs, filepath.Join(out, fmt.Sprint(i+1)))
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.name, err)
		}
		if err := s.report(&t, r, fresh); err != nil {
			return "", fmt.Errorf("%s: %w", s.name, err)
		}
	}
	fmt.Fprintf(&t.text, "\n%d of %d intervals hold the truth.\n", t.held, t.rows)
	return t.text.String(), nil
}

// record returns the study's run, trained now unless the folder holds it.
func (s *study) record(seed uint64, fresh, epochs int, dir string) (*run.Run, error) {
	if r, err := run.Open(dir); err == nil && r.Header.Status == run.Complete {
		return r, nil
	}
	config := phantom.Default().Resized(3, 24)
	config.Seed = seed
	s.cohort(&config)
	plan := train.DefaultPlan()
	plan.Seed, plan.Epochs, plan.Batch = seed, epochs, 8
	plan.Augment = train.Augment{}
	plan.Net.Width = 8
	plan.Prep.Crop = "mask"
	s.plan(&plan)
	images, err := s.images(config, &plan, fresh)
	if err != nil {
		return nil, err
	}
	writer, err := run.Create(dir, train.Header(plan, images, "ballast bench/budget"), plan.YAML())
	if err != nil {
		return nil, err
	}
	if err := train.Train(context.Background(), plan, images, writer, train.Options{}); err != nil {
		return nil, err
	}
	return run.Open(dir)
}

// images makes the subjects in memory and completes the plan's grid from the
// training subjects.
func (s *study) images(config phantom.Config, plan *train.Plan, fresh int) (*train.Images, error) {
	var extents []prep.Extent
	for k := range s.train {
		subject := config.Subject(k)
		extent, err := prep.Measure(subject.Volume, subject.Mask, plan.Prep.Crop, plan.Prep.Margin)
		if err != nil {
			return nil, err
		}
		extents = append(extents, extent)
	}
	grid, spacing := prep.Choose(extents, 3, 16*16*16)
	plan.Prep.Grid, plan.Prep.Spacing = grid[:], spacing[:]
	images := &train.Images{Classes: []string{"non-responder", "responder"}}
	freshSubjects := train.Set{}
	for _, part := range []struct {
		set     *train.Set
		name    string
		from, n int
	}{
		{&images.Train, run.Train, 0, s.train},
		{&images.Validation, run.Validation, s.train, s.validation},
		{&freshSubjects, freshSet, firstFresh, fresh},
	} {
		part.set.Name = part.name
		for k := part.from; k < part.from+part.n; k++ {
			subject := config.Subject(k)
			image, err := prep.Prepare(subject.Volume, subject.Mask, plan.PrepConfig())
			if err != nil {
				return nil, err
			}
			part.set.Samples = append(part.set.Samples, train.Sample{Subject: len(part.set.Subjects), Class: subject.Label, Image: image})
			part.set.Subjects = append(part.set.Subjects, run.Subject{ID: subject.ID, Class: subject.Label, Images: 1})
		}
	}
	images.More = []train.Set{freshSubjects}
	return images, nil
}

// A table is the page's table under way.
type table struct {
	text       strings.Builder
	rows, held int // intervals wider than nothing, and those that hold the truth
}

// row adds an estimate with its interval beside the truth, in the unit's scale.
func (t *table) row(s *study, quantity string, estimate, low, high diagnosis.Number, truth float64, format string) {
	f := func(x float64) string { return fmt.Sprintf(format, x) }
	fmt.Fprintf(&t.text, "| %s | %d | %s | %s (%s to %s) | %s |\n", s.name, s.validation, quantity,
		f(float64(estimate)), f(float64(low)), f(float64(high)), f(truth))
	if low < high {
		t.rows++
		if float64(low) <= truth && truth <= float64(high) {
			t.held++
		}
	}
}

// report adds the estimates beside the truth to the table.
func (s *study) report(t *table, r *run.Run, fresh int) error {
	estimated, err := diagnosis.Diagnose(r)
	if err != nil {
		return err
	}
	truth, err := diagnosis.Diagnose(freshRun(r))
	if err != nil {
		return err
	}
	jitter := estimated.Jitter["accuracy"]
	logged := s.expected(truth.Views[0], fresh)
	t.row(s, "jitter, points", jitter.Points, jitter.Low, jitter.High, 100*math.Sqrt(logged.total), "%.1f")
	finite := estimated.Finite
	t.row(s, "finite set, of the logged curve, %", 100*finite.Points, 100*finite.Low, 100*finite.High, 100*logged.finite/logged.total, "%.0f")
	shares := s.trueShares(truth, fresh)
	for _, share := range estimated.Budget {
		t.row(s, share.Source+", %", 100*share.Share, 100*share.Low, 100*share.High, 100*shares[share.Source], "%.0f")
	}
	return nil
}

// freshRun is the run with the fresh subjects in place of the validation set.
func freshRun(r *run.Run) *run.Run {
	changed := *r
	changed.Header.Sets = map[string][]run.Subject{run.Train: r.Header.Sets[run.Train], run.Validation: r.Header.Sets[freshSet]}
	changed.Epochs = nil
	for _, epoch := range r.Epochs {
		var evaluations []run.Evaluation
		for _, e := range epoch.Evaluations {
			if e.Set == freshSet {
				e.Set = run.Validation
			} else if e.Set == run.Validation {
				continue
			}
			evaluations = append(evaluations, e)
		}
		epoch.Evaluations = evaluations
		changed.Epochs = append(changed.Epochs, epoch)
	}
	return &changed
}

// expectation is J² of a view as n subjects are expected to show it, and the
// part of it that they add by being few.
type expectation struct{ total, finite float64 }

func (s *study) expected(view diagnosis.View, fresh int) expectation {
	variance := math.Pow(float64(view.Jitter.Points)/100, 2)
	finiteN := variance * float64(view.Finite.Points)
	finite := finiteN * float64(fresh) / float64(s.validation)
	return expectation{variance - finiteN + finite, finite}
}

// trueShares divides the expected J² of n subjects by the ladder of views.
func (s *study) trueShares(truth *diagnosis.Report, fresh int) map[string]float64 {
	logged := s.expected(truth.Views[0], fresh)
	shares := map[string]float64{}
	above := logged
	for _, rung := range []struct{ source, view string }{
		{diagnosis.EvaluationNoise, run.Deterministic},
		{diagnosis.BatchNormLag, run.Recalibrated},
		{diagnosis.ThresholdFlicker, run.Recalibrated + "+threshold"},
		{diagnosis.WeightNoise, run.Averaged + "+threshold"},
	} {
		for _, view := range truth.Views {
			if view.View == rung.view {
				here := s.expected(view, fresh)
				shares[rung.source] = (above.total - here.total) / logged.total
				above = here
			}
		}
	}
	shares[diagnosis.FiniteValidationSet] = above.finite / logged.total
	shares[diagnosis.RealChange] = (above.total - above.finite) / logged.total
	return shares
}
