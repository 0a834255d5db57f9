package kernel

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// withPaths runs a test with every implementation that this CPU has.
func withPaths(t *testing.T, f func(t *testing.T)) {
	chosen := path
	defer func() { path = chosen }()
	for _, name := range paths() {
		t.Run(name, func(t *testing.T) {
			path = name
			f(t)
		})
	}
}

// tolerance is relative to the largest element of a result: a sum of some
// hundred products in float32 keeps five to six digits.
const tolerance = 1e-5

func TestForwardAgreesWithDefinition(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	withPaths(t, func(t *testing.T) {
		for _, c := range layerCases {
			l := c.layer()
			compareWithWide(t, c.String(), l.forward(pool, l.inputs), l.naive(l.wide()), tolerance)
		}
	})
}

func (l *layer) wide() [][]float64 {
	var inputs [][]float64
	for _, input := range l.inputs {
		inputs = append(inputs, widen(input))
	}
	return inputs
}

func compareWithWide(t *testing.T, name string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	largest, worst := 0.0, 0.0
	for i, v := range want {
		largest = math.Max(largest, math.Abs(v))
		worst = math.Max(worst, math.Abs(float64(got[i])-v))
	}
	if !(worst <= tolerance*largest) {
		t.Errorf("%s: differs by %.3g of its largest element, tolerance %.3g", name, worst/largest, tolerance)
	}
}

// TestGradientsAgreeWithFiniteDifferences compares the gradients of sum(r*y),
// for fixed numbers r, with central differences of the float64 definition. The
// step is a quarter of the least distance of two inputs, so it crosses no kink
// of a maximum, nor of ReLU at an input. In float64 the difference is then good to
// some 1e-7.
func TestGradientsAgreeWithFiniteDifferences(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	for _, c := range layerCases {
		l := c.layer()
		weights := numbers(len(l.forward(pool, l.inputs)), 9)
		for k, gradient := range l.backward(pool, l.inputs, weights) {
			if gradient != nil {
				picked, want := l.differences(k, weights)
				var got []float32
				for _, i := range picked {
					got = append(got, gradient[i])
				}
				compareWithWide(t, fmt.Sprintf("%s, gradient of %s", c, l.names[k]), got, want, 2*tolerance)
			}
		}
	}
}

// differences returns about 20 elements of input k, the first and the last
// among them, and the derivatives for them.
func (l *layer) differences(k int, weights []float32) (picked []int, derivatives []float64) {
	const step = 1.0 / (1 << 26)
	inputs := l.wide()
	value := func() float64 {
		sum := 0.0
		for i, y := range l.naive(inputs) {
			sum += y * float64(weights[i])
		}
		return sum
	}
	last := len(inputs[k]) - 1
	for i := 0; i <= last; i += max(1, min(last-i, len(inputs[k])/20)) {
		original := inputs[k][i]
		inputs[k][i] = original + step
		above := value()
		inputs[k][i] = original - step
		below := value()
		inputs[k][i] = original
		picked, derivatives = append(picked, i), append(derivatives, (above-below)/(2*step))
	}
	return picked, derivatives
}

// TestLayersHaveTheSameBitsEverywhere runs every layer forward and backward
// with every implementation and several numbers of workers.
func TestLayersHaveTheSameBitsEverywhere(t *testing.T) {
	chosen := path
	defer func() { path = chosen }()
	for _, c := range layerCases {
		var want [][]float32
		for _, name := range paths() {
			for _, workers := range []int{1, 2, 3, 7} {
				path = name
				pool := NewPool(workers)
				l := c.layer()
				y := l.forward(pool, l.inputs)
				got := append(l.backward(pool, l.inputs, numbers(len(y), 9)), y)
				pool.Close()
				if want == nil {
					want = got
				}
				for i := range got {
					if at := differentBits(got[i], want[i]); at >= 0 {
						t.Errorf("%s: %s with %d workers gives %g at %d of result %d, want %g", c, name, workers, got[i][at], at, i, want[i][at])
					}
				}
			}
		}
	}
}

// differentBits returns the first index where a and b differ, -1 if there is
// none. All NaN are alike: which one an operation returns is up to the CPU.
func differentBits(a, b []float32) int {
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && !(a[i] != a[i] && b[i] != b[i]) {
			return i
		}
	}
	return -1
}

