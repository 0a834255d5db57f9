package net

import (
	"fmt"

	"ballast/kernel"
)

// A Batch is images at the API: planar (N, C, D, H, W), contiguous; D = 1 in 2D.
type Batch struct {
	N, C, D, H, W int
	Data          []float32
}

// A Mode says how Forward treats batch norm and dropout.
type Mode int

const (
	Training      Mode = iota // batch statistics, running statistics updated, dropout on
	Inference                 // running statistics, dropout off
	Recalibration             // batch statistics, dropout off; statistics gathered between BeginRecalibration and EndRecalibration
	Sampling                  // running statistics, dropout on
)

// A Param is one trained array in the layout of the kernels. Padding is zero
// in both Value and Grad, and stays so under any update that maps (0, 0) to 0.
type Param struct {
	Name  string
	Value []float32
	Grad  []float32
	Decay bool // whether weight decay applies: to weights, not to biases and normalisation
}

// A Net is a network with its parameters and the buffers of one batch. It must
// not be used by two goroutines at once. It allocates no buffers after the
// first step, unless a batch is larger than any before.
type Net struct {
	config Config
	pool   *kernel.Pool
	image  kernel.Shape // what the first layer reads
	blocks []*block
	head   *head
	params []*Param

	batch    int // samples of the last Forward
	capacity int // samples for which the forward buffers suffice, see Reserve
	mode     Mode
	packed   []float32 // the image in the layout of the kernels
	features []float32 // input of the head (N, features)
	gradient []float32 // of the features
}

// Build returns the network with its initial weights: He initialisation
// (normal, variance 2/fan-in) for convolutions, uniform within 1/sqrt(fan-in)
// for the dense layer, zero biases, gamma 1, beta 0. Parameter p is drawn from
// the stream "initialisation/p" of the seed. A nil pool means one worker.
func Build(c Config, seed uint64, pool *kernel.Pool) (*Net, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if pool == nil {
		pool = kernel.NewPool(1)
	}
	n := &Net{config: c, pool: pool}
	if c.blocks() == 0 {
		n.buildLinear()
	} else {
		n.buildBlocks()
	}
	for _, b := range n.blocks {
		n.params = append(n.params, b.params()...)
	}
	n.params = append(n.params, n.head.weight, n.head.bias)
	n.initialise(seed)
	return n, nil
}

func (n *Net) buildLinear() {
	c := n.config
	for axis, size := range c.Size {
		c.Size[axis] = min(size, linearMax)
	}
	n.image = kernel.Shape{N: 1, C: c.Channels, D: c.Size[0], H: c.Size[1], W: c.Size[2], Lanes: 1}
	features := n.image.C * n.image.Voxels()
	n.head = newHead(features, features, c)
}

func (n *Net) buildBlocks() {
	c := n.config
	n.image = kernel.Narrow(1, c.Channels, c.Size[0], c.Size[1], c.Size[2], 1)
	in, width := n.image, c.Width
	for i := range c.blocks() {
		last := i == c.blocks()-1
		b := newBlock(fmt.Sprintf("block%d", i+1), in, width, c, i == 0, last)
		n.blocks = append(n.blocks, b)
		in, width = b.tail.Pool.Out, 2*width
	}
	n.head = newHead(in.C, in.Padded(), c)
}

// Params returns all trained arrays in a fixed order, from input to output.
func (n *Net) Params() []*Param { return n.params }

// HasBatchNorm says whether the network has batch normalisation.
func (n *Net) HasBatchNorm() bool { return len(n.blocks) > 0 && n.blocks[0].norm != nil }

// Forward returns the logits (N, Classes) of the images, valid until the next
// Forward. Dropout keeps feature c of sample i where word i*features + c of the
// stream (dropoutSeed, "dropout/dropout") is at least probability * 2^32.
// It panics when the batch does not have the network's input shape.
func (n *Net) Forward(x *Batch, mode Mode, dropoutSeed uint64) []float32 {
	n.setBatch(x)
	n.mode = mode
	if len(n.blocks) == 0 {
		size := [3]int{n.image.D, n.image.H, n.image.W}
		kernel.AdaptiveAverage(n.pool, x.N*x.C, n.config.Size, size, x.Data, n.features)
	} else {
		n.forwardBlocks(x.Data)
	}
	return n.head.forward(n.features, x.N, mode, dropoutSeed)
}

func (n *Net) forwardBlocks(images []float32) {
	kernel.Pack(n.pool, images, n.image, n.packed)
	in := n.packed
	for _, b := range n.blocks {
		in = b.forward(n.pool, in, n.mode, n.capacity)
	}
	kernel.GlobalAverage(n.pool, n.blocks[len(n.blocks)-1].tail.Pool.Out, in, n.features)
}

// Backward sets all gradients from that of the logits (N, Classes). It follows
// a Forward in Training mode, or in Inference mode, where batch norm's
// statistics are constants.
func (n *Net) Backward(dlogits []float32) {
	if n.batch == 0 || n.mode != Training && n.mode != Inference {
		panic("net: Backward must follow Forward in Training or Inference mode")
	}
	if len(n.blocks) == 0 {
		n.head.backward(dlogits, n.batch, nil)
		return
	}
	if len(n.gradient) < len(n.features) {
		n.gradient = make([]float32, len(n.features))
	}
	n.head.backward(dlogits, n.batch, n.gradient)
	last := n.blocks[len(n.blocks)-1]
	last.resizeGradients(n.capacity)
	kernel.GlobalAverageBackward(n.pool, n.gradient, last.tail.Pool.BestShape(), last.dout)
	for i := len(n.blocks) - 1; i > 0; i-- {
		below := n.blocks[i-1]
		below.resizeGradients(n.capacity)
		n.blocks[i].backward(n.pool, below.out, n.mode)
		n.blocks[i].conv.BackwardData(n.pool, n.blocks[i].dy, n.blocks[i].weight.Value, below.tail.Pool.BestShape(), below.dout)
	}
	n.blocks[0].backward(n.pool, n.packed, n.mode)
}

// setBatch sets all shapes to the batch, with buffers for it.
func (n *Net) setBatch(x *Batch) {
	c := n.config
	if x.N < 1 || x.C != c.Channels || [3]int{x.D, x.H, x.W} != c.Size || len(x.Data) != x.N*x.C*x.D*x.H*x.W {
		panic(fmt.Sprintf("net: batch of %d x %d x %d x %d x %d with %d values for a network with input %d x %v",
			x.N, x.C, x.D, x.H, x.W, len(x.Data), c.Channels, c.Size))
	}
	n.Reserve(x.N)
	n.batch = x.N
	n.image.N = x.N
	for _, b := range n.blocks {
		b.setBatch(x.N)
	}
}

// Reserve makes the forward buffers large enough for batches of that many
// images. Forward does so by itself; to reserve the largest batch first spares
// the buffers of smaller ones.
func (n *Net) Reserve(batch int) {
	if batch <= n.capacity {
		return
	}
	n.capacity = batch
	for _, b := range n.blocks {
		b.resize(batch)
	}
	n.features = make([]float32, batch*n.head.stride)
	n.head.resize(batch)
	if len(n.blocks) > 0 {
		n.packed = make([]float32, n.image.Batch(batch).Len())
	}
}
