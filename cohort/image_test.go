package cohort

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// paint draws the same three pixels in a row, and a second row below, into any
// kind of picture.
func paint(p interface {
	Set(x, y int, c color.Color)
}) {
	for y := range 2 {
		for x := range 3 {
			p.Set(x, y, color.NRGBA{uint8(200 - 50*x), uint8(100 + 20*y), uint8(50 * x), 255})
		}
	}
}

// encoders write a picture in each format that keeps its values.
var encoders = map[string]func(testing.TB, image.Image) []byte{
	"PNG":  encoder(png.Encode),
	"BMP":  encoder(bmp.Encode),
	"TIFF": encoder(func(w io.Writer, p image.Image) error { return tiff.Encode(w, p, nil) }),
	"deflate TIFF": encoder(func(w io.Writer, p image.Image) error {
		return tiff.Encode(w, p, &tiff.Options{Compression: tiff.Deflate, Predictor: true})
	}),
}

func encoder(encode func(io.Writer, image.Image) error) func(testing.TB, image.Image) []byte {
	return func(t testing.TB, p image.Image) []byte {
		var b bytes.Buffer
		if err := encode(&b, p); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
}

// twoPages is a TIFF of two grey pages: the same file twice, the second's offsets
// moved behind the first.
func twoPages(t testing.TB) []byte {
	page := func(first byte) []byte {
		p := image.NewGray(image.Rect(0, 0, 3, 2))
		for n := range p.Pix {
			p.Pix[n] = first + byte(n)
		}
		return encoders["TIFF"](t, p)
	}
	first, second := page(10), page(20)
	little := binary.LittleEndian
	directory := little.Uint32(second[4:])
	count := int(little.Uint16(second[directory:]))
	shift := uint32(len(first))
	for e := range count {
		entry := second[int(directory)+2+12*e:]
		size := map[uint16]uint32{1: 1, 2: 1, 3: 2, 4: 4, 5: 8}[little.Uint16(entry[2:])] * little.Uint32(entry[4:])
		if size > 4 || little.Uint16(entry) == 273 { // values elsewhere; StripOffsets
			little.PutUint32(entry[8:], little.Uint32(entry[8:])+shift)
		}
	}
	end := int(little.Uint32(first[4:]))
	end += 2 + 12*int(little.Uint16(first[end:]))
	little.PutUint32(first[end:], directory+shift)
	return append(first, second...)
}

func TestPagesOfTIFF(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stack.tif")
	if err := os.WriteFile(path, twoPages(t), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadVolume(path); !errors.Is(err, ErrVolumes) || !strings.Contains(err.Error(), "a TIFF of 2 pages") {
		t.Errorf("no page chosen: %v", err)
	}
	for page, first := range []float32{10, 20} {
		v, err := ReadVolumeAt(path, page)
		if err != nil || !slices.Equal(v.Data, []float32{first, first + 1, first + 2, first + 3, first + 4, first + 5}) {
			t.Errorf("page %d: %v %v", page, v, err)
		}
	}
	if _, err := ReadVolumeAt(path, 2); !errors.Is(err, ErrVolumes) {
		t.Errorf("page 2: %v", err)
	}
	file, err := openImage(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, page := range []int{1, 0} {
		if v, err := file.read(page); err != nil || v.Data[0] != float32(10+10*page) {
			t.Errorf("page %d of the opened file: %v %v", page, v, err)
		}
	}
	d, err := Describe(path)
	if err != nil || d.Volumes != 2 || !slices.Equal(d.Shape, []int{3, 2, 1, 2}) || d.Min != 10 || d.Max != 25 || d.Mean != 17.5 {
		t.Errorf("%+v %v", d, err)
	}
}

// Luminance is 0.299 R + 0.587 G + 0.114 B of ITU-R BT.601; the first pixel is
// (200, 100, 0), the fifth (150, 120, 50).
func TestReadPicture(t *testing.T) {
	size := image.Rect(0, 0, 3, 2)
	grey := image.NewGray(size)
	grey16 := image.NewGray16(size)
	for n := range 6 {
		grey.SetGray(n%3, n/3, color.Gray{uint8(40 * n)})
		grey16.SetGray16(n%3, n/3, color.Gray16{uint16(10000*n + 1)})
	}
	colours := []float32{118.5, 109.25, 100, 130.24, 120.99, 111.74}
	rgb := image.NewNRGBA(size)
	paint(rgb)
	glass := image.NewNRGBA(size)
	paint(glass)
	for n := range 6 {
		glass.Pix[4*n+3] = 128 // half transparent: the colour counts
	}
	deep := image.NewNRGBA64(size)
	paint(deep)
	indexed := image.NewPaletted(size, nil)
	for n := range 6 {
		indexed.Palette = append(indexed.Palette, rgb.At(n%3, n/3))
	}
	paint(indexed)
	var deepColours []float32
	for _, x := range colours {
		deepColours = append(deepColours, 257*x)
	}
	for _, c := range []struct {
		name string
		p    image.Image
		want []float32
	}{
		{"8-bit grey", grey, []float32{0, 40, 80, 120, 160, 200}},
		{"16-bit grey", grey16, []float32{1, 10001, 20001, 30001, 40001, 50001}},
		{"colour", rgb, colours},
		{"transparent", glass, colours},
		{"16-bit colour", deep, deepColours},
		{"palette", indexed, colours},
	} {
		for format, encode := range encoders {
			if format == "BMP" && (c.p == grey16 || c.p == deep) {
				continue // has 8 bits only
			}
			path := filepath.Join(t.TempDir(), "p.png") // the name does not decide
			if err := os.WriteFile(path, encode(t, c.p), 0o644); err != nil {
				t.Fatal(err)
			}
			v, err := ReadVolume(path)
			if err != nil {
				t.Errorf("%s %s: %v", c.name, format, err)
				continue
			}
			if v.Shape != [3]int{3, 2, 1} || v.Spacing != [3]float64{1, 1, 1} {
				t.Errorf("%s %s: shape %v, spacing %v", c.name, format, v.Shape, v.Spacing)
			}
			for n, want := range c.want {
				if !(math.Abs(float64(v.Data[n]-want)) <= 1e-5*float64(max(1, want))) {
					t.Errorf("%s %s: pixel %d = %v, want %v", c.name, format, n, v.Data[n], want)
				}
			}
		}
	}
}

// The files of testdata/pictures were written by Pillow 13.0.0, which also read
// them back, but for grey16_be.tif, which was put together after the TIFF 6.0
// specification and read by Pillow.
func TestPicturesAgreeWithPillow(t *testing.T) {
	var expected struct {
		Files []struct {
			File  string
			Shape []int
			Pages [][]float32
		}
	}
	text, err := os.ReadFile("testdata/pictures/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &expected); err != nil {
		t.Fatal(err)
	}
	if len(expected.Files) != 10 {
		t.Fatalf("expected.json has %d files, want 10", len(expected.Files))
	}
	for _, want := range expected.Files {
		for page, values := range want.Pages {
			v, err := ReadVolumeAt(filepath.Join("testdata/pictures", want.File), page)
			if err != nil || v.Shape[0] != want.Shape[0] || v.Shape[1] != want.Shape[1] || !slices.Equal(v.Data, values) {
				t.Errorf("%s, page %d: %v %v, want %v", want.File, page, v, err, values)
			}
		}
	}
	if _, err := ReadVolume("testdata/pictures/two_pages.tif"); !errors.Is(err, ErrVolumes) {
		t.Errorf("two pages, none chosen: %v", err)
	}
	if _, err := ReadVolume("testdata/pictures/refused_float32.tif"); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "save the picture as PNG") {
		t.Errorf("float32: %v", err)
	}
}

func TestReadJPEG(t *testing.T) {
	flat := image.NewGray(image.Rect(0, 0, 16, 8))
	for n := range flat.Pix {
		flat.Pix[n] = 90
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, flat, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "scan.png")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	v, err := ReadVolume(path)
	if err != nil || v.Shape != [3]int{16, 8, 1} || !slices.Equal(v.Data, slices.Repeat([]float32{90}, 128)) {
		t.Errorf("%v %v", v, err)
	}
	if err := os.WriteFile(path, b.Bytes()[:b.Len()-20], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadVolume(path); !errors.Is(err, ErrTruncated) {
		t.Errorf("cut JPEG: %v", err)
	}
}

func TestLoad(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, change func(v *Volume)) string {
		v := oblique()
		change(v)
		path := filepath.Join(folder, name)
		if err := WriteNIfTI(path, v, "float32"); err != nil {
			t.Fatal(err)
		}
		return path
	}
	nothing := func(v *Volume) {}
	good := write("good.nii", nothing)
	for _, c := range []struct {
		name        string
		image, mask string
		kind        error
		says        string
	}{
		{"no mask", good, "", nil, ""},
		{"mask", good, good, nil, ""},
		{"mask 0.1 mm off", good, write("near.nii", func(v *Volume) { v.Affine[0][3] += 0.1 }), nil, ""},
		{"mask 1 mm off", good, write("off.nii", func(v *Volume) { v.Affine[0][3]++ }), ErrGeometry, "1 mm away"},
		{"mask stretched", good, write("wide.nii", func(v *Volume) { v.Affine[2][2] = 3.4 }), ErrGeometry, "0.4 mm away"},
		{"mask of other shape", good, write("shape.nii", func(v *Volume) { v.Shape = [3]int{2, 3, 2} }), ErrGeometry, "the image has 3 x 2 x 2 voxels, the mask 2 x 3 x 2"},
		{"empty mask", good, write("empty.nii", func(v *Volume) { clear(v.Data) }), ErrEmptyMask, "empty.nii"},
		{"constant", write("flat.nii", func(v *Volume) { clear(v.Data) }), "", ErrConstant, "flat.nii: all voxels have the same value: 0"},
		{"NaN", write("nan.nii", func(v *Volume) {
			for n := range 7 {
				v.Data[n] = float32(math.NaN())
			}
		}), "", ErrNonFinite, "nan.nii: voxels that are not finite: 7 of 12"},
		{"absent", filepath.Join(folder, "absent.nii"), "", os.ErrNotExist, "absent.nii"},
	} {
		v, mask, err := Image{Path: c.image, Mask: c.mask, Volume: Unchosen}.Load()
		if c.kind == nil {
			if err != nil || v == nil || (mask == nil) != (c.mask == "") {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want %v with %q", c.name, err, c.kind, c.says)
		}
	}
}

func FuzzReadPicture(f *testing.F) {
	small := image.NewNRGBA(image.Rect(0, 0, 3, 2))
	paint(small)
	grey := image.NewGray16(image.Rect(0, 0, 3, 2))
	paint(grey)
	for _, picture := range []image.Image{small, grey} {
		for _, encode := range encoders {
			f.Add(encode(f, picture))
		}
	}
	f.Add(twoPages(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		source, err := newSource(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		kind, err := sniff(source)
		if err != nil || kind == niftiKind || kind == dicomKind {
			return
		}
		file, err := openPicture(source, kind)
		if err != nil {
			return
		}
		v, err := file.read(0)
		if err == nil && (len(v.Data) != v.Shape[0]*v.Shape[1] || len(v.Data) == 0) {
			t.Fatalf("shape %v with %d voxels", v.Shape, len(v.Data))
		}
		file.describe(Unchosen)
	})
}
