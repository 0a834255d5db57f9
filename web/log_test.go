package web

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"ballast/diagnosis"
	"ballast/run"
)

// sampleLog is a log of 40 epochs and 19 cases that overfits.
func sampleLog() *run.Curves {
	c := &run.Curves{Source: "training.log", Format: "keras-csv", Measure: "accuracy"}
	for t := range 40 {
		right := []float64{11, 13, 10, 14, 12, 15, 9}[t%7]
		c.Points = append(c.Points, run.Point{
			Epoch: t + 1, TrainLoss: run.Float(0.7 * math.Pow(0.93, float64(t))), TrainAccuracy: run.Float(min(1, 0.5+0.015*float64(t))),
			ValidationLoss: run.Float(0.69 + 0.02*float64(max(0, t-8))), ValidationAccuracy: run.Float(math.Round(1e4*right/19) / 1e4),
		})
	}
	return c
}

func logPageOf(t *testing.T, c *run.Curves, o diagnosis.CurveOptions) string {
	t.Helper()
	report, err := diagnosis.DiagnoseCurves(c, o)
	if err != nil {
		t.Fatal(err)
	}
	var page, again bytes.Buffer
	if err := Curves(&page, c, report); err != nil {
		t.Fatal(err)
	}
	if err := Curves(&again, c, report); err != nil || !bytes.Equal(page.Bytes(), again.Bytes()) {
		t.Errorf("two pages of one log differ: %v", err)
	}
	return page.String()
}

func TestLogPage(t *testing.T) {
	page := logPageOf(t, sampleLog(), diagnosis.CurveOptions{Classes: 2, Prevalence: 0.53})
	for _, want := range []string{`class="band chance"`, "19 (inferred)", "52.6 % (given)", "Figure 2.", `id="overfitting"`, "epoch 40: validation"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if body := bodyOf(page); strings.Contains(body, "NaN") || strings.Contains(body, "https://") {
		t.Error("the page holds NaN or needs the network")
	}
	lookAt(t, page)
}

// bodyOf is a page without its style and script.
func bodyOf(page string) string {
	_, body, _ := strings.Cut(page, "<main>")
	body, _, _ = strings.Cut(body, "</main>")
	return body
}

func TestLogPageDegrades(t *testing.T) {
	nan := run.Float(math.NaN())
	for name, change := range map[string]func(c *run.Curves, p *run.Point){
		"losses only":     func(c *run.Curves, p *run.Point) { c.Measure = ""; p.ValidationAccuracy, p.TrainAccuracy = nan, nan },
		"accuracy only":   func(c *run.Curves, p *run.Point) { p.ValidationLoss, p.TrainLoss = nan, nan },
		"another measure": func(c *run.Curves, p *run.Point) { c.Measure = "Dice <b>" },
		"every fifth":     func(c *run.Curves, p *run.Point) { p.Epoch *= 5 },
		"infinite loss":   func(c *run.Curves, p *run.Point) { p.ValidationLoss = run.Float(math.Inf(1)) },
		"negative loss":   func(c *run.Curves, p *run.Point) { p.ValidationLoss, p.TrainLoss = -p.ValidationLoss, -p.TrainLoss },
		"hostile source":  func(c *run.Curves, p *run.Point) { c.Source = `<script>alert(1)</script>` },
	} {
		c := sampleLog()
		for i := range c.Points {
			change(c, &c.Points[i])
		}
		body := bodyOf(logPageOf(t, c, diagnosis.CurveOptions{}))
		if strings.Contains(body, "NaN") || strings.Contains(body, "Dice <b>") || strings.Contains(body, "<script>alert") {
			t.Errorf("%s: the page holds NaN or raw text", name)
		}
	}
}
