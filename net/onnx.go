package net

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// ErrONNX is wrapped by the error of WriteONNX for a network that the format
// cannot hold.
var ErrONNX = errors.New("network cannot be written as ONNX")

// The version of the operators and of the format. ONNX Runtime reads both since
// its version 1.12 of July 2022; group normalisation is an operator only from 18
// on, and is written as instance normalisation of groups.
const (
	onnxOpset     = 17
	onnxIRVersion = 8

	// onnxMostNumbers is how many float32 a file holds: a protobuf message has fewer
	// than 2^31 bytes, of which a mebibyte is left for all else.
	onnxMostNumbers = (1<<31 - 1<<20) / 4
)

// The names of the inputs and outputs of an exported network.
const (
	ONNXImage         = "image"
	ONNXCovariates    = "covariates" // of a network that has them
	ONNXLogits        = "logits"
	ONNXProbabilities = "probabilities"
	ONNXAttention     = "attention" // of a network that pools by attention
)

// ONNX says what an exported file tells about itself.
type ONNX struct {
	Producer, Version string
	Doc               string            // for people
	Metadata          map[string]string // the file's metadata_props, written in the order of the keys
}

// WriteONNX writes the network in inference form: batch normalisation by its
// running statistics, no dropout. Input "image" is float32 (N, C, D, H, W), in 2D
// (N, C, H, W), of any N, and "covariates" (N, K) where there are any; the outputs
// are "logits" and "probabilities" (N, classes). Under attention pooling the N
// images are those of one subject, covariates and outputs have one row, and a
// third output "attention" (N, 1) is the weight of each image. Initialisers carry
// the names and shapes of State. The same network gives the same bytes. The error
// wraps ErrONNX for a network too large for the format.
func (n *Net) WriteONNX(w io.Writer, o ONNX) error {
	if err := checkONNXSize(n.config.Name, n.elements()); err != nil {
		return err
	}
	g := &onnxGraph{dims: n.config.Dims}
	for _, t := range n.State(nil) {
		g.tensors = append(g.tensors, onnxTensor{Tensor: t})
	}
	logits := n.onnx(g)
	g.add("Identity", ONNXLogits, []string{logits})
	g.add("Softmax", ONNXProbabilities, []string{logits}, onnxAttribute{"axis", int64(1)})

	var m message
	m.number(onnxModelIRVersion, onnxIRVersion)
	m.text(onnxModelProducer, o.Producer)
	m.text(onnxModelProducerVersion, o.Version)
	m.text(onnxModelDoc, o.Doc)
	m.bytes(onnxModelGraph, g.encode(n.config.Name, n.onnxInputs(), n.onnxOutputs()))
	var opset message
	opset.number(onnxOpsetVersion, onnxOpset)
	m.bytes(onnxModelOpset, opset)
	for _, key := range slices.Sorted(maps.Keys(o.Metadata)) {
		var property message
		property.text(onnxPropertyKey, key)
		property.text(onnxPropertyValue, o.Metadata[key])
		m.bytes(onnxModelMetadata, property)
	}
	if _, err := w.Write(m); err != nil {
		return fmt.Errorf("write ONNX: %w", err)
	}
	return nil
}

// elements is how many numbers State returns.
func (n *Net) elements() int {
	count := 0
	for _, e := range n.entries() {
		count += volume(e.shape)
	}
	return count
}

func checkONNXSize(name string, numbers int) error {
	if numbers > onnxMostNumbers {
		return fmt.Errorf("network %q has %d weights, a file holds %d; export it as safetensors: %w", name, numbers, onnxMostNumbers, ErrONNX)
	}
	return nil
}

// onnxSamples is the number of samples of a batch of N images: a name where it is
// free.
func (n *Net) onnxSamples() any {
	if n.pools != nil {
		return 1
	}
	return "N"
}

func (n *Net) onnxInputs() []onnxValue {
	c := n.config
	sizes := []any{"N"}
	for _, size := range n.shape(c.Channels, c.Size[0], c.Size[1], c.Size[2]) {
		sizes = append(sizes, size)
	}
	inputs := []onnxValue{{ONNXImage, "prepared images, see the metadata", sizes}}
	if c.Covariates > 0 {
		inputs = append(inputs, onnxValue{ONNXCovariates, "prepared covariates, see the metadata", []any{n.onnxSamples(), c.Covariates}})
	}
	return inputs
}

func (n *Net) onnxOutputs() []onnxValue {
	sizes := []any{n.onnxSamples(), n.config.Classes}
	outputs := []onnxValue{{ONNXLogits, "before the softmax", sizes}, {ONNXProbabilities, "of each class", sizes}}
	if n.pools != nil {
		outputs = append(outputs, onnxValue{ONNXAttention, "weight of each image", []any{"N", 1}})
	}
	return outputs
}

// An onnxGraph gathers the nodes and constants of a network.
type onnxGraph struct {
	dims    int
	nodes   []onnxNode
	tensors []onnxTensor
}

// add adds a node and returns the name of its output.
func (g *onnxGraph) add(operator, name string, inputs []string, attributes ...onnxAttribute) string {
	g.nodes = append(g.nodes, onnxNode{operator, name, inputs, attributes})
	return name
}

// constant adds numbers beside those of the state and returns their name.
func (g *onnxGraph) constant(name string, shape []int, data []float32) string {
	g.tensors = append(g.tensors, onnxTensor{Tensor: Tensor{Name: name, Shape: shape, Data: data}})
	return name
}

// reshape adds a change of shape; a size of 0 stays what it is, one of -1 is what
// remains.
func (g *onnxGraph) reshape(name, x string, sizes ...int) string {
	whole := make([]int64, len(sizes))
	for i, size := range sizes {
		whole[i] = int64(size)
	}
	g.tensors = append(g.tensors, onnxTensor{Tensor: Tensor{Name: name + ".sizes"}, whole: whole})
	return g.add("Reshape", name, []string{x, name + ".sizes"})
}

func (g *onnxGraph) encode(name string, inputs, outputs []onnxValue) message {
	var m message
	for _, n := range g.nodes {
		m.bytes(onnxGraphNode, n.encode())
	}
	m.text(onnxGraphName, name)
	for _, t := range g.tensors {
		m.bytes(onnxGraphInitialiser, t.encode())
	}
	for _, v := range inputs {
		m.bytes(onnxGraphInput, v.encode())
	}
	for _, v := range outputs {
		m.bytes(onnxGraphOutput, v.encode())
	}
	return m
}
