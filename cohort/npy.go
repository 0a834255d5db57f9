package cohort

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An npyHeader says what a NumPy array file holds (numpy.lib.format, versions
// 1.0, 2.0 and 3.0).
type npyHeader struct {
	kind    byte // b truth value, i and u integer, f float, S bytes, U text
	size    int  // bytes of an element
	order   binary.ByteOrder
	fortran bool // the first index runs fastest instead of the last
	shape   []int
	length  int // bytes before the elements
}

const (
	npyMagic     = "\x93NUMPY"
	maxNPYHeader = 1 << 20 // bytes of text; NumPy itself refuses more than 10,000
	maxNPYAxes   = 32      // as in NumPy 1
)

// readNPYHeader reads up to the first element.
func readNPYHeader(r io.Reader) (h npyHeader, err error) {
	start := make([]byte, 8)
	if _, err := io.ReadFull(r, start); err != nil {
		return h, fmt.Errorf("%w: no header of an array", ErrTruncated)
	}
	if string(start[:6]) != npyMagic {
		return h, fmt.Errorf("%w: not a NumPy array", ErrFormat)
	}
	major := start[6]
	width := map[byte]int{1: 2, 2: 4, 3: 4}[major]
	if width == 0 {
		return h, fmt.Errorf("%w: NumPy array format %d.%d", ErrUnsupported, major, start[7])
	}
	lengths := make([]byte, 4)
	if _, err := io.ReadFull(r, lengths[:width]); err != nil {
		return h, fmt.Errorf("%w: no header of an array", ErrTruncated)
	}
	length := binary.LittleEndian.Uint32(lengths)
	if length > maxNPYHeader {
		return h, fmt.Errorf("%w: a NumPy header of %d bytes", ErrHeader, length)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return h, fmt.Errorf("%w: within the header of an array", ErrTruncated)
	}
	h.length = 8 + width + int(length)
	return h, h.parse(string(text))
}

// parse reads the Python literal {'descr': '<f4', 'fortran_order': False,
// 'shape': (3, 4)}.
func (h *npyHeader) parse(text string) error {
	p := literal{rest: text}
	seen := map[string]bool{}
	p.expect("{")
	for !p.failed && !p.accept("}") {
		key := p.text()
		p.expect(":")
		if seen[key] {
			return fmt.Errorf("%w: the NumPy header has %q twice", ErrHeader, key)
		}
		seen[key] = true
		switch key {
		case "descr":
			if p.peek("[") || p.peek("(") {
				return fmt.Errorf("%w: an array of records; save its fields as arrays of their own", ErrUnsupported)
			}
			descr := p.text()
			if p.failed {
				break
			}
			if err := h.describe(descr); err != nil {
				return err
			}
		case "fortran_order":
			h.fortran = p.truth()
		case "shape":
			h.shape = p.tuple()
		default:
			p.failed = true
		}
		if !p.accept(",") && !p.peek("}") {
			p.failed = true
		}
	}
	if p.failed || strings.TrimSpace(p.rest) != "" || len(seen) != 3 {
		return fmt.Errorf("%w: the NumPy header does not read as descr, fortran_order and shape", ErrHeader)
	}
	if _, ok := h.elements(); !ok {
		return fmt.Errorf("%w: NumPy array of shape %v", ErrHeader, h.shape)
	}
	return nil
}

// describe reads a data type such as "<f4", "|u1", ">i2", "<U12".
func (h *npyHeader) describe(descr string) error {
	if strings.TrimLeft(descr, "|") == "O" {
		return fmt.Errorf("%w: an array of Python objects, which only Python reads; save it as numbers or text (dtype=float, dtype=str)", ErrUnsupported)
	}
	if len(descr) < 3 || !strings.Contains("<>|=", descr[:1]) {
		return fmt.Errorf("%w: NumPy data type %q", ErrHeader, descr)
	}
	size, err := strconv.Atoi(descr[2:])
	if descr[1] == 'M' || descr[1] == 'm' {
		return fmt.Errorf("%w: NumPy data type %q, times", ErrUnsupported, descr)
	}
	if err != nil || size < 0 || size > 1<<20 {
		return fmt.Errorf("%w: NumPy data type %q", ErrHeader, descr)
	}
	h.kind, h.size, h.order = descr[1], size, binary.LittleEndian
	if descr[0] == '>' {
		h.order = binary.BigEndian
	}
	known := map[byte]string{'b': " 1", 'i': " 1 2 4 8", 'u': " 1 2 4 8", 'f': " 2 4 8"}[h.kind]
	switch {
	case h.kind == 'U':
		h.size *= 4 // UTF-32
	case h.kind == 'S':
	case known == "" || !strings.Contains(known+" ", fmt.Sprintf(" %d ", size)):
		return fmt.Errorf("%w: NumPy data type %q; save it as float32 or integers", ErrUnsupported, descr)
	}
	return nil
}

// elements is the product of the shape; false when it is no number of elements.
func (h *npyHeader) elements() (int, bool) {
	if len(h.shape) > maxNPYAxes {
		return 0, false
	}
	n := 1
	for _, size := range h.shape {
		if size < 0 || size > 0 && n > math.MaxInt/size/max(1, h.size) {
			return 0, false
		}
		n *= size
	}
	return n, true
}

// number returns element data[:size] as a float64.
func (h *npyHeader) number(data []byte) float64 {
	switch h.kind {
	case 'f':
		switch h.size {
		case 2:
			return float64(halfFloat(h.order.Uint16(data)))
		case 4:
			return float64(math.Float32frombits(h.order.Uint32(data)))
		}
		return math.Float64frombits(h.order.Uint64(data))
	case 'i':
		switch h.size {
		case 1:
			return float64(int8(data[0]))
		case 2:
			return float64(int16(h.order.Uint16(data)))
		case 4:
			return float64(int32(h.order.Uint32(data)))
		}
		return float64(int64(h.order.Uint64(data)))
	}
	switch h.size {
	case 1:
		return float64(data[0])
	case 2:
		return float64(h.order.Uint16(data))
	case 4:
		return float64(h.order.Uint32(data))
	}
	return float64(h.order.Uint64(data))
}

// text returns an element as text: a number in decimal, NaN as "".
func (h *npyHeader) text(data []byte) string {
	switch h.kind {
	case 'S':
		return strings.TrimSpace(strings.ToValidUTF8(string(bytes.TrimRight(data[:h.size], "\x00")), "�"))
	case 'U':
		var text []byte
		for n := 0; n+4 <= h.size; n += 4 {
			r := rune(h.order.Uint32(data[n:]))
			if r == 0 {
				break
			}
			text = utf8.AppendRune(text, r)
		}
		return strings.TrimSpace(string(text))
	case 'i':
		if h.size == 8 { // beyond 2^53 a float64 is not exact
			return strconv.FormatInt(int64(h.order.Uint64(data)), 10)
		}
	case 'u':
		if h.size == 8 {
			return strconv.FormatUint(h.order.Uint64(data), 10)
		}
	}
	x := h.number(data)
	if math.IsNaN(x) {
		return ""
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// halfFloat widens an IEEE 754 binary16 number.
func halfFloat(bits uint16) float32 {
	sign, exponent, fraction := uint32(bits>>15)<<31, int(bits>>10&31), uint32(bits&1023)
	switch {
	case exponent == 31: // infinite or NaN
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	case exponent == 0: // fraction · 2^-24, exact in float32
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)/(1<<24)))
	}
	return math.Float32frombits(sign | uint32(exponent+127-15)<<23 | fraction<<13)
}

