package web

import (
	"fmt"
	"math"

	"ballast/diagnosis"
	"ballast/run"
	"ballast/stat"
)

// A simulation is a run whose subjects' margins wander from epoch to epoch.
type simulation struct {
	train, validation, epochs int
	classes                   []string
	batchNorm                 bool // the logged view wobbles more than the recalibrated one
	ids                       func(i int) string
}

func (s simulation) run() *run.Run {
	if s.ids == nil {
		s.ids = func(i int) string { return fmt.Sprintf("sub-%03d", i) }
	}
	r := &run.Run{
		Header: run.Header{Format: run.Format, Creator: "ballast 0.1", Status: run.Complete, Planned: s.epochs, Classes: s.classes},
		Plan:   []byte("format: 1\nseed: 1\nnet:\n  name: cnn4\n"),
	}
	r.Header.Sets = map[string][]run.Subject{run.Train: s.subjects(0, s.train), run.Validation: s.subjects(s.train, s.validation)}
	for t := 1; t <= s.epochs; t++ {
		r.Epochs = append(r.Epochs, s.epoch(r, t))
	}
	return r
}

func (s simulation) subjects(from, n int) []run.Subject {
	subjects := []run.Subject{}
	for i := range n {
		subjects = append(subjects, run.Subject{ID: s.ids(from + i), Class: (i*7 + i/3) % len(s.classes), Images: 1})
	}
	return subjects
}

func (s simulation) epoch(r *run.Run, t int) run.Epoch {
	progress := 1 - stat.Exp(-float64(t)/12)
	common := 0.5 * stat.NewStream(1, "common", uint64(t)).Normal()
	evaluate := func(view, set string, gain, wander, shift float64) run.Evaluation {
		return s.evaluate(r, t, view, set, gain, wander, shift)
	}
	logged := evaluate(run.Logged, run.Train, 4*progress, 0.6, 0)
	logged.Probabilities = nil
	e := run.Epoch{Epoch: t, Step: 8 * t, LearningRate: 0.001, GradientNorm: run.Float(2 / (1 + float64(t)))}
	lag := 0.0
	if s.batchNorm {
		lag = 2 * common
	}
	e.Evaluations = []run.Evaluation{
		logged,
		evaluate(run.Logged, run.Validation, 0.35*progress, 0.7, lag),
		evaluate(run.Deterministic, run.Train, 5*progress, 0.3, lag),
		evaluate(run.Deterministic, run.Validation, 0.35*progress, 0.7, lag),
		evaluate(run.Averaged, run.Validation, 0.4*progress, 0.15, 0),
	}
	return e
}

// evaluate draws a margin per subject: a fixed part, its class times gain, and
// a part that changes every epoch; shift moves all towards the first class.
func (s simulation) evaluate(r *run.Run, t int, view, set string, gain, wander, shift float64) run.Evaluation {
	subjects := r.Header.Sets[set]
	e := run.Evaluation{View: view, Set: set, Probabilities: make([]run.Row, len(subjects))}
	correct, loss := 0, 0.0
	for i, subject := range subjects {
		fixed := stat.NewStream(1, "fixed/"+set, uint64(i))
		moving := stat.NewStream(1, "moving/"+view+set, uint64(i), uint64(t))
		logits := make([]float64, len(s.classes))
		for c := range logits {
			logits[c] = float64(0.8*fixed.Normal()) + float64(wander*moving.Normal())
		}
		logits[subject.Class] += gain
		logits[0] += shift
		row := softmax(logits)
		if mostProbable(row) == subject.Class {
			correct++
		}
		loss -= stat.Log(float64(row[subject.Class]))
		e.Probabilities[i] = row
	}
	e.Loss = run.Float(loss / float64(len(subjects)))
	e.Accuracy = run.Float(float64(correct) / float64(len(subjects)))
	return e
}

func softmax(logits []float64) run.Row {
	sum := 0.0
	for _, x := range logits {
		sum += stat.Exp(x)
	}
	row := make(run.Row, len(logits))
	for c, x := range logits {
		row[c] = float32(stat.Exp(x) / sum)
	}
	return row
}

