//go:build !amd64 || purego

package kernel

func paths() []string { return []string{generic} }

func accumulateRowFast(dst, x, weight []float32, taps []tap, voxels, dstStride, xStride, depth int) {
	accumulateRowGo(dst, x, weight, taps, voxels, dstStride, xStride, depth)
}

func accumulateOuterFast(dst, x, y []float32, taps []tap, voxels, xStride, depth int) {
	accumulateOuterGo(dst, x, y, taps, voxels, xStride, depth)
}
