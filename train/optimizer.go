package train

import (
	"math"

	"ballast/kernel"
	"ballast/net"
)

// optimizer changes parameters by their gradients. One step is elementwise,
// so the order of work does not matter; every product is rounded before it is
// added, which keeps the bits the same on every CPU.
type optimizer interface {
	step(params []*net.Param, rate float64)
}

func newOptimizer(p Optimizer, params []*net.Param, pool *kernel.Pool) optimizer {
	if p.Name == "sgd" {
		o := &sgd{plan: p, pool: pool, chunks: chunksOf(params), velocity: zerosLike(params)}
		o.task = o.move
		return o
	}
	o := &adam{plan: p, pool: pool, chunks: chunksOf(params), first: zerosLike(params), second: zerosLike(params), power1: 1, power2: 1}
	o.task = o.move
	return o
}

func zerosLike(params []*net.Param) [][]float32 {
	zeros := make([][]float32, len(params))
	for i, param := range params {
		zeros[i] = make([]float32, len(param.Value))
	}
	return zeros
}

// sgd is stochastic gradient descent with momentum as torch.optim.SGD:
// v = momentum v + g; w = w - lr v.
type sgd struct {
	plan     Optimizer
	pool     *kernel.Pool
	chunks   chunks
	velocity [][]float32
	params   []*net.Param // of the step
	rate     float32      // of the step
	task     func(task int)
}

func (o *sgd) step(params []*net.Param, rate float64) {
	o.params, o.rate = params, float32(rate)
	o.pool.Run(len(o.chunks), o.task)
}

// move does one chunk.
func (o *sgd) move(task int) {
	rate, momentum := o.rate, float32(o.plan.Momentum)
	c := o.chunks[task]
	param := o.params[c.param]
	value, gradient, velocity := param.Value[c.from:c.to], param.Grad[c.from:c.to], o.velocity[c.param][c.from:c.to]
	decay := o.plan.decay(param)
	for i, g := range gradient {
		g += float32(decay * value[i])
		velocity[i] = float32(momentum*velocity[i]) + g
		value[i] -= float32(rate * velocity[i])
	}
}

// adam is Adam (Kingma and Ba 2015) as torch.optim.Adam with betas 0.9 and
// 0.999 and epsilon 1e-8; weight decay is added to the gradient.
type adam struct {
	plan           Optimizer
	pool           *kernel.Pool
	chunks         chunks
	first, second  [][]float32
	power1, power2 float64 // beta to the number of steps
	rates          kernel.AdamRates
	params         []*net.Param // of the step
	task           func(task int)
}

func (o *adam) step(params []*net.Param, rate float64) {
	const beta1, beta2, epsilon = 0.9, 0.999, 1e-8
	o.power1 = float64(o.power1 * beta1)
	o.power2 = float64(o.power2 * beta2)
	o.rates = kernel.AdamRates{
		First: 1 - beta1, Second: beta2, Square: 1 - beta2, Epsilon: epsilon,
		Scale: float32(math.Sqrt(1 - o.power2)), Size: float32(rate / (1 - o.power1)),
	}
	o.params = params
	o.pool.Run(len(o.chunks), o.task)
}

// move does one chunk.
func (o *adam) move(task int) {
	c := o.chunks[task]
	param := o.params[c.param]
	rates := o.rates
	rates.Decay = o.plan.decay(param)
	kernel.Adam(&rates, param.Value[c.from:c.to], param.Grad[c.from:c.to], o.first[c.param][c.from:c.to], o.second[c.param][c.from:c.to])
}

func (p Optimizer) decay(param *net.Param) float32 {
	if !param.Decay {
		return 0
	}
	return float32(p.WeightDecay)
}

// A chunk is consecutive elements of one parameter, the work of one task.
type chunk struct{ param, from, to int }

type chunks []chunk

// chunksOf divides all parameters.
func chunksOf(params []*net.Param) chunks {
	const size = 1 << 14
	var all chunks
	for i, param := range params {
		for from := 0; from < len(param.Value); from += size {
			all = append(all, chunk{i, from, min(from+size, len(param.Value))})
		}
	}
	return all
}

// each calls f for every chunk, in parallel.
func (c chunks) each(pool *kernel.Pool, f func(param, from, to int)) {
	pool.Run(len(c), func(task int) { f(c[task].param, c[task].from, c[task].to) })
}

// gradientNorm is the Euclidean norm over all parameters.
func gradientNorm(params []*net.Param) float64 {
	var sum float64
	for _, param := range params {
		for _, g := range param.Grad {
			sum += float64(float64(g) * float64(g))
		}
	}
	return math.Sqrt(sum)
}
