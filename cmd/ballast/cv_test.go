package main

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ballast/evaluation"
	"ballast/run"
	"ballast/trial"
)

func TestCV(t *testing.T) {
	dir := writePhantom(t, 24)
	out := filepath.Join(t.TempDir(), "cv")
	args := append([]string{"cv", dir, "--folds", "2", "--repeats", "1", "--out", out}, quick...)
	text := mustBallast(t, args...)
	for _, want := range []string{"24 subjects, 2 folds, 1 repeat:", "\naccuracy ", "\nthumbnails ", "corrected t over folds", filepath.Join(out, trial.PredictionsFile)} {
		if !strings.Contains(text, want) {
			t.Errorf("the result does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "between repeats") {
		t.Errorf("one repeat has a spread between repeats:\n%s", text)
	}
	// The same command finds everything done and says the same.
	if again := mustBallast(t, args...); again != text {
		t.Errorf("again:\n%s\ninstead of\n%s", again, text)
	}
	var result struct {
		Dir     string
		Status  string
		Results []trial.Result
	}
	if err := json.Unmarshal([]byte(mustBallast(t, append(args, "--repeats", "2", "--json")...)), &result); err != nil {
		t.Fatal(err)
	}
	if result.Dir != out || result.Status != trial.Complete || len(result.Results) == 0 || len(result.Results[0].Repeats) != 2 {
		t.Errorf("with another repeat: %+v", result)
	}
	// A fold is a run like any other.
	if text := mustBallast(t, "diagnose", filepath.Join(out, "fold-2-repeat-1")); text == "" {
		t.Error("a fold cannot be diagnosed")
	}
}

func TestCVVerdict(t *testing.T) {
	baseline := func(name string, low, high float64) trial.Baseline {
		return trial.Baseline{Name: name, Results: []trial.Against{
			{ID: evaluation.AUROC, DifferenceLow: 1, DifferenceHigh: 1},
			{ID: evaluation.Accuracy, DifferenceLow: run.Float(low), DifferenceHigh: run.Float(high)},
		}}
	}
	got := verdict([]trial.Baseline{
		baseline("a", 0.1, 0.2), baseline("b", -0.1, 0.2), baseline("c", math.NaN(), math.NaN()), baseline("d", -0.2, -0.1), {Name: "e", Unknown: "no"},
	})
	if want := "By accuracy the network is better than a; not shown to be better than b, c; worse than d."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestCVRefusals(t *testing.T) {
	dir := writePhantom(t, 24)
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{}, exitUsage, "needs one cohort"},
		{[]string{dir, "--folds", "1"}, exitUsage, "--folds is 1"},
		{[]string{dir, "--repeats", "0"}, exitUsage, "--repeats 0"},
		{[]string{dir, "--folds", "20"}, exitFailed, "too few subjects"},
		{[]string{dir, "--set", "split.test=0.2"}, exitUsage, "each fold is the test set"},
		{[]string{dir, "--set", "net.nme=cnn1"}, exitUsage, `did you mean "net.name"`},
		{[]string{dir + "x"}, exitFailed, "no such file"},
		{[]string{dir, "--out", full}, exitFailed, "it holds x"},
		{[]string{dir, "--out", ""}, exitUsage, "--out is empty"},
	} {
		out := filepath.Join(t.TempDir(), "cv")
		args := append([]string{"cv", "--quiet", "--out", out}, c.args...)
		if code, stdout, stderr := ballast(t, args...); code != c.code || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("cv %v: exit %d (want %d), %q", c.args, code, c.code, stderr)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("cv %v made %s", c.args, out)
		}
	}
}

// An interruption ends with its exit code, keeps what is finished and says how to
// go on.
func TestCVInterrupted(t *testing.T) {
	dir := writePhantom(t, 24)
	out := filepath.Join(t.TempDir(), "cv")
	ctx, cancel := context.WithCancel(context.Background())
	var stdout strings.Builder
	stderr := writerFunc(func(text []byte) (int, error) {
		if strings.Contains(string(text), "fold 1/2: ") {
			cancel()
		}
		return len(text), nil
	})
	args := []string{"cv", dir, "--folds", "2", "--repeats", "1", "--out", out, "--epochs", "2", "--net", "cnn1", "--set", "net.width=2"}
	if code := execute(ctx, args, &stdout, stderr); code != exitInterrupted || stdout.Len() > 0 {
		t.Errorf("exit %d, %q", code, stdout.String())
	}
	record, err := trial.Open(out)
	if err != nil || len(record.Runs) != 1 || record.Status != trial.Running {
		t.Fatalf("left %+v, %v", record, err)
	}
	if text := mustBallast(t, append(args, "--quiet")...); !strings.Contains(text, "24 subjects, 2 folds") {
		t.Errorf("gone on:\n%s", text)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(text []byte) (int, error) { return f(text) }
