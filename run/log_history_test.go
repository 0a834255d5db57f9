package run

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestReadHistory(t *testing.T) {
	for _, test := range []struct {
		name, text string
		names      []string
		want       [][][5]float64
	}{
		{"object of lists, NaN as Python writes it", `{"loss": [1, NaN], "accuracy": [0.5, 0.6], "val_loss": [2.0, Infinity], "val_accuracy": [0.4, 0.5], "note": "NaN"}`,
			[]string{""}, [][][5]float64{{{1, 1, 0.5, 2, 0.4}, {2, math.NaN(), 0.6, math.Inf(1), 0.5}}}},
		{"one level down", `{"params": {"epochs": 2, "verbose": 0}, "history": {"loss": [1, 2], "val_loss": [3, 4]}}`,
			[]string{""}, [][][5]float64{{{1, 1, -1, 3, -1}, {2, 2, -1, 4, -1}}}},
		{"folds", `{"fold_0": {"train_loss": [1, 2], "val_loss": [3, 4]}, "fold_1": {"train_loss": [5], "val_loss": [6]}}`,
			[]string{"fold_0", "fold_1"}, [][][5]float64{{{1, 1, -1, 3, -1}, {2, 2, -1, 4, -1}}, {{1, 5, -1, 6, -1}}}},
		{"list of objects", `[{"epoch": 0, "train": {"loss": 1, "acc": 0.5}, "val": {"loss": 2, "acc": 0.25}}, {"epoch": 1, "train": {"loss": 0.5, "acc": 0.75}, "val": {"loss": 1, "acc": 0.5}}]`,
			[]string{""}, [][][5]float64{{{1, 1, 0.5, 2, 0.25}, {2, 0.5, 0.75, 1, 0.5}}}},
		{"list of objects, two runs", `[{"epoch": 1, "val_loss": 2}, {"epoch": 2, "val_loss": 1}, {"epoch": 1, "val_loss": 4}, {"epoch": 2, "val_loss": 3}]`,
			[]string{"", ""}, [][][5]float64{{{1, -1, -1, 2, -1}, {2, -1, -1, 1, -1}}, {{1, -1, -1, 4, -1}, {2, -1, -1, 3, -1}}}},
		{"objects of sets", `{"train": {"loss": [1, 2], "accs": [0.5, 0.6]}, "val": {"loss": [3, 4], "accs": [0.25, 0.5]}}`,
			[]string{""}, [][][5]float64{{{1, 1, 0.5, 3, 0.25}, {2, 2, 0.6, 4, 0.5}}}},
		{"lists of sets", `{"train": [{"epoch": 1, "loss": 1}, {"epoch": 2, "loss": 2}], "val": [{"epoch": 1, "loss": 3}, {"epoch": 2, "loss": 4}]}`,
			[]string{""}, [][][5]float64{{{1, 1, -1, 3, -1}, {2, 2, -1, 4, -1}}}},
		{"numbers as text", `{"val_loss": ["0.5", "nan", "0.25"]}`,
			[]string{""}, [][][5]float64{{{1, -1, -1, 0.5, -1}, {2, -1, -1, math.NaN(), -1}, {3, -1, -1, 0.25, -1}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !isHistory([]byte(test.text)) {
				t.Error("not recognised")
			}
			runs, err := readHistory(strings.NewReader(test.text))
			if err != nil || len(runs) != len(test.want) {
				t.Fatalf("%d runs, error %v", len(runs), err)
			}
			for i, one := range runs {
				if one.name != test.names[i] {
					t.Errorf("run %d is called %q, want %q", i, one.name, test.names[i])
				}
				comparePoints(t, one.curves("", "").Points, test.want[i])
			}
		})
	}
}

func TestIsHistory(t *testing.T) {
	for _, text := range []string{"", "{", "{}", "[]", `[1, 2, 3]`, `{"val_loss": 0.5}`, `{"name": ["val_loss"]}`, `["val_loss"]`,
		// A summary that holds one list beside single numbers is no history.
		`{"computed": {"epochs": 12, "best": 0.5, "lowest": 1, "val_acc": [0.5, 0.6]}}`} {
		if isHistory([]byte(text)) {
			t.Errorf("taken for a history: %s", text)
		}
	}
}

// A file cut anywhere gives a prefix of each list and an error.
func TestCutHistory(t *testing.T) {
	text := `{"loss": [0.75, 0.5, 0.25], "val_loss": [1.5, 1.25, 1.125]}`
	for cut := 1; cut < len(text); cut++ {
		runs, err := readHistory(strings.NewReader(text[:cut]))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: error %v", cut, err)
		}
		for _, one := range runs {
			for _, s := range one.series {
				for i, x := range s.samples {
					want := map[string][]float64{"loss": {0.75, 0.5, 0.25}, "val_loss": {1.5, 1.25, 1.125}}[s.name][i]
					if x.value != want && i < len(s.samples)-1 {
						t.Fatalf("cut at %d: %s[%d] = %v", cut, s.name, i, x.value)
					}
				}
			}
		}
	}
}

