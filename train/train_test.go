package train

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ballast/cohort"
	"ballast/prep"
	"ballast/run"
	"ballast/stat"
)

// blobs returns tiny images whose classes differ in the mean of their centre;
// some subjects have two images.
func blobs(p Plan, train, validation, test int) *Images {
	image := func(stream *stat.Stream, class int) *prep.Image {
		config := p.PrepConfig()
		im := &prep.Image{C: 1, D: config.Grid[0], H: config.Grid[1], W: config.Grid[2]}
		im.Data = make([]float32, im.D*im.H*im.W)
		for i := range im.Data {
			im.Data[i] = float32(stream.Normal()) + float32(class)
		}
		return im
	}
	set := func(name string, n int) Set {
		s := Set{Name: name}
		for i := range n {
			stream := stat.NewStream(99, name, uint64(i))
			count := 1 + i%2
			s.Subjects = append(s.Subjects, run.Subject{ID: name + string(rune('a'+i)), Class: i % 2, Images: count})
			for range count {
				s.Samples = append(s.Samples, Sample{Subject: i, Class: i % 2, Image: image(stream, i%2)})
			}
		}
		return s
	}
	return &Images{Classes: []string{"no", "yes"}, Train: set(run.Train, train), Validation: set(run.Validation, validation), Test: set(run.Test, test)}
}

func smallPlan() Plan {
	p := DefaultPlan()
	p.Epochs, p.Batch = 3, 4
	p.Prep.Crop, p.Prep.Grid, p.Prep.Spacing = "none", []int{4, 8, 8}, []float64{1, 1, 1}
	p.Net.Name, p.Net.Width, p.Net.Dropout = "cnn2", 3, 0.2
	return p
}

// trainInto trains a plan into a new folder and returns it.
func trainInto(t *testing.T, ctx context.Context, p Plan, images *Images, o Options) (string, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	writer, err := run.Create(dir, Header(p, images, "test"), p.YAML())
	if err != nil {
		t.Fatal(err)
	}
	return dir, Train(ctx, p, images, writer, o)
}

// files returns the contents of every file below a folder by its name.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	contents := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil {
			contents[name], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return contents
}

