package engine

import (
	"fmt"
	"time"

	"ballast/kernel"
	"ballast/net"
	"ballast/stat"
	"ballast/train"
)

// A Workload is a network with a batch of noise, ready to run.
type Workload struct {
	FLOPs int64 // nominal, of one Run

	network       Network
	net           *net.Net
	batch         net.Batch
	labels        []int
	probabilities []float32
	gradient      []float32
	optimise      func()
}

// LearningRate is that of Adam. It is so small that the network stays as it was drawn: that of a
// network which has learnt its one batch by heart would consist of denormal
// numbers.
const LearningRate = 1e-6

// NewWorkload builds a network and its batch on a pool.
func NewWorkload(n Network, pool *kernel.Pool) (*Workload, error) {
	built, err := net.Build(n.Config, 1, pool)
	if err != nil {
		return nil, fmt.Errorf("reference network %s: %w", n.ID, err)
	}
	c := n.Config
	w := &Workload{network: n, net: built, labels: make([]int, n.Batch)}
	w.batch = net.Batch{N: n.Batch, C: c.Channels, D: c.Size[0], H: c.Size[1], W: c.Size[2]}
	w.batch.Data = noise(n.Batch * c.Channels * c.Size[0] * c.Size[1] * c.Size[2])
	for i := range w.labels {
		w.labels[i] = i % c.Classes
	}
	w.probabilities = make([]float32, n.Batch*c.Classes)
	w.gradient = make([]float32, n.Batch*c.Classes)
	cost := built.Cost(n.Batch)
	w.FLOPs = cost.StepFLOPs
	if n.Inference {
		w.FLOPs = cost.ForwardFLOPs
		return w, nil
	}
	adam := train.DefaultPlan().Optimizer
	adam.LR = LearningRate
	w.optimise = train.NewStep(adam, built.Params(), pool)
	return w, nil
}

// Run does one training step (forward, loss, backward, Adam), or one forward
// pass with running statistics.
func (w *Workload) Run() {
	if w.network.Inference {
		w.net.Forward(&w.batch, net.Inference, 0)
		return
	}
	logits := w.net.Forward(&w.batch, net.Training, 0)
	net.SoftmaxCrossEntropy(logits, w.labels, w.network.Config.Classes, w.probabilities, w.gradient)
	w.net.Backward(w.gradient)
	w.optimise()
}

// Time returns the time of one of n Runs, one after another.
func (w *Workload) Time(n int) time.Duration {
	begin := time.Now()
	for range n {
		w.Run()
	}
	return time.Since(begin) / time.Duration(n)
}

// noise returns n normal numbers, the same few thousand over and over.
func noise(n int) []float32 {
	data := make([]float32, n)
	stream := stat.NewStream(1, "bench/noise")
	const different = 1 << 13
	for i := range data {
		if i < different {
			data[i] = float32(stream.Normal())
		} else {
			data[i] = data[i-different]
		}
	}
	return data
}
