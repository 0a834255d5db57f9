package kernel

import "math"

// The layers of the table that normalise over the batch or over groups, and that
// end with any activation.

// A caseNorm is the normalisation of a case, with the statistics of its input.
type caseNorm struct {
	batch *BatchNorm // one of the two
	group *GroupNorm
}

// norm returns the normalisation of a case. The one over groups has seen a batch of
// another size before.
func (c layerCase) norm(s Shape) caseNorm {
	if c.groups == 0 {
		return caseNorm{batch: NewBatchNorm(s)}
	}
	g := NewGroupNorm(s.Batch(1), c.groups)
	g.SetBatch(s.N + 1)
	g.SetBatch(s.N)
	return caseNorm{group: g}
}

func (n caseNorm) measured() *BatchNorm {
	if n.batch != nil {
		return n.batch
	}
	return n.group.Channels()
}

func (n caseNorm) affine(gamma, beta []float32) Affine {
	if n.batch != nil {
		return n.batch.Affine(gamma, beta)
	}
	return n.group.Affine(gamma, beta)
}

func (n caseNorm) gradients(pool *Pool, s Shape, x, gamma []float32, after Activated, gradient Shape, dy, dgamma, dbeta []float32) *NormGradient {
	if n.batch != nil {
		return n.batch.Gradients(pool, s, x, gamma, after, gradient, dy, true, dgamma, dbeta)
	}
	return n.group.Gradients(pool, s, x, gamma, after, gradient, dy, dgamma, dbeta)
}

// naiveNorm normalises planar x with gamma and beta, which follow it.
func (c layerCase) naiveNorm(s Shape, inputs [][]float64) []float64 {
	if c.groups == 0 {
		return naiveNorm(s, inputs[0], inputs[1], inputs[2], nil, nil)
	}
	y := make([]float64, len(inputs[0]))
	each := s.C / c.groups * s.Voxels()
	for first := 0; first < len(y); first += each {
		values := inputs[0][first:][:each]
		mean, variance := 0.0, 0.0
		for _, v := range values {
			mean += v / float64(each)
		}
		for _, v := range values {
			variance += (v - mean) * (v - mean) / float64(each)
		}
		for i, v := range values {
			channel := (first + i) / s.Voxels() % s.C
			y[first+i] = (v-mean)/math.Sqrt(variance+1e-5)*inputs[1][channel] + inputs[2][channel]
		}
	}
	return y
}

// naiveActivation is the case's activation.
func (c layerCase) naiveActivation(x []float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = v
		if !(v > 0) {
			y[i] = float64(c.activation) * v
		}
	}
	return y
}

// groupNormLayer measures with a convolution that copies its input.
func (c layerCase) groupNormLayer(x []float32) *layer {
	conv := NewConv(c.shape(0), c.c, [3]int{1, 1, 1}, [3]int{1, 1, 1}, 1)
	identity := make([]float32, conv.WeightLen())
	for channel := range c.c {
		identity[conv.WeightIndex(channel, channel, 0, 0, 0)] = 1
	}
	s := conv.Out
	n := c.norm(s)
	y, out := make([]float32, s.Len()), make([]float32, s.Len())
	return &layer{
		names: []string{"x", "gamma", "beta"}, inputs: [][]float32{x, numbers(c.c, 2), numbers(c.c, 3)},
		forward: func(pool *Pool, inputs [][]float32) []float32 {
			conv.ForwardMeasured(pool, pack(pool, conv.In, inputs[0]), identity, nil, y, n.measured())
			Norm(pool, s, y, n.affine(inputs[1], inputs[2]), c.activation, s, out)
			return unpack(pool, s, out)
		},
		backward: func(pool *Pool, inputs [][]float32, dy []float32) [][]float32 {
			layout, target := c.shape(0), c.shape(2)
			gradient, dx := pack(pool, layout, dy), make([]float32, target.Len())
			dgamma, dbeta := make([]float32, c.c), make([]float32, c.c)
			g := n.gradients(pool, s, y, inputs[1], Activated{c.activation, s, out}, layout, gradient, dgamma, dbeta)
			NormBackward(pool, g, s, y, layout, gradient, target, dx)
			return [][]float32{unpack(pool, target, dx), dgamma, dbeta}
		},
		naive: func(inputs [][]float64) []float64 { return c.naiveActivation(c.naiveNorm(s, inputs)) },
	}
}

// normAddLayer is the end of a residual block, whose other summand lies where the
// sum goes.
func (c layerCase) normAddLayer(x []float32) *layer {
	s, target := c.shape(1), c.shape(0)
	n := c.norm(s)
	var blocked, out []float32
	return &layer{
		names:  []string{"x", "gamma", "beta", "other"},
		inputs: [][]float32{x, numbers(c.c, 2), numbers(c.c, 3), numbers(len(x), 4)},
		forward: func(pool *Pool, inputs [][]float32) []float32 {
			blocked, out = pack(pool, s, inputs[0]), pack(pool, target, inputs[3])
			n.measured().Measure(pool, blocked)
			NormAdd(pool, s, blocked, n.affine(inputs[1], inputs[2]), target, out, c.activation, target, out)
			return unpack(pool, target, out)
		},
		backward: func(pool *Pool, inputs [][]float32, dy []float32) [][]float32 {
			gradient, dx := pack(pool, target, dy), make([]float32, s.Len())
			dgamma, dbeta := make([]float32, c.c), make([]float32, c.c)
			g := n.gradients(pool, s, blocked, inputs[1], Activated{c.activation, target, out}, target, gradient, dgamma, dbeta)
			NormBackward(pool, g, s, blocked, target, gradient, s, dx)
			return [][]float32{unpack(pool, s, dx), dgamma, dbeta, unpack(pool, target, gradient)}
		},
		naive: func(inputs [][]float64) []float64 {
			sum := c.naiveNorm(s, inputs)
			for i, v := range inputs[3] {
				sum[i] += v
			}
			return c.naiveActivation(sum)
		},
	}
}

// activationLayer adds a bias and activates the sum.
func (c layerCase) activationLayer(x []float32) *layer {
	s := c.shape(1)
	bias := NewBiasGradient()
	add := func(x, bias []float32) []float32 {
		sum := make([]float32, len(x))
		for i, v := range x {
			sum[i] = v + bias[i/s.Voxels()%c.c]
		}
		return sum
	}
	var y []float32
	return &layer{
		names: []string{"x", "bias"}, inputs: [][]float32{x, numbers(c.c, 2)},
		forward: func(pool *Pool, inputs [][]float32) []float32 {
			y = pack(pool, s, add(inputs[0], inputs[1]))
			Activate(pool, c.activation, s, y)
			return unpack(pool, s, y)
		},
		backward: func(pool *Pool, inputs [][]float32, dy []float32) [][]float32 {
			layout, target := c.shape(0), c.shape(2)
			dx, db := make([]float32, target.Len()), make([]float32, target.Padded())
			bias.Backward(pool, Activated{c.activation, s, y}, layout, pack(pool, layout, dy), target, dx, db)
			return [][]float32{unpack(pool, target, dx), db[:c.c]}
		},
		naive: func(inputs [][]float64) []float64 {
			sum := make([]float64, len(inputs[0]))
			for i, v := range inputs[0] {
				sum[i] = v + inputs[1][i/s.Voxels()%c.c]
			}
			return c.naiveActivation(sum)
		},
	}
}
