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
		name   string
		config Config
		batch  int
	}{
		{"R1 3D 64^3 batch 4", Config{Name: "cnn4", Dims: 3, Size: [3]int{64, 64, 64}, Width: 16, Norm: "batch"}, 4},
		{"R1 without norm", Config{Name: "cnn4", Dims: 3, Size: [3]int{64, 64, 64}, Width: 16, Norm: "none"}, 4},
		{"R2 3D 32^3 batch 16", Config{Name: "cnn4", Dims: 3, Size: [3]int{32, 32, 32}, Width: 16, Norm: "batch"}, 16},
		{"R3 2D 128^2 batch 32", Config{Name: "cnn4", Dims: 2, Size: [3]int{1, 128, 128}, Width: 16, Norm: "batch"}, 32},
		{"R3n without norm", Config{Name: "cnn4", Dims: 2, Size: [3]int{1, 128, 128}, Width: 16, Norm: "none"}, 32},
		{"R4 residual 2D 64^2 batch 32", Config{Name: "resnet18", Dims: 2, Size: [3]int{1, 64, 64}, Width: 64, Norm: "batch"}, 32},
		{"odd 3D 51 47 33 batch 4", Config{Name: "cnn4", Dims: 3, Size: [3]int{51, 47, 33}, Width: 20, Norm: "batch"}, 4},
		{"dropout 3D 64^3 batch 4", Config{Name: "cnn4", Dims: 3, Size: [3]int{64, 64, 64}, Width: 16, Norm: "batch", BlockDropout: 0.2}, 4},
		{"after pool 3D 64^3 batch 4", Config{Name: "cnn4", Dims: 3, Size: [3]int{64, 64, 64}, Width: 16, Norm: "batch-after-pool"}, 4},
	} {
		c.config.Channels, c.config.Classes, c.config.Momentum = 1, 2, 0.1
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/workers=%d", c.name, workers), func(b *testing.B) {
				benchmarkStep(b, c.config, c.batch, workers)
			})
		}
	}
}

func benchmarkStep(b *testing.B, c Config, batch, workers int) {
	pool := kernel.NewPool(workers)
	defer pool.Close()
	n, err := Build(c, 1, pool)
	if err != nil {
		b.Fatal(err)
	}
	x := images(c, batch, 1)
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
