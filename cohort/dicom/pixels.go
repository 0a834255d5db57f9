package dicom

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"

	"ballast/cohort/dicom/codec"
)

// pixelData is where the pixels lie in the file.
type pixelData struct {
	present bool
	native  []byte // uncompressed: as much of the value as the file holds
	claimed int64  // the length that the value should have
	words   bool   // stored as 16-bit words, VR OW
	// Compressed pixels: the frames' parts, and the start of every frame among
	// them by the basic offset table, empty when the file has none.
	encapsulated bool
	fragments    []fragment
	offsets      []uint32
	cut          bool // the file ends within them
}

type fragment struct {
	data   []byte
	offset int // of its item, from the first item behind the offset table
}

func (w *walker) findPixels(e element) error {
	w.pixels = pixelData{present: true, claimed: int64(e.length), words: e.vr == "OW"}
	if e.length != undefinedLength {
		w.pixels.native = w.data[e.value:min(int64(len(w.data)), int64(e.value)+int64(e.length))]
		return nil
	}
	parts, _, err := w.fragments(e, len(w.data))
	w.pixels.encapsulated, w.pixels.cut = true, err != nil
	if len(parts) == 0 {
		return fmt.Errorf("%w: the pixel data are empty", ErrTruncated)
	}
	table := parts[0].data
	for at := 0; at+4 <= len(table); at += 4 {
		w.pixels.offsets = append(w.pixels.offsets, w.order.Uint32(table[at:]))
	}
	w.pixels.fragments = parts[1:]
	for n := range w.pixels.fragments {
		w.pixels.fragments[n].offset -= parts[0].offset + 8 + len(table)
	}
	return nil
}

// fragments lists the items of an encapsulated value and the byte behind it.
func (w *walker) fragments(e element, limit int) (parts []fragment, at int, err error) {
	at = e.value
	for {
		item, err := w.header(at, false)
		if err != nil {
			return parts, at, err
		}
		switch item.tag {
		case tagSequenceEnd:
			return parts, item.value, nil
		case tagItem:
		default:
			return parts, at, fmt.Errorf("%w: element %s among the pixel data's items", ErrDamaged, tagText(item.tag))
		}
		end, err := w.end(item, limit)
		if err != nil {
			return parts, at, err
		}
		parts = append(parts, fragment{data: w.data[item.value:end], offset: at})
		at = end
	}
}

// frameData returns the compressed bytes of a frame: all fragments, when there is
// one frame; one fragment per frame; those between two entries of the offset
// table; or those from one start marker of JPEG or JPEG 2000 to the next.
func (f *File) frameData(frame int) ([]byte, error) {
	p := &f.pixels
	switch {
	case f.NumberOfFrames == 1:
		return join(p.fragments), nil
	case len(p.fragments) == f.NumberOfFrames:
		return p.fragments[frame].data, nil
	case len(p.offsets) == f.NumberOfFrames:
		start, end := int64(p.offsets[frame]), int64(undefinedLength)
		if frame+1 < len(p.offsets) {
			end = int64(p.offsets[frame+1])
		}
		first := slices.IndexFunc(p.fragments, func(part fragment) bool { return int64(part.offset) >= start })
		behind := slices.IndexFunc(p.fragments, func(part fragment) bool { return int64(part.offset) >= end })
		if behind < 0 {
			behind = len(p.fragments)
		}
		if first >= 0 && first < behind {
			return join(p.fragments[first:behind]), nil
		}
	}
	var starts []int
	for n, part := range p.fragments {
		if bytes.HasPrefix(part.data, []byte{0xff, 0xd8, 0xff}) || bytes.HasPrefix(part.data, []byte{0xff, 0x4f, 0xff, 0x51}) {
			starts = append(starts, n)
		}
	}
	if len(starts) == f.NumberOfFrames && starts[0] == 0 {
		starts = append(starts, len(p.fragments))
		return join(p.fragments[starts[frame]:starts[frame+1]]), nil
	}
	return nil, fmt.Errorf("%w: %d fragments for %d frames, and no table that says which belong together", ErrUnsupported, len(p.fragments), f.NumberOfFrames)
}

func join(parts []fragment) []byte {
	if len(parts) == 1 {
		return parts[0].data
	}
	var whole []byte
	for _, part := range parts {
		whole = append(whole, part.data...)
	}
	return whole
}

// maxFrames bounds the frames whose size the file cannot be held against before
// they are decoded.
const maxFrames = 1 << 16

// checkPixels holds what the header claims against the bytes that are there,
// before anything is allocated by it.
func (f *File) checkPixels() error {
	if f.Rows < 1 || f.Columns < 1 || f.NumberOfFrames < 1 {
		return fmt.Errorf("%w: %d frames of %d x %d pixels", ErrDamaged, f.NumberOfFrames, f.Columns, f.Rows)
	}
	switch {
	case f.NumberOfFrames > maxFrames && f.pixels.encapsulated:
		return fmt.Errorf("%w: more than %d compressed frames in a file", ErrUnsupported, maxFrames)
	case f.SamplesPerPixel != 1:
		return fmt.Errorf("%w: colour pictures (%d samples per pixel, %s)", ErrUnsupported, f.SamplesPerPixel, f.Photometric)
	case f.Photometric == "PALETTE COLOR":
		return fmt.Errorf("%w: pictures in the colours of a palette", ErrUnsupported)
	case f.BitsAllocated != 8 && f.BitsAllocated != 16 && f.BitsAllocated != 32:
		return fmt.Errorf("%w: pixels of %d bits", ErrUnsupported, f.BitsAllocated)
	case f.BitsStored < 1 || f.BitsStored > f.BitsAllocated || f.HighBit < f.BitsStored-1 || f.HighBit >= f.BitsAllocated:
		return fmt.Errorf("%w: %d bits stored up to bit %d of %d", ErrDamaged, f.BitsStored, f.HighBit, f.BitsAllocated)
	}
	if f.pixels.encapsulated {
		if f.pixels.cut {
			return fmt.Errorf("%w: the compressed pixel data end early", ErrTruncated)
		}
		if f.NumberOfFrames > max(len(f.pixels.fragments), 1) {
			return fmt.Errorf("%w: %d fragments of pixel data for %d frames", ErrTruncated, len(f.pixels.fragments), f.NumberOfFrames)
		}
		return nil
	}
	need := f.frameBytes() * int64(f.NumberOfFrames)
	if have := int64(len(f.pixels.native)); have < need || have < f.pixels.claimed {
		return fmt.Errorf("%w: %d of %d bytes of pixel data", ErrTruncated, have, max(need, f.pixels.claimed))
	}
	return nil
}

