package cohort

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// A datatype is one stored type of NIfTI.
type datatype struct {
	size    int // bytes per voxel
	convert func(dst []float64, raw []byte)
}

// datatypes by NIfTI code. The bytes given to convert are little-endian.
var datatypes = map[int]datatype{
	2: {1, func(dst []float64, raw []byte) { // uint8
		for n := range dst {
			dst[n] = float64(raw[n])
		}
	}},
	256: {1, func(dst []float64, raw []byte) { // int8
		for n := range dst {
			dst[n] = float64(int8(raw[n]))
		}
	}},
	4: {2, func(dst []float64, raw []byte) { // int16
		for n := range dst {
			dst[n] = float64(int16(uint16At(raw, n)))
		}
	}},
	512: {2, func(dst []float64, raw []byte) { // uint16
		for n := range dst {
			dst[n] = float64(uint16At(raw, n))
		}
	}},
	8: {4, func(dst []float64, raw []byte) { // int32
		for n := range dst {
			dst[n] = float64(int32(uint32At(raw, n)))
		}
	}},
	768: {4, func(dst []float64, raw []byte) { // uint32
		for n := range dst {
			dst[n] = float64(uint32At(raw, n))
		}
	}},
	16: {4, func(dst []float64, raw []byte) { // float32
		for n := range dst {
			dst[n] = float64(math.Float32frombits(uint32At(raw, n)))
		}
	}},
	1024: {8, func(dst []float64, raw []byte) { // int64
		for n := range dst {
			dst[n] = float64(int64(uint64At(raw, n)))
		}
	}},
	1280: {8, func(dst []float64, raw []byte) { // uint64
		for n := range dst {
			dst[n] = float64(uint64At(raw, n))
		}
	}},
	64: {8, func(dst []float64, raw []byte) { // float64
		for n := range dst {
			dst[n] = math.Float64frombits(uint64At(raw, n))
		}
	}},
}

func uint16At(raw []byte, n int) uint16 { return binary.LittleEndian.Uint16(raw[2*n:]) }
func uint32At(raw []byte, n int) uint32 { return binary.LittleEndian.Uint32(raw[4*n:]) }
func uint64At(raw []byte, n int) uint64 { return binary.LittleEndian.Uint64(raw[8*n:]) }

func datatypeOf(code int) (datatype, error) {
	if kind, ok := datatypes[code]; ok {
		return kind, nil
	}
	refused := map[int]string{
		1: "binary (one bit per voxel)", 32: "complex64", 1792: "complex128", 2048: "complex256",
		1536: "float128", 128: "RGB", 2304: "RGBA",
	}
	if name, ok := refused[code]; ok {
		return datatype{}, fmt.Errorf("%w: stored type %s; convert the image to float32", ErrUnsupported, name)
	}
	return datatype{}, fmt.Errorf("%w: unknown stored type %d", ErrHeader, code)
}

// decode reads the voxels block by block, so that memory grows only with bytes
// that really came, and returns how many bytes it read. Scaling is computed in
// float64 and rounded once.
func (d datatype) decode(r io.Reader, voxels int, order binary.ByteOrder, slope, inter float64) ([]float32, int64, error) {
	const block = 1 << 15
	data := make([]float32, 0, min(voxels, 1<<20))
	raw, values := make([]byte, block*d.size), make([]float64, block)
	var read int64
	for len(data) < voxels {
		count := min(block, voxels-len(data))
		n, err := io.ReadFull(r, raw[:count*d.size])
		read += int64(n)
		if err != nil {
			return nil, read, err
		}
		if order == binary.BigEndian {
			reverseBytes(raw[:n], d.size)
		}
		d.convert(values[:count], raw)
		if len(data)+count > cap(data) {
			grown := make([]float32, len(data), min(voxels, 2*cap(data)))
			copy(grown, data)
			data = grown
		}
		if slope == 1 && inter == 0 {
			for _, x := range values[:count] {
				data = append(data, float32(x))
			}
			continue
		}
		for _, x := range values[:count] {
			data = append(data, float32(float64(x*slope)+inter))
		}
	}
	return data, read, nil
}

// reverseBytes turns big-endian numbers of the given size into little-endian.
func reverseBytes(raw []byte, size int) {
	for start := 0; start+size <= len(raw); start += size {
		for a, b := start, start+size-1; a < b; a, b = a+1, b-1 {
			raw[a], raw[b] = raw[b], raw[a]
		}
	}
}
