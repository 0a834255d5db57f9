package net

import "ballast/kernel"

// A normalisation follows a convolution: a norm or a groupNorm.
type normalisation interface {
	member
	// setBatch changes the number of samples.
	setBatch(samples int)
	// moments measures what the statistics are made of.
	moments() *kernel.BatchNorm
	// gain returns gamma.
	gain() *Param
	// measures says whether the statistics are those of the tensor itself, which
	// must then be measured before forward.
	measures(Mode) bool
	// forward returns the normalisation.
	forward(Mode) kernel.Affine
	// backward: x in layout s, dy in layout gradient, those voxels of the layer's
	// input and of its output's gradient where the latter is not zero -> the
	// gradients of gamma and beta, and how to make the gradient of the input. With
	// an activation behind the layer, dy is the gradient of what that gave, and
	// becomes that of the layer's output.
	backward(pool *kernel.Pool, s kernel.Shape, x []float32, after kernel.Activated, gradient kernel.Shape, dy []float32, mode Mode) *kernel.NormGradient
	// layer returns the line of the summary.
	layer(n *Net) Layer
	// onnx adds the layer's operations in inference.
	onnx(g *onnxGraph, x string) string
}

// newNormalisation returns what follows a convolution with that output, nil for
// nothing.
func newNormalisation(name string, s kernel.Shape, c Config) normalisation {
	switch c.Norm {
	case normBatch:
		return newNorm(name, s, c.Momentum)
	case normGroup:
		return newGroupNorm(name, s, c.Groups)
	}
	return nil
}

// A normed is a convolution with the normalisation that follows it.
type normed struct {
	conv  *convolution  // with a bias where no normalisation follows
	norm  normalisation // nil: none
	y, dy []float32     // in the shape of the convolution's output
}

func newNormed(name, normName string, in kernel.Shape, channels int, k, stride [3]int, c Config) normed {
	conv := kernel.NewConv(in, channels, k, stride, k[2]/2)
	norm := newNormalisation(normName, conv.Out, c)
	return normed{conv: newConvolution(name, conv, norm == nil), norm: norm}
}

func (p *normed) members() []member {
	if p.norm == nil {
		return []member{p.conv}
	}
	return []member{p.conv, p.norm}
}

func (p *normed) layers(n *Net) []Layer {
	if p.norm == nil {
		return []Layer{p.conv.layer(n)}
	}
	return []Layer{p.conv.layer(n), p.norm.layer(n)}
}

func (p *normed) setBatch(n int) {
	p.conv.kernel.SetBatch(n)
	if p.norm != nil {
		p.norm.setBatch(n)
	}
}

func (p *normed) reserveGradients(n int) {
	p.dy = enough(p.dy, p.conv.kernel.Out.Batch(n).Len())
}

// forward: in -> y, and the normalisation of y.
func (p *normed) forward(s *step, in []float32) kernel.Affine {
	if p.norm.measures(s.mode) {
		p.conv.kernel.ForwardMeasured(s.pool, in, p.conv.weight.Value, nil, p.y, p.norm.moments())
	} else {
		p.conv.kernel.Forward(s.pool, in, p.conv.weight.Value, nil, p.y)
	}
	return p.norm.forward(s.mode)
}

// backward: the gradient of the normalised y, in the given layout, or of what an
// activation made of it -> the gradients of the parameters and dy.
func (p *normed) backward(s *step, in []float32, after kernel.Activated, layout kernel.Shape, gradient []float32) {
	c := p.conv.kernel
	g := p.norm.backward(s.pool, c.Out, p.y, after, layout, gradient, s.mode)
	kernel.NormBackward(s.pool, g, c.Out, p.y, layout, gradient, c.Out, p.dy)
	c.BackwardWeights(s.pool, in, p.dy, p.conv.weight.Grad)
}
