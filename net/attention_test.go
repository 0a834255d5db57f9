package net

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// smallBags is a network with attention, covariates, padding and dropout.
func smallBags() Config {
	c := smallNet()
	c.Covariates, c.Pooling = 3, "attention"
	return c
}

// bagged is a batch of bags with covariates.
func bagged(c Config, bags []int, seed int) *Batch {
	x := images(c, total(bags), seed)
	x.Bags = bags
	x.Covariates = numbers(len(bags)*c.Covariates, seed+1)
	return x
}

// The gradients of all parameters agree with central differences of the loss, in
// 2D and 3D, with and without attention, with covariates and the linear network.
func TestBagGradientsAgreeWithDifferences(t *testing.T) {
	for name, c := range map[string]Config{
		"attention":            {Name: "cnn1", Dims: 2, Channels: 1, Size: [3]int{1, 5, 6}, Classes: 3, Width: 5, Norm: "none", Pooling: "attention"},
		"attention, covariate": {Name: "cnn1", Dims: 3, Channels: 2, Size: [3]int{4, 3, 4}, Classes: 2, Width: 3, Norm: "none", Pooling: "attention", Covariates: 2, Dropout: 0.3},
		"covariates":           {Name: "cnn1", Dims: 2, Channels: 1, Size: [3]int{1, 4, 6}, Classes: 2, Width: 17, Norm: "none", Covariates: 2, Dropout: 0.2},
		"linear":               {Name: "linear", Dims: 2, Channels: 1, Size: [3]int{1, 3, 4}, Classes: 3, Pooling: "attention", Covariates: 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := build(t, c, 2)
			for _, p := range n.Params() {
				for i := range p.Value {
					if strings.HasPrefix(p.Name, "attention.") {
						p.Value[i] *= 10 // so that tanh and softmax are far from linear
					}
				}
			}
			bags := []int{3, 1, 2}
			if c.Pooling == "" {
				bags = []int{1, 1, 1}
			}
			x, labels := bagged(c, bags, 3), []int{0, 1, c.Classes - 1}
			if c.Pooling == "" {
				x.Bags = nil
			}
			loss := func() float64 {
				logits := n.Forward(x, Training, 7)
				return SoftmaxCrossEntropy(logits, labels, c.Classes, make([]float32, len(logits)), nil) / float64(len(labels))
			}
			logits := n.Forward(x, Training, 7)
			dlogits := make([]float32, len(logits))
			SoftmaxCrossEntropy(logits, labels, c.Classes, make([]float32, len(logits)), dlogits)
			n.Backward(dlogits)
			params := map[string]*Param{}
			for _, p := range n.Params() {
				params[p.Name] = p
			}
			for _, e := range n.entries() {
				p := params[e.name]
				gradient, size := slices.Clone(p.Grad), float64(norm2(p.Grad)[0])
				checked := 0
				e.each(func(i, offset int) {
					if checked++; checked > 40 && i%13 != 0 {
						return
					}
					const step = 1.0 / 1024
					old := p.Value[offset]
					p.Value[offset] = old + step
					up := loss()
					p.Value[offset] = old - step
					down := loss()
					p.Value[offset] = old
					// Differences of a loss in float32 are good to about 1e-7/step, and bend
					// where ReLU or max pooling switches.
					if got, want := float64(gradient[offset]), (up-down)/(2*step); !(math.Abs(got-want) <= 3e-4+0.01*size) {
						t.Errorf("%s %d: gradient %g, difference %g", e.name, i, got, want)
					}
				})
			}
		})
	}
}

// A bag's logits do not depend on the order of its images, on other bags, or on
// whether its features come from one call of Forward or several of Features.
func TestAttentionIsOfTheBag(t *testing.T) {
	c := smallBags()
	n := build(t, c, 2)
	x := bagged(c, []int{4, 1, 3}, 5)
	all := slices.Clone(n.Forward(x, Inference, 0))
	size := len(x.Data) / x.N
	var features []float32
	for i := range x.N {
		one := *x
		one.N, one.Data, one.Bags, one.Covariates = 1, x.Data[i*size:(i+1)*size], nil, nil
		features = append(features, n.Features(&one, Inference, 0)...)
	}
	if got := n.Classify(features, x.Bags, x.Covariates, Inference, 0); !slices.Equal(got, all) {
		t.Errorf("gathered features give %v, a batch %v", got, all)
	}
	alone := n.Classify(features[4*n.FeatureStride():5*n.FeatureStride()], nil, x.Covariates[3:6], Inference, 0)
	if !slices.Equal(alone, all[3:6]) {
		t.Errorf("a bag of one gives %v alone, %v among others", alone, all[3:6])
	}
	turned := *x
	turned.Data = slices.Clone(x.Data)
	copy(turned.Data[:size], x.Data[3*size:])
	copy(turned.Data[3*size:4*size], x.Data[:size])
	for i, got := range n.Forward(&turned, Inference, 0) {
		if !(math.Abs(float64(got-all[i])) <= 1e-6) {
			t.Errorf("logit %d is %g with two images exchanged, %g before", i, got, all[i])
		}
	}
}

