package cohort

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ballast/stat"
)

// sharedFolder finds the real data beside the module, or skips the test.
func sharedFolder(t testing.TB, below string) string {
	t.Helper()
	top := os.Getenv("BALLAST_SHARED")
	if top == "" {
		top = filepath.Join("..", "..", "shared")
	}
	folder := filepath.Join(top, below)
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("%s: shared data absent", folder)
	}
	return folder
}

// The files of testdata/nifti and the numbers of its expected.json were made by
// nibabel 5.4.2, which also read them back.
func TestReadVolumeAgreesWithNibabel(t *testing.T) {
	var expected struct {
		Files []struct {
			File    string
			Shape   []int
			Affine  [3][4]float64
			Axcodes string
			Voxels  []float32
		}
		Series []struct {
			File    string
			Shape   []int
			Volumes [][]float32
		}
	}
	text, err := os.ReadFile("testdata/nifti/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &expected); err != nil {
		t.Fatal(err)
	}
	if len(expected.Files) != 33 || len(expected.Series) != 2 {
		t.Fatalf("expected.json has %d files and %d of several volumes, want 33 and 2", len(expected.Files), len(expected.Series))
	}
	for _, want := range expected.Files {
		t.Run(want.File, func(t *testing.T) {
			v, err := ReadVolume(filepath.Join("testdata/nifti", want.File))
			if err != nil {
				t.Fatal(err)
			}
			compareGeometry(t, v, want.Shape, want.Affine, want.Axcodes)
			if len(v.Data) != len(want.Voxels) {
				t.Fatalf("%d voxels, want %d", len(v.Data), len(want.Voxels))
			}
			for n, x := range want.Voxels {
				if v.Data[n] != x {
					t.Errorf("voxel %d = %v, want %v", n, v.Data[n], x)
				}
			}
		})
	}
	for _, want := range expected.Series {
		compareVolumes(t, filepath.Join("testdata/nifti", want.File), want.Shape, want.Volumes)
	}
}

func compareVolumes(t *testing.T, path string, shape []int, volumes [][]float32) {
	t.Helper()
	for n, want := range volumes {
		v, err := ReadVolumeAt(path, n)
		if err != nil || !slices.Equal(v.Data, want) {
			t.Errorf("%s, volume %d: %v %v, want %v", path, n, v, err, want)
		}
	}
	if _, err := ReadVolume(path); !errors.Is(err, ErrVolumes) {
		t.Errorf("%s, no volume chosen: %v", path, err)
	}
	if _, err := ReadVolumeAt(path, len(volumes)); !errors.Is(err, ErrVolumes) {
		t.Errorf("%s, volume %d: %v", path, len(volumes), err)
	}
	d, err := Describe(path)
	if err != nil || d.Volumes != len(volumes) || !slices.Equal(d.Shape, shape) {
		t.Errorf("%s: %+v %v", path, d, err)
	}
}

// readMemory reads a NIfTI file that is not on the disk.
func readMemory(text []byte) (*Volume, error) {
	source, err := newSource(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return nil, err
	}
	file, err := openNIfTI(source, "absent.hdr")
	if err != nil {
		return nil, err
	}
	return file.read(Unchosen)
}

func compareGeometry(t *testing.T, v *Volume, shape []int, affine [3][4]float64, axcodes string) {
	t.Helper()
	for axis := range 3 {
		size := 1
		if axis < len(shape) {
			size = shape[axis]
		}
		if v.Shape[axis] != size {
			t.Fatalf("shape %v, want %v", v.Shape, shape)
		}
	}
	for row := range 3 {
		for column := range 4 {
			if !(math.Abs(v.Affine[row][column]-affine[row][column]) <= 2e-6*(1+math.Abs(affine[row][column]))) {
				t.Fatalf("affine %v, want %v", v.Affine, affine)
			}
		}
	}
	if v.AxisCodes() != axcodes {
		t.Errorf("axes run towards %s, want %s", v.AxisCodes(), axcodes)
	}
}

