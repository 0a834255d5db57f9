package train

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"testing"

	"ballast/run"
)

// testdata/schedules.json was written by bench/pytorch/optimizers.py with the
// schedulers of torch 2.15.0; a warm-up is its LinearLR before another one in
// a SequentialLR.
func TestSchedulesAgreeWithPyTorch(t *testing.T) {
	var file struct {
		Torch string
		Cases []struct {
			Plan          map[string]map[string]any
			Epochs        int
			StepsPerEpoch int `json:"steps_per_epoch"`
			Losses        []string
			Rates         []float64
		}
	}
	readJSON(t, "schedules.json", &file)
	if file.Torch == "" || len(file.Cases) < 9 {
		t.Fatalf("%d cases of torch %q", len(file.Cases), file.Torch)
	}
	for _, c := range file.Cases {
		p := planOf(t, "schedule", c.Plan["schedule"])
		p.Optimizer.LR, p.Epochs = c.Plan["optimizer"]["lr"].(float64), c.Epochs
		var losses []float64
		for _, text := range c.Losses {
			loss, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			losses = append(losses, loss)
		}
		if len(c.Rates) != c.Epochs*c.StepsPerEpoch {
			t.Fatalf("%v: %d rates", c.Plan, len(c.Rates))
		}
		for step, want := range c.Rates {
			before := losses[:min(len(losses), step/c.StepsPerEpoch)]
			if got := p.rate(step, c.StepsPerEpoch, before); !(math.Abs(got-want) <= 1e-12*p.Optimizer.LR) {
				t.Errorf("%v, step %d: rate %.17g, torch %s gives %.17g", c.Plan, step, got, file.Torch, want)
			}
		}
	}
}

// The ends of every schedule are what its description says, to the bit.
func TestEndsOfSchedules(t *testing.T) {
	const perEpoch = 5
	for _, c := range []struct {
		name        string
		change      func(*Schedule)
		first, last float64
	}{
		{"constant", func(*Schedule) {}, 0.02, 0.02},
		{"step", func(s *Schedule) { s.Every, s.Factor = 4, 0.5 }, 0.02, 0.005},
		{"cosine", func(s *Schedule) { s.Final = 0.25 }, 0.02, 0.005},
		{"cosine", func(s *Schedule) { s.Final, s.WarmUp = 0.25, 0.8 }, 0.02 / 5, 0.005},
		{"one-cycle", func(s *Schedule) { s.Final = 0.25 }, 0.02 / 25, 0.005},
		{"constant", func(s *Schedule) { s.WarmUp = 100 }, 0.02 / 501, 0.02 * 50 / 501},
		{"step", func(s *Schedule) { s.Every, s.Factor, s.WarmUp = 4, 0.5, 1 }, 0.02 / 6, 0.005},
	} {
		p := DefaultPlan()
		p.Epochs, p.Optimizer.LR, p.Schedule.Name = 10, 0.02, c.name
		c.change(&p.Schedule)
		first, last := p.rate(0, perEpoch, nil), p.rate(10*perEpoch-1, perEpoch, nil)
		if first != c.first || last != c.last {
			t.Errorf("%+v: from %.17g to %.17g, want %.17g to %.17g", p.Schedule, first, last, c.first, c.last)
		}
		if after := p.rate(1000*perEpoch, perEpoch, nil); c.name != "step" && p.Schedule.WarmUp < 1 && after != c.last {
			t.Errorf("%+v: the rate after the last step is %g", p.Schedule, after)
		}
	}
}

// A rate is never negative, not a number or above optimizer.lr, however few
// steps there are.
func TestRatesOfVeryShortRuns(t *testing.T) {
	for _, name := range []string{"constant", "step", "cosine", "one-cycle", "plateau"} {
		for epochs := 1; epochs <= 4; epochs++ {
			for perEpoch := 1; perEpoch <= 4; perEpoch++ {
				for _, warmUp := range []float64{0, 0.3, 1, 2.5, 9} {
					p := DefaultPlan()
					p.Epochs, p.Schedule.Name = epochs, name
					if name != "one-cycle" {
						p.Schedule.WarmUp = warmUp
					}
					for step := range epochs * perEpoch {
						if rate := p.rate(step, perEpoch, make([]float64, step/perEpoch)); !(rate > 0 && rate <= p.Optimizer.LR) {
							t.Errorf("%s, warm-up %g, %d epochs of %d steps: rate %g at step %d", name, warmUp, epochs, perEpoch, rate, step)
						}
					}
				}
			}
		}
	}
}

// The run records the rate of the last step of each epoch.
func TestRecordedRates(t *testing.T) {
	p := smallPlan()
	p.Epochs, p.Schedule.Name, p.Schedule.Final = 4, "one-cycle", 0.01
	images := blobs(p, 10, 6, 0)
	rates := recordedEpochs(t, p, images)
	perEpoch := p.stepsPerEpoch(len(images.Train.Samples))
	for i, e := range rates {
		if want := p.rate((i+1)*perEpoch-1, perEpoch, nil); float64(e.LearningRate) != want || e.Step != (i+1)*perEpoch {
			t.Errorf("epoch %d: rate %g after step %d, want %g", i+1, e.LearningRate, e.Step, want)
		}
	}
	if last := float64(rates[3].LearningRate); last != float64(p.Optimizer.LR*0.01) {
		t.Errorf("the last rate is %g", last)
	}
}

// recordedEpochs trains a plan and returns what was recorded.
func recordedEpochs(t *testing.T, p Plan, images *Images) []run.Epoch {
	t.Helper()
	dir, err := trainInto(t, context.Background(), p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r.Epochs
}

// With a rate that does nothing the loss never improves after the first epoch,
// and the rate falls every patience + 1 epochs.
func TestPlateauFollowsTheTrainingLoss(t *testing.T) {
	p := smallPlan()
	p.Augment = quietAugment()
	p.Epochs, p.Net.Dropout, p.Net.Norm = 8, 0, "none"
	p.Optimizer.Name, p.Optimizer.LR = "sgd", 1e-12
	p.Schedule.Name, p.Schedule.Patience, p.Schedule.Factor, p.Schedule.Final = "plateau", 1, 0.5, 0.25
	want := []float64{1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25}
	var got []float64
	for _, e := range recordedEpochs(t, p, blobs(p, 10, 6, 0)) {
		got = append(got, float64(e.LearningRate)/p.Optimizer.LR)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("rates %v times optimizer.lr, want %v", got, want)
	}
}
