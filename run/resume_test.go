package run

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// begun writes a run of the given number of epochs that was killed then.
func begun(t *testing.T, epochs int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	w, err := Create(dir, sampleHeader(), []byte(samplePlan))
	check(t, err)
	for number := 1; number <= epochs; number++ {
		check(t, w.Append(sampleEpoch(number)))
	}
	check(t, w.Close())
	return dir
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	check(t, err)
	return text
}

// A run that goes on has the lines of one that was never stopped, from whichever
// epoch it goes on and wherever its last line was cut off.
func TestResume(t *testing.T) {
	whole := begun(t, 3)
	want := read(t, whole, EpochsFile)
	for recorded := range 4 {
		for from := range recorded + 1 {
			dir := begun(t, recorded)
			for name, text := range map[string]string{TestFile: "[]\n", LastWeightsFile + ".tmp": "half", HeaderFile + ".tmp": "{"} {
				check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
				check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
			}
			if recorded < 3 {
				file, err := os.OpenFile(filepath.Join(dir, EpochsFile), os.O_APPEND|os.O_WRONLY, 0)
				check(t, err)
				_, err = file.WriteString(`{"epoch":`)
				check(t, errors.Join(err, file.Close()))
			}
			h := sampleHeader()
			h.Creator = "somebody else"
			w, err := Resume(dir, h, []byte(samplePlan), from)
			check(t, err)
			for _, name := range []string{TestFile, LastWeightsFile + ".tmp", HeaderFile + ".tmp"} {
				if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
					t.Errorf("%s is still there", name)
				}
			}
			r, err := Open(dir)
			check(t, err)
			if r.Header.Status != Running || len(r.Epochs) != recorded || r.Header.Creator != sampleHeader().Creator {
				t.Errorf("under way: status %s, %d epochs by %s", r.Header.Status, len(r.Epochs), r.Header.Creator)
			}
			for number := from + 1; number <= 3; number++ {
				check(t, w.Append(sampleEpoch(number)))
			}
			check(t, w.Finish(Complete))
			if got := read(t, dir, EpochsFile); !bytes.Equal(got, want) {
				t.Errorf("after %d of %d epochs the lines are\n%s\nwant\n%s", from, recorded, got, want)
			}
		}
	}
}

// More epochs than were planned need the new number in run.json first.
func TestResumeToAnotherPlan(t *testing.T) {
	dir := begun(t, 3)
	h := sampleHeader()
	h.Planned = 4
	w, err := Resume(dir, h, []byte("seed: 2\n"), 3)
	check(t, err)
	check(t, w.Append(sampleEpoch(4)))
	check(t, w.Finish(Complete))
	r, err := Open(dir)
	check(t, err)
	if r.Header.Planned != 4 || len(r.Epochs) != 4 || string(r.Plan) != "seed: 2\n" {
		t.Errorf("%d of %d epochs, plan %q", len(r.Epochs), r.Header.Planned, r.Plan)
	}
}

// What is refused leaves every file as it was.
func TestResumeRefuses(t *testing.T) {
	other := func(change func(*Header)) Header {
		h := sampleHeader()
		change(&h)
		return h
	}
	for _, c := range []struct {
		name   string
		header Header
		epochs int
		err    error
		want   string
	}{
		{"other classes", other(func(h *Header) { h.Classes[2] = "?" }), 2, ErrMismatch, `not ["no <response>" "response & more" "?"]`},
		{"another subject", other(func(h *Header) { h.Sets[Train][1].ID = "sub-09" }), 2, ErrMismatch, "subject 2 of its set train is sub-02"},
		{"another class", other(func(h *Header) { h.Sets[Test][0].Class = 0 }), 2, ErrMismatch, `not sub-05, class "no <response>" with 3 images`},
		{"another site", other(func(h *Header) { h.Sets[Validation][1].Site = "" }), 2, ErrMismatch, `sub-04 of B, class "no <response>" with 1 images, not sub-04, class`},
		{"a set less", other(func(h *Header) { delete(h.Sets, Test) }), 2, ErrMismatch, "its set test has 1 subjects, not 0"},
		{"a set more", other(func(h *Header) { h.Sets["fresh"] = []Subject{} }), 2, ErrMismatch, "it has no set fresh"},
		{"from beyond the end", sampleHeader(), 3, ErrInvalid, "2 epochs are recorded; it should go on after 3 of 3"},
		{"fewer planned than recorded", other(func(h *Header) { h.Planned = 1 }), 1, ErrInvalid, "2 epochs are recorded; it should go on after 1 of 1"},
	} {
		dir := begun(t, 2)
		header, epochs := read(t, dir, HeaderFile), read(t, dir, EpochsFile)
		_, err := Resume(dir, c.header, []byte(samplePlan), c.epochs)
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if !bytes.Equal(read(t, dir, HeaderFile), header) || !bytes.Equal(read(t, dir, EpochsFile), epochs) {
			t.Errorf("%s: the disk was changed", c.name)
		}
	}
	empty := t.TempDir()
	if _, err := Resume(empty, sampleHeader(), nil, 0); !errors.Is(err, ErrNotRun) {
		t.Errorf("an empty folder: %v", err)
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("the empty folder now holds %v, %v", entries, err)
	}
}

// An epoch that comes out in another way than it was recorded is an error.
func TestResumeDiffers(t *testing.T) {
	dir := begun(t, 2)
	before := read(t, dir, EpochsFile)
	w, err := Resume(dir, sampleHeader(), []byte(samplePlan), 1)
	check(t, err)
	other := sampleEpoch(2)
	other.LearningRate = 0.1
	if err := w.Append(other); !errors.Is(err, ErrDiffers) {
		t.Errorf("another second epoch: %v", err)
	}
	check(t, w.Close())
	if !bytes.Equal(read(t, dir, EpochsFile), before) {
		t.Error("the record was changed")
	}
}

// Only one program records a run; the lock goes with it.
func TestLock(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a run is not locked on Windows")
	}
	dir := filepath.Join(t.TempDir(), "run")
	w, err := Create(dir, sampleHeader(), []byte(samplePlan))
	check(t, err)
	if _, err := Resume(dir, sampleHeader(), []byte(samplePlan), 0); !errors.Is(err, ErrBusy) {
		t.Errorf("resuming what is being recorded: %v", err)
	}
	check(t, w.Append(sampleEpoch(1)))
	check(t, w.Close())
	w, err = Resume(dir, sampleHeader(), []byte(samplePlan), 1)
	check(t, err)
	if _, err := Resume(dir, sampleHeader(), []byte(samplePlan), 1); !errors.Is(err, ErrBusy) {
		t.Errorf("resuming twice: %v", err)
	}
	check(t, w.Finish(Stopped))
	r, err := Open(dir)
	check(t, err)
	if r.Header.Status != Stopped || len(r.Notes) != 0 {
		t.Errorf("status %s, notes %q", r.Header.Status, r.Notes)
	}
}