// sampleDiagnosis has every part of a report, not computed from any run.
func sampleDiagnosis() *diagnosis.Report {
	interval := func(points, low, high diagnosis.Number, unit string) diagnosis.Interval {
		return diagnosis.Interval{Points: points, Low: low, High: high, Unit: unit}
	}
	unknown := diagnosis.Number(math.NaN())
	return &diagnosis.Report{
		Format:   diagnosis.ReportFormat,
		Subjects: diagnosis.Subjects{Train: 45, Validation: 15},
		Summary: []string{
			"Validation accuracy moves by 8.4 points from epoch to epoch (95 % interval 6.2 to 10.9).",
			"The largest source is batch-norm lag, 49 % of the variance.",
			"First change the batch-norm momentum.",
		},
		Jitter: map[string]diagnosis.Interval{
			"accuracy": interval(8.42, 6.2, 10.9, diagnosis.Points),
			"auroc":    interval(5.1, 3.9, 6.6, diagnosis.Points),
			"loss":     interval(0.21, 0.12, 0.34, diagnosis.Nats),
		},
		Finite:   interval(0.62, 0.48, 0.8, diagnosis.Ratio),
		Infinite: interval(5.2, 3.9, 6.4, diagnosis.Points),
		Chance:   diagnosis.Chance{Accuracy: 56.2, Low: 33, High: 77},
		Budget: []diagnosis.Share{
			{Source: diagnosis.EvaluationNoise, Share: 0, Low: 0, High: 0, Points: 0},
			{Source: diagnosis.BatchNormLag, Share: 0.49, Low: 0.2, High: 0.7, Points: 5.9},
			{Source: diagnosis.ThresholdFlicker, Share: -0.08, Low: -0.3, High: 0.12, Points: -2.4},
			{Source: diagnosis.WeightNoise, Share: 0.25, Low: 0.05, High: 0.4, Points: 4.2},
			{Source: diagnosis.FiniteValidationSet, Share: 0.31, Low: 0.22, High: 0.41, Points: 4.7},
			{Source: diagnosis.RealChange, Share: 0.03, Low: -0.1, High: 0.2, Points: 1.5, Includes: []string{diagnosis.EvaluationNoise}},
		},
		Views: []diagnosis.View{
			{View: run.Logged, Jitter: interval(8.42, 6.2, 10.9, diagnosis.Points), Finite: interval(0.31, 0.22, 0.41, diagnosis.Ratio), Accuracy: 56.2},
			{View: run.Averaged + "+threshold", Jitter: interval(4.1, 2.2, 5.9, diagnosis.Points), Finite: interval(unknown, unknown, unknown, diagnosis.Ratio),
				Removed: interval(0.76, 0.6, 0.9, diagnosis.Ratio), Accuracy: 58.9},
		},
		Findings: []diagnosis.Finding{
			{ID: "batch-norm-lag", Title: "Batch-norm statistics do not fit the weights", Verdict: diagnosis.Confirmed, Severity: 5.9, Of: "jitter",
				Explain:  "The running mean and variance belong to weights of several steps ago.",
				Evidence: []diagnosis.Evidence{{Text: "recomputing the statistics at the same weights takes away 49 % of the variance (20 to 70 %)", Value: 0.49}},
				Treatment: diagnosis.Treatment{Text: "Let the running statistics follow faster, or recompute them before each evaluation.",
					Plan: map[string]any{"net.momentum": 0.5, "net.norm": "none", "prep.grid": []int{32, 32, 32}}}},
			{ID: "small-validation-set", Title: "The validation set is small", Verdict: diagnosis.Likely, Severity: 4.7, Of: "jitter",
				Evidence:  []diagnosis.Evidence{{Text: "15 subjects: one of them is 6.7 points", Value: 6.7}},
				Treatment: diagnosis.Treatment{Text: "Validate on more subjects, or by cross-validation.", Plan: map[string]any{"split.validation": 0.4}}},
			{ID: "coin-flip", Verdict: diagnosis.CannotTell, Severity: unknown, Evidence: []diagnosis.Evidence{{Text: "accuracy 56.2 % where guessing gives 53.3 %", Value: 56.2}}},
			{ID: "learning-rate-too-high", Title: "The learning rate is too high", Verdict: diagnosis.RuledOut},
		},
		Notes: []string{"The view recalibrated was not recorded."},
	}
}
