package net

import "ballast/kernel"

// A norm is a batch-normalisation layer with its running statistics.
type norm struct {
	name           string
	frozen         bool // see Freeze
	kernel         *kernel.BatchNorm
	gamma, beta    *Param
	mean, variance []float32 // running statistics (C)
	momentum       float64

	meanSum, varianceSum []float64 // of the batches since BeginRecalibration
	batches              int
}

// newNorm returns the layer for tensors of the given shape.
func newNorm(name string, s kernel.Shape, momentum float64) *norm {
	l := &norm{
		name: name, kernel: kernel.NewBatchNorm(s), momentum: momentum,
		gamma: newParam(name+".weight", s.Padded(), false), beta: newParam(name+".bias", s.Padded(), false),
		mean: make([]float32, s.C), variance: make([]float32, s.C),
		meanSum: make([]float64, s.C), varianceSum: make([]float64, s.C),
	}
	for c := range s.C {
		l.variance[c], l.gamma.Value[c] = 1, 1
	}
	return l
}

// forward returns the normalisation by the batch's statistics, which have been
// measured, or the running ones, as x*scale + shift.
func (l *norm) forward(mode Mode) kernel.Affine {
	switch l.modeOf(mode) {
	case Training:
		l.update()
	case Recalibration:
		l.gather()
	default:
		l.kernel.Use(l.mean, l.variance)
	}
	return l.kernel.Affine(l.gamma.Value, l.beta.Value)
}

// backward makes the gradients of the layer; see normalisation. The running
// statistics are constants.
func (l *norm) backward(pool *kernel.Pool, s kernel.Shape, x []float32, after kernel.Activated, gradient kernel.Shape, dy []float32, mode Mode) *kernel.NormGradient {
	return l.kernel.Gradients(pool, s, x, l.gamma.Value, after, gradient, dy, l.measures(mode), l.gamma.Grad, l.beta.Grad)
}

func (l *norm) setBatch(n int) { l.kernel.SetBatch(n) }

func (l *norm) moments() *kernel.BatchNorm { return l.kernel }

func (l *norm) gain() *Param { return l.gamma }

func (l *norm) measures(mode Mode) bool { return l.modeOf(mode).measures() }

func (l *norm) params() []*Param { return []*Param{l.gamma, l.beta} }

// layer returns the line of the summary.
func (l *norm) layer(n *Net) Layer {
	s := l.kernel.Shape
	return Layer{l.name, "batch normalisation", n.shape(s.C, s.D, s.H, s.W), 2 * s.C, 0}
}

// update moves the running statistics towards those of the batch:
// running = (1 - momentum) running + momentum batch, the variance of the batch
// divided by n - 1, in float64, as PyTorch documents it.
func (l *norm) update() {
	for c := range l.mean {
		l.mean[c] = l.towards(l.mean[c], l.kernel.Mean[c])
		l.variance[c] = l.towards(l.variance[c], l.unbiased(c))
	}
}

func (l *norm) towards(running float32, batch float64) float32 {
	return float32(float64((1-l.momentum)*float64(running)) + float64(l.momentum*batch))
}

// unbiased returns the variance of channel c of the batch divided by n - 1.
// A single value per channel, which has none, counts as two.
func (l *norm) unbiased(c int) float64 {
	count := max(2, float64(l.kernel.Count()))
	return float64(l.kernel.Variance[c] * (count / (count - 1)))
}

func (l *norm) gather() {
	for c := range l.mean {
		l.meanSum[c] += l.kernel.Mean[c]
		l.varianceSum[c] += l.unbiased(c)
	}
	l.batches++
}

// BeginRecalibration forgets what earlier recalibrations gathered. The batches
// of the following Forward calls in Recalibration mode count until
// EndRecalibration.
func (n *Net) BeginRecalibration() {
	for _, l := range n.norms {
		clear(l.meanSum)
		clear(l.varianceSum)
		l.batches = 0
	}
}

// EndRecalibration sets the running statistics to the mean of the batches'
// means and the mean of the batches' unbiased variances, every batch with the
// same weight, as torch.optim.swa_utils.update_bn does. Without a batch it
// changes nothing.
func (n *Net) EndRecalibration() {
	for _, l := range n.norms {
		if l.batches == 0 {
			continue
		}
		for c := range l.mean {
			l.mean[c] = float32(l.meanSum[c] / float64(l.batches))
			l.variance[c] = float32(l.varianceSum[c] / float64(l.batches))
		}
	}
}

// Statistics are the running means and variances of the batch-norm layers, from
// input to output, one slice of C elements each.
type Statistics struct{ Mean, Variance [][]float32 }

// Statistics returns a copy of the running statistics.
func (n *Net) Statistics() Statistics {
	var s Statistics
	for _, l := range n.norms {
		s.Mean = append(s.Mean, append([]float32(nil), l.mean...))
		s.Variance = append(s.Variance, append([]float32(nil), l.variance...))
	}
	return s
}

// SetStatistics copies statistics of a network of the same configuration into
// the running statistics.
func (n *Net) SetStatistics(s Statistics) {
	for i, l := range n.norms {
		copy(l.mean, s.Mean[i])
		copy(l.variance, s.Variance[i])
	}
}