// One hundred oblique affines through both ways of storing them: toQuaternion
// is the inverse of fromQuaternion, whichever component is largest.
func TestQuaternionRoundTrip(t *testing.T) {
	for n := range 100 {
		angle := func(k int) float64 { return math.Mod(float64(n*k)*0.7548776662466927, 2) - 1 }
		b, c, d := angle(1), angle(3), angle(7)
		if length := math.Sqrt(b*b + c*c + d*d); length > 1 {
			b, c, d = b/length/1.001, c/length/1.001, d/length/1.001
		}
		qfac := float64(1 - n%2*2)
		affine, err := fromQuaternion(b, c, d, [3]float64{1, 2, 3}, [3]float64{0.5, 1.5, 4}, qfac)
		if err != nil {
			t.Fatal(err)
		}
		b2, c2, d2, qfac2 := toQuaternion(affine)
		for _, pair := range [][2]float64{{b, b2}, {c, c2}, {d, d2}, {qfac, qfac2}} {
			if !(math.Abs(pair[0]-pair[1]) <= 1e-9) {
				t.Fatalf("(%g, %g, %g, %g) came back as (%g, %g, %g, %g)", b, c, d, qfac, b2, c2, d2, qfac2)
			}
		}
	}
}

// What nibabel leaves to its user: units other than mm, voxel sizes that its
// header check would repair, and a 2D image whose sform has no third column.
func TestAffineIsRepaired(t *testing.T) {
	read := func(name string, patches map[int]any) *Volume {
		t.Helper()
		raw, err := os.ReadFile(filepath.Join("testdata/nifti", name))
		if err != nil {
			t.Fatal(err)
		}
		for at, value := range patches {
			if _, err := binary.Encode(raw[at:], binary.LittleEndian, value); err != nil {
				t.Fatal(err)
			}
		}
		v, err := readMemory(raw)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	inMM := read("int16_le.nii", nil)
	for unit, scale := range map[byte]float64{1: 1000, 2: 1, 3: 0.001, 0: 1} {
		v := read("int16_le.nii", map[int]any{123: unit})
		for row := range 3 {
			for column := range 4 {
				if v.Affine[row][column] != scale*inMM.Affine[row][column] {
					t.Errorf("unit %d: affine %v", unit, v.Affine)
				}
			}
		}
	}
	v := read("int16_le.nii", map[int]any{252: [2]int16{}, 80: [3]float32{0, -2, 3}}) // 2 x 3 x 2 voxels
	if want := [3][4]float64{{-1, 0, 0, 0.5}, {0, 2, 0, -2}, {0, 0, 3, -1.5}}; v.Affine != want || v.Spacing != [3]float64{1, 2, 3} {
		t.Errorf("sizes 0, -2, 3: affine %v, want %v", v.Affine, want)
	}
	v = read("two_dimensions.nii", map[int]any{254: int16(1), 280: [12]float32{0, 0, 0, 7, 2, 0, 0, 8, 0, -1.5, 0, 9}})
	if want := [3][4]float64{{0, 0, -1, 7}, {2, 0, 0, 8}, {0, -1.5, 0, 9}}; v.Affine != want {
		t.Errorf("2D sform: affine %v, want %v", v.Affine, want)
	}
}

func TestNonFiniteVoxelsAreCountedAndReplaced(t *testing.T) {
	v, err := ReadVolume("testdata/nifti/non_finite.nii") // NaN at (1, 0, 0), Inf at (2, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if v.NonFinite != 2 || v.At(1, 0, 0) != 0 || v.At(2, 1, 1) != 0 || v.At(2, 0, 0) != 14 {
		t.Errorf("%d non-finite, voxels %v", v.NonFinite, v.Data)
	}
	if err := v.Check(); err != nil {
		t.Errorf("2 of 12 voxels: %v", err)
	}
	v.NonFinite = 7
	if err := v.Check(); !errors.Is(err, ErrNonFinite) {
		t.Errorf("7 of 12 voxels: %v, want ErrNonFinite", err)
	}
	constant := &Volume{Data: []float32{3, 3}, Shape: [3]int{2, 1, 1}}
	if err := constant.Check(); !errors.Is(err, ErrConstant) {
		t.Errorf("constant image: %v, want ErrConstant", err)
	}
}

