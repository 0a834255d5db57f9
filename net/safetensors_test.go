package net

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
)

func exampleTensors() []Tensor {
	return []Tensor{
		{Name: "block1.conv.weight", Shape: []int{1, 2, 1, 1}, Data: []float32{1.5, float32(math.Inf(-1))}},
		{Name: "scalar \"x\"", Shape: nil, Data: []float32{-0.25}},
		{Name: "empty", Shape: []int{0, 3}, Data: []float32{}},
	}
}

// example is what the format's description asks for, written by hand.
func example() []byte {
	header := `{"__metadata__":{"a":"b"},` +
		`"block1.conv.weight":{"dtype":"F32","shape":[1,2,1,1],"data_offsets":[0,8]},` +
		`"scalar \"x\"":{"dtype":"F32","shape":[],"data_offsets":[8,12]},` +
		`"empty":{"dtype":"F32","shape":[0,3],"data_offsets":[12,12]}}`
	for len(header)%8 != 0 {
		header += " "
	}
	return safetensors(header, []byte{0, 0, 0xc0, 0x3f, 0, 0, 0x80, 0xff, 0, 0, 0x80, 0xbe})
}

func safetensors(header string, data []byte) []byte {
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(file, header...), data...)
}

func TestWriteSafetensors(t *testing.T) {
	var file bytes.Buffer
	if err := WriteSafetensors(&file, exampleTensors(), map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file.Bytes(), example()) {
		t.Errorf("wrote\n%q, want\n%q", file.Bytes(), example())
	}
}

