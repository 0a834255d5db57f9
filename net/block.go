package net

import (
	"slices"

	"ballast/kernel"
)

// A block is convolution, normalisation, ReLU and max pooling by 2:
//
//	in (N, I, D, H, W) -> y (N, O, D, H, W) -> out (N, O, D/2, H/2, W/2)
//
// Pooling comes first, with the convolution; see kernel.PoolTail. In the first
// block, whose y is a network's largest tensor, and where nothing is learnt, y is
// not kept.
type block struct {
	name   string
	first  bool // no gradient of the input is needed
	conv   *kernel.Conv
	norm   *norm // nil without batch normalisation
	tail   *kernel.PoolTail
	weight *Param
	bias   *Param // nil with normalisation

	y      []float32 // in the shape of conv.Out; not in the first block
	out    []float32
	best   []float32 // the element of y behind each element of out
	choice []byte    // its place in the window
	dy     []float32 // in the shape of conv.Out; not in the first block
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
	b.weight = newParam(name+".conv.weight", b.conv.WeightLen(), true)
	var measured *kernel.BatchNorm
	if c.Norm == normBatch {
		b.norm = newNorm(name+".norm", b.conv.Out, c.Momentum)
		measured = b.norm.kernel
	} else {
		b.bias = newParam(name+".conv.bias", b.conv.Out.Padded(), false)
		b.zeros = make([]float32, b.conv.Out.Padded())
		b.ones = slices.Repeat([]float32{1}, b.conv.Out.Padded())
	}
	b.tail = kernel.NewPoolTail(b.conv, measured, outHalo)
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
	b.tail.Pool.SetBatch(n)
	if b.norm != nil {
		b.norm.kernel.SetBatch(n)
	}
}

// resize allocates the forward buffers for n samples.
func (b *block) resize(n int) {
	down := *b.tail.Pool
	down.SetBatch(n)
	b.out = make([]float32, down.Out.Len())
	b.best = make([]float32, down.BestShape().Len())
	b.choice = make([]byte, down.ChoiceLen())
}

// resizeGradients allocates the gradients for n samples where they are too small.
func (b *block) resizeGradients(n int) {
	if need := b.tail.Pool.BestShape().Batch(n).Len(); len(b.dout) < need {
		b.dout = make([]float32, need)
	}
	if need := b.conv.Out.Batch(n).Len(); !b.first && len(b.dy) < need {
		b.dy = make([]float32, need)
	}
}

// forward: in (N, I, D, H, W) -> out (N, O, D/2, H/2, W/2); capacity is the batch
// that buffers are made for.
func (b *block) forward(pool *kernel.Pool, in []float32, mode Mode, capacity int) []float32 {
	scale, shift := b.ones, b.zeros
	if b.norm == nil {
		b.tail.Forward(pool, in, b.weight.Value, b.bias.Value, nil, nil, b.best, b.choice, false)
	} else {
		measure := mode == Training || mode == Recalibration
		b.tail.Forward(pool, in, b.weight.Value, nil, b.norm.gamma.Value, b.kept(mode, capacity), b.best, b.choice, measure)
		scale, shift = b.norm.forward(mode)
	}
	b.tail.Normalise(pool, b.best, scale, shift, b.out)
	return b.out
}

// kept returns where y is kept: the pass back through the statistics of the
// batch needs it.
func (b *block) kept(mode Mode, capacity int) []float32 {
	if b.first || mode != Training {
		return nil
	}
	if need := b.conv.Out.Batch(capacity).Len(); len(b.y) < need {
		b.y = make([]float32, need)
	}
	return b.y
}

// backward: dout (N, O, D/2, H/2, W/2), in -> the gradients of the parameters and
// dy (N, O, D, H, W), which is not kept in the first block.
func (b *block) backward(pool *kernel.Pool, in []float32, mode Mode) {
	down := b.tail.Pool
	pooled := down.BestShape()
	kernel.ReLUBackward(pool, down.Out, b.out, pooled, b.dout)
	var through *kernel.NormGradient
	if b.norm == nil {
		kernel.BiasGradient(pool, pooled, b.dout, b.bias.Grad)
	} else {
		through = b.norm.backward(pool, pooled, b.best, b.dout, mode)
	}
	if b.norm != nil && mode != Training {
		kernel.ScaleChannels(pool, pooled, through.Factor(), b.dout)
		through = nil
	}
	if b.first {
		b.tail.BackwardWeights(pool, in, b.weight.Value, b.biasValue(), pooled, b.dout, b.choice, through, b.weight.Grad)
		return
	}
	down.BackwardNorm(pool, pooled, b.dout, b.choice, b.y, through, b.conv.Out, b.dy)
	b.conv.BackwardWeights(pool, in, b.dy, b.weight.Grad)
}

// biasValue returns the bias, nil without one.
func (b *block) biasValue() []float32 {
	if b.bias == nil {
		return nil
	}
	return b.bias.Value
}
