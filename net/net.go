package net

import (
	"fmt"

	"ballast/kernel"
)

// A Batch is images at the API: planar (N, C, D, H, W), contiguous; D = 1 in 2D.
//
// A sample, what logits, labels and covariates belong to, is one image. Where the
// network pools by attention it is a bag, one subject: Bags says how many images
// in a row belong to each. Without Bags each image is alone in its bag.
type Batch struct {
	N, C, D, H, W int
	Data          []float32
	Covariates    []float32 // (samples, Config.Covariates)
	Bags          []int     // adds up to N
}

// A Mode says how Forward treats batch norm and dropout.
type Mode int

const (
	Training      Mode = iota // batch statistics, running statistics updated, dropout on
	Inference                 // running statistics, dropout off
	Recalibration             // batch statistics, dropout off; statistics gathered between BeginRecalibration and EndRecalibration
	Sampling                  // running statistics, dropout on
)

// measures says whether batch norm takes the statistics of the batch.
func (m Mode) measures() bool { return m == Training || m == Recalibration }

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
	stages []stage
	pools  *attention // nil: each image is classified by itself
	head   *head

	members []member // of the stages
	norms   []*norm  // of the members
	params  []*Param

	trained      []*Param // params that are not frozen
	firstTrained int      // the first stage with such parameters; their number where there are none

	batch    int         // images of the last Forward
	bags     []int       // and of each of its bags, under attention
	alone    []int       // as many ones as a batch had images without bags
	step     step        // its capacity: samples for which the forward buffers suffice, see Reserve
	inputs   [][]float32 // of the stages
	packed   []float32   // the image in the layout of the kernels
	features []float32   // input of the head (N, features)
	gradient []float32   // of the features
	final    []float32   // output of the last stage

	observe func(stage int) // called by Backward before each stage, whose gradient is then complete; nil: not
}

// Build returns the network with its initial weights: He initialisation
// (normal, variance 2/fan-in, with leaky ReLU 2/(1 + slope²)/fan-in) for
// convolutions, uniform within 1/sqrt(fan-in) for the dense layer, zero biases,
// gamma 1, beta 0. Parameter p is drawn from the stream "initialisation/p" of the
// seed. A nil pool means one worker.
func Build(c Config, seed uint64, pool *kernel.Pool) (*Net, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if pool == nil {
		pool = kernel.NewPool(1)
	}
	n := assemble(c, pool)
	n.initialise(seed)
	return n, nil
}

