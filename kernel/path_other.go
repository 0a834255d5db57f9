//go:build (!amd64 && !arm64) || purego

package kernel

func paths() []string { return []string{generic} }

func rowSumFast(r *rowSum) { rowSumGo(r) }

func outerSumFast(s *outerSum) { outerSumGo(s) }

func addProductsFast(sums *[2 * Lanes]float64, x, y []float32) { addProductsGo(sums, x, y) }

func maskRowFast(y, dy []float32) { maskRowGo(y, dy) }

func poolRowFast(x []float32, strides [2]int, depth int, signs, best []float32, choice []byte) {
	poolRowGo(x, strides, depth, signs, best, choice)
}

func addSquaresFast(sums *[2 * Lanes]float64, x []float32) { addSquaresGo(sums, x) }

func unpoolRowFast(dy []float32, choice []byte, first int, dx []float32) {
	unpoolRowGo(dy, choice, first, dx)
}

func normUnpoolRowFast(dy []float32, choice []byte, first int, x []float32, lanes *normLanes, dx []float32) {
	normUnpoolRowGo(dy, choice, first, x, lanes, dx)
}

func normReLURowFast(x, scale, shift, y []float32) { normReLURowGo(x, scale, shift, y) }
