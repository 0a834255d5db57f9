package cohort

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// A datatype is one stored type of NIfTI.
type datatype struct {
	name    string
	size    int // bytes per voxel
	word    int // bytes whose order depends on the machine that wrote them
	integer bool
	// widen reads little-endian voxels; it is exact but for 64-bit integers
	// beyond 2^53.
	widen func(dst []float64, raw []byte)
	// narrow does the same straight to float32, bit for bit what rounding the
	// result of widen gives; nil where no one needs it to be fast.
	narrow func(dst []float32, raw []byte)
}

// datatypes by NIfTI code.
var datatypes = map[int]datatype{
	2:    {"uint8", 1, 1, true, widenUint8, narrowUint8},
	4:    {"int16", 2, 2, true, widenInt16, narrowInt16},
	8:    {"int32", 4, 4, true, widenInt32, nil},
	16:   {"float32", 4, 4, false, widenFloat32, narrowFloat32},
	64:   {"float64", 8, 8, false, widenFloat64, nil},
	128:  {"rgb24", 3, 1, false, widenRGB, nil},
	256:  {"int8", 1, 1, true, widenInt8, nil},
	512:  {"uint16", 2, 2, true, widenUint16, narrowUint16},
	768:  {"uint32", 4, 4, true, widenUint32, nil},
	1024: {"int64", 8, 8, true, widenInt64, nil},
	1280: {"uint64", 8, 8, true, widenUint64, nil},
	2304: {"rgba32", 4, 1, false, widenRGBA, nil},
}

// refused types by NIfTI code, with what to do.
var refusedTypes = map[int]string{
	1:    "binary (one bit per voxel): convert the image to uint8",
	32:   "complex64: save the magnitude (or the phase) as float32",
	1792: "complex128: save the magnitude (or the phase) as float32",
	2048: "complex256: save the magnitude (or the phase) as float32",
	1536: "float128, whose layout differs between machines: convert the image to float64",
}

func datatypeOf(code int) (datatype, error) {
	if kind, ok := datatypes[code]; ok {
		return kind, nil
	}
	if what, ok := refusedTypes[code]; ok {
		return datatype{}, fmt.Errorf("%w: stored type %s", ErrUnsupported, what)
	}
	return datatype{}, fmt.Errorf("%w: unknown stored type %d", ErrHeader, code)
}

func uint16At(raw []byte, n int) uint16 { return binary.LittleEndian.Uint16(raw[2*n:]) }
func uint32At(raw []byte, n int) uint32 { return binary.LittleEndian.Uint32(raw[4*n:]) }
func uint64At(raw []byte, n int) uint64 { return binary.LittleEndian.Uint64(raw[8*n:]) }

func widenUint8(dst []float64, raw []byte) {
	for n := range dst {
		dst[n] = float64(raw[n])
	}
}

func widenInt8(dst []float64, raw []byte) {
	for n := range dst {
		dst[n] = float64(int8(raw[n]))
	}
}

func widenInt16(dst []float64, raw []byte) {
	for n := range dst {
		dst[n] = float64(int16(uint16At(raw, n)))
	}
}

func widenUint16(dst []float64, raw []byte) {
	for n := range dst {
		dst[n] = float64(uint16At(raw, n))
	}
}

func widenInt32(dst []float64, raw []byte) {
	for n := range dst {
		dst[n] = float64(int32(uint32At(raw, n)))
	}
}

func widenUint32(dst []float64, raw []byte) {
	for n := range dst {
		dst[n] = float64(uint32At(raw, n))
	}
}

func widenInt64(dst []float64, raw []byte) {
	for n := range dst {
		dst[n] = float64(int64(uint64At(raw, n)))
	}
}

func widenUint64(dst []float64, raw []byte) {
	for n := range dst {
		dst[n] = float64(uint64At(raw, n))
	}
}

func widenFloat32(dst []float64, raw []byte) {
	for n := range dst {
		dst[n] = float64(math.Float32frombits(uint32At(raw, n)))
	}
}

func widenFloat64(dst []float64, raw []byte) {
	for n := range dst {
		dst[n] = math.Float64frombits(uint64At(raw, n))
	}
}

// widenRGB gives the luminance, as for pictures.
func widenRGB(dst []float64, raw []byte) {
	for n := range dst {
		dst[n] = luma(float64(raw[3*n]), float64(raw[3*n+1]), float64(raw[3*n+2]))
	}
}

func widenRGBA(dst []float64, raw []byte) {
	for n := range dst {
		dst[n] = luma(float64(raw[4*n]), float64(raw[4*n+1]), float64(raw[4*n+2]))
	}
}

// The narrow functions load eight bytes at a time: reading whole cohorts spends
// its time here and in decompression.

