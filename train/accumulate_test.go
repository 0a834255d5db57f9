package train

import (
	"math"
	"slices"
	"testing"

	"ballast/kernel"
	"ballast/net"
	"ballast/stat"
)

// Without batch norm and dropout, small batches that share a step give the
// gradient of one large batch, apart from the order of summing: batches of 4 and
// 3 images, one alone, and sums of class weights.
func TestAccumulationGivesTheGradientOfOneBatch(t *testing.T) {
	for _, weights := range []string{"none", "balanced"} {
		p := smallPlan()
		p.Net.Norm, p.Net.Dropout, p.Loss.Weights = "none", 0, weights
		images := blobs(p, 7, 4, 0) // 10 images
		images.Train.Samples = images.Train.Samples[:9]
		gradient := func(batches ...[]int) []float32 {
			p.Optimizer.Accumulate = max(2, len(batches))
			trainer, err := newTrainer(p, images, Options{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer trainer.pool.Close()
			for i, batch := range batches {
				trainer.fill(&trainer.batch, source{set: &images.Train, units: batch}, part{0, len(batch)})
				sum := trainer.backward(batch)
				if whole := trainer.accumulation.gather(sum.weight, i == len(batches)-1); whole != (i == len(batches)-1) {
					t.Errorf("batch %d of %d: whole is %v", i+1, len(batches), whole)
				}
			}
			var all []float32
			for _, param := range trainer.net.Params() {
				all = append(all, param.Grad...)
			}
			return all
		}
		want := gradient([]int{0, 1, 2, 3, 4, 5, 6, 7, 8})
		size := 0.0
		for _, g := range want {
			size = math.Max(size, math.Abs(float64(g)))
		}
		for name, got := range map[string][]float32{
			"4, 3 and 2 images": gradient([]int{0, 1, 2, 3}, []int{4, 5, 6}, []int{7, 8}),
			"1 and 8 images":    gradient([]int{0}, []int{1, 2, 3, 4, 5, 6, 7, 8}),
		} {
			for i := range want {
				if !(math.Abs(float64(got[i]-want[i])) <= 1e-6*size) {
					t.Fatalf("weights %s, %s: element %d of the gradient is %g, of one batch %g (largest %g)", weights, name, i, got[i], want[i], size)
				}
			}
		}
	}
}

func TestAccumulationStepsAndBits(t *testing.T) {
	p := smallPlan()
	p.Batch, p.Optimizer.Accumulate, p.Optimizer.Clip = 2, 3, 0.5
	images := blobs(p, 9, 4, 0) // 13 images: 7 batches, 3 steps, the last of one batch
	images.Train.Samples = images.Train.Samples[:13]
	epochs := recordedEpochs(t, p, images)
	for i, e := range epochs {
		if e.Step != 3*(i+1) {
			t.Errorf("epoch %d ends with step %d, want %d", i+1, e.Step, 3*(i+1))
		}
		if !(e.GradientNorm > 0) {
			t.Errorf("epoch %d: gradient norm %g", i+1, e.GradientNorm)
		}
	}
	p.Optimizer.Accumulate = 1
	alone := recordedEpochs(t, p, images)
	p.Optimizer.Accumulate = 100 // one step an epoch
	one := recordedEpochs(t, p, images)
	if alone[2].Step != 21 || one[2].Step != 3 {
		t.Errorf("%d steps without accumulation, %d with an epoch to a step", alone[2].Step, one[2].Step)
	}
}

// Batches that are gathered allocate nothing and depend on no number of threads.
func TestAccumulationAllocatesNothing(t *testing.T) {
	var results [][]float32
	for _, threads := range []int{1, 3} {
		pool := kernel.NewPool(threads)
		params := []*net.Param{waves(50_000)}
		a := newAccumulation(4, params, pool)
		stream := stat.NewStream(7, "gradients")
		gather := func() {
			for i := range 4 {
				params[0].Grad[i] = float32(stream.Normal())
				a.gather(float64(3+i%2), false)
			}
		}
		gather()
		if threads == 1 {
			if got := testing.AllocsPerRun(5, gather); got != 0 {
				t.Errorf("a step of four batches makes %g allocations", got)
			}
		} else {
			for range 6 {
				gather()
			}
		}
		results = append(results, params[0].Grad)
		pool.Close()
	}
	if !slices.Equal(results[0], results[1]) {
		t.Error("the gradient depends on the number of threads")
	}
}

// The numbers of PyTorch are in TestOptimizersAgreeWithPyTorch.
func TestClip(t *testing.T) {
	for _, c := range []struct{ norm, limit, want float64 }{
		{5, 0, 5}, {5, 10, 5}, {5, 2, 2}, {5, 5, 5}, {0, 1, 0},
	} {
		params := []*net.Param{{Grad: []float32{float32(c.norm * 0.6), 0}}, {Grad: []float32{float32(c.norm * 0.8)}}}
		clip(params, gradientNorm(params), c.limit)
		if got := gradientNorm(params); !(math.Abs(got-c.want) <= 2e-6) {
			t.Errorf("norm %g clipped to %g is %g, want %g", c.norm, c.limit, got, c.want)
		}
	}
}
