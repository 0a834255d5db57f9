package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"math"
	"os"
	"path/filepath"

	"ballast/cohort"
	"ballast/diagnosis"
	"ballast/phantom"
	"ballast/prep"
	"ballast/run"
	"ballast/train"
)

const (
	freshSet   = "fresh"
	firstFresh = 10_000 // the first fresh subject: beyond all that any cohort has
	fresh      = 400    // fresh subjects that measure the truth
	seeds      = 5      // of the controlled comparison: 1, 2, ...
)

// Curves are the logged accuracies of a training after every epoch, in points: of its
// validation set, and of the fresh subjects at the same weights.
type Curves struct {
	Validation []float64 `json:"validation"`
	Fresh      []float64 `json:"fresh"`
	// Infinite is the jitter that infinitely many subjects would show, as the fresh
	// ones tell.
	Infinite diagnosis.Interval `json:"infinite"`
}

// truth trains the run of the page once more, and measures it on fresh subjects
// beside. The validation curve must come out the same to the bit.
func (s *story) truth(ctx context.Context) (Curves, error) {
	curves, err := s.train(ctx, "plain", "plain", 1)
	if err != nil {
		return curves, err
	}
	r, err := run.Open(filepath.Join(s.folder, "plain"))
	if err != nil {
		return curves, err
	}
	for t, recorded := range accuracies(r, run.Logged) {
		if recorded != curves.Validation[t] {
			return curves, fmt.Errorf("epoch %d: the run has an accuracy of %v and its repetition %v", t+1, recorded, curves.Validation[t])
		}
	}
	return curves, nil
}

// A Pair is the two recipes on the same seed: the same split, the same first weights.
type Pair struct{ Plain, Steady Curves }

// compare trains both recipes on every seed.
func (s *story) compare(ctx context.Context) ([]Pair, error) {
	pairs := make([]Pair, seeds)
	for i := range pairs {
		var err error
		if pairs[i].Plain, err = s.train(ctx, "plain", "plain", i+1); err != nil {
			return nil, err
		}
		if pairs[i].Steady, err = s.train(ctx, "steady", "steady", i+1); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

// train trains a recipe on the page's cohort with a seed and measures every epoch on
// fresh subjects too. A training that is in the folder is not repeated.
func (s *story) train(ctx context.Context, name, recipe string, seed int) (curves Curves, err error) {
	file := filepath.Join(s.folder, fmt.Sprintf("fresh-%s-%d.json", name, seed))
	text, err := os.ReadFile(file)
	if err == nil {
		return curves, json.Unmarshal(text, &curves)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return curves, err
	}
	log.Printf("recipe %s, seed %d, beside %d fresh subjects", recipe, seed, fresh)
	resolved, err := s.ballast(ctx, "train", "cohort", "--plan", "plan.yaml", "--recipe", recipe, "--seed", fmt.Sprint(seed), "--set", "views.every=0", "--dry-run")
	if err != nil {
		return curves, err
	}
	plan, err := train.ReadPlan(resolved)
	if err != nil {
		return curves, err
	}
	images, err := s.images(ctx, plan)
	if err != nil {
		return curves, err
	}
	var memory train.Memory
	if err := train.Train(ctx, plan, images, &memory, train.Options{}); err != nil {
		return curves, err
	}
	report, err := diagnosis.Diagnose(onFresh(train.Header(plan, images, "story"), memory.Epochs))
	if err != nil {
		return curves, err
	}
	curves.Infinite = report.Infinite
	for i := range memory.Epochs {
		curves.Validation = append(curves.Validation, 100*float64(memory.Epochs[i].Evaluation(run.Logged, run.Validation).Accuracy))
		curves.Fresh = append(curves.Fresh, 100*float64(memory.Epochs[i].Evaluation(run.Logged, freshSet).Accuracy))
	}
	if text, err = json.Marshal(curves); err != nil {
		return curves, err
	}
	return curves, os.WriteFile(file, text, 0o644)
}

// onFresh is a training as it would have been recorded with the fresh subjects for a
// validation set.
func onFresh(header run.Header, epochs []run.Epoch) *run.Run {
	r := &run.Run{Header: header}
	r.Header.Sets = map[string][]run.Subject{run.Validation: header.Sets[freshSet]}
	for _, e := range epochs {
		evaluation := *e.Evaluation(run.Logged, freshSet)
		evaluation.Set = run.Validation
		e.Evaluations = []run.Evaluation{evaluation}
		r.Epochs = append(r.Epochs, e)
	}
	return r
}

// images loads the page's cohort and makes the fresh subjects of the same phantom.
func (s *story) images(ctx context.Context, plan train.Plan) (*train.Images, error) {
	c, err := cohort.Open(filepath.Join(s.folder, "cohort"), cohort.Options(plan.Data))
	if err != nil {
		return nil, err
	}
	split, err := c.SplitBy(plan.Seed, plan.Split.Options())
	if err != nil {
		return nil, err
	}
	images, err := train.Load(ctx, c, split, plan, train.Reading{})
	if err != nil {
		return nil, err
	}
	config, err := s.phantom()
	if err != nil {
		return nil, err
	}
	set := train.Set{Name: freshSet}
	for k := range fresh {
		subject := config.Subject(firstFresh + k)
		image, err := prep.Prepare(subject.Volume, subject.Mask, plan.PrepConfig())
		if err != nil {
			return nil, err
		}
		set.Add(run.Subject{ID: subject.ID, Class: subject.Label}, image)
	}
	images.More = []train.Set{set}
	return images, nil
}

// phantom is the generator of the page's cohort, by its own record.
func (s *story) phantom() (phantom.Config, error) {
	text, err := os.ReadFile(filepath.Join(s.folder, "cohort", "phantom.json"))
	if err != nil {
		return phantom.Config{}, err
	}
	var record struct{ Config phantom.Config }
	err = json.Unmarshal(text, &record)
	return record.Config, err
}

// accuracies is the curve of a view of the validation set in points; NaN where the
// view is absent.
func accuracies(r *run.Run, view string) []float64 {
	curve := make([]float64, len(r.Epochs))
	for t := range r.Epochs {
		curve[t] = math.NaN()
		if e := r.Epochs[t].Evaluation(view, run.Validation); e != nil {
			curve[t] = 100 * float64(e.Accuracy)
		}
	}
	return curve
}

// jitter is the root of half the mean squared step.
func jitter(curve []float64) float64 {
	sum := 0.0
	for t := 1; t < len(curve); t++ {
		step := curve[t] - curve[t-1]
		sum += step * step / 2
	}
	return math.Sqrt(sum / float64(len(curve)-1))
}

// late is the mean over the last third of a curve.
func late(curve []float64) float64 { return mean(curve[len(curve)-len(curve)/3:]) }

func mean(values []float64) float64 {
	sum := 0.0
	for _, x := range values {
		sum += x
	}
	return sum / float64(len(values))
}
