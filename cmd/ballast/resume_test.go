package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ballast/phantom"
	"ballast/run"
)

// asProgram is set in the environment of a process that is to be the program
// itself; see TestMain.
const asProgram = "BALLAST_TEST_AS_PROGRAM"

// program starts ballast as a process of its own.
func program(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), asProgram+"=1")
	return c
}

// tinyTraining writes a cohort and returns the arguments that train on it.
func tinyTraining(t *testing.T) (cohort string, args []string) {
	t.Helper()
	cohort = filepath.Join(t.TempDir(), "cohort")
	if err := phantom.Write(context.Background(), cohort, phantom.Default().Resized(3, 8), 12, func(int) {}); err != nil {
		t.Fatal(err)
	}
	return cohort, []string{"train", cohort, "--epochs", "8", "--net", "cnn2", "--quiet", "--threads", "1", "--set", "net.width=4",
		"--set", "split.test=0.2", "--set", "prep.standardise=nyul", "--set", "prep.crop=none", "--set", "optimizer.weight_decay=0.01"}
}

// contents returns every file of a run by its name.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil {
			files[name], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// sameFiles holds a run against another, byte for byte.
func sameFiles(t *testing.T, dir string, want map[string][]byte) {
	t.Helper()
	got := contents(t, dir)
	for name, content := range want {
		if !bytes.Equal(got[name], content) {
			t.Errorf("%s of the resumed run differs from that of an uninterrupted one", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("the resumed run has a file %s, an uninterrupted one has not", name)
		}
	}
}

// TestKilledAtAnyMoment kills a training process with SIGKILL at random moments,
// and the processes that resume it too. What it leaves always opens, and the run
// that comes out in the end has the bytes of one that was never killed.
func TestKilledAtAnyMoment(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no SIGKILL on Windows")
	}
	kills := 50
	if testing.Short() {
		kills = 5
	}
	_, train := tinyTraining(t)
	whole := filepath.Join(t.TempDir(), "whole")
	var span time.Duration
	var want map[string][]byte
	for _, dir := range []string{whole, whole + "-again"} { // the second finds its images in the cache
		start := time.Now()
		if text, err := program(append(train, "--out", dir)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		span, want = time.Since(start), contents(t, dir)
	}
	sameFiles(t, whole, want)
	random := rand.New(rand.NewPCG(7, 11))
	killed, finished, during := 0, 0, map[int]int{} // kills by recorded epochs
	for killed < kills {
		dir := filepath.Join(t.TempDir(), "run")
		for {
			args := []string{"resume", dir, "--quiet", "--threads", "1"}
			if _, err := os.Stat(filepath.Join(dir, run.HeaderFile)); err != nil {
				// Killed before there was a run: nothing is lost, it begins again.
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
				args = append(train, "--out", dir)
			}
			moment := time.Duration(random.Float64() * float64(span))
			if killed >= kills {
				moment = time.Hour
			}
			if !killAfter(t, program(args...), moment) {
				break
			}
			killed++
			if r, err := run.Open(dir); err == nil {
				during[len(r.Epochs)]++
			} else if !errors.Is(err, run.ErrNotRun) {
				t.Fatalf("after kill %d: %v", killed, err)
			}
		}
		finished++
		if sameFiles(t, dir, want); t.Failed() {
			t.Fatalf("after %d kills", killed)
		}
	}
	t.Logf("killed %d times, %d runs came to their end; kills by recorded epochs: %v", killed, finished, during)
	if len(during) < 2 {
		t.Errorf("all kills fell into the same epoch: %v", during)
	}
}

// killAfter starts a process and kills it after some time, and reports whether it
// was still alive then. A process that ends by itself must end well.
func killAfter(t *testing.T, c *exec.Cmd, after time.Duration) bool {
	t.Helper()
	var output bytes.Buffer
	c.Stdout, c.Stderr = &output, &output
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("%s: %v: %s", strings.Join(c.Args[1:], " "), err, output.String())
		}
		return false
	case <-time.After(after):
	}
	_ = c.Process.Kill()
	err := <-done
	if c.ProcessState.Exited() && err == nil {
		return false // it had just ended
	}
	if c.ProcessState.Exited() {
		t.Fatalf("%s: %v: %s", strings.Join(c.Args[1:], " "), err, output.String())
	}
	return true
}