// A literal is a Python literal that is read from the front.
type literal struct {
	rest   string
	failed bool
}

func (p *literal) skip() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

func (p *literal) peek(token string) bool {
	p.skip()
	return strings.HasPrefix(p.rest, token)
}

func (p *literal) accept(token string) bool {
	found := p.peek(token)
	if found {
		p.rest = p.rest[len(token):]
	}
	return found
}

func (p *literal) expect(token string) {
	if !p.accept(token) {
		p.failed = true
	}
}

// text reads 'abc' or "abc" without escapes.
func (p *literal) text() string {
	p.skip()
	if p.failed || p.rest == "" || p.rest[0] != '\'' && p.rest[0] != '"' {
		p.failed = true
		return ""
	}
	text, rest, closed := strings.Cut(p.rest[1:], p.rest[:1])
	if !closed || strings.ContainsAny(text, "\\\n") {
		p.failed = true
	}
	p.rest = rest
	return text
}

func (p *literal) truth() bool {
	if p.accept("True") {
		return true
	}
	p.expect("False")
	return false
}

// tuple reads (3, 4), (3,) or (); a number may end in L, as Python 2 wrote it.
func (p *literal) tuple() []int {
	shape := []int{}
	p.expect("(")
	for !p.failed && !p.accept(")") {
		p.skip()
		digits := 0
		for digits < len(p.rest) && p.rest[digits] >= '0' && p.rest[digits] <= '9' {
			digits++
		}
		n, err := strconv.Atoi(p.rest[:digits])
		if err != nil || len(shape) >= maxNPYAxes {
			p.failed = true
			return nil
		}
		shape = append(shape, n)
		p.rest = p.rest[digits:]
		p.accept("L")
		if !p.accept(",") && !p.peek(")") {
			p.failed = true
		}
	}
	return shape
}

