package cohort

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// numpySays holds what NumPy 2.4.6 itself read from the arrays of
// testdata/numpy, written by make.py there: values with the last index fastest,
// null where they are not finite.
func numpySays(t testing.TB) map[string]struct {
	Shape  []int
	Values []*float64
} {
	t.Helper()
	text, err := os.ReadFile("testdata/numpy/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	expected := map[string]struct {
		Shape  []int
		Values []*float64
	}{}
	if err := json.Unmarshal(text, &expected); err != nil {
		t.Fatal(err)
	}
	return expected
}

// sameAsNumPy compares a volume with NumPy's values; the last index is i.
func sameAsNumPy(t *testing.T, v *Volume, shape []int, values []*float64) {
	t.Helper()
	lowest, nonFinite := math.Inf(1), 0
	for _, x := range values {
		if x == nil {
			nonFinite++
		} else {
			lowest = min(lowest, *x)
		}
	}
	for len(shape) < 3 {
		shape = append([]int{1}, shape...)
	}
	if v.Shape != [3]int{shape[2], shape[1], shape[0]} || len(v.Data) != len(values) || v.NonFinite != nonFinite {
		t.Fatalf("shape %v, %d values, %d not finite; NumPy has %v, %d", v.Shape, len(v.Data), v.NonFinite, shape, nonFinite)
	}
	for n, got := range v.Data {
		want := lowest
		if values[n] != nil {
			want = *values[n]
		}
		if got != float32(want) {
			t.Fatalf("voxel %d is %g, NumPy has %g", n, got, want)
		}
	}
}

func TestNumPyArrays(t *testing.T) {
	expected := numpySays(t)
	for _, name := range []string{"u1", "i2_big_endian", "f4_fortran", "f8_v2", "f2_v3", "i8", "u4", "bool", "line"} {
		t.Run(name, func(t *testing.T) {
			v, err := ReadVolume("testdata/numpy/" + name + ".npy")
			if err != nil {
				t.Fatal(err)
			}
			want := expected[name+".npy"]
			sameAsNumPy(t, v, want.Shape, want.Values)
		})
	}
}

// Colours become luminance as in a PNG, or one of them is a channel.
func TestColoursOfArrays(t *testing.T) {
	want := numpySays(t)["colour.npy"]
	grey, err := ReadVolume("testdata/numpy/colour.npy")
	if err != nil {
		t.Fatal(err)
	}
	if grey.Shape != [3]int{5, 4, 1} {
		t.Fatalf("shape %v", grey.Shape)
	}
	for n, got := range grey.Data {
		r, g, b := *want.Values[3*n], *want.Values[3*n+1], *want.Values[3*n+2]
		if luminance := 0.299*r + 0.587*g + 0.114*b; !(math.Abs(float64(got)-luminance) <= 1e-4) {
			t.Errorf("pixel %d: %g, want %g", n, got, luminance)
		}
	}
	stack := numpySays(t)["colour.npz#train_images"]
	for channel := range 3 {
		v, err := ReadVolume(fmt.Sprintf("testdata/numpy/colour.npz#train_images/2/%d", channel))
		if err != nil {
			t.Fatal(err)
		}
		for n, got := range v.Data {
			if want := *stack.Values[2*4*5*3+3*n+channel]; float64(got) != want {
				t.Errorf("channel %d, pixel %d: %g, want %g", channel, n, got, want)
			}
		}
	}
}

func TestImagesOfArchives(t *testing.T) {
	for name, want := range numpySays(t) {
		archive, array, ok := strings.Cut(name, "#")
		if !ok || len(want.Shape) < 3 || strings.HasPrefix(name, "colour") {
			continue
		}
		size := len(want.Values) / want.Shape[0]
		for _, n := range []int{want.Shape[0] - 1, 0} {
			path := fmt.Sprintf("testdata/numpy/%s#%s/%d", archive, array, n)
			v, err := ReadVolume(path)
			if err != nil {
				t.Fatal(err)
			}
			sameAsNumPy(t, v, want.Shape[1:], want.Values[n*size:][:size])
			d, err := Describe(path)
			if err != nil || d.Format != "NumPy array" || d.Volumes != 1 || float64(d.Max) < float64(d.Min) {
				t.Errorf("%s: %+v, %v", path, d, err)
			}
		}
	}
}

