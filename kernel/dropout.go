package kernel

// Dropout: x -> x*scale where keep(i), else 0, in place. Its backward pass is
// itself with the same keep and scale = 1/(1 - probability).
func Dropout(x []float32, scale float32, keep func(i int) bool) {
	for i, v := range x {
		if keep(i) {
			x[i] = v * scale
		} else {
			x[i] = 0
		}
	}
}
