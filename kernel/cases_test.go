package kernel

import (
	"fmt"
	"math"
)

// layerCases is the one table of layers: it drives the comparison with a naive
// float64 computation, the gradients by finite differences, the comparison of
// the implementations, and the benchmarks.
var layerCases = []layerCase{
	{op: "conv", n: 2, c: 1, size: [3]int{4, 5, 6}, channels: 3, kernel: [3]int{3, 3, 3}, stride: [3]int{1, 1, 1}},
	{op: "conv", n: 1, c: 3, size: [3]int{1, 7, 9}, channels: 18, kernel: [3]int{1, 3, 3}, stride: [3]int{1, 1, 1}},
	{op: "conv", n: 2, c: 17, size: [3]int{3, 4, 5}, channels: 5, kernel: [3]int{3, 3, 3}, stride: [3]int{1, 1, 1}},
	{op: "conv", n: 1, c: 16, size: [3]int{2, 3, 35}, channels: 16, kernel: [3]int{1, 1, 1}, stride: [3]int{1, 1, 1}},
	{op: "conv", n: 1, c: 2, size: [3]int{1, 9, 11}, channels: 4, kernel: [3]int{1, 5, 7}, stride: [3]int{1, 1, 1}},
	{op: "conv", n: 2, c: 33, size: [3]int{1, 5, 6}, channels: 20, kernel: [3]int{1, 3, 3}, stride: [3]int{1, 2, 2}},
	{op: "conv", n: 1, c: 16, size: [3]int{5, 6, 7}, channels: 16, kernel: [3]int{3, 3, 3}, stride: [3]int{2, 2, 2}},
	{op: "conv", n: 1, c: 1, size: [3]int{6, 5, 8}, channels: 16, kernel: [3]int{5, 3, 5}, stride: [3]int{2, 1, 2}},
	{op: "conv", n: 3, c: 16, size: [3]int{1, 1, 1}, channels: 7, kernel: [3]int{1, 3, 3}, stride: [3]int{1, 1, 1}},
	{op: "conv", n: 1, c: 144, size: [3]int{3, 3, 1}, channels: 4, kernel: [3]int{3, 3, 3}, stride: [3]int{1, 1, 1}}, // more taps than a list holds
	{op: "conv", n: 1, c: 1, size: [3]int{24, 24, 2}, channels: 2, kernel: [3]int{3, 3, 3}, stride: [3]int{1, 1, 1}}, // more rows than a list holds
	{op: "norm, own statistics", n: 3, c: 5, size: [3]int{2, 3, 4}},
	{op: "norm, own statistics", n: 2, c: 19, size: [3]int{1, 4, 3}},
	{op: "norm, given statistics", n: 2, c: 5, size: [3]int{2, 3, 4}},
	{op: "relu", n: 2, c: 17, size: [3]int{2, 3, 5}},
	{op: "max pool", n: 2, c: 3, size: [3]int{4, 5, 7}},
	{op: "max pool", n: 2, c: 18, size: [3]int{1, 5, 4}},
	{op: "norm, pool, relu", n: 2, c: 5, size: [3]int{4, 5, 7}},
	{op: "norm, pool, relu", n: 2, c: 18, size: [3]int{1, 4, 5}},
	{op: "norm, pool, relu", n: 3, c: 6, size: [3]int{4, 5, 7}, groups: 2},
	{op: "norm, pool, relu", n: 2, c: 18, size: [3]int{1, 4, 5}, groups: 6, activation: 0.3},
	{op: "norm, pool, relu", n: 2, c: 5, size: [3]int{2, 6, 4}, activation: 0.125},
	{op: "group norm", n: 3, c: 6, size: [3]int{2, 3, 4}, groups: 3, activation: Identity},
	{op: "group norm", n: 2, c: 40, size: [3]int{1, 4, 3}, groups: 4},
	{op: "group norm", n: 1, c: 17, size: [3]int{2, 2, 3}, groups: 1, activation: 0.3},
	{op: "group norm", n: 2, c: 4, size: [3]int{2, 3, 3}, groups: 4, activation: 0.01},
	{op: "norm, add", n: 2, c: 5, size: [3]int{2, 3, 4}},
	{op: "norm, add", n: 3, c: 18, size: [3]int{2, 3, 4}, groups: 6},
	{op: "norm, add", n: 2, c: 6, size: [3]int{1, 3, 5}, groups: 2, activation: 0.2},
	{op: "bias, activation", n: 2, c: 17, size: [3]int{2, 3, 5}},
	{op: "bias, activation", n: 3, c: 4, size: [3]int{1, 4, 3}, activation: 0.25},
	{op: "average", n: 2, c: 18, size: [3]int{2, 3, 5}},
	{op: "dense", n: 3, c: 19, size: [3]int{1, 1, 1}, channels: 4},
	{op: "dropout", n: 2, c: 9, size: [3]int{1, 1, 1}},
}

