package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ballast/run"
)

// kerasRow is an epoch of a log whose validation loss rises while its training
// loss falls: 19 cases, of which 9 to 12 are right.
func kerasRow(epoch int) string {
	right := []int{10, 11, 9, 12, 10, 11, 9}[epoch%7]
	return fmt.Sprintf("%d,%.4f,%.4f,%.4f,%.4f\n", epoch, min(0.99, 0.5+0.03*float64(epoch)), 0.7-0.02*float64(epoch),
		float64(right)/19, 0.69+0.05*float64(max(0, epoch-3)))
}

const kerasHeader = "epoch,accuracy,loss,val_accuracy,val_loss\n"

// writeKeras writes logs of so many epochs, one after the other, as a trainer
// that appends does.
func writeKeras(t *testing.T, epochs ...int) string {
	t.Helper()
	text := kerasHeader
	for _, n := range epochs {
		for epoch := range n {
			text += kerasRow(epoch)
		}
	}
	name := filepath.Join(t.TempDir(), "training.log")
	writeFile(t, name, []byte(text))
	return name
}

type logReport struct {
	Subjects struct{ Validation int }
	Findings []struct{ ID, Verdict string }
	Curves   struct {
		Format, Name   string
		Validation     int
		ValidationFrom string `json:"validation_from"`
		Missing        []struct{ Option string }
	}
}

func (r *logReport) verdict(id string) string {
	for _, f := range r.Findings {
		if f.ID == id {
			return f.Verdict
		}
	}
	return "absent"
}

