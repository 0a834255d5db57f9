package train

import (
	"math"
	"slices"
	"testing"

	"ballast/kernel"
	"ballast/net"
	"ballast/run"
	"ballast/stat"
)

// linearLab is a lab of a linear network on images whose pixels are its features,
// trained a little.
func linearLab(t *testing.T, change func(*Plan)) (*Lab, *Images) {
	t.Helper()
	p := smallPlan()
	p.Prep.Grid, p.Prep.Spacing = []int{5, 4}, []float64{1, 1}
	p.Augment = Augment{}
	p.Net.Name, p.Net.Norm, p.Net.Dropout, p.Net.Width = "linear", "none", 0, 1
	p.Optimizer = DefaultPlan().Optimizer
	if change != nil {
		change(&p)
	}
	images := blobs(p, 9, 4, 0)
	lab, err := NewLab(p, images, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lab.Close)
	return lab, images
}

// softmaxRegression is the mean loss of a linear network of two classes, computed
// directly in float64 from its weights in PyTorch's layout: the gradient and the
// Hessian by weight (2, features) and then bias (2), over the images listed.
func softmaxRegression(lab *Lab, images *Images, listed []int, weights []float64) (gradient []float64, hessian [][]float64) {
	state := map[string][]float32{}
	for _, tensor := range lab.State() {
		state[tensor.Name] = tensor.Data
	}
	features := len(state["head.weight"]) / 2
	size := 2 * (features + 1)
	gradient, hessian = make([]float64, size), make([][]float64, size)
	for i := range hessian {
		hessian[i] = make([]float64, size)
	}
	total := 0.0
	for _, i := range listed {
		total += weights[images.Train.Samples[i].Class]
	}
	for _, i := range listed {
		sample := images.Train.Samples[i]
		x := append(slices.Clone(sample.Image.Data), 1)
		z := [2]float64{float64(state["head.bias"][0]), float64(state["head.bias"][1])}
		for k := range z {
			for f, v := range sample.Image.Data {
				z[k] += float64(state["head.weight"][k*features+f]) * float64(v)
			}
		}
		p := [2]float64{1 / (1 + math.Exp(z[1]-z[0])), 1 / (1 + math.Exp(z[0]-z[1]))}
		at := func(k, f int) int {
			if f == features {
				return 2*features + k
			}
			return k*features + f
		}
		share := weights[sample.Class] / total
		for k := range p {
			target := 0.0
			if k == sample.Class {
				target = 1
			}
			for f, v := range x {
				gradient[at(k, f)] += share * (p[k] - target) * float64(v)
				for l := range p {
					curve := -p[k] * p[l]
					if k == l {
						curve += p[k]
					}
					for g, w := range x {
						hessian[at(k, f)][at(l, g)] += share * curve * float64(v) * float64(w)
					}
				}
			}
		}
	}
	return gradient, hessian
}

// layout is where the elements in the order weight, bias of a linear network lie in
// Lab.Weights: what Unpack does with arrays that count up.
func layout(t *testing.T, lab *Lab) []int {
	t.Helper()
	var counted []net.Tensor
	at := 0
	for _, param := range lab.t.net.Params() {
		data := make([]float32, len(param.Value))
		for i := range data {
			data[i] = float32(at)
			at++
		}
		counted = append(counted, net.Tensor{Name: param.Name, Data: data})
	}
	var places []int
	for _, tensor := range lab.t.net.Unpack(counted, nil) {
		for _, x := range tensor.Data {
			places = append(places, int(x))
		}
	}
	return places
}