func TestReadVolumeRefuses(t *testing.T) {
	good, err := os.ReadFile("testdata/nifti/int16_le.nii")
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, bytes ...byte) []byte {
		changed := append([]byte(nil), good...)
		copy(changed[at:], bytes)
		return changed
	}
	float := func(at int, x float32) []byte {
		return change(at, binary.LittleEndian.AppendUint32(nil, math.Float32bits(x))...)
	}
	zip := func(text []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(text)
		w.Close()
		return b.Bytes()
	}
	file := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join("testdata/nifti", name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	noise := image.NewGray(image.Rect(0, 0, 40, 40))
	for n := range noise.Pix {
		noise.Pix[n] = byte(n * n)
	}
	var encoded bytes.Buffer
	if err := png.Encode(&encoded, noise); err != nil {
		t.Fatal(err)
	}
	picture := encoded.Bytes()
	flipped := zip(good)
	flipped[len(flipped)-8] ^= 1 // of the checksum
	for _, c := range []struct {
		name string
		text []byte
		kind error
		says string
	}{
		{"empty", nil, ErrTruncated, "the file is empty"},
		{"three bytes", good[:3], ErrFormat, ""},
		{"text", []byte(strings.Repeat("not an image\n", 40)), ErrFormat, "neither 348 nor 540"},
		{"half a header", good[:100], ErrTruncated, "100 of 348 bytes"},
		{"no voxels", good[:352], ErrTruncated, "352 of 376 bytes"},
		{"cut", good[:370], ErrTruncated, "370 of 376 bytes"},
		{"gzip cut in the header", zip(good)[:90], ErrTruncated, "of 348 bytes"},
		{"gzip cut in the voxels", zip(good)[:len(zip(good))-14], ErrTruncated, "of 376 bytes"},
		{"gzip of a cut file", zip(good[:370]), ErrTruncated, "370 of 376 bytes"},
		{"wrong checksum", flipped, ErrTruncated, "checksum"},
		{"gzip of text", zip([]byte(strings.Repeat("x", 999))), ErrFormat, ""},
		{"671 MB in 376 bytes", change(42, 0, 10, 0, 2, 0, 1), ErrTruncated, "376 of 671088992 bytes"},
		{"671 MB in a small gzip", zip(change(42, 0, 10, 0, 2, 0, 1)), ErrTruncated, "so small a gzip file"},
		{"32767 cubed", change(42, 255, 127, 255, 127, 255, 127), ErrUnsupported, "more than ballast reads"},
		{"negative size", change(42, 255, 255), ErrHeader, "-1 voxels along axis 1"},
		{"no dimension", change(40, 0, 0), ErrHeader, "0 dimensions"},
		{"one dimension", change(40, 1, 0), ErrUnsupported, "one-dimensional"},
		{"4D", file("four_dimensions.nii"), ErrVolumes, "shape 2 x 2 x 2 x 3 holds 3; choose one, 0 to 2"},
		{"complex64", file("refused_complex64.nii"), ErrUnsupported, "complex64"},
		{"float128", change(70, 0, 6), ErrUnsupported, "float128"},
		{"unknown type", change(70, 99, 0), ErrHeader, "unknown stored type 99"},
		{"bad magic", change(344, 'x'), ErrFormat, "magic"},
		{"ANALYZE", change(344, 0, 0, 0, 0), ErrUnsupported, "ANALYZE"},
		{"voxels inside the header", float(108, 100), ErrHeader, "byte 100"},
		{"voxels behind a gigabyte", float(108, 1<<30), ErrHeader, "byte 1.073741824e+09"},
		{"voxels nowhere", float(108, float32(math.NaN())), ErrHeader, "byte NaN"},
		{"intercept without end", float(116, float32(math.Inf(1))), ErrHeader, "scl_inter is +Inf"},
		{"singular affine", change(280, make([]byte, 16)...), ErrHeader, "singular"},
		{"affine of NaN", float(292, float32(math.NaN())), ErrHeader, "not finite"},
		{"pair without voxels", change(344, 'n', 'i', '1', 0), ErrUnsupported, ".img"},
		{"DICOM without content", append(make([]byte, 128), "DICM"...), ErrTruncated, "the file ends after its header"},
		{"Git LFS pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"), ErrFormat, "git lfs pull"},
		{"git-annex pointer", []byte("/annex/objects/MD5E-s123--abc.nii.gz\n"), ErrFormat, "git annex get"},
		{"web page", []byte("<!DOCTYPE html><html>404"), ErrFormat, "download the file itself"},
		{"BigTIFF", []byte("II+\x00rest of it"), ErrFormat, "save it as PNG"},
		{"cut TIFF", []byte("II*\x00\x08\x00\x00\x00"), ErrTruncated, "page 0 would start at byte 8 of 8"},
		{"PNG cut in the pixels", picture[:len(picture)-20], ErrTruncated, "goes on after"},
		{"cut PNG", []byte("\x89PNG\r\n\x1a\n"), ErrTruncated, ""},
		{"damaged JPEG", []byte("\xff\xd8\xff\xe0 no more"), ErrTruncated, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "image.nii")
			if err := os.WriteFile(path, c.text, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := ReadVolume(path)
			if !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.says) || !strings.HasPrefix(err.Error(), "read "+path+": ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want %q with %q", err, c.kind, c.says)
			}
		})
	}
	if _, err := ReadVolume(os.DevNull); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "not a plain file") {
		t.Errorf("a device: %v", err)
	}
	if _, err := ReadVolume("testdata/absent.nii"); !errors.Is(err, os.ErrNotExist) || strings.Count(err.Error(), "absent") != 1 {
		t.Errorf("absent file: %v", err)
	}
}

