package probe

import (
	"math"
	"slices"
	"testing"

	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

func TestCrossValidation(t *testing.T) {
	b := quick(t, 1, func(p *train.Plan) { p.Epochs = 12 })
	values := measure(t, b, "cross-validation")
	within(t, values, "subjects", float64(b.Images.Pooled()), float64(b.Images.Pooled()))
	within(t, values, "accuracy", 0.6, 1)
	within(t, values, "training_accuracy", float64(values["accuracy"])-0.1, 1)
	noise := measure(t, quick(t, 1, func(p *train.Plan) { p.Epochs, p.Mistakes.PermuteLabels = 12, true }), "cross-validation")
	within(t, noise, "accuracy", 0.3, 0.65)

	short := measure(t, quick(t, 1, func(p *train.Plan) { p.Epochs = 4 }), "cross-validation")
	within(t, short, "accuracy", 0.4, 1)
	if _, known := short["rise"]; known {
		t.Error("four epochs have a turn")
	}
}

// TestDivisionNeverTrainsOnMore checks the subjects of the repetitions.
func TestDivisionNeverTrainsOnMore(t *testing.T) {
	s := study{folds: 2}
	for i := range 60 {
		s.subjects, s.classes = append(s.subjects, i), append(s.classes, i%3/2) // two to one
	}
	fold := s.divide(s.classes, stat.NewStream(1, "folds"))
	held := map[int]int{}
	for k := range s.folds {
		inside, outside := s.split(fold, k, 12, stat.NewStream(1, "inside", uint64(k)))
		rare := 0
		for _, number := range inside {
			if slices.Contains(outside, number) {
				t.Errorf("subject %d is trained on and held out", number)
			}
			rare += s.classes[number]
		}
		if len(inside) != 12 || rare != 4 {
			t.Errorf("%d subjects are trained on, %d of the rarer class; want 12 and 4", len(inside), rare)
		}
		for _, number := range outside {
			held[number]++
		}
	}
	if len(held) != 60 {
		t.Errorf("%d of 60 subjects are held out", len(held))
	}
}

// TestRiseIsChosenOnOthers computes by hand: the loss of every subject falls to 0.2 and
// rises by its own slope, so that the rise is the mean late loss less the mean about the
// lowest.
func TestRiseIsChosenOnOthers(t *testing.T) {
	subjects := []run.Subject{{Class: 0}, {Class: 1}, {Class: 0}, {Class: 1}}
	slopes := []float64{0.15, 0.15, 0.2, 0.2}
	var course []train.Snapshot
	for look := range 12 {
		s := train.Snapshot{Epoch: 5 * (look + 1), Training: run.Evaluation{Accuracy: 1, Loss: 0.5}}
		for i, subject := range subjects {
			x := 0.2 + 0.2*math.Abs(float64(look-3))
			if look > 3 {
				x = 0.2 + slopes[i]*float64(look-3)
			}
			row := run.Row{0, 0}
			row[subject.Class] = float32(math.Exp(-x))
			row[1-subject.Class] = 1 - row[subject.Class]
			s.Validation.Probabilities = append(s.Validation.Probabilities, row)
		}
		course = append(course, s)
	}
	h := &heldOut{}
	h.add(course, subjects)
	got := h.summary()
	// Smoothed over five looks the mean loss is lowest at the fourth look: 0.2 + (0.4 +
	// 0.2 + 0 + s + 2s)/5. The halves take turns by class: {0, 1} and {2, 3}.
	within(t, got, "lowest_epoch", 20, 20)
	late := func(s float64) float64 { return 0.2 + s*6.5 } // looks 9 to 12 are 5 to 8 after the turn
	lowest := func(s float64) float64 { return 0.2 + (0.6+3*s)/5 }
	want := 0.0
	for _, s := range slopes {
		want += (late(s) - lowest(s)) / 4
	}
	within(t, got, "rise", want-1e-5, want+1e-5)
	within(t, got, "lowest_loss", (lowest(0.15)+lowest(0.2))/2-1e-5, (lowest(0.15)+lowest(0.2))/2+1e-5)
	within(t, got, "training_accuracy", 1, 1)
	within(t, got, "subjects", 4, 4)
}

func TestGroupNorm(t *testing.T) {
	values := measure(t, quick(t, 1, func(p *train.Plan) { p.Batch = 2 }), "group-norm")
	within(t, values, "group_training_loss", 0, 0.8)
	gain := float64(values["same_validation_loss"] - values["group_validation_loss"])
	within(t, values, "group_gain", gain-0.02, gain+0.02)
	for name, change := range map[string]func(*train.Plan){
		"large batches": func(p *train.Plan) { p.Batch = 16 },
		"group norm":    func(p *train.Plan) { p.Net.Norm, p.Batch = "group", 2 },
	} {
		all, err := Run(t.Context(), quick(t, 1, change), Options{Only: []string{"group-norm"}})
		if err != nil || all.Results[0].Skipped == "" {
			t.Errorf("%s: %+v, %v", name, all, err)
		}
	}
}
