package net

import "ballast/kernel"

// A residual is the basic block of a residual network (He et al. 2016, Deep
// residual learning for image recognition):
//
//	in (N, I, D, H, W) -> conv1 (stride s) -> norm1 -> ReLU -> conv2 -> norm2 -> + shortcut -> ReLU -> out (N, O, D/s, H/s, W/s)
//
// The shortcut is the input where channels and size stay, else a convolution of
// one voxel with the stride, and its normalisation.
type residual struct {
	name          string
	first, second normed
	shortcut      *normed // nil: the input itself
	inHalo        kernel.Shape

	middle []float32 // ReLU of the first normalisation, with a halo
	out    []float32
	dout   []float32 // without halo
	dinner []float32 // gradient of middle, without halo
	dshort []float32 // gradient of the input by way of the shortcut, in any layout
	result kernel.Shape
}

// A normed is a convolution with the normalisation that follows it.
type normed struct {
	conv  *convolution
	norm  *norm
	y, dy []float32 // in the shape of the convolution's output
}

func newNormed(name, normName string, in kernel.Shape, channels int, k, stride [3]int, momentum float64) normed {
	conv := kernel.NewConv(in, channels, k, stride, k[2]/2)
	return normed{conv: newConvolution(name, conv, false), norm: newNorm(normName, conv.Out, momentum)}
}

// newResidual lays out a block of a network with batch normalisation.
func newResidual(name string, in kernel.Shape, channels, stride int, c Config, last bool) *residual {
	strides := [3]int{stride, stride, stride}
	if c.Dims == 2 {
		strides[0] = 1
	}
	r := &residual{name: name, inHalo: in}
	r.first = newNormed(name+".conv1", name+".norm1", in, channels, taps(c.Dims, 3), strides, c.Momentum)
	middle := r.first.conv.kernel.Out // its halo serves the second convolution
	r.second = newNormed(name+".conv2", name+".norm2", middle, channels, taps(c.Dims, 3), [3]int{1, 1, 1}, c.Momentum)
	if in.C != channels || stride != 1 {
		short := newNormed(name+".shortcut.conv", name+".shortcut.norm", in, channels, [3]int{1, 1, 1}, strides, c.Momentum)
		r.shortcut = &short
	}
	r.result = middle
	if last {
		r.result.Halo = 0
	}
	return r
}

func (r *residual) output() kernel.Shape { return r.result }

// bare returns the layout of the output without halo.
func (r *residual) bare() kernel.Shape {
	s := r.result
	s.Halo = 0
	return s
}

func (r *residual) gradient() (kernel.Shape, []float32) { return r.bare(), r.dout }

// parts returns the convolutions with their normalisations.
func (r *residual) parts() []*normed {
	parts := []*normed{&r.first, &r.second}
	if r.shortcut != nil {
		parts = append(parts, r.shortcut)
	}
	return parts
}

func (r *residual) members() []member {
	var list []member
	for _, p := range r.parts() {
		list = append(list, p.conv, p.norm)
	}
	return list
}

func (r *residual) layers(n *Net) []Layer {
	var layers []Layer
	for _, p := range r.parts() {
		layers = append(layers, p.conv.layer(n), p.norm.layer(n))
	}
	s := r.result
	return append(layers, Layer{r.name + ".sum", "sum and ReLU", n.shape(s.C, s.D, s.H, s.W), 0, 0})
}

func (r *residual) setBatch(n int) {
	for _, p := range r.parts() {
		p.conv.kernel.SetBatch(n)
		p.norm.kernel.SetBatch(n)
	}
	r.result.N, r.inHalo.N = n, n
}

func (r *residual) reserve(n int) {
	for _, p := range r.parts() {
		p.y = kernel.Floats(p.conv.kernel.Out.Batch(n).Len())
	}
	r.middle = kernel.Floats(r.first.conv.kernel.Out.Batch(n).Len())
	r.out = kernel.Floats(r.result.Batch(n).Len())
}

