package net

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ballast/kernel"
)

// The files in testdata are what PyTorch 2.15.0 computes in float64; see
// bench/pytorch/steps.py, which also defines numbers, the cases and the steps.

type pytorchCase struct {
	config Config
	batch  int
	signs  bool // gamma of both signs and, in channel 0, zero
	halved bool // the weights, with which ten convolutions without normalisation do not diverge
	// tolerance is relative to the largest element of a tensor: 100 to 2,000 units
	// in the last place of a float32. Ten steps magnify rounding, in deep networks
	// and where sums nearly cancel the more.
	tolerance float64
}

func pytorchCases() map[string]pytorchCase {
	network := func(name string, dims, channels int, size [3]int, classes, width int, norm string) Config {
		return Config{Name: name, Dims: dims, Channels: channels, Size: size, Classes: classes, Width: width, Norm: norm, Momentum: 0.1}
	}
	with := func(c Config, depth, groups int, slope float64) Config {
		c.Depth, c.Groups = depth, groups
		if slope > 0 {
			c.Activation, c.Slope = "leaky-relu", slope
		}
		return c
	}
	return map[string]pytorchCase{
		"3d-norm":       {network("cnn2", 3, 1, [3]int{9, 10, 11}, 3, 5, "batch"), 3, false, false, 1e-5},
		"3d-plain":      {network("cnn2", 3, 2, [3]int{8, 7, 9}, 2, 4, "none"), 3, false, false, 1e-5},
		"2d-norm":       {network("cnn4", 2, 3, [3]int{1, 17, 22}, 2, 4, "batch"), 5, false, false, 1e-5},
		"2d-plain":      {network("cnn3", 2, 1, [3]int{1, 16, 19}, 4, 3, "none"), 4, false, false, 1e-5},
		"2d-wide":       {network("cnn2", 2, 20, [3]int{1, 6, 7}, 2, 18, "batch"), 3, false, false, 1e-5},
		"3d-signs":      {network("cnn2", 3, 1, [3]int{9, 8, 13}, 2, 20, "batch"), 4, true, false, 5e-5},
		"3d-after-pool": {network("cnn2", 3, 1, [3]int{9, 8, 13}, 2, 5, "batch-after-pool"), 4, false, false, 1e-4},
		"2d-residual":   {network("resnet18", 2, 1, [3]int{1, 40, 34}, 3, 4, "batch"), 6, false, false, 2e-4},
		"3d-residual":   {network("resnet10", 3, 2, [3]int{20, 18, 22}, 2, 3, "batch"), 5, false, false, 2e-4},

		"2d-leaky":          {with(network("cnn4", 2, 2, [3]int{1, 13, 18}, 3, 5, "none"), 2, 0, 0.1), 4, false, false, 1e-5},
		"2d-leaky-norm":     {with(network("cnn2", 2, 1, [3]int{1, 12, 15}, 2, 4, "batch"), 0, 0, 0.25), 4, false, false, 1e-5},
		"3d-group":          {with(network("cnn1", 3, 2, [3]int{9, 8, 13}, 2, 6, "group"), 3, 4, 0), 3, false, false, 1e-5},
		"2d-vgg":            {network("vgg11", 2, 1, [3]int{1, 33, 32}, 2, 3, "batch"), 6, false, false, 5e-5},
		"2d-vgg-plain":      {network("vgg13", 2, 1, [3]int{1, 32, 34}, 2, 2, "none"), 6, false, true, 2e-4},
		"3d-vgg-group":      {with(network("vgg11", 3, 1, [3]int{32, 33, 34}, 2, 2, "group"), 0, 4, 0.1), 3, false, false, 5e-5},
		"2d-residual-group": {with(network("resnet10", 2, 1, [3]int{1, 40, 34}, 3, 3, "group"), 0, 2, 0.2), 4, false, false, 5e-5},
	}
}

