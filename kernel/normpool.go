package kernel

// The tail of a block in one pass: normalisation, max pooling and ReLU. ReLU
// commutes with the maximum, so it runs on the few pooled voxels. What the pass
// back needs of the large input is its element under each maximum.

// ForwardNorm: x (N, C, D, H, W), scale (C), shift (C) -> y (N, C, D/2, H/2, W/2)
// = ReLU(max of x*scale + shift over the window); best and choice (same, without
// halo) are the element of x that gave the maximum and its index in the window,
// 4d+2h+w (2h+w where D = 1). Ties go to the first; NaN wins.
func (m *MaxPool) ForwardNorm(pool *Pool, x, scale, shift, y, best []float32, choice []byte) {
	m.In.check("pooling input", x)
	m.Out.check("pooling output", y)
	out := m.Out
	pool.Run(out.N*out.Blocks()*out.D, func(task int) {
		plane, d := task/out.D, task%out.D
		block := plane % out.Blocks() * Lanes
		for h := range out.H {
			var rows [4]int
			first := m.inputRow(plane, d, h, 0)
			for window := range 2 * m.depth {
				rows[window] = m.inputRow(plane, d, h, window) - first
			}
			index := task*out.H + h
			normPoolRow(x[first:], rows[:2*m.depth], scale[block:][:Lanes], shift[block:][:Lanes],
				y[index*out.RowLen()+out.Halo*Lanes:][:out.W*Lanes], best[index*out.W*Lanes:], choice[index*out.W*Lanes:])
		}
	})
}

// BestShape returns the shape of best.
func (m *MaxPool) BestShape() Shape {
	s := m.Out
	s.Halo = 0
	return s
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
	pool.Run(target.N*target.Blocks()*target.D, func(task int) {
		var lanes normLanes
		if g != nil {
			lanes = g.lanes(task / target.D % target.Blocks())
		}
		for h := range target.H {
			row := dx[(task*target.H+h)*target.RowLen()+target.Halo*Lanes:][:target.W*Lanes]
			var source []float32
			if g != nil {
				source = x[(task*m.In.H+h)*m.In.RowLen()+m.In.Halo*Lanes:][:target.W*Lanes]
			}
			covered := 0 // elements of the row that windows cover
			if index, first, ok := m.outputRow(task, h); ok {
				covered = 2 * m.Out.W * Lanes
				from := dy[index*gradient.RowLen()+gradient.Halo*Lanes:][:m.Out.W*Lanes]
				normUnpoolRow(from, choice[index*m.Out.W*Lanes:][:len(from)], first, source, g, &lanes, row)
			}
			clear(row[covered:])
			if g != nil {
				normBackwardRow(source[covered:], &lanes, row[covered:])
			}
		}
	})
}

// outputRow returns which row (n, block, d, h) of the output the windows over an
// input row give, and the index in the window of the row's first element; ok is
// false for a row that an odd size leaves over.
func (m *MaxPool) outputRow(inputPlane, inputH int) (row, first int, ok bool) {
	plane, inputD := inputPlane/m.In.D, inputPlane%m.In.D
	d, h := inputD/m.depth, inputH/2
	row = (plane*m.Out.D+d)*m.Out.H + h
	return row, 4*(inputD%m.depth) + 2*(inputH%2), d < m.Out.D && h < m.Out.H
}

// normPoolRow does a row of y; rows are the offsets of the window's rows in x.
func normPoolRow(x []float32, rows []int, scale, shift, y, best []float32, choice []byte) {
	last := rows[len(rows)-1]
	_, _, _ = x[last+2*len(y)-1], best[len(y)-1], choice[len(y)-1]
	normPoolRowFast(x, rows, scale, shift, y, best, choice)
}

func normPoolRowGo(x []float32, rows []int, scale, shift, y, best []float32, choice []byte) {
	a, c := (*[Lanes]float32)(scale), (*[Lanes]float32)(shift)
	for at := 0; at < len(y); at += Lanes {
		most, element := (*[Lanes]float32)(y[at:]), (*[Lanes]float32)(best[at:])
		index := (*[Lanes]byte)(choice[at:])
		for k := range 2 * len(rows) {
			for lane, v := range (*[Lanes]float32)(x[rows[k/2]+2*at+k%2*Lanes:]) {
				normed := float32(v*a[lane]) + c[lane]
				if k == 0 || normed > most[lane] || normed != normed {
					most[lane], element[lane], index[lane] = normed, v, byte(k)
				}
			}
		}
		for lane, v := range most {
			if v <= 0 {
				most[lane] = 0
			}
		}
	}
}

// normUnpoolRow does a row of dx whose windows' elements have the indices first
// and first+1. x is the row of the normalisation's input.
func normUnpoolRow(dy []float32, choice []byte, first int, x []float32, g *NormGradient, lanes *normLanes, dx []float32) {
	_, _ = dx[2*len(dy)-1], choice[len(dy)-1]
	if g == nil {
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

func normUnpoolRowGo(dy []float32, choice []byte, first int, x []float32, lanes *normLanes, dx []float32) {
	unpoolRowGo(dy, choice, first, dx)
	normBackwardRow(x, lanes, dx[:2*len(dy)])
}
