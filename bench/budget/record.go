package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ballast/run"
	"ballast/train"
)

// A course is what one training showed: the pool's predictions, from which
// validation sets are cut, and the truth of the fresh subjects.
type course struct {
	study *study
	run   *run.Run // its set poolSet holds the pool
	truth *Truth
}

// truthFile lies beside the run's own files.
const truthFile = "truth.json"

// record trains the study, unless the folder holds its run.
func (s *study) record(epochs int, folder string) (*course, error) {
	c := &course{study: s, truth: &Truth{}}
	name := filepath.Join(folder, fmt.Sprintf("%d-%02d", s.seed/1000, s.number))
	if text, err := os.ReadFile(filepath.Join(name, truthFile)); err == nil {
		if err := json.Unmarshal(text, c.truth); err != nil {
			return nil, fmt.Errorf("%s: %w; remove the folder", name, err)
		}
		c.run, err = run.Open(name)
		return c, err
	}
	plan := s.plan(epochs)
	images, err := s.population.images(&plan, s.number, s.train)
	if err != nil {
		return nil, err
	}
	header := train.Header(plan, images, "ballast bench/budget")
	delete(header.Sets, freshSet)
	writer, err := run.Create(name, header, plan.YAML())
	if err != nil {
		return nil, err
	}
	r := &recorder{writer: writer, truth: c.truth, images: images, averaged: plan.FinalView() == run.Averaged}
	if err := train.Train(context.Background(), plan, images, r, train.Options{}); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	text, err := json.Marshal(c.truth)
	if err == nil {
		err = os.WriteFile(filepath.Join(name, truthFile), text, 0o644)
	}
	if err != nil {
		return nil, err
	}
	c.run, err = run.Open(name)
	return c, err
}

// A recorder takes the truth from the fresh subjects' predictions, and records all
// others.
type recorder struct {
	writer   *run.Writer
	truth    *Truth
	images   *train.Images
	averaged bool // the logged curve is that of averaged weights
}

func (r *recorder) Append(epoch run.Epoch) error {
	r.truth.add(&epoch, r.images.More[1].Subjects, r.images.Train.Subjects, r.averaged)
	var kept []run.Evaluation
	for _, e := range epoch.Evaluations {
		if e.Set != freshSet {
			kept = append(kept, e)
		}
	}
	epoch.Evaluations = kept
	return r.writer.Append(epoch)
}

func (*recorder) WriteFile(string, []byte) error                { return nil }
func (*recorder) WriteFrom(string, func(io.Writer) error) error { return nil }
func (*recorder) WriteTest([]run.Evaluation) error              { return nil }
func (r *recorder) Finish(status string) error                  { return r.writer.Finish(status) }
