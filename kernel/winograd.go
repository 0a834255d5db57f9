package kernel

// Winograd's minimal filtering F(2, 3) along the width, for kernels three voxels
// wide (Winograd, Arithmetic complexity of computations, 1980; Lavin and Gray,
// Fast algorithms for convolutional neural networks, 2016). Two neighbouring
// outputs y, which see the four inputs d, are a tile. They take four products with
// the transformed kernel row u instead of six with the row g:
//
//	u0 = g0,  u1 = (g0 + g2 + g1)/2,  u2 = (g0 + g2 - g1)/2,  u3 = g2
//	m0 = (d0 - d2) u0,  m1 = (d1 + d2) u1,  m2 = (d2 - d1) u2,  m3 = (d1 - d3) u3
//	y0 = m0 + m1 + m2,  y1 = m1 - m2 - m3
//
// and the gradient of g, which sees the gradients e of the two outputs,
//
//	m0 = (d0 - d2) e0,  m1 = (d1 + d2) (e0 + e1),  m2 = (d2 - d1) (e0 - e1),  m3 = (d1 - d3) e1
//	dg0 = m0 + (m1 + m2)/2,  dg1 = (m1 - m2)/2,  dg2 = (m1 + m2)/2 - m3
//
// The sums over kernel planes, kernel rows, and channels or voxels are taken of
// the m. The index of an m is its position in the tile. An odd row ends in half a
// tile, whose other half is zero and is not written.

// positions is the number of products of a tile.
const positions = 4

// tilesOf returns the number of tiles of a row.
func tilesOf(width int) int { return (width + 1) / 2 }

// minimal reports whether the convolution is done by minimal filtering.
func (c *Conv) minimal() bool {
	return !c.Direct && c.In.Lanes == Lanes && c.Kernel[2] == 3 && c.Stride == [3]int{1, 1, 1} && c.Out.W > 1
}

// transformedLen returns the number of transformed weights.
func (c *Conv) transformedLen() int { return c.WeightLen() / 3 * positions }

// minimalChunks divides an output as divide does. A chunk has four blocks, for which
// the input is transformed once, where that leaves chunks enough and rows long
// enough, otherwise two.
func minimalChunks(s Shape, pooled int) chunks {
	wide := divide(s, pooled, min(4, s.Blocks()))
	if wide.number >= leastChunks && wide.samples*wide.rows*tilesOf(s.W) >= cachedTiles/4 {
		return wide
	}
	return divide(s, pooled, min(2, s.Blocks()))
}

// minimalWorkspace returns the number of elements of the buffers in which a worker
// transforms what its tasks need.
func (c *Conv) minimalWorkspace() (tiles, products, sums int) {
	slabs := c.slabs()
	in, gradient, sums := c.laySlab(slabs.largest(), min(weightBlocks, c.Out.Blocks()))
	tiles, products = in.len(), gradient.len()
	for _, way := range [2][2]*Shape{{&c.In, &c.Out}, {&c.Out, &c.In}} {
		source, target := way[0], way[1]
		chunks := minimalChunks(*target, 0)
		part := chunks.largest()
		rows, summed, _ := layRows(source, target, c.Kernel, &part)
		tiles, products = max(tiles, rows.len()), max(products, summed.len())
		sums = max(sums, chunks.most()) // rows that pass
	}
	return tiles, products, sums
}

// transformInput: x, a row of voxels of which the first is the halo's -> the four
// inputs of each tile combined, out[position*stride + tile*16 + lane].
func transformInput(x []float32, width int, out []float32, stride int) {
	whole := width / 2
	if whole > 0 {
		_, _ = x[2*(whole+1)*Lanes-1], out[(positions-1)*stride+whole*Lanes-1]
		transformInputFast(x, out, stride, whole)
	}
	if width%2 == 0 {
		return
	}
	x, out = x[2*whole*Lanes:], out[whole*Lanes:]
	for lane := range Lanes {
		d0, d1, d2 := x[lane], x[Lanes+lane], x[2*Lanes+lane]
		out[lane], out[stride+lane], out[2*stride+lane], out[3*stride+lane] = d0-d2, d1+d2, d2-d1, d1
	}
}

