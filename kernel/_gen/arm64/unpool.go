package main

// An unpooling is the code of the pass back through pooling.
type unpooling struct {
	*assembly
	indices          []vector // of the window's elements in this row
	chosen, gradient []vector // of a voxel: the index of the element and what goes there
	dy, choice       general
}

func (a *assembly) newUnpooling(free *registers, dy, choice, first general) *unpooling {
	u := &unpooling{assembly: a, dy: dy, choice: choice}
	u.indices, u.chosen, u.gradient = free.nextVectors(2), free.nextVectors(quarters), free.nextVectors(quarters)
	for _, index := range u.indices {
		a.op("VDUP", first, index.singles())
		a.op("ADD", 1, first)
	}
	return u
}

// load loads the next voxel.
func (u *unpooling) load() {
	c := u.chosen
	u.op("FMOVQ.P", u.choice.at(16), c[0])
	u.op("VUXTL2", c[0].bytes(), c[2].halves())
	u.op("VUXTL", c[0].eightBytes(), c[0].halves())
	for _, i := range []int{2, 0} {
		u.op("VUXTL2", c[i].halves(), c[i+1].singles())
		u.op("VUXTL", c[i].fourHalves(), c[i].singles())
	}
	u.loadBlock(u.dy, 0, u.gradient)
	u.advance(64, u.dy)
}

// side sets to the gradient of a quarter of one of the window's two elements.
func (u *unpooling) side(side, quarter int, to vector) {
	u.op("VCMEQ", u.indices[side].singles(), u.chosen[quarter].singles(), to.singles())
	u.op("VAND", u.gradient[quarter].bytes(), to.bytes(), to.bytes())
}

func (a *assembly) unpoolRow() {
	a.function("unpoolRowNEON", "is unpoolRowGo; voxels >= 1.",
		parameters("dy *float32", "choice *byte", "first int", "dx *float32", "voxels int"))
	free := newRegisters()
	r := a.loads(free, "dy", "choice", "first", "dx", "voxels")
	u, dx, block := a.newUnpooling(free, r[0], r[1], r[2]), r[3], free.nextVectors(quarters)
	a.loop("voxel", r[4], func() {
		u.load()
		for side := range u.indices {
			for quarter, v := range block {
				u.side(side, quarter, v)
			}
			a.storeBlock(dx, 64*side, block)
		}
		a.advance(128, dx)
	})
}

// normUnpoolRow goes back through the normalisation too, half a block at a time.
func (a *assembly) normUnpoolRow() {
	a.function("normUnpoolRowNEON", "is normUnpoolRowGo; voxels >= 1.", parameters("dy *float32", "choice *byte", "first int", "x *float32",
		"factor *float32", "centre *float32", "offset *float32", "by *float32", "dx *float32", "voxels int"))
	free := newRegisters()
	r := a.loads(free, "dy", "choice", "first", "x", "dx", "voxels")
	u, n, x, dx := a.newUnpooling(free, r[0], r[1], r[2]), a.newNormGradient(free), r[3], r[4]
	gradient, input := free.nextVectors(2), free.nextVectors(2)
	a.loop("voxel", r[5], func() {
		u.load()
		for side := range u.indices {
			for half := range 2 {
				at := 64*side + 32*half
				a.loadBlock(x, at, input)
				for i, v := range gradient {
					u.side(side, 2*half+i, v)
					n.backward(2*half+i, input[i], v)
				}
				a.storeBlock(dx, at, gradient)
			}
		}
		a.advance(128, x, dx)
	})
}