// NaN and Inf reach every output whose window holds them, through all layers,
// even where the other factor is zero.
func TestNonFinitePropagates(t *testing.T) {
	pool := NewPool(1)
	withPaths(t, func(t *testing.T) {
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
			c := layerCase{op: "conv", n: 1, c: 16, size: [3]int{3, 3, 3}, channels: 16, kernel: [3]int{3, 3, 3}, stride: [3]int{1, 1, 1}}
			l := c.layer()
			clear(l.inputs[1])
			l.inputs[0][13] = bad // the centre of channel 0
			for i, y := range l.forward(pool, l.inputs) {
				if y == y {
					t.Fatalf("convolution of %g with zero weights gives %g at %d, want NaN", bad, y, i)
				}
			}
			p := layerCase{op: "norm, pool, relu", n: 1, c: 1, size: [3]int{2, 2, 2}}.layer()
			p.inputs[0][5] = float32(math.NaN())
			if y := p.forward(pool, p.inputs); y[0] == y[0] {
				t.Fatalf("pooling of NaN gives %g", y[0])
			}
		}
	})
}

func TestMaxPoolTiesGoToTheFirst(t *testing.T) {
	withPaths(t, func(t *testing.T) {
		l := layerCase{op: "max pool", n: 1, c: 1, size: [3]int{2, 2, 2}}.layer()
		pool := NewPool(1)
		copy(l.inputs[0], []float32{1, 2, 2, 0, 2, 1, 0, 2})
		l.forward(pool, l.inputs)
		want := []float32{0, 3, 0, 0, 0, 0, 0, 0}
		if got := l.backward(pool, l.inputs, []float32{3})[0]; differentBits(got, want) >= 0 {
			t.Errorf("gradient %v, want %v", got, want)
		}
	})
}

// The bins of AdaptiveAverage for 7 positions and 3 bins are those of PyTorch's
// AdaptiveAvgPool1d(3): 0-2, 2-4, 4-6.
func TestAdaptiveAverage(t *testing.T) {
	y := make([]float32, 3)
	AdaptiveAverage(NewPool(1), 1, [3]int{1, 1, 7}, [3]int{1, 1, 3}, []float32{1, 2, 6, 4, 8, 0, 1}, y)
	if want := []float32{3, 6, 3}; differentBits(y, want) >= 0 {
		t.Errorf("got %v, want %v", y, want)
	}
}

// BenchmarkLayers reports, besides the mean time, the speed of the fastest pass:
// on a shared machine the others measure its other users. FLOPs are nominal.
func BenchmarkLayers(b *testing.B) {
	for _, c := range benchmarkCases {
		for _, workers := range []int{1, 2} {
			pool := NewPool(workers)
			for pass, run := range c.passes(pool) {
				b.Run(fmt.Sprintf("%s/%s/workers=%d", c, pass, workers), func(b *testing.B) { c.benchmark(b, run) })
			}
			pool.Close()
		}
	}
}

func (c layerCase) benchmark(b *testing.B, run func()) {
	best := time.Duration(math.MaxInt64)
	for b.Loop() {
		begin := time.Now()
		run()
		best = min(best, time.Since(begin))
	}
	if c.op == "conv" {
		b.ReportMetric(float64(c.conv().FLOPs())/best.Seconds()/1e9, "GFLOP/s")
	} else {
		b.ReportMetric(float64(4*c.shape(0).Len())/best.Seconds()/1e9, "GB/s")
	}
}

// passes returns the passes of a layer on buffers of its own.
func (c layerCase) passes(pool *Pool) map[string]func() {
	if c.op != "conv" {
		return c.normPoolPasses(pool)
	}
	v := c.conv()
	x, y := make([]float32, v.In.Len()), make([]float32, v.Out.Len())
	w, dw := numbers(v.WeightLen(), 2), make([]float32, v.WeightLen())
	Pack(pool, numbers(c.n*c.c*v.In.Voxels(), 1), v.In, x)
	passes := map[string]func(){
		"forward":          func() { v.Forward(pool, x, w, nil, y) },
		"backward weights": func() { v.BackwardWeights(pool, x, y, dw) },
	}
	if v.In.Lanes == Lanes {
		dx := make([]float32, c.shape(0).Len())
		passes["backward data"] = func() { v.BackwardData(pool, y, w, c.shape(0), dx) }
	}
	return passes
}

