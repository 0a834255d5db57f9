// Command gorgonia times a training step of the network of the reference R3 in
// Gorgonia, which has convolutions in 2D only. It is a module of its own, so that
// ballast does not depend on Gorgonia.
//
//	ASSUME_NO_MOVING_GC_UNSAFE_RISK_IT_WITH=go1.26 go -C bench/engine/peers/gorgonia run .
//
// Without the variable a module that Gorgonia needs panics with any Go newer than
// itself. The figures stand in docs/decisions/0006-own-engine.md.
package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand"
	"runtime"
	"slices"
	"syscall"
	"time"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func main() {
	log.SetFlags(0)
	size := flag.Int("size", 128, "pixels along each axis")
	batch := flag.Int("batch", 4, "images")
	runs := flag.Int("runs", 5, "runs, after one to warm up")
	flag.Parse()
	fmt.Printf("Gorgonia, 2D %d², batch %d, %d threads\n", *size, *batch, runtime.GOMAXPROCS(0))
	for _, norm := range []bool{true, false} {
		step, err := training(*size, *batch, norm)
		if err == nil {
			err = report(fmt.Sprintf("training step, batch norm %t", norm), *runs, step)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}

// training returns a step with Adam.
func training(size, batch int, norm bool) (step func() error, err error) {
	g := gorgonia.NewGraph()
	x := gorgonia.NewTensor(g, tensor.Float32, 4, gorgonia.WithShape(batch, 1, size, size), gorgonia.WithName("x"))
	y := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(batch, 2), gorgonia.WithName("y"))
	cost, learnt, err := model(g, x, y, norm)
	if err != nil {
		return nil, err
	}
	if _, err := gorgonia.Grad(cost, learnt...); err != nil {
		return nil, err
	}
	images, classes := make([]float32, batch*size*size), make([]float32, batch*2)
	for i := range images {
		images[i] = float32(rand.NormFloat64())
	}
	for i := range batch {
		classes[2*i+i%2] = 1
	}
	if err := gorgonia.Let(x, tensor.New(tensor.WithShape(batch, 1, size, size), tensor.WithBacking(images))); err != nil {
		return nil, err
	}
	if err := gorgonia.Let(y, tensor.New(tensor.WithShape(batch, 2), tensor.WithBacking(classes))); err != nil {
		return nil, err
	}
	machine := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(learnt...))
	solver := gorgonia.NewAdamSolver()
	return func() error {
		defer machine.Reset()
		if err := machine.RunAll(); err != nil {
			return err
		}
		return solver.Step(gorgonia.NodesToValueGrads(learnt))
	}, nil
}

// model: x (N, 1, H, W), one-hot y (N, 2) -> mean cross entropy, and what is
// learnt. Four blocks of convolution, batch norm or none, ReLU and max pooling.
func model(g *gorgonia.ExprGraph, x, y *gorgonia.Node, norm bool) (cost *gorgonia.Node, learnt gorgonia.Nodes, err error) {
	weights := func(name string, shape ...int) *gorgonia.Node {
		w := gorgonia.NewTensor(g, tensor.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name), gorgonia.WithInit(gorgonia.GlorotN(1)))
		learnt = append(learnt, w)
		return w
	}
	in := 1
	for i, channels := range []int{16, 32, 64, 128} {
		w := weights(fmt.Sprintf("conv%d", i+1), channels, in, 3, 3)
		if x, err = gorgonia.Conv2d(x, w, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}); err != nil {
			return nil, nil, err
		}
		if norm {
			var gamma, beta *gorgonia.Node
			if x, gamma, beta, _, err = gorgonia.BatchNorm(x, nil, nil, 0.9, 1e-5); err != nil {
				return nil, nil, err
			}
			learnt = append(learnt, gamma, beta)
		}
		if x, err = gorgonia.Rectify(x); err != nil {
			return nil, nil, err
		}
		if x, err = gorgonia.MaxPool2D(x, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2}); err != nil {
			return nil, nil, err
		}
		in = channels
	}
	s := x.Shape()
	features := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Reshape(x, tensor.Shape{s[0], s[1], s[2] * s[3]})), 2))
	probabilities := gorgonia.Must(gorgonia.SoftMax(gorgonia.Must(gorgonia.Mul(features, weights("head", in, 2)))))
	likelihood := gorgonia.Must(gorgonia.HadamardProd(gorgonia.Must(gorgonia.Log(probabilities)), y))
	return gorgonia.Must(gorgonia.Neg(gorgonia.Must(gorgonia.Mean(likelihood)))), learnt, nil
}

// report prints the median time of some runs after one, and the least time of
// the CPU that one took.
func report(name string, runs int, run func() error) error {
	var times, cpu []time.Duration
	for i := range runs + 1 {
		begin, used := time.Now(), cpuTime()
		if err := run(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if i > 0 {
			times, cpu = append(times, time.Since(begin)), append(cpu, cpuTime()-used)
		}
	}
	slices.Sort(times)
	fmt.Printf("%s: median %.0f ms of %d; CPU time at least %.0f ms\n", name, ms(times[len(times)/2]), runs, ms(slices.Min(cpu)))
	return nil
}

// cpuTime is the time that this program has used on all CPUs.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
