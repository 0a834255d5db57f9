package net

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ballast/kernel"
)

// ErrConfig is wrapped by the error of Build for a network that cannot be built.
var ErrConfig = errors.New("network cannot be built")

// A Config says which network to build.
//
// "cnn1" to "cnn6" have that many blocks, or Depth of them, of convolution (3
// voxels wide), normalisation, activation and max pooling by 2, then global
// average pooling, dropout and a dense layer. The first block has Width channels,
// every later one twice as many as the one before. Convolutions have a bias only
// without normalisation, which would cancel it.
//
// "vgg11", "vgg13" and "vgg16" have five groups of 1 1 2 2 2, 2 2 2 2 2 or 2 2 3 3 3
// such convolutions, each with its normalisation and activation (Simonyan and
// Zisserman 2015); max pooling by 2 ends a group. The groups have 1, 2, 4, 8 and 8
// times Width channels. Then the same end.
//
// "resnet10", "resnet18" and "resnet34" begin with such a block of Width channels,
// then have four groups of 1 1 1 1, 2 2 2 2 or 3 4 6 3 residual blocks of two
// convolutions (He et al. 2016), every group after the first halving the size and
// doubling the channels; then the same end. They need batch or group normalisation.
//
// "linear" averages the image to at most 8 voxels along each axis and applies
// dropout and a dense layer: a baseline. It ignores what is said of blocks.
type Config struct {
	Name     string
	Dims     int    // 2 or 3
	Channels int    // of the input
	Size     [3]int // D, H, W of the input; D = 1 in 2D
	Classes  int
	Depth    int     // blocks of a cnn, in place of the number in its name; 0: that number
	Width    int     // channels of the first block
	Norm     string  // "batch"; "batch-after-pool", which normalises what the pooling gives; "group"; or "none"
	Groups   int     // of group normalisation; a layer takes the greatest common divisor of it and its channels
	Momentum float64 // weight of the newest batch in the running statistics, PyTorch's momentum
	Dropout  float64 // probability of dropping a feature before the dense layer

	Activation string  // "relu" or "", or "leaky-relu"
	Slope      float64 // of leaky ReLU below zero

	// Probabilities of dropping an element, and a whole channel of a sample, after
	// each block of a cnn and each group of the others.
	BlockDropout, SpatialDropout float64

	Covariates int    // numbers beside the image that the dense layer sees
	Pooling    string // "mean" or "": each image is classified by itself; "attention": the images of a bag together
}

const (
	linear    = "linear"
	linearMax = 8 // voxels per axis that the linear baseline sees

	normBatch     = "batch"
	normAfterPool = "batch-after-pool"
	normGroup     = "group"
	normNone      = "none"

	relu      = "relu"
	leakyReLU = "leaky-relu"

	poolMean      = "mean"
	poolAttention = "attention"

	maxDepth      = 6 // blocks of a cnn
	maxParameters = 1 << 30
	maxCovariates = 1 << 12
)

// Names returns the names of the networks that Build knows.
func Names() []string {
	return []string{"cnn1", "cnn2", "cnn3", "cnn4", "cnn5", "cnn6", "vgg11", "vgg13", "vgg16", "resnet10", "resnet18", "resnet34", linear}
}

// blocks returns the number of blocks of a cnn, 0 for other networks.
func (c Config) blocks() int {
	digit, ok := strings.CutPrefix(c.Name, "cnn")
	switch {
	case !ok:
		return 0
	case c.Depth > 0:
		return c.Depth
	}
	return int(digit[0] - '0')
}

// convolutions returns the convolutions of each group of a vgg, nil for other
// networks.
func (c Config) convolutions() []int {
	return map[string][]int{"vgg11": {1, 1, 2, 2, 2}, "vgg13": {2, 2, 2, 2, 2}, "vgg16": {2, 2, 3, 3, 3}}[c.Name]
}

// residuals returns the residual blocks of each group, nil for other networks.
func (c Config) residuals() []int {
	return map[string][]int{"resnet10": {1, 1, 1, 1}, "resnet18": {2, 2, 2, 2}, "resnet34": {3, 4, 6, 3}}[c.Name]
}

