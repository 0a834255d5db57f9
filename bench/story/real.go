package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ballast/bench/engine"
	"ballast/diagnosis"
)

// realCohorts are those of docs/real-cohorts.md, with the flags that they need.
var realCohorts = []struct {
	folder, title string
	flags         []string
	low           float64 // of the figure's axis
}{
	{"cheng-brain-tumour", "Three kinds of brain tumour, 87 patients, 2D", []string{"--label", "label", "--subject", "patient_group", "--set", "prep.grid=[64,64]"}, 20},
	{"sts-lungmets", "Lung metastases of sarcoma, 51 patients, 3D", nil, 0},
}

// publishReal trains the four-layer network of the default plan on the real cohorts
// and puts what the diagnosis found beside the phantom cohort.
func (s *story) publishReal(ctx context.Context, shared string) error {
	var likes []lookalike
	var table strings.Builder
	var failed error
	engine.MarkdownTable(&table, 1, func(row func(cells ...string)) {
		row("cohort", "validation patients", "jitter, points", "with statistics recomputed", "of the variance the few patients, %", "late mean; commonest class, %", "found")
		for _, c := range realCohorts {
			cohort, err := filepath.Abs(filepath.Join(shared, "data", c.folder))
			if err == nil {
				_, err = os.Stat(cohort)
			}
			if shared == "" || err != nil {
				log.Printf("%s: real cohort absent, its part of the page stays", c.folder)
				return
			}
			name := "real-" + c.folder
			words := append([]string{"train", cohort, "--out", name, "--epochs", "40"}, c.flags...)
			if err := s.once(ctx, strings.Join(words, " ")); err != nil {
				failed = err
				return
			}
			r, report, err := s.diagnosed(name)
			if err != nil {
				failed = err
				return
			}
			likes = append(likes, lookalike{title: c.title, r: r, low: c.low, guess: float64(report.Chance.Guess)})
			row(c.title, fmt.Sprint(report.Subjects.Validation), interval(report.Jitter["accuracy"]), recalibrated(report),
				fmt.Sprintf("%.0f (%.0f to %.0f)", 100*float64(report.Finite.Points), 100*float64(report.Finite.Low), 100*float64(report.Finite.High)),
				fmt.Sprintf("%.0f; %.0f", float64(report.Chance.Accuracy), float64(report.Chance.Guess)), found(report))
		}
	})
	if failed != nil || len(likes) < len(realCohorts) {
		return failed
	}
	if err := drawLookalikes(likes); err != nil {
		return err
	}
	return put("real", "%s", table.String())
}

// recalibrated is the jitter of the recalibrated view.
func recalibrated(report *diagnosis.Report) string {
	at := slices.IndexFunc(report.Views, func(v diagnosis.View) bool { return v.View == "recalibrated" })
	if at < 0 {
		return "-"
	}
	return interval(report.Views[at].Jitter)
}

// found lists the causes that are confirmed or likely and follow from no other.
func found(report *diagnosis.Report) string {
	var names []string
	for _, f := range report.Findings {
		if (f.Verdict == diagnosis.Confirmed || f.Verdict == diagnosis.Likely) && f.Because == "" {
			names = append(names, fmt.Sprintf("`%s` %s", f.ID, f.Verdict))
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
