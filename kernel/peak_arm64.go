//go:build !purego

package kernel

// vectorRound is the number of multiply-adds of whole registers in a round of
// the assembly.
const vectorRound = 24

func multiplyAddsFast() int64 {
	if path == generic {
		return multiplyAddsScalar()
	}
	multiplyAddsNEON(peakRounds)
	return 2 * 4 * vectorRound * peakRounds
}
