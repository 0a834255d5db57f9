package kernel

// dataPass is the state of one call of BackwardData.
type dataPass struct {
	conv           *Conv
	dy, weight, dx []float32
	layout         Shape
	chunks         chunks
	minimal        minimalPass
	column         int // chunks of a task of minimal filtering
	task           func(task int)
	minimalTask    func(task int)
	transposeTask  func(task int)
}

func (p *dataPass) init(c *Conv) {
	p.conv = c
	p.task, p.minimalTask = p.do, p.doMinimal
	p.transposeTask = p.transpose
}

// BackwardData: dy (N, O, D', H', W'), weight (O, C, kD, kH, kW) -> dx (N, C, D, H, W), layout dx Shape.
// Each element adds its products to zero in the order output block, kd, kh, kw
// from last to first, output lane, each fused with its addition; by minimal
// filtering (see winograd.go) where the kernel is three wide. The halo of dy,
// at least kW/2 wide, must be zero. The input must have 16 lanes.
func (c *Conv) BackwardData(pool *Pool, dy, weight []float32, layout Shape, dx []float32) {
	if c.In.Lanes != Lanes || c.Out.Halo < c.Kernel[2]/2 || !sameVolume(layout, c.In) {
		panic("kernel: backward data needs 16 input lanes, a halo of half the kernel on the output and the input's shape")
	}
	c.Out.check("output gradient", dy)
	layout.check("input gradient", dx)
	p := &c.data
	p.dy, p.weight, p.dx, p.layout = dy, weight, dx, layout
	p.chunks = divide(layout, 0, blockGroup(layout))
	passing := 0
	if c.minimal() {
		p.chunks = minimalChunks(layout, 0)
		passing = c.taps() * Lanes * Lanes
		c.transformed = enoughFloats(c.transformed, c.transformedLen())
		p.minimal = minimalPass{source: c.Out, target: layout, kernel: c.Kernel, backwards: true, x: dy, weights: c.transformed}
	} else {
		c.transposed = enoughFloats(c.transposed, c.WeightLen())
	}
	c.prepare(pool, passing)
	pool.Run(c.blockPairs(), p.transposeTask)
	if c.minimal() {
		p.column = p.chunks.column(c.Kernel[0])
		pool.Run(p.chunks.columns(p.column), p.minimalTask)
	} else {
		pool.Run(p.chunks.number, p.task)
	}
	p.minimal = minimalPass{}
	p.dy, p.weight, p.dx = nil, nil, nil
}

// doMinimal computes one column of chunks by minimal filtering.
func (p *dataPass) doMinimal(task int) {
	l := &p.layout
	w := p.conv.workspaces.take()
	first, end := p.chunks.columnAt(task, p.column)
	for index := first; index < end; index += p.chunks.rowGroups {
		part := p.chunks.at(index)
		if index == first {
			w.minimal.begin(&p.minimal, w, part)
		}
		row := l.RowLen()
		w.minimal.do(part, chunkRows{p.dx[l.Row(part.n, part.block, part.d, part.h):], l.Sample(), l.D * l.H * row, l.H * row, row})
	}
	p.conv.workspaces.give(w)
}

// do computes one chunk of the input's gradient. Voxels that lie a stride apart
// see the same kernel columns, so they make one sum.
func (p *dataPass) do(task int) {
	c, part := p.conv, p.chunks.at(task)
	out, stride := &c.Out, c.Stride[2]
	w := c.workspaces.take()
	list := &w.list
	source := gradientRows{output: out.rowIndex(), n: part.n, list: list}
	columns := 1 // kernel columns of a tap: all of them lie side by side at stride 1
	if stride == 1 {
		columns = c.Kernel[2]
	}
	pairBlock := c.taps() * Lanes * Lanes
	r := rowSum{
		weight: c.transposed[part.block*out.Blocks()*pairBlock:], weightBlock: out.Blocks() * pairBlock,
		blocks: part.blocks, depth: columns * Lanes, xStride: Lanes,
		samples: part.nEnd - part.n, dstStep: p.layout.Sample(), xStep: out.Sample(),
		dstBlock: p.layout.D * p.layout.H * p.layout.RowLen(), dstStride: stride * Lanes, list: list,
	}
	group := max(1, len(list.taps)/c.taps()) // output blocks whose taps the list holds
	if p.layout.W <= shortRow {
		group = min(group, max(1, cachedWeights/(part.blocks*pairBlock)))
	}
	r.rows = 1
	whole, wholeEnd := 0, 0 // the rows to be done together, at stride 1
	if c.Stride[1] == 1 {
		whole, wholeEnd = covering(c.Kernel[1], 1, out.H, p.layout.H)
		r.dstRow, r.xRow = p.layout.RowLen(), out.RowLen()
	}
	for first := 0; first < source.output.blocks; first += group {
		end := min(first+group, source.output.blocks)
		for d := part.d; d < part.dEnd; d++ {
			for h := part.h; h < part.hEnd; h += r.rows {
				r.rows = 1
				if h >= whole && h < wholeEnd {
					r.rows = min(part.hEnd, wholeEnd) - h
				}
				row := p.dx[p.layout.Row(part.n, part.block, d, h):]
				for phase := range min(stride, p.layout.W) {
					r.dst = row[phase*Lanes:]
					r.voxels = (p.layout.W - phase + stride - 1) / stride
					r.from, r.fromBlock, r.fromStride, r.fromStep, r.fromRow = zeroLanes, 0, 0, 0, 0
					if first > 0 {
						r.from, r.fromBlock, r.fromStride, r.fromStep, r.fromRow = r.dst, r.dstBlock, r.dstStride, r.dstStep, r.dstRow
					}
					start := source.gather(c, d, h, phase, columns, first, end)
					r.x = p.dy[start:]
					r.run()
				}
			}
		}
	}
	c.workspaces.give(w)
}

