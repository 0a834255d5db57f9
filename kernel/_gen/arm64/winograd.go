package main

// The transforms of minimal filtering: see kernel/winograd.go.

// transformInput combines the four inputs of each tile.
func (a *assembly) transformInput() {
	a.function("transformInputNEON", "is transformInputGo, stride in bytes; tiles >= 1.",
		parameters("x *float32", "out *float32", "stride int", "tiles int"))
	free := newRegisters()
	r := a.loads(free, "x", "stride", "tiles")
	out := a.strided(free, "out", r[1])
	d, product := free.nextBlocks(4), free.nextVectors(quarters)
	a.loop("tile", r[2], func() {
		for i, block := range d {
			a.loadBlock(r[0], 64*i, block)
		}
		a.combined(out[0], product, d[0], d[2], subtractSingles)
		a.combined(out[1], product, d[1], d[2], addSingles)
		a.combined(out[2], product, d[2], d[1], subtractSingles)
		a.combined(out[3], product, d[1], d[3], subtractSingles)
		a.advance(128, r[0])
		a.advance(64, out...)
	})
}

// transformGradient combines the gradients of the two outputs of each tile.
func (a *assembly) transformGradient() {
	a.function("transformGradientNEON", "is transformGradientGo, stride in bytes; tiles >= 1.",
		parameters("dy *float32", "out *float32", "stride int", "tiles int"))
	free := newRegisters()
	r := a.loads(free, "dy", "stride", "tiles")
	out := a.strided(free, "out", r[1])
	e, sum := free.nextBlocks(2), free.nextVectors(quarters)
	a.loop("tile", r[2], func() {
		a.loadBlock(r[0], 0, e[0])
		a.loadBlock(r[0], 64, e[1])
		a.storeBlock(out[0], 0, e[0])
		a.combined(out[1], sum, e[0], e[1], addSingles)
		a.combined(out[2], sum, e[0], e[1], subtractSingles)
		a.storeBlock(out[3], 0, e[1])
		a.advance(128, r[0])
		a.advance(64, out...)
	})
}

// transformOutput makes the two outputs of each tile.
func (a *assembly) transformOutput() {
	a.function("transformOutputNEON", "is transformOutputGo, stride in bytes; tiles >= 1.",
		parameters("m *float32", "stride int", "bias *float32", "y *float32", "tiles int"))
	free := newRegisters()
	r := a.loads(free, "stride", "bias", "y", "tiles")
	m := a.strided(free, "m", r[0])
	bias, product, sum := free.nextVectors(quarters), free.nextBlocks(4), free.nextVectors(quarters)
	a.loadBlock(r[1], 0, bias)
	a.loop("tile", r[3], func() {
		for i, block := range product {
			a.loadBlock(m[i], 0, block)
		}
		for i, v := range sum {
			a.do(addSingles, product[0][i], product[1][i], v)
			a.do(addSingles, v, product[2][i], v)
			a.do(addSingles, v, bias[i], v)
		}
		a.storeBlock(r[2], 0, sum)
		for i, v := range sum {
			a.do(subtractSingles, product[1][i], product[2][i], v)
			a.do(subtractSingles, v, product[3][i], v)
			a.do(addSingles, v, bias[i], v)
		}
		a.storeBlock(r[2], 64, sum)
		a.advance(128, r[2])
		a.advance(64, m...)
	})
}

// transformWeights transforms kernel rows.
func (a *assembly) transformWeights() {
	a.function("transformWeightsNEON", "is transformWeightsGo, stride in bytes; rows >= 1.",
		parameters("row *float32", "u *float32", "stride int", "rows int"))
	free := newRegisters()
	r := a.loads(free, "stride", "rows")
	g, u := a.columns(free, "row"), a.strided(free, "u", r[0])
	half, weights, outer, sum := a.half(free), free.nextBlocks(3), free.nextVectors(quarters), free.nextVectors(quarters)
	a.kernelRows(free, r[1], g, u, func() {
		for i, block := range weights {
			a.loadBlock(g[i], 0, block)
		}
		a.storeBlock(u[0], 0, weights[0])
		a.storeBlock(u[3], 0, weights[2])
		for position, combine := range []operation{addSingles, subtractSingles} {
			for i, v := range sum {
				a.do(addSingles, weights[0][i], weights[2][i], outer[i])
				a.do(combine, outer[i], weights[1][i], v)
				a.do(multiplySingles, v, half, v)
			}
			a.storeBlock(u[1+position], 0, sum)
		}
	})
}

// restoreWeights makes the gradients of kernel rows.
func (a *assembly) restoreWeights() {
	a.function("restoreWeightsNEON", "is restoreWeightsGo, stride in bytes; rows >= 1.",
		parameters("m *float32", "stride int", "dg *float32", "rows int"))
	free := newRegisters()
	r := a.loads(free, "stride", "rows")
	dg, m := a.columns(free, "dg"), a.strided(free, "m", r[0])
	half, product, sum, result := a.half(free), free.nextBlocks(4), free.nextVectors(quarters), free.nextVectors(quarters)
	a.kernelRows(free, r[1], dg, m, func() {
		for i, block := range product {
			a.loadBlock(m[i], 0, block)
		}
		for i, v := range sum {
			a.do(addSingles, product[1][i], product[2][i], v)
			a.do(multiplySingles, v, half, v)
			a.do(subtractSingles, product[1][i], product[2][i], result[i])
			a.do(multiplySingles, result[i], half, result[i])
		}
		a.storeBlock(dg[1], 0, result)
		a.combined(dg[0], result, product[0], sum, addSingles)
		a.combined(dg[2], result, sum, product[3], subtractSingles)
	})
}

// combined stores left operation right.
func (a *assembly) combined(to general, result, left, right []vector, o operation) {
	for i, v := range result {
		a.do(o, left[i], right[i], v)
	}
	a.storeBlock(to, 0, result)
}

// strided returns four pointers, the first a parameter, each a stride further.
func (a *assembly) strided(free *registers, name string, stride general) []general {
	pointers := append(a.loads(free, name), free.nexts(3)...)
	for i := range 3 {
		a.op("ADD", stride, pointers[i], pointers[i+1])
	}
	return pointers
}

// columns returns pointers to the three columns of a kernel row.
func (a *assembly) columns(free *registers, name string) []general {
	pointers := append(a.loads(free, name), free.nexts(2)...)
	for i := range 2 {
		a.op("ADD", 1024, pointers[i], pointers[i+1])
	}
	return pointers
}

// half returns a vector of one half.
func (a *assembly) half(free *registers) vector {
	number, v := free.next(), free.nextVector()
	a.op("MOVD", 0x3f000000, number)
	a.op("VDUP", number, v.singles())
	return v
}

// kernelRows writes a body that is run for the 16 vectors of each kernel row; the pointers
// to columns also go past the other two columns of a row.
func (a *assembly) kernelRows(free *registers, count general, columns, transformed []general, body func()) {
	inner := free.next()
	a.label("row")
	a.op("MOVD", 16, inner)
	a.label("vector")
	body()
	a.advance(64, columns...)
	a.advance(64, transformed...)
	a.again("vector", inner)
	a.advance(2048, columns...)
	a.again("row", count)
	a.op("RET")
}
