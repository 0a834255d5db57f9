package net

import (
	"ballast/kernel"
)

// A block is convolution, normalisation, ReLU and max pooling by 2:
//
//	in (N, I, D, H, W) -> y (N, O, D, H, W) -> z (same) -> out (N, O, D/2, H/2, W/2)
type block struct {
	name   string
	conv   *kernel.Conv
	norm   *norm // nil without batch normalisation
	down   *kernel.MaxPool
	weight *Param
	bias   *Param // nil with normalisation

	y, z   []float32 // z is y without normalisation
	out    []float32
	choice []byte
	dz     []float32 // gradient of z, then of y, in the shape of conv.Out
	dout   []float32 // gradient of out, without halo
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
	b := &block{name: name, conv: kernel.NewConv(in, channels, taps, [3]int{1, 1, 1}, gradientHalo)}
	b.down = kernel.NewMaxPool(b.conv.Out, outHalo)
	b.weight = newParam(name+".conv.weight", b.conv.WeightLen(), true)
	if c.Norm == normBatch {
		b.norm = newNorm(name+".norm", b.conv.Out, c.Momentum)
	} else {
		b.bias = newParam(name+".conv.bias", b.conv.Out.Padded(), false)
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
	b.z = b.y
	if b.norm != nil {
		b.z = make([]float32, len(b.y))
	}
	b.out = make([]float32, down.Out.Len())
	b.choice = make([]byte, down.ChoiceLen())
}

// resizeGradients allocates the gradients for n samples where they are too small.
func (b *block) resizeGradients(n int) {
	if need := b.conv.Out.Batch(n).Len(); len(b.dz) < need {
		b.dz = make([]float32, need)
		b.dout = make([]float32, b.outputGradient().Batch(n).Len())
	}
}

// outputGradient returns the shape of dout.
func (b *block) outputGradient() kernel.Shape {
	s := b.down.Out
	s.Halo = 0
	return s
}

// forward: in (N, I, D, H, W) -> out (N, O, D/2, H/2, W/2).
func (b *block) forward(pool *kernel.Pool, in []float32, mode Mode) []float32 {
	if b.norm == nil {
		b.conv.Forward(pool, in, b.weight.Value, b.bias.Value, b.y)
	} else {
		b.conv.Forward(pool, in, b.weight.Value, nil, b.y)
		b.norm.forward(pool, b.y, b.z, mode)
	}
	kernel.ReLU(pool, b.down.In, b.z)
	b.down.Forward(pool, b.z, b.out, b.choice)
	return b.out
}

// backward: dout (N, O, D/2, H/2, W/2), in -> dz, the gradient of the
// convolution's output, and the gradients of the parameters.
func (b *block) backward(pool *kernel.Pool, in []float32, mode Mode) {
	b.down.Backward(pool, b.outputGradient(), b.dout, b.choice, b.conv.Out, b.dz)
	kernel.ReLUBackward(pool, b.down.In, b.z, b.conv.Out, b.dz)
	if b.norm == nil {
		b.conv.BackwardBias(pool, b.dz, b.bias.Grad)
	} else {
		b.norm.backward(pool, b.y, b.conv.Out, b.dz, mode)
	}
	b.conv.BackwardWeights(pool, in, b.dz, b.weight.Grad)
}
