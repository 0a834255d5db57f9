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

	transposed []float32 // weights with in and out exchanged, kw reversed
	partial    []float32 // partial sums of BackwardWeights
}

// NewConv returns the convolution of in to that many channels. The kernel's
// sizes must be odd and in.Halo at least half its width. The output has the
// given halo.
func NewConv(in Shape, channels int, kernel, stride [3]int, halo int) *Conv {
	size := [3]int{in.D, in.H, in.W}
	for axis, k := range kernel {
		if k < 1 || k%2 == 0 || stride[axis] < 1 {
			panic(fmt.Sprintf("kernel: convolution with kernel %v, stride %v: sizes must be odd, strides positive", kernel, stride))
		}
		size[axis] = (size[axis] + stride[axis] - 1) / stride[axis]
	}
	if in.Halo < kernel[2]/2 {
		panic(fmt.Sprintf("kernel: convolution of width %d needs a halo of %d, input has %d", kernel[2], kernel[2]/2, in.Halo))
	}
	return &Conv{In: in, Out: Blocked(in.N, channels, size[0], size[1], size[2], halo), Kernel: kernel, Stride: stride}
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
	return (((outBlock*c.In.Blocks()+inBlock)*c.Kernel[0]+kd)*c.Kernel[1] + kh) * c.Kernel[2] * c.In.Lanes * Lanes
}

// FLOPs returns the nominal number of additions and multiplications of one
// pass (forward, backward data and backward weights cost the same), positions
// in the padding included.
func (c *Conv) FLOPs() int64 {
	return 2 * int64(c.Out.N) * int64(c.Out.C) * int64(c.Out.Voxels()) * int64(c.In.C) * int64(c.taps())
}

// rowsPerTask is the number of output rows that a task of a convolution does.
const rowsPerTask = 8

// Forward: x (N, C, D, H, W), weight (O, C, kD, kH, kW), bias (O) or nil -> y (N, O, D', H', W').
// Each output starts with the bias and adds the products in the order input
// block, kd, kh, kw, input lane. The halo of x must be zero, that of y is not
// written. bias has Out.Padded() elements.
func (c *Conv) Forward(pool *Pool, x, weight, bias, y []float32) {
	c.In.check("convolution input", x)
	c.Out.check("convolution output", y)
	out := c.Out
	groups := (out.H + rowsPerTask - 1) / rowsPerTask
	pool.Run(out.N*out.Blocks()*out.D*groups, func(task int) {
		group, rest := task%groups, task/groups
		d, rest := rest%out.D, rest/out.D
		block, n := rest%out.Blocks(), rest/out.Blocks()
		source := rowSource{index: c.In.rowIndex()}
		for h := group * rowsPerTask; h < min(out.H, (group+1)*rowsPerTask); h++ {
			row := y[out.Row(n, block, d, h):][:out.W*Lanes]
			if bias == nil {
				clear(row)
			} else {
				for w := range out.W {
					copy(row[w*Lanes:][:Lanes], bias[block*Lanes:])
				}
			}
			c.forwardRow(&source, x, weight, row, n, block, d, h)
		}
	})
}

// A rowSource is what the rows of a task share: where the rows of the operand
// lie, and the list that gathers them.
type rowSource struct {
	index rowIndex
	list  tapList
}

// forwardRow adds all products to one row of the output.
func (c *Conv) forwardRow(source *rowSource, x, weight, row []float32, n, block, d, h int) {
	in, index, list := &c.In, &source.index, &source.list
	depth := c.Kernel[2] * in.Lanes
	left := c.Kernel[2] / 2 * in.Lanes
	weights := c.weightRow(block, 0, 0, 0)
	run := func(list []tap) {
		accumulateRow(row, x, weight, list, c.Out.W, Lanes, c.Stride[2]*in.Lanes, depth)
	}
	for inBlock := range index.blocks {
		for kd := range c.Kernel[0] {
			sourceD := d*c.Stride[0] + kd - c.Kernel[0]/2
			if sourceD < 0 || sourceD >= in.D {
				continue
			}
			for kh := range c.Kernel[1] {
				sourceH := h*c.Stride[1] + kh - c.Kernel[1]/2
				if sourceH < 0 || sourceH >= in.H {
					continue
				}
				if list.full() {
					run(list.take())
				}
				list.add(index.row(n, inBlock, sourceD, sourceH)-left, weights+((inBlock*c.Kernel[0]+kd)*c.Kernel[1]+kh)*depth*Lanes)
			}
		}
	}
	run(list.take())
}

