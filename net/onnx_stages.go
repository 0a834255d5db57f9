package net

import "ballast/kernel"

// Every stage as operations of ONNX. The tensors carry the names of the state,
// the nodes those of the layers.

// onnx adds the whole network and returns the name of its logits.
func (n *Net) onnx(g *onnxGraph) string {
	x := ONNXImage
	if len(n.stages) == 0 {
		x = n.onnxAverage(g, x)
	} else {
		for _, s := range n.stages {
			x = s.onnx(g, x)
		}
		x = g.add("GlobalAveragePool", "average", []string{x})
	}
	x = g.add("Flatten", "features", []string{x}, onnxAttribute{"axis", int64(1)})
	if n.pools != nil {
		x = n.pools.onnx(g, x)
	}
	return n.head.onnx(g, x)
}

// onnx: features (N, F), covariates (N, K) -> logits (N, classes).
func (h *head) onnx(g *onnxGraph, x string) string {
	if h.covariates > 0 {
		x = g.add("Concat", "head.input", []string{x, ONNXCovariates}, onnxAttribute{"axis", int64(1)})
	}
	return g.add("Gemm", "head", []string{x, h.weight.Name, h.bias.Name}, onnxAttribute{"transB", int64(1)})
}

// onnx: features (N, F) of the N images of one subject -> pooled (1, F).
func (a *attention) onnx(g *onnxGraph, x string) string {
	transposed := onnxAttribute{"transB", int64(1)}
	hidden := g.add("Gemm", "attention.hidden", []string{x, a.hidden.Name}, transposed)
	hidden = g.add("Tanh", "attention.tanh", []string{hidden})
	score := g.add("Gemm", "attention.score", []string{hidden, a.score.Name}, transposed)
	weights := g.add("Softmax", ONNXAttention, []string{score}, onnxAttribute{"axis", int64(0)})
	return g.add("Gemm", "attention.pooled", []string{weights, x}, onnxAttribute{"transA", int64(1)})
}

// spatial returns the last numbers of a triple, one for each axis of the images.
func (g *onnxGraph) spatial(triple [3]int) []int64 {
	var numbers []int64
	for _, v := range triple[3-g.dims:] {
		numbers = append(numbers, int64(v))
	}
	return numbers
}

// onnx: in -> y, both (N, C, D, H, W).
func (c *convolution) onnx(g *onnxGraph, x string) string {
	k := c.kernel
	var padding [3]int
	for axis, size := range k.Kernel {
		padding[axis] = size / 2
	}
	inputs := []string{x, c.weight.Name}
	if c.bias != nil {
		inputs = append(inputs, c.bias.Name)
	}
	return g.add("Conv", c.name, inputs,
		onnxAttribute{"kernel_shape", g.spatial(k.Kernel)}, onnxAttribute{"strides", g.spatial(k.Stride)},
		onnxAttribute{"pads", append(g.spatial(padding), g.spatial(padding)...)})
}

// onnx: x -> x normalised by the running statistics.
func (l *norm) onnx(g *onnxGraph, x string) string {
	return g.add("BatchNormalization", l.name, []string{x, l.gamma.Name, l.beta.Name, l.name + ".running_mean", l.name + ".running_var"},
		onnxAttribute{"epsilon", float32(kernel.Epsilon)})
}

// onnx: (N, I, D, H, W) -> (N, O, D/2, H/2, W/2), sizes rounded down.
func (b *block) onnx(g *onnxGraph, x string) string {
	x = b.conv.onnx(g, x)
	if b.norm != nil {
		x = b.norm.onnx(g, x)
	}
	x = g.activate(b.name+".relu", x, b.tail.Activation)
	two := g.spatial([3]int{2, 2, 2})
	return g.add("MaxPool", b.name+".pool", []string{x}, onnxAttribute{"kernel_shape", two}, onnxAttribute{"strides", two})
}

// onnx: x -> its normalisation.
func (l *normStage) onnx(g *onnxGraph, x string) string { return l.norm.onnx(g, x) }

// onnx: dropout does nothing in inference.
func (l *dropoutStage) onnx(_ *onnxGraph, x string) string { return x }

// onnx: spatial dropout does nothing in inference.
func (l *spatialDropoutStage) onnx(_ *onnxGraph, x string) string { return x }

