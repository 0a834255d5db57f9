package kernel

import "fmt"

// A MaxPool is the geometry of max pooling with window and stride 2 along H and
// W, and along D unless D = 1. Odd sizes lose their last plane, as in PyTorch.
type MaxPool struct {
	In, Out Shape
	depth   int // of the window: 1 or 2
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
	return &MaxPool{In: in, Out: Blocked(in.N, in.C, in.D/depth, in.H/2, in.W/2, halo), depth: depth}
}

// SetBatch changes the number of samples of both shapes.
func (m *MaxPool) SetBatch(n int) { m.In.N, m.Out.N = n, n }

// ChoiceLen returns the number of elements of choice: those of the output
// without its halo.
func (m *MaxPool) ChoiceLen() int { return m.Out.Rows() * m.Out.W * Lanes }

// Forward: x (N, C, D, H, W) -> y (N, C, D/2, H/2, W/2), choice (same, without
// halo) the chosen element of the window, 4d+2h+w (2h+w where D = 1). Ties go
// to the first; NaN wins.
func (m *MaxPool) Forward(pool *Pool, x, y []float32, choice []byte) {
	m.In.check("pooling input", x)
	m.Out.check("pooling output", y)
	out := m.Out
	pool.Run(out.N*out.Blocks()*out.D, func(task int) {
		plane, d := task/out.D, task%out.D
		for h := range out.H {
			target := y[((plane*out.D+d)*out.H+h)*out.RowLen()+out.Halo*Lanes:][:out.W*Lanes]
			chosen := choice[((plane*out.D+d)*out.H+h)*out.W*Lanes:][:out.W*Lanes]
			for window := range 2 * m.depth {
				row := m.inputRow(plane, d, h, window)
				poolRow(x[row:][:2*out.W*Lanes], target, chosen, byte(2*window))
			}
		}
	})
}

// inputRow returns the offset of row `window` of the windows of an output row.
func (m *MaxPool) inputRow(plane, d, h, window int) int {
	in := m.In
	return ((plane*in.D+m.depth*d+window/2)*in.H+2*h+window%2)*in.RowLen() + in.Halo*Lanes
}

// poolRow takes the elements of an input row into the running maximum. The
// first row of the window starts it.
func poolRow(x, y []float32, choice []byte, first byte) {
	for len(y) >= Lanes && len(x) >= 2*Lanes && len(choice) >= Lanes {
		left, right := (*[Lanes]float32)(x), (*[Lanes]float32)(x[Lanes:])
		best, chosen := (*[Lanes]float32)(y), (*[Lanes]byte)(choice)
		if first == 0 {
			*best = *left
			*chosen = [Lanes]byte{}
		}
		for lane, v := range left {
			if v > best[lane] || v != v {
				best[lane], chosen[lane] = v, first
			}
		}
		for lane, v := range right {
			if v > best[lane] || v != v {
				best[lane], chosen[lane] = v, first+1
			}
		}
		x, y, choice = x[2*Lanes:], y[Lanes:], choice[Lanes:]
	}
}

// Backward: dy (N, C, D/2, H/2, W/2) in the given layout, choice -> dx (N, C,
// D, H, W), layout target: dy at the chosen element, zero elsewhere; the halo
// is not written.
func (m *MaxPool) Backward(pool *Pool, gradient Shape, dy []float32, choice []byte, target Shape, dx []float32) {
	m.BackwardNorm(pool, gradient, dy, choice, nil, nil, target, dx)
}
