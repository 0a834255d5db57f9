package train

import (
	"context"
	"io"
	"math"
	"runtime"
	"testing"

	"ballast/run"
)

// The work that a progress bar and an estimate rest on is exactly what is done.
func TestWorkIsWhatIsDone(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"default":              func(*Plan) {},
		"every third epoch":    func(p *Plan) { p.Views.Every = 3 },
		"no views":             func(p *Plan) { p.Views.Every = 0 },
		"few for calibration":  func(p *Plan) { p.Views.Images = 3 },
		"without batch norm":   func(p *Plan) { p.Net.Norm = "none" },
		"linear":               func(p *Plan) { p.Net.Name = "linear" },
		"recalibrating":        func(p *Plan) { p.Validation.Recalibrate = true },
		"augmented validation": func(p *Plan) { p.Validation.Augment = true },
		"averaged":             func(p *Plan) { p.Validation.Weights = "averaged" },
		"averaged, no views":   func(p *Plan) { p.Validation.Weights, p.Views.Every = "averaged", 0 },
		"averaged, recalibrating every third epoch": func(p *Plan) {
			p.Validation.Weights, p.Views.Every, p.Validation.Recalibrate = "averaged", 3, true
		},
		"averaged, no batch norm, a mistake": func(p *Plan) {
			p.Validation.Weights, p.Net.Norm, p.Validation.Dropout, p.Average.Name = "averaged", "none", true, "swa"
		},
		"batch of one":       func(p *Plan) { p.Batch = 1 },
		"one step per epoch": func(p *Plan) { p.Batch = 1000 },
	} {
		p := smallPlan()
		p.Epochs = 4
		change(&p)
		tr, err := newTrainer(p, blobs(p, 9, 5, 3), Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		for epoch := range p.Epochs {
			recorded, err := tr.epoch(context.Background(), epoch+1)
			if err != nil {
				t.Fatal(err)
			}
			tr.course.add(&recorded)
		}
		if err := tr.recordTest(&recording{}); err != nil {
			t.Fatal(err)
		}
		if tr.done != tr.total {
			t.Errorf("%s: %g images passed, %g planned", name, tr.done, tr.total)
		}
		tr.pool.Close()
	}
}

// What an estimate says beyond the program itself is what a run allocates, and
// nothing but small change, such as the headers of the files that are saved, is
// allocated after the first epoch. What tasks work in is not in the estimate.
func TestMemoryIsWhatWasEstimated(t *testing.T) {
	p := smallPlan()
	p.Prep.Grid, p.Net.Width, p.Batch = []int{12, 32, 32}, 16, 7 // 14 and 21 images: the batches differ
	images := blobs(p, 10, 14, 0)
	count := len(images.Train.Samples) + len(images.Validation.Samples)
	estimate, err := EstimateCost(p, sizesOf(images), 1)
	if err != nil {
		t.Fatal(err)
	}
	want := float64(estimate.Bytes) - program - float64(4*count*12*32*32) // the images exist already
	start := allocated()
	tr, err := newTrainer(p, images, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.pool.Close()
	epoch := func(number int) {
		if _, err := tr.epoch(context.Background(), number); err != nil {
			t.Fatal(err)
		}
		if err := tr.save(discarding{}, true); err != nil {
			t.Fatal(err)
		}
	}
	epoch(1)
	first := allocated()
	epoch(2)
	second := allocated()
	if got := first - start; !(math.Abs(got/want-1) < 0.07) {
		t.Errorf("%.0f bytes allocated in the first epoch, %.0f estimated", got, want)
	}
	if later := second - first; !(later < 0.03*want) {
		t.Errorf("the second epoch allocated %.0f bytes, the first %.0f", later, first-start)
	}
}

// discarding is a Recorder that keeps nothing.
type discarding struct{}

func (discarding) Append(run.Epoch) error           { return nil }
func (discarding) WriteFile(string, []byte) error   { return nil }
func (discarding) WriteTest([]run.Evaluation) error { return nil }
func (discarding) Finish(string) error              { return nil }
func (discarding) WriteFrom(_ string, contents func(io.Writer) error) error {
	return contents(io.Discard)
}

// sizesOf returns the sizes of images that are read.
func sizesOf(images *Images) Sizes {
	counts := func(s *Set) (counts []int) {
		for _, subject := range s.Subjects {
			counts = append(counts, subject.Images)
		}
		return counts
	}
	return Sizes{
		Classes: len(images.Classes), Covariates: images.Covariates.Width(),
		Train: counts(&images.Train), Validation: counts(&images.Validation), Test: counts(&images.Test),
	}
}

func allocated() float64 {
	var statistics runtime.MemStats
	runtime.ReadMemStats(&statistics)
	return float64(statistics.TotalAlloc)
}

func TestEstimateNamesTheSteps(t *testing.T) {
	p := smallPlan()
	estimate, err := EstimateCost(p, Sizes{Classes: 2, Train: []int{2, 3, 4}, Validation: []int{5}, Test: []int{1, 2}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if estimate.Steps != 3 || estimate.Step <= 0 || estimate.Total <= estimate.Step {
		t.Errorf("estimate %+v of 9 images in batches of %d", estimate, p.Batch)
	}
}
