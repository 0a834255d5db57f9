package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ballast/bench/engine"
	"ballast/cohort"
	"ballast/diagnosis"
	"ballast/prep"
	"ballast/run"
	"ballast/train"
)

var updateRecording = flag.Bool("update-recording", false, "write the diagnoses of the programs into the guide on recording")

const recordingGuide = "../../docs/guides/recording-from-pytorch-keras-lightning.md"

// guidePrograms writes the Python blocks of the guide on recording into a folder,
// each under the name after ```python.
func guidePrograms(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(recordingGuide)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	blocks := regexp.MustCompile("(?s)```python ([a-z_]+\\.py)\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) != 5 {
		t.Fatalf("the guide has %d programs; want 5", len(blocks))
	}
	for _, block := range blocks {
		writeText(t, filepath.Join(folder, string(block[1])), string(block[2]))
	}
	return folder
}

func writeText(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// runPython runs a program in a folder with modules from the given folders, and
// returns what it printed. An error is what it ended with.
func runPython(t *testing.T, interpreter, folder string, modules []string, args ...string) (string, error) {
	t.Helper()
	for i, m := range modules {
		path, err := filepath.Abs(m)
		if err != nil {
			t.Fatal(err)
		}
		modules[i] = path
	}
	command := exec.Command(interpreter, args...)
	command.Dir = folder
	command.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "KERAS_BACKEND=torch", "OMP_NUM_THREADS=1",
		"PYTHONPATH="+strings.Join(modules, string(os.PathListSeparator)))
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%w\n%s", err, stderr.String())
	}
	return stdout.String(), nil
}

const guides = "../../docs/guides"

var printedValidation = regexp.MustCompile(`(?m)^validation loss (\S+) accuracy (\S+)$`)

// A library's program is run as the guide has it. Its run opens and is diagnosed;
// what is recorded of validation is what the library printed; and without the
// recorder it prints the same, digit for digit: recording changes no training.
func TestRecordingFromLibraries(t *testing.T) {
	runs := map[string]*run.Run{}
	for _, c := range []struct {
		name, program string
		modules       []string
		epochs        int
		views         bool
	}{
		{"minimal", "minimal.py", []string{"torch", "numpy"}, 20, false},
		{"torch", "with_torch.py", []string{"torch", "numpy"}, 30, true},
		{"keras", "with_keras.py", []string{"keras", "torch", "numpy"}, 30, true},
		{"lightning", "with_lightning.py", []string{"lightning", "torch", "numpy"}, 30, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("trains with another library")
			}
			interpreter, folder := python(t, c.modules...), guidePrograms(t)
			printed, err := runPython(t, interpreter, folder, []string{guides}, c.program)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(folder, "runs", c.name)
			r, err := run.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Epochs) != c.epochs || r.Header.Status != run.Complete || len(r.Notes) != 0 {
				t.Errorf("%d epochs, %s, notes %q", len(r.Epochs), r.Header.Status, r.Notes)
			}
			comparePrinted(t, r, printed)
			runs[c.name] = r
			checkBudget(t, r, c.views)
			if *updateRecording {
				publishDiagnosis(t, dir, c.name)
			}
			without, err := runPython(t, interpreter, folder, []string{"testdata/recorder", guides}, c.program)
			if err != nil {
				t.Fatal(err)
			}
			if without != printed {
				t.Errorf("with the recorder the program printed\n%s\nand without it\n%s", printed, without)
			}
		})
	}
	if runs["torch"] != nil && runs["lightning"] != nil {
		compareRuns(t, runs["torch"], runs["lightning"])
	}
}

