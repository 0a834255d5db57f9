package kernel

// The tail of a block: normalisation, activation and max pooling. Pooling comes
// first, while the output of the convolution is in the cache: normalisation is
// monotone and the activation commutes with the maximum, so both run on the few
// pooled voxels. What the pass back needs of the large output is its element under
// each maximum.

// A PoolTail is the tail of a block, run with the convolution that it follows.
type PoolTail struct {
	Conv *Conv
	Pool *MaxPool
	Norm *BatchNorm // nil without normalisation; a GroupNorm's Channels

	Activation Activation

	best    []float32
	choice  []byte
	measure bool
	signs   []float32 // of gamma (O padded)

	scale, shift, out []float32
	normTask          func(task int)
	unpool            unpooling
	bias              *BiasGradient
}

// NewPoolTail returns the tail of a convolution, with a halo on its output.
func NewPoolTail(c *Conv, norm *BatchNorm, halo int) *PoolTail {
	t := &PoolTail{Conv: c, Pool: NewMaxPool(c.Out, halo), Norm: norm, signs: make([]float32, c.Out.Padded()), bias: NewBiasGradient()}
	t.normTask = t.normRows
	return t
}

// Forward: x (N, C, D, H, W), weight, bias as in Conv.Forward -> y (N, O, D, H, W)
// and, of every window, best (N, O, D/2, H/2, W/2), the element of y that will
// be the largest when it is normalised with gamma (O), and choice (same), its
// index in the window, 4d+2h+w (2h+w where D = 1). That is the largest element
// where gamma is positive, the least where it is negative and the first where it
// is zero; the first of several; NaN wins. Nil gamma means all positive. With
// measure, the mean and the variance of y are measured for Norm.
func (t *PoolTail) Forward(pool *Pool, x, weight, bias, gamma, y, best []float32, choice []byte, measure bool) {
	for i := range t.signs {
		t.signs[i] = 1
		if gamma != nil {
			t.signs[i] = sign(gamma[i])
		}
	}
	t.best, t.measure = best[:t.Pool.BestShape().Len()], measure
	if measure {
		t.Norm.begin(divide(t.Conv.Out, t.Pool.depth, 1))
	}
	t.run(pool, x, weight, bias, y, choice)
	if measure {
		t.Norm.end()
	}
	t.best, t.measure = nil, false
}

// ForwardActivated: x (N, C, D, H, W), weight, bias as in Conv.Forward -> out (N, O,
// D/2, H/2, W/2, with the halo of Pool.Out), the activation of the largest element of
// every window, and choice, its index: a block without normalisation in one pass.
func (t *PoolTail) ForwardActivated(pool *Pool, x, weight, bias, out []float32, choice []byte) {
	t.Pool.Out.check("pooling output", out)
	for i := range t.signs {
		t.signs[i] = 1
	}
	t.out = out
	t.run(pool, x, weight, bias, nil, choice)
	t.out = nil
}

func (t *PoolTail) run(pool *Pool, x, weight, bias, y []float32, choice []byte) {
	t.choice = choice[:t.Pool.ChoiceLen()]
	t.Conv.run(pool, x, weight, bias, y, t.Pool.depth, t)
	t.choice = nil
}

func sign(x float32) float32 {
	switch {
	case x < 0:
		return -1
	case x > 0:
		return 1
	}
	return 0
}

// finish measures and pools a sample of a chunk of y.
func (t *PoolTail) finish(c *chunks, part chunk, n int, rows chunkRows) {
	out, depth := &t.Pool.Out, t.Pool.depth
	for k := range part.blocks {
		block := part.block + k
		plane := n*out.Blocks() + block
		if t.measure {
			t.Norm.measure(rows, part, k, plane, c.ordinal(part))
		}
		for d := part.d / depth; d < min(out.D, part.dEnd/depth); d++ {
			for h := part.h / 2; h < min(out.H, part.hEnd/2); h++ {
				x := rows.data[k*rows.block+(d*depth-part.d)*rows.plane+(2*h-part.h)*rows.row:]
				at := ((plane*out.D+d)*out.H + h) * out.W * Lanes
				best := t.bestRow(plane*out.D+d, h, at)
				poolRow(x, [2]int{rows.row, rows.plane}, depth, t.signs[block*Lanes:], best, t.choice[at:])
				if t.out != nil {
					t.Activation.row(best)
				}
			}
		}
	}
}

// bestRow returns where the chosen elements of row h of plane (n, block, d) go:
// into the output itself where nothing is done to them but the activation.
func (t *PoolTail) bestRow(plane, h, at int) []float32 {
	if t.out != nil {
		return t.Pool.Out.row(t.out, plane, h)
	}
	return t.best[at:][:t.Pool.Out.W*Lanes]
}

// Normalise: best (N, O, D/2, H/2, W/2) -> out (same, with the halo of Pool.Out),
// the activation of best*scale + shift; NaN stays NaN.
func (t *PoolTail) Normalise(pool *Pool, best []float32, affine Affine, out []float32) {
	t.Pool.Out.check("pooling output", out)
	t.best, t.scale, t.shift, t.out = best, affine.Scale, affine.Shift, out
	pool.Run(t.Pool.Out.N*t.Pool.Out.Blocks()*t.Pool.Out.D, t.normTask)
	t.best, t.scale, t.shift, t.out = nil, nil, nil, nil
}

