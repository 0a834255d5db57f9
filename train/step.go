package train

import (
	"ballast/kernel"
	"ballast/net"
)

// NewStep returns a function that moves parameters once by their gradients, with
// the optimiser that training uses: for programs that measure a step.
func NewStep(o Optimizer, params []*net.Param, pool *kernel.Pool) func() {
	optimizer := newOptimizer(o, params, pool)
	return func() { optimizer.step(params, o.LR) }
}
