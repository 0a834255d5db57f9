package kernel

// minimalPass is a convolution of one tensor into another by minimal filtering:
// the state of one call of Forward or BackwardData.
type minimalPass struct {
	source, target Shape
	kernel         [3]int
	backwards      bool      // the kernel's planes and rows in reverse order, as backward data needs them
	x, bias        []float32 // in the layout of source; of the target's channels, or nil
	weights        []float32 // transformed: [position][target block][source block][kd][kh][source lane][target lane]
}

// A tileRegion is transformed voxels of some samples: of each position the rows
// (block, plane, h) with the tiles of all samples side by side, so that rows that
// see the same kernel rows make one long row.
type tileRegion struct {
	data                        []float32
	h, hEnd                     int // of the rows held
	row, plane, block, position int // distances in elements
}

// apart is added to the distance of the positions of a tile, which would otherwise
// often be a power of two and lie in the same few lines of the cache.
const apart = 5 * Lanes

// newTileRegion lays out a region of that many blocks and planes.
func newTileRegion(samples, width, blocks, planes, h, hEnd int) tileRegion {
	r := tileRegion{h: h, hEnd: hEnd, row: samples * tilesOf(width) * Lanes}
	r.plane = (hEnd - h) * r.row
	r.block = planes * r.plane
	r.position = blocks*r.block + apart
	return r
}

// len returns the number of elements of a region.
func (r *tileRegion) len() int { return positions * r.position }

// transformPlane puts plane d of a block of x, for the samples of a chunk, into the
// region, at an offset.
func (r *tileRegion) transformPlane(x []float32, index *rowIndex, part *chunk, block, d, width, at int) {
	for h := r.h; h < r.hEnd; h++ {
		out := r.data[at+(h-r.h)*r.row:]
		for n := part.n; n < part.nEnd; n++ {
			transformInput(x[index.row(n, block, d, h)-Lanes:], width, out[(n-part.n)*tilesOf(width)*Lanes:], r.position)
		}
	}
}

// A minimalRows makes rows of the target for the chunks of a column, one plane
// after another. The planes of the source that the kernel sees lie in a ring.
type minimalRows struct {
	*minimalPass
	list     *tapList
	part     chunk
	in, sums tileRegion
	slots    int // of the ring
	ready    int // planes of the source before this one are, or were, in the ring
}

// begin prepares for a column of chunks that begins with the given one.
func (m *minimalRows) begin(p *minimalPass, w *workspace, part chunk) {
	m.minimalPass, m.list = p, &w.list
	m.in, m.sums, m.slots = layRows(&p.source, &p.target, p.kernel, &part)
	w.tiles, w.sums = enoughFloats(w.tiles, m.in.len()), enoughFloats(w.sums, m.sums.len())
	m.in.data, m.sums.data = w.tiles, w.sums
	m.ready = max(0, part.d-p.kernel[0]/2)
}

// layRows lays out what the chunks of a column need to make rows of the target.
func layRows(source, target *Shape, kernel [3]int, part *chunk) (in, sums tileRegion, slots int) {
	samples := part.nEnd - part.n
	slots = min(kernel[0], source.D)
	in = newTileRegion(samples, target.W, source.Blocks(), slots, max(0, part.h-kernel[1]/2), min(source.H, part.hEnd+kernel[1]/2))
	together := max(1, cachedTiles/(samples*tilesOf(target.W)))
	return in, newTileRegion(samples, target.W, part.blocks, 1, 0, together), slots
}

// cachedTiles is the number of tiles of a block, of whole rows, whose products are
// summed before the next rows: so few that the sums stay in the cache.
const cachedTiles = 128