func (t *PoolTail) normRows(task int) {
	out := &t.Pool.Out
	block := task / out.D * Lanes
	if !t.Norm.perSample {
		block %= out.Padded()
	}
	for row := task * out.H; row < (task+1)*out.H; row++ {
		t.Activation.normRow(t.best[row*out.W*Lanes:][:out.W*Lanes], t.scale[block:], t.shift[block:], t.out[row*out.RowLen()+out.Halo*Lanes:])
	}
}

// normReLURow does a row of out.
func normReLURow(x, scale, shift, y []float32) {
	_, _, _ = scale[Lanes-1], shift[Lanes-1], y[len(x)-1]
	normReLURowFast(x, scale, shift, y)
}

func normReLURowGo(x, scale, shift, y []float32) {
	a, c := (*[Lanes]float32)(scale), (*[Lanes]float32)(shift)
	for at := 0; at < len(x); at += Lanes {
		from, to := (*[Lanes]float32)(x[at:]), (*[Lanes]float32)(y[at:])
		for lane, v := range from {
			v = float32(v*a[lane]) + c[lane]
			if v <= 0 {
				v = 0
			}
			to[lane] = v
		}
	}
}

// BiasGradient: out as ForwardActivated gives it, dy (N, O, D/2, H/2, W/2) in the
// given layout, its gradient -> dy before the activation, in place, and db (O
// padded), overwritten: its sums; see BiasGradient.Backward.
func (t *PoolTail) BiasGradient(pool *Pool, out []float32, gradient Shape, dy, db []float32) {
	t.bias.Backward(pool, Activated{t.Activation, t.Pool.Out, out}, gradient, dy, gradient, dy, db)
}

// BestShape returns the shape of best.
func (m *MaxPool) BestShape() Shape {
	s := m.Out
	s.Halo = 0
	return s
}

// An unpooling is the pass back through pooling and normalisation.
type unpooling struct {
	pool     *MaxPool
	gradient Shape // of dy
	dy       []float32
	choice   []byte
	norm     *NormGradient // nil without normalisation
}

// row writes the gradient of row h of a plane (n, block, d) of the pooling's
// input: through the normalisation, if there is one, of that row of the input.
func (u *unpooling) row(plane, h int, input, dx []float32) {
	m, covered := u.pool, 0 // covered: elements of the row that windows cover
	var lanes *normLanes
	if u.norm != nil {
		lanes = u.norm.block(&m.In, plane)
	}
	if index, first, ok := m.outputRow(plane, h); ok {
		covered = 2 * m.Out.W * Lanes
		from := u.dy[index*u.gradient.RowLen()+u.gradient.Halo*Lanes:][:m.Out.W*Lanes]
		normUnpoolRow(from, u.choice[index*m.Out.W*Lanes:][:len(from)], first, input, lanes, dx)
	}
	if u.norm != nil {
		normZeroRow(input[covered:], lanes, dx[covered:])
	} else {
		clear(dx[covered:])
	}
}

// BackwardNorm: dy (N, C, D/2, H/2, W/2) in the given layout, the gradient of
// the maxima, choice, x -> dx (N, C, D, H, W), layout target, through the
// normalisation whose gradient is g; with nil g there is none and x is not read.
func (m *MaxPool) BackwardNorm(pool *Pool, gradient Shape, dy []float32, choice []byte, x []float32, g *NormGradient, target Shape, dx []float32) {
	gradient.check("pooling output gradient", dy)
	target.check("pooling input gradient", dx)
	if !sameVolume(gradient, m.Out) || !sameVolume(target, m.In) {
		panic("kernel: max pooling of gradients of another volume")
	}
	m.unpool, m.x, m.target, m.dx = unpooling{m, gradient, dy, choice, g}, x, target, dx
	pool.Run(planes(target), m.unpoolTask)
	m.unpool, m.x, m.dx = unpooling{}, nil, nil
}

// unpoolPlane does a plane of BackwardNorm.
func (m *MaxPool) unpoolPlane(plane int) {
	for h := range m.target.H {
		var input []float32
		if m.unpool.norm != nil {
			input = m.In.row(m.x, plane, h)
		}
		m.unpool.row(plane, h, input, m.target.row(m.dx, plane, h))
	}
}

// BackwardWeights: x (N, C, D, H, W), weight, bias as in Forward, dy (N, O, D/2,
// H/2, W/2) in the given layout, choice -> dw (O, C, kD, kH, kW), overwritten,
// as Conv.BackwardWeights gives it for the gradient that MaxPool.BackwardNorm
// gives. The output of the convolution is computed once more where the
// normalisation needs it, so that neither it nor its gradient is stored.
func (t *PoolTail) BackwardWeights(pool *Pool, x, weight, bias []float32, gradient Shape, dy []float32, choice []byte, g *NormGradient, dw []float32) {
	gradient.check("pooling output gradient", dy)
	t.unpool = unpooling{t.Pool, gradient, dy, choice, g}
	t.Conv.backwardWeightsThrough(pool, x, weight, bias, t, dw)
	t.unpool = unpooling{}
}