// benchmarkCases are layers of a network that sees 64^3 and 128^2 images.
var benchmarkCases = []layerCase{
	{op: "conv", n: 4, c: 1, size: [3]int{64, 64, 64}, channels: 16, kernel: [3]int{3, 3, 3}, stride: [3]int{1, 1, 1}},
	{op: "conv", n: 4, c: 16, size: [3]int{32, 32, 32}, channels: 32, kernel: [3]int{3, 3, 3}, stride: [3]int{1, 1, 1}},
	{op: "conv", n: 4, c: 32, size: [3]int{16, 16, 16}, channels: 64, kernel: [3]int{3, 3, 3}, stride: [3]int{1, 1, 1}},
	{op: "conv", n: 4, c: 64, size: [3]int{8, 8, 8}, channels: 128, kernel: [3]int{3, 3, 3}, stride: [3]int{1, 1, 1}},
	{op: "conv", n: 16, c: 16, size: [3]int{1, 64, 64}, channels: 32, kernel: [3]int{1, 3, 3}, stride: [3]int{1, 1, 1}},
	{op: "norm, pool, relu", n: 4, c: 16, size: [3]int{64, 64, 64}, kernel: [3]int{3, 3, 3}},
}

type layerCase struct {
	op             string
	n, c           int
	size           [3]int
	channels       int // of the output of conv and dense
	kernel, stride [3]int
	groups         int // of a normalisation; 0: batch normalisation
	activation     Activation
}

func (c layerCase) String() string {
	if c.op != "conv" {
		name := fmt.Sprintf("%s %dx%dx%v", c.op, c.n, c.c, c.size)
		if c.groups > 0 || c.activation != Rectifier {
			name += fmt.Sprintf(" in %d groups, slope %g", c.groups, c.activation)
		}
		return name
	}
	return fmt.Sprintf("%s %dx%dx%v to %d kernel %v stride %v", c.op, c.n, c.c, c.size, c.channels, c.kernel, c.stride)
}

// A layer is a case with its inputs in planar layout, x first. forward returns
// the planar output; backward, after forward, the gradients of the inputs, nil
// where there is none; naive is the definition in float64.
type layer struct {
	names    []string
	inputs   [][]float32
	forward  func(pool *Pool, inputs [][]float32) []float32
	backward func(pool *Pool, inputs [][]float32, dy []float32) [][]float32
	naive    func(inputs [][]float64) []float64
}

// numbers returns odd multiples of 2^-25 in (-0.5, 0.5): never zero, and two
// that differ do so by at least 2^-24.
func numbers(count int, seed uint32) []float32 {
	values := make([]float32, count)
	for i := range values {
		x := uint32(i)*0x9E3779B9 + seed*0x85EBCA6B + 1
		x = (x ^ x>>16) * 0x7FEB352D
		x = (x ^ x>>15) * 0x846CA68B
		x ^= x >> 16
		values[i] = (float32(x>>9)+0.5)/(1<<23) - 0.5
	}
	return values
}

