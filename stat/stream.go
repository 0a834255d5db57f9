package stat

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
)

// A Stream is a reproducible sequence of random numbers that belongs to one
// purpose: "split", "initialisation/conv1.weight", "augment" of subject i at
// epoch t. Two streams with different names or indices are independent, so
// drawing more numbers for one purpose never changes another, and work may be
// done in any order on any number of threads.
//
// The generator is Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel
// random numbers: as easy as 1, 2, 3" (SC 2011). The key and the upper half of
// the counter are a SHA-256 hash of the seed, the name and the indices; the
// lower half counts blocks of four 32-bit words.
//
// A Stream is not safe for concurrent use; Uint32At is, because it does not
// move the stream.
type Stream struct {
	key   [2]uint32
	high  [2]uint32
	block uint64    // number of the next block
	words [4]uint32 // the current block
	used  int       // words of the current block already given out
}

// NewStream returns the stream of the given purpose. The name says what the
// numbers are for; the indices say which one (subject, epoch, step, layer).
func NewStream(seed uint64, name string, indices ...uint64) *Stream {
	s := streamOf(seed, name, indices)
	return &s // on the stack of the caller, if it stays there
}

func streamOf(seed uint64, name string, indices []uint64) Stream {
	var storage [128]byte
	buffer := binary.LittleEndian.AppendUint64(storage[:0], seed)
	buffer = binary.LittleEndian.AppendUint64(buffer, uint64(len(name)))
	buffer = append(buffer, name...)
	for _, index := range indices {
		buffer = binary.LittleEndian.AppendUint64(buffer, index)
	}
	sum := sha256.Sum256(buffer)
	return Stream{
		key:  [2]uint32{binary.LittleEndian.Uint32(sum[0:]), binary.LittleEndian.Uint32(sum[4:])},
		high: [2]uint32{binary.LittleEndian.Uint32(sum[8:]), binary.LittleEndian.Uint32(sum[12:])},
		used: 4,
	}
}

// philox is one block of Philox4x32-10: ten rounds over a 128-bit counter.
func philox(counter [4]uint32, key [2]uint32) [4]uint32 {
	const (
		multiplier0, multiplier1 = 0xD2511F53, 0xCD9E8D57
		weyl0, weyl1             = 0x9E3779B9, 0xBB67AE85
	)
	c0, c1, c2, c3 := counter[0], counter[1], counter[2], counter[3]
	k0, k1 := key[0], key[1]
	for range 10 {
		product0 := uint64(multiplier0) * uint64(c0)
		product1 := uint64(multiplier1) * uint64(c2)
		c0, c1, c2, c3 = uint32(product1>>32)^c1^k0, uint32(product1), uint32(product0>>32)^c3^k1, uint32(product0)
		k0 += weyl0
		k1 += weyl1
	}
	return [4]uint32{c0, c1, c2, c3}
}

func (s *Stream) blockAt(number uint64) [4]uint32 {
	return philox([4]uint32{uint32(number), uint32(number >> 32), s.high[0], s.high[1]}, s.key)
}

// BlockAt returns the words 4 number to 4 number + 3 of the stream, whatever has
// been drawn before.
func (s *Stream) BlockAt(number uint64) [4]uint32 { return s.blockAt(number) }

// pair is the words of two blocks.
const pair = 8

// blocksAt computes blocks, two at a time: the rounds of one are a chain of
// multiplications, and two chains fill the processor better than one.
func (s *Stream) blocksAt(number uint64, words *[2 * pair]uint32) {
	const (
		multiplier0, multiplier1 = 0xD2511F53, 0xCD9E8D57
		weyl0, weyl1             = 0x9E3779B9, 0xBB67AE85
	)
	for from := 0; from < len(words); from += pair {
		a0, a1, a2, a3 := uint32(number), uint32(number>>32), s.high[0], s.high[1]
		number++
		b0, b1, b2, b3 := uint32(number), uint32(number>>32), s.high[0], s.high[1]
		number++
		k0, k1 := s.key[0], s.key[1]
		for range 10 {
			p, q := uint64(multiplier0)*uint64(a0), uint64(multiplier1)*uint64(a2)
			r, t := uint64(multiplier0)*uint64(b0), uint64(multiplier1)*uint64(b2)
			a0, a1, a2, a3 = uint32(q>>32)^a1^k0, uint32(q), uint32(p>>32)^a3^k1, uint32(p)
			b0, b1, b2, b3 = uint32(t>>32)^b1^k0, uint32(t), uint32(r>>32)^b3^k1, uint32(r)
			k0 += weyl0
			k1 += weyl1
		}
		*(*[pair]uint32)(words[from:]) = [pair]uint32{a0, a1, a2, a3, b0, b1, b2, b3}
	}
}

// Uint32 returns the next 32 random bits.
func (s *Stream) Uint32() uint32 {
	if s.used == 4 {
		s.words = s.blockAt(s.block)
		s.block++
		s.used = 0
	}
	word := s.words[s.used]
	s.used++
	return word
}

// Uint32At returns word i of the stream, whatever has been drawn before. It
// lets many threads fill one array from one stream with the same result.
func (s *Stream) Uint32At(i uint64) uint32 { return s.blockAt(i / 4)[i%4] }

// Uint64 returns the next 64 random bits, lower word first.
func (s *Stream) Uint64() uint64 {
	low := uint64(s.Uint32())
	return uint64(s.Uint32())<<32 | low
}

// Float64 returns a number drawn evenly from [0, 1), a multiple of 2^-53.
func (s *Stream) Float64() float64 { return float64(s.Uint64()>>11) * (1.0 / (1 << 53)) }

// Normal returns a standard normal number by the polar method of Marsaglia and
// Bray, "A convenient method for generating normal variables" (SIAM Review 1964).
func (s *Stream) Normal() float64 {
	for {
		u := float64(2*s.Float64()) - 1
		v := float64(2*s.Float64()) - 1
		r := float64(u*u) + float64(v*v)
		if r < 1 && r > 0 {
			return u * math.Sqrt(-2*Log(r)/r)
		}
	}
}

// IntN returns a number drawn evenly from 0..n-1. It panics if n < 1.
func (s *Stream) IntN(n int) int {
	if n < 1 {
		panic("stat: IntN needs n >= 1")
	}
	bound := uint64(n)
	// Reject the part of 2^64 that does not divide evenly.
	limit := -bound % bound
	for {
		if draw := s.Uint64(); draw >= limit {
			return int(draw % bound)
		}
	}
}

// Perm returns a random order of 0..n-1 (Fisher and Yates).
func (s *Stream) Perm(n int) []int { return s.PermInto(nil, n) }

// PermInto is Perm, which reuses the memory of a slice.
func (s *Stream) PermInto(order []int, n int) []int {
	if cap(order) < n {
		order = make([]int, n)
	}
	order = order[:n]
	for i := range order {
		order[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := s.IntN(i + 1)
		order[i], order[j] = order[j], order[i]
	}
	return order
}