func TestArraysRefused(t *testing.T) {
	for path, want := range map[string]struct {
		kind error
		says string
	}{
		"record.npy":                       {ErrUnsupported, "an array of records"},
		"object.npy":                       {ErrUnsupported, "an array of Python objects"},
		"complex.npy":                      {ErrUnsupported, `data type "<c8"`},
		"time.npy":                         {ErrUnsupported, "times"},
		"text.npy":                         {ErrUnsupported, "an array of text is no image"},
		"empty.npy":                        {ErrUnsupported, "shape [0 4]"},
		"grey.npz":                         {ErrFormat, "FILE#images/0"},
		"grey.npz#train_images/12":         {ErrArchive, "no element 12"},
		"grey.npz#train_images":            {ErrFormat, "write it as file.npz#array/index"},
		"grey.npz#train_images/-1":         {ErrFormat, "write it as"},
		"grey.npz#train_images/0/1":        {ErrUnsupported, "no colour 1"},
		"colour.npz#train_images/0/3":      {ErrUnsupported, "no colour 3"},
		"grey.npz#images/0":                {ErrArchive, `no array "images" (arrays: test_images, test_labels, train_images and 3 more)`},
		"volumes.npz#labels/0":             {ErrUnsupported, "an array of text is no image"},
		"absent.npz#train_images/0":        {os.ErrNotExist, "no such file"},
		"make.py#x.npz#train_images/0":     {os.ErrNotExist, "no such file"},
		"../numpy/u1.npy/x.npz#images/0":   {nil, "not a directory"},
		"../numpy/expected.json#images/0/": {os.ErrNotExist, "no such file"},
	} {
		_, err := ReadVolume("testdata/numpy/" + path)
		if err == nil || want.kind != nil && !errors.Is(err, want.kind) || !strings.Contains(err.Error(), want.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %q, want %v with %q", path, err, want.kind, want.says)
		}
	}
	if _, err := ReadVolumeAt("testdata/numpy/u1.npy", 1); !errors.Is(err, ErrVolumes) {
		t.Errorf("volume 1 of a single one: %v", err)
	}
}

// npyText is an array file with the given header text and content.
func npyText(header, content string) string {
	return npyMagic + "\x01\x00" + string([]byte{byte(len(header)), byte(len(header) >> 8)}) + header + content
}

func TestNPYHeadersRefused(t *testing.T) {
	if strconv.IntSize == 32 {
		t.Skip("the shapes of this test are larger than an int of this machine")
	}
	for _, c := range []struct {
		text, says string
		kind       error
	}{
		{"", "no header", ErrTruncated},
		{npyMagic + "\x01\x00\xff\xff{", "within the header", ErrTruncated},
		{npyMagic + "\x02\x00\xff\xff\xff\xff{", "a NumPy header of 4294967295 bytes", ErrHeader},
		{npyMagic + "\x04\x00\x00\x00", "format 4.0", ErrUnsupported},
		{npyText("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }", "1234"), "of 1", ErrTruncated},
		{npyText("{'descr': '<f4', 'fortran_order': False}", ""), "does not read", ErrHeader},
		{npyText("{'descr': '<f4', 'fortran_order': no, 'shape': (3, 4)}", ""), "does not read", ErrHeader},
		{npyText("{'descr': '<f4', 'fortran_order': False, 'shape': (3, -4)}", ""), "does not read", ErrHeader},
		{npyText("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)}", ""), "twice", ErrHeader},
		{npyText("{'descr': '<f16', 'fortran_order': False, 'shape': (3, 4)}", ""), `"<f16"`, ErrUnsupported},
		{npyText("{'descr': '<q4', 'fortran_order': False, 'shape': (3, 4)}", ""), `"<q4"`, ErrUnsupported},
		{npyText("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999999999)}", ""), "of shape", ErrHeader},
		{npyText("{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 100000)}", ""), "an image of shape", ErrUnsupported},
		{npyText("{'descr': '<f8', 'fortran_order': False, 'shape': (4096, 4096)}", "1"), "bytes", ErrTruncated},
		{npyText("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", strings.Repeat("1", 16)), "is no image", ErrUnsupported},
		{npyText("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 2, 2)}", strings.Repeat("1", 64)), "is no image", ErrUnsupported},
	} {
		path := filepath.Join(t.TempDir(), "x.npy")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadVolume(path)
		if c.text == "" {
			if !errors.Is(err, ErrTruncated) {
				t.Errorf("empty file: %v", err)
			}
			continue
		}
		if !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%q: error %q, want %v with %q", c.text[8:min(80, len(c.text))], err, c.kind, c.says)
		}
	}
}

