package net

import (
	"ballast/kernel"
	"ballast/stat"
)

// A head is dropout and a dense layer: features (N, F), covariates (N, K) ->
// logits (N, classes). The dense layer sees the features after dropout and then
// the covariates, which are never dropped.
type head struct {
	features, stride, classes int // stride: features with padding
	covariates, width         int // width: stride + covariates, a row of the dense layer
	dropout                   float64
	weight, bias              *Param // (classes, width), (classes)

	input    []float32 // of the dense layer (N, width)
	dinput   []float32 // its gradient where there are covariates (N, width)
	dropping bool      // whether the last forward dropped features
	keep     []bool    // which it kept (N, features)
	logits   []float32
	samples  int // that the buffers are made for
}

func newHead(features, stride int, c Config) *head {
	width := stride + c.Covariates
	return &head{
		features: features, stride: stride, classes: c.Classes, covariates: c.Covariates, width: width, dropout: c.Dropout,
		weight: newParam("head.weight", c.Classes*width, true), bias: newParam("head.bias", c.Classes, false),
	}
}

// size returns the number of float32 and of bytes that a batch needs.
func (h *head) size(n int) (elements, bytes int) {
	elements = n * (h.width + h.classes)
	if h.covariates > 0 {
		elements += n * h.width
	}
	return elements, n * h.features
}

func (h *head) reserve(n int) {
	if n <= h.samples {
		return
	}
	h.samples = n
	h.input = make([]float32, n*h.width)
	if h.covariates > 0 {
		h.dinput = make([]float32, n*h.width)
	}
	h.keep = make([]bool, n*h.features)
	h.logits = make([]float32, n*h.classes)
}

func (h *head) entries() []*entry {
	inputs := h.features + h.covariates
	return []*entry{
		{name: h.weight.Name, shape: []int{h.classes, inputs}, data: h.weight.Value, index: func(i int) int {
			if column := i % inputs; column < h.features {
				return i/inputs*h.width + column
			}
			return i/inputs*h.width + h.stride + i%inputs - h.features
		}},
		vectorEntry(h.bias.Name, h.classes, h.bias.Value),
	}
}

// forward: features (N, F), covariates (N, K) -> logits (N, classes).
func (h *head) forward(features, covariates []float32, n int, mode Mode, seed uint64) []float32 {
	input := h.input[:n*h.width]
	for sample := range n {
		row := input[sample*h.width:][:h.width]
		copy(row, features[sample*h.stride:][:h.stride])
		copy(row[h.stride:], covariates[sample*h.covariates:])
	}
	h.dropping = h.dropout > 0 && (mode == Training || mode == Sampling)
	if h.dropping {
		h.draw(n, seed)
		h.drop(input, h.width, n)
	}
	kernel.Dense(input, h.weight.Value, h.bias.Value, h.width, h.classes, h.logits)
	return h.logits[:n*h.classes]
}

// backward: dlogits (N, classes) -> the gradients of the parameters and, unless
// it is nil, of the features (N, F).
func (h *head) backward(dlogits []float32, n int, dfeatures []float32) {
	if dfeatures == nil {
		h.dense(dlogits, n, nil)
		return
	}
	dfeatures = dfeatures[:n*h.stride]
	if h.covariates == 0 {
		h.dense(dlogits, n, dfeatures)
	} else {
		dinput := h.dinput[:n*h.width]
		h.dense(dlogits, n, dinput)
		for sample := range n {
			copy(dfeatures[sample*h.stride:][:h.stride], dinput[sample*h.width:])
		}
	}
	if h.dropping {
		h.drop(dfeatures, h.stride, n)
	}
}

// dense: dlogits (N, classes) -> the gradients of the parameters and, unless it
// is nil, of the input (N, width).
func (h *head) dense(dlogits []float32, n int, dinput []float32) {
	kernel.DenseBackward(h.input[:n*h.width], h.weight.Value, dlogits, h.width, h.classes, h.weight.Grad, h.bias.Grad, dinput)
}

// draw decides which features to keep.
func (h *head) draw(n int, seed uint64) {
	stream := stat.NewStream(seed, "dropout/dropout")
	threshold := uint32(h.dropout * (1 << 32))
	for i := range h.keep[:n*h.features] {
		h.keep[i] = stream.Uint32At(uint64(i)) >= threshold
	}
}

// drop applies the last draw to rows that begin with the features.
func (h *head) drop(x []float32, width, n int) {
	scale := float32(1 / (1 - h.dropout))
	for sample := range n {
		keep := h.keep[sample*h.features:][:h.features]
		kernel.Dropout(x[sample*width:][:h.features], scale, func(i int) bool { return keep[i] })
	}
}