// Ctrl-C ends a process in good order, and resume goes on from there, on the
// remembered cohort.
func TestResumeAfterCtrlC(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no SIGINT on Windows")
	}
	_, train := tinyTraining(t)
	train = append(train, "--set", "epochs=30")
	whole, dir := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "run")
	if text, err := program(append(train, "--out", whole)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	c := program(append(train, "--out", dir)...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for range 2000 { // until an epoch is recorded
		if r, err := run.Open(dir); err == nil && len(r.Epochs) > 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != exitInterrupted {
		t.Fatalf("exit %d after Ctrl-C", code)
	}
	r, err := run.Open(dir)
	if err != nil || r.Header.Status != run.Interrupted {
		t.Fatalf("after Ctrl-C: %v, %+v", err, r)
	}
	if text := mustBallast(t, "resume", dir, "--quiet"); !strings.Contains(text, dir) {
		t.Errorf("resume does not say where the run is:\n%s", text)
	}
	sameFiles(t, dir, contents(t, whole))
}

// TestResumeCommand goes through what a user may ask for.
func TestResumeCommand(t *testing.T) {
	cohort, train := tinyTraining(t)
	dir := filepath.Join(t.TempDir(), "run")
	mustBallast(t, append(train, "--epochs", "2", "--out", dir)...)
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"a complete run", []string{dir}, exitDone, "all 2 epochs are recorded; --epochs N goes on to more"},
		{"fewer epochs", []string{dir, "--epochs", "1"}, exitUsage, "epochs is 1, but 2 are recorded"},
		{"no epochs", []string{dir, "--epochs", "0"}, exitUsage, "--epochs is 0"},
		{"no run", []string{cohort}, exitFailed, "not a run"},
		{"no folder", []string{dir + "x"}, exitFailed, "there is no such folder"},
		{"nothing", nil, exitUsage, "needs one run and at most its cohort"},
		{"too much", []string{dir, cohort, cohort}, exitUsage, "needs one run and at most its cohort"},
		{"no cohort", []string{dir, cohort + "x", "--epochs", "3"}, exitFailed, "no such file"},
		{"another cohort", []string{dir, writePhantom(t, 13), "--epochs", "3"}, exitFailed, "not what the run was begun with"},
	} {
		before := contents(t, dir)
		code, stdout, stderr := ballast(t, append([]string{"resume"}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d (want %d), %q, %q", c.name, code, c.code, stdout, stderr)
		}
		sameFiles(t, dir, before)
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := ballast(t, "resume", moved, "--epochs", "3"); code != exitUsage || !strings.Contains(stderr, "name it: ballast resume "+moved+" COHORT") {
		t.Errorf("a run whose cohort is not remembered: exit %d, %q", code, stderr)
	}
	mustBallast(t, "resume", moved, cohort, "--epochs", "3", "--quiet", "--no-cache")
	longer := filepath.Join(t.TempDir(), "longer")
	mustBallast(t, append(train, "--epochs", "3", "--out", longer)...)
	sameFiles(t, moved, contents(t, longer))
	mustBallast(t, "resume", longer, "--epochs", "4", "--quiet") // the cohort is remembered
	mustBallast(t, "cache", "clear")
	if code, _, stderr := ballast(t, "resume", longer, "--epochs", "5"); code != exitUsage || !strings.Contains(stderr, "is not remembered here") {
		t.Errorf("after cache clear: exit %d, %q", code, stderr)
	}
}

// A run that its own rule ends is no failure.
func TestTrainStopsEarly(t *testing.T) {
	_, train := tinyTraining(t)
	dir := filepath.Join(t.TempDir(), "run")
	args := append(train, "--out", dir, "--set", "stopping.patience=2", "--set", "stopping.watch=accuracy", "--set", "optimizer.lr=1e-9")
	code, _, stderr := ballast(t, args...)
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	r, err := run.Open(dir)
	if err != nil || r.Header.Status != run.Stopped || len(r.Epochs) >= 8 || len(r.Notes) != 0 {
		t.Fatalf("%v, status %s after %d epochs, notes %q", err, r.Header.Status, len(r.Epochs), r.Notes)
	}
	if code, _, stderr := ballast(t, "resume", dir); code != exitDone || !strings.Contains(stderr, "its own rule stopped it") {
		t.Errorf("resume of a stopped run: exit %d, %q", code, stderr)
	}
}
