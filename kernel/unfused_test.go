package kernel

import "testing"

// The layers of a block one by one, as they are defined. A network runs them in
// one pass (normpool.go), which is held against them below.

// Apply: x (N, C, D, H, W), gamma (C), beta (C) -> y, as Affine says.
func (b *BatchNorm) Apply(pool *Pool, x, gamma, beta, y []float32) {
	b.Shape.check("normalisation output", y)
	affine := b.Affine(gamma, beta)
	forRows(pool, b.Shape, b.Shape, func(row, _ int) {
		block := b.block(row)
		scaleRow(x[row:][:b.Shape.W*Lanes], affine.Scale[block*Lanes:], affine.Shift[block*Lanes:], y[row:])
	})
}

// block returns the channel block of the row at that offset.
func (b *BatchNorm) block(row int) int {
	return row / (b.Shape.D * b.Shape.H * b.Shape.RowLen()) % b.Shape.Blocks()
}

func scaleRow(x, scale, shift, y []float32) {
	a, c := *(*[Lanes]float32)(scale), *(*[Lanes]float32)(shift)
	for len(x) >= Lanes && len(y) >= Lanes {
		from, to := (*[Lanes]float32)(x), (*[Lanes]float32)(y)
		for lane, v := range from {
			to[lane] = float32(v*a[lane]) + c[lane]
		}
		x, y = x[Lanes:], y[Lanes:]
	}
}

// Backward: x as given to Apply, dy (N, C, D, H, W) in layout gradient -> dx in
// place of dy, dgamma and dbeta (C), overwritten; own as in Gradients.
func (b *BatchNorm) Backward(pool *Pool, x, gamma []float32, gradient Shape, dy []float32, own bool, dgamma, dbeta []float32) {
	g := b.Gradients(pool, b.Shape, x, gamma, Activated{}, gradient, dy, own, dgamma, dbeta)
	forRows(pool, b.Shape, gradient, func(row, gradientRow int) {
		lanes := g.lanes(b.block(row))
		for i, v := range x[row:][:b.Shape.W*Lanes] {
			dy[gradientRow+i] = lanes.backward(i%Lanes, v, dy[gradientRow+i])
		}
	})
}

// ReLU: x (N, C, D, H, W) -> max(x, 0), in place; NaN stays NaN.
func ReLU(pool *Pool, s Shape, x []float32) {
	s.check("ReLU input", x)
	plane := s.H * s.RowLen() // a halo of zeros stays zero
	pool.Run(s.N*s.Blocks()*s.D, func(task int) {
		part := x[task*plane:][:plane]
		for i, v := range part {
			if v <= 0 {
				part[i] = 0
			}
		}
	})
}

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
				maximumRow(x[row:][:2*out.W*Lanes], target, chosen, byte(2*window))
			}
		}
	})
}

