package engine

import (
	"fmt"
	"time"

	"ballast/kernel"
	"ballast/net"
)

// A Layer is the rates of one convolution on its own, unfused, in nominal
// GFLOP/s.
type Layer struct {
	Network         string  `json:"network"`
	Name            string  `json:"name"`
	Shape           string  `json:"shape"`
	Forward         float64 `json:"forward_gflops"`
	BackwardData    float64 `json:"backward_data_gflops,omitempty"` // not of the first layer
	BackwardWeights float64 `json:"backward_weights_gflops"`
}

// layers measures the convolutions of the networks, those with the same geometry
// once, and stops when the time is over.
func (m *measurement) layers() error {
	done := map[string]bool{}
	for _, n := range m.options.Networks {
		if n.Inference {
			continue
		}
		built, err := net.Build(n.Config, 1, nil)
		if err != nil {
			return err
		}
		for i, c := range built.Convolutions(n.Batch) {
			shape := Describe(c.Conv)
			if done[shape] {
				continue
			}
			least := 3 * float64(c.Conv.FLOPs()) / max(1, m.fastest) // ns: each direction once
			if m.ctx.Err() != nil || least > float64(time.Until(m.deadline)) {
				return m.ctx.Err()
			}
			done[shape] = true
			layer := MeasureConv(c.Conv, m.all, i > 0)
			layer.Network, layer.Name = n.ID, c.Name
			m.report.Layers = append(m.report.Layers, layer)
			m.probes[0] = append(m.probes[0], m.peaks[0].Probe())
		}
	}
	return nil
}

// Describe names the geometry of a convolution: batch, channels, size, kernel
// and stride.
func Describe(c *kernel.Conv) string {
	size, taps := fmt.Sprintf("%dx%dx%d", c.In.D, c.In.H, c.In.W), fmt.Sprintf("%dx%dx%d", c.Kernel[0], c.Kernel[1], c.Kernel[2])
	if c.In.D == 1 && c.Kernel[0] == 1 {
		size, taps = fmt.Sprintf("%dx%d", c.In.H, c.In.W), fmt.Sprintf("%dx%d", c.Kernel[1], c.Kernel[2])
	}
	text := fmt.Sprintf("%d x %d→%d, %s, kernel %s", c.In.N, c.In.C, c.Out.C, size, taps)
	if c.Stride[2] > 1 {
		text += fmt.Sprintf(", stride %d", c.Stride[2])
	}
	return text
}

const (
	leastRuns = 3
	mostRuns  = 15
	runsTime  = 80 * time.Millisecond // of one direction
)

// MeasureConv measures a convolution in its directions, backward to the data
// only where asked for, on noise.
func MeasureConv(c *kernel.Conv, pool *kernel.Pool, data bool) Layer {
	layer := Layer{Shape: Describe(c)}
	x, dy := packed(c.In, pool), packed(c.Out, pool)
	weight, dw := noise(c.WeightLen()), make([]float32, c.WeightLen())
	y := make([]float32, c.Out.Len())
	layer.Forward = convRate(c, func() { c.Forward(pool, x, weight, nil, y) })
	layer.BackwardWeights = convRate(c, func() { c.BackwardWeights(pool, x, dy, dw) })
	if data {
		dx := c.In
		dx.Halo = 0
		gradient := make([]float32, dx.Len())
		layer.BackwardData = convRate(c, func() { c.BackwardData(pool, dy, weight, dx, gradient) })
	}
	return layer
}

// packed returns noise in a layout.
func packed(s kernel.Shape, pool *kernel.Pool) []float32 {
	data := make([]float32, s.Len())
	kernel.Pack(pool, noise(s.N*s.C*s.Voxels()), s, data)
	return data
}

// convRate is the median rate of a pass of a convolution, after one to warm up;
// a pass that takes very long counts as its own warming up.
func convRate(c *kernel.Conv, pass func()) float64 {
	var times []float64
	begin := time.Now()
	pass()
	if cold := time.Since(begin); cold > time.Second {
		return rate(c.FLOPs(), cold)
	}
	start := time.Now()
	for len(times) < leastRuns || len(times) < mostRuns && time.Since(start) < runsTime {
		begin := time.Now()
		pass()
		times = append(times, float64(time.Since(begin).Nanoseconds()))
	}
	return float64(c.FLOPs()) / max(1, Median(times))
}
