package train

import (
	"math"

	"ballast/net"
)

// rmsprop is RMSProp (Tieleman and Hinton 2012) with weight decay d, as
// torch.optim.RMSprop without momentum and not centred; epsilon is added to the
// root:
//
//	g = gradient + d w
//	s = alpha s + (1 - alpha) g²
//	w = w - lr g / (√s + epsilon)
type rmsprop struct {
	sweep
	square moment
	rate   float32 // of the step
}

func newRMSProp(s sweep, params []*net.Param) *rmsprop {
	o := &rmsprop{sweep: s, square: newMoment("square", params)}
	o.begin(o.move)
	return o
}

func (o *rmsprop) step(params []*net.Param, rate float64) {
	o.rate = float32(rate)
	o.run(params)
}

func (o *rmsprop) move(c chunk, param *net.Param) {
	rate, decay, epsilon := o.rate, o.plan.decay(param), float32(o.plan.Epsilon)
	alpha, rest := float32(o.plan.Alpha), float32(1-o.plan.Alpha)
	value, gradient, square := param.Value[c.from:c.to], param.Grad[c.from:c.to], o.square.of(c)
	for i, g := range gradient {
		g += float32(decay * value[i])
		s := float32(alpha*square[i]) + float32(rest*float32(g*g))
		square[i] = s
		root := float32(math.Sqrt(float64(s)))
		value[i] -= float32(rate * (g / (root + epsilon)))
	}
}

func (o *rmsprop) state() []net.Tensor { return stateOf(&o.square) }

func (o *rmsprop) restore(tensors []net.Tensor, _ int) error {
	return restoreMoments(tensors, &o.square)
}
