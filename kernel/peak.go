package kernel

// peakRounds is the number of rounds in one call of a path's loop: some 10 µs,
// during which the garbage collector waits.
const peakRounds = 4096

// MultiplyAdds keeps one core busy with multiply-adds that touch no memory, on
// the path in use, and returns the number of additions and multiplications
// done. Their rate, with one call running on every core, is the peak that a
// convolution on this path can approach. On the vector paths they are fused;
// in Go the loop is scalar and rounds twice, as fast as Go alone can be.
func MultiplyAdds(calls int) (flops int64) {
	for range calls {
		flops += multiplyAddsFast()
	}
	return flops
}

// scalarRound is the number of additions and multiplications in a round of
// multiplyAddsGo.
const scalarRound = 2 * 8

// multiplyAddsGo turns every one of eight sums into addend + factor * sum,
// rounds times.
func multiplyAddsGo(rounds int, factor, addend float32) [8]float32 {
	a, b, c, d := float32(0.1), float32(0.2), float32(0.3), float32(0.4)
	e, f, g, h := float32(0.5), float32(0.6), float32(0.7), float32(0.8)
	for range rounds {
		a, b = float32(a*factor)+addend, float32(b*factor)+addend
		c, d = float32(c*factor)+addend, float32(d*factor)+addend
		e, f = float32(e*factor)+addend, float32(f*factor)+addend
		g, h = float32(g*factor)+addend, float32(h*factor)+addend
	}
	return [8]float32{a, b, c, d, e, f, g, h}
}

// multiplyAddsScalar is the loop of the generic path.
func multiplyAddsScalar() int64 {
	sums := multiplyAddsGo(peakRounds, -1, 1.75)
	if sums[0] == 0 { // never so; it makes use of the sums
		return 0
	}
	return scalarRound * peakRounds
}
