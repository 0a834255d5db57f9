package net

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"ballast/kernel"
	"ballast/stat"
)

// variants are networks whose normalisation, activation, dropout or depth is not
// that of the first ones.
func variants() map[string]Config {
	base := Config{Dims: 2, Channels: 2, Size: [3]int{1, 34, 37}, Classes: 3, Width: 3, Norm: "batch", Groups: 2, Momentum: 0.1}
	with := func(name string, change func(*Config)) Config {
		c := base
		c.Name = name
		change(&c)
		return c
	}
	leaky := func(c *Config) { c.Activation, c.Slope = "leaky-relu", 0.1 }
	return map[string]Config{
		"depth":               with("cnn4", func(c *Config) { c.Depth = 2 }),
		"leaky":               with("cnn2", func(c *Config) { leaky(c); c.Norm = "none" }),
		"leaky batch":         with("cnn2", leaky),
		"group":               with("cnn3", func(c *Config) { c.Norm, c.Width, c.Dropout = "group", 17, 0.2 }),
		"spatial dropout":     with("cnn2", func(c *Config) { c.SpatialDropout, c.BlockDropout = 0.3, 0.2 }),
		"vgg":                 with("vgg11", func(c *Config) {}),
		"vgg none":            with("vgg13", func(c *Config) { c.Norm = "none" }),
		"vgg group leaky":     with("vgg16", func(c *Config) { leaky(c); c.Norm, c.SpatialDropout = "group", 0.2 }),
		"vgg 3D group":        with("vgg11", func(c *Config) { c.Norm, c.Dims, c.Size[0], c.Size[1], c.Width = "group", 3, 32, 32, 2 }),
		"residual group":      with("resnet10", func(c *Config) { c.Norm, c.BlockDropout, c.SpatialDropout = "group", 0.1, 0.1 }),
		"residual leaky":      with("resnet10", leaky),
		"after pooling leaky": with("cnn2", func(c *Config) { leaky(c); c.Norm = "batch-after-pool" }),
	}
}

// Every variant trains, with steps that allocate nothing, and a network that is
// given its state gives the same logits; padding stays zero.
func TestVariantsTrain(t *testing.T) {
	for name, c := range variants() {
		n, other := build(t, c, 1), build(t, c, 1)
		train(n, c, 2)
		for _, p := range n.Params() {
			if norm := norm2(p.Grad)[0]; !(norm > 0) {
				t.Errorf("%s: gradient of %s has norm %g", name, p.Name, norm)
			}
		}
		if err := other.LoadState(n.State(nil)); err != nil {
			t.Fatal(err)
		}
		x := images(c, 3, 8)
		if got, want := n.Forward(x, Inference, 0), other.Forward(x, Inference, 0); !slices.Equal(got, want) {
			t.Errorf("%s: loaded network gives %v, want %v", name, got, want)
		}
		dlogits := numbers(3*c.Classes, 1)
		step := func() {
			n.Forward(x, Training, 1)
			n.Backward(dlogits)
		}
		step()
		if count := testing.AllocsPerRun(5, step); count > 0 {
			t.Errorf("%s: a step makes %g allocations", name, count)
		}
		checkPadding(t, name, n)
	}
}

func checkPadding(t *testing.T, name string, n *Net) {
	used := map[string]map[int]bool{}
	for _, e := range n.entries() {
		used[e.name] = map[int]bool{}
		e.each(func(_, offset int) { used[e.name][offset] = true })
	}
	for _, p := range n.Params() {
		for i := range p.Value {
			if !used[p.Name][i] && (p.Value[i] != 0 || p.Grad[i] != 0) {
				t.Fatalf("%s: %s: padding at %d has value %g, gradient %g", name, p.Name, i, p.Value[i], p.Grad[i])
			}
		}
	}
}

// Group normalisation has no running statistics: recalibration changes nothing,
// and the images of a batch do not depend on each other, in training neither.
func TestGroupNormalisationIsOfOneImage(t *testing.T) {
	for _, name := range []string{"group", "vgg 3D group", "residual group"} {
		c := variants()[name]
		c.Dropout, c.BlockDropout, c.SpatialDropout = 0, 0, 0
		n := build(t, c, 2)
		train(n, c, 1)
		if n.HasBatchNorm() || len(n.Statistics().Mean) > 0 {
			t.Errorf("%s has batch normalisation", name)
		}
		for _, tensor := range n.State(nil) {
			if strings.Contains(tensor.Name, "running") {
				t.Errorf("%s: the state holds %s", name, tensor.Name)
			}
		}
		x := images(c, 3, 8)
		together := slices.Clone(n.Forward(x, Training, 0))
		if inference := n.Forward(x, Inference, 0); !slices.Equal(inference, together) {
			t.Errorf("%s: logits %v in inference, %v in training", name, inference, together)
		}
		one := *x
		size := len(x.Data) / 3
		one.N, one.Data = 1, x.Data[2*size:]
		if got, want := n.Forward(&one, Training, 0), together[2*c.Classes:]; !slices.Equal(got, want) {
			t.Errorf("%s: an image alone gives %v, in a batch %v", name, got, want)
		}
	}
}