// activation returns what follows every normalisation.
func (c Config) activation() kernel.Activation {
	if c.Activation == leakyReLU {
		return kernel.Activation(c.Slope)
	}
	return kernel.Rectifier
}

// activationKind names the activation in a summary.
func (c Config) activationKind() string {
	if c.Activation == leakyReLU {
		return "leaky ReLU"
	}
	return "ReLU"
}

// Check says why a network cannot be built, as an ErrConfig; nil if it can.
func (c Config) Check() error {
	known := false
	for _, name := range Names() {
		known = known || name == c.Name
	}
	switch {
	case !known:
		return c.refuse("unknown name; known are %s", strings.Join(Names(), ", "))
	case c.Dims != 2 && c.Dims != 3:
		return c.refuse("%d dimensions; must be 2 or 3", c.Dims)
	case c.Channels < 1:
		return c.refuse("%d input channels; need at least 1", c.Channels)
	case c.Size[0] < 1 || c.Size[1] < 1 || c.Size[2] < 1:
		return c.refuse("input of %d x %d x %d voxels; every size must be at least 1", c.Size[0], c.Size[1], c.Size[2])
	case c.Dims == 2 && c.Size[0] != 1:
		return c.refuse("2D input of depth %d; must be 1", c.Size[0])
	case c.Classes < 2:
		return c.refuse("%d classes; need at least 2", c.Classes)
	case !(c.Dropout >= 0 && c.Dropout < 1):
		return c.refuse("dropout of %g; must be at least 0 and below 1", c.Dropout)
	case !(c.BlockDropout >= 0 && c.BlockDropout < 1):
		return c.refuse("dropout between blocks of %g; must be at least 0 and below 1", c.BlockDropout)
	case !(c.SpatialDropout >= 0 && c.SpatialDropout < 1):
		return c.refuse("spatial dropout of %g; must be at least 0 and below 1", c.SpatialDropout)
	case c.Covariates < 0 || c.Covariates > maxCovariates:
		return c.refuse("%d covariates; there can be 0 to %d", c.Covariates, maxCovariates)
	case c.Pooling != "" && c.Pooling != poolMean && c.Pooling != poolAttention:
		return c.refuse("unknown pooling %q; known are %s, %s", c.Pooling, poolMean, poolAttention)
	case c.Name != linear:
		return c.checkBlocks()
	}
	return c.checkParameters()
}

func (c Config) checkBlocks() error {
	switch {
	case c.Width < 1:
		return c.refuse("width of %d channels; need at least 1", c.Width)
	case c.Depth < 0 || c.Depth > maxDepth:
		return c.refuse("depth of %d blocks; there can be 1 to %d, or 0 for the number in the name", c.Depth, maxDepth)
	case c.Depth > 0 && c.blocks() == 0:
		return c.refuse("depth of %d blocks; only a cnn has a depth to choose", c.Depth)
	case !slices.Contains([]string{"", relu, leakyReLU}, c.Activation):
		return c.refuse("unknown activation %q; known are %s, %s", c.Activation, relu, leakyReLU)
	case c.Activation == leakyReLU && !(c.Slope >= 0 && c.Slope < 1):
		return c.refuse("slope of %g; must be at least 0 and below 1", c.Slope)
	}
	for _, check := range []func() error{c.checkNorm, c.checkSize, c.checkGroups, c.checkParameters} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) checkNorm() error {
	norms := []string{normBatch, normAfterPool, normGroup, normNone}
	batch := c.Norm == normBatch || c.Norm == normAfterPool
	switch {
	case !slices.Contains(norms, c.Norm):
		return c.refuse("unknown normalisation %q; known are %s", c.Norm, strings.Join(norms, ", "))
	case c.residuals() != nil && c.Norm != normBatch && c.Norm != normGroup:
		return c.refuse("a residual network needs batch or group normalisation, not %q", c.Norm)
	case c.convolutions() != nil && c.Norm == normAfterPool:
		return c.refuse("normalisation after the pooling is for cnn1 to cnn6; use batch, group or none")
	case batch && !(c.Momentum > 0 && c.Momentum <= 1):
		return c.refuse("batch-norm momentum of %g; must be above 0 and at most 1", c.Momentum)
	case c.Norm == normGroup && c.Groups < 1:
		return c.refuse("normalisation in %d groups; need at least 1", c.Groups)
	}
	return nil
}