func TestReadSafetensors(t *testing.T) {
	file := example()
	tensors, metadata, err := ReadSafetensors(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	want := exampleTensors()
	want[1].Shape = []int{}
	if !reflect.DeepEqual(tensors, want) || metadata["a"] != "b" || len(metadata) != 1 {
		t.Errorf("read %v, %v", tensors, metadata)
	}
}

func TestReadSafetensorsRefuses(t *testing.T) {
	entry := func(text string) string { return `{"t":` + text + `}` }
	for _, c := range []struct {
		name   string
		file   []byte
		reason string
	}{
		{"empty", nil, "0 bytes"},
		{"short", []byte{1, 2, 3}, "3 bytes"},
		{"header beyond the file", safetensors("{}", nil)[:9], "header of 2 bytes in a file of 9"},
		{"huge header", append(bytes.Repeat([]byte{0xff}, 8), "{}"...), "header of 18446744073709551615 bytes"},
		{"not JSON", safetensors("hello   ", nil), "not a JSON object"},
		{"array", safetensors("[]", nil), "not a JSON object"},
		{"unfinished", safetensors(`{"t":`, nil), `entry "t"`},
		{"more after the object", safetensors("{} {}", nil), "2 bytes after"},
		{"unknown key", safetensors(entry(`{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":1}`), make([]byte, 4)), `unknown field "x"`},
		{"whole numbers", safetensors(entry(`{"dtype":"I64","shape":[],"data_offsets":[0,8]}`), make([]byte, 8)), "holds I64; only BF16, F16, F32, F64 are read"},
		{"unknown type", safetensors(entry(`{"dtype":"F31","shape":[1],"data_offsets":[0,4]}`), make([]byte, 4)), `holds "F31"`},
		{"half of a half", safetensors(entry(`{"dtype":"F16","shape":[1],"data_offsets":[0,3]}`), make([]byte, 3)), "lies in 3 bytes"},
		{"shape and bytes differ", safetensors(entry(`{"dtype":"F32","shape":[2],"data_offsets":[0,4]}`), make([]byte, 4)), "shape [2] lies in 4 bytes"},
		{"not whole numbers", safetensors(entry(`{"dtype":"F32","shape":[1],"data_offsets":[0,6]}`), make([]byte, 6)), "lies in 6 bytes"},
		{"negative size", safetensors(entry(`{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}`), make([]byte, 4)), "shape [-1]"},
		{"overflowing shape", safetensors(entry(`{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}`), make([]byte, 4)), "has shape"},
		{"end before start", safetensors(entry(`{"dtype":"F32","shape":[1],"data_offsets":[4,0]}`), make([]byte, 4)), "lies at bytes 4 to 0"},
		{"beyond the data", safetensors(entry(`{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`), make([]byte, 4)), "end within 4"},
		{"gap", safetensors(entry(`{"dtype":"F32","shape":[1],"data_offsets":[4,8]}`), make([]byte, 8)), "expected to start at 0"},
		{"data left over", safetensors(entry(`{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`), make([]byte, 8)), "8 bytes of data, tensors take 4"},
		{"twice", safetensors(`{"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`, nil), `"t" occurs twice`},
		{"metadata not strings", safetensors(`{"__metadata__":{"a":1}}`, nil), `entry "__metadata__"`},
	} {
		_, _, err := ReadSafetensors(bytes.NewReader(c.file), int64(len(c.file)))
		if !errors.Is(err, ErrSafetensors) || !strings.Contains(fmt.Sprint(err), c.reason) {
			t.Errorf("%s: error %v, want ErrSafetensors with %q", c.name, err, c.reason)
		}
	}
}

// 1.5 and -2^-14 in each type, a NaN, and a counter: bytes from the definitions of
// IEEE 754 binary16, binary32, binary64 and of bfloat16.
func TestReadSafetensorsOfOtherPrograms(t *testing.T) {
	header := `{"half":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},` +
		`"brain":{"dtype":"BF16","shape":[3,1],"data_offsets":[6,12]},` +
		`"bn.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[12,20]},` +
		`"double":{"dtype":"F64","shape":[3],"data_offsets":[20,44]}}`
	file := safetensors(header, []byte{
		0x00, 0x3e, 0x00, 0x84, 0x01, 0x7e,
		0xc0, 0x3f, 0x80, 0xb8, 0xc0, 0x7f,
		7, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0, 0, 0, 0, 0, 0, 0x10, 0xbf, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f,
	})
	tensors, skipped, _, err := ReadAnySafetensors(bytes.NewReader(file), int64(len(file)))
	if err != nil || len(tensors) != 3 || len(skipped) != 1 || skipped[0] != (Skipped{"bn.num_batches_tracked", "I64"}) {
		t.Fatalf("read %v, skipped %v, %v", tensors, skipped, err)
	}
	for _, tensor := range tensors {
		d := tensor.Data
		if d[0] != 1.5 || d[1] != -1.0/(1<<14) || d[2] == d[2] {
			t.Errorf("%s holds %v", tensor.Name, d)
		}
	}
	if _, _, err := ReadSafetensors(bytes.NewReader(file), int64(len(file))); !errors.Is(err, ErrSafetensors) {
		t.Errorf("a file with a counter as weights: %v", err)
	}
}

// Every binary16 is (-1)^s 2^(e-15) (1 + f/1024), below the smallest exponent
// (-1)^s 2^-14 f/1024.
func TestHalfFloat(t *testing.T) {
	for bits := range 1 << 16 {
		exponent, fraction := bits>>10&31, float64(bits&1023)/1024
		want := math.Ldexp(1+fraction, exponent-15)
		if exponent == 0 {
			want = math.Ldexp(fraction, -14)
		}
		if exponent == 31 {
			want = math.Inf(1)
			if fraction > 0 {
				want = math.NaN()
			}
		}
		got := float64(halfFloat(uint16(bits)))
		if math.Abs(got) != want && !(got != got && want != want) || math.Signbit(got) != (bits >= 1<<15) {
			t.Fatalf("%#04x is %g, want %g", bits, got, want)
		}
	}
}

func TestReadSafetensorsTruncated(t *testing.T) {
	file := example()
	for cut := range file {
		// The size is what the file claims; the bytes end earlier.
		_, _, err := ReadSafetensors(bytes.NewReader(file[:cut]), int64(len(file)))
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

func TestWriteSafetensorsRefuses(t *testing.T) {
	for _, tensors := range [][]Tensor{
		{{Name: "a", Shape: []int{2}, Data: []float32{1}}},
		{{Name: "a"}, {Name: "a"}},
		{{Name: "__metadata__", Data: []float32{1}}},
		{{Name: "a", Shape: []int{0}}, {Name: "a", Shape: []int{0}}},
	} {
		if err := WriteSafetensors(io.Discard, tensors, nil); !errors.Is(err, ErrSafetensors) {
			t.Errorf("%v: error %v, want ErrSafetensors", tensors, err)
		}
	}
}

// Whatever ReadSafetensors accepts is written and read back alike.
func FuzzReadSafetensors(f *testing.F) {
	f.Add(example())
	f.Add(safetensors(`{"t":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}`, make([]byte, 4)))
	f.Add(safetensors(`{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"n":{"dtype":"I64","shape":[],"data_offsets":[4,12]}}`, make([]byte, 12)))
	f.Add(safetensors(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  `, make([]byte, 8)))
	f.Fuzz(func(t *testing.T, file []byte) {
		tensors, _, metadata, err := ReadAnySafetensors(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			if !errors.Is(err, ErrSafetensors) {
				t.Fatalf("error %v does not wrap ErrSafetensors", err)
			}
			return
		}
		var again bytes.Buffer
		if err := WriteSafetensors(&again, tensors, metadata); err != nil {
			t.Fatal(err)
		}
		second, _, err := ReadSafetensors(bytes.NewReader(again.Bytes()), int64(again.Len()))
		if err != nil || len(second) != len(tensors) {
			t.Fatalf("%d tensors read back as %d: %v", len(tensors), len(second), err)
		}
		for i := range tensors {
			if second[i].Name != tensors[i].Name || !sameBytes(second[i].Data, tensors[i].Data) {
				t.Fatalf("tensor %d reads back as %+v, want %+v", i, second[i], tensors[i])
			}
		}
	})
}

func sameBytes(a, b []float32) bool {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}
