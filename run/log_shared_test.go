package run

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// sharedFolder finds data that is not part of the repository: $BALLAST_SHARED or
// a folder "shared" beside the module.
func sharedFolder(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("BALLAST_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "shared")
	}
	path := filepath.Join(root, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s: shared data absent", name)
	}
	return path
}

// loggedFacts are what facts.json says of a log; its numbers were computed from
// the files by other code.
type loggedFacts struct {
	Validation *int               `json:"n_val"`
	Classes    *int               `json:"n_classes"`
	Format     string             `json:"format"`
	Computed   map[string]any     `json:"computed"`
	number     map[string]float64 // of Computed
}

func readFacts(t *testing.T, folder string) loggedFacts {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "facts.json"))
	if err != nil {
		t.Fatal(err)
	}
	var facts loggedFacts
	if err := json.Unmarshal(text, &facts); err != nil {
		t.Fatal(err)
	}
	facts.number = map[string]float64{}
	for name, value := range facts.Computed {
		if x, ok := value.(float64); ok {
			facts.number[name] = x
		}
	}
	return facts
}

// The format that every shared log must be recognised as, by facts.json's word
// for it.
var sharedFormats = map[string][]string{
	"keras_stdout": {"text"}, "monai_text": {"text"}, "history_json": {"history-json"}, "keras_csvlogger": {"keras-csv"},
	"hf_trainer_state": {"huggingface"}, "lightning_metrics_csv": {"lightning-csv"}, "tfevents_pytorch": {"tensorboard"},
	"generic_csv": {"csv"},
}

func TestSharedLogs(t *testing.T) {
	root := sharedFolder(t, "logs")
	folders, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		t.Run(folder.Name(), func(t *testing.T) {
			path := filepath.Join(root, folder.Name())
			facts := readFacts(t, path)
			all, err := OpenLog(path)
			if facts.Computed["history_records"] == 0.0 {
				if !errors.Is(err, ErrNoValidation) {
					t.Fatalf("got %v, want an error that says that nothing was logged", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkFacts(t, facts, all)
		})
	}
}

func checkFacts(t *testing.T, facts loggedFacts, all []*Curves) {
	// A file that begins within a run holds it in part; facts.json counts and
	// describes whole runs.
	whole := slices.DeleteFunc(slices.Clone(all), func(c *Curves) bool { return c.Points[0].Epoch != 1 })
	if runs, given := facts.number["runs_in_file"]; given && len(whole) != int(runs) {
		t.Fatalf("%d runs, want %v", len(whole), runs)
	} else if !given && len(all) != 1 {
		t.Fatalf("%d runs, want 1", len(all))
	}
	first := whole[0]
	if !slices.Contains(sharedFormats[facts.Format], first.Format) {
		t.Errorf("format %q, want one of %q", first.Format, sharedFormats[facts.Format])
	}
	if first.Validation != 0 && first.Validation != *facts.Validation {
		t.Errorf("%d validation subjects, want %d", first.Validation, *facts.Validation)
	}
	if first.Classes != 0 && first.Classes != *facts.Classes {
		t.Errorf("%d classes, want %d", first.Classes, *facts.Classes)
	}
	if finals, given := facts.Computed["final_val_acc_over_runs"].([]any); given {
		for i, want := range finals {
			points := whole[i].Points
			last := len(points) - 1
			for math.IsNaN(float64(points[last].ValidationAccuracy)) {
				last--
			}
			if got := points[last].ValidationAccuracy; float64(got) != want {
				t.Errorf("run %d ends with accuracy %v, want %v", i+1, got, want)
			}
		}
	}
	checkCurves(t, facts, first)
}

// checkCurves compares epochs and first, last, least and greatest values.
func checkCurves(t *testing.T, facts loggedFacts, c *Curves) {
	// The state of Hugging Face is logged in 63 rows of training: its losses are
	// means here.
	perRow := c.Format == "huggingface"
	if want := int(facts.number["epochs"]); len(c.Points) != want && !perRow {
		t.Errorf("%d epochs, want %d", len(c.Points), want)
	}
	curves := map[string]func(Point) Float{
		"val_acc":  func(p Point) Float { return p.ValidationAccuracy },
		"val_loss": func(p Point) Float { return p.ValidationLoss },
	}
	if !perRow {
		curves["train_loss"] = func(p Point) Float { return p.TrainLoss }
		curves["train_acc"] = func(p Point) Float { return p.TrainAccuracy }
	}
	if c.Measure == "Dice" || c.Measure == "F1" {
		curves[map[string]string{"Dice": "dice", "F1": "f1"}[c.Measure]] = curves["val_acc"]
	}
	compared, nans := 0, 0
	for _, p := range c.Points {
		nans += len(p.LoggedNaN)
	}
	if want := int(facts.number["nonfinite_losses"]); nans != want {
		t.Errorf("%d logged nan, want %d", nans, want)
	}
	for name, of := range curves {
		summary := summarise(c.Points, of)
		for what, got := range summary {
			want, given := facts.number[name+"_"+what]
			if !given {
				continue
			}
			compared++
			if !(math.Abs(got-want) <= 5.1e-5) { // printed and averaged in different order
				t.Errorf("%s_%s = %v, want %v", name, what, got, want)
			}
		}
	}
	if compared < 4 {
		t.Errorf("only %d numbers of facts.json compared", compared)
	}
}

func summarise(points []Point, of func(Point) Float) map[string]float64 {
	summary := map[string]float64{}
	for i, p := range points {
		x := float64(of(p))
		if math.IsNaN(x) {
			continue
		}
		if _, begun := summary["first"]; !begun {
			summary["first"], summary["min"], summary["max"] = x, x, x
			summary["min_epoch"] = float64(i + 1)
		}
		summary["last"] = x
		summary["max"] = max(summary["max"], x)
		if x < summary["min"] {
			summary["min"], summary["min_epoch"] = x, float64(i+1)
		}
	}
	return summary
}
