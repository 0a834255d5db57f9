package kernel

import "sync"

// An epilogue does what follows a convolution on a chunk of its output while
// the chunk is in the cache.
type epilogue interface {
	// finish does sample n of the chunk, whose rows are given.
	finish(c *chunks, part chunk, n int, rows chunkRows)
}

// chunkRows says where the rows of a chunk are: row (n, block, d, h), each counted
// from the first of the chunk, at data[n*sample + block*block + d*plane + h*row].
type chunkRows struct {
	data                      []float32
	sample, block, plane, row int
}

// forwardPass is the state of one call of Forward.
type forwardPass struct {
	conv               *Conv
	x, weight, bias, y []float32
	chunks             chunks
	after              epilogue
	minimal            minimalPass
	column             int // consecutive chunks along the depth that are one task
	task, transform    func(task int)
}

func (p *forwardPass) init(c *Conv) {
	p.conv = c
	p.task, p.transform = p.do, p.transformPair
}

// Forward: x (N, C, D, H, W), weight (O, C, kD, kH, kW), bias (O) or nil -> y (N, O, D', H', W').
// Each output starts with the bias and adds the products in the order input
// block, kd, kh, kw, input lane, each fused with its addition; by minimal filtering
// (see winograd.go) where the kernel is three wide. The halo of x must be zero,
// that of y is not written. bias has Out.Padded() elements.
func (c *Conv) Forward(pool *Pool, x, weight, bias, y []float32) {
	c.Out.check("convolution output", y)
	c.run(pool, x, weight, bias, y, 0, nil)
}

// run is Forward with an epilogue, on chunks that keep pooling windows of that
// depth whole. With nil y the output is kept no longer than the epilogue needs it.
func (c *Conv) run(pool *Pool, x, weight, bias, y []float32, pooled int, after epilogue) {
	c.In.check("convolution input", x)
	p := &c.forward
	p.x, p.weight, p.bias, p.y, p.after = x, weight, bias, y, after
	p.chunks = divide(c.Out, pooled, blockGroup(c.Out))
	if c.minimal() {
		p.chunks = minimalChunks(c.Out, pooled)
		c.transformed = enoughFloats(c.transformed, c.transformedLen())
		p.minimal = minimalPass{source: c.In, target: c.Out, kernel: c.Kernel, x: x, bias: bias, weights: c.transformed}
		pool.Run(c.blockPairs(), p.transform)
	}
	p.column = 1
	if c.minimal() {
		p.column = p.chunks.column(c.Kernel[0])
	}
	passing := 0
	if y == nil {
		passing = p.chunks.most()
	}
	c.prepare(pool, passing)
	pool.Run(p.chunks.columns(p.column), p.task)
	p.minimal = minimalPass{}
	p.x, p.weight, p.bias, p.y, p.after = nil, nil, nil, nil, nil
}

// shortRow is the number of voxels of a row up to which a tile has four blocks.
const shortRow = 6

// blockGroup returns how many output blocks one task does: as many as one tile.
func blockGroup(s Shape) int {
	if s.W <= shortRow {
		return min(4, s.Blocks())
	}
	return min(2, s.Blocks())
}

// transformPair transforms the weights of one pair of blocks.
func (p *forwardPass) transformPair(task int) {
	c := p.conv
	kernelRows := c.Kernel[0] * c.Kernel[1]
	transformWeightsFast(p.weight[task*kernelRows*c.rowLen():], c.transformed[task*kernelRows*Lanes*Lanes:], c.transformedLen()/positions, kernelRows)
}

// do computes one column of chunks.
func (p *forwardPass) do(task int) {
	c := p.conv
	w := c.workspaces.take()
	first, end := p.chunks.columnAt(task, p.column)
	for index := first; index < end; index += p.chunks.rowGroups {
		part := p.chunks.at(index)
		rows := c.storedRows(p.y, part)
		if p.y == nil {
			rows = c.passingRows(w, part)
		}
		if !c.minimal() {
			p.direct(w, part, rows)
		} else {
			if index == first {
				w.minimal.begin(&p.minimal, w, part)
			}
			w.minimal.do(part, rows)
		}
		if p.after != nil {
			p.finish(part, rows)
		}
	}
	c.workspaces.give(w)
}

