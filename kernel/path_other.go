//go:build !amd64 || purego

package kernel

func paths() []string { return []string{generic} }

func accumulateRowFast(dst, x, weight []float32, taps []tap, voxels, dstStride, xStride, depth int) {
	accumulateRowGo(dst, x, weight, taps, voxels, dstStride, xStride, depth)
}

func accumulateOuterFast(dst, x, y []float32, taps []tap, voxels, xStride, depth int) {
	accumulateOuterGo(dst, x, y, taps, voxels, xStride, depth)
}

func addProductsFast(sums *[2 * Lanes]float64, x, y []float32) { addProductsGo(sums, x, y) }

func maskRowFast(y, dy []float32) { maskRowGo(y, dy) }

func normPoolRowFast(x []float32, rows []int, scale, shift, y, best []float32, choice []byte) {
	normPoolRowGo(x, rows, scale, shift, y, best, choice)
}

func unpoolRowFast(dy []float32, choice []byte, first int, dx []float32) {
	unpoolRowGo(dy, choice, first, dx)
}

func normUnpoolRowFast(dy []float32, choice []byte, first int, x []float32, lanes *normLanes, dx []float32) {
	normUnpoolRowGo(dy, choice, first, x, lanes, dx)
}