// Attention with one image in each bag is the same network as without: the weight
// of the image is 1.
func TestAttentionOfOneImageIsNone(t *testing.T) {
	c := smallNet()
	plain := build(t, c, 1)
	c.Pooling = "attention"
	attentive := build(t, c, 1)
	x := images(c, 3, 8)
	if got, want := attentive.Forward(x, Training, 4), plain.Forward(x, Training, 4); !slices.Equal(got, want) {
		t.Errorf("%v with attention, %v without", got, want)
	}
}

// Steps with bags and covariates have the same bits for any number of workers, and
// allocate nothing once buffers are made.
func TestBagSteps(t *testing.T) {
	c := smallBags()
	var want []uint32
	for _, workers := range []int{1, 2, 5} {
		n := build(t, c, workers)
		large, small := bagged(c, []int{2, 3, 1}, 1), bagged(c, []int{1, 2}, 2)
		dlogits := numbers(3*c.Classes, 1)
		step := func(x *Batch) {
			n.Forward(x, Training, 1)
			n.Backward(dlogits[:len(x.Bags)*c.Classes])
		}
		step(large)
		step(small)
		var got []uint32
		for _, p := range n.Params() {
			for _, g := range p.Grad {
				got = append(got, math.Float32bits(g))
			}
		}
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d workers give another gradient", workers)
		}
		if workers == 2 {
			if count := testing.AllocsPerRun(10, func() { step(large); step(small) }); count > 0 {
				t.Errorf("two steps make %g allocations", count)
			}
		}
	}
}

// Covariates are never dropped and follow the features in the weight.
func TestCovariatesFollowTheFeatures(t *testing.T) {
	c := smallNet()
	c.Covariates, c.Dropout = 2, 0.9
	n := build(t, c, 1)
	x := images(c, 2, 1)
	x.Covariates = []float32{1, 2, 3, 4}
	for _, mode := range []Mode{Training, Sampling, Inference} {
		n.Forward(x, mode, 3)
		for i, want := range x.Covariates {
			if got := n.head.input[i/2*n.head.width+n.head.stride+i%2]; got != want {
				t.Errorf("mode %v: covariate %d is %g, want %g", mode, i, got, want)
			}
		}
	}
	state := n.State(nil)
	head := state[len(state)-2]
	if head.Name != "head.weight" || !slices.Equal(head.Shape, []int{3, 34 + 2}) {
		t.Fatalf("%s %v", head.Name, head.Shape)
	}
	head.Data[36+35] += 0.5 // of class 1 and the second covariate
	before := slices.Clone(n.Forward(x, Inference, 0))
	if err := n.LoadState(state); err != nil {
		t.Fatal(err)
	}
	for i, got := range n.Forward(x, Inference, 0) {
		want := before[i]
		if i%3 == 1 {
			want += 0.5 * x.Covariates[i/3*2+1]
		}
		if !(math.Abs(float64(got-want)) <= 1e-5) {
			t.Errorf("logit %d is %g, want %g", i, got, want)
		}
	}
}

func TestBagsPanic(t *testing.T) {
	for name, change := range map[string]func(x *Batch) Config{
		"too few images":       func(x *Batch) Config { x.Bags = []int{2, 3}; return smallBags() },
		"empty bag":            func(x *Batch) Config { x.Bags = []int{3, 0, 1}; return smallBags() },
		"no covariates":        func(x *Batch) Config { x.Covariates = nil; return smallBags() },
		"bags without pooling": func(x *Batch) Config { c := smallBags(); c.Pooling = "mean"; return c },
	} {
		x := bagged(smallBags(), []int{1, 2, 1}, 1)
		c := change(x)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			build(t, c, 1).Forward(x, Inference, 0)
		}()
	}
}

// The portable hyperbolic tangent agrees with the standard library's, which is
// good to about 1e-16.
func TestTanh(t *testing.T) {
	for _, x := range []float64{0, 1e-300, -1e-9, 9.9e-5, -1.01e-4, 0.01, -0.5, 1, 3, -20, 800, math.Inf(1), math.Inf(-1)} {
		if got, want := tanh(x), math.Tanh(x); !(math.Abs(got-want) <= 2e-12*math.Abs(want)) {
			t.Errorf("tanh(%g) = %.17g, want %.17g", x, got, want)
		}
	}
	if x := tanh(math.NaN()); x == x {
		t.Errorf("tanh(NaN) = %g", x)
	}
}
