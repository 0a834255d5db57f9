package kernel

import (
	"fmt"
	"math"
)

// A GroupNorm normalises each group of channels of each sample (Wu and He 2018,
// Group normalization), as PyTorch's GroupNorm does:
//
//	z = (y - mean)/sqrt(variance + Epsilon) * gamma + beta
//
// with the mean and the variance (dividing by n) over the voxels and the channels
// of the group, and gamma and beta of the channel. It holds the statistics and
// scratch memory of one layer.
//
// The moments of each channel of each sample are those that a BatchNorm measures
// when it takes the channels of all samples for those of one; see Shape.separate.
type GroupNorm struct {
	Shape  Shape
	Groups int

	channels       *BatchNorm
	mean, variance []float64 // of group g of sample n at n*Groups + g
	affine         Affine
	gradient       NormGradient
	gammaSum       []float64 // per channel: the gradient of gamma
	betaSum        []float64
}

// NewGroupNorm returns the normalisation of tensors of that shape. The number of
// groups must divide that of the channels.
func NewGroupNorm(s Shape, groups int) *GroupNorm {
	if groups < 1 || s.C%groups != 0 || s.Lanes != Lanes {
		panic(fmt.Sprintf("kernel: normalisation of %+v in %d groups", s, groups))
	}
	g := &GroupNorm{Shape: s, Groups: groups, channels: NewBatchNorm(s.separate()),
		gammaSum: make([]float64, s.C), betaSum: make([]float64, s.C)}
	g.channels.perSample, g.gradient.perSample, g.affine.perSample = true, true, true
	g.SetBatch(s.N)
	return g
}

// SetBatch changes the number of samples.
func (g *GroupNorm) SetBatch(n int) {
	g.Shape.N = n
	all := g.Shape.separate()
	g.channels.resize(all)
	if padded := all.Padded(); len(g.affine.Scale) < padded {
		vector := func() []float32 { return make([]float32, padded) }
		g.affine.Scale, g.affine.Shift = vector(), vector()
		g.gradient = NormGradient{perSample: true, before: vector(), factor: vector(), centre: vector(), offset: vector(), by: vector()}
		for i := range g.gradient.factor {
			g.gradient.factor[i] = 1
		}
		g.mean, g.variance = make([]float64, n*g.Groups), make([]float64, n*g.Groups)
	}
}

// Channels measures the moments, as by Conv.ForwardMeasured or a PoolTail.
func (g *GroupNorm) Channels() *BatchNorm { return g.channels }

// Measure measures the moments of x (N, C, D, H, W).
func (g *GroupNorm) Measure(pool *Pool, x []float32) { g.channels.Measure(pool, x) }

// Affine returns the normalisation by the moments measured last, with scale =
// gamma/sqrt(variance + Epsilon) and shift = beta - mean*scale of each channel of
// each sample, rounded from float64. The slices are valid until the next call.
func (g *GroupNorm) Affine(gamma, beta []float32) Affine {
	g.combine()
	each, padded := g.Shape.C/g.Groups, g.Shape.Padded()
	for n := range g.Shape.N {
		for c := range g.Shape.C {
			group := n*g.Groups + c/each
			scale := float64(gamma[c]) / math.Sqrt(g.variance[group]+Epsilon)
			g.affine.Scale[n*padded+c] = float32(scale)
			g.affine.Shift[n*padded+c] = float32(float64(beta[c]) - float64(g.mean[group]*scale))
		}
	}
	return g.affine
}

// combine sets the moments of the groups from those of their channels, in order:
// the variance is the mean of the channels' variances and of the squares by which
// their means differ.
func (g *GroupNorm) combine() {
	each, padded := g.Shape.C/g.Groups, g.Shape.Padded()
	for group := range g.Shape.N * g.Groups {
		first := group/g.Groups*padded + group%g.Groups*each
		means, variances := g.channels.Mean[first:][:each], g.channels.Variance[first:][:each]
		mean, variance := 0.0, 0.0
		for _, m := range means {
			mean += m
		}
		mean /= float64(each)
		for c, m := range means {
			variance += variances[c] + float64((m-mean)*(m-mean))
		}
		g.mean[group], g.variance[group] = mean, variance/float64(each)
	}
}

// Gradients: x, dy (N, C, ...) in layouts s and gradient -> dgamma and dbeta (C),
// overwritten, and what to do to dy. x and dy may leave out voxels where dy is
// zero. With σ² = variance + Epsilon, x̂ = (x - mean)/σ and means over the group:
//
//	dx = (gamma dy - mean(gamma dy) - x̂ mean(gamma dy x̂))/σ
//
// The sums are in float64, per channel and sample in row order, then over the
// channels of a group and over samples in order. Where an activation follows, dy
// is that of its output, and becomes that of the normalisation's.
func (g *GroupNorm) Gradients(pool *Pool, s Shape, x, gamma []float32, after Activated, gradient Shape, dy, dgamma, dbeta []float32) *NormGradient {
	if after.Y != nil {
		after.Shape = after.Shape.separate()
	}
	g.channels.addUp(pool, s.separate(), x, after, gradient.separate(), dy)
	clear(g.gammaSum)
	clear(g.betaSum)
	for group := range g.Shape.N * g.Groups {
		g.groupGradients(group, gamma)
	}
	for c := range g.Shape.C {
		dgamma[c], dbeta[c] = float32(g.gammaSum[c]), float32(g.betaSum[c])
	}
	g.gradient.fill()
	return &g.gradient
}

// groupGradients sets the gradient of a group's channels, and adds to those of
// gamma and beta.
func (g *GroupNorm) groupGradients(group int, gamma []float32) {
	each, padded := g.Shape.C/g.Groups, g.Shape.Padded()
	firstChannel := group % g.Groups * each
	first := group/g.Groups*padded + firstChannel
	mean, inverse := g.mean[group], 1/math.Sqrt(g.variance[group]+Epsilon)
	sum, centredSum := 0.0, 0.0 // of gamma dy and of gamma dy (x - mean)
	for c := range each {
		dy, factor := g.channels.sum[first+c], float64(gamma[firstChannel+c])
		centred := g.channels.products[first+c] - float64(mean*dy)
		g.gammaSum[firstChannel+c] += float64(centred * inverse)
		g.betaSum[firstChannel+c] += dy
		sum += float64(factor * dy)
		centredSum += float64(factor * centred)
		g.gradient.before[first+c] = float32(factor * inverse)
	}
	count := float64(each * g.Shape.Voxels())
	offset, by := float32(sum*inverse/count), float32(centredSum*inverse*inverse*inverse/count)
	for c := range each {
		g.gradient.centre[first+c], g.gradient.offset[first+c], g.gradient.by[first+c] = float32(mean), offset, by
	}
}