func (c layerCase) layer() *layer {
	x := numbers(c.n*c.c*c.size[0]*c.size[1]*c.size[2], 1)
	switch c.op {
	case "conv":
		return c.convLayer(x)
	case "norm, own statistics":
		return c.normLayer(x, true)
	case "norm, given statistics":
		return c.normLayer(x, false)
	case "relu":
		return c.reluLayer(x)
	case "max pool":
		return c.poolLayer(x)
	case "norm, pool, relu":
		return c.normPoolLayer(x)
	case "group norm":
		return c.groupNormLayer(x)
	case "norm, add":
		return c.normAddLayer(x)
	case "bias, activation":
		return c.activationLayer(x)
	case "average":
		return c.averageLayer(x)
	case "dense":
		return c.denseLayer(x)
	case "dropout":
		return c.dropoutLayer(x)
	}
	panic("unknown layer " + c.op)
}

// shape returns the blocked shape of the input.
func (c layerCase) shape(halo int) Shape {
	return Blocked(c.n, c.c, c.size[0], c.size[1], c.size[2], halo)
}

func pack(pool *Pool, s Shape, planar []float32) []float32 {
	blocked := make([]float32, s.Len())
	Pack(pool, planar, s, blocked)
	return blocked
}

func unpack(pool *Pool, s Shape, blocked []float32) []float32 {
	planar := make([]float32, s.N*s.C*s.Voxels())
	Unpack(pool, s, blocked, planar)
	return planar
}

// padded copies per-channel values to the length with padding channels.
func padded(s Shape, values []float32) []float32 {
	return append(append([]float32(nil), values...), make([]float32, s.Padded()-len(values))...)
}

func (c layerCase) conv() *Conv {
	in := c.shape(c.kernel[2] / 2)
	if c.c < Lanes {
		in = Narrow(c.n, c.c, c.size[0], c.size[1], c.size[2], c.kernel[2]/2)
	}
	return NewConv(in, c.channels, c.kernel, c.stride, c.kernel[2]/2)
}

// eachWeight calls f with the planar index and the offset of every weight.
func eachWeight(v *Conv, f func(planar, offset int)) {
	k, planar := v.Kernel, 0
	for o := range v.Out.C {
		for i := range v.In.C {
			for tap := range k[0] * k[1] * k[2] {
				f(planar, v.WeightIndex(o, i, tap/(k[1]*k[2]), tap/k[2]%k[1], tap%k[2]))
				planar++
			}
		}
	}
}

func (c layerCase) convLayer(x []float32) *layer {
	v := c.conv()
	weights := func(planar []float32) []float32 {
		w := make([]float32, v.WeightLen())
		eachWeight(v, func(p, offset int) { w[offset] = planar[p] })
		return w
	}
	return &layer{
		names:  []string{"x", "weight", "bias"},
		inputs: [][]float32{x, numbers(c.channels*c.c*v.taps(), 2), numbers(c.channels, 3)},
		forward: func(pool *Pool, inputs [][]float32) []float32 {
			y := make([]float32, v.Out.Len())
			v.Forward(pool, pack(pool, v.In, inputs[0]), weights(inputs[1]), padded(v.Out, inputs[2]), y)
			return unpack(pool, v.Out, y)
		},
		backward: func(pool *Pool, inputs [][]float32, dy []float32) [][]float32 {
			gradient := pack(pool, v.Out, dy)
			dw, db := make([]float32, v.WeightLen()), make([]float32, v.Out.Padded())
			v.BackwardWeights(pool, pack(pool, v.In, inputs[0]), gradient, dw)
			biasGradient(v.Out, gradient, db)
			planar := make([]float32, len(inputs[1]))
			eachWeight(v, func(p, offset int) { planar[p] = dw[offset] })
			var dx []float32
			if v.In.Lanes == Lanes {
				layout := c.shape(2)
				blocked := make([]float32, layout.Len())
				v.BackwardData(pool, gradient, weights(inputs[1]), layout, blocked)
				dx = unpack(pool, layout, blocked)
			}
			return [][]float32{dx, planar, db[:c.channels]}
		},
		naive: func(inputs [][]float64) []float64 { return naiveConv(v, inputs[0], inputs[1], inputs[2]) },
	}
}