func TestSameBitsOnAnyNumberOfThreads(t *testing.T) {
	p := smallPlan()
	p.Validation = Validation{Weights: "current", Recalibrate: true, Augment: true, Dropout: true, Fraction: 0.6}
	var reference map[string][]byte
	for _, threads := range []int{1, 1, 2, 3, 7} {
		dir, err := trainInto(t, context.Background(), p, blobs(p, 10, 6, 4), Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		got := files(t, dir)
		if reference == nil {
			reference = got
			for _, name := range []string{"run.json", "plan.yaml", "epochs.jsonl", "test.json", "weights/last.safetensors", "weights/best.safetensors", "weights/averaged.safetensors"} {
				if len(got[name]) == 0 {
					t.Errorf("the run has no %s", name)
				}
			}
			continue
		}
		if len(got) != len(reference) {
			t.Errorf("%d threads: %d files, want %d", threads, len(got), len(reference))
		}
		for name, content := range reference {
			if !bytes.Equal(got[name], content) {
				t.Errorf("%d threads: %s differs", threads, name)
			}
		}
	}
}

func TestAnotherSeedGivesAnotherRun(t *testing.T) {
	p := smallPlan()
	p.Epochs = 1
	one, err := trainInto(t, context.Background(), p, blobs(p, 8, 4, 0), Options{})
	if err != nil {
		t.Fatal(err)
	}
	p.Seed++
	two, err := trainInto(t, context.Background(), p, blobs(p, 8, 4, 0), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(files(t, one)["epochs.jsonl"], files(t, two)["epochs.jsonl"]) {
		t.Error("two seeds gave the same epochs")
	}
}

func TestViewsOfACleanRun(t *testing.T) {
	p := smallPlan()
	images := blobs(p, 10, 6, 0)
	images.More = []Set{blobs(p, 1, 12, 0).Validation}
	images.More[0].Name = "fresh"
	dir, err := trainInto(t, context.Background(), p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.Header.Status != run.Complete || len(r.Epochs) != p.Epochs {
		t.Fatalf("status %s with %d epochs", r.Header.Status, len(r.Epochs))
	}
	for i := range r.Epochs {
		e := &r.Epochs[i]
		for _, set := range []string{run.Train, run.Validation, "fresh"} {
			for _, view := range []string{run.Logged, run.Deterministic, run.Recalibrated, run.Averaged} {
				if e.Evaluation(view, set) == nil {
					t.Fatalf("epoch %d has no view %s of %s", e.Epoch, view, set)
				}
			}
		}
		logged, clean := e.Evaluation(run.Logged, run.Validation), e.Evaluation(run.Deterministic, run.Validation)
		if logged.Loss != clean.Loss || logged.Accuracy != clean.Accuracy {
			t.Errorf("epoch %d: a clean run logs %v, deterministic is %v", e.Epoch, logged.Loss, clean.Loss)
		}
		checkAccuracy(t, r.Header.Sets[run.Validation], clean)
		for view, other := range map[string]*run.Evaluation{"recalibrated": e.Evaluation(run.Recalibrated, run.Validation), "averaged": e.Evaluation(run.Averaged, run.Validation)} {
			if other.Loss == clean.Loss {
				t.Errorf("epoch %d: the %s view equals the deterministic one", e.Epoch, view)
			}
		}
	}
}

// checkAccuracy recomputes accuracy and loss from the recorded probabilities.
// Loss agrees to the rounding of float32 probabilities.
func checkAccuracy(t *testing.T, subjects []run.Subject, e *run.Evaluation) {
	t.Helper()
	var correct, loss float64
	for i, row := range e.Probabilities {
		if row.Class() == subjects[i].Class {
			correct++
		}
		loss -= math.Log(float64(row[subjects[i].Class])) / float64(len(subjects))
		if sum := float64(row[0]) + float64(row[1]); !(math.Abs(sum-1) < 1e-6) {
			t.Errorf("probabilities of subject %d sum to %g", i, sum)
		}
	}
	if got := float64(e.Accuracy); got != correct/float64(len(subjects)) {
		t.Errorf("accuracy %g, from the probabilities %g", got, correct/float64(len(subjects)))
	}
	if !(math.Abs(float64(e.Loss)-loss) < 1e-5) {
		t.Errorf("loss %g, from the probabilities %g", e.Loss, loss)
	}
}

func TestTrainingLearns(t *testing.T) {
	p := smallPlan()
	p.Epochs, p.Net.Dropout = 12, 0
	p.Optimizer.LR = 0.01
	for _, name := range []string{"adam", "sgd"} {
		p.Optimizer.Name = name
		dir, err := trainInto(t, context.Background(), p, blobs(p, 16, 10, 0), Options{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := run.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		last := &r.Epochs[len(r.Epochs)-1]
		if accuracy := last.Evaluation(run.Averaged, run.Validation).Accuracy; accuracy < 0.9 {
			t.Errorf("%s: averaged validation accuracy %g on classes one standard deviation apart in every voxel", name, accuracy)
		}
	}
}

// cancelAfter is a context that ends after n progress reports.
func TestInterruptLeavesAValidRun(t *testing.T) {
	p := smallPlan()
	ctx, cancel := context.WithCancel(context.Background())
	epochs := 0
	dir, err := trainInto(t, ctx, p, blobs(p, 10, 6, 4), Options{Progress: func(progress Progress) {
		if progress.Epoch != nil {
			epochs++
		} else if epochs == 1 {
			cancel()
		}
	}})
	if !errors.Is(err, ErrInterrupted) {
		t.Fatalf("Train returned %v", err)
	}
	r, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.Header.Status != run.Interrupted || len(r.Epochs) != 1 {
		t.Errorf("status %s with %d epochs, want interrupted with 1", r.Header.Status, len(r.Epochs))
	}
}

func TestDivergenceIsReported(t *testing.T) {
	p := smallPlan()
	p.Net.Norm, p.Optimizer.Name, p.Optimizer.LR, p.Epochs = "none", "sgd", 1000, 20
	dir, err := trainInto(t, context.Background(), p, blobs(p, 10, 6, 0), Options{})
	if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "optimizer.lr") {
		t.Fatalf("Train returned %v", err)
	}
	if _, err := run.Open(dir); err != nil {
		t.Errorf("the diverged run cannot be opened: %v", err)
	}
}

func TestPredictAgreesWithTheRecord(t *testing.T) {
	dir := t.TempDir()
	p := smallPlan()
	images := blobs(p, 10, 6, 0)
	var paths []cohort.Image
	for i, sample := range images.Validation.Samples {
		if sample.Subject == 1 {
			im := sample.Image
			v := &cohort.Volume{Data: im.Data, Shape: [3]int{im.W, im.H, im.D}, Spacing: [3]float64{1, 1, 1},
				Affine: [3][4]float64{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}
			path := filepath.Join(dir, string(rune('a'+i))+".nii.gz")
			if err := cohort.WriteNIfTI(path, v, "float32"); err != nil {
				t.Fatal(err)
			}
			prepared, err := prep.Load(cohort.Image{Path: path}, p.PrepConfig())
			if err != nil {
				t.Fatal(err)
			}
			images.Validation.Samples[i].Image = prepared
			paths = append(paths, cohort.Image{Path: path})
		}
	}
	runDir, err := trainInto(t, context.Background(), p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(runDir)
	if err != nil {
		t.Fatal(err)
	}
	for weights, view := range map[string]string{LastWeights: run.Deterministic, AveragedWeights: run.Averaged} {
		predictor, err := NewPredictor(runDir, weights, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer predictor.Close()
		row, err := predictor.Predict(cohort.Subject{Images: paths})
		if err != nil {
			t.Fatal(err)
		}
		want := r.Epochs[len(r.Epochs)-1].Evaluation(view, run.Validation).Probabilities[1]
		for class := range row {
			if row[class] != want[class] {
				t.Errorf("%s weights: predicted %v, recorded %v", weights, row, want)
			}
		}
	}
}

func TestParts(t *testing.T) {
	for n := 1; n <= 50; n++ {
		for size := 1; size <= 12; size++ {
			next, smallest, most := 0, n, 0
			for _, part := range parts(n, size) {
				if part.from != next {
					t.Fatalf("parts(%d, %d) = %v", n, size, parts(n, size))
				}
				next = part.to
				smallest, most = min(smallest, part.to-part.from), max(most, part.to-part.from)
			}
			if next != n || most > size || most-smallest > 1 {
				t.Errorf("parts(%d, %d) = %v", n, size, parts(n, size))
			}
		}
	}
}

func TestLogMean(t *testing.T) {
	for _, c := range []struct{ in, want float64 }{{-1000, -1000 + math.Log(0.75)}} {
		if got := logMean([]float64{c.in, c.in + math.Log(0.5)}); !(math.Abs(got-c.want) < 1e-12) {
			t.Errorf("logMean = %g, want %g", got, c.want)
		}
	}
	if got := logMean([]float64{math.Inf(-1), math.Inf(-1)}); !math.IsInf(got, -1) {
		t.Errorf("logMean of impossibilities = %g", got)
	}
}

// Batch-norm statistics play no part in training, so a run that recomputes them
// logs exactly what the plain run shows in its recalibrated view. The treatment
// of batch-norm-lag rests on that.
func TestRecalibrate(t *testing.T) {
	p := smallPlan()
	var runs []*run.Run
	for _, recalibrate := range []bool{false, true} {
		p.Validation.Recalibrate = recalibrate
		dir, err := trainInto(t, context.Background(), p, blobs(p, 10, 6, 0), Options{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := run.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, r)
	}
	for i := range runs[0].Epochs {
		plain, fresh := &runs[0].Epochs[i], &runs[1].Epochs[i]
		want, got := plain.Evaluation(run.Recalibrated, run.Validation).Loss, fresh.Evaluation(run.Logged, run.Validation).Loss
		if got != want || got == plain.Evaluation(run.Logged, run.Validation).Loss {
			t.Errorf("epoch %d: logged loss %g with new statistics; recalibrated view of the plain run %g", i+1, got, want)
		}
		if again := fresh.Evaluation(run.Recalibrated, run.Validation).Loss; again != got {
			t.Errorf("epoch %d: recalibrating twice gives %g, then %g", i+1, got, again)
		}
	}
}

func TestTrainRefusesWhatCannotStart(t *testing.T) {
	for want, change := range map[string]func(*Plan, *Images){
		"it needs Resolve":      func(p *Plan, _ *Images) { p.Batch = 0 },
		"prep.grid":             func(p *Plan, _ *Images) { p.Prep.Grid = nil },
		"epochs is 0":           func(p *Plan, _ *Images) { p.Epochs = 0 },
		"no images to train on": func(_ *Plan, images *Images) { images.Train.Samples = nil },
		"to validate on":        func(_ *Plan, images *Images) { images.Validation.Samples = nil },
		"need at least 64":      func(p *Plan, _ *Images) { p.Net.Name = "cnn6" },
	} {
		p := smallPlan()
		images := blobs(p, 8, 4, 0)
		change(&p, images)
		recorder := &recording{}
		err := Train(context.Background(), p, images, recorder, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Train returned %v, want %q", err, want)
		}
		if recorder.epochs != nil || recorder.status != "" {
			t.Errorf("%s: something was recorded", want)
		}
	}
}

func TestPredictRefuses(t *testing.T) {
	p := smallPlan()
	p.Epochs = 1
	dir, err := trainInto(t, context.Background(), p, blobs(p, 8, 4, 0), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewPredictor(dir, "newest", 1); err == nil || !strings.Contains(err.Error(), "choose last, best or averaged") {
		t.Errorf("weights that do not exist: %v", err)
	}
	predictor, err := NewPredictor(dir, LastWeights, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer predictor.Close()
	if row, err := predictor.Predict(cohort.Subject{}); err == nil {
		t.Errorf("no images give %v", row)
	}
	if err := os.Remove(filepath.Join(dir, "plan.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := NewPredictor(dir, LastWeights, 1); err == nil || !strings.Contains(err.Error(), "no plan.yaml") {
		t.Errorf("a run without plan: %v", err)
	}
}
