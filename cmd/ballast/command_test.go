package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ballast/cohort"
	"ballast/phantom"
	"ballast/run"
)

// ballast runs the program and returns its exit code and output.
func ballast(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = execute(context.Background(), args, &out, &err)
	return code, out.String(), err.String()
}

// mustBallast runs the program, which has to succeed, and returns its stdout.
func mustBallast(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := ballast(t, args...)
	if code != exitDone {
		t.Fatalf("ballast %s: exit %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// writePhantom writes a small cohort and returns its folder.
func writePhantom(t *testing.T, subjects int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cohort")
	if err := phantom.Write(context.Background(), dir, phantom.Default().Resized(3, 16), subjects, func(int) {}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// quick makes a training short.
var quick = []string{"--epochs", "2", "--net", "cnn2", "--set", "net.width=4", "--quiet"}

func TestTrainDiagnosePredict(t *testing.T) {
	dir := writePhantom(t, 24)
	out := filepath.Join(t.TempDir(), "run")
	text := mustBallast(t, append([]string{"train", dir, "--out", out}, quick...)...)
	if !strings.Contains(text, out) {
		t.Errorf("train does not say where the run is:\n%s", text)
	}
	page := filepath.Join(t.TempDir(), "report.html")
	var report struct {
		Format   int
		Subjects struct{ Train, Validation int }
		Findings []struct{ ID, Verdict string }
	}
	if err := json.Unmarshal([]byte(mustBallast(t, "diagnose", out, "--json", "--html", page)), &report); err != nil {
		t.Fatal(err)
	}
	if report.Format != 1 || report.Subjects.Train != 18 || report.Subjects.Validation != 6 || len(report.Findings) < 8 {
		t.Errorf("diagnose --json: %+v", report)
	}
	html, err := os.ReadFile(page)
	if err != nil || !bytes.Contains(html, []byte("</html>")) {
		t.Errorf("report: %d bytes, %v", len(html), err)
	}
	r, err := run.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	id := r.Header.Sets[run.Validation][0].ID
	image, mask := filepath.Join(dir, "images", id+"_T1w.nii.gz"), filepath.Join(dir, "masks", id+"_mask.nii.gz")
	var predicted struct {
		Classes  []string
		Subjects []struct{ Probabilities []float32 }
	}
	if err := json.Unmarshal([]byte(mustBallast(t, "predict", out, image, "--mask", mask, "--json")), &predicted); err != nil {
		t.Fatal(err)
	}
	want := r.Epochs[1].Evaluation(run.Deterministic, run.Validation).Probabilities[0]
	if got := predicted.Subjects[0].Probabilities; len(got) != 2 || got[0] != want[0] {
		t.Errorf("predict gives %v, the run recorded %v", got, want)
	}
}

func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("trains the demo's network: skipped in short mode")
	}
	out := filepath.Join(t.TempDir(), "new", "demo")
	text := mustBallast(t, "demo", "--epochs", "2", "--out", out, "--quiet")
	page := filepath.Join(out, "report.html")
	if !strings.Contains(text, page) {
		t.Errorf("demo does not say where the report is:\n%s", text)
	}
	if !bytes.Contains(readFile(t, page), []byte("</html>")) {
		t.Error("the report is not a page")
	}
	r, err := run.Open(filepath.Join(out, "run"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Epochs) != 2 || len(r.Header.Sets[run.Validation]) != demoSubjects/4 {
		t.Errorf("%d epochs, %d validation subjects", len(r.Epochs), len(r.Header.Sets[run.Validation]))
	}
	if code, _, stderr := ballast(t, "demo", "--out", out); code != exitFailed || !strings.Contains(stderr, "not empty") {
		t.Errorf("a second demo in the same folder: exit %d, %q", code, stderr)
	}
}

func TestDryRunPrintsAUsablePlanAndWritesNothing(t *testing.T) {
	dir := writePhantom(t, 24)
	t.Chdir(t.TempDir())
	text := mustBallast(t, "train", dir, "--dry-run", "--quiet", "--set", "optimizer.lr=3e-4")
	if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 {
		t.Errorf("--dry-run left %v, %v", entries, err)
	}
	if err := os.WriteFile("plan.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	again := mustBallast(t, "train", dir, "--dry-run", "--quiet", "--plan", "plan.yaml")
	if planOf(again) != planOf(text) || !strings.Contains(text, "lr: 0.0003") {
		t.Errorf("first:\n%s\nsecond:\n%s", text, again)
	}
}

// planOf is the text without the comments that hold estimates.
func planOf(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestVersionAndHelp(t *testing.T) {
	if text := mustBallast(t, "version"); !strings.Contains(text, version) {
		t.Errorf("version prints %q", text)
	}
	root := newRoot(io.Discard, io.Discard)
	for _, c := range root.Commands() {
		if c.Name() != "help" && c.Example == "" {
			t.Errorf("%s has no example", c.Name())
		}
		mustBallast(t, c.Name(), "--help")
	}
}

// Every bad input gives one clear line, the documented exit code, and no run.
func TestBadInput(t *testing.T) {
	table := func(rows ...string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "participants.tsv"), []byte(strings.Join(rows, "\n")+"\n"))
		}
	}
	rewrite := func(old, new string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			name := filepath.Join(dir, "participants.tsv")
			writeFile(t, name, bytes.ReplaceAll(readFile(t, name), []byte(old), []byte(new)))
		}
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		args   []string
		code   int
		want   string
	}{
		{"no cohort", func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}, nil, exitFailed, "no such file"},
		{"empty folder", func(t *testing.T, dir string) {
			for _, name := range []string{"participants.tsv", "phantom.json", "images", "masks"} {
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}, nil, exitFailed, "participants.tsv"},
		{"missing image", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "images", "sub-0003_T1w.nii.gz")); err != nil {
				t.Fatal(err)
			}
		}, nil, exitFailed, "sub-0003_T1w.nii.gz"},
		{"wrong label column", nil, []string{"--label", "labell"}, exitFailed, "label"},
		{"one class", rewrite("non-responder", "responder"), nil, exitFailed, "class"},
		{"three subjects", table("participant_id\tpath\tlabel",
			"a\timages/sub-0001_T1w.nii.gz\t0", "b\timages/sub-0002_T1w.nii.gz\t1", "c\timages/sub-0003_T1w.nii.gz\t1"), nil, exitFailed, "subjects"},
		{"subject in two sets", table("participant_id\tpath\tlabel\tset",
			"a\timages/sub-0001_T1w.nii.gz\t0\ttrain", "a\timages/sub-0002_T1w.nii.gz\t0\tvalidation",
			"b\timages/sub-0003_T1w.nii.gz\t1\ttrain", "c\timages/sub-0004_T1w.nii.gz\t1\tvalidation"), nil, exitFailed, "two sets"},
		{"truncated gzip", func(t *testing.T, dir string) {
			name := filepath.Join(dir, "images", "sub-0002_T1w.nii.gz")
			content := readFile(t, name)
			writeFile(t, name, content[:len(content)/2])
		}, nil, exitFailed, "sub-0002_T1w.nii.gz"},
		{"NaN voxels", func(t *testing.T, dir string) { writeNaNs(t, filepath.Join(dir, "images", "sub-0001_T1w.nii.gz")) }, nil, exitFailed, "sub-0001_T1w.nii.gz"},
		{"unknown plan key", nil, []string{"--set", "optimizer.lrr=1"}, exitUsage, `did you mean "optimizer.lr"`},
		{"bad value", nil, []string{"--epochs", "0"}, exitUsage, "epochs"},
		{"bad assignment", nil, []string{"--set", "optimizer.lr"}, exitUsage, "KEY=VALUE"},
		{"missing plan file", nil, []string{"--plan", "absent.yaml"}, exitUsage, "absent.yaml"},
		{"unknown flag", nil, []string{"--frobnicate"}, exitUsage, "--help"},
		{"unknown network", nil, []string{"--net", "vgg99"}, exitUsage, "cnn4"},
		{"network too deep for the grid", nil, []string{"--net", "cnn6", "--set", "prep.grid=[16,16,16]"}, exitUsage, "cnn6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writePhantom(t, 16)
			if c.damage != nil {
				c.damage(t, dir)
			}
			out := filepath.Join(t.TempDir(), "run")
			code, stdout, stderr := ballast(t, append([]string{"train", dir, "--out", out, "--quiet"}, c.args...)...)
			if code != c.code || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) {
				t.Errorf("exit %d (want %d), stdout %q, stderr %q (want one line with %q)", code, c.code, stdout, stderr, c.want)
			}
			if _, err := os.Stat(out); !os.IsNotExist(err) {
				t.Errorf("a run was left behind: %v", err)
			}
		})
	}
}

