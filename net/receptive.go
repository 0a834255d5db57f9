package net

import "ballast/kernel"

// ReceptiveField returns how many voxels of the input, along its last axis, can
// change one voxel of the last layer before the average; 0 for networks without
// convolutions. With k the width of a layer's window and j the voxels of the input
// between two of its own, each layer adds (k - 1) j; strides multiply j (Araujo, Norris and
// Sim, "Computing receptive fields of convolutional neural networks", Distill
// 2019). A shortcut is one voxel wide and adds nothing to the way beside it.
func (n *Net) ReceptiveField() int {
	convolutions := map[string]*kernel.Conv{}
	for _, c := range n.Convolutions(1) {
		convolutions[c.Name] = c.Conv
	}
	if len(convolutions) == 0 {
		return 0
	}
	field, jump := 1, 1
	for _, l := range n.Layers() {
		switch c := convolutions[l.Name]; {
		case c != nil && c.Kernel[2] > 1:
			field += (c.Kernel[2] - 1) * jump
			jump *= c.Stride[2]
		case l.Kind == "max pooling":
			field += jump
			jump *= 2
		}
	}
	return field
}
