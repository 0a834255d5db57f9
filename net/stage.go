package net

import "ballast/kernel"

// A stage is a part of a network between two tensors (N, C, D, H, W) in the
// layout of the kernels. It holds its output and the gradient of its output.
type stage interface {
	// output returns the layout of the output.
	output() kernel.Shape
	// gradient returns where the next stage is to write the gradient of the
	// output, and its layout.
	gradient() (kernel.Shape, []float32)
	// members returns what is trained and stored, from input to output.
	members() []member
	// layers returns the lines of the network's summary.
	layers(n *Net) []Layer
	// setBatch changes the number of samples.
	setBatch(samples int)
	// reserve allocates the forward buffers for that many samples.
	reserve(samples int)
	// reserveGradients allocates what backward needs where it is too small.
	reserveGradients(samples int)
	// size returns the number of float32 and of bytes that a batch needs.
	size(samples int) (elements, bytes int)
	// forward returns the output for an input in the layout of the stage before.
	forward(s *step, in []float32) []float32
	// backward sets the gradients of the members from that of the output, and that
	// of the input unless din is nil.
	backward(s *step, in []float32, layout kernel.Shape, din []float32)
	// onnx adds the operations of the stage in inference and returns the name of its
	// output for that of its input.
	onnx(g *onnxGraph, x string) string
}

// A step says how the stages run.
type step struct {
	pool     *kernel.Pool
	mode     Mode
	seed     uint64 // of dropout
	capacity int    // samples that buffers are made for
}

// A member is a convolution or a normalisation: what a network learns.
type member interface {
	params() []*Param
	// entries lists the state; spatial axes of size 1 are left out in 2D.
	entries(dims int) []*entry
}

// A convolution is a kernel.Conv with its parameters.
type convolution struct {
	name   string
	kernel *kernel.Conv
	weight *Param
	bias   *Param // nil where a normalisation follows
}

func newConvolution(name string, c *kernel.Conv, bias bool) *convolution {
	l := &convolution{name: name, kernel: c, weight: newParam(name+".weight", c.WeightLen(), true)}
	if bias {
		l.bias = newParam(name+".bias", c.Out.Padded(), false)
	}
	return l
}

func (c *convolution) params() []*Param {
	if c.bias == nil {
		return []*Param{c.weight}
	}
	return []*Param{c.weight, c.bias}
}

// biasValue returns the bias, nil without one.
func (c *convolution) biasValue() []float32 {
	if c.bias == nil {
		return nil
	}
	return c.bias.Value
}

// layer returns the line of the summary.
func (c *convolution) layer(n *Net) Layer {
	out, flops := c.kernel.Out, c.kernel.FLOPs()/int64(c.kernel.Out.N)
	parameters := 0
	for _, e := range c.entries(n.config.Dims) {
		parameters += volume(e.shape)
	}
	return Layer{c.name, "convolution", n.shape(out.C, out.D, out.H, out.W), parameters, flops}
}

func newParam(name string, size int, decay bool) *Param {
	return &Param{Name: name, Value: make([]float32, size), Grad: make([]float32, size), Decay: decay}
}

// enough returns a slice of at least that many elements, the given one if it is.
func enough(data []float32, elements int) []float32 {
	if len(data) >= elements {
		return data
	}
	return kernel.Floats(elements)
}

// taps returns the size of a kernel that is k voxels wide along every axis.
func taps(dims, k int) [3]int {
	if dims == 2 {
		return [3]int{1, k, k}
	}
	return [3]int{k, k, k}
}
