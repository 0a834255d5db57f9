package kernel

// GlobalAverage: x (N, C, D, H, W) -> y (N, C padded), each the float64 sum
// over d, h, w in order, divided by D*H*W.
func GlobalAverage(pool *Pool, s Shape, x, y []float32) {
	s.check("average input", x)
	pool.Run(s.N*s.Blocks(), func(task int) {
		var sum [Lanes]float64
		for row := range s.D * s.H {
			addRow(&sum, x[(task*s.D*s.H+row)*s.RowLen()+s.Halo*Lanes:][:s.W*Lanes])
		}
		for lane, v := range sum {
			y[task*Lanes+lane] = float32(v / float64(s.Voxels()))
		}
	})
}

// GlobalAverageBackward: dy (N, C padded) -> dx (N, C, D, H, W), each dy/(D*H*W).
func GlobalAverageBackward(pool *Pool, dy []float32, s Shape, dx []float32) {
	s.check("average gradient", dx)
	pool.Run(s.N*s.Blocks(), func(task int) {
		var each [Lanes]float32
		for lane, v := range dy[task*Lanes:][:Lanes] {
			each[lane] = v / float32(s.Voxels())
		}
		for row := range s.D * s.H {
			target := dx[(task*s.D*s.H+row)*s.RowLen()+s.Halo*Lanes:][:s.W*Lanes]
			for w := range s.W {
				copy(target[w*Lanes:], each[:])
			}
		}
	})
}

// AdaptiveAverage: x planar (N, C, D, H, W) -> y planar (N, C, d, h, w), the
// mean of bin i of n over size s being that of positions floor(i*s/n) to
// ceil((i+1)*s/n) - 1, as in PyTorch's AdaptiveAvgPool; summed in float64 in order.
func AdaptiveAverage(pool *Pool, planes int, in, out [3]int, x, y []float32) {
	size, bins := in[0]*in[1]*in[2], out[0]*out[1]*out[2]
	pool.Run(planes, func(plane int) {
		volume := x[plane*size:][:size]
		for bin := range bins {
			d0, d1 := binEdges(bin/(out[1]*out[2]), out[0], in[0])
			h0, h1 := binEdges(bin/out[2]%out[1], out[1], in[1])
			w0, w1 := binEdges(bin%out[2], out[2], in[2])
			sum := 0.0
			for d := d0; d < d1; d++ {
				for h := h0; h < h1; h++ {
					for _, v := range volume[(d*in[1]+h)*in[2]:][w0:w1] {
						sum += float64(v)
					}
				}
			}
			y[plane*bins+bin] = float32(sum / float64((d1-d0)*(h1-h0)*(w1-w0)))
		}
	})
}

func binEdges(bin, bins, size int) (first, end int) {
	return bin * size / bins, ((bin+1)*size + bins - 1) / bins
}

// BiasGradient: dy (N, O, D, H, W) -> db (O padded), overwritten: sums over samples
// and voxels in float64, per sample in row order, the samples' sums in order. dy
// may leave out voxels where the gradient is zero.
func BiasGradient(pool *Pool, s Shape, dy, db []float32) {
	s.check("output gradient", dy)
	pool.Run(s.Blocks(), func(block int) {
		var total [Lanes]float64
		for n := range s.N {
			var sum [Lanes]float64
			for row := range s.D * s.H {
				addRow(&sum, dy[s.Row(n, block, row/s.H, row%s.H):][:s.W*Lanes])
			}
			for lane, v := range sum {
				total[lane] += v
			}
		}
		for lane, v := range total {
			db[block*Lanes+lane] = float32(v)
		}
	})
}

// addRow adds the voxels of a row to the sums of its lanes.
func addRow(sum *[Lanes]float64, row []float32) {
	for ; len(row) >= Lanes; row = row[Lanes:] {
		for lane, v := range row[:Lanes] {
			sum[lane] += float64(v)
		}
	}
}
