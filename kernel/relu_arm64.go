//go:build !purego

package kernel

func addToRowFast(x, y []float32) {
	if path == generic {
		addToRowGo(x, y)
		return
	}
	_ = y[len(x)-1]
	addToRowNEON(&x[0], &y[0], len(x)/Lanes)
}

func normRowFast(x, scale, shift, y []float32) {
	if path == generic {
		normRowGo(x, scale, shift, y)
		return
	}
	_, _, _ = scale[Lanes-1], shift[Lanes-1], y[len(x)-1]
	normRowNEON(&x[0], &scale[0], &shift[0], &y[0], len(x)/Lanes)
}

func normAddReLURowFast(x, scale, shift, other, y []float32) {
	if path == generic {
		normAddReLURowGo(x, scale, shift, other, y)
		return
	}
	_, _, _, _ = scale[Lanes-1], shift[Lanes-1], other[len(x)-1], y[len(x)-1]
	normAddReLURowNEON(&x[0], &scale[0], &shift[0], &other[0], &y[0], len(x)/Lanes)
}

func normBackwardRowFast(x, dy []float32, g *normLanes, dx []float32) {
	if path == generic {
		normBackwardRowGo(x, dy, g, dx)
		return
	}
	_, _ = dy[len(x)-1], dx[len(x)-1]
	normBackwardRowNEON(&x[0], &dy[0], &g.factor[0], &g.centre[0], &g.offset[0], &g.by[0], &dx[0], len(x)/Lanes)
}
