package cohort

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
)

// niftiHeader is what the reader needs of a NIfTI-1 or NIfTI-2 header.
type niftiHeader struct {
	order        binary.ByteOrder
	size         int  // of the header: 348 or 540 bytes
	single       bool // voxels follow in the same file
	dim          [8]int64
	datatype     int
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
	h.datatype = int(order.Uint16(raw[70:]))
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
	h.datatype = int(order.Uint16(raw[12:]))
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

// shape returns the voxels along i, j, k and their number. A file of several
// volumes is refused, because which of them to use is the user's decision.
func (h *niftiHeader) shape() (shape [3]int, voxels int, err error) {
	if h.dim[0] < 1 || h.dim[0] > 7 {
		return shape, 0, fmt.Errorf("%w: %d dimensions", ErrHeader, h.dim[0])
	}
	sizes := make([]int, h.dim[0])
	for n := range sizes {
		size := h.dim[n+1]
		if size < 1 || size > maxVoxels {
			return shape, 0, fmt.Errorf("%w: %d voxels along axis %d", ErrHeader, size, n+1)
		}
		sizes[n] = int(size)
	}
	if len(sizes) == 1 {
		return shape, 0, fmt.Errorf("%w: one-dimensional, of %d values", ErrUnsupported, sizes[0])
	}
	for _, size := range sizes[min(3, len(sizes)):] {
		if size > 1 {
			return shape, 0, fmt.Errorf("%w: shape %s has more than three dimensions; write the one volume to use to its own file", ErrUnsupported, product(sizes))
		}
	}
	shape, voxels = [3]int{1, 1, 1}, 1
	for axis := range min(3, len(sizes)) {
		shape[axis] = sizes[axis]
		if shape[axis] > maxVoxels/voxels {
			return shape, 0, fmt.Errorf("%w: shape %s is more than ballast reads (%d voxels)", ErrUnsupported, product(sizes), maxVoxels)
		}
		voxels *= shape[axis]
	}
	return shape, voxels, nil
}

// affine follows nibabel: the sform when its code is above 0, else the qform,
// else the voxel size with i towards the left and the origin in the middle.
// Unlike nibabel it applies xyzt_units, so that the result is in mm. A voxel
// size of 0 becomes 1 and a negative one positive (nibabel's header check).
func (h *niftiHeader) affine(shape [3]int) (affine [3][4]float64, err error) {
	var spacing [3]float64
	for axis := range 3 {
		spacing[axis] = math.Abs(h.pixdim[axis+1])
		if spacing[axis] == 0 || axis >= int(h.dim[0]) && shape[axis] == 1 {
			spacing[axis] = 1
		}
	}
	qfac := 1.0
	if h.pixdim[0] == -1 {
		qfac = -1
	}
	switch {
	case h.sformCode > 0:
		affine = h.sform
		fillThinColumn(&affine, shape)
	case h.qformCode > 0:
		q := h.quaternion
		if affine, err = fromQuaternion(q[0], q[1], q[2], h.qoffset, spacing, qfac); err != nil {
			return affine, err
		}
	default:
		for axis := range 3 {
			if axis == 0 {
				spacing[0] = -spacing[0]
			}
			affine[axis][axis] = spacing[axis]
			affine[axis][3] = -spacing[axis] * float64(shape[axis]-1) / 2
		}
	}
	if scale := map[int]float64{1: 1000, 3: 0.001}[h.unit]; scale != 0 { // metres, micrometres
		for row := range 3 {
			for column := range 4 {
				affine[row][column] *= scale
			}
		}
	}
	return affine, checkAffine(affine)
}

// fillThinColumn gives a 2D image whose sform says nothing of the third axis
// the normal of its plane, one mm thick.
func fillThinColumn(affine *[3][4]float64, shape [3]int) {
	if shape[2] != 1 || spacingOf(*affine)[2] != 0 {
		return
	}
	var normal [3]float64
	for r := range 3 {
		r1, r2 := (r+1)%3, (r+2)%3
		normal[r] = minor(affine[r1][0], affine[r2][1], affine[r2][0], affine[r1][1])
	}
	length := math.Sqrt(float64(normal[0]*normal[0]) + float64(normal[1]*normal[1]) + float64(normal[2]*normal[2]))
	for r := range 3 {
		affine[r][2] = normal[r] / length
	}
}

// scaling returns slope and intercept; as in nibabel a slope that is 0 or not
// finite means that the numbers are stored unscaled.
func (h *niftiHeader) scaling() (slope, inter float64, err error) {
	if h.slope == 0 || h.slope-h.slope != 0 {
		return 1, 0, nil
	}
	if h.inter-h.inter != 0 {
		return 0, 0, fmt.Errorf("%w: scl_slope is %g but scl_inter is %g", ErrHeader, h.slope, h.inter)
	}
	return h.slope, h.inter, nil
}

// dataOffset returns where the voxels start in the file that holds them.
func (h *niftiHeader) dataOffset() (int64, error) {
	first := float64(h.size + 4)
	if !h.single {
		first = 0
	}
	if h.offset == 0 {
		return int64(first), nil
	}
	if !(h.offset >= first && h.offset <= 1<<40) || h.offset != math.Floor(h.offset) {
		return 0, fmt.Errorf("%w: voxels would start at byte %g", ErrHeader, h.offset)
	}
	return int64(h.offset), nil
}

// byteSource reads a file, decompressing it when it is gzip, and bounds how
// many bytes it can hold.
type byteSource struct {
	io.Reader
	limit      int64 // no more bytes than this can come
	compressed bool
}

func openBytes(file io.Reader, size int64) (*byteSource, error) {
	buffered := bufio.NewReaderSize(file, 1<<16)
	start, _ := buffered.Peek(2)
	if len(start) < 2 || start[0] != 0x1f || start[1] != 0x8b {
		return &byteSource{Reader: buffered, limit: size}, nil
	}
	r, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, fmt.Errorf("%w: gzip header: %w", ErrFormat, err)
	}
	// Deflate shrinks at most 1032-fold.
	return &byteSource{Reader: r, limit: 1032 * size, compressed: true}, nil
}

