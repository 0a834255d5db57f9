package diagnosis

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

var update = flag.Bool("update", false, "write the golden files anew")

// typical is a run with a bit of everything, as in the question ballast was
// made for.
func typical() scenario {
	return scenario{
		training: 60, epochs: 24, prevalence: 0.5, signal: 0.4, scale: 2, rise: 5, walkBias: 0.3, shakeBias: 0.4,
		walk: 0.2, shake: 0.4, lag: 0.6, dropout: 0.5, fraction: 1, memory: 7, inflate: 1,
	}
}

func mustDiagnose(t *testing.T, r *run.Run) *Report {
	t.Helper()
	report, err := Diagnose(r)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func mustJSON(t *testing.T, report *Report) []byte {
	t.Helper()
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

func TestGolden(t *testing.T) {
	report := mustDiagnose(t, newCourse(typical(), 11).run(24, 0))
	var text bytes.Buffer
	if err := report.Text(&text, 100, false); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"typical.json": mustJSON(t, report), "typical.txt": text.Bytes()} {
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from what is computed now (-update writes it anew):\n%s", file, got)
		}
	}
}

func TestJSONReadsBack(t *testing.T) {
	want := mustJSON(t, mustDiagnose(t, curvesOnly(12, 20)))
	var report Report
	if err := json.Unmarshal(want, &report); err != nil {
		t.Fatal(err)
	}
	if got := mustJSON(t, &report); !bytes.Equal(got, want) {
		t.Errorf("the JSON changes when it is read and written:\n%s", got)
	}
	if !bytes.Contains(want, []byte(`"low": null`)) {
		t.Errorf("an unknown interval is not null:\n%s", want)
	}
}

// curvesOnly is a foreign log: two curves of a validation set of n subjects.
func curvesOnly(epochs, n int) *run.Run {
	s := stat.NewStream(5, "test")
	classes := make([]int, n)
	for i := range classes {
		classes[i] = i % 2
	}
	r := &run.Run{Header: run.Header{Classes: []string{"a", "b"}, Sets: map[string][]run.Subject{run.Validation: subjectsOf("val", classes)}}}
	for t := range epochs {
		right := 0
		for range n {
			right += s.IntN(2)
		}
		r.Epochs = append(r.Epochs, run.Epoch{Epoch: t + 1, Evaluations: []run.Evaluation{
			{View: run.Logged, Set: run.Validation, Loss: run.Float(0.7 + 0.1*s.Float64()), Accuracy: run.Float(float64(right) / float64(n))},
		}})
	}
	return r
}

func TestCurvesOnly(t *testing.T) {
	report := mustDiagnose(t, curvesOnly(30, 20))
	if len(report.Budget) != 0 {
		t.Errorf("curves alone cannot be divided, got %v", report.Budget)
	}
	for _, f := range report.Findings {
		if f.Verdict == Confirmed {
			t.Errorf("curves alone confirm %s: %v", f.ID, f.Evidence)
		}
	}
	if f := report.finding("small-validation-set"); f.Verdict != Possible {
		t.Errorf("independent draws of 20 subjects: small-validation-set is %s, want possible", f.Verdict)
	}
}

func TestBudgetSumsToOne(t *testing.T) {
	for seed := range uint64(6) {
		report := mustDiagnose(t, newCourse(anyScenario(stat.NewStream(seed, "test")), seed).run(30, 0))
		sum := 0.0
		for _, s := range report.Budget {
			sum += float64(s.Share)
			if !(s.Low <= s.Share && s.Share <= s.High) {
				t.Errorf("seed %d: %s %g lies outside its interval %g..%g", seed, s.Source, s.Share, s.Low, s.High)
			}
		}
		if !(math.Abs(sum-1) <= 1e-9) {
			t.Errorf("seed %d: shares sum to %g", seed, sum)
		}
	}
}

