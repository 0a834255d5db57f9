package gunzip

import (
	"encoding/binary"
	"fmt"
	"io"
)

// load makes at least 56 bits available, which is more than one symbol with all
// its extra bits needs: 15 + 5 for a length, 15 + 13 for a distance.
func (r *Reader) load() error {
	for r.next+8 > r.end && !r.ended {
		if err := r.more(); err != nil {
			return err
		}
	}
	if r.next+8 > r.end+padding {
		return io.ErrUnexpectedEOF
	}
	r.bits |= binary.LittleEndian.Uint64(r.input[r.next:]) << (r.count & 63)
	r.next += int((63 - r.count) / 8)
	r.count |= 56
	if r.position() > r.end {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// take returns the next n loaded bits, n at most 16.
func (r *Reader) take(n uint) int {
	value := int(r.bits & (1<<n - 1))
	r.bits >>= n
	r.count -= n
	return value
}

// position is the byte of input that the next bit stands in.
func (r *Reader) position() int { return r.next - int(r.count/8) }

// corrupt is the error for data that make no sense, or that are cut off: then the
// padding behind them has been read.
func (r *Reader) corrupt(what string) error {
	if r.ended && r.position()+8 > r.end {
		return io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %s near byte %d", ErrCorrupt, what, r.before+int64(r.position()))
}

// readBlock reads the header of a block (RFC 1951, 3.2.3).
func (r *Reader) readBlock() error {
	if r.last {
		r.last = false
		return r.readTrailer()
	}
	if err := r.load(); err != nil {
		return err
	}
	r.last = r.take(1) == 1
	switch r.take(2) {
	case 0:
		return r.readStoredHeader()
	case 1:
		r.lengths, r.offsets = &fixedLengths, &fixedOffsets
	case 2:
		if err := r.readCodes(); err != nil {
			return err
		}
	default:
		return r.corrupt("block of unknown kind")
	}
	r.state = (*Reader).inflate
	return nil
}

// readStoredHeader reads the length of a block that is not compressed (3.2.4).
func (r *Reader) readStoredHeader() error {
	if err := r.alignToByte(); err != nil {
		return err
	}
	var head [4]byte
	for n := range head {
		b, err := r.byte()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		head[n] = b
	}
	length := binary.LittleEndian.Uint16(head[:])
	if length != ^binary.LittleEndian.Uint16(head[2:]) {
		return r.corrupt("length of a stored block")
	}
	r.stored, r.state = int(length), (*Reader).copyStored
	return nil
}

// copyStored copies as much of a stored block as there is room for.
func (r *Reader) copyStored() error {
	for r.stored > 0 && r.filled < historySize+outputSize {
		if r.next >= r.end {
			if r.ended {
				return io.ErrUnexpectedEOF
			}
			if err := r.more(); err != nil {
				return err
			}
			continue
		}
		n := copy(r.output[r.filled:min(r.filled+r.stored, historySize+outputSize)], r.input[r.next:r.end])
		r.filled, r.next, r.stored = r.filled+n, r.next+n, r.stored-n
	}
	if r.stored == 0 {
		r.state = (*Reader).readBlock
	}
	return nil
}

// inflate decompresses symbols until the block or the room for output ends.
func (r *Reader) inflate() error {
	const limit = historySize + outputSize
	for r.filled < limit {
		safe := r.end - 8 // the last place to load from
		if r.next > safe {
			if err := r.load(); err != nil { // reads more input, or pads its end
				return err
			}
			safe = max(r.end-8, r.next)
		}
		filled := r.filled
		done, err := r.inflateFast(safe, limit)
		if r.next*8-int(r.count) > r.end*8 { // bits of the padding were used
			r.filled = filled
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		if done {
			r.state = (*Reader).readBlock
			return nil
		}
	}
	return nil
}

// inflateFast decompresses while there are eight bytes to load at or before safe
// and room before limit. It reports whether the block has ended.
//
// The loop keeps its state in local variables. One load gives at least 56 bits:
// enough for three literals from the first level of the table (33 bits), or,
// after a second load, for a length with its distance (48 bits).
func (r *Reader) inflateFast(safe, limit int) (done bool, err error) {
	input, output := &r.input, &r.output
	lengths, offsets := r.lengths, r.offsets
	next, filled, bits, count := r.next, r.filled, r.bits, r.count
	var problem string
	for next <= safe && filled < limit {
		bits |= binary.LittleEndian.Uint64(input[next:next+8]) << (count & 63)
		next += int((63 - count) / 8)
		count |= 56
		e := lengths[bits&(1<<lengthBits-1)]
		if e&literal != 0 {
			bits >>= e & 63
			count -= uint(e & 63)
			output[filled] = byte(e >> 16)
			filled++
			e = lengths[bits&(1<<lengthBits-1)]
			if e&literal != 0 {
				bits >>= e & 63
				count -= uint(e & 63)
				output[filled] = byte(e >> 16)
				filled++
				e = lengths[bits&(1<<lengthBits-1)]
				if e&literal != 0 {
					bits >>= e & 63
					count -= uint(e & 63)
					output[filled] = byte(e >> 16)
					filled++
					continue
				}
			}
			if next > safe {
				break // e is looked up again
			}
			bits |= binary.LittleEndian.Uint64(input[next:next+8]) << (count & 63)
			next += int((63 - count) / 8)
			count |= 56
		}
		if e&exception != 0 {
			if e&subtable != 0 {
				bits >>= lengthBits
				count -= lengthBits
				e = lengths[(uint64(e>>16)+bits&(1<<(e>>8&15)-1))&(lengthEntries-1)]
			}
			if e&literal != 0 {
				bits >>= e & 63
				count -= uint(e & 63)
				output[filled] = byte(e >> 16)
				filled++
				continue
			}
			if e&exception != 0 {
				if done = e&endOfBlock != 0; !done {
					problem = "unassigned code of a length"
				}
				bits >>= e & 63
				count -= uint(e & 63)
				break
			}
		}
		length := int(e>>16) + int(bits&(1<<(e&63)-1)>>(e>>8&15))
		bits >>= e & 63
		count -= uint(e & 63)

		e = offsets[bits&(1<<distanceBits-1)]
		if e&exception != 0 {
			if e&subtable != 0 {
				bits >>= distanceBits
				count -= distanceBits
				e = offsets[(uint64(e>>16)+bits&(1<<(e>>8&15)-1))&(distanceEntries-1)]
			}
			if e&exception != 0 {
				problem = "unassigned code of a distance"
				break
			}
		}
		distance := int(e>>16) + int(bits&(1<<(e&63)-1)>>(e>>8&15))
		bits >>= e & 63
		count -= uint(e & 63)
		from := filled - distance
		if from < r.start {
			problem = "distance beyond the start"
			break
		}
		if distance >= 8 { // the eight bytes that most matches are shorter than
			binary.LittleEndian.PutUint64(output[filled:filled+8], binary.LittleEndian.Uint64(output[from:from+8]))
			if length > 8 {
				match(output, filled+8, length-8, distance)
			}
		} else {
			match(output, filled, length, distance)
		}
		filled += length
	}
	r.next, r.filled, r.bits, r.count = next, filled, bits, count
	if problem != "" {
		return false, r.corrupt(problem)
	}
	return done, nil
}

// match repeats length bytes from distance bytes before at, writing up to 7
// bytes more than asked for.
func match(output *[historySize + outputSize + slack]byte, at, length, distance int) {
	little := binary.LittleEndian
	from, end := at-distance, at+length
	switch {
	case distance >= length && length > 32:
		copy(output[at:end], output[from:from+length])
	case distance >= 8:
		for ; at < end; at, from = at+8, from+8 {
			little.PutUint64(output[at:at+8], little.Uint64(output[from:from+8]))
		}
	case distance == 1:
		pattern := uint64(output[from]) * 0x0101010101010101
		for ; at < end; at += 8 {
			little.PutUint64(output[at:at+8], pattern)
		}
	default:
		for ; at < end; at, from = at+1, from+1 {
			output[at] = output[from]
		}
	}
}
