package train

import (
	"fmt"
	"slices"
	"strings"

	"ballast/net"
	"ballast/prep"
)

// Validate reports every value that cannot be used, in one error that wraps
// ErrPlan.
func (p *Plan) Validate() error {
	var problems []string
	require := func(ok bool, format string, values ...any) {
		if !ok {
			problems = append(problems, fmt.Sprintf(format, values...))
		}
	}
	oneOf := func(key, value string, allowed ...string) {
		require(slices.Contains(allowed, value), "%s is %q; it can be %s", key, value, strings.Join(allowed, ", "))
	}
	share := func(key string, value, low, high float64) {
		require(value >= low && value <= high, "%s is %g; it must lie between %g and %g", key, value, low, high)
	}
	require(p.Format == PlanFormat, "format is %d; this program reads format %d", p.Format, PlanFormat)
	require(p.Epochs >= 1 && p.Epochs <= 100_000, "epochs is %d; it must lie between 1 and 100000", p.Epochs)
	require(p.Batch >= 0 && p.Batch <= 100_000, "batch is %d; it must lie between 1 and 100000, or be 0 for a chosen one", p.Batch)
	share("split.validation", p.Split.Validation, 0.01, 0.9)
	share("split.test", p.Split.Test, 0, 0.9)
	require(p.Split.LeaveOut == "" || p.Split.Test == 0, "split.test is %g, but split.leave_out makes %s the test set; set one of them", p.Split.Test, p.Split.LeaveOut)
	require(p.Split.Validation+p.Split.Test < 0.95, "split.validation and split.test leave nothing to train on")
	p.validatePrep(require, oneOf)
	p.validateAugment(require, oneOf)
	oneOf("recipe", p.Recipe, "plain", "steady")
	oneOf("sampling.draw", p.Sampling.Draw, "shuffled", "balanced", "sorted")
	p.validateNet(require, oneOf)
	p.validateOptimizer(require, oneOf)
	oneOf("loss.name", p.Loss.Name, "cross-entropy", "focal")
	share("loss.gamma", p.Loss.Gamma, 0, 10)
	oneOf("loss.weights", p.Loss.Weights, "none", "balanced")
	require(p.Loss.Smoothing >= 0 && p.Loss.Smoothing < 1, "loss.smoothing is %g; it must be at least 0 and below 1", p.Loss.Smoothing)
	oneOf("average.name", p.Average.Name, "ema", "swa")
	require(p.Average.Start >= 0 && p.Average.Start < 1, "average.start is %g; it must be at least 0 and below 1", p.Average.Start)
	require(p.Stopping.Patience >= 0, "stopping.patience is %d; it must be at least 0", p.Stopping.Patience)
	oneOf("stopping.watch", p.Stopping.Watch, "loss", "accuracy")
	require(p.Stopping.Smoothing >= 0 && p.Stopping.Smoothing < 1, "stopping.smoothing is %g; it must be at least 0 and below 1", p.Stopping.Smoothing)
	oneOf("validation.weights", p.Validation.Weights, "current", "averaged")
	require(p.Validation.Fraction > 0 && p.Validation.Fraction <= 1, "validation.fraction is %g; it must be above 0 and at most 1", p.Validation.Fraction)
	require(p.Views.Every >= 0, "views.every is %d; it must be at least 0", p.Views.Every)
	require(p.Views.Images >= 2, "views.images is %d; it must be at least 2", p.Views.Images)
	require(p.Views.Decay >= 0 && p.Views.Decay < 1, "views.decay is %g; it must be at least 0 and below 1", p.Views.Decay)
	p.validateMistakes(require)
	if problems = slices.Compact(problems); len(problems) > 0 {
		return fmt.Errorf("%w: %s", ErrPlan, strings.Join(problems, "; "))
	}
	return nil
}

