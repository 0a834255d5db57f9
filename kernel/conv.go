package kernel

import "fmt"

// A Conv is the geometry of a convolution with "same" padding, k/2 on every
// side, as in PyTorch with padding=k//2:
//
//	y[n,o,d,h,w] = bias[o] + sum x[n,i,d*s+kd-p, h*s+kh-p, w*s+kw-p] weight[o,i,kd,kh,kw]
//
// A 2D convolution has depth, kernel depth and depth stride 1. A Conv holds
// scratch memory, so one Conv must not be used by two goroutines at once.
type Conv struct {
	In, Out Shape // In.Halo >= Kernel[2]/2
	Kernel  [3]int
	Stride  [3]int
	Direct  bool // no minimal filtering: every product of the definition is made; set before the first pass

	transposed  []float32 // weights with in and out exchanged, kw reversed
	transformed []float32 // weights of minimal filtering; of Forward or BackwardData, whichever was last
	partial     []float32 // partial sums of BackwardWeights

	forward    forwardPass
	data       dataPass
	weights    weightsPass
	workspaces workspaces
}

// NewConv returns the convolution of in to that many channels. The kernel's
// sizes must be odd, at most 7, and in.Halo at least half its width. The output has the
// given halo.
func NewConv(in Shape, channels int, kernel, stride [3]int, halo int) *Conv {
	size := [3]int{in.D, in.H, in.W}
	for axis, k := range kernel {
		if k < 1 || k%2 == 0 || k > 7 || stride[axis] < 1 {
			panic(fmt.Sprintf("kernel: convolution with kernel %v, stride %v: sizes must be odd and at most 7, strides positive", kernel, stride))
		}
		size[axis] = (size[axis] + stride[axis] - 1) / stride[axis]
	}
	if in.Halo < kernel[2]/2 {
		panic(fmt.Sprintf("kernel: convolution of width %d needs a halo of %d, input has %d", kernel[2], kernel[2]/2, in.Halo))
	}
	c := &Conv{In: in, Out: Blocked(in.N, channels, size[0], size[1], size[2], halo), Kernel: kernel, Stride: stride}
	c.forward.init(c)
	c.data.init(c)
	c.weights.init(c)
	return c
}

// SetBatch changes the number of samples of both shapes.
func (c *Conv) SetBatch(n int) { c.In.N, c.Out.N = n, n }

func (c *Conv) taps() int { return c.Kernel[0] * c.Kernel[1] * c.Kernel[2] }

// WeightLen returns the number of weights, padding included.
func (c *Conv) WeightLen() int { return c.Out.Padded() * c.In.Padded() * c.taps() }

// WeightIndex returns the offset of weight (o, i, kd, kh, kw).
func (c *Conv) WeightIndex(o, i, kd, kh, kw int) int {
	return c.weightRow(o/Lanes, i/c.In.Lanes, kd, kh) + (kw*c.In.Lanes+i%c.In.Lanes)*Lanes + o%Lanes
}

// weightRow returns the offset of the weights [kw][in lane][out lane] of one
// kernel row.
func (c *Conv) weightRow(outBlock, inBlock, kd, kh int) int {
	return (((outBlock*c.In.Blocks()+inBlock)*c.Kernel[0]+kd)*c.Kernel[1] + kh) * c.rowLen()
}

// rowLen returns the number of weights of one kernel row and pair of blocks.
func (c *Conv) rowLen() int { return c.Kernel[2] * c.In.Lanes * Lanes }

// FLOPs returns the nominal number of additions and multiplications of one
// pass (forward, backward data and backward weights cost the same), positions
// in the padding included.
func (c *Conv) FLOPs() int64 {
	return 2 * int64(c.Out.N) * int64(c.Out.C) * int64(c.Out.Voxels()) * int64(c.In.C) * int64(c.taps())
}

// ScratchLen returns the number of elements of scratch memory that
// BackwardWeights and, with data, BackwardData allocate, and Forward where it
// filters minimally, with one worker. Each further worker takes less than that again.
func (c *Conv) ScratchLen(data bool) int {
	size := 0
	if data && !c.minimal() {
		size += c.WeightLen()
	}
	splits := c.splits()
	if c.minimal() {
		tiles, products, sums := c.minimalWorkspace()
		size += c.transformedLen() + tiles + products + sums
	}
	if c.minimalGradient() {
		splits = c.minimalSplits()
	}
	if splits > 1 {
		size += splits * c.WeightLen()
	}
	return size
}

// A chunk is the part of an output that one task does while it stays in the
// cache: of the samples [n, nEnd) and the blocks [block, block+blocks) the rows
// [h, hEnd) of the planes [d, dEnd).
type chunk struct{ n, nEnd, block, blocks, d, dEnd, h, hEnd int }