func narrowUint8(dst []float32, raw []byte) {
	for len(dst) >= 8 && len(raw) >= 8 {
		x, to := binary.LittleEndian.Uint64(raw), dst[:8]
		if x == 0 { // most of a mask
			clear(to)
		} else {
			to[0], to[1] = float32(uint8(x)), float32(uint8(x>>8))
			to[2], to[3] = float32(uint8(x>>16)), float32(uint8(x>>24))
			to[4], to[5] = float32(uint8(x>>32)), float32(uint8(x>>40))
			to[6], to[7] = float32(uint8(x>>48)), float32(uint8(x>>56))
		}
		dst, raw = dst[8:], raw[8:]
	}
	for n := range dst {
		dst[n] = float32(raw[n])
	}
}

func narrowInt16(dst []float32, raw []byte) {
	for len(dst) >= 4 && len(raw) >= 8 {
		x, to := binary.LittleEndian.Uint64(raw), dst[:4]
		to[0], to[1] = float32(int16(x)), float32(int16(x>>16))
		to[2], to[3] = float32(int16(x>>32)), float32(int16(x>>48))
		dst, raw = dst[4:], raw[8:]
	}
	for n := range dst {
		dst[n] = float32(int16(uint16At(raw, n)))
	}
}

func narrowUint16(dst []float32, raw []byte) {
	for len(dst) >= 4 && len(raw) >= 8 {
		x, to := binary.LittleEndian.Uint64(raw), dst[:4]
		to[0], to[1] = float32(uint16(x)), float32(uint16(x>>16))
		to[2], to[3] = float32(uint16(x>>32)), float32(uint16(x>>48))
		dst, raw = dst[4:], raw[8:]
	}
	for n := range dst {
		dst[n] = float32(uint16At(raw, n))
	}
}

func narrowFloat32(dst []float32, raw []byte) {
	for n := range dst {
		dst[n] = math.Float32frombits(uint32At(raw, n))
	}
}

// block is the number of voxels that are decoded at a time, at most.
const block = 1 << 15

// blocks calls visit with the little-endian bytes of some voxels at a time, which
// it must not change, and returns how many bytes it read.
func (d datatype) blocks(source *byteSource, voxels int, order binary.ByteOrder, visit func(raw []byte, count int)) (read int64, err error) {
	most := min(block, peekSize/d.size)
	var swapped []byte
	for done := 0; done < voxels; {
		count := min(most, voxels-done)
		raw, err := source.Peek(count * d.size)
		read += int64(len(raw))
		if err != nil {
			return read, err
		}
		if order == binary.BigEndian && d.word > 1 {
			swapped = append(swapped[:0], raw...)
			reverseBytes(swapped, d.word)
			raw = swapped
		}
		visit(raw, count)
		source.advance(count * d.size)
		done += count
	}
	return read, nil
}

// decode reads the voxels into memory that grows only with bytes that really
// came, beginning with room for expected voxels, and returns how many bytes it
// read. Scaling is computed in float64 and rounded once.
func (d datatype) decode(source *byteSource, voxels, expected int, order binary.ByteOrder, slope, inter float64) ([]float32, int64, error) {
	data := takeVoxels(min(voxels, max(expected, block)))
	unscaled := slope == 1 && inter == 0
	var values []float64
	if !unscaled || d.narrow == nil {
		values = make([]float64, min(block, voxels))
	}
	read, err := d.blocks(source, voxels, order, func(raw []byte, count int) {
		done := len(data)
		if done+count > cap(data) {
			grown := make([]float32, done, min(voxels, 2*cap(data)))
			copy(grown, data)
			data = grown
		}
		data = data[:done+count]
		if unscaled && d.narrow != nil {
			d.narrow(data[done:], raw)
			return
		}
		d.widen(values[:count], raw)
		scale(values[:count], slope, inter)
		for n, x := range values[:count] {
			data[done+n] = float32(x)
		}
	})
	if err != nil {
		return nil, read, err
	}
	return data, read, nil
}

// scan gives the scaled voxels block by block to visit.
func (d datatype) scan(source *byteSource, voxels int, order binary.ByteOrder, slope, inter float64, visit func(values []float64)) (int64, error) {
	values := make([]float64, min(block, voxels))
	return d.blocks(source, voxels, order, func(raw []byte, count int) {
		d.widen(values[:count], raw)
		scale(values[:count], slope, inter)
		visit(values[:count])
	})
}

func scale(values []float64, slope, inter float64) {
	if slope == 1 && inter == 0 {
		return
	}
	for n, x := range values {
		values[n] = float64(x*slope) + inter
	}
}

// reverseBytes turns big-endian words of the given size into little-endian.
func reverseBytes(raw []byte, word int) {
	little := binary.LittleEndian
	switch word {
	case 2:
		for ; len(raw) >= 2; raw = raw[2:] {
			little.PutUint16(raw, bits.ReverseBytes16(little.Uint16(raw)))
		}
	case 4:
		for ; len(raw) >= 4; raw = raw[4:] {
			little.PutUint32(raw, bits.ReverseBytes32(little.Uint32(raw)))
		}
	case 8:
		for ; len(raw) >= 8; raw = raw[8:] {
			little.PutUint64(raw, bits.ReverseBytes64(little.Uint64(raw)))
		}
	}
}
