package net

import "ballast/kernel"

// A block is convolution, normalisation, activation and max pooling by 2:
//
//	in (N, I, D, H, W) -> y (N, O, D, H, W) -> out (N, O, D/2, H/2, W/2)
//
// Pooling comes first, with the convolution; see kernel.PoolTail. In the first
// block, whose y is a network's largest tensor, and where nothing is learnt, y is
// not kept.
type block struct {
	name  string
	first bool // no gradient of the input is needed
	conv  *convolution
	norm  normalisation // nil: none
	tail  *kernel.PoolTail

	y      []float32 // in the shape of the convolution's output; not in the first block
	out    []float32
	best   []float32 // the element of y behind each element of out, with normalisation
	choice []byte    // its place in the window
	dy     []float32 // in the shape of y; not in the first block
	dout   []float32 // without halo
}

// newBlock lays out a block. The gradient of y needs a halo where it is
// convolved with the weights, which is not so in the first block; the output
// needs one where a convolution follows.
func newBlock(name string, in kernel.Shape, channels int, c Config, first, last bool) *block {
	gradientHalo, outHalo := 1, 1
	if first {
		gradientHalo = 0
	}
	if last {
		outHalo = 0
	}
	conv := kernel.NewConv(in, channels, taps(c.Dims, 3), [3]int{1, 1, 1}, gradientHalo)
	conv.Direct = first // its output is computed once more on the way back
	norm := newNormalisation(name+".norm", conv.Out, c)
	b := &block{name: name, first: first, conv: newConvolution(name+".conv", conv, norm == nil), norm: norm}
	var measured *kernel.BatchNorm
	if norm != nil {
		measured = norm.moments()
	}
	b.tail = kernel.NewPoolTail(conv, measured, outHalo)
	b.tail.Activation = c.activation()
	return b
}

func (b *block) output() kernel.Shape { return b.tail.Pool.Out }

func (b *block) gradient() (kernel.Shape, []float32) { return b.tail.Pool.BestShape(), b.dout }

func (b *block) members() []member {
	if b.norm == nil {
		return []member{b.conv}
	}
	return []member{b.conv, b.norm}
}

func (b *block) layers(n *Net) []Layer {
	layers := []Layer{b.conv.layer(n)}
	full, out := layers[0].Output, b.output()
	if b.norm != nil {
		layers = append(layers, b.norm.layer(n))
	}
	return append(layers, Layer{b.name + ".relu", n.config.activationKind(), full, 0, 0},
		Layer{b.name + ".pool", "max pooling", n.shape(out.C, out.D, out.H, out.W), 0, 0})
}

func (b *block) setBatch(n int) {
	b.conv.kernel.SetBatch(n)
	b.tail.Pool.SetBatch(n)
	if b.norm != nil {
		b.norm.setBatch(n)
	}
}

func (b *block) reserve(n int) {
	down := *b.tail.Pool
	down.SetBatch(n)
	b.out = kernel.Floats(down.Out.Len())
	if b.norm != nil {
		b.best = kernel.Floats(down.BestShape().Len())
	}
	b.choice = make([]byte, down.ChoiceLen())
}

func (b *block) reserveGradients(n int) {
	b.dout = enough(b.dout, b.tail.Pool.BestShape().Batch(n).Len())
	if !b.first {
		b.dy = enough(b.dy, b.conv.kernel.Out.Batch(n).Len())
	}
}

func (b *block) size(n int) (elements, bytes int) {
	conv, down := b.conv.kernel, *b.tail.Pool
	down.SetBatch(n)
	elements = down.Out.Len() + down.BestShape().Len() // out and dout
	if b.norm != nil {
		elements += down.BestShape().Len() // best
	} else {
		bytes = kernel.BiasGradientBytes(down.Out)
	}
	if !b.first {
		elements += conv.Out.Batch(n).Len() // dy
		if b.norm != nil {
			elements += conv.Out.Batch(n).Len() // y
		}
	}
	return elements + conv.ScratchLen(!b.first), bytes + down.ChoiceLen()
}

// forward: in (N, I, D, H, W) -> out (N, O, D/2, H/2, W/2).
func (b *block) forward(s *step, in []float32) []float32 {
	if b.norm == nil {
		b.tail.ForwardActivated(s.pool, in, b.conv.weight.Value, b.conv.bias.Value, b.out, b.choice)
		return b.out
	}
	b.tail.Forward(s.pool, in, b.conv.weight.Value, nil, b.norm.gain().Value, b.kept(s), b.best, b.choice, b.norm.measures(s.mode))
	b.tail.Normalise(s.pool, b.best, b.norm.forward(s.mode), b.out)
	return b.out
}

// kept returns where y is kept: the pass back through its own statistics needs it.
func (b *block) kept(s *step) []float32 {
	follows := s.mode == Training || s.mode == Inference // whether Backward may follow
	if b.first || !follows || !b.norm.measures(s.mode) {
		return nil
	}
	b.y = enough(b.y, b.conv.kernel.Out.Batch(s.capacity).Len())
	return b.y
}

// backward: dout (N, O, D/2, H/2, W/2), in -> the gradients of the parameters, din
// (N, I, D, H, W) and dy (N, O, D, H, W), which is not kept in the first block.
func (b *block) backward(s *step, in []float32, layout kernel.Shape, din []float32) {
	down, conv := b.tail.Pool, b.conv
	pooled := down.BestShape()
	through := b.throughNorm(s, pooled)
	if b.first {
		b.tail.BackwardWeights(s.pool, in, conv.weight.Value, conv.biasValue(), pooled, b.dout, b.choice, through, conv.weight.Grad)
		return
	}
	down.BackwardNorm(s.pool, pooled, b.dout, b.choice, b.y, through, conv.kernel.Out, b.dy)
	conv.kernel.BackwardWeights(s.pool, in, b.dy, conv.weight.Grad)
	if din != nil {
		conv.kernel.BackwardData(s.pool, b.dy, conv.weight.Value, layout, din)
	}
}

// throughNorm makes dout the gradient before the activation, sets the gradients of
// the normalisation, or of the bias, does to dout what needs nothing else, and
// returns what is left to do, nil for nothing.
func (b *block) throughNorm(s *step, pooled kernel.Shape) *kernel.NormGradient {
	down := b.tail.Pool
	if b.norm == nil {
		b.tail.BiasGradient(s.pool, b.out, pooled, b.dout, b.conv.bias.Grad)
		return nil
	}
	after := kernel.Activated{Activation: b.tail.Activation, Shape: down.Out, Y: b.out}
	through := b.norm.backward(s.pool, pooled, b.best, after, pooled, b.dout, s.mode)
	return through.Begin(s.pool, pooled, b.dout)
}
