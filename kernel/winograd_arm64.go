//go:build !purego

package kernel

func transformInputAssembly(x, out *float32, stride, tiles int) {
	transformInputNEON(x, out, stride, tiles)
}

func transformOutputAssembly(m *float32, stride int, bias, y *float32, tiles int) {
	transformOutputNEON(m, stride, bias, y, tiles)
}

func transformGradientAssembly(dy, out *float32, stride, tiles int) {
	transformGradientNEON(dy, out, stride, tiles)
}

func transformWeightsAssembly(g, u *float32, stride, rows int) {
	transformWeightsNEON(g, u, stride, rows)
}

func restoreWeightsAssembly(m *float32, stride int, dg *float32, rows int) {
	restoreWeightsNEON(m, stride, dg, rows)
}
