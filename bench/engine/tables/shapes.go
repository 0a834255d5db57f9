package main

import (
	"fmt"
	"strings"

	"ballast/bench/engine"
	"ballast/kernel"
)

// odd is a size that no tile divides.
var odd = [3]int{51, 47, 33}

// A shape is a convolution that people have: batch, input and output channels,
// size, kernel width and stride. The first convolution of a network stores its
// few channels without padding, and needs no gradient of its input.
type shape struct {
	batch, in, out int
	size           [3]int
	kernel, stride int
	first          bool
}

// all varies one thing at a time.
var all = []shape{
	{2, 1, 16, odd, 3, 1, true},
	{2, 2, 16, odd, 3, 1, true},
	{2, 3, 16, odd, 3, 1, true},
	{2, 1, 16, odd, 5, 1, true},
	{2, 1, 16, odd, 7, 1, true},
	{2, 1, 16, odd, 7, 2, true},

	{1, 16, 32, odd, 3, 1, false},
	{2, 16, 32, odd, 3, 1, false},
	{2, 16, 32, odd, 1, 1, false},
	{2, 16, 32, odd, 5, 1, false},
	{1, 16, 32, odd, 7, 1, false},
	{2, 16, 32, odd, 1, 2, false},
	{2, 16, 32, odd, 3, 2, false},
	{2, 1, 1, odd, 3, 1, false},
	{2, 2, 3, odd, 3, 1, false},
	{2, 20, 20, odd, 3, 1, false},
	{2, 20, 40, odd, 3, 1, false},
	{2, 48, 48, odd, 3, 1, false},
	{8, 64, 128, [3]int{5, 5, 5}, 3, 1, false},
	{8, 64, 128, [3]int{3, 3, 2}, 3, 1, false},
	{1, 64, 128, [3]int{8, 8, 8}, 3, 1, false},

	{8, 3, 16, [3]int{1, 128, 128}, 3, 1, true},
	{8, 3, 16, [3]int{1, 127, 101}, 3, 1, true},
	{8, 3, 64, [3]int{1, 224, 224}, 7, 2, true},
	{1, 3, 16, [3]int{1, 128, 128}, 3, 1, true},
	{8, 20, 20, [3]int{1, 127, 101}, 3, 1, false},
	{8, 64, 64, [3]int{1, 32, 32}, 3, 1, false},
	{8, 64, 128, [3]int{1, 32, 32}, 3, 2, false},
	{8, 64, 128, [3]int{1, 32, 32}, 1, 2, false},
	{1, 64, 64, [3]int{1, 15, 13}, 3, 1, false},
	{8, 256, 512, [3]int{1, 7, 7}, 3, 2, false},
	{8, 512, 512, [3]int{1, 4, 4}, 3, 1, false},
}

// conv lays out the convolution.
func (s shape) conv() *kernel.Conv {
	taps, strides := [3]int{s.kernel, s.kernel, s.kernel}, [3]int{s.stride, s.stride, s.stride}
	if s.size[0] == 1 {
		taps[0], strides[0] = 1, 1
	}
	layout := kernel.Blocked
	if s.first {
		layout = kernel.Narrow
	}
	in := layout(s.batch, s.in, s.size[0], s.size[1], s.size[2], s.kernel/2)
	return kernel.NewConv(in, s.out, taps, strides, s.kernel/2)
}

// shapes measures all shapes on all threads.
func shapes() []engine.Layer {
	pool := kernel.NewPool(0)
	defer pool.Close()
	var layers []engine.Layer
	for _, s := range all {
		layers = append(layers, engine.MeasureConv(s.conv(), pool, !s.first))
	}
	return layers
}

// shapeTable gives the rates, and which share of the multiplied lanes are
// channels: the rest pads blocks of 16.
func shapeTable(m measured) string {
	var text strings.Builder
	engine.MarkdownTable(&text, 1, func(row func(cells ...string)) {
		row("convolution", "lanes in use", "forward", "backward data", "backward weights")
		for i, layer := range m.Shapes {
			c := all[i].conv()
			used := float64(c.In.C*c.Out.C) / float64(c.In.Padded()*c.Out.Padded())
			forward, data, weights := m.Report.Shares(layer)
			row(layer.Shape, fmt.Sprintf("%.0f %%", 100*used), forward, data, weights)
		}
	})
	return text.String()
}
