//go:build !purego

package kernel

// vectorRound is the number of multiply-adds of whole registers in a round of
// the assembly.
const vectorRound = 12

func multiplyAddsFast() int64 {
	switch path {
	case avx512:
		multiplyAddsAVX512(peakRounds)
		return 2 * 16 * vectorRound * peakRounds
	case avx2:
		multiplyAddsAVX2(peakRounds)
		return 2 * 8 * vectorRound * peakRounds
	}
	return multiplyAddsScalar()
}
