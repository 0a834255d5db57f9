package web

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"ballast/evaluation"
	"ballast/run"
	"ballast/stat"
)

// sampleEvaluation is a report with everything in it, made of simulated
// predictions.
func sampleEvaluation(t *testing.T, classes ...string) *evaluation.Report {
	t.Helper()
	p := &evaluation.Predictions{Classes: classes, Positive: 1}
	s := stat.NewStream(1, "sample")
	for i := range 60 {
		subject := evaluation.Subject{ID: fmt.Sprintf("patient-with-a-long-name-%02d", i), Class: i % len(classes), Set: run.Test,
			Groups: map[string]string{"site": []string{"north & <east>", "south", ""}[i%7%3]}}
		for range 4 {
			row, sum := make([]float64, len(classes)), 0.0
			for class := range row {
				row[class] = math.Exp(1.2 * s.Normal())
				if class == subject.Class {
					row[class] *= 3
				}
				sum += row[class]
			}
			for class := range row {
				row[class] = math.Min(1, row[class]/sum)
			}
			subject.Samples = append(subject.Samples, row)
		}
		subject.Probabilities = stat.MeanProbabilities(subject.Samples)
		p.Subjects = append(p.Subjects, subject)
	}
	r, err := evaluation.Evaluate(p, evaluation.Options{Draws: 200})
	if err != nil {
		t.Fatal(err)
	}
	r.Run, r.Cohort, r.Set = "runs/heads-1", "studies/heads", "60 subjects (60 of the test set)"
	r.How.Weights, r.How.ThresholdFrom = "last", "the default"
	shares := make([]float64, len(classes))
	for class := range shares {
		shares[class] = 1 / float64(len(classes))
	}
	r.AddBaseline(evaluation.Baseline{Name: "commonest class", Detail: "shares"}, func(int) []float64 { return shares }, nil)
	r.AddBaseline(evaluation.Baseline{Name: "thumbnails"}, nil, evaluation.ErrBaseline)
	r.AddGroups("site")
	r.Note("12 subjects were left out, since scores on them are no evidence")
	return r
}

func evaluationHTML(t *testing.T, r *evaluation.Report) string {
	t.Helper()
	var page bytes.Buffer
	if err := Evaluation(&page, r); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

func TestEvaluationPage(t *testing.T) {
	for _, classes := range [][]string{{"stable", "relapse"}, {"glioma", "meningioma", "pituitary"}} {
		page := evaluationHTML(t, sampleEvaluation(t, classes...))
		for _, want := range []string{
			"Evaluation of runs/heads-1", "roc-title", "precision-title", "reliability-title", "probabilities-title", "Commonest class", "left out: baseline",
			"north &amp; &lt;east&gt;", "not given", "no evidence.", "patient-with-a-long-name-", "Whether it knows when it errs", "The best baseline by AUROC is commonest class",
		} {
			if !strings.Contains(page, want) {
				t.Errorf("%d classes: the page lacks %q", len(classes), want)
			}
		}
		if strings.Contains(page, "NaN") || strings.Contains(page, "<east>") {
			t.Errorf("%d classes: the page holds NaN or text that is not escaped", len(classes))
		}
		if again := evaluationHTML(t, sampleEvaluation(t, classes...)); again != page {
			t.Error("the same report gives another page")
		}
		if err := wellFormed(page); err != nil {
			t.Error(err)
		}
	}
}

// Subjects of one class, all right, of a network that is certain: what cannot be
// told is a dash, and curves that do not exist are not drawn.
func TestEvaluationPageOfLittle(t *testing.T) {
	p := &evaluation.Predictions{Classes: []string{"a", "b"}, Positive: 1, Subjects: []evaluation.Subject{
		{ID: "x", Class: 0, Probabilities: []float64{1, 0}}, {ID: "y", Class: 0, Probabilities: []float64{1, 0}}, {ID: "z", Class: 0, Probabilities: []float64{0, 1}},
	}}
	r, err := evaluation.Evaluate(p, evaluation.Options{Draws: 50})
	if err != nil {
		t.Fatal(err)
	}
	page := evaluationHTML(t, r)
	if strings.Contains(page, "NaN") || strings.Contains(page, "Inf") || strings.Contains(page, "roc-title") || !strings.Contains(page, "∞") {
		t.Error("undefined numbers are shown, or a curve that is none")
	}
	if err := wellFormed(page); err != nil {
		t.Error(err)
	}
}

func TestEvaluationBrowser(t *testing.T) {
	page := evaluationHTML(t, sampleEvaluation(t, "stable", "relapse"))
	// The page has no pictures besides its drawings; one empty picture satisfies
	// the test that all pages share.
	lookAt(t, strings.Replace(page, "</main>", `<img alt="" src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACADs="/></main>`, 1))
}
