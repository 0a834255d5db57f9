package net

import (
	"slices"

	"ballast/kernel"
)

// A block is convolution, normalisation, ReLU and max pooling by 2:
//
//	in (N, I, D, H, W) -> y (N, O, D, H, W) -> out (N, O, D/2, H/2, W/2)
//
// All after the convolution is one pass over y, in which ReLU follows the
// pooling: the two commute, and where the maximum is not positive, so that ties
// of zeros would choose another voxel, no gradient flows.
type block struct {
	name   string
	first  bool // no gradient of the input is needed
	conv   *kernel.Conv
	norm   *norm // nil without batch normalisation
	down   *kernel.MaxPool
	weight *Param
	bias   *Param // nil with normalisation

	y      []float32 // in the shape of conv.Out
	out    []float32
	best   []float32 // the element of y behind each element of out
	choice []byte    // its place in the window
	dy     []float32 // in the shape of conv.Out
	dout   []float32 // without halo

	ones, zeros []float32 // the normalisation of a block that has none
}

// newBlock lays out a block. The gradient of y needs a halo where it is
// convolved with the weights, which is not so in the first block; the output
// needs one where a convolution follows.
func newBlock(name string, in kernel.Shape, channels int, c Config, first, last bool) *block {
	taps := [3]int{3, 3, 3}
	if c.Dims == 2 {
		taps[0] = 1
	}
	gradientHalo, outHalo := 1, 1
	if first {
		gradientHalo = 0
	}
	if last {
		outHalo = 0
	}
	b := &block{name: name, first: first, conv: kernel.NewConv(in, channels, taps, [3]int{1, 1, 1}, gradientHalo)}
	b.down = kernel.NewMaxPool(b.conv.Out, outHalo)
	b.weight = newParam(name+".conv.weight", b.conv.WeightLen(), true)
	if c.Norm == normBatch {
		b.norm = newNorm(name+".norm", b.conv.Out, c.Momentum)
	} else {
		b.bias = newParam(name+".conv.bias", b.conv.Out.Padded(), false)
		b.zeros = make([]float32, b.conv.Out.Padded())
		b.ones = slices.Repeat([]float32{1}, b.conv.Out.Padded())
	}
	return b
}

func newParam(name string, size int, decay bool) *Param {
	return &Param{Name: name, Value: make([]float32, size), Grad: make([]float32, size), Decay: decay}
}

func (b *block) params() []*Param {
	if b.norm == nil {
		return []*Param{b.weight, b.bias}
	}
	return []*Param{b.weight, b.norm.gamma, b.norm.beta}
}

func (b *block) setBatch(n int) {
	b.conv.SetBatch(n)
	b.down.SetBatch(n)
	if b.norm != nil {
		b.norm.kernel.SetBatch(n)
	}
}

// resize allocates the forward buffers for n samples.
func (b *block) resize(n int) {
	down := *b.down
	down.SetBatch(n)
	b.y = make([]float32, down.In.Len())
	b.out = make([]float32, down.Out.Len())
	b.best = make([]float32, down.BestShape().Len())
	b.choice = make([]byte, down.ChoiceLen())
}

// resizeGradients allocates the gradients for n samples where they are too small.
func (b *block) resizeGradients(n int) {
	if need := b.conv.Out.Batch(n).Len(); len(b.dy) < need {
		b.dy = make([]float32, need)
		b.dout = make([]float32, b.down.BestShape().Batch(n).Len())
	}
}

// forward: in (N, I, D, H, W) -> out (N, O, D/2, H/2, W/2).
func (b *block) forward(pool *kernel.Pool, in []float32, mode Mode) []float32 {
	scale, shift := b.ones, b.zeros
	if b.norm == nil {
		b.conv.Forward(pool, in, b.weight.Value, b.bias.Value, b.y)
	} else {
		b.conv.Forward(pool, in, b.weight.Value, nil, b.y)
		scale, shift = b.norm.forward(pool, b.y, mode)
	}
	b.down.ForwardNorm(pool, b.y, scale, shift, b.out, b.best, b.choice)
	return b.out
}

// backward: dout (N, O, D/2, H/2, W/2), in -> dy (N, O, D, H, W) and the
// gradients of the parameters.
func (b *block) backward(pool *kernel.Pool, in []float32, mode Mode) {
	pooled := b.down.BestShape()
	kernel.ReLUBackward(pool, b.down.Out, b.out, pooled, b.dout)
	var through *kernel.NormGradient
	if b.norm == nil {
		kernel.BiasGradient(pool, pooled, b.dout, b.bias.Grad)
	} else {
		through = b.norm.backward(pool, pooled, b.best, b.dout, mode)
	}
	b.down.BackwardNorm(pool, pooled, b.dout, b.choice, b.y, through, b.conv.Out, b.dy)
	b.conv.BackwardWeights(pool, in, b.dy, b.weight.Grad)
}
