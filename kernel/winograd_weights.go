package kernel

// The gradient of the weights by minimal filtering.

// leastFiltered is the least number of output voxels of a batch for it. Where few
// activations and few gradients, most of them zero, happen to miss each other, the
// gradient of a weight is zero; minimal filtering would leave 1e-8 of rounding,
// which an optimiser that divides by the size of gradients, as Adam, would magnify.
const leastFiltered = 256

// minimalGradient reports whether the gradient of the weights is summed by minimal
// filtering.
func (c *Conv) minimalGradient() bool { return c.minimal() && c.Out.N*c.Out.Voxels() >= leastFiltered }

// minimalSplits returns into how many runs of chunks of the output the sums are
// divided: as few as give weightTasks tasks. It is part of the arithmetic.
func (c *Conv) minimalSplits() int {
	slabs := c.slabs()
	return min((weightTasks+c.pairGroups()-1)/c.pairGroups(), slabs.number)
}

// slabs are the parts of the output, all blocks of them, of which a task of the
// gradient holds what it needs in the cache.
func (c *Conv) slabs() chunks {
	s := c.Out
	slab := chunks{shape: s, planes: 1, rows: min(s.H, max(1, cachedVoxels/s.W)), blocks: s.Blocks(), samples: 1, blockGroups: 1}
	if slab.rows == s.H {
		slab.planes = min(s.D, max(1, cachedVoxels/(s.H*s.W)))
	} else if s.D > 1 { // two planes share most of the input that they see
		slab.planes, slab.rows = 2, max(1, slab.rows/2)
	}
	if slab.planes == s.D && slab.rows == s.H {
		slab.samples = min(s.N, max(1, cachedVoxels/s.Voxels()))
	}
	slab.planeGroups, slab.rowGroups = (s.D+slab.planes-1)/slab.planes, (s.H+slab.rows-1)/slab.rows
	slab.number = (s.N + slab.samples - 1) / slab.samples * slab.planeGroups * slab.rowGroups
	return slab
}

// slab returns one of them.
func (c *chunks) slab(index int) chunk {
	rowGroup, rest := index%c.rowGroups, index/c.rowGroups
	planeGroup, n := rest%c.planeGroups, rest/c.planeGroups*c.samples
	d, h := planeGroup*c.planes, rowGroup*c.rows
	return chunk{n: n, nEnd: min(n+c.samples, c.shape.N), blocks: c.blocks,
		d: d, dEnd: min(d+c.planes, c.shape.D), h: h, hEnd: min(h+c.rows, c.shape.H)}
}

// minimalWeights sums one run of slabs for one input block and some output blocks
// into dst. In a run the products of a position are added to zero in the order
// slab, d, h, n, tile, each fused with its addition.
func (p *weightsPass) minimalWeights(task int) {
	const tile = Lanes * Lanes
	c := p.conv
	group, split := task/p.splits, task%p.splits
	inBlock, block := group%c.In.Blocks(), group/c.In.Blocks()*weightBlocks
	blocks := min(weightBlocks, c.Out.Blocks()-block)
	w := c.workspaces.take()
	kernelRows := c.Kernel[0] * c.Kernel[1]
	stride := blocks*kernelRows*tile + apart // of a position of the sums
	w.rows = enoughFloats(w.rows, positions*stride)
	clear(w.rows[:positions*stride])
	slabs := c.slabs()
	for index, end := split*slabs.number/p.splits, (split+1)*slabs.number/p.splits; index < end; index++ {
		part := slabs.slab(index)
		in, gradient := p.transformSlab(w, part, inBlock, block, blocks)
		p.multiplySlab(w, part, &in, &gradient, blocks, stride)
	}
	dst := p.sums[split*c.WeightLen()+c.weightRow(block, inBlock, 0, 0):]
	for k := range blocks {
		restoreWeightsFast(w.rows[k*kernelRows*tile:], stride, dst[c.weightRow(k, 0, 0, 0):], kernelRows)
	}
	c.workspaces.give(w)
}