// compareRuns holds the predictions of two runs against each other in every view:
// Lightning trains the guide's network as PyTorch does.
func compareRuns(t *testing.T, a, b *run.Run) {
	t.Helper()
	for i := range a.Epochs {
		for _, e := range a.Epochs[i].Evaluations {
			other := b.Epochs[i].Evaluation(e.View, e.Set)
			if other == nil || len(other.Probabilities) != len(e.Probabilities) {
				t.Fatalf("epoch %d: view %s, set %s: not in both runs", i+1, e.View, e.Set)
			}
			for k, row := range e.Probabilities {
				if !(math.Abs(float64(row[0]-other.Probabilities[k][0])) <= 1e-4) {
					t.Errorf("epoch %d: view %s, set %s, subject %d: %v and %v", i+1, e.View, e.Set, k, row, other.Probabilities[k])
				}
			}
		}
	}
}

// comparePrinted holds the logged validation curves against the library's own
// numbers, which it computes in 32 bits.
func comparePrinted(t *testing.T, r *run.Run, printed string) {
	t.Helper()
	lines := printedValidation.FindAllStringSubmatch(printed, -1)
	if len(lines) != len(r.Epochs) {
		t.Fatalf("%d epochs printed, %d recorded", len(lines), len(r.Epochs))
	}
	for i, line := range lines {
		logged := r.Epochs[i].Evaluation(run.Logged, run.Validation)
		var loss, accuracy float64
		if _, err := fmt.Sscan(line[1], &loss); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(line[2], &accuracy); err != nil {
			t.Fatal(err)
		}
		if !(math.Abs(float64(logged.Loss)-loss) <= 1e-6*max(1, loss)) || !(math.Abs(float64(logged.Accuracy)-accuracy) <= 1e-6) {
			t.Errorf("epoch %d: recorded loss %v and accuracy %v; the library printed %v and %v", i+1, logged.Loss, logged.Accuracy, loss, accuracy)
		}
	}
}

// checkBudget diagnoses a run and looks for its budget: every source by itself
// where all views were recorded.
func checkBudget(t *testing.T, r *run.Run, views bool) {
	t.Helper()
	report, err := diagnosis.Diagnose(r)
	if err != nil {
		t.Fatal(err)
	}
	var sources []string
	sum := 0.0
	for _, share := range report.Budget {
		sources = append(sources, share.Source)
		sum += float64(share.Share)
	}
	want := []string{diagnosis.FiniteValidationSet, diagnosis.RealChange}
	if views {
		want = []string{diagnosis.EvaluationNoise, diagnosis.BatchNormLag, diagnosis.ThresholdFlicker, diagnosis.WeightNoise, diagnosis.FiniteValidationSet, diagnosis.RealChange}
	}
	if !slices.Equal(sources, want) || !(math.Abs(sum-1) <= 1e-9) {
		t.Errorf("budget of %v, sum %v; want %v", sources, sum, want)
	}
	if logged := report.Jitter["accuracy"]; !logged.Low.Known() || !report.Finite.Points.Known() {
		t.Errorf("jitter %+v and finite share %+v have no interval", logged, report.Finite)
	}
}

// publishDiagnosis puts what diagnose prints into the guide, without the causes
// that are no more than possible.
func publishDiagnosis(t *testing.T, dir, name string) {
	t.Helper()
	text := mustBallast(t, "diagnose", dir)
	for _, heading := range []string{"Possible", "Cannot tell", "Ruled out", "Notes"} {
		text, _, _ = strings.Cut(text, "\n"+heading+"\n")
	}
	if err := engine.Publish(recordingGuide, name, "```text\n"+text+"\n[...]\n```\n"); err != nil {
		t.Fatal(err)
	}
}

// record runs a Python program that has imported Recorder and knows the folder of
// a run as `folder`.
func record(t *testing.T, program string) (dir string, err error) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "run")
	code := "import math\nfrom ballast_recorder import Recorder\nfolder = " + fmt.Sprintf("%q", dir) + "\n" + program
	_, err = runPython(t, python(t), ".", []string{guides}, "-c", code)
	return dir, err
}

const twoSlices = `
sets = {"train": [("a", "x"), ("b", "y")], "validation": [("c", 0, "Zürich"), ("d", 1), ("c", 0, "Zürich"), ("e", 1)]}
`

