package kernel

import "fmt"

// A MaxPool is the geometry of max pooling with window and stride 2 along H and
// W, and along D unless D = 1. Odd sizes lose their last plane, as in PyTorch.
type MaxPool struct {
	In, Out Shape
	depth   int // of the window: 1 or 2

	unpool     unpooling // while BackwardNorm runs
	target     Shape
	x, dx      []float32
	unpoolTask func(plane int)
}

// NewMaxPool returns the pooling of in, with a halo on the output.
func NewMaxPool(in Shape, halo int) *MaxPool {
	depth := 2
	if in.D == 1 {
		depth = 1
	}
	if in.Lanes != Lanes || in.D/depth < 1 || in.H < 2 || in.W < 2 {
		panic(fmt.Sprintf("kernel: max pooling of %+v", in))
	}
	m := &MaxPool{In: in, Out: Blocked(in.N, in.C, in.D/depth, in.H/2, in.W/2, halo), depth: depth}
	m.unpoolTask = m.unpoolPlane
	return m
}

// SetBatch changes the number of samples of both shapes.
func (m *MaxPool) SetBatch(n int) { m.In.N, m.Out.N = n, n }

// ChoiceLen returns the number of elements of choice: those of the output
// without its halo.
func (m *MaxPool) ChoiceLen() int { return m.Out.Rows() * m.Out.W * Lanes }

// inputRow returns the offset of row `window` of the windows of an output row.
func (m *MaxPool) inputRow(plane, d, h, window int) int {
	in := m.In
	return ((plane*in.D+m.depth*d+window/2)*in.H+2*h+window%2)*in.RowLen() + in.Halo*Lanes
}