func TestGaussNewtonOfALinearNetworkIsItsHessian(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"plain":    nil,
		"weighted": func(p *Plan) { p.Loss.Weights = "balanced" },
	} {
		lab, images := linearLab(t, func(p *Plan) {
			p.Batch = 100 // one batch: class weights make a mean over each
			if change != nil {
				change(p)
			}
		})
		units := all(lab.Units())
		weights := []float64{1, 1}
		if name == "weighted" {
			weights = balancedWeights(lab.t.plan.unitClasses(&images.Train), 2)
		}
		_, hessian := softmaxRegression(lab, images, units, weights)
		places := layout(t, lab)
		stream := stat.NewStream(5, name)
		u := make([]float64, len(lab.Weights()))
		direct := make([]float64, len(places))
		for _, place := range places {
			u[place] = stream.Normal()
		}
		for i, row := range hessian {
			for j, h := range row {
				direct[i] += h * u[places[j]]
			}
		}
		before := lab.Weights()
		product, err := lab.GaussNewton(t.Context(), units, u, 1e-3)
		if err != nil {
			t.Fatal(err)
		}
		for i, place := range places {
			if !(math.Abs(product[place]-direct[i]) <= 2e-4*largestSize(direct)) {
				t.Fatalf("%s: element %d of the product is %g, directly %g", name, i, product[place], direct[i])
			}
		}
		if !slices.Equal(before, lab.Weights()) {
			t.Errorf("%s: the weights were changed", name)
		}
	}
}

func all(n int) []int {
	units := make([]int, n)
	for i := range units {
		units[i] = i
	}
	return units
}

func largestSize(values []float64) (most float64) {
	for _, x := range values {
		most = math.Max(most, math.Abs(x))
	}
	return most
}

