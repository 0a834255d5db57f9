package cohort

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// niftiHeader is what the reader needs of a NIfTI-1 or NIfTI-2 header.
type niftiHeader struct {
	order        binary.ByteOrder
	size         int  // of the header: 348 or 540 bytes
	single       bool // voxels follow in the same file
	dim          [8]int64
	datatype     int
	bitpix       int
	pixdim       [8]float64
	offset       float64 // vox_offset
	slope, inter float64
	qformCode    int
	sformCode    int
	quaternion   [3]float64
	qoffset      [3]float64
	sform        [3][4]float64
	unit         int // spatial part of xyzt_units
}

// parseNIfTIHeader reads the fixed fields; raw holds as many bytes as its first
// field says.
func parseNIfTIHeader(raw []byte) (*niftiHeader, error) {
	order, size, err := headerSize(raw)
	if err != nil {
		return nil, err
	}
	if size == 540 {
		return parseNIfTI2(raw, order)
	}
	return parseNIfTI1(raw, order)
}

// headerSize tells byte order and version by the first field, sizeof_hdr, alone.
func headerSize(raw []byte) (binary.ByteOrder, int, error) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if size := order.Uint32(raw); size == 348 || size == 540 {
			return order, int(size), nil
		}
	}
	return nil, 0, fmt.Errorf("%w: the first four bytes are neither 348 nor 540 in either byte order", ErrFormat)
}

// parseNIfTI1 follows nifti1.h (field name, byte offset there).
func parseNIfTI1(raw []byte, order binary.ByteOrder) (*niftiHeader, error) {
	h := &niftiHeader{order: order, size: 348}
	switch magic := string(raw[344:348]); magic {
	case "n+1\x00":
		h.single = true
	case "ni1\x00":
	case "\x00\x00\x00\x00":
		return nil, fmt.Errorf("%w: an ANALYZE 7.5 header, which does not say left from right; convert it to NIfTI", ErrUnsupported)
	default:
		return nil, fmt.Errorf("%w: magic %q is not that of NIfTI-1", ErrFormat, magic)
	}
	float := func(at int) float64 { return float64(math.Float32frombits(order.Uint32(raw[at:]))) }
	for n := range 8 {
		h.dim[n] = int64(int16(order.Uint16(raw[40+2*n:])))
		h.pixdim[n] = float(76 + 4*n)
	}
	h.datatype, h.bitpix = int(order.Uint16(raw[70:])), int(order.Uint16(raw[72:]))
	h.offset, h.slope, h.inter = float(108), float(112), float(116)
	h.unit = int(raw[123] & 7)
	h.qformCode, h.sformCode = int(int16(order.Uint16(raw[252:]))), int(int16(order.Uint16(raw[254:])))
	for n := range 3 {
		h.quaternion[n], h.qoffset[n] = float(256+4*n), float(268+4*n)
		for column := range 4 {
			h.sform[n][column] = float(280 + 16*n + 4*column)
		}
	}
	return h, nil
}

// parseNIfTI2 follows nifti2.h.
func parseNIfTI2(raw []byte, order binary.ByteOrder) (*niftiHeader, error) {
	h := &niftiHeader{order: order, size: 540}
	switch magic := string(raw[4:12]); magic {
	case "n+2\x00\r\n\x1a\n":
		h.single = true
	case "ni2\x00\r\n\x1a\n":
	default:
		return nil, fmt.Errorf("%w: magic %q is not that of NIfTI-2", ErrFormat, magic)
	}
	float := func(at int) float64 { return math.Float64frombits(order.Uint64(raw[at:])) }
	h.datatype, h.bitpix = int(order.Uint16(raw[12:])), int(order.Uint16(raw[14:]))
	for n := range 8 {
		h.dim[n] = int64(order.Uint64(raw[16+8*n:]))
		h.pixdim[n] = float(104 + 8*n)
	}
	h.offset, h.slope, h.inter = float64(int64(order.Uint64(raw[168:]))), float(176), float(184)
	h.qformCode, h.sformCode = int(int32(order.Uint32(raw[344:]))), int(int32(order.Uint32(raw[348:])))
	for n := range 3 {
		h.quaternion[n], h.qoffset[n] = float(352+8*n), float(376+8*n)
		for column := range 4 {
			h.sform[n][column] = float(400 + 32*n + 8*column)
		}
	}
	h.unit = int(order.Uint32(raw[500:]) & 7)
	return h, nil
}

// readHeader returns the bytes of the fixed fields.
func readHeader(source io.Reader) ([]byte, error) {
	raw := make([]byte, 540)
	if n, err := io.ReadFull(source, raw[:4]); err != nil {
		return nil, fmt.Errorf("%w: only %d bytes (%w)", ErrFormat, n, err)
	}
	_, size, err := headerSize(raw)
	if err != nil {
		return nil, err
	}
	if n, err := io.ReadFull(source, raw[4:size]); err != nil {
		return nil, truncation(err, int64(4+n), int64(size))
	}
	return raw[:size], nil
}
