package train

import (
	"bytes"
	"context"
	"math"
	"testing"

	"ballast/run"
)

// The averages of torch 2.15's torch.optim.swa_utils.AveragedModel over these
// weights, update after update; before the first averaged epoch the average is the
// present weights.
func TestStochasticWeightAveraging(t *testing.T) {
	p := smallPlan()
	p.Epochs, p.Average = 8, Average{Name: "swa", Start: 0.4} // 3.2 epochs: the first that is averaged is the fourth
	tr, err := newTrainer(p, blobs(p, 4, 4, 0), Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.pool.Close()
	weights := [][2]float32{{9, 9}, {8, 7}, {6, 5}, {1, -2}, {1.3, -1.1}, {0.7, 0.9}, {2.5, 0.1}, {-0.4, 3.3}}
	want := [][2]float64{{9, 9}, {8, 7}, {6, 5}, {1, -2}, {1.149999976158142, -1.5499999523162842}, {1, -0.7333333492279053},
		{1.375, -0.5249999761581421}, {1.0199999809265137, 0.24000000953674316}}
	for epoch, w := range weights {
		copy(tr.net.Params()[0].Value, w[:])
		tr.average() // a step; of no effect here
		tr.averageEpoch(epoch + 1)
		for i, x := range tr.averaged.Params()[0].Value[:2] {
			if !(math.Abs(float64(x)-want[epoch][i]) <= 2e-7) {
				t.Errorf("epoch %d: average %g, torch has %g", epoch+1, x, want[epoch][i])
			}
		}
	}
	for _, c := range []struct {
		start  float64
		epochs int
		first  int
	}{{0, 10, 1}, {0.75, 50, 38}, {0.29, 100, 30}, {0.7, 10, 8}, {0.999, 3, 3}, {1 - 1e-12, 1, 1}} {
		p.Average.Start, p.Epochs = c.start, c.epochs
		if got := p.firstAveraged(); got != c.first {
			t.Errorf("start %g of %d epochs: first is %d, want %d", c.start, c.epochs, got, c.first)
		}
	}
}

// With validation.weights: averaged the logged curve is the view "averaged", in
// every epoch and whatever views are recorded; training itself is not changed by it.
func TestLoggingTheAverage(t *testing.T) {
	for _, name := range []string{"ema", "swa"} {
		p := smallPlan()
		p.Average = Average{Name: name, Start: 0.5}
		images := blobs(p, 10, 6, 4)
		record := func(p Plan) (*run.Run, map[string][]byte) {
			dir, err := trainInto(t, context.Background(), p, images, Options{})
			if err != nil {
				t.Fatal(err)
			}
			r, err := run.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			return r, files(t, dir)
		}
		present, _ := record(p)
		p.Validation.Weights = "averaged"
		averaged, kept := record(p)
		p.Views.Every = 0
		alone, keptAlone := record(p)
		for i := range averaged.Epochs {
			want := present.Epochs[i].Evaluation(run.Averaged, run.Validation)
			for which, r := range map[string]*run.Run{"with all views": averaged, "alone": alone} {
				logged := r.Epochs[i].Evaluation(run.Logged, run.Validation)
				if logged.Loss != want.Loss || logged.Accuracy != want.Accuracy {
					t.Errorf("%s, %s, epoch %d: logged loss %g, the view averaged has %g", name, which, i+1, logged.Loss, want.Loss)
				}
			}
			for _, view := range []string{run.Deterministic, run.Recalibrated, run.Averaged} {
				a, b := present.Epochs[i].Evaluation(view, run.Validation), averaged.Epochs[i].Evaluation(view, run.Validation)
				if a.Loss != b.Loss {
					t.Errorf("%s, epoch %d: the view %s changed from %g to %g", name, i+1, view, a.Loss, b.Loss)
				}
			}
		}
		for _, file := range []string{"weights/last.safetensors", "weights/best.safetensors"} {
			if !bytes.Equal(kept[file], keptAlone[file]) {
				t.Errorf("%s: %s depends on the views", name, file)
			}
		}
		if !bytes.Equal(kept["weights/last.safetensors"], kept["weights/averaged.safetensors"]) {
			t.Errorf("%s: the last weights are not the averaged ones", name)
		}
		for _, r := range []*run.Run{averaged, alone} {
			if e := (&run.Epoch{Evaluations: r.Test}).Evaluation(run.Averaged, run.Test); e == nil {
				t.Errorf("%s: the test set was not evaluated with the averaged weights", name)
			}
		}
	}
}