// BackwardData: dy (N, O, D', H', W'), weight (O, C, kD, kH, kW) -> dx (N, C, D, H, W), layout dx Shape.
// Each element adds its products to zero in the order output block, kd, kh, kw
// from last to first, output lane. The halo of dy, at least kW/2 wide, must be
// zero. The input must have 16 lanes.
func (c *Conv) BackwardData(pool *Pool, dy, weight []float32, layout Shape, dx []float32) {
	if c.In.Lanes != Lanes || c.Out.Halo < c.Kernel[2]/2 || !sameVolume(layout, c.In) {
		panic("kernel: backward data needs 16 input lanes, a halo of half the kernel on the output and the input's shape")
	}
	c.Out.check("output gradient", dy)
	layout.check("input gradient", dx)
	c.transpose(pool, weight)
	groups := (layout.H + rowsPerTask - 1) / rowsPerTask
	pool.Run(layout.N*layout.Blocks()*layout.D*groups, func(task int) {
		group, rest := task%groups, task/groups
		d, rest := rest%layout.D, rest/layout.D
		block, n := rest%layout.Blocks(), rest/layout.Blocks()
		source := rowSource{index: c.Out.rowIndex()}
		for h := group * rowsPerTask; h < min(layout.H, (group+1)*rowsPerTask); h++ {
			row := dx[layout.Row(n, block, d, h):][:layout.W*Lanes]
			clear(row)
			for phase := range min(c.Stride[2], layout.W) {
				c.backwardDataRow(&source, dy, row, n, block, d, h, phase)
			}
		}
	})
}

// backwardDataRow adds all products to the voxels phase, phase+stride, ... of
// one row: those that see the same kernel columns.
func (c *Conv) backwardDataRow(from *rowSource, dy, row []float32, n, block, d, h, phase int) {
	out, index, list, stride := &c.Out, &from.index, &from.list, c.Stride[2]
	voxels := (c.In.W - phase + stride - 1) / stride
	run := func(list []tap, columns int) {
		accumulateRow(row[phase*Lanes:], dy, c.transposed, list, voxels, stride*Lanes, Lanes, columns*Lanes)
	}
	columns := 1 // kernel columns per tap: all of them lie side by side at stride 1
	if stride == 1 {
		columns = c.Kernel[2]
	}
	for outBlock := range index.blocks {
		for kd := range c.Kernel[0] {
			sourceD, ok := source(d+c.Kernel[0]/2-kd, c.Stride[0], out.D)
			if !ok {
				continue
			}
			for kh := range c.Kernel[1] {
				sourceH, ok := source(h+c.Kernel[1]/2-kh, c.Stride[1], out.H)
				if !ok {
					continue
				}
				base := index.row(n, outBlock, sourceD, sourceH)
				weight := (((block*index.blocks+outBlock)*c.Kernel[0]+kd)*c.Kernel[1] + kh) * c.Kernel[2] * Lanes * Lanes
				for column := 0; column < c.Kernel[2]; column += columns {
					position := phase - c.Kernel[2]/2 + column // w + p - kw with kw = k-1-column
					if position%stride != 0 {
						continue
					}
					if list.full() {
						run(list.take(), columns)
					}
					list.add(base+position/stride*Lanes, weight+column*Lanes*Lanes)
				}
			}
		}
	}
	run(list.take(), columns)
}

// source returns position/stride where that is a whole number within size.
func source(position, stride, size int) (int, bool) {
	return position / stride, position >= 0 && position%stride == 0 && position/stride < size
}

