package main

// transposeTiles transposes tiles of 16 x 16 in parts of 4 x 4.
func (a *assembly) transposeTiles() {
	a.function("transposeTilesNEON", "transposes tiles of 16 x 16; those of to lie step bytes apart, tiles >= 1.",
		parameters("from *float32", "to *float32", "step int", "tiles int"))
	free := newRegisters()
	r := a.loads(free, "from", "to", "step", "tiles")
	from, to, step := r[0], r[1], r[2]
	rows, pairs, columns := free.nextVectors(4), free.nextVectors(4), free.nextVectors(4)
	a.loop("tile", r[3], func() {
		for row := 0; row < 16; row += 4 {
			for column := 0; column < 16; column += 4 {
				for i, v := range rows {
					a.op("FMOVQ", from.at(64*(row+i)+4*column), v)
				}
				for i := 0; i < 4; i += 2 { // of two rows: columns 0 and 2, 1 and 3
					a.op("VTRN1", rows[i+1].singles(), rows[i].singles(), pairs[i].singles())
					a.op("VTRN2", rows[i+1].singles(), rows[i].singles(), pairs[i+1].singles())
				}
				for i := range 2 {
					a.op("VTRN1", pairs[i+2].doubles(), pairs[i].doubles(), columns[i].doubles())
					a.op("VTRN2", pairs[i+2].doubles(), pairs[i].doubles(), columns[i+2].doubles())
				}
				for i, v := range columns {
					a.op("FMOVQ", v, to.at(64*(column+i)+4*row))
				}
			}
		}
		a.advance(1024, from)
		a.op("ADD", step, to)
	})
}
