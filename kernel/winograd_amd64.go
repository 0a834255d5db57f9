//go:build !purego

package kernel

func transformInputAssembly(x, out *float32, stride, tiles int) {
	if path == avx2 {
		transformInputAVX2(x, out, stride, tiles)
	} else {
		transformInputAVX512(x, out, stride, tiles)
	}
}

func transformOutputAssembly(m *float32, stride int, bias, y *float32, tiles int) {
	if path == avx2 {
		transformOutputAVX2(m, stride, bias, y, tiles)
	} else {
		transformOutputAVX512(m, stride, bias, y, tiles)
	}
}

func transformGradientAssembly(dy, out *float32, stride, tiles int) {
	if path == avx2 {
		transformGradientAVX2(dy, out, stride, tiles)
	} else {
		transformGradientAVX512(dy, out, stride, tiles)
	}
}

func transformWeightsAssembly(g, u *float32, stride, rows int) {
	if path == avx2 {
		transformWeightsAVX2(g, u, stride, rows)
	} else {
		transformWeightsAVX512(g, u, stride, rows)
	}
}

func restoreWeightsAssembly(m *float32, stride int, dg *float32, rows int) {
	if path == avx2 {
		restoreWeightsAVX2(m, stride, dg, rows)
	} else {
		restoreWeightsAVX512(m, stride, dg, rows)
	}
}
