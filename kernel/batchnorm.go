package kernel

import "math"

// Epsilon is added to the variance before its root is taken, as in PyTorch.
const Epsilon = 1e-5

// A BatchNorm normalises each channel over samples and voxels:
//
//	z = (y - mean)/sqrt(variance + Epsilon) * gamma + beta
//
// It holds the statistics and scratch memory of one layer; all its slices have
// Shape.Padded() elements and are zero in padding channels.
type BatchNorm struct {
	Shape          Shape
	Mean, Variance []float64 // of the last Measure or Use; the variance divides by n

	chunks    chunks
	partial   []float64 // per chunk: 16 sums, 16 sums of products
	affine    Affine
	gradient  NormGradient
	perSample bool // the channels are those of all samples of a GroupNorm

	left, right              Shape // of x and y
	x, y                     []float32
	after                    Activated
	measureTask, productTask func(task int)
	sum, products            []float64 // per channel
}

// An Affine is a normalisation as x*Scale + Shift, of each channel (C padded) or,
// by a GroupNorm, of each channel of each sample (N, C padded).
type Affine struct {
	Scale, Shift []float32
	perSample    bool
}

// A NormGradient holds what the backward pass of a normalisation does to the
// gradient of each channel, or of each channel of each sample:
//
//	dx = factor*((dy*before - offset) - (x - centre)*by)
//
// in float32 and in this order.
type NormGradient struct {
	before                     []float32 // nil: dy is not multiplied
	factor, centre, offset, by []float32
	blocks                     []normLanes // factor to by, by blocks
	constant                   bool        // offset and by are zero
	perSample                  bool
}

// Begin does to dy (N, C, D, H, W) what needs nothing but dy, in place, and
// returns what is left to do: nil for nothing, as where the statistics are
// constants.
func (g *NormGradient) Begin(pool *Pool, s Shape, dy []float32) *NormGradient {
	switch {
	case g.constant:
		ScaleChannels(pool, s, g.factor, dy)
		return nil
	case g.before != nil:
		ScaleChannels(pool, s.separate(), g.before, dy)
	}
	return g
}

// block returns what is done to plane (n, block, d) of a tensor.
func (g *NormGradient) block(s *Shape, plane int) *normLanes {
	if g.perSample {
		return &g.blocks[plane/s.D]
	}
	return &g.blocks[plane/s.D%s.Blocks()]
}

// normLanes are the 16 channels of a block of a NormGradient.
type normLanes struct{ factor, centre, offset, by [Lanes]float32 }

// backward returns the gradient of x, whose normalised value has the gradient dy.
func (g *normLanes) backward(lane int, x, dy float32) float32 {
	return g.factor[lane] * ((dy - g.offset[lane]) - float32((x-g.centre[lane])*g.by[lane]))
}

// fill gathers the lanes of every block.
func (g *NormGradient) fill() {
	g.blocks = g.blocks[:0]
	for block := range len(g.factor) / Lanes {
		g.blocks = append(g.blocks, g.lanes(block))
	}
}

func (g *NormGradient) lanes(block int) normLanes {
	at := block * Lanes
	return normLanes{[Lanes]float32(g.factor[at:]), [Lanes]float32(g.centre[at:]), [Lanes]float32(g.offset[at:]), [Lanes]float32(g.by[at:])}
}

// NewBatchNorm returns the normalisation of tensors of that shape.
func NewBatchNorm(s Shape) *BatchNorm {
	b := new(BatchNorm)
	b.measureTask, b.productTask = b.measureChunk, b.addPlanes
	b.resize(s)
	vector := func() []float32 { return make([]float32, s.Padded()) }
	b.affine = Affine{Scale: vector(), Shift: vector()}
	b.gradient = NormGradient{factor: vector(), centre: vector(), offset: vector(), by: vector()}
	return b
}

// resize changes the shape, with memory for the moments of its channels.
func (b *BatchNorm) resize(s Shape) {
	b.Shape = s
	if padded := s.Padded(); len(b.Mean) < padded {
		b.Mean, b.Variance = make([]float64, padded), make([]float64, padded)
		b.sum, b.products = make([]float64, padded), make([]float64, padded)
	}
}

// SetBatch changes the number of samples.
func (b *BatchNorm) SetBatch(n int) { b.Shape.N = n }

// Count returns the number of values per channel.
func (b *BatchNorm) Count() int { return b.Shape.N * b.Shape.Voxels() }

