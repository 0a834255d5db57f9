package kernel

// A gradientSource turns rows of a convolution's output into rows of its
// gradient, so that neither need be stored: the largest tensors of a network are
// those of its first convolution.
type gradientSource interface {
	// through replaces row (n, block, d, h) of the output by its gradient.
	through(n, block, d, h int, row []float32)
	// needsOutput says whether the gradient of a row depends on the row.
	needsOutput() bool
}

// weightsPass is the state of one call of BackwardWeights.
type weightsPass struct {
	conv         *Conv
	x, dy, dw    []float32
	source       gradientSource // nil: the gradient is dy
	weight, bias []float32      // for the source
	splits       int
	sums         []float32 // a gradient for each split
	task, add    func(task int)
	minimalTask  func(task int)
}

func (p *weightsPass) init(c *Conv) {
	p.conv = c
	p.task, p.minimalTask = p.do, p.minimalWeights
	p.add = p.addRuns
}

// weightTasks is the least number of tasks into which BackwardWeights divides
// its work. It is part of the arithmetic: it decides which sums are partial.
const weightTasks = 64

// blockPairs returns the number of pairs of an output and an input block.
func (c *Conv) blockPairs() int { return c.Out.Blocks() * c.In.Blocks() }

// splits returns into how many runs of output rows BackwardWeights divides the
// batch: as few as give weightTasks tasks.
func (c *Conv) splits() int {
	return min((weightTasks+c.blockPairs()-1)/c.blockPairs(), c.Out.N*c.Out.D*c.Out.H)
}

// weightBlocks is the number of output blocks whose gradients one task sums.
const weightBlocks = 2

// pairGroups returns the number of groups of block pairs that are one task each.
func (c *Conv) pairGroups() int {
	return (c.Out.Blocks() + weightBlocks - 1) / weightBlocks * c.In.Blocks()
}

// BackwardWeights: x (N, C, D, H, W), dy (N, O, D', H', W') -> dw (O, C, kD, kH, kW), overwritten.
// The output rows (n, d, h) are divided into splits() runs of nearly equal
// length; in each run the products are added to zero in the order n, d, h, w,
// each fused with its addition; then the runs' sums are added in order. Where the
// kernel is three wide they are those of minimal filtering: see winograd_weights.go.
func (c *Conv) BackwardWeights(pool *Pool, x, dy, dw []float32) {
	c.Out.check("output gradient", dy)
	c.weights.dy = dy
	c.backwardWeights(pool, x, dw)
	c.weights.dy = nil
}

// backwardWeightsThrough is BackwardWeights for the gradient that the source
// makes of the output, which is computed once more from x, weight and bias.
func (c *Conv) backwardWeightsThrough(pool *Pool, x, weight, bias []float32, source gradientSource, dw []float32) {
	if c.minimal() {
		panic("kernel: a convolution whose output is computed once more must be Direct")
	}
	p := &c.weights
	p.source, p.weight, p.bias = source, weight, bias
	c.backwardWeights(pool, x, dw)
	p.source, p.weight, p.bias = nil, nil, nil
}

func (c *Conv) backwardWeights(pool *Pool, x, dw []float32) {
	c.In.check("convolution input", x)
	p := &c.weights
	size := c.WeightLen()
	p.x, p.dw, p.splits = x, dw, c.splits()
	task := p.task
	if c.minimalGradient() {
		p.splits, task = c.minimalSplits(), p.minimalTask
	}
	p.sums = dw[:size]
	if p.splits > 1 {
		if len(c.partial) < p.splits*size {
			c.partial = make([]float32, p.splits*size)
		}
		p.sums = c.partial[:p.splits*size]
	}
	made := 0
	if p.source != nil {
		made = weightBlocks * c.rowsTogether() * c.Out.W * Lanes
	}
	c.prepare(pool, made)
	pool.Run(c.pairGroups()*p.splits, task)
	if p.splits > 1 {
		pool.Run((size+addedTogether-1)/addedTogether, p.add)
	}
	p.x, p.dw, p.sums = nil, nil, nil
}

// addedTogether is the number of weights whose runs one task adds.
const addedTogether = 4096

// addRuns adds the runs' sums of some weights in order.
func (p *weightsPass) addRuns(task int) {
	size := p.conv.WeightLen()
	dst := p.dw[task*addedTogether : min(size, (task+1)*addedTogether)]
	copy(dst, p.sums[task*addedTogether:])
	for split := 1; split < p.splits; split++ {
		run := p.sums[split*size+task*addedTogether:][:len(dst)]
		for i, v := range run {
			dst[i] += v
		}
	}
}

// cachedRow is the number of elements of the output's gradient, per block, that
// should stay in the cache while all kernel rows use them.
const cachedRow = 4096

// rowsTogether returns how many output rows are summed before the next part of
// the kernel.
func (c *Conv) rowsTogether() int {
	return min(max(1, cachedRow/(c.Out.W*Lanes)), len(tapList{}.taps))
}