func TestMissingRungsAreMerged(t *testing.T) {
	for _, c := range []struct {
		kept []string
		want string
	}{
		{[]string{run.Logged}, "finite-validation-set[] real-change[evaluation-noise batch-norm-lag threshold-flicker weight-noise]"},
		{[]string{run.Logged, run.Deterministic}, "evaluation-noise[] threshold-flicker[batch-norm-lag] finite-validation-set[] real-change[weight-noise]"},
		{[]string{run.Logged, run.Recalibrated}, "batch-norm-lag[evaluation-noise] threshold-flicker[] finite-validation-set[] real-change[weight-noise]"},
		{[]string{run.Logged, run.Averaged}, "weight-noise[evaluation-noise batch-norm-lag threshold-flicker] finite-validation-set[] real-change[]"},
		{simulatedViews, "evaluation-noise[] batch-norm-lag[] threshold-flicker[] weight-noise[] finite-validation-set[] real-change[]"},
		{[]string{run.Deterministic}, ""},
	} {
		r := newCourse(typical(), 3).run(30, 0)
		for t := range r.Epochs {
			r.Epochs[t].Evaluations = slices.DeleteFunc(r.Epochs[t].Evaluations, func(v run.Evaluation) bool { return !slices.Contains(c.kept, v.View) })
		}
		var got []string
		for _, s := range newEvidence(r).budget {
			got = append(got, fmt.Sprint(s.Source, s.Includes))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("views %v: budget %v, want %s", c.kept, got, c.want)
		}
	}
}

// A run of which views were recorded every third epoch is divided over steps
// of three epochs.
func TestViewsRecordedNowAndThen(t *testing.T) {
	r := newCourse(typical(), 3).run(30, 0)
	for i := range r.Epochs {
		if (i+1)%3 != 0 {
			r.Epochs[i].Evaluations = slices.DeleteFunc(r.Epochs[i].Evaluations, func(v run.Evaluation) bool { return v.View != run.Logged })
		}
	}
	report := mustDiagnose(t, r)
	if report.Epochs.Stride != 3 || len(report.Budget) != 6 {
		t.Errorf("stride %d with %d shares, want 3 with 6", report.Epochs.Stride, len(report.Budget))
	}
}

func TestOrderOfSubjectsChangesNothing(t *testing.T) {
	r := newCourse(typical(), 4).run(25, 0)
	want := mustJSON(t, mustDiagnose(t, r))
	for _, set := range []string{run.Train, run.Validation} {
		order := stat.NewStream(1, "test").Perm(len(r.Header.Sets[set]))
		r.Header.Sets[set] = reordered(r.Header.Sets[set], order)
		for t := range r.Epochs {
			for v := range r.Epochs[t].Evaluations {
				if e := &r.Epochs[t].Evaluations[v]; e.Set == set && e.Probabilities != nil {
					e.Probabilities = reordered(e.Probabilities, order)
				}
			}
		}
	}
	if got := mustJSON(t, mustDiagnose(t, r)); !bytes.Equal(got, want) {
		t.Errorf("another order of the subjects gives another report:\n%s", got)
	}
}

func reordered[T any](values []T, order []int) []T {
	result := make([]T, len(values))
	for i, from := range order {
		result[i] = values[from]
	}
	return result
}

// Every cause's treatment is a difference between two valid plans, with a plan
// in the run and without.
func TestTreatmentsAreValidPlans(t *testing.T) {
	seen := map[string]bool{}
	for _, family := range families {
		for seed := range uint64(1) {
			s := stat.NewStream(seed, "test")
			scenario := cleanScenario(s)
			family.plant(s, &scenario)
			r := newCourse(scenario, seed).run(40, 0)
			for _, plan := range [][]byte{nil, []byte("net: {dropout: 0.5}\nvalidation: {dropout: true, fraction: 0.5}\n"), []byte("split: {validation: 0.6, test: 0.2}\nviews: {every: 0}\n"), []byte("split: {validation: 0.3, test: 0.5}\n"), []byte("split: {validation: 0.8}\n")} {
				r.Plan = plan
				report := mustDiagnose(t, r)
				for _, f := range report.Findings {
					if f.Treatment.Text != "" {
						seen[f.ID] = true
						checkTreatment(t, plan, &f)
					}
				}
			}
		}
	}
	for _, runs := range planted {
		for _, p := range runs {
			if p.want != Confirmed && p.want != Likely {
				continue
			}
			r := p.make()
			for _, f := range mustDiagnose(t, r).Findings {
				if f.Treatment.Text != "" {
					seen[f.ID] = true
					checkTreatment(t, r.Plan, &f)
				}
			}
		}
	}
	for _, cause := range Causes {
		if !seen[cause.ID] {
			t.Errorf("no run led to a treatment of %s", cause.ID)
		}
	}
}