// A gzip file that goes on for 4 MiB behind its 24 bytes of voxels is not read
// to its end.
func TestGzipBombStopsAtTheAnnouncedSize(t *testing.T) {
	good, err := os.ReadFile("testdata/nifti/int16_le.nii")
	if err != nil {
		t.Fatal(err)
	}
	more, stream := make([]byte, 4<<20), stat.NewStream(1, "bomb")
	for n := range more {
		more[n] = byte(stream.Uint32())
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(good)
	w.Write(more)
	w.Close()
	size := b.Len()
	source, err := newSource(&b, int64(size))
	if err != nil {
		t.Fatal(err)
	}
	file, err := openNIfTI(source, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.read(Unchosen); err != nil {
		t.Fatal(err)
	}
	if read := size - b.Len(); read > 256<<10 {
		t.Errorf("%d of %d bytes were read", read, size)
	}
}

func FuzzReadNIfTI(f *testing.F) {
	names, err := filepath.Glob("testdata/nifti/*.nii*")
	if err != nil || len(names) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		source, err := newSource(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		file, err := openNIfTI(source, "absent.hdr")
		if err != nil {
			return
		}
		file.summary()
		v, err := file.read(0)
		if err != nil {
			return
		}
		if len(v.Data) != v.Shape[0]*v.Shape[1]*v.Shape[2] || len(v.Data) > 1032*len(text) {
			t.Fatalf("shape %v with %d voxels from %d bytes", v.Shape, len(v.Data), len(text))
		}
		world, _ := v.Orientation()
		if world[0]+world[1]+world[2] != 3 || world[0] == world[1] {
			t.Fatalf("orientation %v", world)
		}
		for _, x := range v.Data {
			if x-x != 0 {
				t.Fatalf("voxel %v", x)
			}
		}
	})
}
