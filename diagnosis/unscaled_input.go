package diagnosis

import (
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: planted in 24 runs, likely or confirmed in 100 % of them from the record
// alone and in 100 % of 4 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1680
// runs with other causes; with experiments in 0 of 60 and 0 of 280
// (docs/reliability-of-diagnosis.md).
var unscaledInput = Cause{
	ID:    "unscaled-input",
	Title: "The input is not scaled",
	Explain: "The intensities that the network is shown are far from the order of one. Initial weights and learning rates are made " +
		"for inputs of that order: the first layer's outputs and gradients grow or vanish with the input.",
	Of:   "generalisation",
	Kind: mistake,
	Brings: []string{"learning-rate-too-high", "learning-rate-too-low", "exploding-gradient", "vanishing-gradient", "dead-relu", "non-finite-loss",
		"too-little-learning", "too-little-capacity", "trained-too-short", "class-bias-oscillation", "coin-flip", "overconfidence", "class-imbalance"},
	Judge:        judgeUnscaledInput,
	WithoutCurve: true,
}

// How far from one the input may be. He and Xavier initialisation (He et al.,
// "Delving deep into rectifiers", 2015; Glorot and Bengio 2010) keep the second
// moment of a layer's output at that of its input, so the input's root mean square
// is what every layer without normalisation starts with. Images of mean 0 and
// variance 1 have 1, images between 0 and 1 about 0.1 to 0.6, of which a background
// of zeros can take another factor of three. One order of magnitude beyond that is
// unscaled; plain 8-bit grey values have about 100.
const (
	largestInput  = 10.0
	smallestInput = 0.01
	farOffset     = 10.0 // means so many standard deviations from 0
	unevenInputs  = 10.0 // ratio of the deviations of the 95th and the 5th subject of 100
)

// judgeUnscaledInput reads the training subjects' intensities as the network sees
// them. They are a fact of the record, so a size beyond the bounds is confirmed.
func judgeUnscaledInput(e *evidence) judgement {
	var sizes, offsets, deviations []float64
	for _, look := range e.looks(run.Train) {
		mean, deviation := float64(look.Mean), float64(look.Deviation)
		if isFinite(mean) && isFinite(deviation) && deviation > 0 {
			sizes = append(sizes, math.Sqrt(mean*mean+deviation*deviation))
			offsets = append(offsets, mean/deviation)
			deviations = append(deviations, deviation)
		}
	}
	if len(sizes) == 0 {
		j := cannotTell(0, "the record tells of 0 training subjects how large their intensities are")
		j.treatment = recordLooks()
		return j
	}
	size, offset := stat.Quantile(sizes, 0.5), stat.Quantile(offsets, 0.5)
	uneven := stat.Quantile(deviations, 0.95) / stat.Quantile(deviations, 0.05)
	j := judgement{verdict: RuledOut, severity: math.NaN()}
	j.say(size, "the intensities that the network is shown have a root mean square of %.3g (median of %d training subjects); initial weights are made for one of the order of 1", size, len(sizes))
	switch {
	case size > largestInput || size < smallestInput:
		j.verdict = Confirmed
		j.say(math.Log10(size), "that is a factor of 10 to the power %.1f", math.Log10(size))
	case math.Abs(offset) > farOffset:
		j.verdict = Likely
		j.say(offset, "their mean lies %.1f standard deviations from 0, so all inputs look alike to the first layer", offset)
	case len(deviations) >= 20 && uneven > unevenInputs:
		j.verdict = Possible
		j.say(uneven, "the standard deviations of the subjects differ by a factor of %.0f: raw intensities have no common unit", uneven)
	}
	j.say(slices.Max(sizes), "they range from %.3g to %.3g between subjects", slices.Min(sizes), slices.Max(sizes))
	j.treat(e.scaleInput())
	return j
}

func (e *evidence) scaleInput() *Treatment {
	t := &Treatment{Plan: map[string]any{}, Text: "Normalise every image to mean 0 and variance 1 over its foreground, and multiply by nothing after that."}
	if e.plan != nil && e.plan.Prep.Normalise != "zscore" {
		t.Plan["prep.normalise"] = "zscore"
	}
	return t
}
