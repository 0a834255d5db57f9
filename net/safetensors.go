package net

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// ErrSafetensors is wrapped by the errors of ReadSafetensors and WriteSafetensors
// for contents that are not valid.
var ErrSafetensors = errors.New("invalid safetensors")

// maxHeader is the largest header that the format allows.
const maxHeader = 100_000_000

// metadataKey is the entry of the header that holds strings.
const metadataKey = "__metadata__"

// A tensorHeader is one entry of the header of a safetensors file.
type tensorHeader struct {
	DType   string    `json:"dtype"`
	Shape   []int64   `json:"shape"`
	Offsets [2]uint64 `json:"data_offsets"` // first byte, one past the last, after the header
}

// WriteSafetensors writes the tensors as float32 in the given order, in the
// format of https://github.com/huggingface/safetensors: the header's length (8
// bytes, little endian), the header (JSON, padded with spaces to a multiple of
// 8), the values. The same input gives the same bytes.
func WriteSafetensors(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	header, err := safetensorsHeader(tensors, metadata)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("write safetensors header: %w", err)
	}
	buffer := make([]byte, 1<<14)
	for _, t := range tensors {
		if err := writeValues(w, t.Data, buffer); err != nil {
			return fmt.Errorf("write tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// writeValues writes values as little-endian float32, by way of the buffer.
func writeValues(w io.Writer, values []float32, buffer []byte) error {
	for len(values) > 0 {
		part := buffer[:0]
		for _, v := range values[:min(len(values), len(buffer)/4)] {
			part = binary.LittleEndian.AppendUint32(part, math.Float32bits(v))
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
		values = values[len(part)/4:]
	}
	return nil
}

func safetensorsHeader(tensors []Tensor, metadata map[string]string) ([]byte, error) {
	var text bytes.Buffer
	text.WriteByte('{')
	put := func(name string, value any) error {
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		encoded, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if text.Len() > 1 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, "%s:%s", key, encoded)
		return nil
	}
	if len(metadata) > 0 {
		if err := put(metadataKey, metadata); err != nil {
			return nil, err
		}
	}
	offset, seen := uint64(0), map[string]bool{metadataKey: true}
	for _, t := range tensors {
		if seen[t.Name] || volume(t.Shape) != len(t.Data) {
			return nil, fmt.Errorf("write tensor %q: name taken, or %d values for shape %v: %w", t.Name, len(t.Data), t.Shape, ErrSafetensors)
		}
		seen[t.Name] = true
		entry := tensorHeader{DType: "F32", Shape: []int64{}, Offsets: [2]uint64{offset, offset + 4*uint64(len(t.Data))}}
		for _, size := range t.Shape {
			entry.Shape = append(entry.Shape, int64(size))
		}
		offset = entry.Offsets[1]
		if err := put(t.Name, entry); err != nil {
			return nil, err
		}
	}
	text.WriteByte('}')
	for text.Len()%8 != 0 {
		text.WriteByte(' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(text.Len())), text.Bytes()...), nil
}

// ReadSafetensors reads a file of the given size with tensors of floating-point
// numbers, in the order of their data, and its metadata. F16 and BF16 are widened
// to float32, F64 is rounded to it; other types are refused. It trusts no length
// before it is held against the size. The error wraps ErrSafetensors unless reading
// itself fails.
func ReadSafetensors(r io.ReaderAt, size int64) ([]Tensor, map[string]string, error) {
	tensors, others, metadata, err := ReadAnySafetensors(r, size)
	if err == nil && len(others) > 0 {
		return nil, nil, invalid("tensor %q holds %s; only %s are read", others[0].Name, others[0].DType, strings.Join(floatTypes(), ", "))
	}
	return tensors, metadata, err
}

// A Skipped tensor is one of a type that is not read, such as I64.
type Skipped struct{ Name, DType string }

// ReadAnySafetensors reads a file of any program: tensors that do not hold floating-point
// numbers, such as batch-norm counters, are skipped and listed.
func ReadAnySafetensors(r io.ReaderAt, size int64) ([]Tensor, []Skipped, map[string]string, error) {
	entries, metadata, start, err := readHeader(r, size)
	if err != nil {
		return nil, nil, nil, err
	}
	var tensors []Tensor
	var skipped []Skipped
	for _, e := range entries {
		width, known := tensorBytes[e.DType]
		if !known {
			return nil, nil, nil, invalid("tensor %q holds %q, which is no type of the format", e.name, e.DType)
		}
		t, err := e.tensor(width)
		if err != nil {
			return nil, nil, nil, err
		}
		convert := floats[e.DType]
		if convert == nil {
			skipped = append(skipped, Skipped{e.name, e.DType})
			continue
		}
		t.Data = make([]float32, volume(t.Shape))
		data := io.NewSectionReader(r, start+int64(e.Offsets[0]), int64(e.Offsets[1]-e.Offsets[0]))
		if err := readValues(data, width, convert, t.Data); err != nil {
			return nil, nil, nil, fmt.Errorf("read tensor %q: %w", t.Name, err)
		}
		tensors = append(tensors, t)
	}
	return tensors, skipped, metadata, nil
}

// readHeader returns the entries in the order of their data, and where that starts.
func readHeader(r io.ReaderAt, size int64) (entries []described, metadata map[string]string, start int64, err error) {
	if size < 8 {
		return nil, nil, 0, invalid("%d bytes; the header's length alone takes 8", size)
	}
	var prefix [8]byte
	if _, err := r.ReadAt(prefix[:], 0); err != nil {
		return nil, nil, 0, fmt.Errorf("read safetensors header: %w", err)
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > maxHeader || length > uint64(size-8) {
		return nil, nil, 0, invalid("header of %d bytes in a file of %d", length, size)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(io.NewSectionReader(r, 8, int64(length)), text); err != nil {
		return nil, nil, 0, fmt.Errorf("read safetensors header: %w", err)
	}
	entries, metadata, err = parseHeader(text, uint64(size)-8-length)
	return entries, metadata, 8 + int64(length), err
}

func invalid(format string, values ...any) error {
	return fmt.Errorf("%w: %s", ErrSafetensors, fmt.Sprintf(format, values...))
}

// A described tensor is an entry of the header with its name.
type described struct {
	name string
	tensorHeader
}

// parseHeader returns the entries in the order of their data, which must fill the
// file without gap or overlap.
func parseHeader(text []byte, dataSize uint64) ([]described, map[string]string, error) {
	entries, metadata, err := decodeHeader(text)
	if err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(entries, func(a, b described) int {
		return slices.Compare(a.Offsets[:], b.Offsets[:])
	})
	end := uint64(0)
	for _, e := range entries {
		if e.Offsets[0] != end || e.Offsets[1] < end || e.Offsets[1] > dataSize {
			return nil, nil, invalid("tensor %q lies at bytes %d to %d; expected to start at %d and to end within %d",
				e.name, e.Offsets[0], e.Offsets[1], end, dataSize)
		}
		end = e.Offsets[1]
	}
	if end != dataSize {
		return nil, nil, invalid("%d bytes of data, tensors take %d", dataSize, end)
	}
	return entries, metadata, nil
}

// decodeHeader reads the JSON object entry by entry, so that a name that occurs
// twice is noticed.
func decodeHeader(text []byte) (entries []described, metadata map[string]string, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, nil, invalid("header is not a JSON object")
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, nil, invalid("header: %v", err)
		}
		name := token.(string) // a key of an object
		if seen[name] {
			return nil, nil, invalid("%q occurs twice", name)
		}
		seen[name] = true
		if name == metadataKey {
			err = decoder.Decode(&metadata)
		} else {
			e := described{name: name}
			err = decoder.Decode(&e.tensorHeader)
			entries = append(entries, e)
		}
		if err != nil {
			return nil, nil, invalid("entry %q: %v", name, err)
		}
	}
	if _, err := decoder.Token(); err != nil {
		return nil, nil, invalid("header: %v", err)
	}
	if rest := bytes.TrimLeft(text[decoder.InputOffset():], " "); len(rest) > 0 {
		return nil, nil, invalid("%d bytes after the header's object", len(rest))
	}
	return entries, metadata, nil
}

// tensor returns the tensor without values. Its offsets lie within the file.
func (d described) tensor(width uint64) (Tensor, error) {
	bytes := d.Offsets[1] - d.Offsets[0]
	product := uint64(1)
	shape := make([]int, len(d.Shape))
	for i, size := range d.Shape {
		if size < 0 || size > 0 && product > math.MaxInt64/uint64(size) {
			return Tensor{}, invalid("tensor %q has shape %v", d.name, d.Shape)
		}
		product *= uint64(size)
		shape[i] = int(size)
	}
	if product != bytes/width || bytes%width != 0 {
		return Tensor{}, invalid("tensor %q of shape %v lies in %d bytes", d.name, d.Shape, bytes)
	}
	return Tensor{Name: d.name, Shape: shape}, nil
}

// tensorBytes is the width of an element of each type of the format.
var tensorBytes = map[string]uint64{
	"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
	"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1, "C64": 8,
}

// floats are the types that are read, and how one little-endian element becomes
// a float32.
var floats = map[string]func([]byte) float32{
	"F32":  func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) },
	"F64":  func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) },
	"BF16": func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) },
	"F16":  func(b []byte) float32 { return halfFloat(binary.LittleEndian.Uint16(b)) },
}

func floatTypes() []string { return slices.Sorted(maps.Keys(floats)) }

// halfFloat widens an IEEE 754 binary16: a sign, 5 bits of exponent and 10 of
// fraction. Every such number is a float32.
func halfFloat(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0: // zero, or subnormal: a multiple of 2^-24
		small := float32(fraction) / (1 << 24)
		return math.Float32frombits(sign | math.Float32bits(small))
	case 0x1f: // infinite or not a number
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent-15+127)<<23 | fraction<<13)
}

// readValues fills values from elements of that many bytes.
func readValues(r io.Reader, width uint64, convert func([]byte) float32, values []float32) error {
	var buffer [1 << 14]byte
	for len(values) > 0 {
		part := buffer[:min(uint64(len(buffer)), width*uint64(len(values)))]
		if _, err := io.ReadFull(r, part); err != nil {
			return err
		}
		for ; len(part) > 0; part = part[width:] {
			values[0] = convert(part)
			values = values[1:]
		}
	}
	return nil
}
