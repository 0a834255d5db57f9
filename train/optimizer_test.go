package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ballast/kernel"
	"ballast/net"
)

// testdata/optimizers.json was written by bench/pytorch/optimizers.py with torch
// 2.15.0: ten parameters on a quadratic, gradient (i+1)(w - i/8), start -1 + i/4.
type torchOptimizer struct {
	Optimizer map[string]any
	Falling   bool // the rate of step t is lr / (1 + t/10)
	Values    map[string][]float64
	Norms     []float64 // before clipping
}

// readJSON reads a file of the test data.
func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// planOf is the default plan with the values of one section.
func planOf(t *testing.T, section string, values map[string]any) Plan {
	t.Helper()
	p := DefaultPlan()
	for key, value := range values {
		if err := p.Set(section+"."+key, fmt.Sprint(value)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// The parameters lie within 1.3 of zero, where neighbouring numbers are 1.2e-7
// apart; fifty steps may differ by a few such roundings.
func TestOptimizersAgreeWithPyTorch(t *testing.T) {
	var file struct {
		Torch string
		Cases []torchOptimizer
	}
	readJSON(t, "optimizers.json", &file)
	if file.Torch == "" || len(file.Cases) < 10 {
		t.Fatalf("%d cases of torch %q", len(file.Cases), file.Torch)
	}
	for _, c := range file.Cases {
		t.Run(fmt.Sprint(c.Optimizer), func(t *testing.T) { c.check(t, file.Torch) })
	}
}

func (c *torchOptimizer) check(t *testing.T, torch string) {
	plan := planOf(t, "optimizer", c.Optimizer).Optimizer
	if _, given := c.Optimizer["momentum"]; !given {
		plan.Momentum = 0
	}
	param := &net.Param{Name: "w", Value: make([]float32, 10), Grad: make([]float32, 10), Decay: true}
	for i := range param.Value {
		param.Value[i] = float32(i)/4 - 1
	}
	params := []*net.Param{param}
	pool := kernel.NewPool(2)
	defer pool.Close()
	o := newOptimizer(plan, params, pool)
	for step := range 50 {
		for i, w := range param.Value {
			param.Grad[i] = float32(i+1) * (w - float32(i)/8)
		}
		norm := gradientNorm(params)
		clip(params, norm, plan.Clip)
		if plan.Clip > 0 && !(math.Abs(norm-c.Norms[step]) <= 2e-6*norm) {
			t.Errorf("step %d: norm %.9g, torch %s gives %.9g", step+1, norm, torch, c.Norms[step])
		}
		rate := plan.LR
		if c.Falling {
			rate /= 1 + float64(step)/10
		}
		o.step(params, rate)
		for i, want := range c.Values[fmt.Sprint(step+1)] {
			if got := float64(param.Value[i]); !(math.Abs(got-want) <= 2e-6) {
				t.Errorf("step %d, parameter %d: %.9g, torch %s gives %.9g", step+1, i, got, torch, want)
			}
		}
	}
}

// optimizers is one plan of each kind, with every number used.
func optimizers() []Optimizer {
	var plans []Optimizer
	for _, name := range []string{"sgd", "rmsprop", "adam", "adamw"} {
		plan := DefaultPlan().Optimizer
		plan.Name, plan.LR, plan.WeightDecay, plan.Nesterov = name, 0.01, 0.1, name == "sgd"
		plans = append(plans, plan)
	}
	return plans
}

// waves is a parameter of n elements with values and gradients of either sign.
func waves(n int) *net.Param {
	param := &net.Param{Name: "waves", Value: make([]float32, n), Grad: make([]float32, n), Decay: true}
	for i := range param.Grad {
		param.Value[i], param.Grad[i] = float32(i%17)/16-0.5, float32(i%29)/28-0.5
	}
	return param
}

func TestDecaySparesBiases(t *testing.T) {
	pool := kernel.NewPool(1)
	defer pool.Close()
	for _, plan := range optimizers() {
		params := []*net.Param{{Name: "bias", Value: []float32{1}, Grad: []float32{0}}, {Name: "weight", Value: []float32{1}, Grad: []float32{0}, Decay: true}}
		newOptimizer(plan, params, pool).step(params, plan.LR)
		if params[0].Value[0] != 1 || !(params[1].Value[0] < 1) {
			t.Errorf("%s: weight decay changed a bias from 1 to %g, a weight to %g", plan.Name, params[0].Value[0], params[1].Value[0])
		}
	}
}

func TestOptimizerDoesNotDependOnThreads(t *testing.T) {
	for _, plan := range optimizers() {
		values := func(workers int) []float32 {
			pool := kernel.NewPool(workers)
			defer pool.Close()
			params := []*net.Param{waves(100_003)}
			o := newOptimizer(plan, params, pool)
			for range 3 {
				o.step(params, 0.01)
			}
			return params[0].Value
		}
		one, three := values(1), values(3)
		for i := range one {
			if one[i] != three[i] {
				t.Fatalf("%s, value %d: %g with one worker, %g with three", plan.Name, i, one[i], three[i])
			}
		}
	}
}

// Padding is zero in the kernels' layout and has to stay so.
func TestOptimizersLeavePaddingZero(t *testing.T) {
	pool := kernel.NewPool(1)
	defer pool.Close()
	for _, plan := range optimizers() {
		params := []*net.Param{{Name: "padding", Value: make([]float32, 16), Grad: make([]float32, 16), Decay: true}}
		o := newOptimizer(plan, params, pool)
		for range 3 {
			o.step(params, 0.01)
		}
		for _, value := range params[0].Value {
			if value != 0 {
				t.Fatalf("%s: padding became %g", plan.Name, value)
			}
		}
	}
}

func TestOptimizersAllocateNothing(t *testing.T) {
	pool := kernel.NewPool(1)
	defer pool.Close()
	for _, plan := range optimizers() {
		params := []*net.Param{waves(100), waves(20_000)}
		o := newOptimizer(plan, params, pool)
		if got := testing.AllocsPerRun(10, func() { clip(params, gradientNorm(params), 1); o.step(params, 0.01) }); got != 0 {
			t.Errorf("%s: a step makes %g allocations", plan.Name, got)
		}
	}
}

// An optimiser whose state went through a copy takes the steps that the first
// one takes, to the bit.
func TestRestoredOptimizerGoesOn(t *testing.T) {
	pool := kernel.NewPool(2)
	defer pool.Close()
	for _, plan := range optimizers() {
		params := []*net.Param{waves(1000)}
		o := newOptimizer(plan, params, pool)
		for range 37 {
			o.step(params, 0.01)
		}
		var saved []net.Tensor
		for _, tensor := range o.state() {
			saved = append(saved, net.Tensor{Name: tensor.Name, Shape: tensor.Shape, Data: slices.Clone(tensor.Data)})
		}
		slices.Reverse(saved)
		copied := []*net.Param{waves(1000)}
		copy(copied[0].Value, params[0].Value)
		other := newOptimizer(plan, copied, pool)
		if err := other.restore(saved, 37); err != nil {
			t.Fatalf("%s: %v", plan.Name, err)
		}
		for range 5 {
			o.step(params, 0.003)
			other.step(copied, 0.003)
		}
		if !slices.Equal(params[0].Value, copied[0].Value) {
			t.Errorf("%s: the restored optimiser takes other steps", plan.Name)
		}
		for name, given := range map[string][]net.Tensor{
			"missing":        saved[1:],
			"given twice":    append(slices.Clone(saved), saved[0]),
			"needs 1000":     append(slices.Clone(saved[1:]), net.Tensor{Name: saved[0].Name, Data: make([]float32, 3)}),
			"the network ne": append(slices.Clone(saved), net.Tensor{Name: "third.waves", Data: make([]float32, 1000)}),
		} {
			if err := other.restore(given, 37); !errors.Is(err, net.ErrState) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: restoring a state that does not fit: %v, want %q", plan.Name, err, name)
			}
		}
	}
}