// numbers returns evenly spread multiples of 2^-24 in [-0.5, 0.5).
func numbers(count, stream int) []float32 {
	values := make([]float32, count)
	for i := range values {
		x := uint32(i)*0x9E3779B9 + uint32(stream)*0x85EBCA6B + 1
		x = (x ^ x>>16) * 0x7FEB352D
		x = (x ^ x>>15) * 0x846CA68B
		x ^= x >> 16
		values[i] = float32(x>>8)/(1<<24) - 0.5
	}
	return values
}

func (c pytorchCase) images(step int) (*Batch, []int) {
	n, size := c.config, c.config.Size
	x := &Batch{N: c.batch, C: n.Channels, D: size[0], H: size[1], W: size[2]}
	x.Data = numbers(x.N*x.C*x.D*x.H*x.W, 100+step)
	for i := range x.Data {
		x.Data[i] *= 4
	}
	labels := make([]int, c.batch)
	for i, v := range numbers(c.batch, 200+step) {
		labels[i] = int((v + 0.5) * float32(n.Classes))
	}
	return x, labels
}

// build returns the network with the weights of the script.
func (c pytorchCase) build(t testing.TB, workers int) *Net {
	pool := kernel.NewPool(workers)
	t.Cleanup(pool.Close)
	n, err := Build(c.config, 1, pool)
	if err != nil {
		t.Fatal(err)
	}
	state, index := n.State(nil), 0
	for _, tensor := range state {
		if strings.Contains(tensor.Name, "running") {
			continue
		}
		copy(tensor.Data, numbers(len(tensor.Data), index))
		for i := range tensor.Data {
			if c.halved {
				tensor.Data[i] /= 2
			}
		}
		if strings.Contains(tensor.Name, "norm") && strings.HasSuffix(tensor.Name, ".weight") {
			for i := range tensor.Data {
				if !c.signs {
					tensor.Data[i]++
				} else if i == 0 {
					tensor.Data[i] = 0
				}
			}
		}
		index++
	}
	if err := n.LoadState(state); err != nil {
		t.Fatal(err)
	}
	return n
}

// reference is a file of testdata that must be used up.
type reference struct {
	t         *testing.T
	tolerance float64
	tensors   map[string][]float32
}

