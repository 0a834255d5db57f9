package train

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"ballast/cohort"
	"ballast/prep"
	"ballast/run"
)

// savedImages writes the images of a set as files, puts what is prepared from
// them into the set, and returns the subjects.
func savedImages(t *testing.T, p Plan, set *Set) []cohort.Subject {
	t.Helper()
	dir := t.TempDir()
	subjects := make([]cohort.Subject, len(set.Subjects))
	for i := range set.Samples {
		sample := &set.Samples[i]
		im := sample.Image
		v := &cohort.Volume{Data: im.Data, Shape: [3]int{im.W, im.H, im.D}, Spacing: [3]float64{1, 1, 1},
			Affine: [3][4]float64{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}
		path := filepath.Join(dir, string(rune('a'+i))+".nii.gz")
		if err := cohort.WriteNIfTI(path, v, "float32"); err != nil {
			t.Fatal(err)
		}
		var err error
		if sample.Image, err = prep.Load(cohort.Image{Path: path}, p.PrepConfig()); err != nil {
			t.Fatal(err)
		}
		subject := &subjects[sample.Subject]
		subject.ID = set.Subjects[sample.Subject].ID
		subject.Images = append(subject.Images, cohort.Image{Path: path})
	}
	return subjects
}

func predictorOf(t *testing.T, dir, weights string, threads int) *Predictor {
	t.Helper()
	predictor, err := NewPredictor(dir, weights, threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(predictor.Close)
	return predictor
}

func TestMonteCarloDropout(t *testing.T) {
	p := smallPlan()
	p.Epochs, p.Net.Dropout = 1, 0.5
	images := blobs(p, 8, 4, 0)
	subjects := savedImages(t, p, &images.Validation)
	dir, err := trainInto(t, context.Background(), p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	predictor := predictorOf(t, dir, LastWeights, 1)
	sample := func(subject cohort.Subject, n int) []run.Row {
		t.Helper()
		rows, err := predictor.Sample(subject, n)
		if err != nil || len(rows) != n {
			t.Fatalf("%d samples, %v", len(rows), err)
		}
		return rows
	}
	rows := sample(subjects[0], 40)
	if slices.Equal(rows[0], rows[1]) && slices.Equal(rows[1], rows[2]) {
		t.Errorf("samples do not differ: %v", rows[:3])
	}
	if again := sample(subjects[0], 40); !reflect.DeepEqual(again, rows) {
		t.Error("the same samples differ when they are drawn again")
	}
	if few := sample(subjects[0], 5); !reflect.DeepEqual(few, rows[:5]) {
		t.Error("a sample depends on how many are drawn")
	}
	predictor = predictorOf(t, dir, LastWeights, 3)
	if threads := sample(subjects[0], 40); !reflect.DeepEqual(threads, rows) {
		t.Error("samples depend on the threads")
	}
	other := subjects[0]
	other.ID = "another"
	if reflect.DeepEqual(sample(other, 40), rows) {
		t.Error("two subjects share their samples")
	}
	// A sample is one network: the same image twice has the same prediction twice.
	twice := cohort.Subject{ID: subjects[0].ID, Images: []cohort.Image{subjects[0].Images[0], subjects[0].Images[0]}}
	if !reflect.DeepEqual(sample(twice, 5), rows[:5]) {
		t.Error("the images of a subject go through different networks")
	}
	// With inverted dropout the mean of the samples lies near the prediction
	// without: the logits agree in expectation.
	exact, err := predictor.Predict(subjects[0])
	if err != nil {
		t.Fatal(err)
	}
	mean := 0.0
	many := sample(subjects[0], 400)
	for _, row := range many {
		mean += float64(row[0]) / float64(len(many))
	}
	if !(math.Abs(mean-float64(exact[0])) < 0.1) {
		t.Errorf("mean of the samples %g, without dropout %g", mean, exact[0])
	}
}

func TestSamplesNeedDropout(t *testing.T) {
	p := smallPlan()
	p.Epochs, p.Net.Dropout = 1, 0
	images := blobs(p, 4, 2, 0)
	subjects := savedImages(t, p, &images.Validation)
	dir, err := trainInto(t, context.Background(), p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := predictorOf(t, dir, LastWeights, 1).Sample(subjects[0], 3); !errors.Is(err, ErrNoDropout) {
		t.Errorf("%v, want ErrNoDropout", err)
	}
}

// What the weights predict is what the run recorded for them.
func TestRecorded(t *testing.T) {
	p := smallPlan()
	p.Epochs = 4
	p.Views.Every = 2
	images := blobs(p, 8, 4, 0)
	subjects := savedImages(t, p, &images.Validation)
	dir, err := trainInto(t, context.Background(), p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, weights := range []string{LastWeights, BestWeights, AveragedWeights} {
		predictor := predictorOf(t, dir, weights, 2)
		recorded := predictor.Recorded(run.Validation)
		if recorded == nil {
			t.Fatalf("%s: nothing is recorded", weights)
		}
		for i, subject := range subjects {
			if row, err := predictor.Predict(subject); err != nil || !slices.Equal(row, recorded.Probabilities[i]) {
				t.Errorf("%s: subject %d is predicted %v (%v), recorded %v", weights, i, row, err, recorded.Probabilities[i])
			}
		}
		if predictor.Recorded(run.Test) != nil {
			t.Errorf("%s: a test set is recorded", weights)
		}
	}
}