// naiveConv is the definition: planar, taps outside the volume left out.
func naiveConv(v *Conv, x, weight, bias []float64) []float64 {
	var y []float64
	in, out, k := v.In, v.Out, v.Kernel
	at := func(n, i int, p [3]int) float64 {
		if p[0] < 0 || p[0] >= in.D || p[1] < 0 || p[1] >= in.H || p[2] < 0 || p[2] >= in.W {
			return 0
		}
		return x[(((n*in.C+i)*in.D+p[0])*in.H+p[1])*in.W+p[2]]
	}
	for index := range out.N * out.C * out.Voxels() {
		position := [3]int{index / (out.H * out.W) % out.D, index / out.W % out.H, index % out.W}
		o, n := index/out.Voxels()%out.C, index/out.Voxels()/out.C
		sum := bias[o]
		for i := range in.C {
			for tap := range v.taps() {
				offset := [3]int{tap / (k[1] * k[2]), tap / k[2] % k[1], tap % k[2]}
				var p [3]int
				for axis := range p {
					p[axis] = position[axis]*v.Stride[axis] + offset[axis] - k[axis]/2
				}
				sum += at(n, i, p) * weight[(o*in.C+i)*v.taps()+tap]
			}
		}
		y = append(y, sum)
	}
	return y
}

// naiveNorm normalises planar x; nil statistics mean those of x.
func naiveNorm(s Shape, x, gamma, beta, mean, variance []float64) []float64 {
	y := make([]float64, len(x))
	for channel := range s.C {
		var values []int
		for n := range s.N {
			for v := range s.Voxels() {
				values = append(values, (n*s.C+channel)*s.Voxels()+v)
			}
		}
		m, squares := 0.0, 0.0
		if mean != nil {
			m, squares = mean[channel], variance[channel]
		} else {
			for _, i := range values {
				m += x[i] / float64(len(values))
			}
			for _, i := range values {
				squares += (x[i] - m) * (x[i] - m) / float64(len(values))
			}
		}
		for _, i := range values {
			y[i] = (x[i]-m)/math.Sqrt(squares+1e-5)*gamma[channel] + beta[channel]
		}
	}
	return y
}

// naivePool takes planar maxima over 2 x 2 x 2 or, where D = 1, 2 x 2.
func naivePool(s Shape, x []float64) []float64 {
	depth := min(2, s.D)
	var y []float64
	for plane := range s.N * s.C {
		for d := range s.D / depth {
			for h := range s.H / 2 {
				for w := range s.W / 2 {
					most := math.Inf(-1)
					for k := range 4 * depth {
						most = math.Max(most, x[((plane*s.D+depth*d+k/4)*s.H+2*h+k/2%2)*s.W+2*w+k%2])
					}
					y = append(y, most)
				}
			}
		}
	}
	return y
}

func naiveReLU(x []float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = math.Max(0, v)
	}
	return y
}

// givenStatistics are the running statistics of the cases that use some.
func givenStatistics(c int) (mean, variance []float32) {
	mean, variance = numbers(c, 4), numbers(c, 5)
	for i := range variance {
		variance[i] += 0.75
	}
	return mean, variance
}

