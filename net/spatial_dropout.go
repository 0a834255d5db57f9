package net

import (
	"ballast/kernel"
	"ballast/stat"
)

// A spatialDropoutStage sets whole channels of a sample to zero, each with the
// same probability, and divides the others by the probability to be kept, while
// training (Tompson et al. 2015, Efficient object localization using
// convolutional networks; PyTorch's Dropout2d and Dropout3d). Neighbouring voxels
// of a channel say much the same, so dropping single ones leaves it standing.
// Channel c of sample n is kept where word n*C + c of the stream (seed,
// "dropout/NAME") is at least probability * 2^32.
type spatialDropoutStage struct {
	between
	probability float64
	keep        []float32 // 0 or 1/(1-probability) of each channel of each sample (N, C padded)
	dropping    bool
	purpose     string // of the stream
}

func newSpatialDropoutStage(name string, s kernel.Shape, probability float64) *spatialDropoutStage {
	return &spatialDropoutStage{between: between{name: name, shape: s}, probability: probability, purpose: "dropout/" + name}
}

func (l *spatialDropoutStage) members() []member { return nil }

func (l *spatialDropoutStage) layers(n *Net) []Layer {
	s := l.shape
	return []Layer{{l.name, "spatial dropout", n.shape(s.C, s.D, s.H, s.W), 0, 0}}
}

func (l *spatialDropoutStage) reserve(n int) {
	l.between.reserve(n)
	l.keep = make([]float32, n*l.shape.Padded())
}

// forward: in (N, C, D, H, W) -> out (same).
func (l *spatialDropoutStage) forward(s *step, in []float32) []float32 {
	l.dropping = s.mode == Training || s.mode == Sampling
	if !l.dropping {
		return in
	}
	stream := stat.NewStream(s.seed, l.purpose)
	scale, threshold := float32(1/(1-l.probability)), uint32(l.probability*(1<<32))
	for n := range l.shape.N {
		keep := l.keep[n*l.shape.Padded():]
		for c := range l.shape.C {
			keep[c] = 0
			if stream.Uint32At(uint64(n*l.shape.C+c)) >= threshold {
				keep[c] = scale
			}
		}
	}
	kernel.ScaleEach(s.pool, l.keep, l.shape, in, l.shape, l.out)
	return l.out
}

// backward: dout -> din.
func (l *spatialDropoutStage) backward(s *step, _ []float32, layout kernel.Shape, din []float32) {
	switch {
	case din == nil:
	case l.dropping:
		kernel.ScaleEach(s.pool, l.keep, l.bare(), l.dout, layout, din)
	default:
		clear(din[:layout.Len()])
		kernel.Add(s.pool, l.bare(), l.dout, layout, din)
	}
}