// finish runs the epilogue on a chunk.
func (p *forwardPass) finish(part chunk, rows chunkRows) {
	for n := part.n; n < part.nEnd; n++ {
		one := rows
		one.data = rows.data[(n-part.n)*rows.sample:]
		p.after.finish(&p.chunks, part, n, one)
	}
}

// direct computes the rows of a chunk by the definition.
func (p *forwardPass) direct(w *workspace, part chunk, rows chunkRows) {
	w.rowMaker.begin(p.conv, w, p.x, p.weight, p.bias, part, rows)
	for w.rowMaker.nextBlocks() {
		for d := part.d; d < part.dEnd; d++ {
			w.rowMaker.rows(d, part.h, part.hEnd, rows.data[(d-part.d)*rows.plane:])
		}
	}
}

// storedRows returns the rows of a chunk of y.
func (c *Conv) storedRows(y []float32, part chunk) chunkRows {
	if y == nil {
		return chunkRows{}
	}
	s := &c.Out
	row := s.RowLen()
	return chunkRows{y[s.Row(part.n, part.block, part.d, part.h):], s.Sample(), s.D * s.H * row, s.H * row, row}
}

// passingRows returns memory for the rows of a chunk.
func (c *Conv) passingRows(w *workspace, part chunk) chunkRows {
	row := c.Out.W * Lanes
	plane := (part.hEnd - part.h) * row
	block := (part.dEnd - part.d) * plane
	sample := part.blocks * block
	return chunkRows{w.floats((part.nEnd - part.n) * sample), sample, block, plane, row}
}

// A workspace is what a task of a convolution needs beside its operands.
type workspace struct {
	list     tapList
	rowMaker rowMaker
	part     gradientPart
	rows     []float32

	minimal     minimalRows
	tiles, sums []float32 // of minimal filtering
}

// floats returns that many elements with any content.
func (w *workspace) floats(count int) []float32 {
	w.rows = enoughFloats(w.rows, count)
	return w.rows[:count]
}

// workspaces lends workspaces to tasks, no more than there are workers.
type workspaces struct {
	lock   sync.Mutex
	made   int
	unused []*workspace
}

// prepare makes a workspace for every worker, with so many elements for rows, before
// the tasks of a pass: which of them a task gets, and whether two run at once, must
// not decide when memory is allocated.
func (c *Conv) prepare(pool *Pool, rows int) {
	s := &c.workspaces
	tiles, products, sums := 0, 0, 0
	if c.minimal() {
		tiles, products, sums = c.minimalWorkspace()
	}
	for ; s.made < pool.Workers(); s.made++ {
		s.unused = append(s.unused, new(workspace))
	}
	for _, w := range s.unused {
		w.tiles, w.sums = enoughFloats(w.tiles, tiles), enoughFloats(w.sums, products)
		w.rows = enoughFloats(w.rows, max(rows, sums))
	}
}

func (s *workspaces) take() *workspace {
	s.lock.Lock()
	defer s.lock.Unlock()
	w := s.unused[len(s.unused)-1]
	s.unused = s.unused[:len(s.unused)-1]
	return w
}

func (s *workspaces) give(w *workspace) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.unused = append(s.unused, w)
}

// A rowMaker computes rows of the output of a convolution. Where rows are short,
// it goes through all rows for one group of input blocks after another, so that
// the weights of a group stay in the cache.
type rowMaker struct {
	conv       *Conv
	x, bias    []float32
	biasBlock  int
	source     sourceRows
	sum        rowSum
	left       int // elements from voxel 0 of a row to the first that the kernel covers
	group      int // input blocks of a group
	first, end int // the group at work
}

// cachedWeights is the number of weights of a group: 40 KB.
const cachedWeights = 10240

