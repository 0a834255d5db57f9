//go:build (!amd64 && !arm64) || purego

package kernel

func transformInputFast(x, out []float32, stride, tiles int) { transformInputGo(x, out, stride, tiles) }

func transformOutputFast(m []float32, stride int, bias, y []float32, tiles int) {
	transformOutputGo(m, stride, bias, y, tiles)
}

func transformGradientFast(dy, out []float32, stride, tiles int) {
	transformGradientGo(dy, out, stride, tiles)
}

func transformWeightsFast(g, u []float32, stride, rows int) { transformWeightsGo(g, u, stride, rows) }

func restoreWeightsFast(m []float32, stride int, dg []float32, rows int) {
	restoreWeightsGo(m, stride, dg, rows)
}
