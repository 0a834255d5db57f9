package net

import (
	"math"
	"strings"

	"ballast/stat"
)

// initialise draws the weights. The numbers are drawn in the order of PyTorch's
// layout (O, I, kD, kH, kW), so the layout of the kernels does not matter.
func (n *Net) initialise(seed uint64) {
	slope := float64(n.config.activation())
	gain := 2 / (1 + float64(slope*slope)) // He et al. 2015, Delving deep into rectifiers
	for _, e := range n.entries() {
		if len(e.shape) < 2 { // neither biases nor normalisations
			continue
		}
		stream := stat.NewStream(seed, "initialisation/"+e.name)
		fanIn := 1
		for _, size := range e.shape[1:] {
			fanIn *= size
		}
		deviation, bound := math.Sqrt(gain/float64(fanIn)), 1/math.Sqrt(float64(fanIn))
		e.each(func(_, offset int) {
			if e.name == "head.weight" || strings.HasPrefix(e.name, "attention.") {
				e.data[offset] = float32((stream.Float64() - 0.5) * 2 * bound)
			} else {
				e.data[offset] = float32(deviation * stream.Normal())
			}
		})
	}
}