// begin prepares for the rows of a chunk. nextBlocks must follow.
func (m *rowMaker) begin(c *Conv, w *workspace, x, weight, bias []float32, part chunk, rows chunkRows) {
	in := &c.In
	m.conv, m.x, m.left = c, x, c.Kernel[2]/2*in.Lanes
	m.group = max(1, len(w.list.taps)/(c.Kernel[0]*c.Kernel[1])) // the list holds no more
	if c.Out.W <= shortRow {
		m.group = min(m.group, max(1, cachedWeights/(part.blocks*c.taps()*in.Lanes*Lanes)))
	}
	m.first, m.end = 0, 0
	m.source = sourceRows{input: in.rowIndex(), n: part.n, list: &w.list}
	m.bias, m.biasBlock = zeroLanes, 0
	if bias != nil {
		m.bias, m.biasBlock = bias[part.block*Lanes:], Lanes
	}
	m.sum = rowSum{
		weight: weight[c.weightRow(part.block, 0, 0, 0):], weightBlock: c.weightRow(1, 0, 0, 0),
		blocks: part.blocks, voxels: c.Out.W, depth: c.Kernel[2] * in.Lanes,
		samples: part.nEnd - part.n, dstStep: rows.sample, xStep: in.Sample(),
		dstRow: rows.row, xRow: c.Stride[1] * in.RowLen(),
		dstBlock: rows.block, dstStride: Lanes, xStride: c.Stride[2] * in.Lanes, list: &w.list,
	}
}

// zeroLanes is the bias of a convolution without one.
var zeroLanes = make([]float32, Lanes)

// nextBlocks goes on to the next group of input blocks; false when all are done.
func (m *rowMaker) nextBlocks() bool {
	m.first, m.end = m.end, min(m.end+m.group, m.source.input.blocks)
	return m.first < m.end
}

// rows adds the input blocks at work to the output rows [h, end) of plane d of
// all blocks. Rows that the whole height of the kernel covers are done together.
func (m *rowMaker) rows(d, h, end int, dst []float32) {
	r, c := &m.sum, m.conv
	whole, wholeEnd := covering(c.Kernel[1], c.Stride[1], c.In.H, c.Out.H)
	for first := h; first < end; first += r.rows {
		r.rows = 1
		if first >= whole && first < wholeEnd {
			r.rows = min(end, wholeEnd) - first
		}
		r.dst = dst[(first-h)*r.dstRow:]
		r.from, r.fromBlock, r.fromStride, r.fromStep, r.fromRow = m.bias, m.biasBlock, 0, 0, 0
		if m.first > 0 {
			r.from, r.fromBlock, r.fromStride, r.fromStep, r.fromRow = r.dst, r.dstBlock, r.dstStride, r.dstStep, r.dstRow
		}
		start := m.source.gather(c, d, first, m.first, m.end)
		r.x = m.x[start-m.left:]
		r.run()
	}
}

// covering returns the range of output positions where a kernel lies within the
// input.
func covering(kernel, stride, in, out int) (first, end int) {
	first = (kernel/2 + stride - 1) / stride
	end = min(out, (in-1-kernel/2)/stride+1)
	return first, max(first, end)
}

// sourceRows lists the input rows, and the weights, that make an output row.
type sourceRows struct {
	input rowIndex
	n     int
	list  *tapList
	key   [6]int // what the list was made for
	made  bool
}

// gather fills the list with the input rows of the blocks [first, end) that the
// kernel covers at output row (d, h), as offsets from the first of these rows,
// which it returns. Rows outside the volume are left out.
func (s *sourceRows) gather(c *Conv, d, h, first, end int) (start int) {
	sourceD, sourceH := d*c.Stride[0]-c.Kernel[0]/2, h*c.Stride[1]-c.Kernel[1]/2
	kd, kdEnd := covered(sourceD, c.Kernel[0], c.In.D)
	kh, khEnd := covered(sourceH, c.Kernel[1], c.In.H)
	start = s.input.row(s.n, first, sourceD+kd, sourceH+kh)
	if key := [6]int{first, end, kd, kdEnd, kh, khEnd}; !s.made || key != s.key {
		s.key, s.made = key, true
		s.list.reset()
		for block := first; block < end; block++ {
			for z := kd; z < kdEnd; z++ {
				for y := kh; y < khEnd; y++ {
					s.list.add(s.input.row(s.n, block, sourceD+z, sourceH+y)-start, c.weightRow(0, block, z, y))
				}
			}
		}
	}
	return start
}

// covered returns which of the positions start, start+1, ... of a kernel of that
// size lie within the volume.
func covered(start, kernel, size int) (first, end int) {
	return max(0, -start), min(kernel, size-start)
}
