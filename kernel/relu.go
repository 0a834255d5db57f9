package kernel

// ReLUBackward: y = ReLU(x) (N, C, D, H, W), dy -> dx, in place of dy: dy where
// not y <= 0, else 0.
func ReLUBackward(pool *Pool, s Shape, y []float32, gradient Shape, dy []float32) {
	s.check("ReLU output", y)
	gradient.check("ReLU gradient", dy)
	forRows(pool, s, gradient, func(row, gradientRow int) {
		maskRowFast(y[row:][:s.W*s.Lanes], dy[gradientRow:][:s.W*s.Lanes])
	})
}

// ScaleChannels: x (N, C, D, H, W), factor (C padded) -> x*factor, in place.
func ScaleChannels(pool *Pool, s Shape, factor, x []float32) {
	s.check("scaled tensor", x)
	forRows(pool, s, s, func(row, _ int) {
		block := row / (s.D * s.H * s.RowLen()) % s.Blocks() * Lanes
		for i := range x[row:][:s.W*Lanes] {
			x[row+i] *= factor[block+i%Lanes]
		}
	})
}

// maskRowGo sets dy to zero where y <= 0.
func maskRowGo(y, dy []float32) {
	dy = dy[:len(y)]
	for i, v := range y {
		if v <= 0 {
			dy[i] = 0
		}
	}
}

// forRows calls f with the offsets of every row (n, block, d, h) in two tensors
// of the same volume, in parallel over (n, block, d).
func forRows(pool *Pool, a, b Shape, f func(rowA, rowB int)) {
	if !sameVolume(a, b) || a.Lanes != Lanes || b.Lanes != Lanes {
		panic("kernel: tensors of different volume, or not in blocks of 16")
	}
	pool.Run(a.N*a.Blocks()*a.D, func(task int) {
		rowA, rowB := task*a.H*a.RowLen()+a.Halo*a.Lanes, task*b.H*b.RowLen()+b.Halo*b.Lanes
		for range a.H {
			f(rowA, rowB)
			rowA += a.RowLen()
			rowB += b.RowLen()
		}
	})
}
