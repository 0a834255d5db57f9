package kernel

func accumulateRow(dst, x, weight []float32, taps []tap, voxels, dstStride, xStride, depth int) {
	accumulateRowGo(dst, x, weight, taps, voxels, dstStride, xStride, depth)
}

func accumulateOuter(dst, x, y []float32, taps []tap, voxels, xStride, depth int) {
	accumulateOuterGo(dst, x, y, taps, voxels, xStride, depth)
}

// Path names the implementation in use: generic (Go), avx2 or avx512.
func Path() string { return "generic" }
