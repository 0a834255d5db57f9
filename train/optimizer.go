package train

import (
	"fmt"
	"math"

	"ballast/kernel"
	"ballast/net"
)

// optimizer changes parameters by their gradients. A step is elementwise and
// divided into chunks, so neither the order of work nor the number of threads
// matters; every product is rounded before it is added, which keeps the bits the
// same on every CPU. A step allocates nothing.
type optimizer interface {
	step(params []*net.Param, rate float64)
	// state returns what the optimiser remembers between steps: one array of
	// each kind for every parameter, named "velocity.block1.conv.weight", in the
	// parameter's layout and sharing the optimiser's memory.
	state() []net.Tensor
	// restore copies such arrays back, in any order, after so many steps: the
	// next step is then the one that would have followed. An error wraps
	// net.ErrState and leaves the optimiser as it was.
	restore(tensors []net.Tensor, steps int) error
	// curvature sets the scales of a Curvature whose scales are 1, and its limit at
	// a rate of 1.
	curvature(c *Curvature)
}

func newOptimizer(p Optimizer, params []*net.Param, pool *kernel.Pool) optimizer {
	s := sweep{plan: p, pool: pool, chunks: chunksOf(params)}
	switch p.Name {
	case "sgd":
		return newSGD(s, params)
	case "rmsprop":
		return newRMSProp(s, params)
	}
	return newAdam(s, params)
}

// A sweep applies an elementwise rule to all parameters, a chunk to a task.
type sweep struct {
	plan   Optimizer
	pool   *kernel.Pool
	chunks chunks
	params []*net.Param // of the step
	rule   func(c chunk, param *net.Param)
	task   func(task int) // does one chunk by the rule; made once
}

// begin fixes the rule.
func (s *sweep) begin(rule func(c chunk, param *net.Param)) {
	s.rule = rule
	s.task = func(task int) {
		c := s.chunks[task]
		s.rule(c, s.params[c.param])
	}
}

func (s *sweep) run(params []*net.Param) {
	s.params = params
	s.pool.Run(len(s.chunks), s.task)
}

// A moment is an array beside every parameter, all zero at first, which an
// optimiser keeps from step to step.
type moment struct {
	name   string
	names  []string // of the parameters
	values [][]float32
}

func newMoment(name string, params []*net.Param) moment {
	m := moment{name: name, values: make([][]float32, len(params))}
	for i, param := range params {
		m.names = append(m.names, param.Name)
		m.values[i] = make([]float32, len(param.Value))
	}
	return m
}

// of is the part of a moment that belongs to a chunk.
func (m *moment) of(c chunk) []float32 { return m.values[c.param][c.from:c.to] }

// stateOf lists the arrays of moments.
func stateOf(moments ...*moment) []net.Tensor {
	var state []net.Tensor
	for _, m := range moments {
		for i, values := range m.values {
			state = append(state, net.Tensor{Name: m.name + "." + m.names[i], Shape: []int{len(values)}, Data: values})
		}
	}
	return state
}

// restoreMoments copies the given arrays into moments, which must be exactly these.
func restoreMoments(given []net.Tensor, moments ...*moment) error {
	byName := map[string][]float32{}
	for _, t := range given {
		if _, twice := byName[t.Name]; twice {
			return fmt.Errorf("optimiser state %q is given twice: %w", t.Name, net.ErrState)
		}
		byName[t.Name] = t.Data
	}
	wanted := stateOf(moments...)
	for _, w := range wanted {
		data, ok := byName[w.Name]
		switch {
		case !ok:
			return fmt.Errorf("optimiser state %q is missing: %w", w.Name, net.ErrState)
		case len(data) != len(w.Data):
			return fmt.Errorf("optimiser state %q has %d values, the network needs %d: %w", w.Name, len(data), len(w.Data), net.ErrState)
		}
	}
	if len(given) != len(wanted) {
		return fmt.Errorf("optimiser state has %d arrays, the network needs %d: %w", len(given), len(wanted), net.ErrState)
	}
	for _, w := range wanted {
		copy(w.Data, byName[w.Name])
	}
	return nil
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

// clip scales the gradient down to a norm of at most limit, 0 for none, as
// torch.nn.utils.clip_grad_norm_: by limit/(norm + 1e-6) where that is below 1.
func clip(params []*net.Param, norm, limit float64) {
	factor := limit / (norm + 1e-6)
	if limit == 0 || !(factor < 1) {
		return
	}
	for _, param := range params {
		for i, g := range param.Grad {
			param.Grad[i] = g * float32(factor)
		}
	}
}
