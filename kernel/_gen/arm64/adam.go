package main

// adam moves eight parameters at a time.
func (a *assembly) adam() {
	a.function("adamNEON", "is adamGo; rates are the fields of AdamRates, eights >= 1.", parameters("rates *float32",
		"value *float32", "gradient *float32", "first *float32", "second *float32", "eights int"))
	free := newRegisters()
	r := a.loads(free, "value", "gradient", "first", "second", "eights")
	from, rates := a.loads(free, "rates")[0], free.nextVectors(7)
	for _, rate := range rates {
		a.op("VLD1R.P", from.at(4), "["+rate.singles()+"]")
	}
	decay, firstRate, secondRate, square, scale, epsilon, size := rates[0], rates[1], rates[2], rates[3], rates[4], rates[5], rates[6]
	value, gradient, first, second, term := free.nextVectors(2), free.nextVectors(2), free.nextVectors(2), free.nextVectors(2), free.nextVectors(2)
	a.loop("eight", r[4], func() {
		for i, block := range [][]vector{value, gradient, first, second} {
			a.loadBlock(r[i], 0, block)
		}
		for i, t := range term {
			v, g, m, s := value[i], gradient[i], first[i], second[i]
			a.do(multiplySingles, v, decay, t)
			a.do(addSingles, g, t, g)
			a.do(subtractSingles, g, m, t)
			a.do(multiplySingles, t, firstRate, t)
			a.do(addSingles, m, t, m)
			a.do(multiplySingles, s, secondRate, s)
			a.do(multiplySingles, g, g, t)
			a.do(multiplySingles, t, square, t)
			a.do(addSingles, s, t, s)
			a.squareRoot(s, t)
			a.do(divideSingles, t, scale, t)
			a.do(addSingles, t, epsilon, t)
			a.do(divideSingles, m, t, t)
			a.do(multiplySingles, t, size, t)
			a.do(subtractSingles, v, t, v)
		}
		a.storeBlock(r[2], 0, first)
		a.storeBlock(r[3], 0, second)
		a.storeBlock(r[0], 0, value)
		a.advance(32, r[:4]...)
	})
}