func readReference(t *testing.T, name string) *reference {
	data, err := os.ReadFile(filepath.Join("testdata", name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	tensors, metadata, err := ReadSafetensors(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if metadata["torch"] != "2.15.0" {
		t.Fatalf("%s was made by torch %q, not 2.15.0", name, metadata["torch"])
	}
	r := &reference{t, 1e-5, map[string][]float32{}}
	for _, tensor := range tensors {
		r.tensors[tensor.Name] = tensor.Data
	}
	return r
}

// compare holds got against a tensor of the file: every element within the
// tolerance times the largest absolute element of the tensor.
func (r *reference) compare(name string, got []float32) {
	r.t.Helper()
	want, ok := r.tensors[name]
	if !ok || len(want) != len(got) {
		r.t.Errorf("%s: %d values, reference has %d", name, len(got), len(want))
		return
	}
	delete(r.tensors, name)
	largest, worst := 0.0, 0.0
	for i, v := range want {
		largest = math.Max(largest, math.Abs(float64(v)))
		worst = math.Max(worst, math.Abs(float64(got[i])-float64(v)))
	}
	if !(worst <= r.tolerance*largest) {
		r.t.Errorf("%s: differs by %.3g of its largest element, tolerance %.3g", name, worst/largest, r.tolerance)
	}
}

func (r *reference) done() {
	for name := range r.tensors {
		r.t.Errorf("%s of the reference was not compared", name)
	}
}

// An optimizer updates values from gradients; each parameter has its own.
type optimizer func(value, gradient []float32)

func momentumSGD(size int) optimizer {
	velocity := make([]float64, size)
	return func(value, gradient []float32) {
		for i, g := range gradient {
			velocity[i] = 0.9*velocity[i] + float64(g)
			value[i] -= float32(0.05 * velocity[i])
		}
	}
}

func adam(size int) optimizer {
	first, second := make([]float64, size), make([]float64, size)
	power1, power2 := 1.0, 1.0
	return func(value, gradient []float32) {
		power1, power2 = power1*0.9, power2*0.999
		for i, gradient := range gradient {
			g := float64(gradient)
			first[i] = 0.9*first[i] + 0.1*g
			second[i] = 0.999*second[i] + 0.001*g*g
			value[i] -= float32(0.002 * first[i] / (1 - power1) / (math.Sqrt(second[i]/(1-power2)) + 1e-8))
		}
	}
}

// TestTenStepsAgreeWithPyTorch runs ten training steps of each network with
// each optimiser, an inference with its gradients, and a recalibration.
func TestTenStepsAgreeWithPyTorch(t *testing.T) {
	for name, c := range pytorchCases() {
		t.Run(name, func(t *testing.T) {
			r := readReference(t, name)
			r.tolerance = c.tolerance
			compareTraining(r, c, "sgd", momentumSGD)
			if c.config.Norm != normAfterPool { // see the script
				compareTraining(r, c, "adam", adam)
			}
			r.done()
		})
	}
}

func compareTraining(r *reference, c pytorchCase, prefix string, make func(int) optimizer) {
	n := c.build(r.t, 2)
	var optimizers []optimizer
	for _, p := range n.Params() {
		optimizers = append(optimizers, make(len(p.Value)))
	}
	var losses []float32
	for step := range 10 {
		x, labels := c.images(step)
		loss := backward(n, x, labels, Training)
		losses = append(losses, float32(loss/float64(c.batch)))
		if step == 0 && prefix == "sgd" {
			r.compare("first.logits", n.head.logits)
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
	compareInference(r, c, n, prefix)
}

func compareInference(r *reference, c pytorchCase, n *Net, prefix string) {
	x, labels := c.images(10)
	backward(n, x, labels, Inference)
	r.compare(prefix+".inference.logits", n.head.logits)
	for name, gradient := range gradients(n) {
		r.compare(prefix+".inference.gradient."+name, norm2(gradient))
	}
	if !n.HasBatchNorm() {
		return
	}
	n.BeginRecalibration()
	for step := range 3 {
		x, _ := c.images(step)
		n.Forward(x, Recalibration, 0)
	}
	n.EndRecalibration()
	for _, tensor := range n.State(nil) {
		if strings.Contains(tensor.Name, "running") {
			r.compare(prefix+".update_bn."+tensor.Name, tensor.Data)
		}
	}
}

// backward runs a forward and a backward pass and returns the sum of losses.
func backward(n *Net, x *Batch, labels []int, mode Mode) float64 {
	logits := n.Forward(x, mode, 0)
	probabilities, dlogits := make([]float32, len(logits)), make([]float32, len(logits))
	loss := SoftmaxCrossEntropy(logits, labels, n.config.Classes, probabilities, dlogits)
	n.Backward(dlogits)
	return loss
}

// gradients returns all gradients in PyTorch's layout.
func gradients(n *Net) map[string][]float32 {
	byName := map[string]*Param{}
	for _, p := range n.Params() {
		byName[p.Name] = p
	}
	all := map[string][]float32{}
	for _, e := range n.entries() {
		if p, ok := byName[e.name]; ok {
			gradient := make([]float32, volume(e.shape))
			e.each(func(i, offset int) { gradient[i] = p.Grad[offset] })
			all[e.name] = gradient
		}
	}
	return all
}

func norm2(values []float32) []float32 {
	sum := 0.0
	for _, v := range values {
		sum += float64(v) * float64(v)
	}
	return []float32{float32(math.Sqrt(sum))}
}

func TestCrossEntropyAgreesWithPyTorch(t *testing.T) {
	r := readReference(t, "cross-entropy")
	logits := numbers(7*5, 300)
	for i := range logits {
		logits[i] *= 200
	}
	labels := make([]int, 7)
	for i, v := range numbers(7, 301) {
		labels[i] = int((v + 0.5) * 5)
	}
	probabilities, gradient := make([]float32, 35), make([]float32, 35)
	loss := SoftmaxCrossEntropy(logits, labels, 5, probabilities, gradient)
	r.compare("loss", []float32{float32(loss / 7)})
	r.compare("probabilities", probabilities)
	r.compare("gradient", gradient)
	r.done()
}
