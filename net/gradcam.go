package net

import (
	"errors"
	"fmt"
	"strings"

	"ballast/kernel"
	"ballast/stat"
)

// ErrLayer is wrapped by the error of Activations for a layer without a spatial
// activation.
var ErrLayer = errors.New("no spatial activation")

// An Activation is the output A of a layer for one image and the gradient of one
// class's logit z with respect to it, both planar (C, D, H, W).
//
// Voxel n of the layer along D, H or W has its centre at voxel Offset + Stride*n
// of the network's input along that axis.
type Activation struct {
	Layer            string
	C, D, H, W       int
	Values, Gradient []float32
	Stride, Offset   [3]float64 // along D, H, W
}

// GradCAM returns the map (D, H, W) of Selvaraju et al. (2017, Grad-CAM: visual
// explanations from deep networks via gradient-based localization), unscaled, in
// units of the logit per voxel of the layer:
//
//	L = max(0, sum_k a_k A_k),   a_k = mean over voxels of dz/dA_k
func (a *Activation) GradCAM() []float32 {
	voxels := a.D * a.H * a.W
	sums := make([]float64, voxels)
	for c := range a.C {
		weight := 0.0
		for _, g := range a.Gradient[c*voxels:][:voxels] {
			weight += float64(g)
		}
		weight /= float64(voxels)
		for i, v := range a.Values[c*voxels:][:voxels] {
			sums[i] += float64(weight * float64(v))
		}
	}
	positive := make([]float32, voxels)
	for i, sum := range sums {
		positive[i] = float32(max(0, sum))
	}
	return positive
}

// A pooled stage ends with a pooling of an activation of the size of its input.
type pooled interface {
	// beforePooling computes what the last Forward, in Inference mode, has pooled,
	// and its gradient from that of the output: layout, activation, gradient. It is
	// called before backward, with the input of that Forward.
	beforePooling(s *step, in []float32) (kernel.Shape, []float32, []float32)
}

// ActivationLayers lists the layers that Activations takes, from input to output:
// what each stage gives and, where it ends with a pooling, what it pools. A
// network without convolutions has none.
func (n *Net) ActivationLayers() []string {
	var names []string
	for _, s := range n.stages {
		layers := s.layers(n)
		last := len(layers) - 1
		if _, ok := s.(pooled); ok {
			names = append(names, layers[last-1].Name)
		}
		names = append(names, layers[last].Name)
	}
	return names
}

// FinestLastLayer names the layer that Grad-CAM is usually made of: what the last
// convolution gives after its activation, before it is pooled; empty without
// convolutions.
func (n *Net) FinestLastLayer() string {
	for i := len(n.stages) - 1; i >= 0; i-- {
		s := n.stages[i]
		layers := s.layers(n)
		if _, ok := s.(pooled); ok {
			return layers[len(layers)-2].Name
		}
		for _, m := range s.members() {
			if _, ok := m.(*convolution); ok {
				return layers[len(layers)-1].Name
			}
		}
	}
	return ""
}

// CheckLayer returns an error that wraps ErrLayer when Activations does not take
// the layer.
func (n *Net) CheckLayer(layer string) error {
	_, _, err := n.findLayer(layer)
	return err
}

// Config returns the configuration that the network was built by.
func (n *Net) Config() Config { return n.config }

// Randomised returns a network of the same configuration, on the same workers,
// that has learnt nothing: initial weights of another seed, running statistics 0
// and 1. The seed is hashed with a word of its own, so that none gives the weights
// that a plan with this seed begins with.
func (n *Net) Randomised(seed uint64) (*Net, error) {
	return Build(n.config, stat.NewStream(seed, "randomised").Uint64(), n.pool)
}

// Activations returns the logits of the images in Inference mode and, of each
// image, the activation of a layer with the gradient of the class's logit. It
// overwrites the gradients of the parameters. The error wraps ErrLayer.
func (n *Net) Activations(x *Batch, class int, layer string) (logits []float32, images []*Activation, err error) {
	at, before, err := n.findLayer(layer)
	if err != nil {
		return nil, nil, err
	}
	logits = n.Forward(x, Inference, 0)
	gradient := make([]float32, len(logits))
	for i := class; i < len(gradient); i += n.config.Classes {
		gradient[i] = 1
	}
	n.observe = func(stage int) {
		if stage == at {
			images = n.activations(at, before)
		}
	}
	n.Backward(gradient)
	n.observe = nil
	stride, offset := n.sampling(at, before)
	for _, image := range images {
		image.Layer, image.Stride, image.Offset = layer, stride, offset
	}
	return logits, images, nil
}