func (r *residual) reserveGradients(n int) {
	for _, p := range r.parts() {
		p.dy = enough(p.dy, p.conv.kernel.Out.Batch(n).Len())
	}
	r.dout = enough(r.dout, r.bare().Batch(n).Len())
	r.dinner = enough(r.dinner, r.bare().Batch(n).Len())
	if r.shortcut != nil {
		r.dshort = enough(r.dshort, r.inHalo.Batch(n).Len())
	}
}

func (r *residual) size(n int) (elements, bytes int) {
	for _, p := range r.parts() {
		elements += 2*p.conv.kernel.Out.Batch(n).Len() + p.conv.kernel.ScratchLen(true)
	}
	elements += r.first.conv.kernel.Out.Batch(n).Len() + r.result.Batch(n).Len() + 2*r.bare().Batch(n).Len()
	if r.shortcut != nil {
		elements += r.inHalo.Batch(n).Len()
	}
	return elements, 0
}

// forward: in -> y, and the normalisation of y.
func (p *normed) forward(s *step, in []float32) (scale, shift []float32) {
	if p.norm.modeOf(s.mode).measures() {
		p.conv.kernel.ForwardMeasured(s.pool, in, p.conv.weight.Value, nil, p.y, p.norm.kernel)
	} else {
		p.conv.kernel.Forward(s.pool, in, p.conv.weight.Value, nil, p.y)
	}
	return p.norm.forward(s.mode)
}

// backward: the gradient of the normalised y, in the given layout, or of its
// ReLU, which is then given too -> the gradients of the parameters and dy.
func (p *normed) backward(s *step, in []float32, relu kernel.Shape, rectified []float32, layout kernel.Shape, gradient []float32) {
	c := p.conv.kernel
	g := p.norm.backward(s.pool, c.Out, p.y, relu, rectified, layout, gradient, s.mode)
	kernel.NormBackward(s.pool, g, c.Out, p.y, layout, gradient, c.Out, p.dy)
	c.BackwardWeights(s.pool, in, p.dy, p.conv.weight.Grad)
}

// forward: in (N, I, D, H, W) -> out (N, O, D/s, H/s, W/s).
func (r *residual) forward(s *step, in []float32) []float32 {
	scale, shift := r.first.forward(s, in)
	inner := r.first.conv.kernel.Out
	kernel.Norm(s.pool, inner, r.first.y, scale, shift, inner, r.middle, true)
	short, shortShape := in, r.inHalo
	if r.shortcut != nil {
		scale, shift := r.shortcut.forward(s, in)
		kernel.Norm(s.pool, r.shortcut.conv.kernel.Out, r.shortcut.y, scale, shift, r.result, r.out, false)
		short, shortShape = r.out, r.result
	}
	scale, shift = r.second.forward(s, r.middle)
	kernel.NormAddReLU(s.pool, r.second.conv.kernel.Out, r.second.y, scale, shift, shortShape, short, r.result, r.out)
	return r.out
}

// backward: dout (N, O, D/s, H/s, W/s), in -> the gradients of the parameters and
// din (N, I, D, H, W).
func (r *residual) backward(s *step, in []float32, layout kernel.Shape, din []float32) {
	bare := r.bare()
	r.second.backward(s, r.middle, r.result, r.out, bare, r.dout) // dout is then that of the sum

	r.second.conv.kernel.BackwardData(s.pool, r.second.dy, r.second.conv.weight.Value, bare, r.dinner)
	r.first.backward(s, in, r.first.conv.kernel.Out, r.middle, bare, r.dinner)
	if r.shortcut != nil {
		r.shortcut.backward(s, in, kernel.Shape{}, nil, bare, r.dout)
	}
	if din == nil {
		return
	}
	r.first.conv.kernel.BackwardData(s.pool, r.first.dy, r.first.conv.weight.Value, layout, din)
	if r.shortcut == nil {
		kernel.Add(s.pool, bare, r.dout, layout, din)
		return
	}
	r.shortcut.conv.kernel.BackwardData(s.pool, r.shortcut.dy, r.shortcut.conv.weight.Value, layout, r.dshort)
	kernel.Add(s.pool, layout, r.dshort, layout, din)
}
