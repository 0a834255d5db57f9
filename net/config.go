package net

import (
	"errors"
	"fmt"
	"strings"
)

// ErrConfig is wrapped by the error of Build for a network that cannot be built.
var ErrConfig = errors.New("network cannot be built")

// A Config says which network to build.
//
// "cnn1" to "cnn6" have that many blocks of convolution (3 voxels wide),
// normalisation, ReLU and max pooling by 2, then global average pooling,
// dropout and a dense layer. The first block has Width channels, every later
// one twice as many as the one before. Convolutions have a bias only without
// normalisation, which would cancel it.
//
// "resnet10", "resnet18" and "resnet34" begin with such a block of Width channels,
// then have four groups of 1 1 1 1, 2 2 2 2 or 3 4 6 3 residual blocks of two
// convolutions (He et al. 2016), every group after the first halving the size and
// doubling the channels; then the same end. They need batch normalisation.
//
// "linear" averages the image to at most 8 voxels along each axis and applies
// dropout and a dense layer: a baseline. It ignores Width, Norm and Momentum.
type Config struct {
	Name     string
	Dims     int    // 2 or 3
	Channels int    // of the input
	Size     [3]int // D, H, W of the input; D = 1 in 2D
	Classes  int
	Width    int     // channels of the first block
	Norm     string  // "batch"; "batch-after-pool", which normalises what the pooling gives; or "none"
	Momentum float64 // weight of the newest batch in the running statistics, PyTorch's momentum
	Dropout  float64 // probability of dropping a feature before the dense layer

	BlockDropout float64 // probability of dropping an element after each block of cnn1 to cnn6

	Covariates int    // numbers beside the image that the dense layer sees
	Pooling    string // "mean" or "": each image is classified by itself; "attention": the images of a bag together
}

const (
	linear    = "linear"
	linearMax = 8 // voxels per axis that the linear baseline sees

	normBatch     = "batch"
	normAfterPool = "batch-after-pool"
	normNone      = "none"

	poolMean      = "mean"
	poolAttention = "attention"

	maxParameters = 1 << 30
	maxCovariates = 1 << 12
)

// Names returns the names of the networks that Build knows.
func Names() []string {
	return []string{"cnn1", "cnn2", "cnn3", "cnn4", "cnn5", "cnn6", "resnet10", "resnet18", "resnet34", linear}
}

// blocks returns the number of blocks of cnn1 to cnn6, 0 for other networks.
func (c Config) blocks() int {
	if digit, ok := strings.CutPrefix(c.Name, "cnn"); ok {
		return int(digit[0] - '0')
	}
	return 0
}

// residuals returns the residual blocks of each group, nil for other networks.
func (c Config) residuals() []int {
	return map[string][]int{"resnet10": {1, 1, 1, 1}, "resnet18": {2, 2, 2, 2}, "resnet34": {3, 4, 6, 3}}[c.Name]
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
	case c.Norm != normBatch && c.Norm != normAfterPool && c.Norm != normNone:
		return c.refuse("unknown normalisation %q; known are %s, %s, %s", c.Norm, normBatch, normAfterPool, normNone)
	case c.residuals() != nil && c.Norm != normBatch:
		return c.refuse("a residual network needs batch normalisation, not %q", c.Norm)
	case c.residuals() != nil && c.BlockDropout > 0:
		return c.refuse("dropout between blocks is for cnn1 to cnn6")
	case c.Norm != normNone && !(c.Momentum > 0 && c.Momentum <= 1):
		return c.refuse("batch-norm momentum of %g; must be above 0 and at most 1", c.Momentum)
	}
	halvings := max(1, c.blocks()) // a residual network pools once; its strides round up
	for axis := 3 - c.Dims; axis < 3; axis++ {
		if need := 1 << halvings; c.Size[axis] < need {
			return c.refuse("%d poolings by 2 need at least %d voxels along every axis, the %s has %d; use fewer blocks or a finer grid",
				halvings, need, [3]string{"depth", "height", "width"}[axis], c.Size[axis])
		}
	}
	return c.checkParameters()
}

// checkParameters refuses what would not fit into memory, before anything is
// allocated. It counts in float64, which cannot overflow.
func (c Config) checkParameters() error {
	in, taps := float64(c.Channels), 9.0
	if c.Dims == 3 {
		taps = 27
	}
	count, width := 0.0, float64(c.Width)
	for range c.blocks() {
		count += float64(in * width * taps)
		in, width = width, 2*width
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
		in *= linearMax * linearMax * linearMax
	}
	count += float64((in + float64(c.Covariates)) * float64(c.Classes))
	if c.Pooling == poolAttention {
		count += float64(in * attentionUnits)
	}
	if count > maxParameters {
		return c.refuse("about %.3g parameters; the limit is %d; reduce the width", count, maxParameters)
	}
	return nil
}

func (c Config) refuse(format string, values ...any) error {
	return fmt.Errorf("network %q: %s: %w", c.Name, fmt.Sprintf(format, values...), ErrConfig)
}
