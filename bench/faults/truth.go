package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"

	"ballast/run"
	"ballast/stat"
)

// truthFile lies in the folder of a run; its presence says that the run is whole.
const truthFile = "truth.json"

// A truth is what was planted in a run, and what fresh subjects say of the network
// that came out.
type truth struct {
	Cohort  string   `json:"cohort"`
	Fault   string   `json:"fault"`
	Planted string   `json:"planted"`
	Also    []string `json:"also"`
	Network string   `json:"network"`
	Seed    uint64   `json:"seed"`
	// Validation is the number of validation subjects that was asked for.
	Validation int `json:"validation"`
	// Of the last weights on the fresh subjects, after the same mistakes.
	Accuracy   run.Float `json:"accuracy"`
	Loss       run.Float `json:"loss"`
	AUROC      run.Float `json:"auroc"`      // two classes
	Confidence run.Float `json:"confidence"` // mean probability of the class that is named
	Commonest  run.Float `json:"commonest"`  // share of the commonest class
	Fresh      int       `json:"fresh"`      // subjects
	// Of the last weights on the training subjects, in the validation pipeline.
	Training run.Float `json:"training_accuracy"`
}

// truth measures it.
func (t *trial) truth(r *recorder, n int) *truth {
	nan := run.Float(math.NaN())
	result := &truth{
		Cohort: t.cohort, Fault: t.fault.name, Planted: t.fault.planted(), Also: append([]string{}, t.fault.also...),
		Network: t.network.name, Seed: t.seed, Validation: n,
		Accuracy: nan, Loss: nan, AUROC: nan, Confidence: nan, Commonest: nan, Training: nan,
	}
	if len(r.epochs) > 0 {
		if v := r.epochs[len(r.epochs)-1].Evaluation(run.Deterministic, run.Train); v != nil {
			result.Training = v.Accuracy
		}
	}
	fresh := r.header.Sets[freshSet]
	if len(r.epochs) == 0 || len(fresh) == 0 {
		return result
	}
	last := r.epochs[len(r.epochs)-1].Evaluation(run.Deterministic, freshSet)
	if last == nil {
		return result
	}
	rows := last.Probabilities
	result.Fresh = len(fresh)
	result.Loss, result.Accuracy = scored(rows, fresh)
	counts := make([]int, len(r.header.Classes))
	scores, positive, confidence := []float64{}, []bool{}, 0.0
	for i, row := range rows {
		counts[fresh[i].Class]++
		scores, positive = append(scores, float64(row[1])), append(positive, fresh[i].Class == 1)
		confidence += float64(row[named(row)]) / float64(len(rows))
	}
	most := 0
	for _, count := range counts {
		most = max(most, count)
	}
	result.Commonest, result.Confidence = run.Float(float64(most)/float64(len(rows))), run.Float(confidence)
	if len(counts) == 2 && most < len(rows) {
		area, _ := stat.AUROC(scores, positive)
		result.AUROC = run.Float(area)
	}
	return result
}

func (t *truth) write(dir string) error {
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, truthFile), append(text, '\n'), 0o644)
}

func readTruth(dir string) (*truth, error) {
	text, err := os.ReadFile(filepath.Join(dir, truthFile))
	if err != nil {
		return nil, err
	}
	t := &truth{}
	return t, json.Unmarshal(text, t)
}

// named is the class with the largest probability, the first of equals.
func named(row run.Row) int {
	best := 0
	for c, p := range row {
		if p > row[best] {
			best = c
		}
	}
	return best
}

// scored is the mean cross-entropy and the accuracy of the subjects that have
// probabilities.
func scored(rows []run.Row, subjects []run.Subject) (loss, accuracy run.Float) {
	sum, right, n := 0.0, 0.0, 0.0
	for i, row := range rows {
		if row == nil {
			continue
		}
		class := subjects[i].Class
		sum -= math.Log(math.Max(float64(row[class]), math.SmallestNonzeroFloat32))
		finite := true
		for _, p := range row {
			finite = finite && p == p
		}
		if !finite {
			sum = math.NaN()
		} else if named(row) == class {
			right++
		}
		n++
	}
	return run.Float(sum / n), run.Float(right / n)
}