// Measure sets Mean and Variance to those of x (N, C, D, H, W). Both come from
// the float64 sums of x and x² over chunks of rows (see divide), in order, to
// which the chunks' sums are added up in order.
func (b *BatchNorm) Measure(pool *Pool, x []float32) {
	b.Shape.check("normalisation input", x)
	b.x = x
	b.begin(divide(b.Shape, 0, 1))
	pool.Run(b.chunks.number, b.measureTask)
	b.end()
	b.x = nil
}

func (b *BatchNorm) measureChunk(task int) {
	part, s, row := b.chunks.at(task), &b.Shape, b.Shape.RowLen()
	for n := part.n; n < part.nEnd; n++ {
		rows := chunkRows{b.x[s.Row(n, part.block, part.d, part.h):], 0, s.D * s.H * row, s.H * row, row}
		b.finish(&b.chunks, part, n, rows)
	}
}

// begin prepares for the sums of the chunks.
func (b *BatchNorm) begin(c chunks) {
	b.chunks = c
	if need := b.Shape.N * b.Shape.Blocks() * c.planeGroups * c.rowGroups * 2 * Lanes; len(b.partial) < need {
		b.partial = make([]float64, need)
	}
}

// measure sums the rows of block k of a chunk; plane is n*blocks + the block.
func (b *BatchNorm) measure(rows chunkRows, part chunk, k, plane, ordinal int) {
	sums := (*[2 * Lanes]float64)(b.partial[(plane*b.chunks.planeGroups*b.chunks.rowGroups+ordinal)*2*Lanes:])
	clear(sums[:])
	for d := range part.dEnd - part.d {
		for h := range part.hEnd - part.h {
			addSquaresFast(sums, rows.data[k*rows.block+d*rows.plane+h*rows.row:][:b.Shape.W*Lanes])
		}
	}
}

// end sets Mean and Variance from the sums of the chunks.
func (b *BatchNorm) end() {
	count := float64(b.Count())
	blocks, ordinals := b.Shape.Blocks(), b.chunks.planeGroups*b.chunks.rowGroups
	for block := range blocks {
		var total [2 * Lanes]float64
		for n := range b.Shape.N {
			for ordinal := range ordinals {
				for i, v := range b.partial[((n*blocks+block)*ordinals+ordinal)*2*Lanes:][:2*Lanes] {
					total[i] += v
				}
			}
		}
		for lane := range Lanes {
			mean := total[lane] / count
			b.Mean[block*Lanes+lane] = mean
			b.Variance[block*Lanes+lane] = math.Max(0, total[Lanes+lane]/count-float64(mean*mean))
		}
	}
}

// finish measures a sample of a chunk.
func (b *BatchNorm) finish(c *chunks, part chunk, n int, rows chunkRows) {
	for k := range part.blocks {
		b.measure(rows, part, k, n*c.shape.Blocks()+part.block+k, c.ordinal(part))
	}
}

// ForwardMeasured is Forward followed by Measure of y.
func (c *Conv) ForwardMeasured(pool *Pool, x, weight, bias, y []float32, norm *BatchNorm) {
	c.Out.check("convolution output", y)
	norm.begin(divide(c.Out, 0, 1))
	c.run(pool, x, weight, bias, y, 0, norm)
	norm.end()
}

// addSquaresGo adds a row of x to the first 16 sums and x*x to the last 16. A
// product of two float32 is exact in float64.
func addSquaresGo(sums *[2 * Lanes]float64, x []float32) {
	for ; len(x) >= Lanes; x = x[Lanes:] {
		for lane, v := range (*[Lanes]float32)(x) {
			sums[lane] += float64(v)
			sums[Lanes+lane] += float64(float64(v) * float64(v))
		}
	}
}

// addUp sets, for each channel, the sum of y and the sum of x*y, in float64:
// per sample in row order, then over samples in order. Before that it makes y, the
// gradient of what an activation gave, that of the activation's input.
func (b *BatchNorm) addUp(pool *Pool, s Shape, x []float32, after Activated, other Shape, y []float32) {
	s.check("normalised tensor", x)
	other.check("normalised tensor", y)
	if need := s.N * s.Blocks() * 2 * Lanes; len(b.partial) < need {
		b.partial = make([]float64, need)
	}
	b.left, b.right, b.x, b.y, b.after = s, other, x, y, after
	pool.Run(s.N*s.Blocks(), b.productTask)
	b.x, b.y, b.after = nil, nil, Activated{}
	clear(b.sum)
	clear(b.products)
	for n := range s.N {
		for channel := range s.Padded() {
			part := b.partial[(n*s.Blocks()+channel/Lanes)*2*Lanes+channel%Lanes:]
			b.sum[channel] += part[0]
			b.products[channel] += part[Lanes]
		}
	}
}