func (c layerCase) normLayer(x []float32, own bool) *layer {
	s := c.shape(1)
	b := NewBatchNorm(s)
	mean, variance := givenStatistics(c.c)
	return &layer{
		names: []string{"x", "gamma", "beta"}, inputs: [][]float32{x, numbers(c.c, 2), numbers(c.c, 3)},
		forward: func(pool *Pool, inputs [][]float32) []float32 {
			blocked, y := pack(pool, s, inputs[0]), make([]float32, s.Len())
			if own {
				b.Measure(pool, blocked)
			} else {
				b.Use(mean, variance)
			}
			b.Apply(pool, blocked, inputs[1], inputs[2], y)
			return unpack(pool, s, y)
		},
		backward: func(pool *Pool, inputs [][]float32, dy []float32) [][]float32 {
			layout := c.shape(0)
			gradient := pack(pool, layout, dy)
			dgamma, dbeta := make([]float32, c.c), make([]float32, c.c)
			b.Backward(pool, pack(pool, s, inputs[0]), inputs[1], layout, gradient, own, dgamma, dbeta)
			return [][]float32{unpack(pool, layout, gradient), dgamma, dbeta}
		},
		naive: func(inputs [][]float64) []float64 {
			if own {
				return naiveNorm(s, inputs[0], inputs[1], inputs[2], nil, nil)
			}
			return naiveNorm(s, inputs[0], inputs[1], inputs[2], widen(mean), widen(variance))
		},
	}
}

func widen(values []float32) []float64 {
	wide := make([]float64, len(values))
	for i, v := range values {
		wide[i] = float64(v)
	}
	return wide
}

func (c layerCase) reluLayer(x []float32) *layer {
	s := c.shape(1)
	var y []float32
	return &layer{
		names: []string{"x"}, inputs: [][]float32{x},
		forward: func(pool *Pool, inputs [][]float32) []float32 {
			y = pack(pool, s, inputs[0])
			ReLU(pool, s, y)
			return unpack(pool, s, y)
		},
		backward: func(pool *Pool, inputs [][]float32, dy []float32) [][]float32 {
			layout := c.shape(0)
			gradient := pack(pool, layout, dy)
			ReLUBackward(pool, s, y, layout, gradient)
			return [][]float32{unpack(pool, layout, gradient)}
		},
		naive: func(inputs [][]float64) []float64 { return naiveReLU(inputs[0]) },
	}
}

func (c layerCase) poolLayer(x []float32) *layer {
	m := NewMaxPool(c.shape(0), 1)
	choice := make([]byte, m.ChoiceLen())
	return &layer{
		names: []string{"x"}, inputs: [][]float32{x},
		forward: func(pool *Pool, inputs [][]float32) []float32 {
			y := make([]float32, m.Out.Len())
			m.Forward(pool, pack(pool, m.In, inputs[0]), y, choice)
			return unpack(pool, m.Out, y)
		},
		backward: func(pool *Pool, inputs [][]float32, dy []float32) [][]float32 {
			target := c.shape(1)
			dx := make([]float32, target.Len())
			m.Backward(pool, m.Out, pack(pool, m.Out, dy), choice, target, dx)
			return [][]float32{unpack(pool, target, dx)}
		},
		naive: func(inputs [][]float64) []float64 { return naivePool(m.In, inputs[0]) },
	}
}

// normPoolLayer runs the tail with a convolution that copies its input.
func (c layerCase) normPoolLayer(x []float32) *layer {
	conv := NewConv(c.shape(0), c.c, [3]int{1, 1, 1}, [3]int{1, 1, 1}, 1)
	identity := make([]float32, conv.WeightLen())
	for channel := range c.c {
		identity[conv.WeightIndex(channel, channel, 0, 0, 0)] = 1
	}
	b := c.norm(conv.Out)
	tail := NewPoolTail(conv, b.measured(), 1)
	tail.Activation = c.activation
	m := tail.Pool
	y, out, best := make([]float32, conv.Out.Len()), make([]float32, m.Out.Len()), make([]float32, m.BestShape().Len())
	choice := make([]byte, m.ChoiceLen())
	return &layer{
		names: []string{"x", "gamma", "beta"}, inputs: [][]float32{x, numbers(c.c, 2), numbers(c.c, 3)},
		forward: func(pool *Pool, inputs [][]float32) []float32 {
			gamma := padded(conv.Out, inputs[1])
			tail.Forward(pool, pack(pool, conv.In, inputs[0]), identity, nil, gamma, y, best, choice, true)
			tail.Normalise(pool, best, b.affine(gamma, inputs[2]), out)
			return unpack(pool, m.Out, out)
		},
		backward: func(pool *Pool, inputs [][]float32, dy []float32) [][]float32 {
			s, target := m.BestShape(), c.shape(1)
			gradient, dx := pack(pool, s, dy), make([]float32, target.Len())
			dgamma, dbeta := make([]float32, c.c), make([]float32, c.c)
			after := Activated{c.activation, m.Out, out}
			g := b.gradients(pool, s, best, inputs[1], after, s, gradient, dgamma, dbeta)
			m.BackwardNorm(pool, s, gradient, choice, y, g.Begin(pool, s, gradient), target, dx)
			return [][]float32{unpack(pool, target, dx), dgamma, dbeta}
		},
		naive: func(inputs [][]float64) []float64 {
			return c.naiveActivation(naivePool(m.In, c.naiveNorm(m.In, inputs)))
		},
	}
}

