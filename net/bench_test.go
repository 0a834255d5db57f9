package net

import (
	"fmt"
	"math"
	"testing"
	"time"

	"ballast/kernel"
)

// BenchmarkStep measures a training step without the optimiser. Besides the mean
// it reports the fastest step: on a shared machine the others measure its other
// users. FLOPs are nominal.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct {
		name  string
		size  [3]int
		dims  int
		batch int
	}{
		{"R1 3D 64^3 batch 4", [3]int{64, 64, 64}, 3, 4},
		{"R2 3D 32^3 batch 16", [3]int{32, 32, 32}, 3, 16},
		{"R3 2D 128^2 batch 32", [3]int{1, 128, 128}, 2, 32},
	} {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/workers=%d", c.name, workers), func(b *testing.B) {
				benchmarkStep(b, c.size, c.dims, c.batch, workers)
			})
		}
	}
}

func benchmarkStep(b *testing.B, size [3]int, dims, batch, workers int) {
	pool := kernel.NewPool(workers)
	defer pool.Close()
	n, err := Build(Config{Name: "cnn4", Dims: dims, Channels: 1, Size: size, Classes: 2, Width: 16,
		Norm: "batch", Momentum: 0.1}, 1, pool)
	if err != nil {
		b.Fatal(err)
	}
	x := &Batch{N: batch, C: 1, D: size[0], H: size[1], W: size[2], Data: numbers(batch*size[0]*size[1]*size[2], 1)}
	labels := make([]int, batch)
	best := time.Duration(math.MaxInt64)
	for b.Loop() {
		begin := time.Now()
		backward(n, x, labels, Training)
		best = min(best, time.Since(begin))
	}
	b.ReportMetric(float64(n.Cost(batch).StepFLOPs)/best.Seconds()/1e9, "GFLOP/s")
	b.ReportMetric(1000*best.Seconds(), "ms/step")
}