func (f *File) frameBytes() int64 {
	return int64(f.Rows) * int64(f.Columns) * int64(f.BitsAllocated/8)
}

// Stored decodes the pixels of a frame, from 0: the stored values, row by row,
// before slope and intercept.
func (f *File) Stored(frame int) ([]int32, error) {
	if frame < 0 || frame >= f.NumberOfFrames {
		panic("dicom: frame out of range")
	}
	if !f.pixels.encapsulated {
		size := f.frameBytes()
		return f.native(f.pixels.native[int64(frame)*size : int64(frame+1)*size])
	}
	data, err := f.frameData(frame)
	if err != nil {
		return nil, err
	}
	picture, err := f.decode(data)
	if err != nil {
		return nil, fmt.Errorf("frame %d: %w", frame+1, err)
	}
	for n, v := range picture.Samples {
		picture.Samples[n] = f.interpret(v)
	}
	return picture.Samples, nil
}

// native reads uncompressed pixels.
func (f *File) native(data []byte) ([]int32, error) {
	stored := make([]int32, f.Rows*f.Columns)
	var order binary.ByteOrder = binary.LittleEndian
	if f.TransferSyntax == ExplicitBigEndian {
		order = binary.BigEndian
	}
	switch {
	case f.BitsAllocated == 8 && f.pixels.words && order == binary.ByteOrder(binary.BigEndian):
		for n := range stored { // the first of two pixels is the low half of a word
			stored[n] = f.interpret(int32(data[n^1]))
		}
	case f.BitsAllocated == 8:
		for n := range stored {
			stored[n] = f.interpret(int32(data[n]))
		}
	case f.BitsAllocated == 16 && order == binary.ByteOrder(binary.LittleEndian):
		for n := range stored {
			stored[n] = f.interpret(int32(binary.LittleEndian.Uint16(data[2*n:])))
		}
	case f.BitsAllocated == 16:
		for n := range stored {
			stored[n] = f.interpret(int32(binary.BigEndian.Uint16(data[2*n:])))
		}
	default:
		for n := range stored {
			value := order.Uint32(data[4*n:])
			if !f.Signed && f.BitsStored == 32 && value>>31 == 1 {
				return nil, fmt.Errorf("%w: unsigned pixels above 2^31", ErrUnsupported)
			}
			stored[n] = f.interpret(int32(value))
		}
	}
	return stored, nil
}

// interpret takes the stored bits out of the allocated ones and extends the sign.
func (f *File) interpret(v int32) int32 {
	v <<= 31 - f.HighBit
	if f.Signed {
		return v >> (32 - f.BitsStored)
	}
	return int32(uint32(v) >> (32 - f.BitsStored))
}

// seed makes digests comparable within one process.
var seed = maphash.MakeSeed()

// Digest is a hash of the pixel data as the file holds them. It differs from one
// run of the program to the next.
func (f *File) Digest() uint64 {
	var hash maphash.Hash
	hash.SetSeed(seed)
	hash.Write(f.pixels.native)
	for _, part := range f.pixels.fragments {
		hash.Write(part.data)
	}
	return hash.Sum64()
}

// CanDecode reports whether Stored knows the compression of a transfer syntax.
func CanDecode(syntax string) bool {
	switch syntax {
	case ImplicitLittleEndian, ExplicitLittleEndian, DeflatedLittleEndian, ExplicitBigEndian,
		JPEGBaseline, JPEGLossless, JPEGLosslessFirstOrder, JPEGLSLossless, JPEGLSNearLossless,
		JPEG2000Lossless, JPEG2000, RLELossless:
		return true
	}
	return false
}

// decode decompresses one frame.
func (f *File) decode(data []byte) (*codec.Image, error) {
	switch f.TransferSyntax {
	case RLELossless:
		return codec.RLE(data, f.Columns, f.Rows, f.BitsAllocated/8)
	case JPEGBaseline:
		return codec.JPEGBaseline(data, f.Columns, f.Rows)
	case JPEGLossless, JPEGLosslessFirstOrder:
		return codec.JPEGLossless(data, f.Columns, f.Rows)
	case JPEGLSLossless, JPEGLSNearLossless:
		return codec.JPEGLS(data, f.Columns, f.Rows)
	case JPEG2000Lossless, JPEG2000:
		return codec.JPEG2000(data, f.Columns, f.Rows)
	}
	return nil, fmt.Errorf("%w: compression %s", ErrUnsupported, SyntaxName(f.TransferSyntax))
}
