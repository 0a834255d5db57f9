package main

// A pooling is the code of poolRow. It takes the window's element that will be
// the largest when it is normalised.
type pooling struct {
	*assembly
	best, choice      general
	none, flip        []vector // ones where gamma is zero; the sign bit where it is negative
	indices           []vector // 0 to 7
	chosen            []vector // the index of the best element
	most, value       vector   // the best element and the next, multiplied by the sign of gamma
	element, other    vector   // themselves
	newer, comparable vector   // ones where the next is the best, and where it is not NaN
}

func (a *assembly) poolRow() {
	a.function("poolRowNEON", "is poolRowGo; strides in bytes, voxels >= 1.", parameters("x *float32", "rowStride int", "planeStride int",
		"depth int", "signs *float32", "best *float32", "choice *byte", "voxels int"))
	free := newRegisters()
	r := a.loads(free, "x", "rowStride", "planeStride", "depth", "signs", "best", "choice", "voxels")
	x, rowStride, planeStride, depth, signs, voxels := r[0], r[1], r[2], r[3], r[4], r[7]
	rows := append([]general{x}, free.nexts(3)...)
	a.op("ADD", rowStride, rows[0], rows[1])
	a.op("ADD", planeStride, rows[0], rows[2])
	a.op("ADD", planeStride, rows[1], rows[3])
	p := pooling{assembly: a, best: r[5], choice: r[6]}
	p.none, p.flip, p.indices, p.chosen = free.nextVectors(quarters), free.nextVectors(quarters), free.nextVectors(8), free.nextVectors(quarters)
	for _, v := range []*vector{&p.most, &p.value, &p.element, &p.other, &p.newer, &p.comparable} {
		*v = free.nextVector()
	}
	p.prepare(signs)
	a.op("CMP", 1, depth)
	a.op("BEQ", "two")
	a.loop("four", voxels, func() { p.window(rows) })
	a.loop("two", voxels, func() { p.window(rows[:2]) })
}

// prepare fills the constants.
func (p *pooling) prepare(signs general) {
	zeros, signBit := p.most, p.value
	p.op("VEOR", zeros.bytes(), zeros.bytes(), zeros.bytes())
	p.op("VMOVI", 255, signBit.bytes())
	p.op("VSHL", 31, signBit.singles(), signBit.singles())
	p.loadBlock(signs, 0, p.flip)
	for i, sign := range p.flip {
		p.do(equalSingles, sign, zeros, p.none[i])
		p.op("VAND", signBit.bytes(), sign.bytes(), sign.bytes())
	}
	for i, index := range p.indices {
		p.op("MOVD", i, signs)
		p.op("VDUP", signs, index.singles())
	}
}

// window does the window at the start of some rows.
func (p *pooling) window(rows []general) {
	for quarter := range quarters {
		for k := range 2 * len(rows) {
			at := rows[k/2].at(64*(k%2) + 16*quarter)
			if k == 0 {
				p.op("FMOVQ", at, p.element)
				p.signed(p.element, quarter, p.most)
				p.op("VMOV", p.indices[0].bytes(), p.chosen[quarter].bytes())
				continue
			}
			p.op("FMOVQ", at, p.other)
			p.signed(p.other, quarter, p.value)
			p.do(greaterSingles, p.value, p.most, p.newer)
			p.do(equalSingles, p.other, p.other, p.comparable)
			p.do(orNot, p.newer, p.comparable, p.newer)
			p.insert(p.value, p.most)
			p.insert(p.other, p.element)
			p.insert(p.indices[k], p.chosen[quarter])
		}
		p.op("FMOVQ.P", p.element, p.best.at(16))
	}
	c := p.chosen
	p.op("VUZP1", c[1].halves(), c[0].halves(), c[0].halves())
	p.op("VUZP1", c[3].halves(), c[2].halves(), c[2].halves())
	p.op("VUZP1", c[2].bytes(), c[0].bytes(), c[0].bytes())
	p.op("FMOVQ.P", c[0], p.choice.at(16))
	p.advance(128, rows...)
}

// signed multiplies by the sign of gamma.
func (p *pooling) signed(from vector, quarter int, to vector) {
	p.do(andNot, from, p.none[quarter], to)
	p.op("VEOR", p.flip[quarter].bytes(), to.bytes(), to.bytes())
}

// insert replaces the lanes where the next element is the best.
func (p *pooling) insert(from, to vector) {
	p.op("VBIT", p.newer.bytes(), from.bytes(), to.bytes())
}