func (c layerCase) averageLayer(x []float32) *layer {
	s := c.shape(1)
	features := func(values []float32, to, from int) []float32 { // change the row length
		rows := make([]float32, c.n*to)
		for n := range c.n {
			copy(rows[n*to:][:min(to, from)], values[n*from:])
		}
		return rows
	}
	return &layer{
		names: []string{"x"}, inputs: [][]float32{x},
		forward: func(pool *Pool, inputs [][]float32) []float32 {
			y := make([]float32, c.n*s.Padded())
			GlobalAverage(pool, s, pack(pool, s, inputs[0]), y)
			return features(y, c.c, s.Padded())
		},
		backward: func(pool *Pool, inputs [][]float32, dy []float32) [][]float32 {
			dx := make([]float32, s.Len())
			GlobalAverageBackward(pool, features(dy, s.Padded(), c.c), s, dx)
			return [][]float32{unpack(pool, s, dx)}
		},
		naive: func(inputs [][]float64) []float64 {
			y := make([]float64, c.n*c.c)
			for i, v := range inputs[0] {
				y[i/s.Voxels()] += v / float64(s.Voxels())
			}
			return y
		},
	}
}

func (c layerCase) denseLayer(x []float32) *layer {
	return &layer{
		names:  []string{"x", "weight", "bias"},
		inputs: [][]float32{x, numbers(c.channels*c.c, 2), numbers(c.channels, 3)},
		forward: func(_ *Pool, inputs [][]float32) []float32 {
			y := make([]float32, c.n*c.channels)
			Dense(inputs[0], inputs[1], inputs[2], c.c, c.channels, y)
			return y
		},
		backward: func(_ *Pool, inputs [][]float32, dy []float32) [][]float32 {
			dx, dw, db := make([]float32, len(x)), make([]float32, len(inputs[1])), make([]float32, c.channels)
			DenseBackward(inputs[0], inputs[1], dy, c.c, c.channels, dw, db, dx)
			return [][]float32{dx, dw, db}
		},
		naive: func(inputs [][]float64) []float64 {
			var y []float64
			for index := range c.n * c.channels {
				n, o := index/c.channels, index%c.channels
				sum := inputs[2][o]
				for i := range c.c {
					sum += inputs[0][n*c.c+i] * inputs[1][o*c.c+i]
				}
				y = append(y, sum)
			}
			return y
		},
	}
}

func (c layerCase) dropoutLayer(x []float32) *layer {
	keep := func(i int) bool { return i%3 != 1 }
	drop := func(values []float32) []float32 {
		dropped := append([]float32(nil), values...)
		Dropout(dropped, 1.5, keep)
		return dropped
	}
	return &layer{
		names: []string{"x"}, inputs: [][]float32{x},
		forward:  func(_ *Pool, inputs [][]float32) []float32 { return drop(inputs[0]) },
		backward: func(_ *Pool, _ [][]float32, dy []float32) [][]float32 { return [][]float32{drop(dy)} },
		naive: func(inputs [][]float64) []float64 {
			y := make([]float64, len(inputs[0]))
			for i, v := range inputs[0] {
				if i%3 != 1 {
					y[i] = 1.5 * v
				}
			}
			return y
		},
	}
}
