// Package gunzip decompresses gzip files (RFC 1952), faster than the standard
// library: reading a compressed MRI cohort spends most of its time here.
//
// It accepts and refuses what compress/gzip does, with two exceptions: zero bytes
// behind the last member are ignored, as by the gzip program, and all errors wrap
// ErrHeader, ErrCorrupt, ErrChecksum or io.ErrUnexpectedEOF.
package gunzip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// What can be wrong with a gzip file.
var (
	ErrHeader   = errors.New("not a gzip header")
	ErrCorrupt  = errors.New("damaged gzip data")
	ErrChecksum = errors.New("the gzip checksum does not agree with the data")
)

const (
	inputSize   = 1 << 16
	padding     = 16      // zero bytes behind the end of the input, so that eight can be loaded anywhere
	historySize = 1 << 15 // how far back a match can lie
	outputSize  = 1 << 18
	slack       = 258 + 8 // a match is written whole, and up to 7 bytes beyond it
)

// PeekSize is the largest number of bytes that Peek can return.
const PeekSize = outputSize / 2

// A Reader decompresses what it reads from source.
type Reader struct {
	source io.Reader
	input  [inputSize + padding]byte
	next   int // first byte of input that was not loaded into bits
	end    int // behind the last byte of input
	ended  bool
	before int64 // bytes of source before input

	bits  uint64 // loaded bits, the next one lowest; above count they are what will be loaded next or zero
	count uint   // of bits

	output [historySize + outputSize + slack]byte
	given  int // output before it was given to the caller
	filled int // output before it is decompressed
	start  int // where the history of the current member begins

	state   func(*Reader) error // what to do when more output is wanted
	last    bool                // the current block is the last of its member
	stored  int                 // bytes left in a stored block
	lengths *lengthTable        // of the current block
	offsets *distanceTable
	own     struct { // tables of a block that brings its own codes
		lengths lengthTable
		offsets distanceTable
	}

	checksum uint32 // of the member so far
	size     uint32 // of the member so far, modulo 2^32
	err      error  // after all output is given
}

// NewReader reads the header of a gzip file.
func NewReader(source io.Reader) (*Reader, error) {
	r := &Reader{source: source, given: historySize, filled: historySize}
	if err := r.readHeader(); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return r, nil
}

// Read fills p with decompressed bytes. The end of the file is reported once the
// checksums of all its members have been compared.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.given == r.filled {
		if r.err != nil {
			return 0, r.err
		}
		r.decompress()
	}
	n := copy(p, r.output[r.given:r.filled])
	r.given += n
	return n, nil
}

// Peek returns the next n bytes, at most PeekSize, without advancing: fewer with
// the reason. They are valid until the next call and must not be changed, because
// what follows may repeat them.
func (r *Reader) Peek(n int) ([]byte, error) {
	for r.filled-r.given < n && r.err == nil {
		r.decompress()
	}
	if have := r.filled - r.given; have < n {
		return r.output[r.given:r.filled], r.err
	}
	return r.output[r.given : r.given+n], nil
}

// Advance skips n bytes that Peek has returned.
func (r *Reader) Advance(n int) { r.given += n }

// decompress makes more output, at least a byte or an error. There must be room
// for it once all that was given away and is no longer history is dropped.
func (r *Reader) decompress() {
	if r.filled >= historySize+outputSize {
		shift := min(r.given, r.filled-historySize)
		copy(r.output[:], r.output[shift:r.filled])
		r.given, r.filled, r.start = r.given-shift, r.filled-shift, max(0, r.start-shift)
	}
	from := r.filled
	for r.filled == from && r.err == nil {
		r.err = r.state(r)
		fresh := r.output[from:r.filled]
		r.checksum = crc32.Update(r.checksum, crc32.IEEETable, fresh)
		r.size += uint32(len(fresh))
	}
}

// more reads input behind what is left of it. At the end of the source the input
// is continued with zeros; whether they were used is for the caller to find out.
func (r *Reader) more() error {
	if r.ended {
		return io.ErrUnexpectedEOF
	}
	from := max(0, r.next-8) // bytes in bits may be given back
	r.end = copy(r.input[:], r.input[from:r.end])
	r.before += int64(from)
	r.next -= from
	for tries := 0; r.end < inputSize; tries++ {
		n, err := r.source.Read(r.input[r.end:inputSize])
		r.end += n
		if err == io.EOF {
			r.ended = true
			clear(r.input[r.end : r.end+padding])
			return nil
		}
		if err != nil {
			return err
		}
		if n > 0 {
			return nil
		}
		if tries == 100 {
			return io.ErrNoProgress
		}
	}
	return nil
}

// byte returns the next whole byte. Bits must have been given back.
func (r *Reader) byte() (byte, error) {
	for r.next >= r.end {
		if r.ended {
			return 0, io.EOF
		}
		if err := r.more(); err != nil {
			return 0, err
		}
	}
	r.next++
	return r.input[r.next-1], nil
}

// alignToByte drops the bits up to the next whole byte and gives back loaded
// bytes. It fails when bits behind the end of the source were used.
func (r *Reader) alignToByte() error {
	r.next -= int(r.count / 8)
	r.bits, r.count = 0, 0
	if r.next > r.end {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// readHeader reads the header of a member; io.EOF means that there is none.
func (r *Reader) readHeader() error {
	first, err := r.byte()
	for zeros := 0; err == nil && first == 0 && r.state != nil; zeros++ { // behind a member
		first, err = r.byte()
	}
	if err != nil {
		return err
	}
	digest := crc32.Update(0, crc32.IEEETable, []byte{first})
	take := func() (b byte) {
		if err == nil {
			b, err = r.byte()
			digest = crc32.Update(digest, crc32.IEEETable, []byte{b})
		}
		return b
	}
	second, method, flags := take(), take(), take()
	for range 6 { // time, extra flags, operating system
		take()
	}
	if err == nil && (first != 0x1f || second != 0x8b || method != 8 || flags&0xe0 != 0) {
		return fmt.Errorf("%w at byte %d", ErrHeader, r.before+int64(r.next)-10)
	}
	if flags&4 != 0 { // a field of given length
		for range int(take()) | int(take())<<8 {
			take()
		}
	}
	for _, text := range []byte{8, 16} { // name, comment
		for flags&text != 0 && err == nil && take() != 0 {
		}
	}
	if want := uint16(digest); flags&2 != 0 && err == nil {
		if got := uint16(take()) | uint16(take())<<8; err == nil && got != want {
			return fmt.Errorf("%w: its checksum does not agree", ErrHeader)
		}
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	r.state, r.checksum, r.size, r.start = (*Reader).readBlock, 0, 0, r.filled
	return err
}

// readTrailer compares checksum and size of a member and goes on to the next one.
func (r *Reader) readTrailer() error {
	if err := r.alignToByte(); err != nil {
		return err
	}
	var trailer [8]byte
	for n := range trailer {
		b, err := r.byte()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		trailer[n] = b
	}
	if binary.LittleEndian.Uint32(trailer[:]) != r.checksum || binary.LittleEndian.Uint32(trailer[4:]) != r.size {
		return ErrChecksum
	}
	return r.readHeader()
}