// chunks divides a shape. Chunks of the planes and rows of a pooling window
// keep it whole. How rows are divided depends on the size of the image alone;
// how many samples and blocks a chunk has must not matter.
type chunks struct {
	shape                         Shape
	planes, rows, blocks, samples int // of a chunk

	planeGroups, rowGroups, blockGroups, number int
}

const (
	cachedVoxels = 512 // of a channel block in a chunk: 32 KB
	leastChunks  = 32  // so that all workers end at about the same time
)

// divide returns the chunks of a shape; pooled is the depth of the pooling
// window that the chunks keep whole, 0 for none.
func divide(s Shape, pooled, blocks int) chunks {
	c := chunks{shape: s, planes: max(1, pooled), blocks: blocks}
	c.rows = max(2, cachedVoxels/(s.W*c.planes)/2*2)
	c.rows = min(c.rows, s.H+s.H%2)
	c.planeGroups, c.rowGroups, c.blockGroups = s.D/c.planes, s.H/c.rows, (s.Blocks()+blocks-1)/blocks
	if pooled == 0 || s.H < c.rows {
		c.rowGroups = (s.H + c.rows - 1) / c.rows
	}
	c.planeGroups, c.rowGroups = max(1, c.planeGroups), max(1, c.rowGroups)
	perSample := c.blockGroups * c.planeGroups * c.rowGroups
	c.samples = max(1, min(s.N, cachedVoxels/(c.planes*c.rows*s.W), s.N*perSample/leastChunks))
	c.number = (s.N + c.samples - 1) / c.samples * perSample
	return c
}

// at returns a chunk. What an odd size leaves over belongs to the last.
func (c *chunks) at(index int) chunk {
	rowGroup, rest := index%c.rowGroups, index/c.rowGroups
	planeGroup, rest := rest%c.planeGroups, rest/c.planeGroups
	block, n := rest%c.blockGroups*c.blocks, rest/c.blockGroups*c.samples
	part := chunk{n: n, nEnd: min(n+c.samples, c.shape.N), block: block, blocks: min(c.blocks, c.shape.Blocks()-block),
		d: planeGroup * c.planes, h: rowGroup * c.rows}
	part.dEnd, part.hEnd = part.d+c.planes, part.h+c.rows
	if planeGroup == c.planeGroups-1 {
		part.dEnd = c.shape.D
	}
	if rowGroup == c.rowGroups-1 {
		part.hEnd = c.shape.H
	}
	return part
}

// largest returns a chunk that is as large as any, with as many neighbours around it.
func (c *chunks) largest() chunk {
	planes := max(c.planes, c.shape.D-(c.planeGroups-1)*c.planes)
	rows := max(c.rows, c.shape.H-(c.rowGroups-1)*c.rows)
	planes, rows = min(planes, c.shape.D), min(rows, c.shape.H)
	d, h := min(1, c.shape.D-planes), min(1, c.shape.H-rows)
	return chunk{nEnd: c.samples, blocks: c.blocks, d: d, dEnd: d + planes, h: h, hEnd: h + rows}
}

// most returns the number of elements of the largest chunk.
func (c *chunks) most() int {
	part := c.largest()
	return part.nEnd * part.blocks * (part.dEnd - part.d) * (part.hEnd - part.h) * c.shape.W * Lanes
}

// ordinal returns the place of a chunk's rows among those of its sample and block.
func (c *chunks) ordinal(part chunk) int { return part.d/c.planes*c.rowGroups + part.h/c.rows }

// A column is consecutive chunks along the depth: what minimal filtering makes of
// a plane of the input serves the next chunk too.

// columnPlanes is the number of planes that a column has where there are tasks
// enough.
const columnPlanes = 16

// column returns how many chunks make a column under a kernel of that depth.
func (c *chunks) column(kernelDepth int) int {
	if kernelDepth == 1 {
		return 1
	}
	spare := c.number / leastChunks // chunks that a column may have for tasks enough
	return max(1, min(columnPlanes/c.planes, c.planeGroups, spare))
}

// columns returns the number of columns of that many chunks.
func (c *chunks) columns(size int) int {
	return c.number / c.planeGroups * ((c.planeGroups + size - 1) / size)
}

// columnAt returns the chunks of a column: first, first + rowGroups, ... before end.
func (c *chunks) columnAt(index, size int) (first, end int) {
	rowGroup, rest := index%c.rowGroups, index/c.rowGroups
	columns := (c.planeGroups + size - 1) / size
	planeGroup, rest := rest%columns*size, rest/columns*c.planeGroups
	return (rest+planeGroup)*c.rowGroups + rowGroup, (rest + min(planeGroup+size, c.planeGroups)) * c.rowGroups
}
