package net

import "ballast/kernel"

// A Convolution is the geometry of a convolution of a network.
type Convolution struct {
	Name string
	Conv *kernel.Conv
}

// Convolutions returns all convolutions for batches of that many images, from
// input to output, made anew: for programs that measure layers one by one.
func (n *Net) Convolutions(batch int) []Convolution {
	var all []Convolution
	for _, m := range n.members {
		if l, ok := m.(*convolution); ok {
			c := l.kernel
			conv := kernel.NewConv(c.In.Batch(batch), c.Out.C, c.Kernel, c.Stride, c.Out.Halo)
			conv.Direct = c.Direct
			all = append(all, Convolution{l.name, conv})
		}
	}
	return all
}
