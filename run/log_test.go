package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goldenFormats are the folders of testdata/logs with what must be concluded of
// them; the values are in truth.json, as the trainers reported them.
var goldenFormats = map[string]struct {
	format     string
	measure    string
	validation int
	classes    int
	tolerance  float64 // of the losses: printed digits, float32
}{
	"keras-tensorboard":     {"tensorboard", "accuracy", 0, 0, 1e-7},
	"keras-csv":             {"keras-csv", "accuracy", 0, 0, 0},
	"keras-history":         {"history-json", "accuracy", 0, 0, 0},
	"keras-verbose1":        {"text", "accuracy", 0, 0, 5.1e-5},
	"keras-verbose2":        {"text", "accuracy", 0, 0, 5.1e-5},
	"torch-epochs":          {"tensorboard", "accuracy", 0, 0, 1e-7},
	"torch-steps":           {"tensorboard", "accuracy", 0, 0, 1e-7},
	"torch-add-scalars":     {"tensorboard", "", 0, 0, 1e-7},
	"lightning-csv":         {"lightning-csv", "accuracy", 0, 0, 0},
	"lightning-tensorboard": {"tensorboard", "accuracy", 0, 0, 1e-7},
	"huggingface":           {"huggingface", "accuracy", 0, 0, 0},
	"mlflow":                {"mlflow", "accuracy", 0, 2, 0},
	"mmengine":              {"mmengine", "accuracy", 0, 0, 0},
	"mmcv":                  {"mmengine", "accuracy", 0, 0, 1e-12},
	"timm":                  {"timm-csv", "accuracy", 0, 0, 0},
	"fastai":                {"fastai-csv", "accuracy", 0, 0, 0},
	"ultralytics":           {"ultralytics-csv", "accuracy", 0, 0, 0},
	"nnunet-v1":             {"nnunet", "Dice", 12, 0, 0},
	"nnunet-v2":             {"nnunet", "Dice", 12, 0, 0},
	"wandb":                 {"wandb", "accuracy", 0, 2, 0},
}

// A reportedRun is a run as the trainer reported it.
type reportedRun struct {
	Loss               []Float `json:"loss"`
	Accuracy           []Float `json:"accuracy"`
	ValidationLoss     []Float `json:"val_loss"`
	ValidationAccuracy []Float `json:"val_accuracy"`
}

func readReported(t *testing.T) map[string][]reportedRun {
	t.Helper()
	text, err := os.ReadFile("testdata/logs/truth.json")
	if err != nil {
		t.Fatal(err)
	}
	var reported map[string][]reportedRun
	if err := json.Unmarshal(text, &reported); err != nil {
		t.Fatal(err)
	}
	return reported
}