func TestDiagnoseLog(t *testing.T) {
	log := writeKeras(t, 30)
	page := filepath.Join(t.TempDir(), "report.html")
	var report logReport
	if err := json.Unmarshal([]byte(mustBallast(t, "diagnose", log, "--json", "--classes", "2", "--n-validation", "19", "--html", page)), &report); err != nil {
		t.Fatal(err)
	}
	if report.Curves.Validation != 19 || report.Curves.ValidationFrom != "given" || len(report.Curves.Missing) != 1 || report.Curves.Missing[0].Option != "--prevalence" {
		t.Errorf("%+v", report.Curves)
	}
	if v := report.verdict("overfitting"); v != "likely" {
		t.Errorf("overfitting is %s", v)
	}
	if html := string(readFile(t, page)); !strings.Contains(html, "</html>") || !strings.Contains(html, `class="band chance"`) || !strings.Contains(html, "--prevalence") {
		t.Errorf("a page of %d bytes without band or missing option", len(html))
	}
	text := mustBallast(t, "diagnose", log)
	for _, want := range []string{"Found\n", ": likely", "Not said, and what it would decide", "--n-validation"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestDiagnoseSeveralRuns(t *testing.T) {
	log := writeKeras(t, 30, 12)
	var reports []logReport
	if err := json.Unmarshal([]byte(mustBallast(t, "diagnose", log, "--json")), &reports); err != nil {
		t.Fatal(err)
	}
	if len(reports) != 2 || reports[0].Curves.Name == reports[1].Curves.Name {
		t.Fatalf("%+v", reports)
	}
	text := mustBallast(t, "diagnose", log)
	if lines := strings.Split(text, "\n"); !strings.HasPrefix(lines[0], "run ") || !strings.Contains(lines[1], "overfitting") || strings.Count(text, "\n== ") != 2 {
		t.Errorf("no table and two reports:\n%s", text)
	}
	name := reports[1].Curves.Name
	var one logReport
	if err := json.Unmarshal([]byte(mustBallast(t, "diagnose", log, "--run", name, "--json")), &one); err != nil || one.Curves.Name != name {
		t.Errorf("--run: %v, %+v", err, one.Curves)
	}
}

func TestDiagnoseLogExitCodes(t *testing.T) {
	log, two := writeKeras(t, 30), writeKeras(t, 30, 12)
	page := filepath.Join(t.TempDir(), "report.html")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{log, "--fail-on", "confirmed"}, exitDone, ""},
		{[]string{log, "--fail-on", "likely"}, exitFindings, "overfitting is likely"},
		{[]string{log, "--fail-on", "possible", "--json"}, exitFindings, "--fail-on possible"},
		{[]string{two, "--fail-on", "likely"}, exitFindings, "overfitting is likely"},
		{[]string{log, "--fail-on", "surely"}, exitUsage, "confirmed, likely, possible"},
		{[]string{log, "--fail-on", ""}, exitUsage, "--fail-on"},
		{[]string{log, "--n-validation", "-3"}, exitUsage, "-3 cases"},
		{[]string{log, "--n-validation", "0"}, exitUsage, "leave it out"},
		{[]string{log, "--classes", "1"}, exitUsage, "at least 2"},
		{[]string{log, "--prevalence", "68"}, exitUsage, "a share between 0 and 1"},
		{[]string{log, "--prevalence", "NaN"}, exitUsage, "a share between 0 and 1"},
		{[]string{log, "--classes", "2", "--prevalence", "0.2"}, exitUsage, "commonest of 2 classes"},
		{[]string{two, "--run", "fold-9"}, exitUsage, `no run "fold-9"`},
		{[]string{two, "--html", page}, exitUsage, "holds 2 runs"},
		{[]string{filepath.Join(t.TempDir(), "absent")}, exitFailed, "not a run"},
		{[]string{t.TempDir()}, exitFailed, "not a training log"},
	} {
		code, _, stderr := ballast(t, append([]string{"diagnose"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") > 1 {
			t.Errorf("diagnose %v: exit %d, want %d: %q", c.args, code, c.code, stderr)
		}
	}
	if _, err := os.Stat(page); !os.IsNotExist(err) {
		t.Errorf("a page of one of two runs was written: %v", err)
	}
}

// A lockedBuffer may be read while the program writes.
type lockedBuffer struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.Write(data)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.String()
}

// waitFor waits until the text holds a word.
func waitFor(t *testing.T, b *lockedBuffer, word string) {
	t.Helper()
	for range 400 {
		if strings.Contains(b.String(), word) {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("no %q in time:\n%s", word, b.String())
}

// TestWatchLog follows a log that does not exist at first, until Ctrl-C.
func TestWatchLog(t *testing.T) {
	name := filepath.Join(t.TempDir(), "later", "training.log")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out, notes lockedBuffer
	code := make(chan int)
	go func() { code <- execute(ctx, []string{"watch", name, "--every", "100ms"}, &out, &notes) }()
	time.Sleep(150 * time.Millisecond)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	write := func(text string) {
		t.Helper()
		if _, err := file.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write(kerasHeader + kerasRow(0))
	waitFor(t, &out, "epoch 1: training loss 0.7, accuracy 0.5; validation loss 0.69, accuracy 0.5263\n")
	for epoch := 1; epoch < 24; epoch++ {
		write(kerasRow(epoch))
	}
	waitFor(t, &out, "epoch 24: likely: Overfitting")
	write(kerasRow(24))
	waitFor(t, &out, "epoch 25: training")
	interrupt()
	if got := <-code; got != exitInterrupted {
		t.Errorf("exit %d after Ctrl-C: %s", got, notes.String())
	}
	if strings.Count(out.String(), "likely: Overfitting") != 1 || strings.Count(out.String(), "epoch 7: training") != 1 {
		t.Errorf("something is said twice:\n%s", out.String())
	}
}

func TestWatchExitCodes(t *testing.T) {
	log := writeKeras(t, 30)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{log, "--once"}, exitDone, ""},
		{[]string{log, "--once", "--fail-on", "likely"}, exitFindings, "overfitting is likely"},
		{[]string{log, "--fail-on", "likely"}, exitFindings, "--fail-on likely"},
		{[]string{log, "--idle", "200ms", "--every", "100ms"}, exitDone, "nothing was written for 200ms"},
		{[]string{filepath.Join(t.TempDir(), "absent"), "--wait", "150ms", "--every", "100ms"}, exitFailed, "no epoch within 150ms"},
		{[]string{filepath.Join(t.TempDir(), "absent"), "--once"}, exitFailed, "no such folder"},
		{[]string{log, "--every", "1ms"}, exitUsage, "--every is at least 100ms"},
		{[]string{log, "--fail-on", "surely"}, exitUsage, "--fail-on"},
		{[]string{}, exitUsage, "needs one run"},
	} {
		code, _, stderr := ballast(t, append([]string{"watch"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") > 1 {
			t.Errorf("watch %v: exit %d, want %d: %q", c.args, code, c.code, stderr)
		}
	}
}

// TestWatchRun follows a run of ballast until it is complete.
func TestWatchRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	w, err := run.Create(dir, run.Header{Creator: "test", Classes: []string{"a", "b"}, Planned: 2, Sets: map[string][]run.Subject{
		run.Train: {{ID: "t1"}, {ID: "t2", Class: 1}}, run.Validation: {{ID: "v1"}, {ID: "v2", Class: 1}},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	record := func(epoch int) {
		t.Helper()
		e := run.Epoch{Epoch: epoch, Step: epoch, LearningRate: 0.1}
		for _, set := range []string{run.Train, run.Validation} {
			e.Evaluations = append(e.Evaluations, run.Evaluation{View: run.Logged, Set: set, Loss: 0.6, Accuracy: 0.5})
		}
		if err := w.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	record(1)
	var out, notes lockedBuffer
	code := make(chan int)
	go func() { code <- execute(t.Context(), []string{"watch", dir, "--every", "100ms"}, &out, &notes) }()
	waitFor(t, &out, "epoch 1: ")
	record(2)
	waitFor(t, &out, "epoch 2: ")
	if err := w.Finish(run.Complete); err != nil {
		t.Fatal(err)
	}
	if got := <-code; got != exitDone || !strings.Contains(out.String(), "the run is complete after 2 epochs\n") {
		t.Errorf("exit %d:\n%s%s", got, out.String(), notes.String())
	}
}

// The same flags fail on the verdicts of a run.
func TestFailOnOfARun(t *testing.T) {
	if got := lesser("confirmed", "likely"); got != "likely" {
		t.Errorf("the lesser of confirmed and likely is %q", got)
	}
	if lesser("possible", "ruled-out") != "" || lesser("likely", "") != "" || !atLeast("confirmed", "possible") || atLeast("cannot-tell", "possible") || atLeast("likely", "") {
		t.Error("verdicts are out of order")
	}
	dir := writePhantom(t, 24)
	out := filepath.Join(t.TempDir(), "run")
	mustBallast(t, append([]string{"train", dir, "--out", out}, quick...)...)
	code, _, stderr := ballast(t, "diagnose", out, "--fail-on", "confirmed", "--classes", "2")
	if code != exitDone && code != exitFindings || !strings.Contains(stderr, "are for logs") {
		t.Errorf("exit %d: %q", code, stderr)
	}
	if text := mustBallast(t, "watch", out, "--once"); !strings.Contains(text, "epoch 1: training loss") {
		t.Errorf("watch --once of a run: %q", text)
	}
}

// Public logs of other trainers: each is diagnosed, or refused in one line; a
// size that is inferred divides the true one.
func TestSharedLogs(t *testing.T) {
	root := os.Getenv("BALLAST_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	files, err := filepath.Glob(filepath.Join(root, "logs", "*", "facts.json"))
	if err != nil || len(files) == 0 {
		t.Skip("logs: shared data absent")
	}
	for _, file := range files {
		var facts struct {
			Validation int `json:"n_val"`
		}
		if err := json.Unmarshal(readFile(t, file), &facts); err != nil {
			t.Fatal(err)
		}
		folder := filepath.Dir(file)
		code, stdout, stderr := ballast(t, "diagnose", folder, "--json")
		if code == exitFailed && strings.Contains(stderr, "no validation values") && strings.Count(stderr, "\n") == 1 {
			continue
		}
		var reports []logReport
		if code == exitDone && !strings.HasPrefix(stdout, "[") {
			stdout = "[" + stdout + "]"
		}
		if err := json.Unmarshal([]byte(stdout), &reports); code != exitDone || err != nil || len(reports) == 0 {
			t.Errorf("%s: exit %d, %v: %s", folder, code, err, stderr)
			continue
		}
		for _, r := range reports {
			if n := r.Curves.Validation; n > 0 && r.Curves.ValidationFrom == "inferred" && facts.Validation%n != 0 {
				t.Errorf("%s, %s: %d cases are inferred, %d are true", folder, r.Curves.Name, n, facts.Validation)
			}
		}
	}
}
