package train

import (
	"math"

	"ballast/kernel"
	"ballast/net"
)

// adam is Adam (Kingma and Ba 2015) as torch.optim.Adam, and AdamW (Loshchilov
// and Hutter 2019) as torch.optim.AdamW. At step t, with weight decay d,
//
//	g = gradient + d w      Adam
//	w = w - lr d w          AdamW, before the rest of the step
//	m = beta1 m + (1 - beta1) g
//	v = beta2 v + (1 - beta2) g²
//	w = w - lr/(1 - beta1^t) m / (√v / √(1 - beta2^t) + epsilon)
type adam struct {
	sweep
	decoupled      bool // AdamW
	first, second  moment
	power1, power2 float64 // beta to the number of steps
	rates          kernel.AdamRates
	shrink         float32 // what AdamW multiplies a decaying weight by in this step
}

func newAdam(s sweep, params []*net.Param) *adam {
	o := &adam{
		sweep: s, decoupled: s.plan.Name == "adamw",
		first: newMoment("first", params), second: newMoment("second", params), power1: 1, power2: 1,
	}
	o.begin(o.move)
	return o
}

func (o *adam) step(params []*net.Param, rate float64) {
	o.advance()
	beta1, beta2 := o.plan.Beta1, o.plan.Beta2
	o.rates = kernel.AdamRates{
		First: float32(1 - beta1), Second: float32(beta2), Square: float32(1 - beta2), Epsilon: float32(o.plan.Epsilon),
		Scale: float32(math.Sqrt(1 - o.power2)), Size: float32(rate / (1 - o.power1)),
	}
	o.shrink = float32(1 - float64(rate*o.plan.WeightDecay))
	o.run(params)
}

// advance counts a step in the powers of beta.
func (o *adam) advance() {
	o.power1 = float64(o.power1 * o.plan.Beta1)
	o.power2 = float64(o.power2 * o.plan.Beta2)
}

func (o *adam) move(c chunk, param *net.Param) {
	rates := o.rates
	value := param.Value[c.from:c.to]
	if !o.decoupled {
		rates.Decay = o.plan.decay(param)
	} else if param.Decay && o.plan.WeightDecay > 0 {
		for i := range value {
			value[i] *= o.shrink
		}
	}
	kernel.Adam(&rates, value, param.Grad[c.from:c.to], o.first.of(c), o.second.of(c))
}

func (o *adam) state() []net.Tensor { return stateOf(&o.first, &o.second) }

// restore multiplies the powers up again, in the order in which the steps did,
// so that they have the same bits.
func (o *adam) restore(tensors []net.Tensor, steps int) error {
	if err := restoreMoments(tensors, &o.first, &o.second); err != nil {
		return err
	}
	o.power1, o.power2 = 1, 1
	for range steps {
		o.advance()
	}
	return nil
}
