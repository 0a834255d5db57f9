package diagnosis

import (
	"errors"
	"math"
	"strings"
	"testing"

	"ballast/run"
)

// What a record cannot carry must not be said.

func TestDivergedEpochsAreLeftOut(t *testing.T) {
	r := newCourse(typical(), 21).run(30, 0)
	whole := mustDiagnose(t, r)
	for i := 10; i < len(r.Epochs); i++ {
		for k := range r.Epochs[i].Evaluations {
			for _, row := range r.Epochs[i].Evaluations[k].Probabilities {
				for c := range row {
					row[c] = float32(math.NaN())
				}
			}
		}
	}
	report := mustDiagnose(t, r)
	if !strings.Contains(report.Summary[0], "from epoch 11 on") {
		t.Errorf("the summary does not tell of the divergence: %q", report.Summary)
	}
	if report.Epochs.Analysed != 10 || whole.Epochs.Analysed != len(r.Epochs) {
		t.Errorf("%d epochs analysed, %d before", report.Epochs.Analysed, whole.Epochs.Analysed)
	}
}

func TestDivergenceInTheFirstEpochIsReported(t *testing.T) {
	r := newCourse(typical(), 21).run(30, 0)
	for i := range r.Epochs {
		for k := range r.Epochs[i].Evaluations {
			v := &r.Epochs[i].Evaluations[k]
			v.Loss = run.Float(math.NaN())
			for _, row := range v.Probabilities {
				for c := range row {
					row[c] = float32(math.NaN())
				}
			}
		}
	}
	for _, epochs := range []int{1, len(r.Epochs)} {
		r.Epochs = r.Epochs[:epochs]
		report := mustDiagnose(t, r)
		if len(report.Summary) != 1 || !strings.Contains(report.Summary[0], "diverged in epoch 1:") {
			t.Errorf("%d epochs: summary %q", epochs, report.Summary)
		}
		for _, f := range report.Findings {
			if sure := f.sure(); sure != (f.ID == "non-finite-loss") {
				t.Errorf("%d epochs: %s is %s", epochs, f.ID, f.Verdict)
			}
		}
		if report.Epochs.Analysed != 0 || report.Epochs.Best != 0 || report.Epochs.Late != 0 || report.Chance.Range.Known() {
			t.Errorf("%d epochs: a curve where there is none: %+v, %+v", epochs, report.Epochs, report.Chance)
		}
	}
}

func TestFewEpochsProveNoGuessing(t *testing.T) {
	s := typical()
	s.signal, s.memory = 0, 0
	r := newCourse(s, 22).run(400, 0)
	r.Epochs = r.Epochs[:1]
	if f := mustDiagnose(t, r).finding("coin-flip"); f.Verdict != CannotTell {
		t.Errorf("after one epoch: %s", f.Verdict)
	}
}

func TestConstantPredictionsProveNoGuessing(t *testing.T) {
	r := newCourse(typical(), 23).run(40, 0)
	for i := range r.Epochs {
		for _, e := range r.Epochs[i].Evaluations {
			for k := range e.Probabilities {
				e.Probabilities[k] = run.Row{1, 0}
			}
		}
	}
	if f := mustDiagnose(t, r).finding("coin-flip"); f.Verdict != CannotTell {
		t.Errorf("constant predictions: %s", f.Verdict)
	}
}

func TestTwoEpochsDoNotSayWhy(t *testing.T) {
	r := newCourse(typical(), 24).run(20, 0)
	r.Epochs = r.Epochs[8:10]
	report := mustDiagnose(t, r)
	if report.Finite.Points.Known() || report.Jitter["accuracy"].High.Known() {
		t.Errorf("two epochs give %+v, %+v", report.Finite, report.Jitter["accuracy"])
	}
	if strings.Contains(strings.Join(report.Summary, " "), "variance") {
		t.Errorf("two epochs are explained: %q", report.Summary)
	}
}

// A share whose interval holds both a quarter and three quarters has no number, in
// the text, the summary and the verdict alike.
func TestSharesTooWideToActOn(t *testing.T) {
	for _, c := range []struct {
		low, high Number
		decides   bool
	}{
		{0.26, 1, true}, {0, 0.74, true}, {0.24, 0.76, false}, {-1.2, 1.7, false}, {0, 0, true}, {unknown, unknown, false}, {0.3, 0.4, true},
	} {
		if got := (Share{Share: 0.5, Low: c.low, High: c.high}).Decides(); got != c.decides {
			t.Errorf("%g to %g decides: %t", c.low, c.high, got)
		}
		e := &evidence{jitter: 5}
		if verdict := e.gradeShare(0.5, c.low, c.high); !c.decides && (verdict == Possible || verdict == Likely && c.low < 0) {
			t.Errorf("%g to %g is %s", c.low, c.high, verdict)
		}
	}
	report := &Report{
		Jitter: map[string]Interval{"accuracy": {6, 4, 9, Points}},
		Finite: Interval{0.5, 0.1, 0.97, Ratio}, Infinite: Interval{4.2, 0.7, 8.5, Points},
		Subjects: Subjects{Validation: 20},
		Budget:   []Share{{Source: WeightNoise, Share: 0.55, Low: 0.15, High: 0.95, Points: 4.4}, {Source: RealChange, Share: 0.45, Low: 0.4, High: 0.5, Points: 4.0}},
	}
	report.Summary = report.summarise()
	var written strings.Builder
	if err := report.Text(&written, 100, false); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(written.String()), " ")
	for _, want := range []string{
		"only because 20 patients are validated on cannot be told (something between 10 and 97 %)",
		"weight-noise cannot tell - ( 15 to 95) -",
		"Infinitely many validation subjects would show a jitter of 4.2 points (95 % interval 0.7 to 8.5).",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, written.String())
		}
	}
	for _, never := range []string{"50 %", "55 %", "4.4"} {
		if strings.Contains(text, never) {
			t.Errorf("the text holds %q, a number that cannot be told:\n%s", never, written.String())
		}
	}
}

func TestNoEpochs(t *testing.T) {
	r := newCourse(typical(), 25).run(20, 0)
	r.Epochs = nil
	if _, err := Diagnose(r); !errors.Is(err, ErrTooShort) || !strings.Contains(err.Error(), "no epoch is recorded") {
		t.Errorf("no epochs: %v", err)
	}
}

func TestContradictionsAreNoted(t *testing.T) {
	r := newCourse(typical(), 26).run(20, 0)
	noted := func() bool {
		return strings.Contains(strings.Join(mustDiagnose(t, r).Notes, "\n"), "in 2 epochs the recorded accuracy")
	}
	if noted() {
		t.Error("a sound record is said to contradict itself")
	}
	for _, i := range []int{3, 7} {
		r.Epochs[i].Evaluation(run.Logged, run.Validation).Accuracy -= 0.1
	}
	if !noted() {
		t.Error("two contradictions are not noted")
	}
}
