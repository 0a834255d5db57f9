package main

// loop writes a body that is run as often as the count says, at least once.
func (a *assembly) loop(label string, count general, body func()) {
	a.label(label)
	body()
	a.op("SUB", 1, count)
	a.op("CBNZ", count, label)
	a.op("RET")
}

// loads loads all parameters of the function, one after another.
func (a *assembly) loads(free *registers, names ...string) []general {
	r := free.nexts(len(names))
	for i, name := range names {
		a.load(name, r[i])
	}
	return r
}

// addProducts adds rows of voxels to float64 sums.
func (a *assembly) addProducts() {
	a.function("addProductsNEON", "adds the voxels of y to the first 16 sums and those of x*y to the last 16; voxels >= 1.",
		parameters("sums *float64", "x *float32", "y *float32", "voxels int"))
	free := newRegisters()
	r := a.loads(free, "sums", "x", "y", "voxels")
	a.sumRow(free, r[0], r[3], r[2], &r[1])
}

// addSquares adds rows of voxels and their squares to float64 sums.
func (a *assembly) addSquares() {
	a.function("addSquaresNEON", "is addSquaresGo; voxels >= 1.", parameters("sums *float64", "x *float32", "voxels int"))
	free := newRegisters()
	r := a.loads(free, "sums", "x", "voxels")
	a.sumRow(free, r[0], r[2], r[1], nil)
}

// sumRow adds the voxels of left to 16 sums and their products with those of
// right, or their squares, to 16 more. A product of two float32 is exact in
// float64, so fused or not is the same.
func (a *assembly) sumRow(free *registers, sums, voxels, left general, right *general) {
	total := free.nextVectors(4 * quarters)
	singles, wide, other := free.nextVectors(2), free.nextVectors(4), free.nextVectors(4)
	widen := func(from general, offset int, to []vector) {
		a.loadBlock(from, offset, singles)
		for i, v := range singles {
			a.widen(v, to[2*i+1], to[2*i])
		}
	}
	a.loadBlock(sums, 0, total)
	a.label("voxel")
	for half := range 2 {
		widen(left, 32*half, wide)
		by := wide
		if right != nil {
			widen(*right, 32*half, other)
			by = other
		}
		for i, v := range wide {
			sum, product := total[4*half+i], total[2*quarters+4*half+i]
			a.do(addDoubles, sum, v, sum)
			a.op("VFMLA", by[i].doubles(), v.doubles(), product.doubles())
		}
	}
	a.op("ADD", 64, left)
	if right != nil {
		a.op("ADD", 64, *right)
	}
	a.op("SUB", 1, voxels)
	a.op("CBNZ", voxels, "voxel")
	a.storeBlock(sums, 0, total)
	a.op("RET")
}

// maskRow is the backward pass of ReLU.
func (a *assembly) maskRow() {
	a.function("maskRowNEON", "sets dy to zero where y <= 0; voxels >= 1.", parameters("y *float32", "dy *float32", "voxels int"))
	free := newRegisters()
	r := a.loads(free, "y", "dy", "voxels")
	output, gradient := free.nextVectors(quarters), free.nextVectors(quarters)
	a.loop("voxel", r[2], func() {
		a.loadBlock(r[0], 0, output)
		a.loadBlock(r[1], 0, gradient)
		for i, v := range output {
			a.notPositive(v, v)
			a.do(andNot, gradient[i], v, gradient[i])
		}
		a.storeBlock(r[1], 0, gradient)
		a.op("ADD", 64, r[0])
		a.op("ADD", 64, r[1])
	})
}

// normReLURow normalises and rectifies.
func (a *assembly) normReLURow() {
	a.function("normReLURowNEON", "is normReLURowGo; voxels >= 1.",
		parameters("x *float32", "scale *float32", "shift *float32", "y *float32", "voxels int"))
	free := newRegisters()
	r := a.loads(free, "x", "scale", "shift", "y", "voxels")
	scale, shift, value, zero := free.nextVectors(quarters), free.nextVectors(quarters), free.nextVectors(quarters), free.nextVectors(quarters)
	a.loadBlock(r[1], 0, scale)
	a.loadBlock(r[2], 0, shift)
	a.loop("voxel", r[4], func() {
		a.loadBlock(r[0], 0, value)
		for i, v := range value {
			a.do(multiplySingles, v, scale[i], v)
			a.do(addSingles, v, shift[i], v)
			a.notPositive(v, zero[i])
			a.do(andNot, v, zero[i], v)
		}
		a.storeBlock(r[3], 0, value)
		a.op("ADD", 64, r[0])
		a.op("ADD", 64, r[3])
	})
}