// assemble returns the network with weights of zero.
func assemble(c Config, pool *kernel.Pool) *Net {
	image := kernel.Narrow(1, c.Channels, c.Size[0], c.Size[1], c.Size[2], 1)
	n := &Net{config: c, pool: pool, step: step{pool: pool}, image: image}
	switch {
	case c.blocks() > 0:
		n.buildBlocks()
	case c.residuals() != nil:
		n.buildResidual()
	case c.convolutions() != nil:
		n.buildVGG()
	default:
		n.buildLinear()
	}
	for _, s := range n.stages {
		n.members = append(n.members, s.members()...)
	}
	if n.head == nil {
		out := n.last().output()
		n.head = newHead(out.C, out.Padded(), c)
	}
	if c.Pooling == poolAttention {
		n.pools = newAttention(n.head.features, n.head.stride)
		n.members = append(n.members, n.pools)
	}
	for _, m := range n.members {
		n.params = append(n.params, m.params()...)
		if l, ok := m.(*norm); ok {
			n.norms = append(n.norms, l)
		}
	}
	n.inputs = make([][]float32, len(n.stages))
	n.params = append(n.params, n.head.weight, n.head.bias)
	n.trained = n.params
	return n
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

// buildBlocks lays out cnn1 to cnn6.
func (n *Net) buildBlocks() {
	c := n.config
	in, width := n.image, c.Width
	for i := range c.blocks() {
		last := i == c.blocks()-1
		name := fmt.Sprintf("block%d", i+1)
		n.stages = append(n.stages, newBlock(name, in, width, c, i == 0, last))
		in, width = n.last().output(), 2*width
		if c.Norm == normAfterPool {
			n.stages = append(n.stages, newNormStage(name+".norm", in, c.Momentum))
		}
		n.addDropouts(name)
	}
}

// addDropouts adds the dropouts that follow a block or a group of that name.
func (n *Net) addDropouts(name string) {
	c, in := n.config, n.last().output()
	if c.BlockDropout > 0 {
		n.stages = append(n.stages, newDropoutStage(name+".dropout", in, c.BlockDropout))
	}
	if c.SpatialDropout > 0 {
		n.stages = append(n.stages, newSpatialDropoutStage(name+".spatial_dropout", in, c.SpatialDropout))
	}
}

// buildResidual lays out resnet10, resnet18 and resnet34: a block, then four
// groups of residual blocks, of which all but the first begin by halving the
// size and doubling the channels.
func (n *Net) buildResidual() {
	c := n.config
	n.stages = append(n.stages, newBlock("stem", n.image, c.Width, c, true, false))
	width, groups := c.Width, c.residuals()
	for group, blocks := range groups {
		for i := range blocks {
			stride := 1
			if group > 0 && i == 0 {
				stride = 2
				width *= 2
			}
			last := group == len(groups)-1 && i == blocks-1
			n.stages = append(n.stages, newResidual(fmt.Sprintf("group%d.block%d", group+1, i+1), n.last().output(), width, stride, c, last))
		}
		n.addDropouts(fmt.Sprintf("group%d", group+1))
	}
}

// last returns the last stage.
func (n *Net) last() stage { return n.stages[len(n.stages)-1] }

// Params returns all trained arrays in a fixed order, from input to output: those
// that are not frozen, see Freeze.
func (n *Net) Params() []*Param { return n.trained }

// HasBatchNorm says whether the network has batch normalisation.
func (n *Net) HasBatchNorm() bool { return len(n.norms) > 0 }

// Forward returns the logits (samples, Classes), valid until the next Forward.
// Dropout keeps feature c of sample i where word i*features + c of the stream
// (dropoutSeed, "dropout/dropout") is at least probability * 2^32.
// It panics when the batch does not have the network's input shape.
func (n *Net) Forward(x *Batch, mode Mode, dropoutSeed uint64) []float32 {
	features := n.Features(x, mode, dropoutSeed)
	n.bags = n.bagsOf(x)
	return n.classify(features, n.bags, x.Covariates, mode, dropoutSeed)
}

// Features is the first part of Forward: it returns what the network makes of
// each image before attention and the last layer, N rows of FeatureStride
// numbers, valid until the next Forward or Features. Bags and covariates of the
// batch do not matter to it.
func (n *Net) Features(x *Batch, mode Mode, dropoutSeed uint64) []float32 {
	n.setBatch(x)
	n.step.mode, n.step.seed = mode, dropoutSeed
	if len(n.stages) == 0 {
		size := [3]int{n.image.D, n.image.H, n.image.W}
		kernel.AdaptiveAverage(n.pool, x.N*x.C, n.config.Size, size, x.Data, n.features)
	} else {
		n.forwardStages(x.Data)
	}
	return n.features[:x.N*n.head.stride]
}

func (n *Net) forwardStages(images []float32) {
	kernel.Pack(n.pool, images, n.image, n.packed)
	in := n.packed
	for i, s := range n.stages {
		n.inputs[i] = in
		in = s.forward(&n.step, in)
	}
	n.final = in
	kernel.GlobalAverage(n.pool, n.last().output(), in, n.features)
}

// Backward sets all gradients from that of the logits (N, Classes). It follows
// a Forward in Training mode, or in Inference mode, where batch norm's
// statistics are constants.
func (n *Net) Backward(dlogits []float32) {
	if n.batch == 0 || n.step.mode != Training && n.step.mode != Inference {
		panic("net: Backward must follow Forward in Training or Inference mode")
	}
	if n.firstTrained == len(n.stages) {
		n.backwardHead(dlogits, nil)
		return
	}
	if len(n.gradient) < len(n.features) {
		n.gradient = make([]float32, len(n.features))
	}
	n.backwardHead(dlogits, n.gradient)
	for _, s := range n.stages[n.firstTrained:] {
		s.reserveGradients(n.step.capacity)
	}
	layout, dout := n.last().gradient()
	kernel.GlobalAverageBackward(n.pool, n.gradient, layout, dout)
	for i := len(n.stages) - 1; i >= n.firstTrained; i-- {
		layout, din := kernel.Shape{}, []float32(nil)
		if i > n.firstTrained {
			layout, din = n.stages[i-1].gradient()
		}
		if n.observe != nil {
			n.observe(i)
		}
		n.stages[i].backward(&n.step, n.inputs[i], layout, din)
	}
}

// setBatch sets all shapes to the batch, with buffers for it.
func (n *Net) setBatch(x *Batch) {
	c := n.config
	if x.N < 1 || x.C != c.Channels || [3]int{x.D, x.H, x.W} != c.Size || len(x.Data) != x.N*x.C*x.D*x.H*x.W {
		panic(fmt.Sprintf("net: batch of %d x %d x %d x %d x %d with %d values for a network with input %d x %v",
			x.N, x.C, x.D, x.H, x.W, len(x.Data), c.Channels, c.Size))
	}
	n.Reserve(x.N)
	n.batch, n.bags = x.N, nil
	n.image.N = x.N
	for _, s := range n.stages {
		s.setBatch(x.N)
	}
}

// Reserve makes the forward buffers large enough for batches of that many
// images. Forward does so by itself; to reserve the largest batch first spares
// the buffers of smaller ones.
func (n *Net) Reserve(batch int) {
	if batch <= n.step.capacity {
		return
	}
	n.step.capacity = batch
	for _, s := range n.stages {
		s.reserve(batch)
	}
	n.features = make([]float32, batch*n.head.stride)
	n.head.reserve(batch)
	if n.pools != nil {
		n.pools.reserve(batch)
	}
	if len(n.stages) > 0 {
		n.packed = kernel.Floats(n.image.Batch(batch).Len())
	}
}
