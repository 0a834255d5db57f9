package main

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ballast/evaluation"
	"ballast/run"
)

// trainedOnPhantom trains a small run with dropout on a phantom of two sites and
// returns the cohort and the run.
func trainedOnPhantom(t *testing.T, more ...string) (dir, out string) {
	t.Helper()
	dir, out = filepath.Join(t.TempDir(), "cohort"), filepath.Join(t.TempDir(), "run")
	mustBallast(t, "phantom", dir, "--quiet", "--size", "16", "--subjects", "64", "--sites", "2", "--effect", "4", "--signal", "texture")
	mustBallast(t, slices.Concat([]string{"train", dir, "--out", out, "--set", "net.dropout=0.3", "--set", "split.test=0.25"}, quick, more)...)
	return dir, out
}

func evaluateJSON(t *testing.T, args ...string) *evaluation.Report {
	t.Helper()
	var r evaluation.Report
	if err := json.Unmarshal([]byte(mustBallast(t, append([]string{"evaluate", "--json", "--quiet"}, args...)...)), &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

func noted(r *evaluation.Report, words string) bool {
	return slices.ContainsFunc(r.Notes, func(note string) bool { return strings.Contains(note, words) })
}

func TestEvaluate(t *testing.T) {
	dir, out := trainedOnPhantom(t)
	recorded, err := run.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	header := &recorded.Header

	// By default the subjects that were not trained on, with what the run itself
	// recorded of them.
	r := evaluateJSON(t, out, dir)
	if want := len(header.Sets[run.Validation]) + len(header.Sets[run.Test]); len(r.Subjects) != want || !noted(r, "trained on were left out") {
		t.Errorf("%d subjects, want %d; notes %q", len(r.Subjects), want, r.Notes)
	}
	validation := evaluateJSON(t, out, dir, "--set", "validation")
	last := recorded.Epochs[len(recorded.Epochs)-1].Evaluation(run.Deterministic, run.Validation)
	if got := evaluation.Find(validation.Metrics, evaluation.Accuracy); got.Value != last.Accuracy || !(math.Abs(float64(evaluation.Find(validation.Metrics, evaluation.LogLoss).Value-last.Loss)) < 1e-6) {
		t.Errorf("accuracy %g, recorded %g", got.Value, last.Accuracy)
	}
	for i, s := range validation.Subjects {
		if s.ID != header.Sets[run.Validation][i].ID || float32(s.Probabilities[1]) != last.Probabilities[i][1] {
			t.Errorf("%s has probability %g, recorded %g", s.ID, s.Probabilities[1], last.Probabilities[i][1])
		}
	}
	if len(validation.Baselines) != 3 || validation.Baselines[1].Trained != len(header.Sets[run.Train]) || validation.Baselines[2].Unknown != "" {
		t.Errorf("baselines %+v", validation.Baselines)
	}
	if len(r.Groups) != 2 || r.Groups[0].Column != "site" || r.Groups[0].Subjects()+r.Groups[1].Subjects() != len(r.Subjects) {
		t.Errorf("%d groups", len(r.Groups))
	}
	if training := evaluateJSON(t, out, dir, "--set", "train", "--no-baselines"); !noted(training, "how well the network remembers") || len(training.Baselines) != 0 {
		t.Errorf("training subjects without a warning: %q", training.Notes)
	}
	if all := evaluateJSON(t, out, dir, "--set", "all", "--no-baselines"); len(all.Subjects) != 64 || !noted(all, "of the 64 subjects were trained on") {
		t.Errorf("%d of all subjects, notes %q", len(all.Subjects), all.Notes)
	}
}

func TestEvaluateUncertainty(t *testing.T) {
	dir, out := trainedOnPhantom(t, "--set", "net.width=8", "--set", "optimizer.lr=0.01", "--epochs", "10")
	page, table := filepath.Join(t.TempDir(), "evaluation.html"), filepath.Join(t.TempDir(), "predictions.tsv")
	args := []string{out, dir, "--mc", "8", "--temperature", "--threshold", "validation", "--by", "site", "--no-baselines", "--html", page, "--out", table}
	r := evaluateJSON(t, args...)
	if r.How.MonteCarlo != 8 || r.How.Temperature == 1 || r.How.TemperatureFrom == "" || r.Uncertainty.MutualInformation == nil || !noted(r, "so what depends on these is too good") {
		t.Errorf("%+v, notes %q", r.How, r.Notes)
	}
	if again := evaluateJSON(t, append(args, "--threads", "1")...); again.Subjects[0].Entropy != r.Subjects[0].Entropy || again.How.Temperature != r.How.Temperature {
		t.Error("the same command gives another result on one thread")
	}
	html, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(html), "</html>") {
		t.Errorf("page of %d bytes, %v", len(html), err)
	}
	text, err := os.ReadFile(table)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if err != nil || len(lines) != 1+len(r.Subjects) || !strings.HasPrefix(lines[0], tableStart+"\tp_non-responder\tp_responder\tentropy\tmutual_information") ||
		strings.Contains(lines[1], "n/a") || strings.Count(lines[1], "\t") != 8 {
		t.Errorf("table %q ..., %v", lines[0], err)
	}

	// Test subjects alone, the temperature of one network from what was recorded.
	test := evaluateJSON(t, out, dir, "--set", "test", "--temperature", "--no-baselines")
	if noted(test, "too good") || test.How.TemperatureFrom != counted(16, "validation subject") {
		t.Errorf("%+v, notes %q", test.How, test.Notes)
	}

	// The mean of two members with the same weights is either; what any member
	// trained on is left out.
	other := filepath.Join(t.TempDir(), "other")
	mustBallast(t, append([]string{"train", dir, "--out", other, "--seed", "2"}, quick...)...)
	single := evaluateJSON(t, out, dir, "--set", "test", "--no-baselines")
	twice := evaluateJSON(t, out, dir, "--set", "test", "--no-baselines", "--ensemble", out)
	if twice.Subjects[3].Probabilities[1] != single.Subjects[3].Probabilities[1] || twice.Subjects[3].MutualInformation != 0 {
		t.Errorf("the mean of twice the same: %+v, single %+v", twice.Subjects[3], single.Subjects[3])
	}
	ensemble := evaluateJSON(t, out, dir, "--no-baselines", "--ensemble", other)
	trained := map[string]bool{}
	for _, folder := range []string{out, other} {
		recorded, err := run.Open(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range recorded.Header.Sets[run.Train] {
			trained[s.ID] = true
		}
	}
	if len(ensemble.Subjects) != 64-len(trained) || len(ensemble.How.Members) != 2 {
		t.Errorf("%d subjects of the ensemble, want %d", len(ensemble.Subjects), 64-len(trained))
	}
	if snapshots := evaluateJSON(t, out, dir, "--set", "validation", "--no-baselines", "--snapshots"); len(snapshots.How.Members) != 3 || !noted(snapshots, "epoch of the best weights") {
		t.Errorf("%+v, notes %q", snapshots.How, snapshots.Notes)
	}
}

// A cohort of other patients, some of whom share a name with the run's.
func TestEvaluateElsewhere(t *testing.T) {
	_, out := trainedOnPhantom(t)
	dir := filepath.Join(t.TempDir(), "elsewhere")
	mustBallast(t, "phantom", dir, "--quiet", "--size", "16", "--subjects", "10", "--seed", "7")
	table := filepath.Join(dir, "participants.tsv")
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, table, []byte(strings.ReplaceAll(string(text), "sub-", "pat-")))
	files, err := filepath.Glob(filepath.Join(dir, "*", "sub-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if err := os.Rename(file, strings.Replace(file, "sub-", "pat-", 1)); err != nil {
			t.Fatal(err)
		}
	}
	r := evaluateJSON(t, out, dir, "--site", "")
	if len(r.Subjects) != 10 || len(r.Baselines) != 1 || !noted(r, "holds 0 of the run's") {
		t.Errorf("%d subjects, %d baselines, notes %q", len(r.Subjects), len(r.Baselines), r.Notes)
	}
	if r = evaluateJSON(t, out, dir, "--site", "", "--temperature"); r.How.Temperature != 1 || !noted(r, "confidence stays as it is: no temperature") {
		t.Errorf("a temperature of %g of a network that has learned nothing, notes %q", r.How.Temperature, r.Notes)
	}
	if code, _, stderr := ballast(t, "evaluate", out, dir, "--quiet", "--site", "", "--mc", "3", "--temperature"); code != exitFailed || !strings.Contains(stderr, "need the validation subjects") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestEvaluateRefusals(t *testing.T) {
	dir, out := trainedOnPhantom(t)
	plain := filepath.Join(t.TempDir(), "plain")
	mustBallast(t, append([]string{"train", dir, "--out", plain}, quick...)...)
	notOurs := filepath.Join(t.TempDir(), "notes.txt")
	writeFile(t, notOurs, []byte("mine"))
	classes := filepath.Join(t.TempDir(), "classes")
	mustBallast(t, "phantom", classes, "--quiet", "--size", "16", "--subjects", "8")
	table := filepath.Join(classes, "participants.tsv")
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, table, []byte(strings.ReplaceAll(string(text), "\tnon-responder", "\tstable")))
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{out}, exitUsage, "needs a run folder and a cohort"},
		{[]string{out, dir, "--weights", "newest"}, exitUsage, "last, best, averaged"},
		{[]string{out, dir, "--set", "everyone"}, exitUsage, "train, validation, test or all"},
		{[]string{out, dir, "--mc", "1"}, exitUsage, "between 2 and 10000"},
		{[]string{out, dir, "--threshold", "1.5"}, exitUsage, "between 0 and 1"},
		{[]string{out, dir, "--threshold", "NaN"}, exitUsage, "between 0 and 1"},
		{[]string{out, dir, "--positive", "cured"}, exitUsage, "the classes are non-responder, responder"},
		{[]string{out, dir, "--snapshots", "--weights", "best"}, exitUsage, "leave --weights out"},
		{[]string{out, dir, "--by", "shoe_size"}, exitUsage, "columns with one value for each subject: "},
		{[]string{out, dir, "--covariates", "shoe_size"}, exitDone, ""},
		{[]string{out, dir, "--html", t.TempDir()}, exitFailed, "it is a folder"},
		{[]string{out, dir, "--html", notOurs}, exitFailed, "no HTML page"},
		{[]string{out, dir, "--out", notOurs}, exitFailed, "no table of predictions"},
		{[]string{out, dir, "--out", filepath.Join(t.TempDir(), "no", "such", "folder")}, exitFailed, "no such file"},
		{[]string{plain, dir, "--mc", "5"}, exitFailed, "no dropout"},
		{[]string{plain, dir, "--set", "test"}, exitFailed, "the run has no test set"},
		{[]string{filepath.Join(dir, "absent"), dir}, exitFailed, "no such folder"},
		{[]string{dir, dir}, exitFailed, "run.json is missing"},
		{[]string{out, t.TempDir()}, exitFailed, "no cohort here"},
		{[]string{out, classes, "--site", ""}, exitFailed, `class "stable" is none of the run's`},
		{[]string{out, dir, "--ensemble", filepath.Join(dir, "absent")}, exitFailed, "no such folder"},
	} {
		code, stdout, stderr := ballast(t, append([]string{"evaluate", "--quiet", "--no-baselines"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) || code != exitDone && (stdout != "" || strings.Count(stderr, "\n") != 1) {
			t.Errorf("evaluate %v: exit %d, want %d with %q\n%s%s", c.args, code, c.code, c.says, stdout, stderr)
		}
	}
	if text, err := os.ReadFile(notOurs); err != nil || string(text) != "mine" {
		t.Errorf("a file that is not ours was changed: %q, %v", text, err)
	}
	// A run that was trained on everybody leaves nobody; a covariate that is not
	// there leaves its baseline out.
	if r := evaluateJSON(t, out, dir, "--covariates", "shoe_size", "--set", "test"); len(r.Baselines) != 4 || !strings.Contains(r.Baselines[2].Unknown, "shoe_size") {
		t.Errorf("%+v", r.Baselines)
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	if code := execute(stopped, []string{"evaluate", out, dir, "--quiet"}, fullDisk{}, fullDisk{}); code != exitInterrupted {
		t.Errorf("exit %d after Ctrl-C", code)
	}
	if _, err := os.Stat(filepath.Join(dir, "evaluation.html")); !errors.Is(err, os.ErrNotExist) {
		t.Error("something was written into the cohort")
	}
}
