package probe

import (
	"context"
	"math"
	"slices"

	"ballast/run"
)

const (
	noiseBatches    = 8       // that an epoch is divided into at least
	noiseLeastBatch = 4       // units, below which batch norm is a different network
	noiseMemory     = 1 << 26 // numbers of the gradients that are held at once, 512 MiB
)

var gradientNoise = Probe{
	ID:    "gradient-noise",
	Title: "measuring the noise of the gradient",
	Explain: "How much of a step is chance? The gradients of the batches of one epoch are compared at fixed weights: what they have " +
		"in common is signal, what they differ by is noise.",
	Values: []string{"noise_scale", "low", "high", "batch", "ratio", "signal", "noise", "measured", "batches"},
	Cost:   func(b *Bench) float64 { return 3 * b.trained(b.Lab.Units()) },
	Run:    measureGradientNoise,
}

// measureGradientNoise works at the weights that training would go on from, with
// the batches of an epoch as training would make them next: augmented and with
// dropout. Where an epoch has few batches they are made smaller, so that there are
// enough to compare.
func measureGradientNoise(ctx context.Context, b *Bench) (map[string]run.Float, error) {
	p := b.Plan
	units := b.Lab.Units()
	step := min(units, p.Batch*p.Optimizer.Accumulate)
	p.Batch = max(noiseLeastBatch, min(p.Batch, units/noiseBatches))
	lab, err := b.lab(p, b.Images, b.State.Current)
	if err != nil {
		return nil, err
	}
	defer lab.Close()
	most := noiseMemory / len(lab.Weights())
	var gradients [][]float64
	var sizes float64
	err = lab.EachGradient(ctx, b.State.Epoch+1, func(units int, gradient []float64) error {
		if len(gradients) < most {
			gradients = append(gradients, slices.Clone(gradient))
			sizes += float64(units)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(gradients) < 3 {
		return nil, notApplicable("%d batches of %d training images are too few to compare", len(gradients), units)
	}
	size := sizes / float64(len(gradients)) // they differ by one at most
	s := estimateNoiseScale(gram(gradients), size)
	if math.IsNaN(s.scale) {
		return nil, notApplicable("the gradient at the last weights is 0 or not a number")
	}
	return map[string]run.Float{
		"noise_scale": run.Float(s.scale), "low": run.Float(s.low), "high": run.Float(s.high),
		"batch":    run.Float(step),
		"ratio":    run.Float(float64(step) / s.scale),
		"signal":   run.Float(s.signal),
		"noise":    run.Float(s.noise),
		"measured": run.Float(size),
		"batches":  run.Float(len(gradients)),
	}, nil
}
