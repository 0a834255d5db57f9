package train

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"ballast/net"
	"ballast/run"
)

// healthOf trains a plan and returns the health of each epoch.
func healthOf(t *testing.T, p Plan, images *Images) []*run.Health {
	t.Helper()
	if err := p.Plant(images); err != nil {
		t.Fatal(err)
	}
	dir, err := trainInto(t, context.Background(), p, images, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []*run.Health
	for i := range r.Epochs {
		all = append(all, r.Epochs[i].Health)
	}
	return all
}

func close64(a run.Float, b, tolerance float64) bool {
	return math.Abs(float64(a)-b) <= tolerance*math.Abs(b)
}

// An epoch of plain gradient descent, done again step by step on the network's state
// in the layout of its files: sizes of weights, gradients and changes, the
// agreement of the gradients and the spread of the losses.
func TestHealthAgainstStepByStep(t *testing.T) {
	p := smallPlan()
	p.Epochs, p.Net.Dropout = 1, 0
	p.Optimizer = Optimizer{Name: "sgd", LR: 0.05, Accumulate: 1, Alpha: 0.99, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8}
	p.Augment.Flip, p.Augment.Shift = nil, 0
	images := blobs(p, 14, 4, 0) // 21 images: batches of 3 and 4
	h := healthOf(t, p, images)[0]

	again, err := newTrainer(p, images, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer again.pool.Close()
	var states [][]net.Tensor
	var losses []float64
	err = again.eachBatch(context.Background(), 1, func(indices []int, last bool) error {
		states = append(states, again.net.State(nil))
		losses = append(losses, again.backward(indices).crossEntropy/float64(len(indices)))
		again.takeStep(p.Optimizer.LR)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	states = append(states, again.net.State(nil))
	steps := len(losses)
	if steps != 6 {
		t.Fatalf("%d steps, want 6", steps)
	}
	mean, spread := 0.0, 0.0
	for _, loss := range losses {
		mean += loss / float64(steps)
	}
	for _, loss := range losses {
		spread += (loss - mean) * (loss - mean) / float64(steps-1)
	}
	if !close64(h.LossSpread, math.Sqrt(spread), 1e-6) {
		t.Errorf("the losses spread by %g, want %g", h.LossSpread, math.Sqrt(spread))
	}
	layer, sums, norms := 0, 0.0, 0.0
	for k, tensor := range states[0] {
		if strings.Contains(tensor.Name, "running") {
			continue
		}
		change := func(step int) (rms float64, zeros int) { // gradient = -change / rate
			for i, x := range states[step][k].Data {
				d := float64(states[step+1][k].Data[i]) - float64(x)
				rms += d * d / float64(len(tensor.Data))
				if d == 0 {
					zeros++
				}
			}
			return math.Sqrt(rms), zeros
		}
		for step := range steps {
			rms, _ := change(step)
			norms += rms * rms * float64(len(tensor.Data)) / float64(steps)
		}
		for i, x := range states[0][k].Data {
			d := (float64(states[steps][k].Data[i]) - float64(x)) / float64(steps)
			sums += d * d
		}
		if !strings.HasSuffix(tensor.Name, ".weight") || strings.Contains(tensor.Name, "norm") {
			continue
		}
		weight, moved := 0.0, 0.0
		for _, x := range states[steps][k].Data {
			weight += float64(x) * float64(x) / float64(len(tensor.Data))
		}
		for _, step := range []int{0, 3, 5} { // the first, the middle and the last
			rms, _ := change(step)
			moved += rms / 3
		}
		got := h.Layers[layer]
		layer++
		if got.Name != tensor.Name {
			t.Fatalf("layer %d is %s, want %s", layer, got.Name, tensor.Name)
		}
		// A change is the difference of two float32 about 2^8 times as large.
		if !close64(got.Weight, math.Sqrt(weight), 1e-6) || !close64(got.Update, moved/math.Sqrt(weight), 1e-3) || !close64(got.Gradient, moved/p.Optimizer.LR, 1e-3) {
			t.Errorf("%s: weight %g, update %g, gradient %g; want %g, %g, %g", tensor.Name, got.Weight, got.Update, got.Gradient,
				math.Sqrt(weight), moved/math.Sqrt(weight), moved/p.Optimizer.LR)
		}
		if got.ZeroGradient != 0 {
			t.Errorf("%s: a share of %g of the gradient is 0", tensor.Name, got.ZeroGradient)
		}
	}
	if layer != len(h.Layers) {
		t.Errorf("%d layers, want %d", len(h.Layers), layer)
	}
	if want := sums / norms; !close64(h.Agreement, want, 1e-3) {
		t.Errorf("agreement %g, want %g", h.Agreement, want)
	}
}

// mixing against the definition by hand and against batches at random.
func TestMixing(t *testing.T) {
	for _, test := range []struct {
		name   string
		counts [][]int
		want   float64
	}{
		// 8 units, half of each class, in batches of 4: sum of squares 4 * 2^2 = 16,
		// expected 4 * (4 * 1/4 * 4/7) = 16/7.
		{"sorted", [][]int{{4, 0}, {0, 4}}, 7},
		{"alike", [][]int{{2, 2}, {2, 2}}, 0},
		{"one batch", [][]int{{3, 5}}, math.NaN()},
		{"one class", [][]int{{3, 0}, {4, 0}}, math.NaN()},
	} {
		got := mixing(test.counts)
		if !(math.Abs(got-test.want) < 1e-12) && !(math.IsNaN(got) && math.IsNaN(test.want)) {
			t.Errorf("%s: %g, want %g", test.name, got, test.want)
		}
	}
	p, classes := smallPlan(), make([]int, 60)
	for i := 40; i < 60; i++ {
		classes[i] = 1
	}
	mean := 0.0
	for epoch := range 400 {
		order, counts := p.order(epoch+1, classes), [][]int{}
		for _, part := range parts(60, 8) {
			batch := make([]int, 2)
			for _, unit := range order[part.from:part.to] {
				batch[classes[unit]]++
			}
			counts = append(counts, batch)
		}
		mean += mixing(counts) / 400
	}
	if !(math.Abs(mean-1) < 0.06) { // a standard deviation of 0.5 each, 0.026 of the mean
		t.Errorf("batches at random have a mean mixing of %g, want 1", mean)
	}
}

func TestHealthOfSortedTraining(t *testing.T) {
	p := smallPlan()
	p.Epochs, p.Batch = 1, 4
	for draw, bounds := range map[string][2]float64{"shuffled": {0, 2.2}, "sorted": {3.5, 5}} {
		p.Sampling.Draw = draw
		if got := float64(healthOf(t, p, blobs(p, 24, 4, 0))[0].Mixing); !(got >= bounds[0] && got <= bounds[1]) {
			t.Errorf("%s: mixing %g, want %g to %g", draw, got, bounds[0], bounds[1])
		}
	}
}

// A large negative bias switches off what the ReLU lets through.
func TestHealthOfDeadLayers(t *testing.T) {
	for _, norm := range []string{"batch", "none", "batch-after-pool", "group"} {
		p := smallPlan()
		p.Epochs, p.Net.Norm, p.Net.Groups = 1, norm, 1
		alive := healthOf(t, p, blobs(p, 8, 4, 0))[0].Layers
		p.Mistakes.InitialBias = -50
		dead := healthOf(t, p, blobs(p, 8, 4, 0))[0].Layers
		for i, l := range alive[:2] {
			if !(l.Dead < 0.5 && l.Active > 0.2 && l.Output > 0 && l.Gradient > 0) {
				t.Errorf("%s: %+v is not alive", norm, l)
			}
			if l := dead[i]; l.Dead != 1 || l.Active != 0 || l.Output != 0 || l.Gradient != 0 || l.ZeroGradient != 1 {
				t.Errorf("%s: %+v is not dead", norm, l)
			}
		}
		if head := alive[2]; head.Name != "head.weight" || !math.IsNaN(float64(head.Dead)) || !math.IsNaN(float64(head.Active)) || !math.IsNaN(float64(head.Output)) {
			t.Errorf("%s: the last layer is %+v", norm, head)
		}
	}
}

// Where nothing is learnt there is no gradient to speak of.
func TestHealthOfFrozenLayers(t *testing.T) {
	p := smallPlan()
	p.Epochs, p.Net.Freeze = 1, []string{"block1"}
	layers := healthOf(t, p, blobs(p, 8, 4, 0))[0].Layers
	if l := layers[0]; !math.IsNaN(float64(l.Gradient)) || !math.IsNaN(float64(l.Update)) || !(l.Weight > 0) || !(l.Output > 0) {
		t.Errorf("frozen: %+v", l)
	}
	if l := layers[1]; !(l.Gradient > 0) || !(l.Update > 0) {
		t.Errorf("learnt: %+v", l)
	}
}

// Every kind of network, also with bags and several batches to a step, has the
// layers of its weights file, in order, and outputs behind activation functions.
func TestHealthOfEveryNetwork(t *testing.T) {
	for _, change := range []func(*Plan){
		func(p *Plan) { p.Net.Name = "linear" },
		func(p *Plan) { p.Net.Name = "resnet10" },
		func(p *Plan) { p.Net.Name = "vgg11" },
		func(p *Plan) { p.Net.Pooling = "attention" },
		func(p *Plan) { p.Optimizer.Accumulate = 3; p.Optimizer.Clip = 0.1 },
		func(p *Plan) { p.Net.Activation = "leaky-relu" },
	} {
		p := smallPlan()
		p.Epochs, p.Prep.Grid = 1, []int{32, 32, 32}
		change(&p)
		images := blobs(p, 8, 4, 0)
		h := healthOf(t, p, images)[0]
		var want []string
		trainer, err := newTrainer(p, images, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range trainer.net.State(nil) {
			if strings.HasSuffix(tensor.Name, ".weight") && !strings.Contains(tensor.Name, "norm") {
				want = append(want, tensor.Name)
			}
		}
		trainer.pool.Close()
		var got []string
		for _, l := range h.Layers {
			got = append(got, l.Name)
			if !(l.Weight > 0 && l.Gradient > 0 && l.Update > 0 && l.ZeroGradient >= 0 && l.ZeroGradient < 1) {
				t.Errorf("%s: %+v", p.Net.Name, l)
			}
			silent := math.IsNaN(float64(l.Output))
			if behind := !strings.HasPrefix(l.Name, "head") && !strings.HasPrefix(l.Name, "attention") && !strings.Contains(l.Name, "shortcut"); behind == silent {
				t.Errorf("%s: %s has the output %g", p.Net.Name, l.Name, l.Output)
			}
		}
		slices.Sort(want)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: layers %v, want %v", p.Net.Name, got, want)
		}
		if !(h.Agreement > 0 && h.Agreement <= 1+1e-6) {
			t.Errorf("%s: agreement %g", p.Net.Name, h.Agreement)
		}
	}
}
