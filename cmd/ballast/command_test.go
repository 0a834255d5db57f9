package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ballast/cohort"
	"ballast/phantom"
	"ballast/run"
	"ballast/train"
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
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no such image", []string{image, image + "x", "--mask", mask, "--mask", mask}, exitFailed, "no such file"},
		{"the image as mask", []string{image, "--mask", image}, exitUsage, "image and as its mask"},
		{"a mask too many", []string{image, "--mask", mask, "--mask", mask}, exitUsage, "1 images, 2 masks"},
		{"an empty mask", []string{image, "--mask", ""}, exitFailed, `read ""`},
	} {
		if code, stdout, stderr := ballast(t, append([]string{"predict", out}, c.args...)...); code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("predict with %s: exit %d (want %d), %q", c.name, code, c.code, stderr)
		}
	}
	for _, args := range [][]string{{"version"}, {"diagnose", out}, {"diagnose", out, "--json"}, {"predict", out, image, "--mask", mask}, {"train", dir, "--dry-run", "--quiet"}} {
		if code := execute(context.Background(), args, fullDisk{}, io.Discard); code != exitFailed {
			t.Errorf("ballast %v on a full disk: exit %d", args, code)
		}
	}
	writeFile(t, filepath.Join(out, "plan.yaml"), []byte("nonsense: 1\n"))
	if code, _, stderr := ballast(t, "predict", out, image, "--mask", mask); code != exitFailed || !strings.Contains(stderr, "plan.yaml") {
		t.Errorf("predict with a run whose plan is damaged: exit %d, %q", code, stderr)
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
	if text := mustBallast(t, "--version"); text != "ballast "+version+"\n" {
		t.Errorf("--version prints %q", text)
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
		{"slices among volumes", func(t *testing.T, dir string) {
			picture := image.NewGray(image.Rect(0, 0, 16, 16))
			for i := range picture.Pix {
				picture.Pix[i] = byte(i)
			}
			var file bytes.Buffer
			if err := png.Encode(&file, picture); err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"sub-0002", "sub-0003", "sub-0004", "sub-0005"} {
				file.WriteString(id) // no two subjects may share an image
				writeFile(t, filepath.Join(dir, "images", id+".png"), file.Bytes())
				rewrite(id+"_T1w.nii.gz", id+".png")(t, dir)
			}
		}, []string{"--set", "prep.crop=none"}, exitFailed, ".png) and 3D volumes ("},
		{"shift out of view", nil, []string{"--set", "augment.shift=20"}, exitUsage, "augment.shift is 20"},
		{"2D grid for volumes", nil, []string{"--set", "prep.grid=[16,16]"}, exitUsage, "the images are 3D"},
		{"unknown flag", nil, []string{"--frobnicate"}, exitUsage, "--help"},
		{"unknown network", nil, []string{"--net", "vgg99"}, exitUsage, "cnn4"},
		{"empty name of the run", nil, []string{"--out", ""}, exitUsage, "--out is empty"},
		{"too many threads", nil, []string{"--threads", "100000"}, exitUsage, "--threads is 100000"},
		{"not a number", nil, []string{"--epochs", "1e3"}, exitUsage, "it takes a whole number"},
		{"endless plan file", nil, []string{"--plan", "/dev/zero"}, exitUsage, "read plan"},
		{"empty plan file", nil, []string{"--plan", os.DevNull}, exitUsage, "it is empty"},
		{"run below a file", nil, []string{"--out", filepath.Join("command_test.go", "run")}, exitFailed, "not a directory"},
		{"one mask missing", rewrite("masks/sub-0003_mask.nii.gz", "n/a"), []string{"--set", "prep.crop=mask"}, exitUsage, "1 of 16 images have no mask"},
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
		{[]string{"help", "trian"}, exitUsage, `no command "trian"`},
		{[]string{"version", "please"}, exitUsage, "takes no arguments"},
		{[]string{"demo", "--epochs", "0"}, exitUsage, "epochs is 0"},
		{[]string{"demo", "--threads", "-1"}, exitUsage, "--threads is -1"},
		{[]string{"demo", "--out", "."}, exitFailed, "not empty"},
		{[]string{"diagnose", "absent", "--html", ""}, exitUsage, "--html is empty"},
		{[]string{"phantom", "x", "--noise", "much"}, exitUsage, "it takes a number"},
		{[]string{"phantom", "x", "--sites", "99999999999999999999"}, exitUsage, "fits into 64 bits"},
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

// Two trainings that start at the same moment get a folder each.
func TestFreeFolderIsTakenOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	plan := train.DefaultPlan()
	plan.Prep = train.Prep{Crop: "none", Grid: []int{4, 4}, Spacing: []float64{1, 1}, Normalise: "none"}
	images := &train.Images{Classes: []string{"a", "b"}}
	var folders [4]string
	var failures [4]error
	var starts sync.WaitGroup
	for n := range folders {
		starts.Go(func() {
			job := trainJob{cohort: "study", plan: plan}
			var writer *run.Writer
			if writer, folders[n], failures[n] = job.create(images); failures[n] == nil {
				failures[n] = writer.Close()
			}
		})
	}
	starts.Wait()
	slices.Sort(folders[:])
	if err := errors.Join(failures[:]...); err != nil || len(slices.Compact(folders[:])) != 4 {
		t.Errorf("folders %v, %v", folders, err)
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

// A fullDisk takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// A report named like a pipe or a device goes into it; as root, a rename would
// put a file in the place of /dev/null.
func TestReportKeepsOtherFiles(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	name := fmt.Sprintf("/dev/fd/%d", write.Fd())
	if _, err := os.Stat(name); err != nil {
		t.Skip("pipes have no names here: ", err)
	}
	if err := errors.Join(writePage(name, []byte("page")), write.Close()); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(read); err != nil || string(text) != "page" {
		t.Errorf("the pipe got %q, %v", text, err)
	}
	dir := t.TempDir()
	for name, there := range map[string]string{"new": "", "old": "<!DOCTYPE html>\n<p>report", "empty": "", "epochs.jsonl": "{}"} {
		path := filepath.Join(dir, name)
		if name != "new" {
			writeFile(t, path, []byte(there))
		}
		err := writePage(path, []byte("<!doctype html>"))
		if replaced := string(readFile(t, path)) != there; replaced != (err == nil) || replaced == (name == "epochs.jsonl") {
			t.Errorf("%s: replaced %v, %v", name, replaced, err)
		}
	}
	if err := writePage(t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "it is a folder") {
		t.Errorf("a folder as page: %v", err)
	}
}

func TestUntilCancelledDoesNotWait(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	release := make(chan bool)
	defer close(release)
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := untilCancelled(ctx, func() (bool, error) { return <-release, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if n, err := untilCancelled(context.Background(), func() (int, error) { return 7, nil }); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestCheckFolder(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "full", "file"), nil)
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dead")); err != nil {
		t.Skip("links cannot be made here: ", err)
	}
	for name, want := range map[string]string{"full": "it holds file", "dead": "a link to nothing", "full/file": "not a directory", "full/file/new": "not a directory", "new": "", "new/deep/er": "", "closed/new": "cannot write into"} {
		if name == "closed/new" && os.Geteuid() == 0 {
			continue // nothing is closed to root
		}
		err := checkFolder(filepath.Join(dir, filepath.FromSlash(name)))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("the check left %v, %v", entries, err)
	}
}

func TestLeastMemory(t *testing.T) {
	plan := train.DefaultPlan()
	plan.Prep.Grid, plan.Batch, plan.Net.Width = []int{10, 20, 30}, 8, 16
	if got, want := leastMemory(plan, 100), 4.0*10*20*30*(100+8*16); got != want {
		t.Errorf("%g bytes, want %g", got, want)
	}
	for available, refused := range map[float64]bool{0: false, 1e6: true, 1e9: false} {
		if err := checkMemory(plan, 100, available); (err != nil) != refused || err != nil && !errors.Is(err, train.ErrPlan) {
			t.Errorf("with %g bytes: %v", available, err)
		}
	}
}

func TestQuoted(t *testing.T) {
	for path, want := range map[string]string{"runs/a-1": "runs/a-1", "my run": "'my run'", "it's": `'it'\''s'`, "Zürich": "Zürich", "": "''", "a;b": "'a;b'"} {
		if got := quoted(path); got != want {
			t.Errorf("%q is quoted as %s, want %s", path, got, want)
		}
	}
}

// Of many notes of one kind the first few are shown; masks left unused are one.
func TestNotesAreFew(t *testing.T) {
	dir := writePhantom(t, 16)
	name := filepath.Join(dir, "participants.tsv")
	text := strings.Replace(string(readFile(t, name)), "masks/sub-0002_mask.nii.gz", "n/a", 1)
	for n := range 30 {
		text += fmt.Sprintf("more-%d\tn/a\tn/a\tn/a\tn/a\t50\tF\n", n)
	}
	writeFile(t, name, []byte(text))
	code, _, stderr := ballast(t, "train", dir, "--dry-run")
	if code != exitDone || strings.Count(stderr, "left out: ") != mostLines+1 || !strings.Contains(stderr, "... and 20 more") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	if !strings.Contains(stderr, "1 of 16 images have no mask") {
		t.Errorf("nothing is said of the missing mask:\n%s", stderr)
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
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