// readNIfTI reads header and voxels from the opened file of the given size.
func readNIfTI(file io.Reader, size int64, path string) (*Volume, error) {
	if strings.HasSuffix(strings.ToLower(path), ".img") {
		return nil, fmt.Errorf("%w: name the .hdr file of the pair instead", ErrUnsupported)
	}
	source, err := openBytes(file, size)
	if err != nil {
		return nil, err
	}
	raw, err := readHeader(source)
	if err != nil {
		return nil, err
	}
	h, err := parseNIfTIHeader(raw)
	if err != nil {
		return nil, err
	}
	if !h.single {
		return readPair(h, path)
	}
	return h.readVoxels(source, int64(len(raw)))
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

// readPair reads the voxels of a .hdr file from the .img (or .img.gz) beside it.
func readPair(h *niftiHeader, path string) (*Volume, error) {
	lower := strings.ToLower(path)
	stem := path
	for _, suffix := range []string{".gz", ".hdr"} {
		if strings.HasSuffix(lower, suffix) {
			stem, lower = stem[:len(stem)-len(suffix)], lower[:len(lower)-len(suffix)]
		}
	}
	var file *os.File
	var err error
	for _, suffix := range []string{".img", ".img.gz"} {
		if file, err = os.Open(stem + suffix); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the voxels should be in %s.img: %w", ErrUnsupported, stem, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	source, err := openBytes(file, info.Size())
	if err != nil {
		return nil, err
	}
	return h.readVoxels(source, 0)
}

// readVoxels reads what follows byte position of the source.
func (h *niftiHeader) readVoxels(source *byteSource, position int64) (*Volume, error) {
	shape, voxels, err := h.shape()
	if err != nil {
		return nil, err
	}
	kind, err := datatypeOf(h.datatype)
	if err != nil {
		return nil, err
	}
	slope, inter, err := h.scaling()
	if err != nil {
		return nil, err
	}
	affine, err := h.affine(shape)
	if err != nil {
		return nil, err
	}
	start, err := h.dataOffset()
	if err != nil {
		return nil, err
	}
	end := start + int64(voxels)*int64(kind.size)
	if source.limit < end {
		if source.compressed {
			return nil, fmt.Errorf("%w: so small a gzip file cannot hold the %d bytes that its header announces", ErrTruncated, end)
		}
		return nil, fmt.Errorf("%w: %d of %d bytes", ErrTruncated, source.limit, end)
	}
	skipped, err := io.CopyN(io.Discard, source, start-position)
	if err != nil {
		return nil, truncation(err, position+skipped, end)
	}
	data, read, err := kind.decode(source, voxels, h.order, slope, inter)
	if err != nil {
		return nil, truncation(err, start+read, end)
	}
	if err := source.finish(); err != nil {
		return nil, err
	}
	return &Volume{Data: data, Shape: shape, Affine: affine, Spacing: spacingOf(affine)}, nil
}

// finish reads up to 64 KiB behind the voxels, so that gzip compares its
// checksum when nothing else follows.
func (s *byteSource) finish() error {
	if !s.compressed {
		return nil
	}
	if _, err := io.CopyN(io.Discard, s, 1<<16); err != nil && err != io.EOF {
		return fmt.Errorf("%w: behind the voxels: %w", ErrTruncated, err)
	}
	return nil
}

func truncation(err error, have, want int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %d of %d bytes", ErrTruncated, have, want)
	}
	return fmt.Errorf("%w: after %d of %d bytes: %w", ErrTruncated, have, want, err)
}