func transformInputGo(x, out []float32, stride, tiles int) {
	for i := range tiles * Lanes {
		at := i/Lanes*2*Lanes + i%Lanes
		d0, d1, d2, d3 := x[at], x[at+Lanes], x[at+2*Lanes], x[at+3*Lanes]
		out[i], out[stride+i], out[2*stride+i], out[3*stride+i] = d0-d2, d1+d2, d2-d1, d1-d3
	}
}

// transformOutput: m[position*stride + tile*16 + lane], bias (16) -> y, a row of
// voxels.
func transformOutput(m []float32, stride int, bias, y []float32, width int) {
	whole := width / 2
	if whole > 0 {
		_, _, _ = m[(positions-1)*stride+whole*Lanes-1], bias[Lanes-1], y[2*whole*Lanes-1]
		transformOutputFast(m, stride, bias, y, whole)
	}
	if width%2 == 0 {
		return
	}
	m, y = m[whole*Lanes:], y[2*whole*Lanes:]
	for lane := range Lanes {
		y[lane] = ((m[lane] + m[stride+lane]) + m[2*stride+lane]) + bias[lane]
	}
}

func transformOutputGo(m []float32, stride int, bias, y []float32, tiles int) {
	for i := range tiles * Lanes {
		lane, at := i%Lanes, i/Lanes*2*Lanes+i%Lanes
		m0, m1, m2, m3 := m[i], m[stride+i], m[2*stride+i], m[3*stride+i]
		y[at], y[at+Lanes] = ((m0+m1)+m2)+bias[lane], ((m1-m2)-m3)+bias[lane]
	}
}

// transformGradient: dy, a row of voxels -> the gradients of each tile combined,
// out[position*stride + tile*16 + lane].
func transformGradient(dy []float32, width int, out []float32, stride int) {
	whole := width / 2
	if whole > 0 {
		_, _ = dy[2*whole*Lanes-1], out[(positions-1)*stride+whole*Lanes-1]
		transformGradientFast(dy, out, stride, whole)
	}
	if width%2 == 0 {
		return
	}
	dy, out = dy[2*whole*Lanes:], out[whole*Lanes:]
	for lane, e := range dy[:Lanes] {
		out[lane], out[stride+lane], out[2*stride+lane], out[3*stride+lane] = e, e, e, 0
	}
}

func transformGradientGo(dy, out []float32, stride, tiles int) {
	for i := range tiles * Lanes {
		at := i/Lanes*2*Lanes + i%Lanes
		e0, e1 := dy[at], dy[at+Lanes]
		out[i], out[stride+i], out[2*stride+i], out[3*stride+i] = e0, e0+e1, e0-e1, e1
	}
}

// transformWeights: g, kernel rows [kw][16][16] -> u[position*stride + row*256 + ...].
func transformWeightsGo(g, u []float32, stride, rows int) {
	const tile = Lanes * Lanes
	for row := range rows {
		from, to := g[row*3*tile:], u[row*tile:]
		for i := range tile {
			g0, g1, g2 := from[i], from[tile+i], from[2*tile+i]
			outer := g0 + g2
			to[i], to[stride+i], to[2*stride+i], to[3*stride+i] = g0, (outer+g1)*0.5, (outer-g1)*0.5, g2
		}
	}
}

// restoreWeights: m[position*stride + row*256 + ...] -> dg, the gradients of
// kernel rows [kw][16][16].
func restoreWeightsGo(m []float32, stride int, dg []float32, rows int) {
	const tile = Lanes * Lanes
	for row := range rows {
		from, to := m[row*tile:], dg[row*3*tile:]
		for i := range tile {
			m0, m1, m2, m3 := from[i], from[stride+i], from[2*stride+i], from[3*stride+i]
			sum := float32((m1 + m2) * 0.5)
			to[i], to[tile+i], to[2*tile+i] = m0+sum, (m1-m2)*0.5, sum-m3
		}
	}
}
