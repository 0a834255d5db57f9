package net

import "ballast/kernel"

// A residual is the basic block of a residual network (He et al. 2016, Deep
// residual learning for image recognition):
//
//	in (N, I, D, H, W) -> conv1 (stride s) -> norm1 -> activation -> conv2 -> norm2 -> + shortcut -> activation -> out (N, O, D/s, H/s, W/s)
//
// The shortcut is the input where channels and size stay, else a convolution of
// one voxel with the stride, and its normalisation.
type residual struct {
	name          string
	first, second normed
	shortcut      *normed   // nil: the input itself
	parts         []*normed // all of them
	inHalo        kernel.Shape
	activation    kernel.Activation

	middle []float32 // activation of the first normalisation, with a halo
	out    []float32
	dout   []float32 // without halo
	dinner []float32 // gradient of middle, without halo
	dshort []float32 // gradient of the input by way of the shortcut, in any layout
	result kernel.Shape
}

// newResidual lays out a block of a network with normalisation.
func newResidual(name string, in kernel.Shape, channels, stride int, c Config, last bool) *residual {
	strides := [3]int{stride, stride, stride}
	if c.Dims == 2 {
		strides[0] = 1
	}
	r := &residual{name: name, inHalo: in, activation: c.activation()}
	r.first = newNormed(name+".conv1", name+".norm1", in, channels, taps(c.Dims, 3), strides, c)
	middle := r.first.conv.kernel.Out // its halo serves the second convolution
	r.second = newNormed(name+".conv2", name+".norm2", middle, channels, taps(c.Dims, 3), [3]int{1, 1, 1}, c)
	if in.C != channels || stride != 1 {
		short := newNormed(name+".shortcut.conv", name+".shortcut.norm", in, channels, [3]int{1, 1, 1}, strides, c)
		r.shortcut = &short
	}
	r.parts = []*normed{&r.first, &r.second}
	if r.shortcut != nil {
		r.parts = append(r.parts, r.shortcut)
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

func (r *residual) members() []member {
	var list []member
	for _, p := range r.parts {
		list = append(list, p.members()...)
	}
	return list
}

func (r *residual) layers(n *Net) []Layer {
	var layers []Layer
	for _, p := range r.parts {
		layers = append(layers, p.layers(n)...)
	}
	s := r.result
	return append(layers, Layer{r.name + ".sum", "sum and " + n.config.activationKind(), n.shape(s.C, s.D, s.H, s.W), 0, 0})
}

func (r *residual) setBatch(n int) {
	for _, p := range r.parts {
		p.setBatch(n)
	}
	r.result.N, r.inHalo.N = n, n
}

func (r *residual) reserve(n int) {
	for _, p := range r.parts {
		p.y = kernel.Floats(p.conv.kernel.Out.Batch(n).Len())
	}
	r.middle = kernel.Floats(r.first.conv.kernel.Out.Batch(n).Len())
	r.out = kernel.Floats(r.result.Batch(n).Len())
}

func (r *residual) reserveGradients(n int) {
	for _, p := range r.parts {
		p.reserveGradients(n)
	}
	r.dout = enough(r.dout, r.bare().Batch(n).Len())
	r.dinner = enough(r.dinner, r.bare().Batch(n).Len())
	if r.shortcut != nil {
		r.dshort = enough(r.dshort, r.inHalo.Batch(n).Len())
	}
}

func (r *residual) size(n int) (elements, bytes int) {
	for _, p := range r.parts {
		elements += 2*p.conv.kernel.Out.Batch(n).Len() + p.conv.kernel.ScratchLen(true)
	}
	elements += r.first.conv.kernel.Out.Batch(n).Len() + r.result.Batch(n).Len() + 2*r.bare().Batch(n).Len()
	if r.shortcut != nil {
		elements += r.inHalo.Batch(n).Len()
	}
	return elements, 0
}

// forward: in (N, I, D, H, W) -> out (N, O, D/s, H/s, W/s).
func (r *residual) forward(s *step, in []float32) []float32 {
	affine := r.first.forward(s, in)
	inner := r.first.conv.kernel.Out
	kernel.Norm(s.pool, inner, r.first.y, affine, r.activation, inner, r.middle)
	short, shortShape := in, r.inHalo
	if r.shortcut != nil {
		affine := r.shortcut.forward(s, in)
		kernel.Norm(s.pool, r.shortcut.conv.kernel.Out, r.shortcut.y, affine, kernel.Identity, r.result, r.out)
		short, shortShape = r.out, r.result
	}
	affine = r.second.forward(s, r.middle)
	kernel.NormAdd(s.pool, r.second.conv.kernel.Out, r.second.y, affine, shortShape, short, r.activation, r.result, r.out)
	return r.out
}

// backward: dout (N, O, D/s, H/s, W/s), in -> the gradients of the parameters and
// din (N, I, D, H, W).
func (r *residual) backward(s *step, in []float32, layout kernel.Shape, din []float32) {
	bare := r.bare()
	r.second.backward(s, r.middle, kernel.Activated{Activation: r.activation, Shape: r.result, Y: r.out}, bare, r.dout) // dout is then that of the sum

	r.second.conv.kernel.BackwardData(s.pool, r.second.dy, r.second.conv.weight.Value, bare, r.dinner)
	r.first.backward(s, in, kernel.Activated{Activation: r.activation, Shape: r.first.conv.kernel.Out, Y: r.middle}, bare, r.dinner)
	if r.shortcut != nil {
		r.shortcut.backward(s, in, kernel.Activated{}, bare, r.dout)
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
