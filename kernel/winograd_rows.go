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

// A tileGroup is the transformed input of a chunk for some source blocks: of each
// position the rows (block, plane, row) with the tiles of all samples side by
// side, so that rows that see the same kernel rows make one long row.
type tileRegion struct {
	data                        []float32
	d, dEnd, h, hEnd            int // of the rows held
	row, plane, block, position int // distances in elements
}

// transformedInput is the number of elements that the transformed input of a
// chunk should not exceed, for it to stay in the cache with all that is made of it.
const transformedInput = 1 << 16

// do computes the rows of a chunk. The products of a position are added to zero in
// the order source block, kd, kh, source lane, each fused with its addition.
func (p *minimalPass) do(w *workspace, part chunk, rows chunkRows) {
	samples, sourceBlocks := part.nEnd-part.n, p.source.Blocks()
	in := tileRegion{row: samples * tilesOf(p.target.W) * Lanes}
	in.d, in.dEnd = max(0, part.d-p.kernel[0]/2), min(p.source.D, part.dEnd+p.kernel[0]/2)
	in.h, in.hEnd = max(0, part.h-p.kernel[1]/2), min(p.source.H, part.hEnd+p.kernel[1]/2)
	in.plane = (in.hEnd - in.h) * in.row
	in.block = (in.dEnd - in.d) * in.plane
	group := max(1, min(sourceBlocks, len(w.list.taps)/(p.kernel[0]*p.kernel[1]), transformedInput/(positions*in.block)))
	in.position = group * in.block
	w.tiles = enoughFloats(w.tiles, positions*in.position)
	in.data = w.tiles

	out := tileRegion{d: part.d, dEnd: part.dEnd, h: part.h, hEnd: part.hEnd, row: in.row}
	out.plane = (part.hEnd - part.h) * out.row
	out.block = (part.dEnd - part.d) * out.plane
	out.position = part.blocks * out.block
	w.sums = enoughFloats(w.sums, positions*out.position)
	out.data = w.sums
	for first := 0; first < sourceBlocks; first += group {
		end := min(first+group, sourceBlocks)
		p.transform(part, &in, first, end)
		p.multiply(w, part, &in, &out, first, end)
	}
	p.restore(part, &out, rows)
}

// transform fills the region with the source blocks [first, end).
func (p *minimalPass) transform(part chunk, in *tileRegion, first, end int) {
	index, width := p.source.rowIndex(), p.target.W
	for block := first; block < end; block++ {
		for d := in.d; d < in.dEnd; d++ {
			for h := in.h; h < in.hEnd; h++ {
				out := in.data[(block-first)*in.block+(d-in.d)*in.plane+(h-in.h)*in.row:]
				for n := part.n; n < part.nEnd; n++ {
					transformInput(p.x[index.row(n, block, d, h)-Lanes:], width, out[(n-part.n)*tilesOf(width)*Lanes:], in.position)
				}
			}
		}
	}
}

// multiply adds the products of the source blocks [first, end) to the sums.
func (p *minimalPass) multiply(w *workspace, part chunk, in, out *tileRegion, first, end int) {
	const tile = Lanes * Lanes
	sourceBlocks, kernelRows := p.source.Blocks(), p.kernel[0]*p.kernel[1]
	stride := p.target.Blocks() * sourceBlocks * kernelRows * tile // of a position
	whole, wholeEnd := covering(p.kernel[1], 1, p.source.H, p.target.H)
	r := rowSum{
		blocks: part.blocks, depth: Lanes, weightBlock: sourceBlocks * kernelRows * tile, dstBlock: out.block,
		dstStride: Lanes, xStride: Lanes, samples: 1, rows: 1, list: &w.list,
	}
	for d := part.d; d < part.dEnd; d++ {
		for h := part.h; h < part.hEnd; {
			rows := 1
			if h >= whole && h < wholeEnd {
				rows = min(part.hEnd, wholeEnd) - h
			}
			start := p.taps(&w.list, in, d, h, end-first)
			r.voxels = rows * out.row / Lanes
			for position := range positions {
				r.dst = out.data[position*out.position+(d-out.d)*out.plane+(h-out.h)*out.row:]
				r.from, r.fromBlock, r.fromStride = zeroLanes, 0, 0
				if first > 0 {
					r.from, r.fromBlock, r.fromStride = r.dst, r.dstBlock, r.dstStride
				}
				r.x = in.data[position*in.position+start:]
				r.weight = p.weights[position*stride+(part.block*sourceBlocks+first)*kernelRows*tile:]
				r.run()
			}
			h += rows
		}
	}
}

// taps lists the rows of the region, and the weights, that make the target row (d,
// h), as offsets from the first of these rows, which it returns.
func (p *minimalPass) taps(list *tapList, in *tileRegion, d, h, blocks int) (start int) {
	firstD, firstH := d-p.kernel[0]/2, h-p.kernel[1]/2
	kd, kdEnd := covered(firstD, p.kernel[0], p.source.D)
	kh, khEnd := covered(firstH, p.kernel[1], p.source.H)
	start = (firstD+kd-in.d)*in.plane + (firstH+kh-in.h)*in.row
	list.reset()
	for block := range blocks {
		for z := kd; z < kdEnd; z++ {
			for y := kh; y < khEnd; y++ {
				row := (z)*p.kernel[1] + y
				if p.backwards {
					row = (p.kernel[0]-1-z)*p.kernel[1] + p.kernel[1] - 1 - y
				}
				list.add(block*in.block+(z-kd)*in.plane+(y-kh)*in.row, (block*p.kernel[0]*p.kernel[1]+row)*Lanes*Lanes)
			}
		}
	}
	return start
}

// restore turns the sums into the rows of the chunk.
func (p *minimalPass) restore(part chunk, out *tileRegion, rows chunkRows) {
	width := p.target.W
	for k := range part.blocks {
		bias := zeroLanes
		if p.bias != nil {
			bias = p.bias[(part.block+k)*Lanes:]
		}
		for d := range part.dEnd - part.d {
			for h := range part.hEnd - part.h {
				m := out.data[k*out.block+d*out.plane+h*out.row:]
				y := rows.data[k*rows.block+d*rows.plane+h*rows.row:]
				for n := range part.nEnd - part.n {
					transformOutput(m[n*tilesOf(width)*Lanes:], out.position, bias, y[n*rows.sample:], width)
				}
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