func checkTreatment(t *testing.T, text []byte, f *Finding) {
	t.Helper()
	plan, err := train.ReadPlan(text)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range f.Treatment.Plan {
		if err := plan.Set(key, fmt.Sprint(value)); err != nil {
			t.Errorf("%s: %v", f.ID, err)
		}
	}
	if err := plan.Validate(); err != nil {
		t.Errorf("%s: %v", f.ID, err)
	}
	if f.Treatment.Text == "" {
		t.Errorf("%s has a treatment without words", f.ID)
	}
}

// Every finding of every run carries a number, and no text shows "NaN".
func TestNoFindingWithoutItsNumber(t *testing.T) {
	for name, r := range oddRuns() {
		report, err := Diagnose(r)
		if err != nil {
			continue
		}
		if len(report.Findings) != len(Causes) {
			t.Errorf("%s: %d findings, want %d", name, len(report.Findings), len(Causes))
		}
		for _, f := range report.Findings {
			if len(f.Evidence) == 0 || !f.Evidence[0].Value.Known() {
				t.Errorf("%s: %s is %s without a number: %v", name, f.ID, f.Verdict, f.Evidence)
			}
			for _, e := range f.Evidence {
				if noNumber.MatchString(e.Text) {
					t.Errorf("%s: %s says %q", name, f.ID, e.Text)
				}
			}
		}
		var text bytes.Buffer
		if err := report.Text(&text, 60, true); err != nil {
			t.Fatal(err)
		}
		for _, line := range append(report.Summary, strings.Split(text.String(), "\n")...) {
			if noNumber.MatchString(line) {
				t.Errorf("%s: the text says %q", name, line)
			}
		}
		mustJSON(t, report)
	}
}

// noNumber finds what Go prints for a number that is none.
var noNumber = regexp.MustCompile(`\bNaN\b|[+-]Inf\b`)

// oddRuns are records that other programs, killed runs and bad luck leave.
func oddRuns() map[string]*run.Run {
	nan := run.Float(math.NaN())
	base := func(n, epochs int) *run.Run {
		s := typical()
		s.epochs = epochs
		return newCourse(s, 9).run(n, 0)
	}
	change := func(r *run.Run, f func(t int, v *run.Evaluation)) *run.Run {
		for t := range r.Epochs {
			for i := range r.Epochs[t].Evaluations {
				f(t, &r.Epochs[t].Evaluations[i])
			}
		}
		return r
	}
	odd := map[string]*run.Run{
		"nothing":         {},
		"no evaluations":  {Epochs: []run.Epoch{{Epoch: 1}, {Epoch: 2}}},
		"one epoch":       base(20, 1),
		"two epochs":      base(20, 2),
		"curves only":     curvesOnly(20, 30),
		"one subject":     base(1, 12),
		"two subjects":    base(2, 12),
		"three subjects":  base(3, 12),
		"four subjects":   base(4, 12),
		"loss is NaN":     change(base(20, 12), func(_ int, v *run.Evaluation) { v.Loss = nan }),
		"all NaN":         change(base(20, 12), func(_ int, v *run.Evaluation) { v.Loss, v.Accuracy, v.Probabilities = nan, nan, nil }),
		"diverges":        change(base(20, 30), func(t int, v *run.Evaluation) { diverge(t >= 20, v) }),
		"late NaN":        change(base(20, 30), func(t int, v *run.Evaluation) { diverge(t == 29, v) }),
		"constant":        change(base(20, 12), func(_ int, v *run.Evaluation) { constant(v, run.Row{0.5, 0.5}) }),
		"certain":         change(base(20, 12), func(_ int, v *run.Evaluation) { constant(v, run.Row{1, 0}) }),
		"short rows":      change(base(20, 12), func(_ int, v *run.Evaluation) { constant(v, run.Row{1}) }),
		"nobody":          change(base(20, 12), func(_ int, v *run.Evaluation) { constant(v, nil) }),
		"too few rows":    change(base(20, 12), func(_ int, v *run.Evaluation) { v.Probabilities = v.Probabilities[:min(3, len(v.Probabilities))] }),
		"one subject out": change(base(20, 12), func(_ int, v *run.Evaluation) { leaveOut(v, 3) }),
		"three classes":   threeClasses(24, 16),
		"bad plan":        base(20, 12),
		"no subjects":     curvesOnly(20, 30),
		"one class":       base(20, 12),
		"class too high":  base(20, 12),
	}
	odd["bad plan"].Plan = []byte("lr: 1\n")
	odd["no subjects"].Header.Sets = nil
	for i := range odd["one class"].Header.Sets[run.Validation] {
		odd["one class"].Header.Sets[run.Validation][i].Class = 1
	}
	odd["class too high"].Header.Sets[run.Validation][0].Class = 7
	return odd
}

