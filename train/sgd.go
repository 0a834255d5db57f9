package train

import "ballast/net"

// sgd is stochastic gradient descent with momentum m and weight decay d, as
// torch.optim.SGD without dampening:
//
//	g = gradient + d w
//	v = m v + g
//	w = w - lr v            or, with Nesterov's momentum,
//	w = w - lr (g + m v)
//
// The form is that of Sutskever et al. 2013, with the rate outside the velocity:
// when a schedule changes the rate, the step changes at once.
type sgd struct {
	sweep
	velocity moment
	rate     float32 // of the step
}

func newSGD(s sweep, params []*net.Param) *sgd {
	o := &sgd{sweep: s, velocity: newMoment("velocity", params)}
	o.begin(o.move)
	return o
}

func (o *sgd) step(params []*net.Param, rate float64) {
	o.rate = float32(rate)
	o.run(params)
}

func (o *sgd) move(c chunk, param *net.Param) {
	rate, momentum, decay := o.rate, float32(o.plan.Momentum), o.plan.decay(param)
	value, gradient, velocity := param.Value[c.from:c.to], param.Grad[c.from:c.to], o.velocity.of(c)
	for i, g := range gradient {
		g += float32(decay * value[i])
		v := float32(momentum*velocity[i]) + g
		velocity[i] = v
		if o.plan.Nesterov {
			v = g + float32(momentum*v)
		}
		value[i] -= float32(rate * v)
	}
}

func (o *sgd) state() []net.Tensor { return stateOf(&o.velocity) }

func (o *sgd) restore(tensors []net.Tensor, _ int) error { return restoreMoments(tensors, &o.velocity) }