// slabPlanes returns the planes of the input that a slab needs.
func (c *Conv) slabPlanes(part chunk) (first, end int) {
	return max(0, part.d-c.Kernel[0]/2), min(c.In.D, part.dEnd+c.Kernel[0]/2)
}

// laySlab lays out what a slab needs of one block of the input and of some blocks of
// the gradient, and returns the number of their sums.
func (c *Conv) laySlab(part chunk, blocks int) (in, gradient tileRegion, sums int) {
	first, end := c.slabPlanes(part)
	samples := part.nEnd - part.n
	in = newTileRegion(samples, c.Out.W, 1, end-first, max(0, part.h-c.Kernel[1]/2), min(c.In.H, part.hEnd+c.Kernel[1]/2))
	gradient = newTileRegion(samples, c.Out.W, blocks, part.dEnd-part.d, part.h, part.hEnd)
	return in, gradient, positions * (blocks*c.Kernel[0]*c.Kernel[1]*Lanes*Lanes + apart)
}

// transformSlab transforms what a slab needs of the input and of the gradient.
func (p *weightsPass) transformSlab(w *workspace, part chunk, inBlock, block, blocks int) (in, gradient tileRegion) {
	c := p.conv
	width := c.Out.W
	in, gradient, _ = c.laySlab(part, blocks)
	w.tiles, w.sums = enoughFloats(w.tiles, in.len()), enoughFloats(w.sums, gradient.len())
	in.data, gradient.data = w.tiles, w.sums
	front, frontEnd := c.slabPlanes(part)
	index := c.In.rowIndex()
	for d := front; d < frontEnd; d++ {
		in.transformPlane(p.x, &index, &part, inBlock, d, width, (d-front)*in.plane)
	}
	index = c.Out.rowIndex()
	for k := range blocks {
		for d := part.d; d < part.dEnd; d++ {
			for h := part.h; h < part.hEnd; h++ {
				out := gradient.data[k*gradient.block+(d-part.d)*gradient.plane+(h-part.h)*gradient.row:]
				for n := part.n; n < part.nEnd; n++ {
					transformGradient(p.dy[index.row(n, block+k, d, h):], width, out[(n-part.n)*tilesOf(width)*Lanes:], gradient.position)
				}
			}
		}
	}
	return in, gradient
}

// multiplySlab adds the products of a slab to the sums [position][block][kd][kh][16][16],
// one position after another: what a slab has of one stays in the first cache.
func (p *weightsPass) multiplySlab(w *workspace, part chunk, in, gradient *tileRegion, blocks, stride int) {
	const tile = Lanes * Lanes
	c := p.conv
	s := outerSum{
		blocks: blocks, planes: 1, rows: 1, depth: Lanes, dstBlock: c.Kernel[0] * c.Kernel[1] * tile,
		yBlock: gradient.block, xStride: Lanes, list: &w.list,
	}
	first, _ := c.slabPlanes(part)
	for position := range positions {
		s.x, s.y = in.data[position*in.position:], gradient.data[position*gradient.position:]
		for kh := range c.Kernel[1] {
			up := kh - c.Kernel[1]/2
			h, hEnd := max(part.h, -up), min(part.hEnd, c.In.H-up) // the rows whose source row is in the image
			if h >= hEnd {
				continue
			}
			s.voxels = (hEnd - h) * gradient.row / Lanes
			for kd := range c.Kernel[0] {
				front := kd - c.Kernel[0]/2
				w.list.reset()
				for d := max(part.d, -front); d < min(part.dEnd, c.In.D-front); d++ {
					w.list.add((d+front-first)*in.plane+(h+up-in.h)*in.row, (d-part.d)*gradient.plane+(h-part.h)*gradient.row)
				}
				s.dst = w.rows[position*stride+(kd*c.Kernel[1]+kh)*tile:]
				s.run()
			}
		}
	}
}