// volume makes an image of the elements. The shape is [rows, columns] or
// [slices, rows, columns], with 3 at the end for colours, which become luminance
// as in a PNG, or one of which (0 red, 1 green, 2 blue) is chosen; channel -1
// chooses none. Axes of length 1 do not count. An array says nothing of
// anatomy: it is placed like a picture, slices towards superior.
func (h *npyHeader) volume(data []byte, channel int) (*Volume, error) {
	shape, strides, err := h.grid()
	if err != nil {
		return nil, err
	}
	colours := len(shape) > 2 && shape[len(shape)-1] == 3
	if channel >= 0 && (!colours || channel > 2) {
		return nil, fmt.Errorf("%w: the array of shape %v has no colour %d", ErrUnsupported, h.shape, channel)
	}
	colour := 0
	if colours {
		colour = strides[len(strides)-1]
		shape, strides = shape[:len(shape)-1], strides[:len(strides)-1]
	}
	if len(shape) < 2 || len(shape) > 3 {
		return nil, fmt.Errorf("%w: an array of shape %v is no image; it takes [rows, columns] or [slices, rows, columns]", ErrUnsupported, h.shape)
	}
	for len(shape) < 3 {
		shape, strides = append([]int{1}, shape...), append([]int{0}, strides...)
	}
	v := &Volume{
		Shape:   [3]int{shape[2], shape[1], shape[0]},
		Affine:  [3][4]float64{{-1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, 1, 0}},
		Spacing: [3]float64{1, 1, 1},
		Data:    make([]float32, 0, shape[0]*shape[1]*shape[2]),
	}
	element := func(at int) float64 { return h.number(data[at*h.size:]) }
	for k := range shape[0] {
		for j := range shape[1] {
			for i := range shape[2] {
				at := k*strides[0] + j*strides[1] + i*strides[2]
				switch {
				case !colours:
					v.Data = append(v.Data, float32(element(at)))
				case channel >= 0:
					v.Data = append(v.Data, float32(element(at+channel*colour)))
				default:
					v.Data = append(v.Data, float32(luma(element(at), element(at+colour), element(at+2*colour))))
				}
			}
		}
	}
	return v, nil
}