// do computes the rows of a chunk, the next of the column. The products of a
// position are added to zero in the order source block, kd, kh, source lane, each
// fused with its addition.
func (m *minimalRows) do(part chunk, rows chunkRows) {
	m.part = part
	whole, wholeEnd := covering(m.kernel[1], 1, m.source.H, m.target.H)
	for d := part.d; d < part.dEnd; d++ {
		for end := min(m.source.D, d+m.kernel[0]/2+1); m.ready < end; m.ready++ {
			m.transform(m.ready)
		}
		for h := part.h; h < part.hEnd; {
			count := 1
			if h >= whole && h < wholeEnd {
				count = min(part.hEnd-h, wholeEnd-h, m.sums.hEnd)
			}
			m.multiply(d, h, count)
			m.restore(h-part.h, count, rows, (d-part.d)*rows.plane)
			h += count
		}
	}
}

// transform puts a plane of all source blocks into the ring.
func (m *minimalRows) transform(d int) {
	index := m.source.rowIndex()
	for block := range index.blocks {
		m.in.transformPlane(m.x, &index, &m.part, block, d, m.target.W, block*m.in.block+d%m.slots*m.in.plane)
	}
}

// multiply sums the products of rows that see the same kernel rows.
func (m *minimalRows) multiply(d, h, rows int) {
	const tile = Lanes * Lanes
	sourceBlocks, kernelRows := m.source.Blocks(), m.kernel[0]*m.kernel[1]
	stride := m.target.Blocks() * sourceBlocks * kernelRows * tile // of a position
	r := rowSum{
		blocks: m.part.blocks, depth: Lanes, weightBlock: sourceBlocks * kernelRows * tile, dstBlock: m.sums.block,
		dstStride: Lanes, xStride: Lanes, voxels: rows * m.sums.row / Lanes, samples: 1, rows: 1, list: m.list,
	}
	group := len(m.list.taps) / kernelRows // source blocks that the list holds
	for first := 0; first < sourceBlocks; first += group {
		m.taps(d, h, first, min(first+group, sourceBlocks))
		for position := range positions {
			r.dst = m.sums.data[position*m.sums.position:]
			r.from, r.fromBlock, r.fromStride = zeroLanes, 0, 0
			if first > 0 {
				r.from, r.fromBlock, r.fromStride = r.dst, r.dstBlock, r.dstStride
			}
			r.x = m.in.data[position*m.in.position:]
			r.weight = m.weights[position*stride+m.part.block*sourceBlocks*kernelRows*tile:]
			r.run()
		}
	}
}

// taps lists the rows of the region, and the weights, that make target row (d, h).
func (m *minimalRows) taps(d, h, first, end int) {
	const tile = Lanes * Lanes
	firstD, firstH := d-m.kernel[0]/2, h-m.kernel[1]/2
	kd, kdEnd := covered(firstD, m.kernel[0], m.source.D)
	kh, khEnd := covered(firstH, m.kernel[1], m.source.H)
	m.list.reset()
	for block := first; block < end; block++ {
		for z := kd; z < kdEnd; z++ {
			for y := kh; y < khEnd; y++ {
				row := z*m.kernel[1] + y
				if m.backwards {
					row = m.kernel[0]*m.kernel[1] - 1 - row
				}
				m.list.add(block*m.in.block+(firstD+z)%m.slots*m.in.plane+(firstH+y-m.in.h)*m.in.row,
					(block*m.kernel[0]*m.kernel[1]+row)*tile)
			}
		}
	}
}

// restore turns the sums into rows of the chunk, from row h of a plane on.
func (m *minimalRows) restore(h, count int, rows chunkRows, plane int) {
	width := m.target.W
	for k := range m.part.blocks {
		bias := zeroLanes
		if m.bias != nil {
			bias = m.bias[(m.part.block+k)*Lanes:]
		}
		for row := range count {
			sums := m.sums.data[k*m.sums.block+row*m.sums.row:]
			y := rows.data[k*rows.block+plane+(h+row)*rows.row:]
			for n := range m.part.nEnd - m.part.n {
				transformOutput(sums[n*tilesOf(width)*Lanes:], m.sums.position, bias, y[n*rows.sample:], width)
			}
		}
	}
}

// enoughFloats returns the slice, or a longer one.
func enoughFloats(data []float32, count int) []float32 {
	if len(data) < count {
		return make([]float32, count)
	}
	return data
}
