//go:build (!amd64 && !arm64) || purego

package kernel

func addToRowFast(x, y []float32) { addToRowGo(x, y) }

func normRowFast(x, scale, shift, y []float32) { normRowGo(x, scale, shift, y) }

func normAddReLURowFast(x, scale, shift, other, y []float32) {
	normAddReLURowGo(x, scale, shift, other, y)
}

func normBackwardRowFast(x, dy []float32, g *normLanes, dx []float32) {
	normBackwardRowGo(x, dy, g, dx)
}
