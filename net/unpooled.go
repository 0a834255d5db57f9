package net

import "ballast/kernel"

// An unpooled is a block without pooling: convolution, normalisation and
// activation.
//
//	in (N, I, D, H, W) -> y (N, O, D, H, W) -> out (same)
//
// Without normalisation the activation is done in place of y.
type unpooled struct {
	name       string
	part       normed
	activation kernel.Activation
	bias       *kernel.BiasGradient // nil with normalisation

	out, dout []float32 // dout without halo
}

// newUnpooled lays out a block that another convolution follows.
func newUnpooled(name string, in kernel.Shape, channels int, c Config) *unpooled {
	u := &unpooled{name: name, activation: c.activation()}
	u.part = newNormed(name+".conv", name+".norm", in, channels, taps(c.Dims, 3), [3]int{1, 1, 1}, c)
	if u.part.norm == nil {
		u.bias = kernel.NewBiasGradient()
	}
	return u
}

func (u *unpooled) output() kernel.Shape { return u.part.conv.kernel.Out }

// bare returns the layout of the output without halo.
func (u *unpooled) bare() kernel.Shape {
	s := u.output()
	s.Halo = 0
	return s
}

func (u *unpooled) gradient() (kernel.Shape, []float32) { return u.bare(), u.dout }

func (u *unpooled) members() []member { return u.part.members() }

func (u *unpooled) layers(n *Net) []Layer {
	layers := u.part.layers(n)
	return append(layers, Layer{u.name + ".relu", n.config.activationKind(), layers[0].Output, 0, 0})
}

func (u *unpooled) setBatch(n int) { u.part.setBatch(n) }

func (u *unpooled) reserve(n int) {
	u.out = kernel.Floats(u.output().Batch(n).Len())
	u.part.y = u.out
	if u.part.norm != nil {
		u.part.y = kernel.Floats(u.output().Batch(n).Len())
	}
}

func (u *unpooled) reserveGradients(n int) {
	u.part.reserveGradients(n)
	u.dout = enough(u.dout, u.bare().Batch(n).Len())
}

func (u *unpooled) size(n int) (elements, bytes int) {
	whole := u.output().Batch(n).Len()
	elements = 2*whole + u.bare().Batch(n).Len() + u.part.conv.kernel.ScratchLen(true) // out, dy, dout
	if u.part.norm != nil {
		elements += whole // y
	} else {
		bytes = kernel.BiasGradientBytes(u.output().Batch(n))
	}
	return elements, bytes
}

// forward: in (N, I, D, H, W) -> out (N, O, D, H, W).
func (u *unpooled) forward(s *step, in []float32) []float32 {
	shape := u.output()
	if u.part.norm == nil {
		u.part.conv.kernel.Forward(s.pool, in, u.part.conv.weight.Value, u.part.conv.bias.Value, u.out)
		kernel.Activate(s.pool, u.activation, shape, u.out)
		return u.out
	}
	affine := u.part.forward(s, in)
	kernel.Norm(s.pool, shape, u.part.y, affine, u.activation, shape, u.out)
	return u.out
}

// backward: dout (N, O, D, H, W), in -> the gradients of the parameters and din
// (N, I, D, H, W).
func (u *unpooled) backward(s *step, in []float32, layout kernel.Shape, din []float32) {
	conv, shape := u.part.conv, u.output()
	after := kernel.Activated{Activation: u.activation, Shape: shape, Y: u.out}
	if u.part.norm == nil {
		u.bias.Backward(s.pool, after, u.bare(), u.dout, shape, u.part.dy, conv.bias.Grad)
		conv.kernel.BackwardWeights(s.pool, in, u.part.dy, conv.weight.Grad)
	} else {
		u.part.backward(s, in, after, u.bare(), u.dout)
	}
	if din != nil {
		conv.kernel.BackwardData(s.pool, u.part.dy, conv.weight.Value, layout, din)
	}
}
