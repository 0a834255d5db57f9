package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ballast/probe"
	"ballast/run"
)

// probedRun trains a run whose validation forgets to switch dropout off.
func probedRun(t *testing.T) (cohort, dir string) {
	t.Helper()
	cohort = writePhantom(t, 24)
	dir = filepath.Join(t.TempDir(), "run")
	mustBallast(t, append([]string{"train", cohort, "--out", dir, "--set", "net.dropout=0.5", "--set", "validation.dropout=true"}, quick...)...)
	return cohort, dir
}

// stored returns the experiments of a run by their ids.
func stored(t *testing.T, dir string) map[string]run.ProbeResult {
	t.Helper()
	r, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]run.ProbeResult{}
	if r.Probes != nil {
		for _, result := range r.Probes.Results {
			results[result.ID] = result
		}
	}
	return results
}

// TestDiagnoseProbe leaves out first all and then only the costly experiments, and
// makes only those in the end that were left out.
func TestDiagnoseProbe(t *testing.T) {
	_, dir := probedRun(t)
	code, stdout, stderr := ballast(t, "diagnose", dir, "--probe", "--time", "1ns")
	if code != exitDone || !strings.Contains(stdout, "fluctuates") {
		t.Fatalf("exit %d: %q", code, stdout)
	}
	for _, p := range probe.Probes {
		if !strings.Contains(stderr, "left out: "+p.ID+": it needs about ") {
			t.Errorf("nothing says what %s needs: %q", p.ID, stderr)
		}
	}
	code, stdout, stderr = ballast(t, "diagnose", dir, "--probe", "--json", "--time", "1s")
	if code != exitDone || !json.Valid([]byte(stdout)) || !strings.Contains(stderr, probe.Find("evaluate-twice").Title+"\n") {
		t.Fatalf("exit %d: %q, %q", code, stdout, stderr)
	}
	different, known := stored(t, dir)["evaluate-twice"].Values["different"]
	if !known || !(different > 0.5) {
		t.Errorf("dropout while validating changes %v of the subjects (%v)", different, known)
	}
	_, _, stderr = ballast(t, "diagnose", dir, "--probe", "--time", "1s")
	if strings.Contains(stderr, probe.Find("evaluate-twice").Title) {
		t.Errorf("an experiment is made again: %q", stderr)
	}
	_, _, stderr = ballast(t, "diagnose", dir, "--probe", "--time", "1ns", "--quiet")
	if stderr != "" {
		t.Errorf("--quiet: %q", stderr)
	}
}

// An interrupter ends a context when a text is written to it.
type interrupter struct {
	bytes.Buffer
	at     string
	cancel context.CancelFunc
}

func (w *interrupter) Write(text []byte) (int, error) {
	if strings.Contains(string(text), w.at) {
		w.cancel()
	}
	return w.Buffer.Write(text)
}

func TestDiagnoseProbeInterrupted(t *testing.T) {
	_, dir := probedRun(t)
	ctx, cancel := context.WithCancel(t.Context())
	stderr := &interrupter{at: probe.Find("recalibration").Title, cancel: cancel}
	var stdout bytes.Buffer
	if code := execute(ctx, []string{"diagnose", dir, "--probe"}, &stdout, stderr); code != exitInterrupted || stdout.Len() > 0 {
		t.Errorf("exit %d, %q", code, stdout.String())
	}
	results := stored(t, dir)
	if _, made := results["evaluate-twice"]; !made || !strings.Contains(stderr.String(), "are kept in probes.json") {
		t.Errorf("what was measured is lost: %v, %q", results, stderr.String())
	}
	if _, made := results["recalibration"]; made {
		t.Error("an interrupted experiment has a result")
	}
}

