package net

import (
	"errors"
	"fmt"
	"slices"
)

// ErrState is wrapped by the error of LoadState.
var ErrState = errors.New("tensors do not fit the network")

// A Tensor is a named array in PyTorch's layout.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// An entry is a tensor of the network's state and where its elements lie.
type entry struct {
	name  string
	shape []int
	data  []float32
	index func(i int) int // offset in data of canonical element i; nil: the same
}

// each calls f with every canonical index and its offset in data.
func (e *entry) each(f func(i, offset int)) {
	for i := range volume(e.shape) {
		if e.index == nil {
			f(i, i)
		} else {
			f(i, e.index(i))
		}
	}
}

func volume(shape []int) int {
	product := 1
	for _, size := range shape {
		product *= size
	}
	return product
}

// entries lists the state in the order of the layers.
func (n *Net) entries() []*entry {
	var list []*entry
	for _, m := range n.members {
		list = append(list, m.entries(n.config.Dims)...)
	}
	return append(list, n.head.entries()...)
}

func vectorEntry(name string, size int, data []float32) *entry {
	return &entry{name: name, shape: []int{size}, data: data}
}

func (c *convolution) entries(dims int) []*entry {
	in, k := c.kernel.In.C, c.kernel.Kernel
	shape := []int{c.kernel.Out.C, in, k[0], k[1], k[2]}
	if dims == 2 {
		shape = slices.Delete(shape, 2, 3)
	}
	list := []*entry{{name: c.weight.Name, shape: shape, data: c.weight.Value, index: func(i int) int {
		kw, i := i%k[2], i/k[2]
		kh, i := i%k[1], i/k[1]
		kd, i := i%k[0], i/k[0]
		return c.kernel.WeightIndex(i/in, i%in, kd, kh, kw)
	}}}
	if c.bias != nil {
		list = append(list, vectorEntry(c.bias.Name, c.kernel.Out.C, c.bias.Value))
	}
	return list
}

func (l *norm) entries(int) []*entry {
	channels := l.kernel.Shape.C
	return []*entry{
		vectorEntry(l.gamma.Name, channels, l.gamma.Value), vectorEntry(l.beta.Name, channels, l.beta.Value),
		vectorEntry(l.name+".running_mean", channels, l.mean), vectorEntry(l.name+".running_var", channels, l.variance),
	}
}

// State returns a copy of all parameters and running statistics with PyTorch's
// names and layouts: "block1.conv.weight" (O, I, kD, kH, kW), in 2D (O, I, kH,
// kW); "block1.norm.running_mean"; "head.weight" (classes, features + covariates). A state
// that this network or one of the same configuration returned before may be
// given, and its memory is used again; otherwise nil.
func (n *Net) State(old []Tensor) []Tensor {
	entries := n.entries()
	if len(old) != len(entries) {
		old = make([]Tensor, len(entries))
	}
	for k, e := range entries {
		data := old[k].Data
		if len(data) != volume(e.shape) {
			data = make([]float32, volume(e.shape))
		}
		e.each(func(i, offset int) { data[i] = e.data[offset] })
		old[k] = Tensor{Name: e.name, Shape: e.shape, Data: data}
	}
	return old
}

// LoadState sets all parameters and running statistics. The tensors must be
// exactly those of State, in any order; otherwise the error wraps ErrState and
// nothing is changed.
func (n *Net) LoadState(tensors []Tensor) error {
	given := map[string]Tensor{}
	for _, t := range tensors {
		if _, twice := given[t.Name]; twice {
			return fmt.Errorf("tensor %q is given twice: %w", t.Name, ErrState)
		}
		given[t.Name] = t
	}
	entries := n.entries()
	for _, e := range entries {
		t, ok := given[e.name]
		switch {
		case !ok:
			return fmt.Errorf("tensor %q is missing: %w", e.name, ErrState)
		case !slices.Equal(t.Shape, e.shape) || len(t.Data) != volume(e.shape):
			return fmt.Errorf("tensor %q has shape %v and %d values, the network needs %v: %w", e.name, t.Shape, len(t.Data), e.shape, ErrState)
		}
		delete(given, e.name)
	}
	for _, t := range tensors {
		if _, left := given[t.Name]; left {
			return fmt.Errorf("tensor %q is unknown to network %q: %w", t.Name, n.config.Name, ErrState)
		}
	}
	for _, t := range tensors {
		e := entries[slices.IndexFunc(entries, func(e *entry) bool { return e.name == t.Name })]
		e.each(func(i, offset int) { e.data[offset] = t.Data[i] })
	}
	return nil
}

// SwapWeights exchanges parameters and running statistics with a network of
// the same configuration, without copying: gradients and buffers stay where they
// are. It panics when the configurations differ.
func (n *Net) SwapWeights(other *Net) {
	if n.config != other.config {
		panic("net: SwapWeights with a network of another configuration")
	}
	for i, p := range n.params {
		p.Value, other.params[i].Value = other.params[i].Value, p.Value
	}
	for i, l := range n.norms {
		theirs := other.norms[i]
		l.mean, theirs.mean = theirs.mean, l.mean
		l.variance, theirs.variance = theirs.variance, l.variance
	}
}
