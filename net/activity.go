package net

import (
	"math"
	"slices"

	"ballast/kernel"
)

// A WeightLayer is a layer with weights: a convolution, a layer of the attention, or
// the last one.
type WeightLayer struct {
	Weight   *Param
	Elements int  // of the weights, without the padding
	Trained  bool // not frozen, see Freeze
}

// WeightLayers lists the layers with weights, from input to output.
func (n *Net) WeightLayers() []WeightLayer {
	elements := map[string]int{}
	for _, e := range n.entries() {
		elements[e.name] = volume(e.shape)
	}
	var layers []WeightLayer
	for _, p := range n.params {
		if p.Decay {
			layers = append(layers, WeightLayer{p, elements[p.Name], slices.Contains(n.trained, p)})
		}
	}
	return layers
}

// An Activity is what a layer passes on to the next behind its activation function
// (and its pooling) for a batch; all NaN where that holds a NaN.
type Activity struct {
	Dead   float64 // share of channels that are 0 everywhere, for every image
	Active float64 // share of elements above 0
	Output float64 // root mean square
}

// Activities returns what each convolution with an activation function of its own
// passed on in the last Forward or Features, by the name of its weights. That of the
// second convolution of a residual block is the sum with the shortcut. The numbers
// do not depend on the number of threads.
func (n *Net) Activities() map[string]Activity {
	all := map[string]Activity{}
	for _, s := range n.stages {
		if s, ok := s.(activating); ok {
			for _, a := range s.activated() {
				all[a.weight.Name] = a.measure(n.pool)
			}
		}
	}
	return all
}

// An activating stage has activation functions.
type activating interface{ activated() []activated }

// activated is what comes out of the activation function behind a convolution.
type activated struct {
	weight *Param
	shape  kernel.Shape
	data   []float32
}

func (b *block) activated() []activated {
	return []activated{{b.conv.weight, b.output(), b.out}}
}

func (u *unpooled) activated() []activated {
	return []activated{{u.part.conv.weight, u.output(), u.out}}
}

func (r *residual) activated() []activated {
	return []activated{{r.first.conv.weight, r.first.conv.kernel.Out, r.middle}, {r.second.conv.weight, r.result, r.out}}
}

// A blockActivity is what one block of channels of one image adds.
type blockActivity struct {
	squares float64
	active  int
	used    [kernel.Lanes]bool // whether a channel is anywhere not 0
}

// measure looks at each block of channels of each image, in parallel, and adds up in
// order.
func (a *activated) measure(pool *kernel.Pool) Activity {
	blocks, elements := a.shape.Blocks(), float64(a.shape.N*a.shape.C*a.shape.Voxels())
	found := make([]blockActivity, a.shape.N*blocks)
	pool.Run(len(found), func(task int) { found[task] = a.block(task/blocks, task%blocks) })
	var squares, active float64
	used := make([]bool, a.shape.Padded())
	for task := range found {
		squares += found[task].squares
		active += float64(found[task].active)
		for lane := range a.shape.Lanes {
			if found[task].used[lane] {
				used[task%blocks*a.shape.Lanes+lane] = true
			}
		}
	}
	if math.IsNaN(squares) { // neither active nor dead
		return Activity{Dead: squares, Active: squares, Output: squares}
	}
	dead := 0
	for _, in := range used[:a.shape.C] {
		if !in {
			dead++
		}
	}
	return Activity{Dead: float64(dead) / float64(a.shape.C), Active: active / elements, Output: math.Sqrt(squares / elements)}
}

// block measures the channels of a block of an image, without padding and halo. Its
// inner loop has no branches, since what an activation passes on cannot be foreseen.
func (a *activated) block(image, block int) (found blockActivity) {
	s := a.shape
	channels := min(s.Lanes, s.C-block*s.Lanes)
	var squares [kernel.Lanes]float64
	var bits [kernel.Lanes]uint32 // of all values of a channel, without their signs
	active := 0
	for d := range s.D {
		for h := range s.H {
			from := s.Row(image, block, d, h)
			for voxel := from; voxel < from+s.W*s.Lanes; voxel += s.Lanes {
				for lane, x := range a.data[voxel : voxel+channels] {
					lane &= kernel.Lanes - 1
					if x > 0 {
						active++
					}
					bits[lane] |= math.Float32bits(x) << 1
					squares[lane] += float64(float64(x) * float64(x))
				}
			}
		}
	}
	found.active = active
	for lane := range channels {
		found.squares += squares[lane]
		found.used[lane] = bits[lane] != 0
	}
	return found
}
