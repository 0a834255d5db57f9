// Logs holds the verdicts of ballast diagnose on the logs of other trainers
// against the causes that people wrote down for them, and prints the table of
// docs/logs.md.
//
//	go run ./bench/logs FOLDER
//
// FOLDER holds a folder per log with facts.json: what the source says of the
// run, or a human judgement of its curves. Of a log with several runs the first
// counts, which the facts describe.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ballast/diagnosis"
	"ballast/run"
)

// facts is the part of facts.json that is used.
type facts struct {
	ID         string   `json:"id"`
	Validation int      `json:"n_val"`
	Classes    int      `json:"n_classes"`
	Majority   float64  `json:"majority_class_share"`
	Causes     []string `json:"causes"`
}

// meanings translates the words of facts.json into causes of ballast, any of
// which agrees. Words that name no cause (plateau, noisy_but_insignificant) are
// absent; healthy is held against all.
var meanings = map[string][]string{
	"small_validation_set":                {"small-validation-set"},
	"overfitting":                         {"overfitting"},
	"chance_level":                        {"coin-flip", "too-little-learning"},
	"class_imbalance":                     {"class-imbalance"},
	"learning_rate_too_low":               {"learning-rate-too-low"},
	"learning_rate_too_high":              {"learning-rate-too-high"},
	"underfitting":                        {"too-little-learning"},
	"too_few_epochs":                      {"trained-too-short"},
	"validation_better_than_training":     {"validation-better-than-training"},
	"divergence":                          {"non-finite-loss", "learning-rate-too-high"},
	"batchnorm_or_preprocessing_mismatch": {"preprocessing-mismatch", "batch-norm-lag", "loss-accuracy-mismatch"},
}

// harmless are verdicts that a healthy run may well earn: they say how little
// can be concluded, not that training went wrong.
var harmless = []string{"small-validation-set", "optimistic-selection", "trained-too-short", "validation-better-than-training"}

var order = []string{diagnosis.Confirmed, diagnosis.Likely, diagnosis.Possible, diagnosis.CannotTell, diagnosis.RuledOut}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./bench/logs FOLDER")
		os.Exit(2)
	}
	if err := compare(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A score counts verdicts on the causes of the facts, and claims beyond them.
type score struct {
	verdicts map[string]int
	causes   int
	beyond   int
}

func compare(folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*", "facts.json"))
	if err == nil && len(files) == 0 {
		err = errors.New(folder + " holds no */facts.json")
	}
	if err != nil {
		return err
	}
	alone, told := score{verdicts: map[string]int{}}, score{verdicts: map[string]int{}}
	right, sizes := 0, 0
	fmt.Println("| log | n | inferred | causes by the facts | from the log alone | with n, classes and prevalence | likely or confirmed beyond the facts |")
	fmt.Println("|---|--:|--:|---|---|---|---|")
	for _, file := range files {
		var f facts
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &f)
		}
		if err != nil {
			return err
		}
		logs, err := run.OpenLog(filepath.Dir(file))
		if errors.Is(err, run.ErrNoValidation) {
			fmt.Printf("| %s | - | - | %s | no validation values | | |\n", f.ID, words(f.Causes))
			continue
		}
		if err != nil {
			return err
		}
		inferred := inferredSize(logs[0])
		if f.Validation > 0 {
			sizes++
			if inferred == f.Validation {
				right++
			}
		}
		without, _, err := judge(logs[0], &f, diagnosis.CurveOptions{}, &alone)
		if err != nil {
			return err
		}
		with, beyond, err := judge(logs[0], &f, diagnosis.CurveOptions{Validation: f.Validation, Classes: f.Classes, Prevalence: f.Majority}, &told)
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %s | %s | %s | %s | %s | %s |\n", f.ID, number(f.Validation), number(inferred), words(f.Causes), without, with, beyond)
	}
	fmt.Printf("\nThe size was inferred rightly for %d of the %d logs where it is known.\n", right, sizes)
	fmt.Printf("Verdicts on the causes of the facts, from the log alone: %s.\n", alone.text())
	fmt.Printf("With n, classes and prevalence: %s.\n", told.text())
	return nil
}

func inferredSize(c *run.Curves) int {
	if c.Measure != "accuracy" {
		return 0
	}
	var accuracies []float64
	for i := range c.Points {
		accuracies = append(accuracies, float64(c.Points[i].ValidationAccuracy))
	}
	return diagnosis.InferValidationSize(accuracies).Cases
}

// judge diagnoses a log and returns the surest verdict on each cause of the
// facts, and what is claimed beyond them.
func judge(c *run.Curves, f *facts, o diagnosis.CurveOptions, s *score) (verdicts, beyond string, err error) {
	report, err := diagnosis.DiagnoseCurves(c, o)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", f.ID, err)
	}
	var parts, claims, expected []string
	for _, word := range f.Causes {
		ids := meanings[word]
		if word == "healthy" {
			parts = append(parts, "healthy: "+healthy(report))
		}
		if len(ids) == 0 {
			continue
		}
		expected = append(expected, ids...)
		surest := len(order) - 1
		for _, finding := range report.Findings {
			if slices.Contains(ids, finding.ID) {
				surest = min(surest, slices.Index(order, finding.Verdict))
			}
		}
		parts = append(parts, order[surest])
		s.verdicts[order[surest]]++
		s.causes++
	}
	for _, finding := range report.ForReading() {
		if (finding.Verdict == diagnosis.Likely || finding.Verdict == diagnosis.Confirmed) && !slices.Contains(expected, finding.ID) {
			claims = append(claims, finding.ID)
			s.beyond++
		}
	}
	return strings.Join(parts, ", "), strings.Join(claims, ", "), nil
}

// healthy says whether nothing but the harmless is likely.
func healthy(report *diagnosis.Report) string {
	for _, finding := range report.Findings {
		if (finding.Verdict == diagnosis.Likely || finding.Verdict == diagnosis.Confirmed) && !slices.Contains(harmless, finding.ID) {
			return "no"
		}
	}
	return "yes"
}

func (s *score) text() string {
	var parts []string
	for _, verdict := range order {
		parts = append(parts, fmt.Sprintf("%d %s", s.verdicts[verdict], strings.ReplaceAll(verdict, "-", " ")))
	}
	return fmt.Sprintf("%s, of %d; %d likely or confirmed beyond the facts", strings.Join(parts, ", "), s.causes, s.beyond)
}

func words(causes []string) string { return strings.ReplaceAll(strings.Join(causes, ", "), "_", " ") }

func number(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
