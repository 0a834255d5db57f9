//go:build (amd64 || arm64) && !purego

package kernel

// The transforms of minimal filtering in assembly.

func transformInputFast(x, out []float32, stride, tiles int) {
	if path == generic {
		transformInputGo(x, out, stride, tiles)
		return
	}
	transformInputAssembly(&x[0], &out[0], stride*bytesPerFloat, tiles)
}

func transformOutputFast(m []float32, stride int, bias, y []float32, tiles int) {
	if path == generic {
		transformOutputGo(m, stride, bias, y, tiles)
		return
	}
	transformOutputAssembly(&m[0], stride*bytesPerFloat, &bias[0], &y[0], tiles)
}

func transformGradientFast(dy, out []float32, stride, tiles int) {
	if path == generic {
		transformGradientGo(dy, out, stride, tiles)
		return
	}
	transformGradientAssembly(&dy[0], &out[0], stride*bytesPerFloat, tiles)
}

func transformWeightsFast(g, u []float32, stride, rows int) {
	if path == generic {
		transformWeightsGo(g, u, stride, rows)
		return
	}
	_, _ = g[3*rows*Lanes*Lanes-1], u[(positions-1)*stride+rows*Lanes*Lanes-1]
	transformWeightsAssembly(&g[0], &u[0], stride*bytesPerFloat, rows)
}

func restoreWeightsFast(m []float32, stride int, dg []float32, rows int) {
	if path == generic {
		restoreWeightsGo(m, stride, dg, rows)
		return
	}
	_, _ = m[(positions-1)*stride+rows*Lanes*Lanes-1], dg[3*rows*Lanes*Lanes-1]
	restoreWeightsAssembly(&m[0], stride*bytesPerFloat, &dg[0], rows)
}
