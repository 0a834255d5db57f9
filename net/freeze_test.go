package net

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestFreezeRefuses(t *testing.T) {
	n := build(t, smallNet(), 1)
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{"blok1"}, `no layer of network "cnn2" is called "blok1"; did you mean "block1"?`},
		{[]string{"block1", "block"}, `did you mean "block1"?`},
		{[]string{"block1.norm.running_mean"}, `did you mean`},
		{[]string{""}, `is called ""`},
		{[]string{"block1", "block2", "head"}, "nothing of network"},
	} {
		if err := n.Freeze(c.words); !errors.Is(err, ErrFreeze) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want ErrFreeze with %q", c.words, err, c.want)
		}
	}
	if len(n.Params()) != len(n.params) {
		t.Error("a refused call has frozen something")
	}
}

// freezeCases are networks of every kind of stage, with what is frozen of them.
func freezeCases() map[string]struct {
	config Config
	words  []string
} {
	dropping := smallNet()
	dropping.Name, dropping.Size, dropping.BlockDropout = "cnn3", [3]int{9, 9, 10}, 0.2
	after := dropping
	after.Norm = normAfterPool
	plain := dropping
	plain.Norm = normNone
	residual := Config{Name: "resnet10", Dims: 3, Channels: 1, Size: [3]int{9, 8, 10}, Classes: 3, Width: 4, Norm: normBatch, Momentum: 0.1}
	group := dropping
	group.Norm, group.Groups, group.SpatialDropout, group.Activation, group.Slope = normGroup, 4, 0.2, leakyReLU, 0.1
	vgg := residual
	vgg.Name, vgg.Dims, vgg.Size = "vgg13", 2, [3]int{1, 33, 34}
	vgg.Width, vgg.Activation, vgg.Slope = 2, leakyReLU, 0.2 // no channel is dead
	attention := smallNet()
	attention.Pooling, attention.Covariates = poolAttention, 2
	return map[string]struct {
		config Config
		words  []string
	}{
		"first block":      {dropping, []string{"block1"}},
		"second block":     {dropping, []string{"block2"}},
		"first two":        {dropping, []string{"block1", "block2"}},
		"all but the head": {dropping, []string{"block1", "block2", "block3"}},
		"a norm":           {dropping, []string{"block2.norm"}},
		"half a norm":      {dropping, []string{"block2.norm.weight"}},
		"the head":         {dropping, []string{"head"}},
		"after pooling":    {after, []string{"block1", "block2.norm"}},
		"without norm":     {plain, []string{"block1", "block2.conv.bias"}},
		"residual":         {residual, []string{"stem", "group1", "group2.block1.shortcut.norm", "group3.block1.conv1"}},
		"group norm":       {group, []string{"block1", "block3.norm"}},
		"vgg":              {vgg, []string{"group1", "group2.block1", "group3.block2.norm"}},
		"attention":        {attention, []string{"block1", "attention.hidden"}},
	}
}

// What is frozen keeps every bit through steps of training and a recalibration,
// with its running statistics; everything else moves.
func TestFrozenTensorsStay(t *testing.T) {
	for name, c := range freezeCases() {
		n := lively(t, c.config)
		if err := n.Freeze(c.words); err != nil {
			t.Fatal(err)
		}
		before := n.State(nil)
		for i := range before {
			before[i].Data = slices.Clone(before[i].Data)
		}
		for step := range 2 {
			backwardOf(n, freezeBatch(c.config, 10+step))
			for _, p := range n.Params() {
				for i, g := range p.Grad {
					p.Value[i] -= float32(0.05 * g)
				}
			}
		}
		n.BeginRecalibration()
		n.Forward(freezeBatch(c.config, 30), Recalibration, 0)
		n.EndRecalibration()
		for i, tensor := range n.State(nil) {
			frozen := slices.ContainsFunc(c.words, func(word string) bool { return beginsWith(tensor.Name, word) })
			if same := sameBytes(tensor.Data, before[i].Data); same != frozen {
				t.Errorf("%s: %s: unchanged is %t, frozen is %t", name, tensor.Name, same, frozen)
			}
		}
	}
}