func TestGoldenLogs(t *testing.T) {
	reported := readReported(t)
	folders, err := os.ReadDir("testdata/logs")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		t.Run(folder.Name(), func(t *testing.T) {
			want, known := goldenFormats[folder.Name()]
			if !known || reported[folder.Name()] == nil {
				t.Fatal("no expectation")
			}
			all, err := OpenLog(filepath.Join("testdata/logs", folder.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if len(all) != len(reported[folder.Name()]) {
				t.Fatalf("%d runs, want %d", len(all), len(reported[folder.Name()]))
			}
			for i, c := range all {
				if c.Format != want.format || c.Measure != want.measure || c.Validation != want.validation || c.Classes != want.classes {
					t.Errorf("run %d: %s, measure %q, %d validation subjects, %d classes; want %+v", i, c.Format, c.Measure, c.Validation, c.Classes, want)
				}
				compareReported(t, c, reported[folder.Name()][i], want.tolerance)
			}
		})
	}
}

func compareReported(t *testing.T, c *Curves, want reportedRun, tolerance float64) {
	t.Helper()
	for name, curve := range map[string]struct {
		want []Float
		of   func(Point) Float
	}{
		TrainLoss:          {want.Loss, func(p Point) Float { return p.TrainLoss }},
		TrainAccuracy:      {want.Accuracy, func(p Point) Float { return p.TrainAccuracy }},
		ValidationLoss:     {want.ValidationLoss, func(p Point) Float { return p.ValidationLoss }},
		ValidationAccuracy: {want.ValidationAccuracy, func(p Point) Float { return p.ValidationAccuracy }},
	} {
		if curve.want == nil {
			continue
		}
		if len(curve.want) != len(c.Points) {
			t.Fatalf("%d points, want %d", len(c.Points), len(curve.want))
		}
		for i, x := range curve.want {
			got := float64(curve.of(c.Points[i]))
			nan := math.IsNaN(float64(x))
			if nan != slices.Contains(c.Points[i].LoggedNaN, name) || !nan && !(math.Abs(got-float64(x)) <= max(tolerance, 1e-15)) {
				t.Errorf("%s of epoch %d is %v, want %v", name, c.Points[i].Epoch, got, x)
			}
			if c.Points[i].Epoch != i+1 {
				t.Errorf("point %d is epoch %d", i, c.Points[i].Epoch)
			}
		}
	}
}

// A folder with everything in it holds every run once, named by its place.
func TestFolderOfLogs(t *testing.T) {
	reported := readReported(t)
	want := 0
	for _, runs := range reported {
		want += len(runs)
	}
	// The two outputs of Keras are of one training; they differ in file names only.
	all, err := OpenLog("testdata/logs")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, c := range all {
		if c.Name == "" || names[c.Name] {
			t.Errorf("name %q is empty or not unique", c.Name)
		}
		names[c.Name] = true
	}
	// Lightning logged one training (seed 7) to a table and to an event file.
	if want--; len(all) != want {
		t.Errorf("%d runs, want %d: %v", len(all), want, names)
	}
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNotALog(t *testing.T) {
	folder := t.TempDir()
	for _, test := range []struct {
		name, text string
		sentinel   error
		says       string
	}{
		{"empty.csv", "", ErrNotLog, "TensorBoard"},
		{"prose.txt", "The loss of 3 patients was noted.\n", ErrNotLog, "looked for"},
		{"participants.tsv", "participant_id\tage\tsex\nsub-01\t30\tF\n", ErrNotLog, "Keras"},
		{"mlflow.db", "SQLite format 3\x00rest", ErrNotLog, "an SQLite database: of MLflow"},
		{"val_loss.csv", "Wall time,Step,Value\n1.5,1,0.5\n2.5,2,0.4\n", ErrNotLog, "give the event files"},
		{"model.h5", "\x89HDF\r\n\x1a\n", ErrNotLog, "an HDF5 file"},
		{"info.mat", "MATLAB 5.0 MAT-file, Platform", ErrNotLog, "writetable"},
		{"history.pkl", "\x80\x04\x95\x00", ErrNotLog, "json.dump"},
		{"offline.zip", "PK\x03\x04", ErrNotLog, "unpack"},
		{"epochs.jsonl", `{"epoch":1,"step":4,"learning_rate":0.1,"gradient_norm":1,"evaluations":[{"view":"logged"}]}` + "\n", ErrNotLog, "give the run's folder"},
		{"run.json", "{\n  \"format\": 1,\n  \"epochs_planned\": 3\n}\n", ErrNotLog, "give the run's folder"},
		{"events.out.tfevents.1.host", string(events("train/loss", 1, 2, 1)), ErrNoValidation, "give the folder of the run"},
		{"train-only.csv", "epoch,loss,accuracy\n0,0.7,0.5\n1,0.6,0.6\n", ErrNoValidation, "2 epochs"},
		{"train-only.json", `{"loss": [0.7, 0.6]}`, ErrNoValidation, "history-json"},
		{"train-only.txt", "Epoch 1/2\nloss: 0.7\nEpoch 2/2\nloss: 0.6\n", ErrNoValidation, "text"},
	} {
		_, err := OpenLog(writeFile(t, filepath.Join(folder, test.name), test.text))
		if !errors.Is(err, test.sentinel) || !strings.Contains(fmt.Sprint(err), test.says) || strings.Contains(fmt.Sprint(err), "\n") {
			t.Errorf("%s: got %v, want %v that says %q", test.name, err, test.sentinel, test.says)
		}
	}
	if _, err := OpenLog(filepath.Join(folder, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	if _, err := OpenLog(t.TempDir()); !errors.Is(err, ErrNotLog) {
		t.Errorf("empty folder: %v", err)
	}
}

// What is found in a folder with a run of ballast, code and several formats.
func TestSearch(t *testing.T) {
	folder := t.TempDir()
	csv := "epoch,loss,val_loss,val_accuracy\n0,0.7,0.7,0.5\n1,0.6,0.65,0.6\n2,0.5,0.6,0.7\n"
	writeFile(t, filepath.Join(folder, "trial10", "log.csv"), csv)
	writeFile(t, filepath.Join(folder, "trial2", "log.csv"), strings.ReplaceAll(csv, "0.65", "0.66"))
	writeFile(t, filepath.Join(folder, "trial2", "out.txt"), "Epoch 1\nval_loss: 0.7 val_accuracy: 0.5\nEpoch 2\nval_loss: 0.66 val_accuracy: 0.6\nEpoch 3\nval_loss: 0.6 val_accuracy: 0.7\n")
	writeFile(t, filepath.Join(folder, "train.py"), "print('Epoch 1 val_loss: 0.5')\nprint('Epoch 2 val_loss: 0.5')\n")
	writeFile(t, filepath.Join(folder, "own", HeaderFile), "{}")
	writeFile(t, filepath.Join(folder, "own", EpochsFile), "{}")
	writeFile(t, filepath.Join(folder, "bad", "history.json"), `{"loss": [0.7, 0.6], "val_loss": [0.7, 0.6`)
	all, err := OpenLog(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	notes := ""
	for _, c := range all {
		names = append(names, c.Name)
		notes += strings.Join(c.Notes, "\n") + "\n"
	}
	if want := []string{"bad/history.json", "trial2/log.csv", "trial10/log.csv"}; !slices.Equal(names, want) {
		t.Errorf("runs %q, want %q", names, want)
	}
	for _, note := range []string{"is a run of ballast", "trial2/out.txt (text)", "ends in the middle of a value"} {
		if !strings.Contains(notes, note) {
			t.Errorf("no note says %q:\n%s", note, notes)
		}
	}
}

func TestRoleOf(t *testing.T) {
	for name, want := range map[string]role{
		"val_loss":                        {set: validationSet, quantity: lossQuantity},
		"Loss/train":                      {set: trainSet, quantity: lossQuantity},
		"valAcc":                          {set: validationSet, quantity: measureQuantity, measure: "accuracy"},
		"trainloss":                       {set: trainSet, quantity: lossQuantity},
		"sparse_categorical_accuracy":     {quantity: measureQuantity, measure: "accuracy"},
		"val_sparse_categorical_accuracy": {set: validationSet, quantity: measureQuantity, measure: "accuracy"},
		"metrics/accuracy_top1":           {quantity: measureQuantity, measure: "accuracy"},
		"eval_top1":                       {set: validationSet, quantity: measureQuantity, measure: "accuracy"},
		"val_balanced_accuracy":           {set: validationSet, quantity: measureQuantity, measure: "balanced accuracy"},
		"val_roc_auc":                     {set: validationSet, quantity: measureQuantity, measure: "AUROC"},
		"valid mean dice":                 {set: validationSet, quantity: measureQuantity, measure: "Dice"},
		"dev f1-score":                    {set: validationSet, quantity: measureQuantity, measure: "F1"},
		"epoch":                           {quantity: epochQuantity},
		"test_loss":                       {set: testSet, quantity: lossQuantity},
		"error_rate":                      {quantity: errorQuantity},
	} {
		if got := roleOf(name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	for _, name := range []string{"learning_rate", "lr", "lr-Adam", "lr/pg0", "LearningRate"} {
		if got := roleOf(name); got.quantity != rateQuantity {
			t.Errorf("%s is no learning rate: %+v", name, got)
		}
	}
	for _, name := range []string{"best_acc", "metrics/accuracy_top5", "weight_decay", "loss_scale", "eval_runtime", "eval_samples_per_second", "time", "batch_time", "train/l1_loss", "hp_metric", "", "___"} {
		if got := roleOf(name); got.quantity != otherQuantity && got.quantity != timeQuantity {
			t.Errorf("%q is taken for %+v", name, got)
		}
	}
	// A dice loss is a loss, of lower rank than one that is called loss.
	if got := roleOf("val_dice_loss"); got.quantity != lossQuantity || got.rank == 0 {
		t.Errorf("val_dice_loss: %+v", got)
	}
	// Class-wise accuracies come after the accuracy.
	if roleOf("val_acc_tumour").rank <= roleOf("val_acc").rank {
		t.Error("the accuracy of one class ranks like that of all")
	}
}

func TestHundredth(t *testing.T) {
	for x, want := range map[float64]float64{52.63: 0.5263, 100: 1, 0: 0, 31.58: 0.3158, 7.1: 0.071, 99.99: 0.9999} {
		if got := hundredth(x); got != want {
			t.Errorf("hundredth(%v) = %v, want %v", x, got, want)
		}
	}
	if got := complement(1, 0.1234); got != 0.8766 {
		t.Errorf("complement = %v", got)
	}
}

// brokenReader fails after some bytes.
type brokenReader struct{ r io.Reader }

var errBroken = errors.New("broken")

func (b brokenReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == io.EOF {
		err = errBroken
	}
	return n, err
}

// A file that cannot be read to its end is no complete log.
func TestReadErrors(t *testing.T) {
	table := "epoch,loss,val_loss\n0,1,1\n"
	for name, read := range map[string]func(io.Reader) error{
		"table": func(r io.Reader) error { _, _, err := readTable(r); return err },
		"text":  func(r io.Reader) error { _, err := readText(r); return err },
		"events": func(r io.Reader) error {
			_, err := readEvents(r, func(scalar) {})
			return err
		},
		"mmengine": func(r io.Reader) error { _, err := readMMEngine(r); return err },
		"nnunet":   func(r io.Reader) error { _, err := readNNUNet(r); return err },
		"wandb":    func(r io.Reader) error { _, err := readWandb(r); return err },
	} {
		text := table
		if name == "wandb" {
			text = wandbMagic
		}
		if err := read(brokenReader{strings.NewReader(text)}); name != "events" && !errors.Is(err, errBroken) {
			t.Errorf("%s: error %v is lost", name, err)
		}
	}
}