// grid returns the axes longer than 1 (at least two) and their strides in elements.
func (h *npyHeader) grid() (shape, strides []int, err error) {
	if h.kind == 'S' || h.kind == 'U' {
		return nil, nil, fmt.Errorf("%w: an array of text is no image", ErrUnsupported)
	}
	all := make([]int, len(h.shape))
	stride := 1
	for n := range all {
		axis := len(all) - 1 - n
		if h.fortran {
			axis = n
		}
		all[axis] = stride
		stride *= h.shape[axis]
	}
	if stride < 1 || stride > maxVoxels {
		return nil, nil, fmt.Errorf("%w: an image of shape %v", ErrUnsupported, h.shape)
	}
	for axis, size := range h.shape {
		// Axes of one voxel count only where the image would else be a line.
		if size > 1 || len(h.shape)-axis <= 2-len(shape) {
			shape, strides = append(shape, size), append(strides, all[axis])
		}
	}
	return shape, strides, nil
}

// An arrayFile is one image of an array that has been read.
type arrayFile struct {
	header  npyHeader
	data    []byte // the image's elements
	channel int    // 0 red, 1 green, 2 blue, or -1
}

// openNPY reads a file of one array, which is one image.
func openNPY(source *byteSource) (imageFile, error) {
	h, err := readNPYHeader(source)
	if err != nil {
		return nil, err
	}
	if _, _, err := h.grid(); err != nil {
		return nil, err
	}
	n, _ := h.elements()
	if err := source.mustHold(int64(n) * int64(h.size)); err != nil {
		return nil, err
	}
	data := make([]byte, n*h.size)
	if read, err := io.ReadFull(source, data); err != nil {
		return nil, fmt.Errorf("%w: %d of %d bytes", ErrTruncated, h.length+read, h.length+len(data))
	}
	return &arrayFile{h, data, -1}, source.Close()
}

func (f *arrayFile) read(index int) (*Volume, error) {
	if _, err := chooseVolume(fmt.Sprintf("an array of shape %v", f.header.shape), 1, index); err != nil {
		return nil, err
	}
	v, err := f.header.volume(f.data, f.channel)
	if err == nil {
		v.replaceNonFinite()
	}
	return v, err
}

func (f *arrayFile) readDescribed(index int) (*Volume, *Description, error) {
	v, err := f.read(index)
	if err != nil {
		return nil, nil, err
	}
	d := &Description{
		Format: "NumPy array", Dtype: f.header.dtype(), Shape: v.Shape[:], Scaling: Scaling{1, 0}, Volumes: 1,
	}
	if f.header.size > 1 {
		d.ByteOrder = map[bool]string{true: "big", false: "little"}[f.header.order == binary.BigEndian]
	}
	d.locate(v.Affine)
	d.note(LevelInfo, "rows are taken to run towards the patient's left, columns towards posterior and slices towards superior, 1 mm apart", "an array says nothing of anatomy")
	if shape, _, err := f.header.grid(); err == nil && shape[len(shape)-1] == 3 && len(shape) > 2 && f.channel < 0 {
		d.note(LevelInfo, "read as luminance, 0.299 R + 0.587 G + 0.114 B", "the last axis of 3 holds colours")
	}
	return v, d, nil
}

func (f *arrayFile) describe(index int) (*Description, error) {
	v, d, err := f.readDescribed(index)
	if err != nil {
		return nil, err
	}
	var m moments
	m.addNarrow(v.Data)
	m.count, m.nonFinite = m.count-v.NonFinite, v.NonFinite
	m.fill(d)
	return d, nil
}

func (f *arrayFile) Close() error { return nil }

// dtype is NumPy's name of the data type.
func (h *npyHeader) dtype() string {
	switch h.kind {
	case 'b':
		return "bool"
	case 'i', 'u', 'f':
		return fmt.Sprintf("%s%d", map[byte]string{'i': "int", 'u': "uint", 'f': "float"}[h.kind], 8*h.size)
	}
	return "text"
}
