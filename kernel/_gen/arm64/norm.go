package main

// normRow normalises, adds the other operand and rectifies, as far as asked.
func (a *assembly) normRow(name string, add, relu bool) {
	list := parameters("x *float32", "scale *float32", "shift *float32", "y *float32", "voxels int")
	if add {
		list = parameters("x *float32", "scale *float32", "shift *float32", "other *float32", "y *float32", "voxels int")
	}
	a.function(name+"NEON", "is "+name+"Go; voxels >= 1.", list)
	free := newRegisters()
	r := a.loads(free, "x", "scale", "shift", "y", "voxels")
	moving := []general{r[0], r[3]}
	var summand general
	if add {
		summand = a.loads(free, "other")[0]
		moving = append(moving, summand)
	}
	scale, shift, value, other := free.nextVectors(quarters), free.nextVectors(quarters), free.nextVectors(quarters), free.nextVectors(quarters)
	a.loadBlock(r[1], 0, scale)
	a.loadBlock(r[2], 0, shift)
	a.loop("voxel", r[4], func() {
		a.loadBlock(r[0], 0, value)
		if add {
			a.loadBlock(summand, 0, other)
		}
		for i, v := range value {
			a.do(multiplySingles, v, scale[i], v)
			a.do(addSingles, v, shift[i], v)
			if add {
				a.do(addSingles, v, other[i], v)
			}
			if relu {
				a.notPositive(v, other[i])
				a.do(andNot, v, other[i], v)
			}
		}
		a.storeBlock(r[3], 0, value)
		a.advance(64, moving...)
	})
}

// A normGradient holds in registers what NormGradient does to a channel block.
type normGradient struct {
	*assembly
	factor, centre, offset, by []vector
}

func (a *assembly) newNormGradient(free *registers) *normGradient {
	n := &normGradient{a, free.nextVectors(quarters), free.nextVectors(quarters), free.nextVectors(quarters), free.nextVectors(quarters)}
	from := free.next()
	for i, block := range [][]vector{n.factor, n.centre, n.offset, n.by} {
		a.load([]string{"factor", "centre", "offset", "by"}[i], from)
		a.loadBlock(from, 0, block)
	}
	return n
}

// backward turns dy of a quarter into dx; x is spent.
func (n *normGradient) backward(quarter int, x, dy vector) {
	n.do(subtractSingles, x, n.centre[quarter], x)
	n.do(multiplySingles, x, n.by[quarter], x)
	n.do(subtractSingles, dy, n.offset[quarter], dy)
	n.do(subtractSingles, dy, x, dy)
	n.do(multiplySingles, n.factor[quarter], dy, dy)
}

// normBackwardRow is the pass back through the normalisation.
func (a *assembly) normBackwardRow() {
	a.function("normBackwardRowNEON", "is normBackwardRowGo; voxels >= 1.", parameters("x *float32", "dy *float32",
		"factor *float32", "centre *float32", "offset *float32", "by *float32", "dx *float32", "voxels int"))
	free := newRegisters()
	r := a.loads(free, "x", "dy", "dx", "voxels")
	n := a.newNormGradient(free)
	x, dy := free.nextVectors(quarters), free.nextVectors(quarters)
	a.loop("voxel", r[3], func() {
		a.loadBlock(r[0], 0, x)
		a.loadBlock(r[1], 0, dy)
		for quarter := range quarters {
			n.backward(quarter, x[quarter], dy[quarter])
		}
		a.storeBlock(r[2], 0, dy)
		a.advance(64, r[:3]...)
	})
}
