package train

import (
	"context"
	"fmt"
	"math"
	"slices"

	"ballast/net"
)

// EachGradient calls use with the gradient, by the weights in the order of
// Lab.Weights, of each batch of an epoch of training, and with the number of its
// units: augmented, mixed and with dropout as in training, but without the part
// of weight decay. The weights and the running statistics stay as they are. use
// must not keep the gradient.
func (l *Lab) EachGradient(ctx context.Context, epoch int, use func(units int, gradient []float64) error) error {
	t := l.t
	running := t.net.Statistics()
	defer t.net.SetStatistics(running)
	gradient := make([]float64, l.parameters())
	return t.eachBatch(ctx, epoch, func(indices []int, last bool) error {
		t.backward(indices)
		clear(gradient)
		l.addGradient(gradient, 1)
		t.advance(3 * t.batch.N)
		return use(len(indices), gradient)
	})
}

// GaussNewton returns the product of a vector u, in the order of Lab.Weights, with
// the Gauss-Newton matrix of the mean of what training lessens over training units:
//
//	G = mean over units of J' L J
//
// with J the derivative of a unit's logits by the weights and L the Hessian of its
// loss by the logits (Schraudolph, "Fast curvature matrix-vector products for
// second-order gradient descent", Neural Computation 14, 2002). The units are
// divided into batches as in training, each normalised by its own statistics.
//
// L J u is the central difference, over a step along u to either side, of the
// gradient by the logits; J' is applied by the network's own backward pass. The
// weights and the running statistics stay as they are.
func (l *Lab) GaussNewton(ctx context.Context, units []int, u []float64, step float64) ([]float64, error) {
	t := l.t
	running := t.net.Statistics()
	defer t.net.SetStatistics(running)
	here := l.Weights()
	ahead, behind := moved(here, u, step), moved(here, u, -step)
	product, total := make([]float64, len(u)), 0.0
	err := t.feed(source{set: &t.images.Train, units: units, bag: t.bags(0, nil)}, func(_ int, units []int) error {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		l.SetWeights(ahead)
		t.forwardOf(units, net.Training, 0)
		change := slices.Clone(t.gradient)
		l.SetWeights(behind)
		t.forwardOf(units, net.Training, 0)
		for i, g := range t.gradient {
			change[i] = float32((float64(change[i]) - float64(g)) / (2 * step))
		}
		l.SetWeights(here)
		weight := t.forwardOf(units, net.Training, 0).weight
		t.net.Backward(change)
		l.addGradient(product, weight)
		total += weight
		t.advance(5 * t.batch.N)
		return nil
	})
	l.SetWeights(here)
	for i := range product {
		product[i] /= total
	}
	return product, err
}

// moved is the weights a step along a vector away.
func moved(weights []float32, u []float64, step float64) []float32 {
	there := make([]float32, len(weights))
	for i, w := range weights {
		there[i] = float32(float64(w) + float64(step*u[i]))
	}
	return there
}

// A Curvature is what the rule of an optimiser makes of the curvature of the loss:
// to a quadratic loss with the Hessian H it is stable as long as no eigenvalue of
// P^-1/2 (H + D) P^-1/2 exceeds Limit, with the diagonal matrices D of weight
// decay and P of the optimiser's step sizes, both in the order of Lab.Weights.
type Curvature struct {
	Scale []float64 // P^-1/2
	Decay []float64 // D
	Limit float64
}

// Curvature describes the optimiser of the lab's plan in a state, at a learning
// rate:
//
//	sgd      P = 1    limit 2 (1 + m)/rate; with Nesterov's momentum 2 (1 + m)/((1 + 2 m) rate)
//	rmsprop  P = √s + epsilon    limit 2/rate
//	adam     P = (1 - beta1^t) (√(v/(1 - beta2^t)) + epsilon)    limit 2 (1 + beta1)/((1 - beta1) rate)
//
// with the optimiser's means of squared gradients s and v, as if they stood still.
// Cohen et al., "Gradient descent on neural networks typically occurs at the edge
// of stability" (ICLR 2021, arXiv 2103.00065) for sgd; "Adaptive gradient methods
// at the edge of stability" (2022, arXiv 2207.14484) for the others. A step of
// adam with beta1 is one of size (1 - beta1) in the direction of a velocity with
// momentum beta1, whence its limit. adamw decays the weights themselves, by
// rate w in place of P^-1: D is 0 for it. The error wraps ErrCheckpoint where the
// state lacks what an adaptive optimiser remembers.
func (l *Lab) Curvature(s *State, rate float64) (*Curvature, error) {
	o := l.t.plan.Optimizer
	c := &Curvature{}
	for _, param := range l.t.net.Params() {
		decay := float64(o.decay(param))
		if o.Name == "adamw" {
			decay = 0
		}
		for range param.Value {
			c.Scale, c.Decay = append(c.Scale, 1), append(c.Decay, decay)
		}
	}
	if o.Name != "sgd" {
		if s.checkpoint == nil {
			return nil, fmt.Errorf("%w: the run has none, and without it the step sizes of %s are not known", ErrCheckpoint, o.Name)
		}
		if err := l.t.restoreOptimizer(s.checkpoint.optimizer, s.checkpoint.step); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
		}
	}
	l.t.optimizer.curvature(c)
	c.Limit /= rate
	return c, nil
}

// precondition sets the scale of every weight by its mean of squared gradients.
func (c *Curvature) precondition(means [][]float32, size func(mean float64) float64) {
	at := 0
	for _, values := range means {
		for _, mean := range values {
			c.Scale[at] = 1 / math.Sqrt(size(float64(mean)))
			at++
		}
	}
}

func (o *sgd) curvature(c *Curvature) {
	c.Limit = 2 * (1 + o.plan.Momentum)
	if o.plan.Nesterov {
		c.Limit /= 1 + float64(2*o.plan.Momentum)
	}
}

func (o *rmsprop) curvature(c *Curvature) {
	c.Limit = 2
	c.precondition(o.square.values, func(mean float64) float64 { return math.Sqrt(mean) + o.plan.Epsilon })
}

func (o *adam) curvature(c *Curvature) {
	c.Limit = 2 * (1 + o.plan.Beta1) / (1 - o.plan.Beta1)
	c.precondition(o.second.values, func(mean float64) float64 {
		return float64((1 - o.power1) * (math.Sqrt(mean/(1-o.power2)) + o.plan.Epsilon))
	})
}

// Undropped returns the plan of a lab whose network is the same without dropout.
func (p Plan) Undropped() Plan {
	p.Net.Dropout, p.Net.BlockDropout, p.Net.SpatialDropout = 0, 0, 0
	return p
}