// onnx: convolution and normalisation.
func (p *normed) onnx(g *onnxGraph, x string) string {
	x = p.conv.onnx(g, x)
	if p.norm != nil {
		x = p.norm.onnx(g, x)
	}
	return x
}

// onnx: (N, I, D, H, W) -> (N, O, D, H, W).
func (u *unpooled) onnx(g *onnxGraph, x string) string {
	return g.activate(u.name+".relu", u.part.onnx(g, x), u.activation)
}

// activate adds an activation.
func (g *onnxGraph) activate(name, x string, a kernel.Activation) string {
	switch a {
	case kernel.Identity:
		return x
	case kernel.Rectifier:
		return g.add("Relu", name, []string{x})
	}
	return g.add("LeakyRelu", name, []string{x}, onnxAttribute{"alpha", float32(a)})
}

// onnx: (N, I, D, H, W) -> (N, O, D/s, H/s, W/s), sizes rounded up.
func (r *residual) onnx(g *onnxGraph, x string) string {
	y := g.activate(r.name+".relu1", r.first.onnx(g, x), r.activation)
	y = r.second.onnx(g, y)
	if r.shortcut != nil {
		x = r.shortcut.onnx(g, x)
	}
	return g.activate(r.name+".relu2", g.add("Add", r.name+".sum", []string{y, x}), r.activation)
}

// onnxAverage: image (N, C, D, H, W) -> (N, C, d, h, w), the mean over the bins of
// kernel.AdaptiveAverage, for which ONNX has no operator: along each axis a product
// with the matrix of the bins.
func (n *Net) onnxAverage(g *onnxGraph, x string) string {
	in, out := n.config.Size, [3]int{n.image.D, n.image.H, n.image.W}
	across := g.constant("average.w", []int{in[2], out[2]}, binMatrix(in[2], out[2], true))
	x = g.add("MatMul", "average.along-w", []string{x, across})
	down := g.constant("average.h", []int{out[1], in[1]}, binMatrix(in[1], out[1], false))
	x = g.add("MatMul", "average.along-h", []string{down, x})
	if n.config.Dims == 2 {
		return x
	}
	x = g.reshape("average.planes", x, 0, 0, 0, -1)
	deep := g.constant("average.d", []int{out[0], in[0]}, binMatrix(in[0], out[0], false))
	return g.add("MatMul", "average.along-d", []string{deep, x})
}

// binMatrix returns the weight of each of size positions in each of bins bins,
// as kernel.AdaptiveAverage divides them: (bins, size), or transposed.
func binMatrix(size, bins int, transposed bool) []float32 {
	matrix := make([]float32, size*bins)
	for bin := range bins {
		first, end := kernel.BinEdges(bin, bins, size)
		for at := first; at < end; at++ {
			index := bin*size + at
			if transposed {
				index = at*bins + bin
			}
			matrix[index] = 1 / float32(end-first)
		}
	}
	return matrix
}

// onnx: x (N, C, D, H, W) -> x normalised over groups of channels, by way of
// InstanceNormalization of (N, groups, C/groups * D*H*W): ONNX has an operator for
// it only from version 18 on.
func (l *groupNorm) onnx(g *onnxGraph, x string) string {
	s, groups := l.kernel.Shape, l.kernel.Groups
	ones, zeros := make([]float32, groups), make([]float32, groups)
	for i := range ones {
		ones[i] = 1
	}
	grouped := g.reshape(l.name+".grouped", x, 0, groups, -1)
	grouped = g.add("InstanceNormalization", l.name, []string{grouped,
		g.constant(l.name+".ones", []int{groups}, ones), g.constant(l.name+".zeros", []int{groups}, zeros)},
		onnxAttribute{"epsilon", float32(kernel.Epsilon)})
	shape, spread := []int{0, s.C}, []int{s.C}
	for _, size := range g.spatial([3]int{s.D, s.H, s.W}) {
		shape, spread = append(shape, int(size)), append(spread, 1)
	}
	y := g.reshape(l.name+".normalised", grouped, shape...)
	y = g.add("Mul", l.name+".scaled", []string{y, g.reshape(l.name+".scale", l.gamma.Name, spread...)})
	return g.add("Add", l.name+".shifted", []string{y, g.reshape(l.name+".shift", l.beta.Name, spread...)})
}
