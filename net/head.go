package net

import (
	"ballast/kernel"
	"ballast/stat"
)

// A head is dropout and a dense layer: features (N, F) -> logits (N, classes).
type head struct {
	features, stride, classes int // stride: features with padding
	dropout                   float64
	weight, bias              *Param // (classes, stride), (classes)

	dropped  []float32 // features after dropout (N, stride)
	dropping bool      // whether the last forward dropped features
	keep     []bool    // which it kept (N, features)
	logits   []float32
}

func newHead(features, stride int, c Config) *head {
	return &head{
		features: features, stride: stride, classes: c.Classes, dropout: c.Dropout,
		weight: newParam("head.weight", c.Classes*stride, true), bias: newParam("head.bias", c.Classes, false),
	}
}

func (h *head) resize(n int) {
	h.dropped = make([]float32, n*h.stride)
	h.keep = make([]bool, n*h.features)
	h.logits = make([]float32, n*h.classes)
}

// forward: features (N, F) -> logits (N, classes).
func (h *head) forward(features []float32, n int, mode Mode, seed uint64) []float32 {
	dropped := h.dropped[:n*h.stride]
	copy(dropped, features)
	h.dropping = h.dropout > 0 && (mode == Training || mode == Sampling)
	if h.dropping {
		h.draw(n, seed)
		h.drop(dropped, n)
	}
	kernel.Dense(dropped, h.weight.Value, h.bias.Value, h.stride, h.classes, h.logits)
	return h.logits[:n*h.classes]
}

// backward: dlogits (N, classes) -> the gradients of the parameters and, unless
// it is nil, of the features (N, F).
func (h *head) backward(dlogits []float32, n int, dfeatures []float32) {
	dropped := h.dropped[:n*h.stride]
	if dfeatures != nil {
		dfeatures = dfeatures[:n*h.stride]
	}
	kernel.DenseBackward(dropped, h.weight.Value, dlogits, h.stride, h.classes, h.weight.Grad, h.bias.Grad, dfeatures)
	if h.dropping && dfeatures != nil {
		h.drop(dfeatures, n)
	}
}

// draw decides which features to keep.
func (h *head) draw(n int, seed uint64) {
	stream := stat.NewStream(seed, "dropout/dropout")
	threshold := uint32(h.dropout * (1 << 32))
	for i := range h.keep[:n*h.features] {
		h.keep[i] = stream.Uint32At(uint64(i)) >= threshold
	}
}

// drop applies the last draw to (N, F) with padding.
func (h *head) drop(x []float32, n int) {
	scale := float32(1 / (1 - h.dropout))
	for sample := range n {
		keep := h.keep[sample*h.features:][:h.features]
		kernel.Dropout(x[sample*h.stride:][:h.features], scale, func(i int) bool { return keep[i] })
	}
}
