package trial

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ballast/cohort"
	"ballast/phantom"
	"ballast/run"
	"ballast/train"
)

// phantomCohort makes a 2D cohort of 28 subjects and opens it.
func phantomCohort(t *testing.T) *cohort.Cohort {
	t.Helper()
	dir := t.TempDir()
	if err := phantom.Write(t.Context(), dir, phantom.Default().Resized(2, 16), 28, nil); err != nil {
		t.Fatal(err)
	}
	c, err := cohort.Open(dir, cohort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func smallConfig(t *testing.T, c *cohort.Cohort) Config {
	p := train.DefaultPlan()
	p.Epochs, p.Batch, p.Views.Every, p.Net.Name, p.Net.Width = 2, 8, 0, "cnn1", 2
	p.Prep.Crop, p.Prep.Grid, p.Prep.Spacing = "none", []int{12, 12}, []float64{1, 1}
	return Config{Plan: p, Cohort: c, Source: "phantom", Folds: 2, Repeats: 2, Creator: "test", Reading: train.Reading{Threads: 2}}
}

// contents is every file of a folder by its name, folders before a slash.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func sameFiles(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s: %s differs", what, name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is there", what, name)
		}
	}
}

// Every subject is predicted once in each repeat by a network whose training and
// validation subjects it was not among; the table says what the runs say; and
// neither threads nor an interruption change a byte.
func TestCrossValidate(t *testing.T) {
	c := smallConfig(t, phantomCohort(t))
	dir := filepath.Join(t.TempDir(), "cv")
	result, err := CrossValidate(t.Context(), dir, c)
	if err != nil {
		t.Fatal(err)
	}
	if result.Status != Complete || len(result.Runs) != 4 || len(result.Results) != len(measures) {
		t.Fatalf("status %s, %d runs, %d results", result.Status, len(result.Runs), len(result.Results))
	}
	tested := map[string]int{}
	for _, fold := range result.Runs {
		r, err := run.Open(filepath.Join(dir, fold.Dir))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, set := range []string{run.Train, run.Validation, run.Test} {
			for _, s := range r.Header.Sets[set] {
				if seen[s.ID] {
					t.Errorf("%s: %s is in two sets", fold.Dir, s.ID)
				}
				seen[s.ID] = true
				if set == run.Test {
					tested[s.ID]++
				}
			}
		}
		if len(seen) != 28 || fold.Train+fold.Validation+fold.Test != 28 || fold.Seed != uint64(fold.Repeat) || fold.Epochs != 2 {
			t.Errorf("%d subjects in %+v", len(seen), fold)
		}
	}
	for id, times := range tested {
		if times != 2 {
			t.Errorf("%s was tested %d times", id, times)
		}
	}
	checkTable(t, dir, result)
	checkBaselines(t, result)
	again, err := Open(dir)
	if err != nil || again.Results[0].Value != result.Results[0].Value {
		t.Errorf("reads back as %+v, %v", again, err)
	}

	want := contents(t, dir)
	c.Reading.Threads = 1
	other := filepath.Join(t.TempDir(), "cv")
	if _, err := CrossValidate(interruptedAfter(t, 2, &c), other, c); !errors.Is(err, train.ErrInterrupted) {
		t.Fatalf("interrupted: %v", err)
	}
	if part, err := Open(other); err != nil || part.Status != Running || len(part.Runs) != 2 || part.Results != nil {
		t.Fatalf("after the interruption: %+v, %v", part, err)
	}
	half, err := run.Open(filepath.Join(other, "fold-1-repeat-2.partial"))
	if err != nil || len(half.Epochs) != 1 {
		t.Fatalf("the interruption left %+v, %v; want a fold after its first epoch", half, err)
	}
	// As after a kill: a fold is finished that is not yet recorded.
	if err := os.CopyFS(filepath.Join(other, "fold-2-repeat-2"), os.DirFS(filepath.Join(dir, "fold-2-repeat-2"))); err != nil {
		t.Fatal(err)
	}
	trained, epochs := 0, 0
	c.Progress = func(p Progress) {
		if p.Finished != nil {
			trained++
		}
		if p.Epoch != nil {
			epochs++
		}
	}
	if _, err := CrossValidate(t.Context(), other, c); err != nil {
		t.Fatal(err)
	}
	if trained != 1 || epochs != 1 {
		t.Errorf("%d folds and %d epochs were trained, want 1 and 1", trained, epochs)
	}
	sameFiles(t, "gone on", contents(t, other), want)
}

// interruptedAfter returns a context that ends in the first epoch after so many folds.
func interruptedAfter(t *testing.T, folds int, c *Config) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	c.Progress = func(p Progress) {
		if p.Finished != nil {
			folds--
		}
		if folds == 0 && p.Epoch != nil {
			cancel()
		}
	}
	return ctx
}