// By hand: subject c is the mean of its two slices, (0.8 + 0.4)/2 = 0.6 for class x.
func TestRecorderAveragesImages(t *testing.T) {
	dir, err := record(t, twoSlices+`
with Recorder(folder, ["x", "y"], sets, epochs=2, plan={"optimizer": {"lr": 0.003}, "batch": 4}) as recorder:
    recorder.epoch({"logged": {"validation": [[0.8, 0.2], [0.5, 0.5], [0.4, 0.6], None]}, "deterministic": {"train": [0.25, 0.75]}},
                   step=3, learning_rate=1e-3, loss=0.5, accuracy=0.75, gradient_norm=2, objective=0.9)
    recorder.epoch({"logged": {"validation": [0.2, 0.5, 0.6, 0.75]}}, step=6, learning_rate=1e-7)
    recorder.twice([0.2, 0.5, 0.6, 0.75], [0.2, 0.4, 0.6, None])
`)
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []run.Subject{{ID: "c", Class: 0, Site: "Zürich", Images: 2}, {ID: "d", Class: 1, Images: 1}, {ID: "e", Class: 1, Images: 1}}
	if !slices.Equal(r.Header.Sets[run.Validation], want) || r.Header.Status != run.Complete {
		t.Errorf("header %+v", r.Header)
	}
	if plan, err := train.ReadPlan(r.Plan); err != nil || plan.Optimizer.LR != 0.003 || plan.Batch != 4 {
		t.Errorf("plan %+v, %v", plan, err)
	}
	first, second := r.Epochs[0], r.Epochs[1]
	logged := first.Evaluation(run.Logged, run.Validation)
	if !(math.Abs(float64(logged.Loss)+(math.Log(0.6)+math.Log(0.5))/2) <= 1e-12) || logged.Accuracy != 0.5 { // equal probabilities count as x
		t.Errorf("loss %v, accuracy %v", logged.Loss, logged.Accuracy)
	}
	if p := logged.Probabilities; p[0][0] != 0.6 || p[2] != nil {
		t.Errorf("probabilities %v", p)
	}
	if first.GradientNorm != 2 || *first.Objective != 0.9 || first.Evaluation(run.Logged, run.Train).Accuracy != 0.75 ||
		second.LearningRate != 1e-7 || second.Evaluation(run.Logged, run.Train) != nil || !math.IsNaN(float64(second.GradientNorm)) {
		t.Errorf("epochs %+v", r.Epochs)
	}
	if p := second.Evaluation(run.Logged, run.Validation).Probabilities; p[0][0] != 0.6 || p[2][1] != 0.75 {
		t.Errorf("of a sigmoid: probabilities %v", p)
	}
	// d differs; e is there once only and does not count; the class of d is y, which
	// neither 0.5 nor 0.4 names.
	twice := r.Probes.Result("evaluate-twice")
	for name, want := range map[string]float64{"different": 1.0 / 2, "flips": 0, "covered": 1, "accuracy_difference": math.Abs(2.0/3 - 1.0/2)} {
		if got, known := twice.Value(name); !known || !(math.Abs(got-want) <= 1e-12) {
			t.Errorf("evaluate-twice: %s is %v, want %v", name, got, want)
		}
	}
}