// freezeBatch has four samples, of which the first holds two images under
// attention pooling.
func freezeBatch(c Config, seed int) *Batch {
	x := images(c, 4, seed)
	if c.Pooling == poolAttention {
		x = images(c, 5, seed)
		x.Bags = []int{2, 1, 1, 1}
	}
	x.Covariates = numbers(4*c.Covariates, 5)
	return x
}

func backwardOf(n *Net, x *Batch) {
	logits := n.Forward(x, Training, 3)
	labels := []int{0, 1, 2, 1}
	probabilities, gradient := make([]float32, len(logits)), make([]float32, len(logits))
	SoftmaxCrossEntropy(logits, labels, n.config.Classes, probabilities, gradient)
	n.Backward(gradient)
}

// A frozen network gives what is left to train the gradients that the whole
// network gives in inference mode, where all normalisations are constants.
func TestFrozenGradients(t *testing.T) {
	for name, c := range freezeCases() {
		c.config.Dropout, c.config.BlockDropout, c.config.SpatialDropout = 0, 0, 0
		whole, frozen := lively(t, c.config), lively(t, c.config)
		words := c.words
		for _, l := range frozen.norms {
			words = append(words, l.name)
		}
		if err := frozen.Freeze(words); err != nil {
			t.Fatal(err)
		}
		x := freezeBatch(c.config, 11)
		backwardOf(frozen, x)
		logits := whole.Forward(x, Inference, 0)
		gradient := make([]float32, len(logits))
		SoftmaxCrossEntropy(logits, []int{0, 1, 2, 1}, c.config.Classes, make([]float32, len(logits)), gradient)
		whole.Backward(gradient)
		for _, p := range frozen.Params() {
			k := slices.IndexFunc(whole.Params(), func(q *Param) bool { return q.Name == p.Name })
			want := whole.Params()[k].Grad
			size := largestDifference(want, make([]float32, len(want)))
			if d := largestDifference(p.Grad, want); !(d <= 1e-6*size) || math.IsNaN(size) {
				t.Errorf("%s: gradient of %s differs by %g of %g", name, p.Name, d, size)
			}
		}
	}
}

func TestFit(t *testing.T) {
	n := build(t, smallNet(), 1)
	state := n.State(nil)
	wrong := Tensor{Name: "head.weight", Shape: []int{5, 34}, Data: make([]float32, 5*34)}
	infinite := Tensor{Name: "head.bias", Shape: []int{3}, Data: []float32{0, float32(math.Inf(1)), 0}}
	negative := Tensor{Name: "block1.norm.running_var", Shape: []int{17}, Data: slices.Repeat([]float32{-1}, 17)}
	file := []Tensor{wrong, infinite, negative, {Name: "fc.weight"}, state[0], state[0], state[3]}
	fit := n.Fit(file)
	if state[3].Name != "block1.norm.running_mean" || len(fit.Used) != 1 || fit.Used[0].Name != state[0].Name || len(fit.Missing) != len(state)-1 || slices.Contains(fit.Missing, state[0].Name) {
		t.Errorf("used %d, missing %v", len(fit.Used), fit.Missing)
	}
	for i, want := range []string{"it has shape [5 34], the network needs [3 34]", "not finite", "negative variances", "no tensor of this name", "occurs twice", "no block1.norm.weight that fits"} {
		if i >= len(fit.Left) || fit.Left[i].Name != file[[]int{0, 1, 2, 3, 5, 6}[i]].Name || !strings.Contains(fit.Left[i].Reason, want) {
			t.Errorf("left %v, want number %d to say %q", fit.Left, i, want)
		}
	}
}

func TestLoadPart(t *testing.T) {
	n, other := build(t, smallNet(), 1), lively(t, smallNet())
	before, theirs := n.State(nil), other.State(nil)
	part := []Tensor{theirs[3], theirs[0]}
	if err := n.LoadPart(append(part, Tensor{Name: "fc"})); !errors.Is(err, ErrState) || !sameBytes(n.State(nil)[3].Data, before[3].Data) {
		t.Errorf("an unknown tensor: %v, or the network changed", err)
	}
	if err := n.LoadPart(part); err != nil {
		t.Fatal(err)
	}
	for i, tensor := range n.State(nil) {
		want := before[i].Data
		if i == 0 || i == 3 {
			want = theirs[i].Data
		}
		if !sameBytes(tensor.Data, want) {
			t.Errorf("%s is not what was loaded, or has changed", tensor.Name)
		}
	}
}
