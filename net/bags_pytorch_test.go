package net

import (
	"strings"
	"testing"
)

// The cases of bench/pytorch/bags.py, in which they are defined.
type bagsCase struct {
	config    Config
	sizes     [2][]int // images of each subject in even and in odd steps
	tolerance float64  // relative to the largest element of a tensor, as in pytorchCase
}

func bagsCases() map[string]bagsCase {
	return map[string]bagsCase{
		"bags": {Config{Name: "cnn2", Dims: 2, Channels: 1, Size: [3]int{1, 9, 10}, Classes: 3, Width: 5, Norm: "batch", Momentum: 0.1, Pooling: "attention"},
			[2][]int{{3, 1, 2}, {1, 4}}, 2e-5},
		"covariates": {Config{Name: "cnn1", Dims: 3, Channels: 1, Size: [3]int{5, 4, 6}, Classes: 2, Width: 5, Norm: "batch", Momentum: 0.1, Covariates: 3},
			[2][]int{{1, 1, 1, 1}, {1, 1, 1}}, 2e-5},
		"bags-covariates": {Config{Name: "cnn1", Dims: 3, Channels: 2, Size: [3]int{4, 5, 4}, Classes: 2, Width: 17, Norm: "none", Covariates: 2, Pooling: "attention"},
			[2][]int{{2, 2}, {5, 1, 1}}, 1e-4},
	}
}

func (c bagsCase) batch(step int) (*Batch, []int) {
	bags := c.sizes[step%2]
	x := images(c.config, total(bags), 100+step)
	x.Covariates = numbers(len(bags)*c.config.Covariates, 400+step)
	for _, values := range [][]float32{x.Data, x.Covariates} {
		for i := range values {
			values[i] *= 4
		}
	}
	if c.config.Pooling == poolAttention {
		x.Bags = bags
	}
	labels := make([]int, len(bags))
	for i, v := range numbers(len(bags), 200+step) {
		labels[i] = int((v + 0.5) * float32(c.config.Classes))
	}
	return x, labels
}

func (c bagsCase) build(t *testing.T) *Net {
	n := build(t, c.config, 2)
	state, index := n.State(nil), 0
	for _, tensor := range state {
		if strings.Contains(tensor.Name, "running") {
			continue
		}
		copy(tensor.Data, numbers(len(tensor.Data), index))
		for i := range tensor.Data {
			switch {
			case strings.HasSuffix(tensor.Name, "norm.weight"):
				tensor.Data[i]++
			case strings.HasPrefix(tensor.Name, "attention."):
				tensor.Data[i] *= 4
			}
		}
		index++
	}
	if err := n.LoadState(state); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTenStepsWithBagsAgreeWithPyTorch runs ten training steps with attention over
// bags of differing sizes, with covariates, and with both.
func TestTenStepsWithBagsAgreeWithPyTorch(t *testing.T) {
	for name, c := range bagsCases() {
		t.Run(name, func(t *testing.T) {
			r := readReference(t, name)
			r.tolerance = c.tolerance
			c.compare(r, "sgd", momentumSGD)
			c.compare(r, "adam", adam)
			r.done()
		})
	}
}

func (c bagsCase) compare(r *reference, prefix string, make func(int) optimizer) {
	n := c.build(r.t)
	var optimizers []optimizer
	for _, p := range n.Params() {
		optimizers = append(optimizers, make(len(p.Value)))
	}
	var losses []float32
	for step := range 10 {
		x, labels := c.batch(step)
		loss := backward(n, x, labels, Training)
		losses = append(losses, float32(loss/float64(len(labels))))
		if step == 0 && prefix == "sgd" {
			r.compare("first.logits", n.head.logits[:len(labels)*c.config.Classes])
			for name, gradient := range gradients(n) {
				r.compare("first.gradient."+name, gradient)
			}
		}
		for i, p := range n.Params() {
			optimizers[i](p.Value, p.Grad)
		}
	}
	r.compare(prefix+".losses", losses)
	for _, tensor := range n.State(nil) {
		r.compare(prefix+".norm."+tensor.Name, norm2(tensor.Data))
	}
	x, _ := c.batch(10)
	r.compare(prefix+".inference.logits", n.Forward(x, Inference, 0))
}