func diverge(from bool, v *run.Evaluation) {
	if from {
		v.Loss, v.Accuracy = run.Float(math.NaN()), run.Float(math.NaN())
		constant(v, run.Row{float32(math.NaN()), float32(math.NaN())})
	}
}

func constant(v *run.Evaluation, row run.Row) {
	for i := range v.Probabilities {
		v.Probabilities[i] = row
	}
}

func leaveOut(v *run.Evaluation, i int) {
	if v.Set == run.Validation {
		v.Probabilities[i] = nil
	}
}

// threeClasses is a run of three classes with per-subject predictions.
func threeClasses(n, epochs int) *run.Run {
	s := stat.NewStream(8, "test")
	r := &run.Run{Header: run.Header{Classes: []string{"a", "b", "c"}, Sets: map[string][]run.Subject{}}}
	for _, set := range []string{run.Train, run.Validation} {
		classes := make([]int, n)
		for i := range classes {
			classes[i] = i % 3
		}
		r.Header.Sets[set] = subjectsOf(set, classes)
	}
	for t := range epochs {
		epoch := run.Epoch{Epoch: t + 1, Step: 4 * (t + 1), LearningRate: 0.01}
		for _, view := range simulatedViews {
			for _, set := range []string{run.Train, run.Validation} {
				rows, classes := make([]run.Row, n), make([]int, n)
				for i := range rows {
					classes[i] = i % 3
					rows[i] = softmax(s, classes[i])
				}
				epoch.Evaluations = append(epoch.Evaluations, evaluationOf(view, set, rows, classes))
			}
		}
		r.Epochs = append(r.Epochs, epoch)
	}
	return r
}

// softmax draws probabilities that favour a class.
func softmax(s *stat.Stream, class int) run.Row {
	row, sum := make(run.Row, 3), float32(0)
	for c := range row {
		x := s.Normal()
		if c == class {
			x++
		}
		row[c] = float32(math.Exp(x))
		sum += row[c]
	}
	for c := range row {
		row[c] /= sum
	}
	return row
}

// Whatever is missing or wrong in a record, the diagnosis neither panics nor
// writes JSON that cannot be read.
func TestDamagedRuns(t *testing.T) {
	for seed := range uint64(150) {
		s := stat.NewStream(seed, "damage")
		scenario := typical()
		scenario.epochs, scenario.training = 1+s.IntN(9), 4+s.IntN(9)
		r := newCourse(scenario, seed).run(1+s.IntN(14), 0)
		damage(s, r)
		report, err := Diagnose(r)
		if err != nil {
			if !errors.Is(err, ErrTooShort) {
				t.Errorf("seed %d: %v", seed, err)
			}
			continue
		}
		if !json.Valid(mustJSON(t, report)) {
			t.Errorf("seed %d: JSON is not valid", seed)
		}
	}
}