func TestDeepHistory(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 100_000)
	if _, err := readHistory(strings.NewReader(deep)); err == nil {
		t.Error("no error for objects 100 000 deep")
	}
	if _, err := readHistory(strings.NewReader(`{"a":` + strings.Repeat("[", 100_000))); err == nil {
		t.Error("no error for lists 100 000 deep")
	}
}

func TestTrainerState(t *testing.T) {
	state := func(rows string) string { return `{"global_step": 30, "log_history": [` + rows + `], "max_steps": 30}` }
	run, step, err := readTrainerState(strings.NewReader(state(
		`{"loss": 0.75, "epoch": 0.5, "step": 5, "learning_rate": 0.1}, {"loss": 0.25, "epoch": 0.99, "step": 10},` +
			`{"eval_loss": 0.5, "eval_accuracy": 0.6, "eval_runtime": 8.752, "eval_samples_per_second": 95.978, "epoch": 0.99, "step": 10},` +
			`{"loss": NaN, "epoch": 1.98, "step": 20},` +
			`{"eval_loss": 0.25, "eval_accuracy": 0.7, "eval_runtime": 11.2209, "eval_samples_per_second": 74.86, "epoch": 1.98, "step": 20},` +
			`{"train_loss": 0.4, "train_runtime": 3, "epoch": 2.0, "step": 20}`)))
	if err != nil || step != 20 {
		t.Fatalf("step %d, error %v", step, err)
	}
	c := run.curves("", "")
	comparePoints(t, c.Points, [][5]float64{{1, 0.5, -1, 0.5, 0.6}, {2, math.NaN(), -1, 0.25, 0.7}})
	// 8.752 x 95.978 = 839.999, 11.2209 x 74.86 = 839.997
	if c.Validation != 840 || c.Points[1].Step != 20 || c.Points[0].LearningRate != 0.1 {
		t.Errorf("%d validation samples, %+v", c.Validation, c.Points)
	}
	// Two sizes: the set changed, or two sets are evaluated.
	run, _, _ = readTrainerState(strings.NewReader(state(
		`{"eval_loss": 1, "eval_runtime": 1.0, "eval_samples_per_second": 50.0, "step": 1}, {"eval_loss": 1, "eval_runtime": 1.0, "eval_samples_per_second": 60.0, "step": 2}`)))
	if run.validation != 0 || len(run.notes) != 1 {
		t.Errorf("%d validation samples, %q", run.validation, run.notes)
	}
	for _, bad := range []string{"", "[]", `{"log_history": 3}`, `{"log_history": [3]}`, `{"log_history": [{"loss": 1`} {
		if _, _, err := readTrainerState(strings.NewReader(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func FuzzHistory(f *testing.F) {
	addFiles(f, "keras-history/*.json")
	f.Add([]byte(`[{"epoch": 1, "val": {"loss": NaN}}]`))
	f.Fuzz(func(t *testing.T, file []byte) {
		isHistory(file)
		runs, _ := readHistory(bytes.NewReader(file))
		checkRuns(t, runs)
	})
}

func FuzzTrainerState(f *testing.F) {
	addFiles(f, "huggingface/*.json")
	f.Fuzz(func(t *testing.T, file []byte) {
		if one, _, _ := readTrainerState(bytes.NewReader(file)); one != nil {
			checkRuns(t, []*loggedRun{one})
		}
	})
}
