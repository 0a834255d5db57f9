package main

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
	a.advance(64, left)
	if right != nil {
		a.advance(64, *right)
	}
	a.again("voxel", voxels)
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
		a.advance(64, r[0], r[1])
	})
}

// addToRow adds a row to another.
func (a *assembly) addToRow() {
	a.function("addToRowNEON", "is addToRowGo; voxels >= 1.", parameters("x *float32", "y *float32", "voxels int"))
	free := newRegisters()
	r := a.loads(free, "x", "y", "voxels")
	x, y := free.nextVectors(quarters), free.nextVectors(quarters)
	a.loop("voxel", r[2], func() {
		a.loadBlock(r[0], 0, x)
		a.loadBlock(r[1], 0, y)
		for i, v := range y {
			a.do(addSingles, v, x[i], v)
		}
		a.storeBlock(r[1], 0, y)
		a.advance(64, r[0], r[1])
	})
}

// multiplyAdds is a loop of fused multiply-adds on registers alone. There are
// more sums than the FMA units can have under way (four units, latency 4), and
// every sum changes its sign: sum - 2 sum.
func (a *assembly) multiplyAdds() {
	a.function("multiplyAddsNEON", "does 24 fused multiply-adds on whole registers in each of rounds >= 1 rounds.", parameters("rounds int"))
	free := newRegisters()
	rounds, number := a.loads(free, "rounds")[0], free.next()
	sums, factor := free.nextVectors(24), free.nextVector()
	a.op("MOVD", 0xc0000000, number) // -2
	a.op("VDUP", number, factor.singles())
	a.op("MOVD", 0x3f19999a, number) // 0.6
	for _, sum := range sums {
		a.op("VDUP", number, sum.singles())
	}
	a.loop("round", rounds, func() {
		for _, sum := range sums {
			a.multiplyAdd(sum, factor, 0, sum)
		}
	})
}
