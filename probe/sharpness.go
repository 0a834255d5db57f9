package probe

import (
	"context"
	"math"

	"ballast/net"
	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

const (
	sharpnessUnits     = 256  // training units at most
	sharpnessProducts  = 30   // of the Hessian with a vector, at most
	sharpnessTolerance = 0.02 // of the eigenvalue, at which fewer are enough
	// sharpnessStep is the length of the step to either side, as a share of the length
	// of all weights, over which logits are compared. They are sure to some 1e-6 of
	// their size in float32, so far shorter steps measure rounding; far longer ones
	// leave the point.
	sharpnessStep = 1e-3
)

var sharpness = Probe{
	ID:    "sharpness",
	Title: "measuring the sharpness of the training loss",
	Explain: "How large may a step be before it overshoots? The largest eigenvalue of the Hessian of the training loss is held against " +
		"the limit above which the optimiser's rule is unstable.",
	Values: []string{"largest_eigenvalue", "limit", "ratio", "residual", "products", "images"},
	Cost: func(b *Bench) float64 {
		return float64(5*b.fewer(sharpnessProducts, 12)+3) * b.trained(min(sharpnessUnits, b.Lab.Units()))
	},
	Run: measureSharpness,
}

// measureSharpness works at the weights that training would go on from, with batch
// norm as in training (each batch by its own statistics) and without dropout.
func measureSharpness(ctx context.Context, b *Bench) (map[string]run.Float, error) {
	lab, err := b.lab(b.Plan.Undropped(), b.Images, b.State.Current)
	if err != nil {
		return nil, err
	}
	defer lab.Close()
	c, err := b.curvature(lab)
	if err != nil {
		return nil, err
	}
	h := &hessian{lab: lab, curvature: c}
	h.units = stat.NewStream(b.Plan.Seed, "probe/sharpness").Perm(lab.Units())
	h.units = h.units[:min(sharpnessUnits, len(h.units))]
	start, err := h.start(ctx, stat.NewStream(b.Plan.Seed, "probe/sharpness", 1))
	if err != nil {
		return nil, err
	}
	found, err := lanczos(start, b.fewer(sharpnessProducts, 12), sharpnessTolerance, func(v []float64) ([]float64, error) { return h.times(ctx, v) })
	if err != nil {
		return nil, err
	}
	return map[string]run.Float{
		"largest_eigenvalue": run.Float(found.value),
		"limit":              run.Float(c.Limit),
		"ratio":              run.Float(found.value / c.Limit),
		"residual":           run.Float(found.residual),
		"products":           run.Float(found.products),
		"images":             run.Float(b.trained(len(h.units))),
	}, nil
}

// curvature describes the optimiser at the typical rate of the run.
func (b *Bench) curvature(lab *train.Lab) (*train.Curvature, error) {
	rate := typicalRate(b.Run)
	if !(rate > 0) {
		return nil, notApplicable("the learning rate was %g", rate)
	}
	c, err := lab.Curvature(b.State, rate)
	if err != nil {
		return nil, notApplicable("%v", err)
	}
	return c, nil
}

// A hessian is the Gauss-Newton part of that of the mean training loss over some
// units, with the part of weight decay, scaled from both sides as the optimiser
// scales its steps.
//
// The Hessian is G + R: the Gauss-Newton matrix G, which holds its large eigenvalues
// in trained networks (Papyan, "The full spectrum of deepnet Hessians at scale", 2018,
// arXiv 1811.07062), and a part R with the curvature of the network itself. Where
// units are rectified and pooled that curvature lies in kinks: a difference of
// gradients measures how many of them it happens to cross, and grows without bound
// as the step gets shorter. G has no such part.
type hessian struct {
	lab       *train.Lab
	units     []int
	curvature *train.Curvature
	length    float64 // of all weights
}

// start is a random direction among the weights that have a gradient: a direction
// u = scale v of normal numbers, so that no weight that an adaptive optimiser
// hardly ever saw a gradient of outweighs the others.
func (h *hessian) start(ctx context.Context, stream *stat.Stream) ([]float64, error) {
	_, gradient, err := h.lab.Gradient(ctx, h.units, net.Training, 0)
	if err != nil {
		return nil, err
	}
	for _, w := range h.lab.Weights() {
		h.length += float64(float64(w) * float64(w))
	}
	h.length = math.Sqrt(h.length)
	if size := norm(gradient); !(size > 0) || math.IsInf(size, 0) || !(h.length > 0) {
		return nil, notApplicable("the gradient at the last weights is 0 or not a number")
	}
	v := make([]float64, len(gradient))
	for i, g := range gradient {
		if g != 0 {
			v[i] = stream.Normal() / h.curvature.Scale[i]
		}
	}
	return v, nil
}

// times is the product with a vector.
func (h *hessian) times(ctx context.Context, v []float64) ([]float64, error) {
	u := make([]float64, len(v))
	for i, x := range v {
		u[i] = float64(h.curvature.Scale[i] * x)
	}
	product, err := h.lab.GaussNewton(ctx, h.units, u, sharpnessStep*h.length/norm(u))
	for i := range product {
		product[i] = float64(h.curvature.Scale[i] * (product[i] + float64(h.curvature.Decay[i]*u[i])))
	}
	return product, err
}