// do sums one run of rows for one input block and some output blocks.
func (p *weightsPass) do(task int) {
	c := p.conv
	group, split := task/p.splits, task%p.splits
	inBlock, block := group%c.In.Blocks(), group/c.In.Blocks()*weightBlocks
	blocks := min(weightBlocks, c.Out.Blocks()-block)
	dst := p.sums[split*c.WeightLen()+c.weightRow(block, inBlock, 0, 0):]
	for k := range blocks {
		clear(dst[c.weightRow(k, 0, 0, 0):][:c.Kernel[0]*c.Kernel[1]*c.rowLen()])
	}
	w := c.workspaces.take()
	g := &w.part
	*g = gradientPart{conv: c, weights: dst, inBlock: inBlock, block: block, index: c.In.rowIndex(), outerSum: outerSum{
		x: p.x, blocks: blocks, depth: c.Kernel[2] * c.In.Lanes, voxels: c.Out.W,
		dstBlock: c.weightRow(1, 0, 0, 0), dstPlane: c.Kernel[1] * c.rowLen(), dstRow: c.rowLen(),
		xPlane: c.In.H * c.In.RowLen(), xRow: c.In.RowLen(), xStride: c.Stride[2] * c.In.Lanes, list: &w.list,
	}}
	rows := c.Out.N * c.Out.D * c.Out.H
	for first, last := split*rows/p.splits, (split+1)*rows/p.splits; first < last; first += c.rowsTogether() {
		g.first, g.last = first, min(last, first+c.rowsTogether())
		if p.source == nil {
			g.y, g.yBlock, g.yIndex = p.dy, c.Out.D*c.Out.H*c.Out.RowLen(), c.Out.rowIndex()
		} else {
			p.makeRows(g, w)
		}
		if g.depth < Lanes {
			g.patches()
		} else {
			g.kernelRows()
		}
	}
	c.workspaces.give(w)
}

// makeRows computes the rows of the gradient, one sample after another.
func (p *weightsPass) makeRows(g *gradientPart, w *workspace) {
	c := p.conv
	row := c.Out.W * Lanes
	g.yRow, g.yBlock = row, c.rowsTogether()*row
	g.y = w.floats(weightBlocks * g.yBlock)
	for first, last := g.first, 0; first < g.last; first = last {
		n, _, _ := c.outputRow(first)
		last = min(g.last, (n+1)*c.Out.D*c.Out.H)
		if p.source.needsOutput() {
			w.rowMaker.begin(c, w, p.x, p.weight, p.bias, chunk{n: n, nEnd: n + 1, block: g.block, blocks: g.blocks}, chunkRows{block: g.yBlock, row: row})
			for w.rowMaker.nextBlocks() {
				for index := first; index < last; {
					_, d, h := c.outputRow(index)
					end := min(c.Out.H, h+last-index)
					w.rowMaker.rows(d, h, end, g.y[(index-g.first)*row:])
					index += end - h
				}
			}
		}
		for index := first; index < last; index++ {
			_, d, h := c.outputRow(index)
			for k := range g.blocks {
				p.source.through(n, g.block+k, d, h, g.y[k*g.yBlock+(index-g.first)*row:][:row])
			}
		}
	}
}

// outputRow returns the sample, plane and row of an output row.
func (c *Conv) outputRow(index int) (n, d, h int) {
	h, rest := index%c.Out.H, index/c.Out.H
	return rest / c.Out.D, rest % c.Out.D, h
}

// nextRow returns the sample, plane and row of the next output row.
func (c *Conv) nextRow(n, d, h int) (int, int, int) {
	if h++; h == c.Out.H {
		h = 0
		if d++; d == c.Out.D {
			return n + 1, 0, 0
		}
	}
	return n, d, h
}

// A gradientPart is what the output rows [first, last) add to the gradient of
// the weights of an input block and some output blocks.
type gradientPart struct {
	outerSum
	conv        *Conv
	weights     []float32 // of the first output block
	inBlock     int
	index       rowIndex // of x
	first, last int

	yRow   int      // distance of the rows from a source, 0 where the gradient is stored:
	yIndex rowIndex // then where its rows are
	block  int
}

// row returns the offset in y of an output row.
func (g *gradientPart) row(index, n, d, h int) int {
	if g.yRow > 0 {
		return (index - g.first) * g.yRow
	}
	return g.yIndex.row(n, g.block, d, h)
}

// kernelRows does one kernel row after another, each with all output rows.
func (g *gradientPart) kernelRows() {
	c := g.conv
	g.planes, g.rows = 1, 1
	left := c.Kernel[2] / 2 * c.In.Lanes
	for kd := range c.Kernel[0] {
		for kh := range c.Kernel[1] {
			g.list.reset()
			n, d, h := c.outputRow(g.first)
			for index := g.first; index < g.last; index++ {
				sourceD, sourceH := d*c.Stride[0]+kd-c.Kernel[0]/2, h*c.Stride[1]+kh-c.Kernel[1]/2
				if sourceD >= 0 && sourceD < c.In.D && sourceH >= 0 && sourceH < c.In.H {
					g.list.add(g.index.row(n, g.inBlock, sourceD, sourceH)-left, g.row(index, n, d, h))
				}
				n, d, h = c.nextRow(n, d, h)
			}
			g.dst = g.weights[(kd*c.Kernel[1]+kh)*c.rowLen():]
			g.run()
		}
	}
}

// patches does all kernel rows at once for the output rows that see the same
// ones: those of a narrow input are short.
func (g *gradientPart) patches() {
	c := g.conv
	left := c.Kernel[2] / 2 * c.In.Lanes
	var key [4]int
	g.list.reset()
	for index := g.first; index < g.last; index++ {
		n, d, h := c.outputRow(index)
		sourceD, sourceH := d*c.Stride[0]-c.Kernel[0]/2, h*c.Stride[1]-c.Kernel[1]/2
		kd, kdEnd := covered(sourceD, c.Kernel[0], c.In.D)
		kh, khEnd := covered(sourceH, c.Kernel[1], c.In.H)
		if next := [4]int{kd, kdEnd, kh, khEnd}; next != key {
			g.run()
			g.list.reset()
			key = next
			g.planes, g.rows = kdEnd-kd, khEnd-kh
			g.dst = g.weights[(kd*c.Kernel[1]+kh)*c.rowLen():]
		}
		g.list.add(g.index.row(n, g.inBlock, sourceD+kd, sourceH+kh)-left, g.row(index, n, d, h))
	}
	g.run()
}
