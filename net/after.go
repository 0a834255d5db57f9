package net

import (
	"ballast/kernel"
	"ballast/stat"
)

// What may stand between two blocks: normalisation after the pooling, and
// dropout. They work on the pooled tensor, and keep its shape.

// A between holds the tensors of a stage that keeps the shape of its input.
type between struct {
	name      string
	shape     kernel.Shape // of input and output
	out, dout []float32
}

func (b *between) output() kernel.Shape { return b.shape }

// bare returns the layout without halo.
func (b *between) bare() kernel.Shape {
	s := b.shape
	s.Halo = 0
	return s
}

func (b *between) gradient() (kernel.Shape, []float32) { return b.bare(), b.dout }

func (b *between) setBatch(n int) { b.shape.N = n }

func (b *between) reserve(n int) { b.out = kernel.Floats(b.shape.Batch(n).Len()) }

func (b *between) reserveGradients(n int) { b.dout = enough(b.dout, b.bare().Batch(n).Len()) }

func (b *between) size(n int) (elements, bytes int) {
	return b.shape.Batch(n).Len() + b.bare().Batch(n).Len(), 0
}

// A normStage normalises: x, y (N, C, D, H, W).
type normStage struct {
	between
	norm *norm
}

func newNormStage(name string, s kernel.Shape, momentum float64) *normStage {
	return &normStage{between: between{name: name, shape: s}, norm: newNorm(name, s, momentum)}
}

func (l *normStage) members() []member { return []member{l.norm} }

func (l *normStage) layers(n *Net) []Layer { return []Layer{l.norm.layer(n)} }

func (l *normStage) setBatch(n int) {
	l.between.setBatch(n)
	l.norm.kernel.SetBatch(n)
}

// forward: in (N, C, D, H, W) -> out (same).
func (l *normStage) forward(s *step, in []float32) []float32 {
	if l.norm.measures(s.mode) {
		l.norm.kernel.Measure(s.pool, in)
	}
	kernel.Norm(s.pool, l.shape, in, l.norm.forward(s.mode), kernel.Identity, l.shape, l.out)
	return l.out
}

// backward: dout, in -> din.
func (l *normStage) backward(s *step, in []float32, layout kernel.Shape, din []float32) {
	g := l.norm.backward(s.pool, l.shape, in, kernel.Activated{}, l.bare(), l.dout, s.mode)
	if din != nil {
		kernel.NormBackward(s.pool, g, l.shape, in, l.bare(), l.dout, layout, din)
	}
}

// A dropoutStage sets elements to zero, each with the same probability, and
// divides the others by the probability to be kept, while training. Element
// (n, c, d, h, w) is dropped by a word of the stream (seed, "dropout/NAME") that
// depends on nothing else: word 16 ((n*blocks + block)*D*H*W + voxel) + lane.
type dropoutStage struct {
	between
	probability float64
	keep        []float32 // 0 or 1/(1-probability), without halo
	dropping    bool
	task        func(plane int)
	stream      stat.Stream
	purpose     string // of the stream
}

func newDropoutStage(name string, s kernel.Shape, probability float64) *dropoutStage {
	l := &dropoutStage{between: between{name: name, shape: s}, probability: probability, purpose: "dropout/" + name}
	l.task = l.draw
	return l
}

func (l *dropoutStage) members() []member { return nil }

func (l *dropoutStage) layers(n *Net) []Layer {
	s := l.shape
	return []Layer{{l.name, "dropout", n.shape(s.C, s.D, s.H, s.W), 0, 0}}
}

func (l *dropoutStage) size(n int) (elements, bytes int) {
	elements, bytes = l.between.size(n)
	return elements + l.bare().Batch(n).Len(), bytes
}

func (l *dropoutStage) reserve(n int) {
	l.between.reserve(n)
	l.keep = kernel.Floats(l.bare().Batch(n).Len())
}

// forward: in (N, C, D, H, W) -> out (same).
func (l *dropoutStage) forward(s *step, in []float32) []float32 {
	l.dropping = s.mode == Training || s.mode == Sampling
	if !l.dropping {
		return in
	}
	l.stream = *stat.NewStream(s.seed, l.purpose)
	planes := l.shape.N * l.shape.Blocks() * l.shape.D
	s.pool.Run(planes, l.task)
	kernel.Multiply(s.pool, l.shape, in, l.bare(), l.keep, l.shape, l.out)
	return l.out
}

// draw decides which elements of a plane to keep.
func (l *dropoutStage) draw(plane int) {
	scale, threshold := float32(1/(1-l.probability)), uint32(l.probability*(1<<32))
	elements := l.shape.H * l.shape.W * kernel.Lanes
	keep := l.keep[plane*elements:][:elements]
	for first := 0; first < elements; first += 4 {
		for i, word := range l.stream.BlockAt(uint64(plane*elements+first) / 4) {
			keep[first+i] = 0
			if word >= threshold {
				keep[first+i] = scale
			}
		}
	}
}

// backward: dout -> din.
func (l *dropoutStage) backward(s *step, _ []float32, layout kernel.Shape, din []float32) {
	if din == nil {
		return
	}
	if l.dropping {
		kernel.Multiply(s.pool, l.bare(), l.dout, l.bare(), l.keep, layout, din)
	} else {
		clear(din[:layout.Len()])
		kernel.Add(s.pool, l.bare(), l.dout, layout, din)
	}
}
