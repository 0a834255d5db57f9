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

	partial      []float64 // per sample and block: 16 sums, 16 sums of products
	scale, shift []float32
	gradient     NormGradient
}

// A NormGradient holds what the backward pass of a normalisation does to the
// gradient of each channel:
//
//	dx = factor*((dy - offset) - (x - centre)*by)
//
// in float32 and in this order.
type NormGradient struct{ factor, centre, offset, by []float32 }

// normLanes are the 16 channels of a block of a NormGradient.
type normLanes struct{ factor, centre, offset, by [Lanes]float32 }

func (g *NormGradient) lanes(block int) normLanes {
	at := block * Lanes
	return normLanes{[Lanes]float32(g.factor[at:]), [Lanes]float32(g.centre[at:]), [Lanes]float32(g.offset[at:]), [Lanes]float32(g.by[at:])}
}

// NewBatchNorm returns the normalisation of tensors of that shape.
func NewBatchNorm(s Shape) *BatchNorm {
	padded := s.Padded()
	vector := func() []float32 { return make([]float32, padded) }
	return &BatchNorm{
		Shape: s, Mean: make([]float64, padded), Variance: make([]float64, padded),
		scale: vector(), shift: vector(), gradient: NormGradient{vector(), vector(), vector(), vector()},
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
	b.sums(pool, b.Shape, x, b.Shape, x, func(channel int, sum, products float64) {
		mean := sum / count
		b.Mean[channel] = mean
		b.Variance[channel] = math.Max(0, products/count-float64(mean*mean))
	})
}

// sums gives, for each channel, the sum of y and the sum of x*y, in float64:
// per sample in row order, then over samples in order.
func (b *BatchNorm) sums(pool *Pool, s Shape, x []float32, other Shape, y []float32, give func(channel int, sum, products float64)) {
	s.check("normalised tensor", x)
	other.check("normalised tensor", y)
	blocks := s.Blocks()
	if need := s.N * blocks * 2 * Lanes; len(b.partial) < need {
		b.partial = make([]float64, need)
	}
	rows := s.D * s.H
	pool.Run(s.N*blocks, func(task int) {
		sums := (*[2 * Lanes]float64)(b.partial[task*2*Lanes:])
		clear(sums[:])
		for row := range rows {
			addProductsFast(sums, x[(task*rows+row)*s.RowLen()+s.Halo*Lanes:][:s.W*Lanes],
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
func (b *BatchNorm) Affine(gamma, beta []float32) (scale, shift []float32) {
	for channel := range b.Shape.C {
		scale := float64(gamma[channel]) / math.Sqrt(b.Variance[channel]+Epsilon)
		b.scale[channel] = float32(scale)
		b.shift[channel] = float32(float64(beta[channel]) - float64(b.Mean[channel]*scale))
	}
	return b.scale, b.shift
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
// The sums are in float64, in the order of Measure.
func (b *BatchNorm) Gradients(pool *Pool, s Shape, x, gamma []float32, gradient Shape, dy []float32, own bool, dgamma, dbeta []float32) *NormGradient {
	count, g := float64(b.Count()), &b.gradient
	b.sums(pool, s, x, gradient, dy, func(channel int, sum, products float64) {
		if channel >= b.Shape.C {
			return
		}
		inverse := 1 / math.Sqrt(b.Variance[channel]+Epsilon)
		centred := products - float64(b.Mean[channel]*sum) // sum of dy*(x - Mean)
		dgamma[channel], dbeta[channel] = float32(centred*inverse), float32(sum)
		g.factor[channel] = float32(float64(gamma[channel]) * inverse)
		g.centre[channel] = float32(b.Mean[channel])
		g.offset[channel], g.by[channel] = 0, 0
		if own {
			g.offset[channel] = float32(sum / count)
			g.by[channel] = float32(float64(float64(centred*inverse)*inverse) / count)
		}
	})
	return g
}

// normBackwardRow does a row of dx in place of dy.
func normBackwardRow(x []float32, g *normLanes, dy []float32) {
	for len(dy) >= Lanes && len(x) >= Lanes {
		from, to := (*[Lanes]float32)(x), (*[Lanes]float32)(dy)
		for lane, v := range from {
			to[lane] = g.factor[lane] * ((to[lane] - g.offset[lane]) - float32((v-g.centre[lane])*g.by[lane]))
		}
		x, dy = x[Lanes:], dy[Lanes:]
	}
}