// checkTable computes the accuracy and the log loss of each repeat from
// predictions.tsv.
func checkTable(t *testing.T, dir string, result *CrossValidation) {
	t.Helper()
	file, err := os.Open(filepath.Join(dir, PredictionsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader := csv.NewReader(file)
	reader.Comma = '\t'
	lines, err := reader.ReadAll()
	if err != nil || len(lines) != 1+2*28 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	if want := []string{"subject", "class", "repeat", "fold", "predicted", "p_" + result.Classes[0], "p_" + result.Classes[1]}; !slices.Equal(lines[0], want) {
		t.Fatalf("columns %v, want %v", lines[0], want)
	}
	var right, loss [2]float64
	for _, line := range lines[1:] {
		repeat, _ := strconv.Atoi(line[2])
		if line[1] == line[4] {
			right[repeat-1]++
		}
		p, err := strconv.ParseFloat(line[5+slices.Index(result.Classes, line[1])], 32)
		if err != nil {
			t.Fatal(err)
		}
		loss[repeat-1] -= math.Log(p)
	}
	for repeat := range right {
		if got := float64(result.Results[0].Repeats[repeat]); !(math.Abs(got-right[repeat]/28) <= 1e-12) {
			t.Errorf("repeat %d: accuracy %v, the table gives %v", repeat+1, got, right[repeat]/28)
		}
		if got := float64(result.Results[3].Repeats[repeat]); !(math.Abs(got-loss[repeat]/28) <= 1e-6) {
			t.Errorf("repeat %d: log loss %v, the table gives %v", repeat+1, got, loss[repeat]/28)
		}
	}
}

// checkBaselines holds the class shares, whose measures are known, against the
// network, and wants the others fitted.
func checkBaselines(t *testing.T, result *CrossValidation) {
	t.Helper()
	var names []string
	for _, b := range result.Baselines {
		names = append(names, b.Name)
		if b.Unknown != "" || len(b.Results) != len(measures) {
			t.Errorf("%s: %d results, unknown %q", b.Name, len(b.Results), b.Unknown)
			continue
		}
		for n, r := range b.Results {
			if got, want := float64(r.Difference), float64(result.Results[n].Value-r.Value); !(math.Abs(got-want) <= 1e-9) {
				t.Errorf("%s, %s: network minus it %v, want %v", b.Name, r.ID, got, want)
			}
			alike := math.IsNaN(float64(r.DifferenceLow)) && math.IsNaN(float64(r.DifferenceHigh)) // the same in every fold
			if !alike && !(r.DifferenceLow <= r.Difference && r.Difference <= r.DifferenceHigh) {
				t.Errorf("%s, %s: difference %v from %v to %v", b.Name, r.ID, r.Difference, r.DifferenceLow, r.DifferenceHigh)
			}
		}
	}
	if want := []string{"class shares", "volume and intensity", "thumbnails"}; !slices.Equal(names, want) {
		t.Fatalf("baselines %v, want %v", names, want)
	}
	if shares := result.Baselines[0].Results; shares[1].Value != 0.5 || shares[2].Value != 0.5 {
		t.Errorf("class shares: balanced accuracy %v and AUROC %v, want 0.5", shares[1].Value, shares[2].Value)
	}
}

// The test fold has no part in its network: the weights are those of a run without
// it.
func TestFoldIsUnseen(t *testing.T) {
	c := smallConfig(t, phantomCohort(t))
	c.Repeats = 1
	dir := filepath.Join(t.TempDir(), "cv")
	if _, err := CrossValidate(t.Context(), dir, c); err != nil {
		t.Fatal(err)
	}
	splits, err := c.Cohort.NestedFolds(c.Plan.Seed, 2, c.Plan.Split.Validation, "label")
	if err != nil {
		t.Fatal(err)
	}
	for k, split := range splits {
		split.Test = nil
		plan, err := train.Resolve(t.Context(), c.Plan, c.Cohort, split, c.Reading)
		if err != nil {
			t.Fatal(err)
		}
		images, err := train.Load(t.Context(), c.Cohort, split, plan, c.Reading)
		if err != nil {
			t.Fatal(err)
		}
		alone := filepath.Join(t.TempDir(), "run")
		writer, err := run.Create(alone, train.Header(plan, images, "test"), plan.YAML())
		if err != nil {
			t.Fatal(err)
		}
		if err := train.Train(t.Context(), plan, images, writer, train.Options{Threads: 2}); err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(alone, filepath.FromSlash(run.LastWeightsFile)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, runName(1, k+1), filepath.FromSlash(run.LastWeightsFile)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("fold %d has other weights than a run that does not know of it: %v", k+1, err)
		}
	}
}

// A folder that holds another cross-validation, or anything else, stays as it is.
func TestFolderRefusals(t *testing.T) {
	c := smallConfig(t, phantomCohort(t))
	c.Repeats = 1
	dir := filepath.Join(t.TempDir(), "cv")
	if _, err := CrossValidate(t.Context(), dir, c); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	for name, change := range map[string]struct {
		apply func(*Config)
		says  string
	}{
		"another plan":        {func(c *Config) { c.Plan.Optimizer.LR = 0.5 }, `its plan says "lr: 0.001" where "lr: 0.5" is asked for`},
		"another seed":        {func(c *Config) { c.Plan.Seed = 9 }, `"seed: 9"`},
		"other folds":         {func(c *Config) { c.Folds = 3 }, "of 2 folds and 1 repeats"},
		"fewer subjects":      {func(c *Config) { other := *c.Cohort; other.Subjects = other.Subjects[:26]; c.Cohort = &other }, "28 subjects there, 26 here"},
		"a test set wanted":   {func(c *Config) { c.Plan.Split.Test = 0.2 }, "each fold is the test set"},
		"a site left out":     {func(c *Config) { c.Plan.Split.LeaveOut = "site-1" }, "each fold is the test set"},
		"one fold":            {func(c *Config) { c.Folds = 1 }, "at least 2"},
		"too many folds":      {func(c *Config) { c.Folds = 14 }, "fold 0: the validation set"},
		"a plan out of range": {func(c *Config) { c.Plan.Epochs = 0 }, "epochs is 0"},
		"planted mistakes":    {func(c *Config) { c.Plan.Mistakes.Leak = 0.5 }, "a cross-validation tests every subject as it is"},
	} {
		other := c
		change.apply(&other)
		_, err := CrossValidate(t.Context(), dir, other)
		if name == "too many folds" {
			if !errors.Is(err, cohort.ErrTooFewSubjects) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), change.says) || !errors.Is(err, ErrDiffers) && !errors.Is(err, train.ErrPlan) {
			t.Errorf("%s: %v", name, err)
		}
	}
	sameFiles(t, "refused", contents(t, dir), before)

	// More repeats go on, whatever a kill has left of the next fold; the results then
	// are those of all.
	c.Repeats = 2
	if err := os.MkdirAll(filepath.Join(dir, "fold-1-repeat-2.partial", "weights"), 0o755); err != nil {
		t.Fatal(err)
	}
	longer, err := CrossValidate(t.Context(), dir, c)
	if err != nil || len(longer.Runs) != 4 || len(longer.Results[0].Repeats) != 2 {
		t.Errorf("another repeat: %v", err)
	}

	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "notes.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := CrossValidate(t.Context(), full, c); !errors.Is(err, run.ErrExists) || !strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("a folder with a file: %v", err)
	}
	baselines := filepath.Join(dir, "fold-2-repeat-1", BaselinesFile)
	for text, says := range map[string]string{
		`{"format":1,"baselines":[{"name":"x","probabilities":[[0.5,0.5]]}]}`: "does not predict 14 subjects",
		`{"format":2}`: "format 2",
		`{`:            "unexpected end",
	} {
		if err := os.WriteFile(baselines, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := CrossValidate(t.Context(), dir, c); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("baselines %s: %v", text, err)
		}
	}
	if err := os.Remove(baselines); err != nil {
		t.Fatal(err)
	}
	if without, err := CrossValidate(t.Context(), dir, c); err != nil || without.Baselines[0].Unknown == "" {
		t.Errorf("a fold without baselines: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "fold-1-repeat-1", "test.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := CrossValidate(t.Context(), dir, c); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "remove it to train the fold again") {
		t.Errorf("a fold without its predictions: %v", err)
	}
	lock, err := os.Open(filepath.Join(dir, PlanFile))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := run.Lock(lock); err != nil {
		t.Fatal(err)
	}
	if _, err := CrossValidate(t.Context(), dir, c); !errors.Is(err, run.ErrBusy) {
		t.Errorf("while another process is at it: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	const good = `{"format":1,"creator":"x","cohort":"c","status":"running","folds":2,"repeats":1,"classes":["a","b"],"subjects":[{"id":"1","class":0,"images":1}],"runs":[{"repeat":1,"fold":2,"seed":1,"dir":"d","train":1,"validation":1,"test":1,"epochs":1,"view":"deterministic"}],"results":null}`
	if _, err := decode([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string][2]string{
		"format 2":             {`"format":1`, `"format":2`},
		"unknown field":        {`"creator"`, `"autor"`},
		"status \"odd\"":       {`"running"`, `"odd"`},
		"1 folds":              {`"folds":2`, `"folds":1`},
		"is out of place":      {`"fold":2`, `"fold":3`},
		"is of class 5":        {`"class":0`, `"class":5`},
		"complete with 1 of 2": {`"running"`, `"complete"`},
		"1 classes":            {`["a","b"]`, `["a"]`},
		"invalid character":    {`{"format"`, `x{"format"`},
	} {
		if _, err := decode([]byte(strings.Replace(good, change[0], change[1], 1))); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"format":1,"status":"running","folds":2,"repeats":1,"classes":["a","b"],"subjects":[],"runs":[]}`))
	f.Add([]byte(`{"format":1,"results":[{"value":"NaN","repeats":[1,"Infinity"]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		record, err := decode(text)
		if (record == nil) != (err != nil) || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("record %v with the error %v", record, err)
		}
	})
}