func TestDiagnoseProbeRefusals(t *testing.T) {
	cohort, dir := probedRun(t)
	copied := func(change func(dir string) error) string {
		other := filepath.Join(t.TempDir(), "run")
		if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := change(other); err != nil {
			t.Fatal(err)
		}
		return other
	}
	unknown := copied(func(string) error { return nil })
	log := filepath.Join(t.TempDir(), "log.csv")
	if err := os.WriteFile(log, []byte("epoch,val_acc\n1,0.5\n2,0.6\n3,0.5\n4,0.6\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"time without probe", []string{dir, "--time", "3m"}, exitUsage, "--time is for experiments; add --probe"},
		{"cohort without probe", []string{dir, "--cohort", cohort}, exitUsage, "--cohort is for experiments; add --probe"},
		{"no time", []string{dir, "--probe", "--time", "0s"}, exitUsage, "must be above 0"},
		{"no duration", []string{dir, "--probe", "--time", "5"}, exitUsage, "--time"},
		{"cohort not remembered", []string{unknown, "--probe"}, exitUsage, "name it: ballast diagnose " + unknown + " --probe --cohort COHORT"},
		{"cohort gone", []string{unknown, "--probe", "--cohort", cohort + "x"}, exitFailed, "no such file"},
		{"other subjects", []string{unknown, "--probe", "--cohort", writePhantom(t, 20)}, exitFailed, "not what the run was begun with"},
		{"other labels", []string{unknown, "--probe", "--cohort", relabelled(t, cohort)}, exitFailed, "not what the run was begun with"},
		{"no plan", []string{copied(func(dir string) error { return os.Remove(filepath.Join(dir, run.PlanFile)) }), "--probe"}, exitFailed, "has no plan.yaml"},
		{"no weights", []string{copied(func(dir string) error { return os.RemoveAll(filepath.Join(dir, "weights")) }), "--probe"}, exitFailed, "last.safetensors is missing"},
		{"a log", []string{log, "--probe"}, exitFailed, "needs a run trained by ballast"},
		{"nothing", []string{filepath.Join(t.TempDir(), "absent"), "--probe"}, exitFailed, "not a run"},
	} {
		code, stdout, stderr := ballast(t, append([]string{"diagnose"}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, want %d: %q, %q", c.name, code, c.code, stdout, stderr)
		}
		if _, err := os.Stat(filepath.Join(c.args[0], run.ProbesFile)); err == nil {
			t.Errorf("%s: %s was written", c.name, run.ProbesFile)
		}
	}
	if code, _, stderr := ballast(t, "diagnose", unknown, "--probe", "--cohort", cohort, "--time", "1ns", "--quiet"); code != exitDone {
		t.Errorf("with --cohort: exit %d: %s", code, stderr)
	}
}

// relabelled returns a copy of a cohort in which two subjects of different classes
// have changed their labels.
func relabelled(t *testing.T, cohort string) string {
	t.Helper()
	other := filepath.Join(t.TempDir(), "cohort")
	if err := os.CopyFS(other, os.DirFS(cohort)); err != nil {
		t.Fatal(err)
	}
	table := filepath.Join(other, "participants.tsv")
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	swapped := strings.NewReplacer("non-responder", "responder", "responder", "non-responder").Replace(string(text))
	if swapped == string(text) {
		t.Fatalf("no label was changed in %s", text)
	}
	if err := os.WriteFile(table, []byte(swapped), fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
	return other
}

// TestDiagnoseIsFast holds a diagnosis without experiments to a second.
func TestDiagnoseIsFast(t *testing.T) {
	_, dir := probedRun(t)
	start := time.Now()
	mustBallast(t, "diagnose", dir)
	if took := time.Since(start); took > time.Second {
		t.Errorf("a diagnosis from the record took %s", took)
	}
}

// TestDiagnoseProbeOfFold makes experiments on a run of ballast cv, whose subjects
// were not divided by its own plan.
func TestDiagnoseProbeOfFold(t *testing.T) {
	cohort, out := writePhantom(t, 24), filepath.Join(t.TempDir(), "cv")
	mustBallast(t, append([]string{"cv", cohort, "--out", out, "--folds", "3", "--repeats", "1"}, quick...)...)
	dir := filepath.Join(out, "fold-2-repeat-1")
	mustBallast(t, "diagnose", dir, "--probe", "--cohort", cohort, "--time", "1s", "--quiet")
	if _, made := stored(t, dir)["evaluate-twice"]; !made {
		t.Error("no experiment was made on a fold")
	}
}