func (p *Plan) validateMistakes(require func(bool, string, ...any)) {
	m := &p.Mistakes
	for _, share := range []struct {
		key   string
		value float64
	}{{"label_noise", m.LabelNoise}, {"leak", m.Leak}, {"shortcut", m.Shortcut}, {"drop", m.Drop}} {
		require(share.value >= 0 && share.value <= 1, "mistakes.%s is %g; it must lie between 0 and 1", share.key, share.value)
	}
	for _, factor := range []struct {
		key   string
		value float64
	}{
		{"input_gain", m.InputGain}, {"validation_gain", m.ValidationGain}, {"initial_gain", m.InitialGain}, {"class_weight", m.ClassWeight},
	} {
		require(factor.value > 0 && factor.value <= 1e6, "mistakes.%s is %g; it must be above 0 and at most 1e+06", factor.key, factor.value)
	}
	for _, offset := range []struct {
		key   string
		value float64
	}{{"input_offset", m.InputOffset}, {"validation_offset", m.ValidationOffset}, {"initial_bias", m.InitialBias}} {
		require(offset.value >= -1e6 && offset.value <= 1e6, "mistakes.%s is %g; it must lie between -1e+06 and 1e+06", offset.key, offset.value)
	}
}

func (p *Plan) validateNet(require func(bool, string, ...any), oneOf func(string, string, ...string)) {
	n := &p.Net
	part := func(key string, value float64) {
		require(value >= 0 && value < 1, "net.%s is %g; it must be at least 0 and below 1", key, value)
	}
	oneOf("net.name", n.Name, net.Names()...)
	require(n.Depth >= 0 && n.Depth <= 6, "net.depth is %d; it must lie between 1 and 6, or be 0 for the number in the name", n.Depth)
	require(n.Depth == 0 || strings.HasPrefix(n.Name, "cnn"), "net.depth is %d, but only a cnn has a depth to choose; %s has its own", n.Depth, n.Name)
	require(n.Width >= 1 && n.Width <= 1024, "net.width is %d; it must lie between 1 and 1024", n.Width)
	oneOf("net.norm", n.Norm, "batch", "batch-after-pool", "group", "none")
	require(n.Groups >= 1 && n.Groups <= 1024, "net.groups is %d; it must lie between 1 and 1024", n.Groups)
	require(n.Momentum >= 1e-6 && n.Momentum <= 1, "net.momentum is %g; it must lie between 1e-06 and 1", n.Momentum)
	oneOf("net.activation", n.Activation, "relu", "leaky-relu")
	part("slope", n.Slope)
	part("dropout", n.Dropout)
	part("block_dropout", n.BlockDropout)
	part("spatial_dropout", n.SpatialDropout)
	oneOf("net.pooling", n.Pooling, "mean", "attention")
}

func (p *Plan) validateOptimizer(require func(bool, string, ...any), oneOf func(string, string, ...string)) {
	o, s := &p.Optimizer, &p.Schedule
	part := func(key string, value float64) {
		require(value >= 0 && value < 1, "%s is %g; it must be at least 0 and below 1", key, value)
	}
	oneOf("optimizer.name", o.Name, "adam", "adamw", "rmsprop", "sgd")
	require(o.LR > 0 && o.LR <= 1000, "optimizer.lr is %g; it must be above 0 and at most 1000", o.LR)
	part("optimizer.momentum", o.Momentum)
	require(!o.Nesterov || o.Momentum > 0, "optimizer.nesterov needs a momentum above 0")
	part("optimizer.alpha", o.Alpha)
	part("optimizer.beta1", o.Beta1)
	part("optimizer.beta2", o.Beta2)
	require(o.Epsilon > 0 && o.Epsilon <= 1, "optimizer.epsilon is %g; it must be above 0 and at most 1", o.Epsilon)
	require(o.WeightDecay >= 0 && o.WeightDecay <= 1, "optimizer.weight_decay is %g; it must lie between 0 and 1", o.WeightDecay)
	require(o.Clip >= 0, "optimizer.clip is %g; it must be above 0, or 0 for no limit", o.Clip)
	require(o.Accumulate >= 1 && o.Accumulate <= 10_000, "optimizer.accumulate is %d; it must lie between 1 and 10000", o.Accumulate)
	oneOf("schedule.name", s.Name, "constant", "step", "cosine", "one-cycle", "plateau")
	require(s.WarmUp >= 0 && s.WarmUp <= 100_000, "schedule.warm_up is %g; it must lie between 0 and 100000", s.WarmUp)
	require(s.Name != "one-cycle" || s.WarmUp == 0, "schedule.warm_up is %g, but one-cycle begins with a rise of its own; see schedule.rise", s.WarmUp)
	require(s.Every >= 1, "schedule.every is %d; it must be at least 1", s.Every)
	require(s.Factor > 0 && s.Factor < 1, "schedule.factor is %g; it must be above 0 and below 1", s.Factor)
	require(s.Patience >= 0, "schedule.patience is %d; it must be at least 0", s.Patience)
	require(s.Final >= 0 && s.Final <= 1, "schedule.final is %g; it must lie between 0 and 1", s.Final)
	require(s.Rise > 0 && s.Rise < 1, "schedule.rise is %g; it must be above 0 and below 1", s.Rise)
}

