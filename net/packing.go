package net

import (
	"fmt"
	"slices"
)

// Unpack returns copies of arrays that lie beside parameters, such as gradients or
// what an optimiser remembers, in PyTorch's layout. Each has the name of its
// parameter and as many elements as that parameter's Value. What an earlier call
// with the same names returned may be given, and its memory is used again;
// otherwise nil. It panics for a name that is no parameter.
func (n *Net) Unpack(packed, old []Tensor) []Tensor {
	entries := n.byName()
	if len(old) != len(packed) {
		old = make([]Tensor, len(packed))
	}
	for k, p := range packed {
		e := entries[p.Name]
		if e == nil || len(e.data) != len(p.Data) {
			panic(fmt.Sprintf("net: Unpack of %q with %d elements", p.Name, len(p.Data)))
		}
		data := old[k].Data
		if len(data) != volume(e.shape) {
			data = make([]float32, volume(e.shape))
		}
		e.each(func(i, offset int) { data[i] = p.Data[offset] })
		old[k] = Tensor{Name: p.Name, Shape: e.shape, Data: data}
	}
	return old
}

// Pack is the way back: arrays as long as the parameters' Values, with zeros where
// a Value has padding. The error wraps ErrState.
func (n *Net) Pack(tensors []Tensor) ([]Tensor, error) {
	entries := n.byName()
	packed := make([]Tensor, len(tensors))
	for k, t := range tensors {
		e := entries[t.Name]
		switch {
		case e == nil:
			return nil, fmt.Errorf("tensor %q is unknown to network %q: %w", t.Name, n.config.Name, ErrState)
		case !slices.Equal(t.Shape, e.shape) || len(t.Data) != volume(e.shape):
			return nil, fmt.Errorf("tensor %q has shape %v and %d values, the network needs %v: %w", t.Name, t.Shape, len(t.Data), e.shape, ErrState)
		}
		data := make([]float32, len(e.data))
		e.each(func(i, offset int) { data[offset] = t.Data[i] })
		packed[k] = Tensor{Name: t.Name, Shape: []int{len(data)}, Data: data}
	}
	return packed, nil
}

func (n *Net) byName() map[string]*entry {
	entries := map[string]*entry{}
	for _, e := range n.entries() {
		entries[e.name] = e
	}
	return entries
}