// What is not a recording is refused in one line that says why.
func TestRecorderRefuses(t *testing.T) {
	begin := twoSlices + "recorder = Recorder(folder, ['x', 'y'], sets)\nrecorder.epoch({'logged': {'validation': %s}}, step=1, learning_rate=0.1)\n"
	for name, c := range map[string]struct{ program, want string }{
		"rows":      {fmt.Sprintf(begin, "[0.1, 0.2, 0.3]"), "ValueError: set validation: 3 rows of probabilities for 4 images; a loader with drop_last"},
		"logits":    {fmt.Sprintf(begin, "[[2.5, -1], [0, 1], [0, 1], [0, 1]]"), "ValueError: set validation, image 0: [2.5, -1] are no probabilities; give softmax outputs, not logits"},
		"classes":   {fmt.Sprintf(begin, "[[0.2, 0.3, 0.5]] * 4"), "ValueError: set validation, image 0: 3 outputs for 2 classes"},
		"nobody":    {fmt.Sprintf(begin, "[None] * 4"), "ValueError: view logged, set validation: no image has probabilities"},
		"set":       {twoSlices + "Recorder(folder, ['x', 'y'], sets).evaluate('logged', 'test', [])", "ValueError: the run has no set 'test'; its sets are ['train', 'validation']"},
		"label":     {"Recorder(folder, ['x', 'y'], {'train': [('a', 'z')]})", "ValueError: set train, subject a: class 'z' is not one of ['x', 'y']"},
		"index":     {"Recorder(folder, ['x', 'y'], {'train': [('a', 2)]})", "ValueError: set train, subject a: class 2; there are classes 0 to 1"},
		"two minds": {"Recorder(folder, ['x', 'y'], {'train': [('a', 0), ('a', 1)]})", "ValueError: set train, image 1: subject a has the class 'y' here and 'x' before"},
		"taken":     {"Recorder(folder, ['x', 'y'], {})\nRecorder(folder, ['x', 'y'], {})", "holds something already; name a new folder for every run"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := record(t, c.program)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}

// A network that diverges gives NaN: it is recorded, and the diagnosis says so.
func TestRecorderKeepsNaN(t *testing.T) {
	dir, err := record(t, twoSlices+`
recorder = Recorder(folder, ["x", "y"], sets)
for epoch in range(6):
    p = 0.3 if epoch < 4 else math.nan
    recorder.epoch({"logged": {"validation": [p, 0.6, p, 0.7]}}, step=epoch, learning_rate=1, loss=math.inf if epoch > 3 else 0.5)
recorder.finish()
`)
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if e := r.Epochs[4].Evaluation(run.Logged, run.Validation); !math.IsNaN(float64(e.Loss)) || !(math.Abs(float64(e.Accuracy)-2.0/3) <= 1e-12) || !math.IsNaN(float64(e.Probabilities[0][0])) {
		t.Errorf("epoch 5: %+v", e)
	}
	if !math.IsInf(float64(r.Epochs[5].Evaluation(run.Logged, run.Train).Loss), 1) {
		t.Error("the training loss is not infinite")
	}
	report, err := diagnosis.Diagnose(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Summary) == 0 || !strings.Contains(report.Summary[0], "from epoch 5 on") {
		t.Errorf("summary %q", report.Summary)
	}
}

// A recorder killed at any moment leaves a run that opens.
func TestRecorderKilled(t *testing.T) {
	interpreter, dir := python(t), filepath.Join(t.TempDir(), "run")
	command := exec.Command(interpreter, "-c", `
import sys
from ballast_recorder import Recorder
recorder = Recorder(sys.argv[1], ["x", "y"], {"validation": [(f"s{i}", i % 2) for i in range(400)]})
step = 0
while True:
    step += 1
    recorder.epoch({"logged": {"validation": [(i * step % 97) / 97 for i in range(400)]}}, step=step, learning_rate=0.1)
    print(step, flush=True)
`, dir)
	path, err := filepath.Abs(guides)
	if err != nil {
		t.Fatal(err)
	}
	command.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH="+path)
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "7" {
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	command.Wait() // its error is that it was killed
	r, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Epochs) < 7 || r.Header.Status != run.Running || len(r.Notes) == 0 {
		t.Errorf("%d epochs, %s, notes %q", len(r.Epochs), r.Header.Status, r.Notes)
	}
	if _, err := diagnosis.Diagnose(r); err != nil {
		t.Error(err)
	}
}

// A write that fails in the middle of a line, as on a full disk, leaves the lines
// before it, and an exception the status "interrupted".
func TestRecorderOnFullDisk(t *testing.T) {
	dir, err := record(t, twoSlices+`
import os, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Recorder(folder, ["x", "y"], sets) as recorder:
    for step in range(1, 100):
        recorder.epoch({"logged": {"validation": [0.1, 0.2, 0.3, 0.4]}}, step=step, learning_rate=0.1)
        if step == 3:
            size = os.path.getsize(folder + "/epochs.jsonl")
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 600, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
`)
	if err == nil || !strings.Contains(err.Error(), "OSError") && !strings.Contains(err.Error(), "ModuleNotFoundError") {
		t.Fatalf("the disk was not full: %v", err)
	}
	if strings.Contains(err.Error(), "ModuleNotFoundError") {
		t.Skip("this system cannot limit the size of a file")
	}
	r, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Epochs) < 4 || r.Header.Status != run.Interrupted || len(r.Notes) != 0 {
		t.Errorf("%d epochs, %s, notes %q", len(r.Epochs), r.Header.Status, r.Notes)
	}
}

// The fingerprint of a recorder is that of ballast's own training for the same
// images.
func TestRecorderFingerprint(t *testing.T) {
	interpreter, folder := python(t, "numpy"), t.TempDir()
	cohort := writePhantom(t, 24)
	dir := filepath.Join(folder, "own")
	mustBallast(t, slices.Concat([]string{"train", cohort, "--out", dir, "--set", "views.every=0"}, quick)...)
	own, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	images := preparedImages(t, cohort, dir)
	text, err := json.Marshal(images)
	if err != nil {
		t.Fatal(err)
	}
	writeText(t, filepath.Join(folder, "images.json"), string(text))
	if _, err := runPython(t, interpreter, folder, []string{guides}, "-c", `
import json, numpy
from ballast_recorder import Recorder
images = json.load(open("images.json"))
sets = {name: [(f"s{i}", 0) for i in range(len(images[name]))] for name in images}
Recorder("theirs", ["x", "y"], sets).fingerprint({name: map(numpy.array, images[name]) for name in images})
`); err != nil {
		t.Fatal(err)
	}
	theirs, err := run.Open(filepath.Join(folder, "theirs"))
	if err != nil {
		t.Fatal(err)
	}
	compareFingerprints(t, own.Fingerprint, theirs.Fingerprint)
}

func compareFingerprints(t *testing.T, own, theirs *run.Fingerprint) {
	t.Helper()
	for set, looks := range theirs.Sets {
		for i, a := range looks {
			b := own.Sets[set][i]
			for _, pair := range [][2]run.Float{{a.Mean, b.Mean}, {a.Deviation, b.Deviation}, {a.Least, b.Least}, {a.Greatest, b.Greatest}} {
				if !(math.Abs(float64(pair[0]-pair[1])) <= 1e-6*max(1, math.Abs(float64(pair[1])))) {
					t.Errorf("set %s, subject %d: %+v; ballast has %+v", set, i, a, b)
				}
			}
			if !slices.Equal(a.Thumbnail, b.Thumbnail) {
				t.Errorf("set %s, subject %d: thumbnail %v; ballast has %v", set, i, a.Thumbnail, b.Thumbnail)
			}
		}
	}
	if len(theirs.Sets) != 2 {
		t.Errorf("sets %v", theirs.Sets)
	}
}

// preparedImages loads the images of a run's training and validation set again, as
// nested lists.
func preparedImages(t *testing.T, dir, folder string) map[string][][][][][]float32 {
	t.Helper()
	_, plan, _, err := train.OpenForReplay(folder)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cohort.Open(dir, cohort.Options(plan.Data))
	if err != nil {
		t.Fatal(err)
	}
	split, err := c.SplitBy(plan.Seed, plan.Split.Options())
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := train.Load(context.Background(), c, split, plan, train.Reading{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	images := map[string][][][][][]float32{}
	for _, set := range []train.Set{loaded.Train, loaded.Validation} {
		for _, sample := range set.Samples {
			images[set.Name] = append(images[set.Name], nested(sample.Image))
		}
	}
	return images
}

// nested is an image as lists (channel, depth, row, column).
func nested(image *prep.Image) [][][][]float32 {
	rows := slices.Collect(slices.Chunk(image.Data, image.W))
	planes := slices.Collect(slices.Chunk(rows, image.H))
	return slices.Collect(slices.Chunk(planes, image.D))
}
