package engine

import (
	"slices"

	"ballast/net"
)

// A Network is a workload: a training step, or one forward pass.
type Network struct {
	ID        string
	About     string
	Config    net.Config
	Batch     int
	Inference bool // one forward pass in place of a training step
}

// References returns the reference networks: four blocks of convolution, batch
// norm or none, ReLU and max pooling with 16 to 128 channels, in 3D and 2D; a
// residual network where package net knows it; and the first network applied to
// one image.
func References() []Network {
	blocks := func(dims int, size [3]int, norm string) net.Config {
		return net.Config{Name: "cnn4", Dims: dims, Channels: 1, Size: size, Classes: 2, Width: 16, Norm: norm, Momentum: 0.1}
	}
	cube := func(size int) [3]int { return [3]int{size, size, size} }
	var all []Network
	add := func(id, about string, dims int, size [3]int, batch int) {
		all = append(all,
			Network{ID: id, About: about, Config: blocks(dims, size, "batch"), Batch: batch},
			Network{ID: id + "-nobn", About: about + ", no batch norm", Config: blocks(dims, size, "none"), Batch: batch})
	}
	add("R1", "3D 64³, batch 4", 3, cube(64), 4)
	add("R2", "3D 32³, batch 16", 3, cube(32), 16)
	add("R3", "2D 128², batch 32", 2, [3]int{1, 128, 128}, 32)
	if slices.Contains(net.Names(), residual) {
		config := blocks(2, [3]int{1, 64, 64}, "batch")
		config.Name, config.Width = residual, 64
		all = append(all, Network{ID: "R4", About: "ResNet-18, 2D 64², batch 32", Config: config, Batch: 32})
	}
	return append(all, Network{ID: "R5", About: "3D 64³, one image, forward only", Config: blocks(3, cube(64), "batch"), Batch: 1, Inference: true})
}

const residual = "resnet18"

// Select returns the networks with the given identifiers in their own order, and
// the identifiers that are none.
func Select(all []Network, ids []string) (chosen []Network, unknown []string) {
	for _, n := range all {
		if slices.Contains(ids, n.ID) {
			chosen = append(chosen, n)
		}
	}
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(n Network) bool { return n.ID == id }) {
			unknown = append(unknown, id)
		}
	}
	return chosen, unknown
}