// normPoolPasses are those of a network's first block, with its convolution.
func (c layerCase) normPoolPasses(pool *Pool) map[string]func() {
	conv := NewConv(Narrow(c.n, 1, c.size[0], c.size[1], c.size[2], 1), c.c, c.kernel, [3]int{1, 1, 1}, 0)
	b := NewBatchNorm(conv.Out)
	tail := NewPoolTail(conv, b, 1)
	m := tail.Pool
	x := make([]float32, conv.In.Len())
	Pack(pool, numbers(c.n*conv.In.Voxels(), 1), conv.In, x)
	out, best, choice := make([]float32, m.Out.Len()), make([]float32, m.BestShape().Len()), make([]byte, m.ChoiceLen())
	w, gamma, dgamma, dbeta := numbers(conv.WeightLen(), 3), numbers(c.c, 2), make([]float32, c.c), make([]float32, c.c)
	dw := make([]float32, len(w))
	return map[string]func(){
		"forward": func() {
			tail.Forward(pool, x, w, nil, gamma, nil, best, choice, true)
			tail.Normalise(pool, best, b.Affine(gamma, gamma), out)
		},
		"backward": func() {
			g := b.Gradients(pool, m.BestShape(), best, gamma, Activated{}, m.BestShape(), best, true, dgamma, dbeta)
			tail.BackwardWeights(pool, x, w, nil, m.BestShape(), best, choice, g, dw)
		},
	}
}

// absolute returns the absolute values of some inputs.
func absolute(inputs [][]float64) [][]float64 {
	for _, input := range inputs {
		for i, x := range input {
			input[i] = math.Abs(x)
		}
	}
	return inputs
}

// FuzzConvAgreesWithDefinition tries convolutions of any shape.
func FuzzConvAgreesWithDefinition(f *testing.F) {
	f.Add(uint8(0), uint8(0), uint8(3), uint8(4), uint8(5), uint8(2), uint8(9), uint8(0))
	f.Add(uint8(1), uint8(16), uint8(0), uint8(6), uint8(8), uint8(19), uint8(13), uint8(3))
	f.Add(uint8(1), uint8(31), uint8(1), uint8(0), uint8(17), uint8(0), uint8(26), uint8(7))
	pool := NewPool(2)
	f.Cleanup(pool.Close)
	f.Fuzz(func(t *testing.T, n, channels, d, h, w, out, taps, strides uint8) {
		c := layerCase{op: "conv", n: int(n%2) + 1, c: int(channels%34) + 1, size: [3]int{int(d%4) + 1, int(h%7) + 1, int(w%20) + 1},
			channels: int(out%20) + 1, kernel: [3]int{int(taps%3)*2 + 1, int(taps/3%3)*2 + 1, int(taps/9%3)*2 + 1},
			stride: [3]int{int(strides%2) + 1, int(strides/2%2) + 1, int(strides/4%2) + 1}}
		l := c.layer()
		// An output may be small only because its terms cancel, so rounding is
		// measured by what the terms' absolute values add up to.
		want, size := l.naive(l.wide()), l.naive(absolute(l.wide()))
		for i, y := range l.forward(pool, l.inputs) {
			if !(math.Abs(float64(y)-want[i]) <= tolerance*size[i]) {
				t.Fatalf("%s: output %d is %g, want %g, its terms add up to %g", c, i, y, want[i], size[i])
			}
		}
		weights := numbers(len(want), 9)
		dot, scale := 0.0, 0.0 // sum of weights*y, y without the bias
		clear(l.inputs[2])
		for i, y := range l.naive(l.wide()) {
			dot += y * float64(weights[i])
			scale += size[i] * math.Abs(float64(weights[i]))
		}
		// The convolution is linear in x and in the weights, so each gradient times
		// its input gives the same sum.
		for k, gradient := range l.backward(pool, l.inputs, weights)[:2] {
			if gradient == nil {
				continue
			}
			sum := 0.0
			for i, g := range gradient {
				sum += float64(g) * float64(l.inputs[k][i])
			}
			if !(math.Abs(sum-dot) <= tolerance*scale) {
				t.Errorf("%s: gradient of %s times it is %g, want %g", c, l.names[k], sum, dot)
			}
		}
	})
}
