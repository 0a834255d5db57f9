package kernel

// GlobalAverage: x (N, C, D, H, W) -> y (N, C padded), each the float64 sum
// over d, h, w in order, divided by D*H*W.
func GlobalAverage(pool *Pool, s Shape, x, y []float32) {
	s.check("average input", x)
	p := newPass(func(p *pass, task int) {
		var sum [Lanes]float64
		for d := range p.a.D {
			for h := range p.a.H {
				addRow(&sum, p.a.row(p.x, task*p.a.D+d, h))
			}
		}
		for lane, v := range sum {
			p.y[task*Lanes+lane] = float32(v / float64(p.a.Voxels()))
		}
	})
	p.a, p.x, p.y = s, x, y
	p.run(pool, s.N*s.Blocks())
}

// GlobalAverageBackward: dy (N, C padded) -> dx (N, C, D, H, W), each dy/(D*H*W).
func GlobalAverageBackward(pool *Pool, dy []float32, s Shape, dx []float32) {
	s.check("average gradient", dx)
	p := newPass(func(p *pass, task int) {
		var each [Lanes]float32
		for lane, v := range p.y[task*Lanes:][:Lanes] {
			each[lane] = v / float32(p.a.Voxels())
		}
		for d := range p.a.D {
			for h := range p.a.H {
				row := p.a.row(p.x, task*p.a.D+d, h)
				for w := range p.a.W {
					copy(row[w*Lanes:], each[:])
				}
			}
		}
	})
	p.a, p.x, p.y = s, dx, dy
	p.run(pool, s.N*s.Blocks())
}

// AdaptiveAverage: x planar (N, C, D, H, W) -> y planar (N, C, d, h, w), the
// mean of bin i of n over size s being that of positions floor(i*s/n) to
// ceil((i+1)*s/n) - 1, as in PyTorch's AdaptiveAvgPool; summed in float64 in order.
func AdaptiveAverage(pool *Pool, planes int, in, out [3]int, x, y []float32) {
	size, bins := in[0]*in[1]*in[2], out[0]*out[1]*out[2]
	pool.Run(planes, func(plane int) {
		volume := x[plane*size:][:size]
		for bin := range bins {
			d0, d1 := BinEdges(bin/(out[1]*out[2]), out[0], in[0])
			h0, h1 := BinEdges(bin/out[2]%out[1], out[1], in[1])
			w0, w1 := BinEdges(bin%out[2], out[2], in[2])
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

// BinEdges returns the positions of one bin of AdaptiveAverage, from first to end-1.
func BinEdges(bin, bins, size int) (first, end int) {
	return bin * size / bins, ((bin+1)*size + bins - 1) / bins
}

// addRow adds the voxels of a row to the sums of its lanes.
func addRow(sum *[Lanes]float64, row []float32) {
	for ; len(row) >= Lanes; row = row[Lanes:] {
		for lane, v := range row[:Lanes] {
			sum[lane] += float64(v)
		}
	}
}