// A small archive that claims a huge array is refused before memory is taken.
func TestArchiveThatClaimsTooMuch(t *testing.T) {
	if strconv.IntSize == 32 {
		t.Skip("the shapes of this test are larger than an int of this machine")
	}
	header := "{'descr': '<f8', 'fortran_order': False, 'shape': (10, 1000000000)}"
	var text bytes.Buffer
	w := zip.NewWriter(&text)
	entry, err := w.CreateRaw(&zip.FileHeader{Name: "images.npy", Method: zip.Deflate, CompressedSize64: 100, UncompressedSize64: 80_000_000_000})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := entry.Write(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	stored, err := w.CreateHeader(&zip.FileHeader{Name: "stored.npy", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stored.Write([]byte(npyText(header, "12345678"))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bomb.npz")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for member, says := range map[string]string{"images/0": "claims 80000000000 bytes in 100", "stored/0": "has 85 bytes, not 80000000077"} {
		if _, err := ReadVolume(path + "#" + member); !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", member, err)
		}
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 8<<20 {
		t.Errorf("%d bytes were allocated", taken)
	}
}

// The half-precision numbers are those of IEEE 754-2019, table 3.5: exact ones.
func TestHalfFloat(t *testing.T) {
	for bits, want := range map[uint16]float32{0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0400: 0x1p-14, 0x0001: 0x1p-24, 0x3555: 0.333251953125, 0x8000: 0, 0x7c00: float32(math.Inf(1))} {
		if got := halfFloat(bits); got != want {
			t.Errorf("%#04x is %g, want %g", bits, got, want)
		}
	}
	if got := halfFloat(0x7e00); got == got {
		t.Errorf("NaN is %g", got)
	}
}

func TestOpenArchive(t *testing.T) {
	for _, c := range []struct {
		name            string
		options         Options
		want, sequences string
		notes           string
	}{
		{"grey", Options{}, "28 subjects, 12 train 8 validation 8 test, classes [0 1], first test_images-0=0 grey.npz#test_images/0", "[]", "a subject of its own"},
		{"colour", Options{}, "8 subjects, 0 train 0 validation 0 test, classes [0 1], first train_images-0=0 colour.npz#train_images/0", "[]", "read as luminance"},
		{"colour", Options{Sequences: []string{"blue", "red"}}, "8 subjects, 0 train 0 validation 0 test, classes [0 1], first train_images-0=0 colour.npz#train_images/0/2+colour.npz#train_images/0/0", "[blue red]", ""},
		{"fortran", Options{}, "8 subjects, 0 train 0 validation 2 test, classes [0 1], first x_test-0=0 fortran.npz#x_test/0", "[]", ""},
	} {
		cohort, err := Open("testdata/numpy/"+c.name+".npz", c.options)
		if err != nil {
			t.Fatal(err)
		}
		counts := map[string]int{}
		for _, s := range cohort.Subjects {
			counts[s.Set]++
		}
		first := cohort.Subjects[0]
		files := filepath.Base(filepath.Dir(first.Images[0].Path)) + "/" + filepath.Base(first.Images[0].Path)
		if len(first.Images[0].Also) > 0 {
			files = strings.ReplaceAll(strings.Join(append([]string{first.Images[0].Path}, first.Images[0].Also...), "+"), filepath.Join("testdata", "numpy")+string(filepath.Separator), "")
		}
		got := fmt.Sprintf("%d subjects, %d train %d validation %d test, classes %v, first %s=%s %s",
			len(cohort.Subjects), counts["train"], counts["validation"], counts["test"], cohort.Classes, first.ID, cohort.Classes[first.Class], files)
		if got != c.want || fmt.Sprint(cohort.Sequences) != c.sequences || !strings.Contains(strings.Join(cohort.Notes, "; "), c.notes) {
			t.Errorf("%s: got %s, sequences %v, notes %q\nwant %s", c.name, got, cohort.Sequences, cohort.Notes, c.want)
		}
	}
	if _, err := Open("testdata/numpy/volumes.npz", Options{}); err != nil {
		t.Error(err)
	}
	cohort, err := Open("testdata/numpy/volumes.npz", Options{Path: []string{"images"}, Label: "labels", Subject: "subjects"})
	if err != nil || len(cohort.Subjects) != 7 || len(cohort.Subjects[0].Images) != 2 || fmt.Sprint(cohort.Classes) != "[no yes]" {
		t.Errorf("archive with subjects: %+v, %v", cohort, err)
	}
	again, err := Open("testdata/numpy/volumes.npz", cohort.Columns)
	if err != nil || len(again.Subjects) != 7 {
		t.Errorf("opened again by its own columns: %v", err)
	}
	for says, o := range map[string]Options{
		`no site "x"`:                    {Site: "x"},
		"no images with labels":          {Label: "outcome"},
		`there is no array "patients"`:   {Subject: "patients"},
		"has one sequence":               {Sequences: []string{"red"}},
		"name one array of images, not ": {Path: []string{"a", "b"}},
	} {
		if _, err := Open("testdata/numpy/volumes.npz", o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", o, err, says)
		}
	}
}

// FuzzNPY: whatever the bytes, an image has the voxels that its shape says, and
// its size is bounded by the file's.
func FuzzNPY(f *testing.F) {
	for _, name := range []string{"u1.npy", "f4_fortran.npy", "f2_v3.npy", "colour.npy", "text.npy", "record.npy", "f8_v2.npy"} {
		text, err := os.ReadFile("testdata/numpy/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(npyText("{'descr': '|u1', 'fortran_order': True, 'shape': (2L, 1), }", "ab")))
	f.Fuzz(func(t *testing.T, text []byte) {
		source, err := newSource(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		file, err := openNPY(source)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q", err)
			}
			return
		}
		v, err := file.read(Unchosen)
		if err != nil {
			return
		}
		if n := v.Shape[0] * v.Shape[1] * v.Shape[2]; n != len(v.Data) || n > 1032*len(text) || v.NonFinite > n {
			t.Fatalf("shape %v, %d voxels from %d bytes", v.Shape, len(v.Data), len(text))
		}
	})
}

// FuzzArchive: whatever the bytes, a cohort from an archive has images that can
// be addressed, and opening allocates no more than deflate can hold.
func FuzzArchive(f *testing.F) {
	for _, name := range []string{"grey.npz", "colour.npz", "volumes.npz", "fortran.npz"} {
		text, err := os.ReadFile("testdata/numpy/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		archive, err := newNPZ(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		c := &Cohort{Table: "x.npz"}
		if err := c.fromArchive(archive, Options{}, false); err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q", err)
			}
			return
		}
		_, member, _ := splitMember(c.Subjects[0].Images[0].Path)
		array, err := archive.array(strings.Split(member, "/")[0])
		if err != nil {
			t.Fatal(err)
		}
		data, h, err := array.stored(0)
		if array.file.Method == zip.Deflate {
			all, failed := array.inflate()
			if failed != nil {
				return
			}
			data, h, err = (&arrayContent{array.header, all}).element(0)
		}
		if err != nil {
			return
		}
		if v, err := h.volume(data, -1); err == nil && len(v.Data) != v.Shape[0]*v.Shape[1]*v.Shape[2] {
			t.Fatalf("shape %v, %d voxels", v.Shape, len(v.Data))
		}
	})
}