// damage takes away and spoils parts of a record.
func damage(s *stat.Stream, r *run.Run) {
	strange := []run.Row{nil, {}, {1}, {float32(math.NaN()), 0}, {float32(math.Inf(1)), 0}, {-1, 2}, {0, 0}, {0.1, 0.2, 0.7}}
	values := []run.Float{run.Float(math.NaN()), run.Float(math.Inf(1)), 0, 1, -3}
	spoil := s.Float64() * 0.5
	for t := range r.Epochs {
		epoch := &r.Epochs[t]
		epoch.Epoch += s.IntN(2) * t
		epoch.Evaluations = slices.DeleteFunc(epoch.Evaluations, func(run.Evaluation) bool { return s.Float64() < spoil/2 })
		for i := range epoch.Evaluations {
			v := &epoch.Evaluations[i]
			switch {
			case s.Float64() < spoil/2:
				v.Accuracy, v.Loss = values[s.IntN(len(values))], values[s.IntN(len(values))]
			case s.Float64() < spoil/2:
				v.Probabilities = nil
			case len(v.Probabilities) > 0 && s.Float64() < spoil:
				v.Probabilities[s.IntN(len(v.Probabilities))] = strange[s.IntN(len(strange))]
			}
		}
	}
	for _, subjects := range r.Header.Sets {
		if s.Float64() < spoil/2 {
			subjects[s.IntN(len(subjects))].Class = s.IntN(4) - 1
		}
	}
	if s.Float64() < spoil/4 {
		delete(r.Header.Sets, run.Train)
	}
	if s.Float64() < spoil/4 {
		r.Header.Classes = append(r.Header.Classes, "third")
	}
}

func TestTooShort(t *testing.T) {
	odd := oddRuns()
	for _, name := range []string{"nothing", "no evaluations", "all NaN"} {
		if _, err := Diagnose(odd[name]); !errors.Is(err, ErrTooShort) {
			t.Errorf("%s: %v, want ErrTooShort", name, err)
		}
	}
	if _, err := Diagnose(odd["one epoch"]); err != nil {
		t.Errorf("one epoch: %v", err)
	}
}

// What is planted strongly is found, and what is clean is not accused: one run
// each; the study counts many.
func TestVerdictsOnPlantedRuns(t *testing.T) {
	clean := cleanScenario(stat.NewStream(1, "test"))
	for _, c := range []struct {
		name, cause string
		want        []string
		plant       func(*scenario)
	}{
		{"clean", "stochastic-evaluation", []string{RuledOut}, func(*scenario) {}},
		{"clean", "random-validation-subset", []string{RuledOut}, func(*scenario) {}},
		{"random subset", "stochastic-evaluation", []string{RuledOut}, func(s *scenario) { s.fraction = 0.4 }},
		{"clean", "coin-flip", []string{RuledOut}, func(*scenario) {}},
		{"clean", "overfitting", []string{RuledOut, CannotTell, Possible}, func(*scenario) {}},
		{"dropout", "stochastic-evaluation", []string{Confirmed}, func(s *scenario) { s.dropout = 3 }},
		{"random subset", "random-validation-subset", []string{Confirmed}, func(s *scenario) { s.fraction = 0.4 }},
		{"lag", "batch-norm-lag", []string{Confirmed}, func(s *scenario) { s.lag = 3 }},
		{"no signal", "coin-flip", []string{Possible, Likely, Confirmed}, func(s *scenario) { s.signal, s.memory = 0, 8 }},
		{"memorised", "overfitting", []string{Likely, Confirmed}, func(s *scenario) { s.signal, s.memory, s.inflate = 0.3, 10, 1 }},
		{"memorised", "overconfidence", []string{Likely, Confirmed}, func(s *scenario) { s.signal, s.memory, s.inflate = 0.3, 10, 1 }},
	} {
		s := clean
		c.plant(&s)
		f := mustDiagnose(t, newCourse(s, 77).run(60, 0)).finding(c.cause)
		if !slices.Contains(c.want, f.Verdict) {
			t.Errorf("%s: %s is %s, want one of %v: %v", c.name, c.cause, f.Verdict, c.want, f.Evidence)
		}
	}
}

func TestTextKeepsToItsWidth(t *testing.T) {
	report := mustDiagnose(t, newCourse(typical(), 11).run(24, 0))
	for _, width := range []int{72, 100, 200} {
		var text bytes.Buffer
		if err := report.Text(&text, width, width == 100); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(text.String(), "\n") {
			if visible(line) > width {
				t.Errorf("width %d: %d columns in %q", width, visible(line), line)
			}
		}
		if escapes := strings.Contains(text.String(), "\x1b"); escapes != (width == 100) {
			t.Errorf("width %d: ANSI styles present: %t", width, escapes)
		}
	}
}

func BenchmarkDiagnose(b *testing.B) {
	s := typical()
	s.training, s.epochs = 500, 200
	r := newCourse(s, 1).run(500, 0)
	for b.Loop() {
		if _, err := Diagnose(r); err != nil {
			b.Fatal(err)
		}
	}
}
