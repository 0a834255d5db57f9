package run

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func sampleHeader() Header {
	return Header{
		Creator: "ballast test",
		Planned: 3,
		Classes: []string{"no <response>", "response & more", "Übergang"},
		Sets: map[string][]Subject{
			Train:      {{ID: "sub-01", Class: 0, Site: "A", Images: 1}, {ID: "sub-02", Class: 1, Images: 2}},
			Validation: {{ID: "sub-03", Class: 2, Images: 1}, {ID: "sub-04", Class: 0, Site: "B", Images: 1}},
			Test:       {{ID: "sub-05", Class: 1, Images: 3}},
		},
	}
}

// sampleEpoch returns an epoch, an even one without health.
func sampleEpoch(number int) Epoch {
	var health *Health
	if number%2 == 1 {
		health = sampleHealth()
	}
	return Epoch{
		Epoch: number, Step: 4 * number, LearningRate: 3e-4, GradientNorm: Float(1 / float64(number)), Health: health,
		Evaluations: []Evaluation{
			{View: Logged, Set: Train, Loss: Float(0.1 + 0.2), Accuracy: 0.5},
			{View: Logged, Set: Validation, Loss: Float(math.Inf(1)), Accuracy: 0.5,
				Probabilities: []Row{{0.1, 0.2, 0.7}, nil}},
			{View: Deterministic, Set: Validation, Loss: Float(math.NaN()), Accuracy: 0,
				Probabilities: []Row{{1e-7, 1, 0}, {float32(math.NaN()), 0, 1}}},
		},
	}
}

func sampleTest() []Evaluation {
	return []Evaluation{{View: Deterministic, Set: Test, Loss: 1.5, Accuracy: 1, Probabilities: []Row{{0.25, 0.5, 0.25}}}}
}

const samplePlan = "seed: 1\n"

func sampleHealth() *Health {
	nothing := Float(math.NaN())
	return &Health{Mixing: 1.25, LossSpread: nothing, Agreement: 0.1, Layers: []LayerHealth{
		{Name: "block1.conv.weight", Weight: 0.1, Gradient: 1e-7, ZeroGradient: 0.5, Update: 0.001, Dead: 0, Active: 0.25, Output: 1},
		{Name: "head.weight", Weight: 0.2, Gradient: Float(math.Inf(1)), ZeroGradient: 0, Update: nothing, Dead: nothing, Active: nothing, Output: nothing},
	}}
}

func sampleFingerprint() *Fingerprint {
	f := &Fingerprint{Format: Format, Sets: map[string][]Look{}}
	for set, subjects := range sampleHeader().Sets {
		for i := range subjects {
			look := Look{Mean: Float(i), Deviation: 1, Least: -1, Greatest: Float(math.NaN()), Thumbnail: make([]int, ThumbnailCells)}
			look.Thumbnail[5], look.Thumbnail[6] = 127, -127
			f.Sets[set] = append(f.Sets[set], look)
		}
	}
	return f
}

func sampleProbes() *Probes {
	return &Probes{Format: Format, Epoch: 3, Results: []ProbeResult{
		{ID: "mode", Values: map[string]Float{"train_batch_loss": 0.5, "validation_batch_loss": Float(math.Inf(1))}},
		{ID: "recalibration", Skipped: "the network has no batch norm", Values: map[string]Float{}},
	}}
}