// through replaces a row of the convolution's output by its gradient.
func (t *PoolTail) through(n, block, d, h int, row []float32) {
	t.unpool.row((n*t.Pool.In.Blocks()+block)*t.Pool.In.D+d, h, row, row)
}

// needsOutput says whether the gradient of a row depends on the row.
func (t *PoolTail) needsOutput() bool { return t.unpool.norm != nil }

// outputRow returns which row (n, block, d, h) of the output the windows over an
// input row give, and the index in the window of the row's first element; ok is
// false for a row that an odd size leaves over.
func (m *MaxPool) outputRow(inputPlane, inputH int) (row, first int, ok bool) {
	plane, inputD := inputPlane/m.In.D, inputPlane%m.In.D
	d, h := inputD/m.depth, inputH/2
	row = (plane*m.Out.D+d)*m.Out.H + h
	return row, 4*(inputD%m.depth) + 2*(inputH%2), d < m.Out.D && h < m.Out.H
}

// poolRow does a row of best and choice. The window's rows lie strides[0]
// apart, its planes, of which there are depth, strides[1].
func poolRow(x []float32, strides [2]int, depth int, signs, best []float32, choice []byte) {
	_, _, _ = x[(depth-1)*strides[1]+strides[0]+2*len(best)-1], signs[Lanes-1], choice[len(best)-1]
	poolRowFast(x, strides, depth, signs, best, choice)
}

func poolRowGo(x []float32, strides [2]int, depth int, signs, best []float32, choice []byte) {
	for at := 0; at < len(best); at += Lanes {
		element, index := (*[Lanes]float32)(best[at:]), (*[Lanes]byte)(choice[at:])
		var most [Lanes]float32
		for k := range 4 * depth {
			for lane, v := range (*[Lanes]float32)(x[k/4*strides[1]+k/2%2*strides[0]+2*at+k%2*Lanes:]) {
				signed := v
				switch sign := signs[lane]; {
				case sign < 0:
					signed = -v
				case sign == 0:
					signed = 0
				}
				if k == 0 || signed > most[lane] || v != v {
					most[lane], element[lane], index[lane] = signed, v, byte(k)
				}
			}
		}
	}
}

// normUnpoolRow does a row of dx whose windows' elements have the indices first
// and first+1. x is the row of the normalisation's input.
func normUnpoolRow(dy []float32, choice []byte, first int, x []float32, lanes *normLanes, dx []float32) {
	_, _ = dx[2*len(dy)-1], choice[len(dy)-1]
	if lanes == nil {
		unpoolRowFast(dy, choice, first, dx)
		return
	}
	_ = x[2*len(dy)-1]
	normUnpoolRowFast(dy, choice, first, x, lanes, dx)
}

func unpoolRowGo(dy []float32, choice []byte, first int, dx []float32) {
	for len(dy) >= Lanes && len(dx) >= 2*Lanes && len(choice) >= Lanes {
		gradient, chosen := (*[Lanes]float32)(dy), (*[Lanes]byte)(choice)
		left, right := (*[Lanes]float32)(dx), (*[Lanes]float32)(dx[Lanes:])
		for lane, v := range gradient {
			left[lane], right[lane] = 0, 0
			switch int(chosen[lane]) {
			case first:
				left[lane] = v
			case first + 1:
				right[lane] = v
			}
		}
		dx, dy, choice = dx[2*Lanes:], dy[Lanes:], choice[Lanes:]
	}
}

// normUnpoolRowGo is unpoolRowGo through the normalisation; dx may be x.
func normUnpoolRowGo(dy []float32, choice []byte, first int, x []float32, g *normLanes, dx []float32) {
	for len(dy) >= Lanes && len(x) >= 2*Lanes && len(dx) >= 2*Lanes && len(choice) >= Lanes {
		for side := range 2 {
			from, to := (*[Lanes]float32)(x[side*Lanes:]), (*[Lanes]float32)(dx[side*Lanes:])
			for lane, v := range from {
				gradient := float32(0)
				if int(choice[lane]) == first+side {
					gradient = dy[lane]
				}
				to[lane] = g.backward(lane, v, gradient)
			}
		}
		x, dx, dy, choice = x[2*Lanes:], dx[2*Lanes:], dy[Lanes:], choice[Lanes:]
	}
}

// normZeroRow is the pass back through the normalisation where dy is zero.
func normZeroRow(x []float32, g *normLanes, dx []float32) {
	for len(x) >= Lanes && len(dx) >= Lanes {
		from, to := (*[Lanes]float32)(x), (*[Lanes]float32)(dx)
		for lane, v := range from {
			to[lane] = g.backward(lane, v, 0)
		}
		x, dx = x[Lanes:], dx[Lanes:]
	}
}
