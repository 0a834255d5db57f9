package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"ballast/cohort"
	"ballast/evaluation"
	"ballast/run"
	"ballast/train"
)

// A baselineKind is what a logistic regression is given of a subject.
type baselineKind struct {
	name, detail string
	rows         func(cohort.Subject) ([][]float64, error)
	err          error // why it cannot be given
}

// addBaselines fits the baselines on RUN's training subjects, which the cohort
// must hold, and measures them on the evaluated ones.
func (j *evaluateJob) addBaselines(ctx context.Context, report *evaluation.Report) error {
	header := &j.members[0].Run.Header
	var shares []evaluation.Case
	for _, s := range header.Sets[run.Train] {
		shares = append(shares, evaluation.Case{ID: s.ID, Class: s.Class})
	}
	constant, err := evaluation.Majority(shares, len(report.Classes))
	report.AddBaseline(evaluation.Baseline{Name: "commonest class", Detail: "the classes' shares among the training subjects", Trained: len(shares)},
		func(int) []float64 { return constant(evaluation.Case{}) }, err)
	if len(j.training) < len(shares) || len(shares) == 0 {
		report.Note("the cohort holds %d of the run's %d training subjects, so no logistic regressions are fitted to compare with", len(j.training), len(shares))
		return nil
	}
	for _, kind := range j.kinds() {
		b := evaluation.Baseline{Name: kind.name, Detail: kind.detail, Trained: len(j.training)}
		training, evaluated, err := j.cases(ctx, kind)
		var model *evaluation.LogisticBaseline
		if err == nil {
			model, err = evaluation.FitLogisticBaseline(ctx, training, len(report.Classes), 1, j.workers())
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			b.Detail += fmt.Sprintf(", ridge %g", model.Ridge)
		}
		report.AddBaseline(b, func(subject int) []float64 { return model.Predict(evaluated[subject]) }, err)
	}
	return nil
}

// kinds lists the logistic regressions.
func (j *evaluateJob) kinds() []baselineKind {
	first := j.members[0]
	kinds := []baselineKind{{
		name: "volume and intensity", detail: "logarithm of the volume of the mask, or of the foreground, and the mean intensity in it",
		rows: func(s cohort.Subject) ([][]float64, error) {
			var rows [][]float64
			for _, image := range s.Images {
				row, err := evaluation.VolumeAndIntensity(image)
				if err != nil {
					return nil, err
				}
				rows = append(rows, row)
			}
			return [][]float64{evaluation.MeanRow(rows)}, nil
		},
	}}
	columns := j.covariates
	if len(columns) == 0 {
		columns = first.Plan.Data.Covariates
	}
	if len(columns) > 0 {
		kinds = append(kinds, j.clinical(columns))
	}
	return append(kinds, baselineKind{
		name: "thumbnails", detail: "the prepared images averaged down to at most 32 x 32 pixels or 16 x 16 x 16 voxels",
		rows: func(s cohort.Subject) ([][]float64, error) {
			var rows [][]float64
			for _, image := range s.Images {
				all, err := first.Cache.Images(image, first.Config)
				if err != nil {
					return nil, err
				}
				for _, prepared := range all {
					rows = append(rows, evaluation.Thumbnail(prepared))
				}
			}
			return rows, nil
		},
	})
}

// clinical is the baseline of columns of the table, encoded as a network is given
// them.
func (j *evaluateJob) clinical(columns []string) baselineKind {
	var subjects []cohort.Subject
	for _, s := range j.training {
		subjects = append(subjects, s.subject)
	}
	encoding, err := train.FitCovariates(columns, subjects)
	return baselineKind{
		name: "covariates", detail: strings.Join(columns, ", "), err: err,
		rows: func(s cohort.Subject) ([][]float64, error) {
			numbers, err := encoding.Encode(s.Covariates)
			row := make([]float64, len(numbers))
			for i, x := range numbers {
				row[i] = float64(x)
			}
			return [][]float64{row}, err
		},
	}
}

// cases computes the features of the training and the evaluated subjects.
func (j *evaluateJob) cases(ctx context.Context, kind baselineKind) (training, evaluated []evaluation.Case, err error) {
	if kind.err != nil {
		return nil, nil, kind.err
	}
	all := append(append([]candidate{}, j.training...), j.evaluated...)
	cases, failures := make([]evaluation.Case, len(all)), make([]error, len(all))
	bar := newTracker(j.stderr, "baseline: "+kind.name, j.quiet)
	defer bar.done()
	done := bar.counter(len(all))
	var next atomic.Int64
	var work sync.WaitGroup
	for range j.workers() {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				cases[i] = evaluation.Case{ID: all[i].subject.ID, Class: all[i].class}
				cases[i].Rows, failures[i] = kind.rows(all[i].subject)
				done()
			}
		})
	}
	work.Wait()
	for _, failure := range failures {
		if failure != nil {
			return nil, nil, failure
		}
	}
	return cases[:len(j.training)], cases[len(j.training):], ctx.Err()
}