// transpose fills c.transposed with [in block][out block][kd][kh][kw reversed][out lane][in lane].
func (c *Conv) transpose(pool *Pool, weight []float32) {
	if len(c.transposed) < c.WeightLen() {
		c.transposed = make([]float32, c.WeightLen())
	}
	const tile = Lanes * Lanes
	columns := c.Kernel[2]
	rows := c.Kernel[0] * c.Kernel[1]
	ins, outs := c.In.Blocks(), c.Out.Blocks()
	pool.Run(ins*outs, func(task int) {
		inBlock, outBlock := task/outs, task%outs
		for row := range rows {
			for kw := range columns {
				from := (*[tile]float32)(weight[(((outBlock*ins+inBlock)*rows+row)*columns+kw)*tile:])
				to := (*[tile]float32)(c.transposed[(((inBlock*outs+outBlock)*rows+row)*columns+columns-1-kw)*tile:])
				for i := range Lanes {
					for o := range Lanes {
						to[o*Lanes+i] = from[i*Lanes+o]
					}
				}
			}
		}
	})
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

// BackwardWeights: x (N, C, D, H, W), dy (N, O, D', H', W') -> dw (O, C, kD, kH, kW), overwritten.
// The output rows (n, d, h) are divided into splits() runs of nearly equal
// length; in each run the products are added to zero in the order n, d, h, w;
// then the runs' sums are added in order.
func (c *Conv) BackwardWeights(pool *Pool, x, dy, dw []float32) {
	c.In.check("convolution input", x)
	c.Out.check("output gradient", dy)
	splits, size := c.splits(), c.WeightLen()
	sums := dw[:size]
	if splits > 1 {
		if len(c.partial) < splits*size {
			c.partial = make([]float32, splits*size)
		}
		sums = c.partial[:splits*size]
	}
	pairs := c.blockPairs()
	part := size / pairs
	rows := c.Out.N * c.Out.D * c.Out.H
	pool.Run(pairs*splits, func(task int) {
		pair, split := task/splits, task%splits
		sum := sums[split*size+pair*part:][:part]
		clear(sum)
		c.backwardWeightsRun(x, dy, sum, pair, split*rows/splits, (split+1)*rows/splits)
	})
	if splits > 1 {
		const chunk = 4096
		pool.Run((size+chunk-1)/chunk, func(task int) {
			addRuns(sums[task*chunk:], splits, size, dw[task*chunk:min(size, (task+1)*chunk)])
		})
	}
}

// ScratchLen returns the number of elements of scratch memory that
// BackwardWeights and, with data, BackwardData allocate.
func (c *Conv) ScratchLen(data bool) int {
	size := 0
	if data {
		size += c.WeightLen()
	}
	if splits := c.splits(); splits > 1 {
		size += splits * c.WeightLen()
	}
	return size
}

// addRuns sets dst to the sum of the runs that lie size elements apart.
func addRuns(runs []float32, splits, size int, dst []float32) {
	copy(dst, runs)
	for split := 1; split < splits; split++ {
		run := runs[split*size:][:len(dst)]
		for i, v := range run {
			dst[i] += v
		}
	}
}

// cachedRow is the number of elements of the output's gradient that should stay
// in the cache while all kernel rows use them.
const cachedRow = 16384

// backwardWeightsRun adds to sum, the gradient of one pair of blocks, the
// products of the output rows [first, last).
func (c *Conv) backwardWeightsRun(x, dy, sum []float32, pair, first, last int) {
	step := min(max(1, cachedRow/(c.Out.W*Lanes)), len(tapList{}.taps))
	part := c.Kernel[2] * c.In.Lanes * Lanes
	for ; first < last; first += step {
		for row := range c.Kernel[0] * c.Kernel[1] {
			c.backwardWeightsRows(x, dy, sum[row*part:][:part], pair, row, first, min(last, first+step))
		}
	}
}

// backwardWeightsRows adds the products of at most as many output rows as a
// list holds to the gradient of one kernel row.
func (c *Conv) backwardWeightsRows(x, dy, sum []float32, pair, kernelRow, first, last int) {
	var list tapList
	in, out := &c.In, &c.Out
	inIndex, outIndex := in.rowIndex(), out.rowIndex()
	left := c.Kernel[2] / 2 * in.Lanes
	kd, kh := kernelRow/c.Kernel[1], kernelRow%c.Kernel[1]
	inBlock, outBlock := pair%inIndex.blocks, pair/inIndex.blocks
	for row := first; row < last; row++ {
		h, rest := row%out.H, row/out.H
		d, n := rest%out.D, rest/out.D
		sourceD := d*c.Stride[0] + kd - c.Kernel[0]/2
		sourceH := h*c.Stride[1] + kh - c.Kernel[1]/2
		if sourceD >= 0 && sourceD < in.D && sourceH >= 0 && sourceH < in.H {
			list.add(inIndex.row(n, inBlock, sourceD, sourceH)-left, outIndex.row(n, outBlock, d, h))
		}
	}
	accumulateOuter(sum, x, dy, list.take(), out.W, c.Stride[2]*in.Lanes, c.Kernel[2]*in.Lanes)
}
