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

	partial                    []float64 // per sample and block: 16 sums, 16 sums of products
	scale, shift               []float32
	factor, centre, offset, by []float32
}

// NewBatchNorm returns the normalisation of tensors of that shape.
func NewBatchNorm(s Shape) *BatchNorm {
	padded := s.Padded()
	vector := func() []float32 { return make([]float32, padded) }
	return &BatchNorm{
		Shape: s, Mean: make([]float64, padded), Variance: make([]float64, padded),
		scale: vector(), shift: vector(), factor: vector(), centre: vector(), offset: vector(), by: vector(),
	}
}

// SetBatch changes the number of samples.
func (b *BatchNorm) SetBatch(n int) { b.Shape.N = n }

// Count returns the number of values per channel.
func (b *BatchNorm) Count() int { return b.Shape.N * b.Shape.Voxels() }

// Measure sets Mean and Variance to those of x (N, C, D, H, W). Both come from
// the float64 sums of x and x².
func (b *BatchNorm) Measure(pool *Pool, x []float32) {
	b.Shape.check("normalisation input", x)
	count := float64(b.Count())
	b.sums(pool, x, b.Shape, x, func(channel int, sum, products float64) {
		mean := sum / count
		b.Mean[channel] = mean
		b.Variance[channel] = math.Max(0, products/count-float64(mean*mean))
	})
}

// sums gives, for each channel, the sum of y and the sum of x*y, in float64:
// per sample in row order, then over samples in order.
func (b *BatchNorm) sums(pool *Pool, x []float32, other Shape, y []float32, give func(channel int, sum, products float64)) {
	s := b.Shape
	blocks := s.Blocks()
	if need := s.N * blocks * 2 * Lanes; len(b.partial) < need {
		b.partial = make([]float64, need)
	}
	rows := s.D * s.H
	pool.Run(s.N*blocks, func(task int) {
		sums := (*[2 * Lanes]float64)(b.partial[task*2*Lanes:])
		clear(sums[:])
		for row := range rows {
			addProducts(sums, x[(task*rows+row)*s.RowLen()+s.Halo*Lanes:][:s.W*Lanes],
				y[(task*rows+row)*other.RowLen()+other.Halo*Lanes:][:s.W*Lanes])
		}
	})
	for channel := range s.Padded() {
		var sum, products float64
		for n := range s.N {
			part := b.partial[(n*blocks+channel/Lanes)*2*Lanes+channel%Lanes:]
			sum += part[0]
			products += part[Lanes]
		}
		give(channel, sum, products)
	}
}

// addProducts adds a row of y to the first 16 sums and x*y to the last 16. A
// product of two float32 is exact in float64.
func addProducts(sums *[2 * Lanes]float64, x, y []float32) {
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

// Apply: x (N, C, D, H, W), gamma (C), beta (C) -> y = x*scale + shift with
// scale = gamma/sqrt(Variance + Epsilon), shift = beta - Mean*scale, both
// rounded from float64.
func (b *BatchNorm) Apply(pool *Pool, x, gamma, beta, y []float32) {
	b.Shape.check("normalisation output", y)
	for channel := range b.Shape.C {
		scale := float64(gamma[channel]) / math.Sqrt(b.Variance[channel]+Epsilon)
		b.scale[channel] = float32(scale)
		b.shift[channel] = float32(float64(beta[channel]) - float64(b.Mean[channel]*scale))
	}
	forRows(pool, b.Shape, b.Shape, func(row, _ int) {
		block := row / (b.Shape.D * b.Shape.H * b.Shape.RowLen()) % b.Shape.Blocks() * Lanes
		scaleRow(x[row:][:b.Shape.W*Lanes], b.scale[block:], b.shift[block:], y[row:])
	})
}

func scaleRow(x, scale, shift, y []float32) {
	a, c := *(*[Lanes]float32)(scale), *(*[Lanes]float32)(shift)
	for len(x) >= Lanes && len(y) >= Lanes {
		from, to := (*[Lanes]float32)(x), (*[Lanes]float32)(y)
		for lane, v := range from {
			to[lane] = float32(v*a[lane]) + c[lane]
		}
		x, y = x[Lanes:], y[Lanes:]
	}
}

// Backward: x as given to Apply, dy (N, C, D, H, W) in layout gradient -> dx in
// place of dy, dgamma and dbeta (C), overwritten. With own, Mean and Variance
// are those of x itself (training); otherwise they are constants:
//
//	own:   dx = gamma/σ (dy - mean(dy) - x̂ mean(dy x̂)),  x̂ = (x - Mean)/σ, σ² = Variance + Epsilon
//	else:  dx = gamma/σ dy
//
// Sums are in float64, the expression per element in float32, in the order
// factor*((dy - offset) - (x - centre)*by).
func (b *BatchNorm) Backward(pool *Pool, x, gamma []float32, gradient Shape, dy []float32, own bool, dgamma, dbeta []float32) {
	gradient.check("normalisation gradient", dy)
	count := float64(b.Count())
	b.sums(pool, x, gradient, dy, func(channel int, sum, products float64) {
		if channel >= b.Shape.C {
			return
		}
		inverse := 1 / math.Sqrt(b.Variance[channel]+Epsilon)
		centred := products - float64(b.Mean[channel]*sum) // sum of dy*(x - Mean)
		dgamma[channel], dbeta[channel] = float32(centred*inverse), float32(sum)
		b.factor[channel] = float32(float64(gamma[channel]) * inverse)
		b.centre[channel] = float32(b.Mean[channel])
		b.offset[channel] = float32(sum / count)
		b.by[channel] = float32(float64(float64(centred*inverse)*inverse) / count)
	})
	forRows(pool, b.Shape, gradient, func(row, gradientRow int) {
		block := row / (b.Shape.D * b.Shape.H * b.Shape.RowLen()) % b.Shape.Blocks() * Lanes
		part := dy[gradientRow:][:b.Shape.W*Lanes]
		if own {
			b.backwardRow(x[row:], part, block)
		} else {
			factorRow(part, b.factor[block:])
		}
	})
}

func (b *BatchNorm) backwardRow(x, dy []float32, block int) {
	factor, centre := *(*[Lanes]float32)(b.factor[block:]), *(*[Lanes]float32)(b.centre[block:])
	offset, by := *(*[Lanes]float32)(b.offset[block:]), *(*[Lanes]float32)(b.by[block:])
	for len(dy) >= Lanes && len(x) >= Lanes {
		from, to := (*[Lanes]float32)(x), (*[Lanes]float32)(dy)
		for lane, v := range from {
			to[lane] = factor[lane] * ((to[lane] - offset[lane]) - float32((v-centre[lane])*by[lane]))
		}
		x, dy = x[Lanes:], dy[Lanes:]
	}
}

func factorRow(dy, factor []float32) {
	f := *(*[Lanes]float32)(factor)
	for ; len(dy) >= Lanes; dy = dy[Lanes:] {
		to := (*[Lanes]float32)(dy)
		for lane, v := range to {
			to[lane] = v * f[lane]
		}
	}
}