// findLayer returns the stage of a layer, and whether it is what the stage pools.
func (n *Net) findLayer(layer string) (stage int, before bool, err error) {
	for i, s := range n.stages {
		layers := s.layers(n)
		last := len(layers) - 1
		if layers[last].Name == layer {
			return i, false, nil
		}
		if _, ok := s.(pooled); ok && layers[last-1].Name == layer {
			return i, true, nil
		}
	}
	if len(n.stages) == 0 {
		return 0, false, fmt.Errorf("network %q has no convolutions, so no layer shows where it looks: %w", n.config.Name, ErrLayer)
	}
	return 0, false, fmt.Errorf("layer %q of network %q: choose among %s: %w", layer, n.config.Name, strings.Join(n.ActivationLayers(), ", "), ErrLayer)
}

// activations copies the output of a stage, or what it pools, and its gradient.
func (n *Net) activations(stage int, before bool) []*Activation {
	s := n.stages[stage]
	shape, values := s.output(), n.outputs(stage)
	layout, gradient := s.gradient()
	if before {
		shape, values, gradient = s.(pooled).beforePooling(&n.step, n.inputs[stage])
		layout = shape
	}
	images := make([]*Activation, shape.N)
	for i := range images {
		images[i] = &Activation{
			C: shape.C, D: shape.D, H: shape.H, W: shape.W,
			Values: unpack(shape, values, i), Gradient: unpack(layout, gradient, i),
		}
	}
	return images
}

// outputs returns what a stage gave in the last Forward.
func (n *Net) outputs(stage int) []float32 {
	if stage+1 < len(n.stages) {
		return n.inputs[stage+1]
	}
	return n.final
}

// unpack copies one sample (C, D, H, W) out of the layout of the kernels.
func unpack(s kernel.Shape, data []float32, sample int) []float32 {
	planar := make([]float32, 0, s.C*s.Voxels())
	for c := range s.C {
		for d := range s.D {
			for h := range s.H {
				for w := range s.W {
					planar = append(planar, data[s.Index(sample, c, d, h, w)])
				}
			}
		}
	}
	return planar
}

// sampling returns where the voxels of a stage's output, or of what it pools, lie
// in the input. The pooling of voxels 2n and 2n+1 lies between them; a convolution
// of stride 2, three wide with one voxel of padding, lies on voxel 2n.
func (n *Net) sampling(stage int, before bool) (stride, offset [3]float64) {
	stride = [3]float64{1, 1, 1}
	in := n.image
	for i := 0; i <= stage; i++ {
		s := n.stages[i]
		if i == stage && before {
			break
		}
		out := s.output()
		for axis, halved := range [3]bool{out.D < in.D, out.H < in.H, out.W < in.W} {
			if !halved {
				continue
			}
			if _, strided := s.(*residual); !strided {
				offset[axis] += float64(stride[axis] / 2)
			}
			stride[axis] *= 2
		}
		in = out
	}
	return stride, offset
}

// beforePooling: in -> y (N, O, D, H, W), rectified, and its gradient.
func (b *block) beforePooling(s *step, in []float32) (kernel.Shape, []float32, []float32) {
	shape := b.conv.kernel.Out
	y, dy := kernel.Floats(shape.Len()), kernel.Floats(shape.Len())
	b.conv.kernel.Forward(s.pool, in, b.conv.weight.Value, b.conv.biasValue(), y)
	if b.norm != nil {
		kernel.Norm(s.pool, shape, y, b.norm.forward(Inference), b.tail.Activation, shape, y)
	} else {
		kernel.Activate(s.pool, b.tail.Activation, shape, y)
	}
	down := b.tail.Pool
	down.BackwardNorm(s.pool, down.BestShape(), b.dout, b.choice, nil, nil, shape, dy)
	return shape, y, dy
}