// maximumRow takes the elements of an input row into the running maximum. The
// first row of the window starts it.
func maximumRow(x, y []float32, choice []byte, first byte) {
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

// Unpack copies the layout s into planar (N, C, D, H, W).
func Unpack(pool *Pool, s Shape, blocked, planar []float32) {
	s.check("packed tensor", blocked)
	pool.Run(s.N*s.C, func(task int) {
		n, c := task/s.C, task%s.C
		target := planar[task*s.Voxels():][:s.Voxels()]
		for d := range s.D {
			for h := range s.H {
				row := blocked[s.Index(n, c, d, h, 0):]
				for w := range target[:s.W] {
					target[w] = row[w*s.Lanes]
				}
				target = target[s.W:]
			}
		}
	})
}

// TestOnePassIsTheLayersOneByOne runs batch normalisation, ReLU and pooling in the
// order in which networks are drawn. The pass over all three pools first, so
// its sums over voxels leave out zeros and have another order: in float64, so
// that they round to the same float32 up to a unit in the last place.
func TestOnePassIsTheLayersOneByOne(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	for _, c := range layerCases {
		if c.op != "norm, pool, relu" || c.groups > 0 || c.activation != Rectifier {
			continue
		}
		l := c.layer()
		got := l.forward(pool, l.inputs)
		want, backward := c.oneByOne(pool, l.inputs)
		if at := differentBits(got, want); at >= 0 {
			t.Errorf("%s: output %d is %g, one by one %g", c, at, got[at], want[at])
		}
		dy := numbers(len(got), 9)
		separate := backward(dy)
		for i, gradient := range l.backward(pool, l.inputs, dy) {
			compareWithWide(t, c.String()+": gradient of "+l.names[i], gradient, widen(separate[i]), 1e-6)
		}
	}
}

// oneByOne returns the planar output of normalisation, ReLU and pooling, and
// what gives the gradients of the inputs.
func (c layerCase) oneByOne(pool *Pool, inputs [][]float32) (y []float32, backward func(dy []float32) [][]float32) {
	m := NewMaxPool(c.shape(0), 0)
	b := NewBatchNorm(m.In)
	x := pack(pool, m.In, inputs[0])
	normed, pooled, choice := make([]float32, m.In.Len()), make([]float32, m.Out.Len()), make([]byte, m.ChoiceLen())
	b.Measure(pool, x)
	b.Apply(pool, x, inputs[1], inputs[2], normed)
	ReLU(pool, m.In, normed)
	m.Forward(pool, normed, pooled, choice)
	return unpack(pool, m.Out, pooled), func(dy []float32) [][]float32 {
		dx, dgamma, dbeta := make([]float32, m.In.Len()), make([]float32, c.c), make([]float32, c.c)
		m.Backward(pool, m.Out, pack(pool, m.Out, dy), choice, m.In, dx)
		ReLUBackward(pool, m.In, normed, m.In, dx)
		b.Backward(pool, x, inputs[1], m.In, dx, true, dgamma, dbeta)
		return [][]float32{unpack(pool, m.In, dx), dgamma, dbeta}
	}
}

// TestFusedWeightGradientIsTheStoredOne compares the gradient of the weights that
// is made without storing the gradient of the output.
func TestFusedWeightGradientIsTheStoredOne(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	for _, c := range layerCases {
		if c.op != "conv" || c.stride != [3]int{1, 1, 1} || c.size[1] < 2 || c.size[2] < 2 {
			continue
		}
		conv := c.conv()
		conv.Direct = true
		x, weight := pack(pool, conv.In, numbers(c.n*c.c*conv.In.Voxels(), 1)), numbers(conv.WeightLen(), 2)
		gamma, bias := numbers(conv.Out.Padded(), 3), numbers(conv.Out.Padded(), 4)
		norm := NewBatchNorm(conv.Out)
		tail := NewPoolTail(conv, norm, 0)
		y, best, choice := make([]float32, conv.Out.Len()), make([]float32, tail.Pool.BestShape().Len()), make([]byte, tail.Pool.ChoiceLen())
		tail.Forward(pool, x, weight, bias, gamma, y, best, choice, true)
		passing := make([]float32, len(best))
		tail.Forward(pool, x, weight, bias, gamma, nil, passing, choice, true)
		if at := differentBits(passing, best); at >= 0 {
			t.Errorf("%s: element %d of the maxima is %g when the output is not stored, else %g", c, at, passing[at], best[at])
		}
		pooled, dgamma := tail.Pool.BestShape(), make([]float32, conv.Out.Padded())
		dy, db := numbers(pooled.Len(), 5), make([]float32, conv.Out.Padded())
		for _, g := range []*NormGradient{nil, norm.Gradients(pool, pooled, best, gamma, Activated{}, pooled, dy, true, dgamma, db)} {
			gradient := make([]float32, conv.Out.Len())
			tail.Pool.BackwardNorm(pool, pooled, dy, choice, y, g, conv.Out, gradient)
			want, got := make([]float32, conv.WeightLen()), make([]float32, conv.WeightLen())
			conv.BackwardWeights(pool, x, gradient, want)
			tail.BackwardWeights(pool, x, weight, bias, pooled, dy, choice, g, got)
			if at := differentBits(got, want); at >= 0 {
				t.Errorf("%s: gradient of weight %d is %g, stored %g", c, at, got[at], want[at])
			}
		}
	}
}

// forRows calls f with the offsets of every row (n, block, d, h) in two tensors
// of the same volume, in parallel over (n, block, d).
func forRows(pool *Pool, a, b Shape, f func(rowA, rowB int)) {
	pool.Run(planes(a, b), func(task int) {
		rowA, rowB := task*a.H*a.RowLen()+a.Halo*a.Lanes, task*b.H*b.RowLen()+b.Halo*b.Lanes
		for range a.H {
			f(rowA, rowB)
			rowA += a.RowLen()
			rowB += b.RowLen()
		}
	})
}

// ReLUBackward: y = ReLU(x) (N, C, D, H, W), dy -> dx, in place of dy: dy where
// not y <= 0, else 0.
func ReLUBackward(pool *Pool, s Shape, y []float32, gradient Shape, dy []float32) {
	s.check("ReLU output", y)
	gradient.check("ReLU gradient", dy)
	p := newPass(func(p *pass, plane int) {
		for h := range p.a.H {
			maskRowFast(p.a.row(p.x, plane, h), p.b.row(p.y, plane, h))
		}
	})
	p.a, p.x, p.b, p.y = s, y, gradient, dy
	p.run(pool, planes(s, gradient))
}

// biasGradient: dy (N, O, D, H, W) -> db (O padded): sums over samples and voxels.
func biasGradient(s Shape, dy, db []float32) {
	for channel := range s.C {
		sum := 0.0
		for n := range s.N {
			for voxel := range s.Voxels() {
				sum += float64(dy[s.Index(n, channel, voxel/(s.H*s.W), voxel/s.W%s.H, voxel%s.W)])
			}
		}
		db[channel] = float32(sum)
	}
}