func TestBadCommandLines(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"trian"}, exitUsage, `did you mean "train"`},
		{[]string{"train"}, exitUsage, "needs one cohort"},
		{[]string{"diagnose"}, exitUsage, "needs one run"},
		{[]string{"diagnose", "absent"}, exitFailed, "not a run"},
		{[]string{"predict", "absent"}, exitUsage, "at least one image"},
		{[]string{"predict", "absent", "x.nii.gz"}, exitFailed, "not a run"},
		{[]string{"predict", "absent", "x.nii.gz", "--weights", "first"}, exitUsage, "last, best, averaged"},
		{[]string{"phantom", filepath.Join(os.DevNull, "x"), "--subjects", "0"}, exitUsage, "--subjects"},
		{[]string{"phantom", filepath.Join(os.DevNull, "x"), "--signal", "luck"}, exitUsage, "core, texture"},
	} {
		code, stdout, stderr := ballast(t, c.args...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("ballast %v: exit %d (want %d), stdout %q, stderr %q (want %q)", c.args, code, c.code, stdout, stderr, c.want)
		}
	}
}

func TestInterruptBeforeTrainingLeavesNothing(t *testing.T) {
	dir := writePhantom(t, 16)
	out := filepath.Join(t.TempDir(), "run")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var stdout, stderr bytes.Buffer
	if code := execute(ctx, []string{"train", dir, "--out", out}, &stdout, &stderr); code != exitInterrupted {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("a run was left behind: %v", err)
	}
}

// writeNaNs replaces most voxels of a volume by NaN.
func writeNaNs(t *testing.T, name string) {
	t.Helper()
	v, err := cohort.ReadVolume(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range v.Data {
		if i%4 > 0 {
			v.Data[i] = float32(math.NaN())
		}
	}
	if err := cohort.WriteNIfTI(name, v, "float32"); err != nil {
		t.Fatal(err)
	}
	if _, err := gzip.NewReader(bytes.NewReader(readFile(t, name))); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func writeFile(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