// gradientRows lists the rows of the output's gradient, and the weights, that
// make a row of the input's gradient.
type gradientRows struct {
	output rowIndex
	n      int
	list   *tapList
	key    [6]int // what the list was made for, at stride 1
	made   bool
}

// gather fills the list with the rows of the blocks [first, end) that input row
// (d, h) took part in, at the voxels that voxel phase took part in, as offsets
// from a start that it returns. The row that the kernel's last plane and row
// gave comes first in memory, so all offsets count from there.
func (s *gradientRows) gather(c *Conv, d, h, phase, columns, first, end int) (start int) {
	firstD := max(0, d-c.Kernel[0]/2) / c.Stride[0]
	firstH := max(0, h-c.Kernel[1]/2) / c.Stride[1]
	start = s.output.row(s.n, first, firstD, firstH) - c.Kernel[2]/2*Lanes
	kd, kdEnd := covered(d-c.Kernel[0]/2, c.Kernel[0], c.Out.D)
	kh, khEnd := covered(h-c.Kernel[1]/2, c.Kernel[1], c.Out.H)
	key := [6]int{first, end, kd, kdEnd, kh, khEnd}
	if s.made && c.Stride == [3]int{1, 1, 1} && key == s.key {
		return start
	}
	s.key, s.made = key, true
	s.list.reset()
	for block := first; block < end; block++ {
		for z := range c.Kernel[0] {
			sourceD, ok := source(d+c.Kernel[0]/2-z, c.Stride[0], c.Out.D)
			if !ok {
				continue
			}
			for y := range c.Kernel[1] {
				if sourceH, ok := source(h+c.Kernel[1]/2-y, c.Stride[1], c.Out.H); ok {
					weight := ((block*c.Kernel[0]+z)*c.Kernel[1] + y) * c.Kernel[2] * Lanes * Lanes
					s.columns(c, s.output.row(s.n, block, sourceD, sourceH)-start, weight, phase, columns)
				}
			}
		}
	}
	return start
}

// columns lists the kernel columns of one row at offset base.
func (s *gradientRows) columns(c *Conv, base, weight, phase, columns int) {
	for column := 0; column < c.Kernel[2]; column += columns {
		position := phase - c.Kernel[2]/2 + column // w + p - kw with kw = k-1-column
		if position%c.Stride[2] == 0 {
			s.list.add(base+position/c.Stride[2]*Lanes, weight+column*Lanes*Lanes)
		}
	}
}

// source returns position/stride where that is a whole number within size.
func source(position, stride, size int) (int, bool) {
	return position / stride, position >= 0 && position%stride == 0 && position/stride < size
}

// transpose fills one pair of blocks of c.transposed: [in block][out block][kd][kh][kw reversed][out lane][in lane];
// for minimal filtering of the transformed weights, the transposed ones passing by.
func (p *dataPass) transpose(task int) {
	const tile = Lanes * Lanes
	c := p.conv
	columns, rows := c.Kernel[2], c.Kernel[0]*c.Kernel[1]
	ins, outs := c.In.Blocks(), c.Out.Blocks()
	inBlock, outBlock := task/outs, task%outs
	size := rows * columns * tile
	from := p.weight[(outBlock*ins+inBlock)*size:][:size]
	if !c.minimal() {
		transposeRows(from, c.transposed[task*size:][:size], rows, columns)
		return
	}
	w := c.workspaces.take()
	transposeRows(from, w.rows[:size], rows, columns)
	transformWeightsFast(w.rows, c.transformed[task*rows*tile:], c.transformedLen()/positions, rows)
	c.workspaces.give(w)
}

// transposeRows transposes the tiles of kernel rows and reverses each row.
func transposeRows(from, to []float32, rows, columns int) {
	const tile = Lanes * Lanes
	for row := range rows {
		transposeTilesFast(from[row*columns*tile:], to[row*columns*tile:], columns)
	}
}

// transposeTilesGo transposes tiles of 16 x 16 and reverses their order.
func transposeTilesGo(from, to []float32, tiles int) {
	const tile = Lanes * Lanes
	for t := range tiles {
		source, target := (*[tile]float32)(from[t*tile:]), (*[tile]float32)(to[(tiles-1-t)*tile:])
		for i := range Lanes {
			for o := range Lanes {
				target[o*Lanes+i] = source[i*Lanes+o]
			}
		}
	}
}
