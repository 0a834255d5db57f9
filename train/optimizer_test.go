package train

import (
	"math"
	"testing"

	"ballast/kernel"
	"ballast/net"
)

// The expected values were printed by bench/pytorch/optimizers.py with torch
// 2.15.0: ten parameters on a quadratic, gradient (i+1)(w - i/8), start
// -1 + i/4. They agree to a few rounding errors after 50 steps.
func TestOptimizersAgreeWithPyTorch(t *testing.T) {
	for _, c := range []struct {
		plan Optimizer
		want map[int][]float64
	}{
		{Optimizer{Name: "sgd", LR: 0.01, Momentum: 0.9, WeightDecay: 0.01}, map[int][]float64{
			1:  {-0.989899993, -0.732424974, -0.477450013, -0.224975005, 0.0249999985, 0.272475004, 0.517449975, 0.759925008, 0.999899983, 1.23737502},
			10: {-0.617629826, -0.14168182, 0.212462708, 0.470528185, 0.654835939, 0.784606874, 0.876245499, 0.943605483, 0.998238683, 1.04962611},
			50: {0.0564401522, 0.0600148179, 0.273110628, 0.416366965, 0.495606601, 0.598339856, 0.735803127, 0.875349283, 0.998819649, 1.11549485},
		}},
		{Optimizer{Name: "adam", LR: 0.05, WeightDecay: 0.01}, map[int][]float64{
			1:  {-0.949999988, -0.699999988, -0.449999988, -0.200000003, 0.049999997, 0.300000012, 0.550000012, 0.800000012, 0.950000048, 1.20000005},
			10: {-0.512293398, -0.264972985, -0.0190101266, 0.2243191, 0.461733371, 0.682882607, 0.850502014, 0.884269238, 0.973976552, 1.11073291},
			50: {0.0378820188, 0.11880257, 0.210848272, 0.336631864, 0.501784146, 0.644216359, 0.735492468, 0.867912173, 1.00074995, 1.13054562},
		}},
	} {
		param := &net.Param{Value: make([]float32, 10), Grad: make([]float32, 10), Decay: true}
		for i := range param.Value {
			param.Value[i] = float32(i)/4 - 1
		}
		params := []*net.Param{param}
		pool := kernel.NewPool(2)
		o := newOptimizer(c.plan, params, pool)
		for step := 1; step <= 50; step++ {
			for i, w := range param.Value {
				param.Grad[i] = float32(i+1) * (w - float32(i)/8)
			}
			o.step(params, c.plan.LR)
			for i, want := range c.want[step] {
				if got := float64(param.Value[i]); !(math.Abs(got-want) <= 2e-6) {
					t.Errorf("%s, step %d, parameter %d: %.9g, torch gives %.9g", c.plan.Name, step, i, got, want)
				}
			}
		}
		pool.Close()
	}
}

func TestDecaySparesBiases(t *testing.T) {
	pool := kernel.NewPool(1)
	defer pool.Close()
	for _, name := range []string{"sgd", "adam"} {
		bias := &net.Param{Value: []float32{1}, Grad: []float32{0}}
		newOptimizer(Optimizer{Name: name, LR: 0.1, WeightDecay: 0.5}, []*net.Param{bias}, pool).step([]*net.Param{bias}, 0.1)
		if bias.Value[0] != 1 {
			t.Errorf("%s: weight decay changed a bias to %g", name, bias.Value[0])
		}
	}
}

func TestOptimizerDoesNotDependOnThreads(t *testing.T) {
	values := func(workers int) []float32 {
		pool := kernel.NewPool(workers)
		defer pool.Close()
		param := &net.Param{Value: make([]float32, 100_003), Grad: make([]float32, 100_003), Decay: true}
		for i := range param.Grad {
			param.Value[i], param.Grad[i] = float32(i%17)/16, float32(i%29)/28-0.5
		}
		o := newOptimizer(Optimizer{Name: "adam", LR: 0.01, WeightDecay: 0.1}, []*net.Param{param}, pool)
		for range 3 {
			o.step([]*net.Param{param}, 0.01)
		}
		return param.Value
	}
	one, three := values(1), values(3)
	for i := range one {
		if one[i] != three[i] {
			t.Fatalf("value %d: %g with one worker, %g with three", i, one[i], three[i])
		}
	}
}