// addPlanes does one sample and block of addUp.
func (b *BatchNorm) addPlanes(task int) {
	sums := (*[2 * Lanes]float64)(b.partial[task*2*Lanes:])
	clear(sums[:])
	for d := range b.left.D {
		for h := range b.left.H {
			dy := b.right.row(b.y, task*b.left.D+d, h)
			if b.after.Y != nil {
				b.after.Activation.backwardRow(b.after.Shape.row(b.after.Y, task*b.left.D+d, h), dy)
			}
			addProductsFast(sums, b.left.row(b.x, task*b.left.D+d, h), dy)
		}
	}
}

// addProductsGo adds a row of y to the first 16 sums and x*y to the last 16. A
// product of two float32 is exact in float64.
func addProductsGo(sums *[2 * Lanes]float64, x, y []float32) {
	for len(x) >= Lanes && len(y) >= Lanes {
		left, right := (*[Lanes]float32)(x), (*[Lanes]float32)(y)
		for lane, v := range right {
			sums[lane] += float64(v)
			sums[Lanes+lane] += float64(float64(left[lane]) * float64(v))
		}
		x, y = x[Lanes:], y[Lanes:]
	}
}

// Use sets Mean and Variance to given statistics (C), as for inference.
func (b *BatchNorm) Use(mean, variance []float32) {
	for channel := range b.Shape.C {
		b.Mean[channel], b.Variance[channel] = float64(mean[channel]), float64(variance[channel])
	}
}

// Affine returns the normalisation as y = x*scale + shift, with scale =
// gamma/sqrt(Variance + Epsilon) and shift = beta - Mean*scale, both rounded
// from float64. The slices are valid until the next call.
func (b *BatchNorm) Affine(gamma, beta []float32) Affine {
	for channel := range b.Shape.C {
		scale := float64(gamma[channel]) / math.Sqrt(b.Variance[channel]+Epsilon)
		b.affine.Scale[channel] = float32(scale)
		b.affine.Shift[channel] = float32(float64(beta[channel]) - float64(b.Mean[channel]*scale))
	}
	return b.affine
}

// Gradients: x, dy (N, C, ...) in layouts s and gradient -> dgamma and dbeta
// (C), overwritten, and what to do to dy. x and dy may leave out voxels where
// dy is zero: they need not have the volume of Shape. With own, Mean and
// Variance are those of the normalised tensor itself (training); otherwise they
// are constants:
//
//	own:   dx = gamma/σ (dy - mean(dy) - x̂ mean(dy x̂)),  x̂ = (x - Mean)/σ, σ² = Variance + Epsilon
//	else:  dx = gamma/σ dy
//
// The sums are in float64, per sample in row order, the samples' sums in order.
// Where an activation follows, what it gave may be given: dy is then the gradient
// of that, and becomes that of the normalisation's output.
func (b *BatchNorm) Gradients(pool *Pool, s Shape, x, gamma []float32, after Activated, gradient Shape, dy []float32, own bool, dgamma, dbeta []float32) *NormGradient {
	count, g := float64(b.Count()), &b.gradient
	b.addUp(pool, s, x, after, gradient, dy)
	g.constant = !own
	for channel, sum := range b.sum[:b.Shape.C] {
		inverse := 1 / math.Sqrt(b.Variance[channel]+Epsilon)
		centred := b.products[channel] - float64(b.Mean[channel]*sum) // sum of dy*(x - Mean)
		dgamma[channel], dbeta[channel] = float32(centred*inverse), float32(sum)
		g.factor[channel] = float32(float64(gamma[channel]) * inverse)
		g.centre[channel] = float32(b.Mean[channel])
		g.offset[channel], g.by[channel] = 0, 0
		if own {
			g.offset[channel] = float32(sum / count)
			g.by[channel] = float32(float64(float64(centred*inverse)*inverse) / count)
		}
	}
	g.fill()
	return g
}