// poolings returns how often an image is halved by pooling. A residual network
// pools once; its strides round up.
func (c Config) poolings() int {
	if c.residuals() != nil {
		return 1
	}
	return c.blocks() + len(c.convolutions())
}

// LeastSize returns the number of voxels that an image needs along every axis, but
// for the depth in 2D. Unknown networks need one.
func (c Config) LeastSize() int {
	if !slices.Contains(Names(), c.Name) {
		return 1
	}
	return 1 << c.poolings()
}

// checkSize refuses images too small for the poolings.
func (c Config) checkSize() error {
	poolings, advice := c.poolings(), "a finer grid"
	switch {
	case c.blocks() > 0:
		advice = "fewer blocks or a finer grid"
	case c.convolutions() != nil:
		advice = "a cnn or a resnet, or a finer grid"
	}
	for axis := 3 - c.Dims; axis < 3; axis++ {
		if need := c.LeastSize(); c.Size[axis] < need {
			return c.refuse("%d poolings by 2 need at least %d voxels along every axis, the %s has %d; use %s",
				poolings, need, [3]string{"depth", "height", "width"}[axis], c.Size[axis], advice)
		}
	}
	return nil
}

// checkGroups refuses group normalisation of single values, which would make them
// all alike: in the last group of a residual network, whose voxels may come down
// to one. In the others a pooling follows, so there are at least two along an axis.
func (c Config) checkGroups() error {
	if c.residuals() == nil || c.Norm != normGroup {
		return nil
	}
	channels, voxels := c.Width<<(len(c.residuals())-1), 1
	for axis := 3 - c.Dims; axis < 3; axis++ {
		voxels *= (c.Size[axis]/2 + 7) / 8 // a pooling and three strides
	}
	if voxels == 1 && commonDivisor(c.Groups, channels) == channels {
		return c.refuse("normalisation in %d groups of %d channels of a single voxel leaves nothing of them; use fewer groups or a finer grid", channels, channels)
	}
	return nil
}

// checkParameters refuses what would not fit into memory, before anything is
// allocated.
func (c Config) checkParameters() error {
	if count := c.Weights(); count > maxParameters {
		return c.refuse("about %.3g parameters; the limit is %d; reduce the width", count, maxParameters)
	}
	return nil
}

// Weights is the number of weights of the network, without biases and those of
// normalisation, to within a few per cent. It builds nothing and counts in float64,
// which cannot overflow.
func (c Config) Weights() float64 {
	in, taps := float64(c.Channels), 9.0
	if c.Dims == 3 {
		taps = 27
	}
	count, width := 0.0, float64(c.Width)
	for range c.blocks() {
		count += float64(in * width * taps)
		in, width = width, 2*width
	}
	for group, convolutions := range c.convolutions() {
		width := float64(c.Width) * float64(vggFactor(group))
		count += float64(in*width*taps) + float64(width*width*taps*float64(convolutions-1))
		in = width
	}
	for group, blocks := range c.residuals() {
		if group == 0 {
			count += float64(in * width * taps)
		} else {
			count += float64(in * width * (1 - taps)) // one convolution has fewer inputs, but a shortcut
		}
		count += float64(width * width * taps * float64(2*blocks))
		in, width = width, 2*width
	}
	if c.Name == linear {
		for _, size := range c.Size {
			in *= float64(min(size, linearMax))
		}
	}
	count += float64((in + float64(c.Covariates)) * float64(c.Classes))
	if c.Pooling == poolAttention {
		count += float64(in * attentionUnits)
	}
	return count
}

func (c Config) refuse(format string, values ...any) error {
	return fmt.Errorf("network %q: %s: %w", c.Name, fmt.Sprintf(format, values...), ErrConfig)
}