func (p *Plan) validatePrep(require func(bool, string, ...any), oneOf func(string, string, ...string)) {
	if p.Prep.Crop != "" {
		oneOf("prep.crop", p.Prep.Crop, "mask", "foreground", "none")
	}
	oneOf("prep.orient", p.Prep.Orient, prep.Choices("orient")...)
	oneOf("prep.bias", p.Prep.Bias, prep.Choices("bias")...)
	if p.Prep.Slice != "" {
		oneOf("prep.slice", p.Prep.Slice, prep.Choices("slice")...)
	}
	oneOf("prep.resample", p.Prep.Resample, prep.Choices("resample")...)
	oneOf("prep.standardise", p.Prep.Standardise, prep.Choices("standardise")...)
	oneOf("prep.normalise", p.Prep.Normalise, prep.Choices("normalise")...)
	oneOf("prep.over", p.Prep.Over, prep.Choices("over")...)
	numbers := prep.Config{Dims: 3, Crop: "none", Grid: [3]int{1, 1, 1}, Spacing: [3]float64{1, 1, 1}, Pad: p.Prep.Pad, Clip: p.Prep.Clip}
	if err := numbers.Check(); err != nil {
		require(false, "prep.%v", err)
	}
	require(p.Prep.Standardise != "nyul" || p.Prep.Over != "mask", "prep.standardise is \"nyul\" and prep.over \"mask\"; its landmarks come from the foreground or the image")
	require(p.Prep.Slice == "" || len(p.Prep.Grid) < 3 && len(p.Prep.Spacing) < 3, "prep.slice is %q, which makes a 2D run, but prep.grid or prep.spacing has 3 numbers", p.Prep.Slice)
	require(p.Prep.Channels >= 0 && p.Prep.Channels <= 64, "prep.channels is %d; it must lie between 1 and 64, or be 0 to be counted", p.Prep.Channels)
	require(p.Prep.Margin >= 0 && p.Prep.Margin <= 1000, "prep.margin is %g; it must lie between 0 and 1000", p.Prep.Margin)
	for _, size := range p.Prep.Grid {
		require(size >= 1 && size <= 1024, "prep.grid has %d; sizes lie between 1 and 1024", size)
	}
	for _, mm := range p.Prep.Spacing {
		require(mm > 0 && mm <= 1000, "prep.spacing has %g; spacings are above 0 and at most 1000 mm", mm)
	}
	grid, spacing := len(p.Prep.Grid), len(p.Prep.Spacing)
	require(grid == 0 || grid == 2 || grid == 3, "prep.grid has %d numbers; it needs 3 (D, H, W), or 2 (H, W) for 2D images", grid)
	require(spacing == 0 || spacing == 2 || spacing == 3, "prep.spacing has %d numbers; it needs 3 (D, H, W), or 2 (H, W) for 2D images", spacing)
	require(grid == 0 || spacing == 0 || grid == spacing, "prep.grid and prep.spacing differ in length")
}
