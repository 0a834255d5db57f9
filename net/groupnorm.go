package net

import (
	"fmt"

	"ballast/kernel"
)

// A groupNorm is a group-normalisation layer: the statistics are those of each
// sample, in every mode, so there are none to keep.
type groupNorm struct {
	name        string
	kernel      *kernel.GroupNorm
	gamma, beta *Param
}

// newGroupNorm returns the layer for tensors of the given shape. Where the number
// of groups does not divide the channels, their greatest common divisor does.
func newGroupNorm(name string, s kernel.Shape, groups int) *groupNorm {
	l := &groupNorm{
		name: name, kernel: kernel.NewGroupNorm(s, commonDivisor(groups, s.C)),
		gamma: newParam(name+".weight", s.Padded(), false), beta: newParam(name+".bias", s.Padded(), false),
	}
	for c := range s.C {
		l.gamma.Value[c] = 1
	}
	return l
}

// commonDivisor is Euclid's greatest common divisor.
func commonDivisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func (l *groupNorm) setBatch(n int) { l.kernel.SetBatch(n) }

func (l *groupNorm) moments() *kernel.BatchNorm { return l.kernel.Channels() }

func (l *groupNorm) gain() *Param { return l.gamma }

func (l *groupNorm) measures(Mode) bool { return true }

// forward returns the normalisation by the statistics that have been measured.
func (l *groupNorm) forward(Mode) kernel.Affine {
	return l.kernel.Affine(l.gamma.Value, l.beta.Value)
}

// backward: as that of a norm.
func (l *groupNorm) backward(pool *kernel.Pool, s kernel.Shape, x []float32, after kernel.Activated, gradient kernel.Shape, dy []float32, _ Mode) *kernel.NormGradient {
	return l.kernel.Gradients(pool, s, x, l.gamma.Value, after, gradient, dy, l.gamma.Grad, l.beta.Grad)
}

func (l *groupNorm) params() []*Param { return []*Param{l.gamma, l.beta} }

func (l *groupNorm) layer(n *Net) Layer {
	s := l.kernel.Shape
	kind := fmt.Sprintf("group normalisation (%d)", l.kernel.Groups)
	return Layer{l.name, kind, n.shape(s.C, s.D, s.H, s.W), 2 * s.C, 0}
}

func (l *groupNorm) entries(int) []*entry {
	channels := l.kernel.Shape.C
	return []*entry{vectorEntry(l.gamma.Name, channels, l.gamma.Value), vectorEntry(l.beta.Name, channels, l.beta.Value)}
}