// Where the number of groups does not divide the channels, their greatest common
// divisor does.
func TestGroupsOfALayer(t *testing.T) {
	for _, c := range []struct{ groups, channels, want int }{{8, 16, 8}, {8, 12, 4}, {8, 5, 1}, {32, 16, 16}, {1, 7, 1}, {6, 20, 2}} {
		if got := commonDivisor(c.groups, c.channels); got != c.want {
			t.Errorf("%d groups of %d channels: %d, want %d", c.groups, c.channels, got, c.want)
		}
	}
	c := variants()["group"]
	for _, l := range build(t, c, 1).Layers() {
		if want := "group normalisation (1)"; l.Name == "block1.norm" && l.Kind != want { // 17 channels
			t.Errorf("%s is %q, want %q", l.Name, l.Kind, want)
		}
	}
}

// Spatial dropout drops whole channels of a sample, as its stream says, and passes
// no gradient to them; inference drops nothing.
func TestSpatialDropout(t *testing.T) {
	const probability, samples = 0.3, 5
	s := kernel.Blocked(samples, 19, 2, 3, 4, 1)
	l := newSpatialDropoutStage("block1.spatial_dropout", s, probability)
	l.reserve(samples)
	l.reserveGradients(samples)
	in := make([]float32, s.Len())
	pool := kernel.NewPool(2)
	defer pool.Close()
	kernel.Pack(pool, numbers(samples*s.C*s.Voxels(), 1), s, in)
	kernel.Pack(pool, numbers(samples*s.C*s.Voxels(), 2), l.bare(), l.dout)
	step := &step{pool: pool, mode: Training, seed: 9}
	out, din := l.forward(step, in), make([]float32, s.Len())
	l.backward(step, in, s, din)
	stream := stat.NewStream(9, "dropout/block1.spatial_dropout")
	for n := range samples {
		for c := range s.C {
			factor := float32(0)
			if float64(stream.Uint32At(uint64(n*s.C+c)))/(1<<32) >= probability {
				factor = 1 / (1 - float32(probability))
			}
			for v := range s.Voxels() {
				i := s.Index(n, c, v/12, v/4%3, v%4)
				gradient := l.dout[l.bare().Index(n, c, v/12, v/4%3, v%4)]
				if out[i] != in[i]*factor || din[i] != gradient*factor {
					t.Fatalf("sample %d, channel %d: %g from %g, gradient %g from %g; factor %g", n, c, out[i], in[i], din[i], gradient, factor)
				}
			}
		}
	}
	step.mode = Inference
	if got := l.forward(step, in); &got[0] != &in[0] {
		t.Error("inference drops channels")
	}
}

// He's deviation with leaky ReLU is sqrt(2/(1 + slope²)/fan-in); the standard error
// of a deviation of m normal numbers is 1/sqrt(2m) of it.
func TestInitialisationForLeakyReLU(t *testing.T) {
	c := Config{Name: "vgg13", Dims: 2, Channels: 1, Size: [3]int{1, 32, 32}, Classes: 2, Width: 16, Norm: "none", Activation: "leaky-relu", Slope: 0.5}
	for _, tensor := range build(t, c, 1).State(nil) {
		if len(tensor.Shape) != 4 {
			continue
		}
		size := float64(len(tensor.Data))
		got := float64(norm2(tensor.Data)[0]) / math.Sqrt(size)
		want := math.Sqrt(2 / 1.25 / float64(volume(tensor.Shape[1:])))
		if !(math.Abs(got/want-1) <= 5/math.Sqrt(2*size)) {
			t.Errorf("%s has deviation %g, want %g", tensor.Name, got, want)
		}
	}
}

// vgg11 on 224 x 224 pixels with 3 channels and 64 channels in its first group is
// that of Simonyan and Zisserman (2015, table 1, A) up to the last pooling: 8
// convolutions with 9,220,480 weights and biases, 512 channels of 7 x 7 pixels.
func TestVGGIsThatOfThePaper(t *testing.T) {
	for name, parameters := range map[string]int{"vgg11": 9220480, "vgg13": 9404992, "vgg16": 14714688} {
		c := Config{Name: name, Dims: 2, Channels: 3, Size: [3]int{1, 224, 224}, Classes: 2, Width: 64, Norm: "none"}
		got, output := 0, ""
		for _, l := range assemble(c, nil).Layers() {
			if l.Kind == "convolution" {
				got += l.Parameters
			}
			if l.Kind == "max pooling" {
				output = fmt.Sprint(l.Output)
			}
		}
		if got != parameters || output != "[512 7 7]" {
			t.Errorf("%s has %d weights in convolutions and ends with %s, want %d and [512 7 7]", name, got, output, parameters)
		}
	}
}
