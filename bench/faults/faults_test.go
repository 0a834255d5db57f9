package main

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ballast/diagnosis"
	"ballast/run"
	"ballast/train"
)

var update = flag.Bool("update", false, "write what follows from the results")

// TestProducts holds the page, the doc comments and the rates of ballast explain
// against the results.
func TestProducts(t *testing.T) {
	t.Chdir("../..")
	outcomes, err := readResults(resultsFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range products(outcomes) {
		want, err := p.make()
		if err != nil {
			t.Errorf("%s: %v", p.name, err)
			continue
		}
		have, err := os.ReadFile(p.name)
		if *update {
			err = os.WriteFile(p.name, []byte(want), 0o644)
		} else if string(have) != want {
			t.Errorf("%s does not follow from %s; go test ./bench/faults -update writes it", p.name, resultsFile)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// TestFaults holds every fault to a valid plan, an id of a cause, and a difference
// from a well-set run.
func TestFaults(t *testing.T) {
	known := map[string]bool{}
	for _, cause := range slices.Concat(diagnosis.Causes, diagnosis.CurveCauses()) {
		known[cause.ID] = true
	}
	names := map[string]bool{}
	for i := range faults {
		f := &faults[i]
		if names[f.name] {
			t.Errorf("%s is there twice", f.name)
		}
		names[f.name] = true
		for _, id := range append(slices.Clone(f.also), f.planted()) {
			if id != "" && !known[id] {
				t.Errorf("%s: %q is no cause", f.name, id)
			}
		}
		if (f.difference() == "") != (f.name == clean) {
			t.Errorf("%s: differs from a well-set run by %q", f.name, f.difference())
		}
		for j := range networks {
			plan := basePlan(&networks[j], 1)
			f.plan(&plan, &networks[j])
			if err := plan.Validate(); err != nil {
				t.Errorf("%s in %s: %v", f.name, networks[j].name, err)
			}
		}
	}
	if causes := len(names); causes < 25 {
		t.Errorf("%d faults", causes)
	}
}

func claimsOf(words ...string) []claim {
	claims, err := readClaims(strings.Join(words, " "))
	if err != nil {
		panic(err)
	}
	return claims
}

func TestRank(t *testing.T) {
	claims := claimsOf("c:batch-norm-lag", "l:overfitting", "p:coin-flip", "t:no-signal", "r:dead-relu")
	for id, want := range map[string]int{"batch-norm-lag": 1, "overfitting": 2, "coin-flip": 3, "no-signal": 0, "dead-relu": 0, "label-noise": 0} {
		if got := rank(claims, id); got != want {
			t.Errorf("%s: place %d, want %d", id, got, want)
		}
	}
	if got := firstNamed(claims[3:]); got != nothing {
		t.Errorf("first of what cannot be told: %s", got)
	}
	if got := verdict(claims, "label-noise"); got != diagnosis.CannotTell {
		t.Errorf("unnamed: %s", got)
	}
}

func TestFalseClaims(t *testing.T) {
	o := &outcome{truth: []string{"overfitting"}, alone: claimsOf("c:overfitting", "c:dead-relu", "l:no-signal", "p:coin-flip")}
	if got := o.falseClaims(o.alone, diagnosis.Confirmed); !slices.Equal(got, []string{"dead-relu"}) {
		t.Errorf("false confirmed: %v", got)
	}
	if got := o.falseClaims(o.alone, diagnosis.Likely); !slices.Equal(got, []string{"no-signal"}) {
		t.Errorf("false likely: %v", got)
	}
}

// TestRates holds the intervals against hand calculation: eight independent seeds of
// one run each are as many trials, Wilson's interval of 6 of 8 is 0.409 to 0.929
// (Newcombe 1998, method 3, by hand); eight copies of each say no more.
func TestRates(t *testing.T) {
	var single, copied []*outcome
	for seed := range uint64(8) {
		o := &outcome{seed: seed}
		single = append(single, o)
		for range 8 {
			copied = append(copied, o)
		}
	}
	hit := func(o *outcome) bool { return o.seed < 6 }
	a, b := rateOf(single, hit), rateOf(copied, hit)
	if a.hits != 6 || a.runs != 8 || b.runs != 64 || a.share() != b.share() {
		t.Errorf("%+v, %+v", a, b)
	}
	for _, r := range []rate{b} {
		if !(math.Abs(r.low-0.38) <= 0.03 && math.Abs(r.high-0.93) <= 0.03) {
			t.Errorf("%d of %d: %.3f to %.3f", r.hits, r.runs, r.low, r.high)
		}
	}
	spread := rateOf([]*outcome{{seed: 1}, {seed: 1}, {seed: 2}, {seed: 2}}, func(*outcome) bool { return true })
	if spread.share() != 1 || !(spread.low > 0.5 && spread.high == 1) {
		t.Errorf("all: %+v", spread)
	}
	if none := rateOf(nil, hit); none.text() != "-" {
		t.Errorf("of nothing: %s", none.text())
	}
}

func TestMeans(t *testing.T) {
	runs := []*outcome{{seed: 1}, {seed: 1}, {seed: 2}, {seed: 2}}
	// Seeds with 2 and 0 claims in two runs each: mean 0.5, the seeds' means 1 and 0
	// have a standard error of 0.5, Student's quantile of 1 degree of freedom is 12.706.
	m := meanOf(runs, func(o *outcome) int {
		if o.seed == 1 {
			return 1
		}
		return 0
	})
	if !(math.Abs(m.value-0.5) <= 1e-12 && math.Abs(m.high-(0.5+12.706*0.5)) <= 1e-3) || m.low != 0 {
		t.Errorf("%+v", m)
	}
	if m := meanOf(runs, func(*outcome) int { return 0 }); m.value != 0 || m.high != 0.75 {
		t.Errorf("none: %+v", m)
	}
}

func TestShareOf(t *testing.T) {
	classes := []int{0, 1, 0, 1, 0, 0, 0, 0, 1, 0} // seven to three
	chosen := shareOf(classes, 5)
	if !slices.Equal(chosen, []int{0, 1, 2, 4, 5}) && !slices.Equal(chosen, []int{0, 1, 2, 3, 4}) {
		t.Errorf("%v", chosen)
	}
	if got := shareOf(classes, 10); len(got) != 10 {
		t.Errorf("all: %v", got)
	}
}

// epochs makes a run of hand-made curves.
func curves(trainLoss, trainAccuracy, valLoss, valAccuracy []float64) *run.Run {
	plan := train.DefaultPlan()
	r := &run.Run{Header: run.Header{Classes: []string{"a", "b"}, Sets: map[string][]run.Subject{}}, Plan: plan.YAML()}
	for t := range trainLoss {
		r.Epochs = append(r.Epochs, run.Epoch{Epoch: t + 1, Evaluations: []run.Evaluation{
			{View: run.Logged, Set: run.Train, Loss: run.Float(trainLoss[t]), Accuracy: run.Float(trainAccuracy[t])},
			{View: run.Logged, Set: run.Validation, Loss: run.Float(valLoss[t]), Accuracy: run.Float(valAccuracy[t])},
		}})
	}
	return r
}

// TestRules asks the rules on records made by hand, at both sides of their thresholds.
func TestRules(t *testing.T) {
	calm := curves([]float64{1, 0.9, 0.8, 0.7}, []float64{0.5, 0.6, 0.7, 0.8}, []float64{1, 0.9, 0.8, 0.7}, []float64{0.5, 0.6, 0.7, 0.8})
	rising := curves([]float64{1, 0.9, 0.8, 0.7}, []float64{0.5, 0.6, 0.7, 0.8}, []float64{1, 0.9, 0.95, 0.7}, []float64{0.5, 0.6, 0.7, 0.8})
	swinging := curves([]float64{1, 1, 1, 1, 1, 1}, []float64{0.5, 0.6, 0.5, 0.6, 0.5, 0.6}, []float64{1, 1, 1, 1, 1, 1}, []float64{0.5, 0.5, 0.5, 0.5, 0.5, 0.5})
	broken := curves([]float64{1, math.NaN()}, []float64{0.7, 0.7}, []float64{1, 1}, []float64{0.7, 0.7})
	raw := curves([]float64{1, 0.9}, []float64{0.7, 0.8}, []float64{1, 0.9}, []float64{0.7, 0.8})
	raw.Fingerprint = &run.Fingerprint{Sets: map[string][]run.Look{run.Train: {{Mean: 100, Deviation: 50, Least: 0, Greatest: 255}}}}
	dead := curves([]float64{1, 0.9}, []float64{0.7, 0.8}, []float64{1, 0.9}, []float64{0.7, 0.8})
	for t := range dead.Epochs {
		dead.Epochs[t].Health = &run.Health{Layers: []run.LayerHealth{
			{Name: "a", Weight: 0.1, Gradient: 1e-9, Update: 1e-3, ZeroGradient: 0.9, Dead: 0.9, Active: 0.05, Output: 1},
			{Name: "b", Weight: 0.1, Gradient: 1e-2, Update: 1e-3, ZeroGradient: 0, Dead: run.Float(math.NaN()), Active: run.Float(math.NaN()), Output: run.Float(math.NaN())},
		}}
	}
	for _, c := range []struct {
		name, tool, id string
		r              *run.Run
		want           bool
	}{
		{"calm", "UMLAUT", "overfitting", calm, false},
		{"validation loss up once", "UMLAUT", "overfitting", rising, true},
		{"calm", "SageMaker Debugger", "overfitting", calm, false},
		{"a fifth above training", "SageMaker Debugger", "overfitting", rising, true},
		{"calm", "AUTOTRAINER", "learning-rate-too-high", calm, false},
		{"accuracy up and down by 0.1", "AUTOTRAINER", "learning-rate-too-high", swinging, true},
		{"loss no number", "AUTOTRAINER", "non-finite-loss", broken, true},
		{"loss no number", "DeepDiagnosis", "non-finite-loss", broken, true},
		{"loss no number", "SageMaker Debugger", "non-finite-loss", broken, true},
		{"calm", "DeepDiagnosis", "learning-rate-too-low", calm, false},
		{"nothing improves", "DeepDiagnosis", "learning-rate-too-low", swinging, true},
		{"grey values", "UMLAUT", "unscaled-input", raw, true},
		{"grey values", "SageMaker Debugger", "unscaled-input", raw, true},
		{"no fingerprint", "UMLAUT", "unscaled-input", calm, false},
		{"dead", "SageMaker Debugger", "dead-relu", dead, true},
		{"dead", "AUTOTRAINER", "dead-relu", dead, true},
		{"dead", "DeepDiagnosis", "dead-relu", dead, true},
		{"no health", "DeepDiagnosis", "dead-relu", calm, false},
		{"vanishing", "SageMaker Debugger", "vanishing-gradient", dead, true},
		{"vanishing", "AUTOTRAINER", "vanishing-gradient", dead, true},
	} {
		for _, tool := range rivals {
			if tool.name != c.tool {
				continue
			}
			fired, alarms := tool.judge(c.r)
			named := slices.ContainsFunc(fired, func(rule int) bool { return slices.Contains(tool.rules[rule].ids, c.id) })
			if named != c.want || (alarms > 0) != (len(fired) > 0) {
				t.Errorf("%s, %s: rules %v (%d alarms); %s: want %v", c.tool, c.name, fired, alarms, c.id, c.want)
			}
		}
	}
}

func TestResultsReadAsWritten(t *testing.T) {
	o := outcome{cohort: "phantom", fault: "dead-relu", planted: "dead-relu", network: "cnn3", validation: 50, seed: 7, judged: true, accuracy: 0.5, points: 1.25,
		truth: []string{"dead-relu"}, alone: claimsOf("c:coin-flip", "p:overfitting", "r:dead-relu"), alarms: []int{1, 0, 0, 3},
		fired: [][]int{{0}, {}, {}, {0, 3}}}
	file := filepath.Join(t.TempDir(), "results.csv")
	if err := writeResults(file, []outcome{o}); err != nil {
		t.Fatal(err)
	}
	back, err := readResults(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(back) != 1 || !slices.Equal(back[0].row(), o.row()) || back[0].probed != nil {
		t.Errorf("%+v", back)
	}
	if err := os.WriteFile(file, []byte("a,b\n1,2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readResults(file); err == nil {
		t.Error("another table is read")
	}
}

func TestComments(t *testing.T) {
	outcomes := []outcome{{cohort: phantomCohort, planted: "dead-relu", fault: "dead-relu", truth: []string{"dead-relu"}, alone: claimsOf("c:dead-relu")}}
	source := "package diagnosis\n\n// deadReLU is old.\nvar deadReLU = Cause{\n\tID:    \"dead-relu\",\n}\n\nvar other = Cause{\n\tID: \"other\",\n}\n"
	once := commented(source, map[string]bool{"deadReLU": true}, outcomes)
	if !strings.Contains(once, "// deadReLU is old.\n//\n"+measuredLine+"planted in 1 runs, likely or confirmed in 100 %") || strings.Count(once, measuredLine) != 1 {
		t.Errorf("%s", once)
	}
	if twice := commented(once, map[string]bool{"deadReLU": true}, outcomes); twice != once {
		t.Errorf("a second time:\n%s", twice)
	}
}

// TestMeasured holds what fresh subjects are said to show against runs made by hand.
func TestMeasured(t *testing.T) {
	subjects := make([]run.Subject, 10)
	for i := range subjects {
		subjects[i] = run.Subject{ID: string(rune('a' + i)), Class: i % 2}
	}
	// A run that is right about so many of ten subjects, with a confidence.
	made := func(right int, confidence, training float64) *run.Run {
		r := &run.Run{Header: run.Header{Classes: []string{"a", "b"}, Sets: map[string][]run.Subject{run.Train: subjects, run.Validation: subjects}}}
		rows := make([]run.Row, len(subjects))
		for i := range rows {
			class := subjects[i].Class
			if i >= right {
				class = 1 - class
			}
			rows[i] = run.Row{float32(confidence), float32(1 - confidence)}
			if class == 1 {
				rows[i] = run.Row{float32(1 - confidence), float32(confidence)}
			}
		}
		loss, accuracy := scored(rows, subjects)
		for t := range 12 {
			e := run.Epoch{Epoch: t + 1}
			for _, view := range []string{run.Logged, run.Deterministic, run.Recalibrated, run.Averaged} {
				e.Evaluations = append(e.Evaluations, run.Evaluation{View: view, Set: run.Validation, Loss: loss, Accuracy: accuracy, Probabilities: rows},
					run.Evaluation{View: view, Set: run.Train, Loss: loss, Accuracy: run.Float(training)})
			}
			r.Epochs = append(r.Epochs, e)
		}
		return r
	}
	for _, c := range []struct {
		name      string
		fresh     *run.Run
		want, not []string
	}{
		{"sound", made(9, 0.9, 0.92), nil, []string{"overfitting", "overconfidence", "coin-flip", "trained-too-short", "class-bias-oscillation", "small-validation-set"}},
		{"memorised", made(7, 0.95, 1), []string{"overfitting", "overconfidence"}, []string{"coin-flip", "too-little-learning"}},
		{"guessing", made(5, 0.55, 0.5), []string{"coin-flip", "too-little-learning"}, []string{"overfitting", "overconfidence"}},
		{"better than training", made(9, 0.9, 0.8), []string{"validation-better-than-training"}, []string{"overfitting"}},
	} {
		ids := measured(c.fresh, newCourse(c.fresh))
		for _, id := range c.want {
			if !slices.Contains(ids, id) {
				t.Errorf("%s: %s is not among %v", c.name, id, ids)
			}
		}
		for _, id := range c.not {
			if slices.Contains(ids, id) {
				t.Errorf("%s: %s is among %v", c.name, id, ids)
			}
		}
	}
	if ids := measured(made(9, 0.9, 0.92), nil); len(ids) != 0 {
		t.Errorf("without fresh subjects: %v", ids)
	}
}