func TestGaussNewtonIsSymmetricAndNotNegative(t *testing.T) {
	p := smallPlan()
	lab, err := NewLab(p.Undropped(), blobs(p, 10, 4, 0), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	statistics := lab.t.net.Statistics()
	units := all(lab.Units())
	_, gradient, err := lab.Gradient(t.Context(), units, net.Training, 0)
	if err != nil {
		t.Fatal(err)
	}
	draw := func(name string) []float64 {
		stream, u := stat.NewStream(6, name), make([]float64, len(gradient))
		for i, g := range gradient {
			if g != 0 { // padding has none
				u[i] = stream.Normal()
			}
		}
		return u
	}
	u, v := draw("u"), draw("v")
	times := func(u []float64) []float64 {
		product, err := lab.GaussNewton(t.Context(), units, u, 1e-4)
		if err != nil {
			t.Fatal(err)
		}
		return product
	}
	gu, gv := times(u), times(v)
	uu, uv, vu := product(u, gu), product(u, gv), product(v, gu)
	if !(uu > 0) || !(math.Abs(uv-vu) <= 0.01*uu) {
		t.Errorf("u'Gu = %g, u'Gv = %g, v'Gu = %g", uu, uv, vu)
	}
	for i, g := range gu {
		if gradient[i] == 0 && g != 0 && lab.Weights()[i] == 0 {
			t.Fatalf("element %d, padding, of a product is %g", i, g)
		}
	}
	if got := lab.t.net.Statistics(); !slices.EqualFunc(got.Mean, statistics.Mean, slices.Equal) || !slices.EqualFunc(got.Variance, statistics.Variance, slices.Equal) {
		t.Error("the running statistics were changed")
	}
}

func product(x, y []float64) (sum float64) {
	for i, a := range x {
		sum += a * y[i]
	}
	return sum
}

func TestEachGradientIsThatOfTheBatch(t *testing.T) {
	lab, images := linearLab(t, func(p *Plan) { p.Optimizer.WeightDecay = 0.1 })
	places := layout(t, lab)
	batches := parts(lab.Units(), 4)
	order, n := lab.t.order(7), 0
	before := lab.Weights()
	err := lab.EachGradient(t.Context(), 7, func(units int, gradient []float64) error {
		listed := order[batches[n].from:batches[n].to]
		n++
		if units != len(listed) {
			t.Errorf("batch %d has %d units, want %d", n, units, len(listed))
		}
		direct, _ := softmaxRegression(lab, images, listed, []float64{1, 1})
		for i, place := range places {
			if !(math.Abs(gradient[place]-direct[i]) <= 1e-5*largestSize(direct)) {
				t.Fatalf("batch %d: element %d is %g, directly %g", n, i, gradient[place], direct[i])
			}
		}
		return nil
	})
	if err != nil || n != len(batches) {
		t.Fatalf("%d batches, want %d; %v", n, len(batches), err)
	}
	if !slices.Equal(before, lab.Weights()) {
		t.Error("the weights were changed")
	}
}

// TestCurvatureLimits holds the limits against the optimisers themselves: on the loss
// h w²/2 their steps come to rest for a scaled curvature just below the limit and
// grow for one just above. The means of squared gradients of adaptive optimisers are
// all but frozen (beta2 and alpha next to 1).
func TestCurvatureLimits(t *testing.T) {
	const frozen = 1 - 1e-12
	pool := kernel.NewPool(1)
	defer pool.Close()
	for name, o := range map[string]Optimizer{
		"plain sgd":     {Name: "sgd"},
		"sgd":           {Name: "sgd", Momentum: 0.9},
		"nesterov":      {Name: "sgd", Momentum: 0.9, Nesterov: true},
		"rmsprop":       {Name: "rmsprop", Alpha: frozen, Epsilon: 1e-3},
		"adam":          {Name: "adam", Beta1: 0.9, Beta2: frozen, Epsilon: 1e-3},
		"adam, beta1 ½": {Name: "adamw", Beta1: 0.5, Beta2: frozen, Epsilon: 1e-3},
	} {
		o.LR = 0.05
		for _, share := range []float64{0.97, 1.03} {
			const start = 1e-6 // so small that squared gradients do not move their means
			param := &net.Param{Name: "w", Value: []float32{start}, Grad: []float32{0}}
			params := []*net.Param{param}
			optimizer := newOptimizer(o, params, pool)
			state := optimizer.state()
			for i := range state {
				state[i].Data = []float32{0}
				if state[i].Name == "second.w" || state[i].Name == "square.w" {
					state[i].Data[0] = 4
				}
			}
			if err := optimizer.restore(state, 1000); err != nil {
				t.Fatal(err)
			}
			if adaptive, ok := optimizer.(*adam); ok {
				adaptive.power2 = 0 // as after endlessly many steps
			}
			c := &Curvature{Scale: []float64{1}}
			optimizer.curvature(c)
			h := share * (c.Limit / o.LR) / (c.Scale[0] * c.Scale[0])
			last, most := 0.0, 0.0 // largest size in the last steps, and in all
			for step := range 200 {
				param.Grad[0] = float32(h) * param.Value[0]
				if adaptive, ok := optimizer.(*adam); ok {
					adaptive.power2 = 0
				}
				optimizer.step(params, o.LR)
				size := math.Abs(float64(param.Value[0])) / start
				if most = math.Max(most, size); step >= 150 {
					last = math.Max(last, size)
				}
			}
			if share < 1 && !(last < 0.1) || share > 1 && !(most > 100) {
				t.Errorf("%s: at %.2f of the limit the weight came to %g times its start, at last %g", name, share, most, last)
			}
		}
	}
}

func TestContinuationIsTheRunGoneOn(t *testing.T) {
	p := smallPlan()
	p.Epochs, p.Views.Every = 5, 0
	images := blobs(p, 10, 6, 4)
	whole := &Memory{}
	if err := Train(t.Context(), p, images, whole, Options{}); err != nil {
		t.Fatal(err)
	}
	short := p
	short.Epochs = 3
	_, state := trainedRun(t, short, images)
	for _, threads := range []int{1, 3} {
		epochs, err := state.Continue(t.Context(), short, images, Continuation{Epochs: 2, Rate: p.Optimizer.LR, Batch: p.Batch}, threads, nil)
		if err != nil || len(epochs) != 2 {
			t.Fatalf("%d epochs, %v", len(epochs), err)
		}
		for i, epoch := range epochs {
			for _, set := range []string{run.Train, run.Validation} {
				got, want := epoch.Evaluation(run.Logged, set), whole.Epochs[3+i].Evaluation(run.Logged, set)
				if got.Loss != want.Loss || got.Accuracy != want.Accuracy {
					t.Errorf("epoch %d, set %s: loss %v, accuracy %v; of the longer run %v, %v", epoch.Epoch, set, got.Loss, got.Accuracy, want.Loss, want.Accuracy)
				}
			}
		}
	}
	other, err := state.Continue(t.Context(), short, images, Continuation{Epochs: 1, Rate: p.Optimizer.LR / 2, Batch: 2 * p.Batch}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := other[0], whole.Epochs[3]; a.Evaluation(run.Logged, run.Train).Loss == b.Evaluation(run.Logged, run.Train).Loss || a.LearningRate != b.LearningRate/2 ||
		a.Step-3*5 >= b.Step-3*5 {
		t.Errorf("another rate and batch: %+v and %+v", a.LearningRate, b.LearningRate)
	}
}

func TestContinuationEndsWhenItDiverges(t *testing.T) {
	p := smallPlan()
	p.Epochs, p.Net.Norm, p.Optimizer.Name = 1, "none", "sgd"
	images := blobs(p, 10, 6, 0)
	_, state := trainedRun(t, p, images)
	epochs, err := state.Continue(t.Context(), p, images, Continuation{Epochs: 40, Rate: 1000, Batch: p.Batch}, 0, nil)
	if err != nil || len(epochs) == 0 || len(epochs) == 40 || isFinite(float64(epochs[len(epochs)-1].Evaluation(run.Logged, run.Train).Loss)) {
		t.Errorf("%d epochs, %v; want the last one, before the 40th, to have no loss", len(epochs), err)
	}
}

func TestRefitIsTheRecalibratedViewOfTraining(t *testing.T) {
	p := smallPlan()
	images := blobs(p, 10, 6, 4)
	for _, weights := range []string{"current", "averaged"} {
		p.Validation.Weights = weights
		whole := &Memory{}
		if err := Train(t.Context(), p, images, whole, Options{}); err != nil {
			t.Fatal(err)
		}
		training, validation, err := Refit(t.Context(), p, images, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		view := map[string]string{"current": run.Recalibrated, "averaged": run.Averaged}[weights]
		for _, got := range []run.Evaluation{training, validation} {
			want := whole.Epochs[len(whole.Epochs)-1].Evaluation(view, got.Set)
			if want == nil || got.Loss != want.Loss || !slices.EqualFunc(got.Probabilities, want.Probabilities, slices.Equal) {
				t.Errorf("%s weights, set %s: loss %v; the run's view %s has %+v", weights, got.Set, got.Loss, view, want)
			}
		}
	}
}

func TestDividedImages(t *testing.T) {
	p := smallPlan()
	p.Mistakes.ValidationGain, p.Mistakes.ValidationOffset = 2, 1
	images := blobs(p, 5, 4, 3)
	original := slices.Clone(images.Validation.Samples[0].Image.Data)
	if err := p.Plant(images); err != nil {
		t.Fatal(err)
	}
	classes := make([]int, images.Pooled())
	classes[5] = 1
	divided := images.Divided(&p, []int{5, 0, 3}, []int{4, 8}, classes)
	var ids []string
	for _, subject := range slices.Concat(divided.Train.Subjects, divided.Validation.Subjects) {
		ids = append(ids, subject.ID)
	}
	if want := []string{"validationa", "traina", "traind", "traine", "validationd"}; !slices.Equal(ids, want) {
		t.Errorf("subjects %v, want %v", ids, want)
	}
	if subjects := divided.Train.Subjects; subjects[0].Class != 1 || subjects[2].Class != 0 || images.Train.Subjects[3].Class != 1 {
		t.Errorf("classes of %+v; given were %v", subjects, classes)
	}
	samples := divided.Train.Samples // a and d have 1 and 2 images, the first of validation 1
	if len(samples) != 4 || samples[0].Subject != 0 || samples[0].Class != 1 || samples[3].Subject != 2 || samples[3].Class != 0 {
		t.Errorf("samples %+v", samples)
	}
	if !slices.Equal(samples[0].Image.Data, original) {
		t.Error("a validation image that is trained on does not come through the pipeline of training images")
	}
	if len(divided.Test.Samples) != 0 || len(images.Test.Samples) == 0 {
		t.Error("the test set should be left out, and only of the copy")
	}
	own := images.Divided(&p, []int{1}, []int{6}, nil)
	if own.Train.Subjects[0].Class != 1 || own.Validation.Subjects[0].Class != 1 || own.Validation.Name != run.Validation {
		t.Errorf("own classes: %+v, %+v", own.Train.Subjects, own.Validation.Subjects)
	}
}
