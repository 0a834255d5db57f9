package gunzip

import "math/bits"

const (
	lengthBits      = 11   // first level of the table of lengths and literals
	distanceBits    = 9    // first level of the table of distances
	lengthEntries   = 4096 // enough for both levels: 2^11 + second levels of 288 codes of at most 15 bits
	distanceEntries = 1024
	orderBits       = 7 // the codes of code lengths have one level
)

// Entries of the tables. The low six bits say how many bits a symbol takes, extra
// bits included; bits 8 to 11 how many of them are the code; from bit 16 on
// stands the base to which the extra bits are added, or the literal byte. A
// subtable entry has the number of its index bits in bits 8 to 11 and its offset
// from bit 16 on.
const (
	literal    = 1 << 12
	endOfBlock = 1 << 13
	subtable   = 1 << 14
	exception  = 1 << 15 // a subtable, the end of the block, or no symbol at all
)

type (
	lengthTable   [lengthEntries]uint32
	distanceTable [distanceEntries]uint32
)

// What the symbols mean (RFC 1951, 3.2.5), without the length of their codes.
var (
	lengthSymbols   [288]uint32
	distanceSymbols [32]uint32
	orderSymbols    [19]uint32

	fixedLengths lengthTable
	fixedOffsets distanceTable
)

func init() {
	for n := range 256 {
		lengthSymbols[n] = literal | uint32(n)<<16
	}
	lengthSymbols[256] = exception | endOfBlock
	base := uint32(3)
	for n := uint32(0); n < 28; n++ {
		extra := uint32(0)
		if n >= 8 {
			extra = n/4 - 1
		}
		lengthSymbols[257+n] = base<<16 | extra
		base += 1 << extra
	}
	lengthSymbols[285] = 258 << 16
	lengthSymbols[286], lengthSymbols[287] = exception, exception
	base = 1
	for n := uint32(0); n < 30; n++ {
		extra := uint32(0)
		if n >= 4 {
			extra = n/2 - 1
		}
		distanceSymbols[n] = base<<16 | extra
		base += 1 << extra
	}
	distanceSymbols[30], distanceSymbols[31] = exception, exception
	for n := range orderSymbols {
		orderSymbols[n] = uint32(n) << 16
	}

	var sizes [288]uint8 // 3.2.6
	for n := range sizes {
		switch {
		case n < 144:
			sizes[n] = 8
		case n < 256:
			sizes[n] = 9
		case n < 280:
			sizes[n] = 7
		default:
			sizes[n] = 8
		}
	}
	build(fixedLengths[:], lengthBits, sizes[:], lengthSymbols[:])
	for n := range 32 {
		sizes[n] = 5
	}
	build(fixedOffsets[:], distanceBits, sizes[:32], distanceSymbols[:])
}

// build fills a table for the canonical code with the given code sizes (RFC 1951,
// 3.2.2). Like compress/flate it accepts a complete code, a single code of one
// bit, and none at all; it reports whether the code is one of these.
func build(table []uint32, first uint, sizes []uint8, symbols []uint32) bool {
	var counts, next [16]int
	for _, size := range sizes {
		counts[size]++
	}
	counts[0] = 0
	code, total, longest := 0, 0, uint(0)
	for size := 1; size < 16; size++ {
		code <<= 1
		next[size] = code
		code += counts[size]
		total += counts[size]
		if counts[size] > 0 {
			longest = uint(size)
		}
		if code > 1<<size {
			return false // more codes than there is room for
		}
	}
	if code != 1<<15 { // codes that mean nothing are left
		if total > 1 || total == 1 && longest != 1 {
			return false
		}
		for n := range table[:1<<first] {
			table[n] = exception
		}
	}
	var reversed [288]uint16 // codes as they lie in the stream, for second levels
	var widths [1 << lengthBits]uint8
	for symbol, size := range sizes {
		if size == 0 {
			continue
		}
		n := uint(size)
		code := int(bits.Reverse16(uint16(next[n])) >> (16 - n))
		next[n]++
		if n > first {
			reversed[symbol] = uint16(code)
			prefix := code & (1<<first - 1)
			widths[prefix] = max(widths[prefix], uint8(n-first))
			continue
		}
		entry := symbols[symbol] + uint32(n)<<8 + uint32(n)
		for at := code; at < 1<<first; at += 1 << n {
			table[at] = entry
		}
	}
	if longest <= first {
		return true
	}
	end := 1 << first // where the next second level goes
	for prefix, width := range widths[:1<<first] {
		if width > 0 {
			table[prefix] = exception | subtable | uint32(end)<<16 | uint32(width)<<8
			end += 1 << width
		}
	}
	for symbol, size := range sizes {
		if n := uint(size); n > first {
			code := int(reversed[symbol])
			from := table[code&(1<<first-1)]
			level := table[from>>16:][:1<<(from>>8&15)]
			entry := symbols[symbol] + uint32(n-first)<<8 + uint32(n-first)
			for at := code >> first; at < len(level); at += 1 << (n - first) {
				level[at] = entry
			}
		}
	}
	return true
}

// codeOrder is the order in which the sizes of the codes of code sizes come.
var codeOrder = [19]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// readCodes reads the two codes of a block (RFC 1951, 3.2.7).
func (r *Reader) readCodes() error {
	lengths, distances, orders := r.take(5)+257, r.take(5)+1, r.take(4)+4
	if lengths > 286 || distances > 30 {
		return r.corrupt("number of codes")
	}
	var sizes [288 + 32]uint8
	for _, n := range codeOrder[:orders] {
		if err := r.load(); err != nil {
			return err
		}
		sizes[n] = uint8(r.take(3))
	}
	var table [1 << orderBits]uint32
	if !build(table[:], orderBits, sizes[:19], orderSymbols[:]) {
		return r.corrupt("code of code sizes")
	}
	sizes = [len(sizes)]uint8{}
	for n := 0; n < lengths+distances; {
		if err := r.load(); err != nil {
			return err
		}
		e := table[r.bits&(1<<orderBits-1)]
		if e&exception != 0 {
			return r.corrupt("unassigned code of a code size")
		}
		r.take(uint(e & 63))
		size, repeat := uint8(e>>16), 1
		switch size {
		case 16:
			if n == 0 {
				return r.corrupt("nothing to repeat in code sizes")
			}
			size, repeat = sizes[n-1], 3+r.take(2)
		case 17:
			size, repeat = 0, 3+r.take(3)
		case 18:
			size, repeat = 0, 11+r.take(7)
		}
		if n+repeat > lengths+distances {
			return r.corrupt("number of code sizes")
		}
		for range repeat {
			sizes[n] = size
			n++
		}
	}
	r.lengths, r.offsets = &r.own.lengths, &r.own.offsets
	if !build(r.lengths[:], lengthBits, sizes[:lengths], lengthSymbols[:]) ||
		!build(r.offsets[:], distanceBits, sizes[lengths:lengths+distances], distanceSymbols[:]) {
		return r.corrupt("code of lengths or distances")
	}
	return nil
}
