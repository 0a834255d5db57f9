package net

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
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

// ReadSafetensors reads a file of the given size with float32 tensors, in the
// order of their data, and its metadata. It trusts no length before it is held
// against the size. The error wraps ErrSafetensors unless reading itself fails.
func ReadSafetensors(r io.ReaderAt, size int64) ([]Tensor, map[string]string, error) {
	if size < 8 {
		return nil, nil, invalid("%d bytes; the header's length alone takes 8", size)
	}
	var prefix [8]byte
	if _, err := r.ReadAt(prefix[:], 0); err != nil {
		return nil, nil, fmt.Errorf("read safetensors header: %w", err)
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > maxHeader || length > uint64(size-8) {
		return nil, nil, invalid("header of %d bytes in a file of %d", length, size)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(io.NewSectionReader(r, 8, int64(length)), text); err != nil {
		return nil, nil, fmt.Errorf("read safetensors header: %w", err)
	}
	tensors, metadata, err := parseHeader(text, uint64(size)-8-length)
	if err != nil {
		return nil, nil, err
	}
	data := io.NewSectionReader(r, 8+int64(length), size-8-int64(length))
	for i := range tensors {
		if err := readValues(data, tensors[i].Data); err != nil {
			return nil, nil, fmt.Errorf("read tensor %q: %w", tensors[i].Name, err)
		}
	}
	return tensors, metadata, nil
}

func invalid(format string, values ...any) error {
	return fmt.Errorf("%w: %s", ErrSafetensors, fmt.Sprintf(format, values...))
}

// A described tensor is an entry of the header with its name.
type described struct {
	name string
	tensorHeader
}

// parseHeader returns the tensors with room for their values. Their data must
// fill the file without gap or overlap.
func parseHeader(text []byte, dataSize uint64) ([]Tensor, map[string]string, error) {
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
	var tensors []Tensor
	for _, e := range entries {
		t, err := e.tensor()
		if err != nil {
			return nil, nil, err
		}
		tensors = append(tensors, t)
	}
	return tensors, metadata, nil
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

// tensor returns the tensor with zero values. Its offsets lie within the file.
func (d described) tensor() (Tensor, error) {
	if d.DType != "F32" {
		return Tensor{}, invalid("tensor %q holds %s; only F32 is read", d.name, d.DType)
	}
	count := (d.Offsets[1] - d.Offsets[0]) / 4
	product := uint64(1)
	shape := make([]int, len(d.Shape))
	for i, size := range d.Shape {
		if size < 0 || size > 0 && product > math.MaxInt64/uint64(size) {
			return Tensor{}, invalid("tensor %q has shape %v", d.name, d.Shape)
		}
		product *= uint64(size)
		shape[i] = int(size)
	}
	if product != count || count*4 != d.Offsets[1]-d.Offsets[0] {
		return Tensor{}, invalid("tensor %q of shape %v lies in %d bytes", d.name, d.Shape, d.Offsets[1]-d.Offsets[0])
	}
	return Tensor{Name: d.name, Shape: shape, Data: make([]float32, count)}, nil
}

// readValues fills values from little-endian float32.
func readValues(r io.Reader, values []float32) error {
	var buffer [1 << 14]byte
	for len(values) > 0 {
		part := buffer[:min(len(buffer), 4*len(values))]
		if _, err := io.ReadFull(r, part); err != nil {
			return err
		}
		for ; len(part) > 0; part = part[4:] {
			values[0] = math.Float32frombits(binary.LittleEndian.Uint32(part))
			values = values[1:]
		}
	}
	return nil
}