// writeSample writes a complete run of three epochs.
func writeSample(t testing.TB, dir string) {
	t.Helper()
	w, err := Create(dir, sampleHeader(), []byte(samplePlan))
	check(t, err)
	for number := 1; number <= 3; number++ {
		check(t, w.Append(sampleEpoch(number)))
	}
	check(t, w.WriteTest(sampleTest()))
	check(t, w.WriteFile(LastWeightsFile, []byte("weights")))
	fingerprint, err := sampleFingerprint().Encode()
	check(t, err)
	check(t, w.WriteFile(FingerprintFile, fingerprint))
	check(t, WriteProbes(dir, sampleProbes()))
	check(t, w.Finish(Complete))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "run")
	writeSample(t, dir)
	r, err := Open(dir)
	check(t, err)
	header := sampleHeader()
	header.Format, header.Status = Format, Complete
	if !reflect.DeepEqual(r.Header, header) {
		t.Errorf("header %+v, want %+v", r.Header, header)
	}
	if string(r.Plan) != samplePlan || len(r.Notes) != 0 {
		t.Errorf("plan %q, notes %q", r.Plan, r.Notes)
	}
	want := []Epoch{sampleEpoch(1), sampleEpoch(2), sampleEpoch(3)}
	for i := range want {
		same(t, "health", r.Epochs[i].Health, want[i].Health)
		r.Epochs[i].Health, want[i].Health = nil, nil
	}
	same(t, "epochs", r.Epochs, want)
	same(t, "fingerprint", *r.Fingerprint, *sampleFingerprint())
	same(t, "probes", *r.Probes, *sampleProbes())
	if !reflect.DeepEqual(r.Test, sampleTest()) {
		t.Errorf("test %+v", r.Test)
	}
	if got := r.Epochs[1].Evaluation(Logged, Validation); got == nil || got.Probabilities[1] != nil || got.Probabilities[0][2] != 0.7 {
		t.Errorf("Evaluation(logged, validation) = %+v", got)
	}
	if got := r.Epochs[1].Evaluation(Averaged, Validation); got != nil {
		t.Errorf("Evaluation of a view that is not there = %+v", got)
	}
}

// same compares by printing, which compares NaN with NaN and tells nil from empty.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if a, b := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); a != b {
		t.Errorf("%s\n%s, want\n%s", what, a, b)
	}
}

func TestSameRunSameBytes(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "somewhere", "else")
	writeSample(t, a)
	writeSample(t, b)
	check(t, filepath.WalkDir(a, func(file string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, _ := filepath.Rel(a, file)
		first, _ := os.ReadFile(file)
		second, err := os.ReadFile(filepath.Join(b, relative))
		if !bytes.Equal(first, second) {
			t.Errorf("%s differs", relative)
		}
		return err
	}))
}

// A process killed at any moment leaves a prefix of epochs.jsonl.
func TestKilledAtEveryByte(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	writeSample(t, dir)
	file := filepath.Join(dir, EpochsFile)
	text, err := os.ReadFile(file)
	check(t, err)
	for length := range len(text) + 1 {
		check(t, os.WriteFile(file, text[:length], 0o644))
		r, err := Open(dir)
		if err != nil {
			t.Fatalf("%d of %d bytes: %v", length, len(text), err)
		}
		// An epoch is complete with its closing brace, before the newline.
		whole := bytes.Count(append(text[:length:length], text[length:min(length+1, len(text))]...), []byte("\n"))
		if len(r.Epochs) != whole {
			t.Fatalf("%d of %d bytes: %d epochs, want %d", length, len(text), len(r.Epochs), whole)
		}
		partial := length > 0 && text[length-1] != '\n' && (length == len(text) || text[length] != '\n')
		if got := strings.Contains(strings.Join(r.Notes, "\n"), "unfinished"); got != partial {
			t.Fatalf("%d of %d bytes: notes %q", length, len(text), r.Notes)
		}
	}
}

func TestOpenNothing(t *testing.T) {
	empty := t.TempDir()
	file := filepath.Join(empty, "file")
	for _, c := range []struct{ dir, want string }{
		{empty, "run.json is missing"},
		{filepath.Join(empty, "absent"), "there is no such folder"},
		{file, "it is a file"},
	} {
		if c.dir == file {
			check(t, os.WriteFile(file, nil, 0o644))
		}
		_, err := Open(c.dir)
		if !errors.Is(err, ErrNotRun) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), EpochsFile) {
			t.Errorf("Open(%s): %v", c.dir, err)
		}
	}
}
