// Command gomlx times the network of the reference R2 in GoMLX with its pure Go
// backend: the forward pass, and a training step with Adam where the backend can.
// It is a module of its own, so that ballast does not depend on GoMLX.
//
//	go -C bench/engine/peers/gomlx run .
//
// Its figures stand in docs/decisions/0006-own-engine.md.
package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/gomlx/gomlx/backends"
	_ "github.com/gomlx/gomlx/backends/simplego"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // as GoMLX's own examples do
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/layers"
	"github.com/gomlx/gomlx/pkg/ml/layers/activations"
	"github.com/gomlx/gomlx/pkg/ml/layers/batchnorm"
	"github.com/gomlx/gomlx/pkg/ml/train"
	"github.com/gomlx/gomlx/pkg/ml/train/losses"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"
)

func main() {
	log.SetFlags(0)
	size := flag.Int("size", 32, "voxels along each axis")
	batch := flag.Int("batch", 4, "images")
	runs := flag.Int("runs", 5, "runs, after one to warm up")
	flag.Parse()
	backend, err := backends.NewWithConfig("go")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("GoMLX %s, backend %q, 3D %d³, batch %d, %d threads\n", version(), backend.Name(), *size, *batch, runtime.GOMAXPROCS(0))
	images, labels := data(*size, *batch)
	for _, m := range []network{{"max", true}, {"max", false}, {"mean", false}, {"stride", false}} {
		report("forward, "+m.String(), *runs, m.forward(backend, images))
		report("training step, "+m.String(), *runs, m.training(backend, images, labels))
	}
}

// version is that of the module in go.mod.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/gomlx/gomlx" {
				return module.Version
			}
		}
	}
	return "(unknown version)"
}

func data(size, batch int) (images, labels *tensors.Tensor) {
	flat := make([]float32, batch*size*size*size)
	for i := range flat {
		flat[i] = float32(rand.NormFloat64())
	}
	classes := make([]int32, batch)
	for i := range classes {
		classes[i] = int32(i % 2)
	}
	return tensors.FromFlatDataAndDimensions(flat, batch, size, size, size, 1), tensors.FromFlatDataAndDimensions(classes, batch, 1)
}

// A network is four blocks of convolution, batch norm or none, ReLU and a halving
// of the size (max or mean pooling, or a stride of 2 in the convolution), 16 to
// 128 channels.
type network struct {
	halving string
	norm    bool
}

func (m network) String() string {
	if m.norm {
		return "batch norm, halved by " + m.halving
	}
	return "no batch norm, halved by " + m.halving
}

// model: images (N, D, H, W, 1) -> logits (N, 2).
func (m network) model(ctx *context.Context, x *Node) *Node {
	for block, channels := range []int{16, 32, 64, 128} {
		in := ctx.In(fmt.Sprintf("block%d", block+1))
		conv := layers.Convolution(in, x).Channels(channels).KernelSize(3).PadSame().UseBias(!m.norm)
		if m.halving == "stride" {
			conv = conv.Strides(2)
		}
		x = conv.Done()
		if m.norm {
			x = batchnorm.New(in, x, -1).UseBackendInference(false).Done()
		}
		x = activations.Relu(x)
		switch m.halving {
		case "max":
			x = MaxPool(x).Window(2).Done()
		case "mean":
			x = MeanPool(x).Window(2).Done()
		}
	}
	return layers.DenseWithBias(ctx.In("head"), ReduceMean(x, 1, 2, 3), 2)
}

// forward returns a run of the forward pass with running statistics.
func (m network) forward(backend backends.Backend, images *tensors.Tensor) func() error {
	exec, err := context.NewExec(backend, context.New(), m.model)
	return func() error {
		if err != nil {
			return err
		}
		outputs, err := exec.Exec(images)
		if err == nil {
			outputs[0].MustFinalizeAll()
		}
		return err
	}
}

// training returns a run of one step with Adam.
func (m network) training(backend backends.Backend, images, labels *tensors.Tensor) func() error {
	trainer := train.NewTrainer(backend, context.New(), func(ctx *context.Context, _ any, inputs []*Node) []*Node {
		return []*Node{m.model(ctx, inputs[0])}
	}, losses.SparseCategoricalCrossEntropyLogits, optimizers.Adam().Done(), nil, nil)
	return func() error {
		_, err := trainer.TrainStep(nil, []*tensors.Tensor{images}, []*tensors.Tensor{labels})
		return err
	}
}

// report prints the median time of some runs after one, and the least time of
// the CPU that one took, or why there is none.
func report(name string, runs int, run func() error) {
	var times, cpu []time.Duration
	for i := range runs + 1 {
		begin, used := time.Now(), cpuTime()
		if err := attempt(run); err != nil {
			fmt.Printf("%s: %v\n", name, err)
			return
		}
		if i > 0 {
			times, cpu = append(times, time.Since(begin)), append(cpu, cpuTime()-used)
		}
	}
	slices.Sort(times)
	fmt.Printf("%s: median %.0f ms of %d; CPU time at least %.0f ms\n", name, ms(times[len(times)/2]), runs, ms(slices.Min(cpu)))
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

// attempt runs, and turns a panic into an error: GoMLX panics while it builds
// the gradient of what it cannot differentiate.
func attempt(run func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("%v", value)
		}
	}()
	return run()
}
