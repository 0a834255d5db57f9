package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A decoder decodes a picture of the given size.
type decoder func(data []byte, width, height int) (*Image, error)

func rle(bytesPerSample int) decoder {
	return func(data []byte, width, height int) (*Image, error) { return RLE(data, width, height, bytesPerSample) }
}

// decoders by the endings of the test files.
var decoders = map[string]decoder{
	".j2k": JPEG2000,
	".jp2": JPEG2000,
	".jls": JPEGLS,
	".rle": rle(2),
	".jpg": func(data []byte, width, height int) (*Image, error) {
		if bytes.Contains(data, []byte{0xff, 0xc3}) {
			return JPEGLossless(data, width, height)
		}
		return JPEGBaseline(data, width, height)
	},
}

func decoderOf(file string) func([]byte) (*Image, error) {
	decode, height := decoders[filepath.Ext(file)], 29
	switch file {
	case "p8_frame.rle":
		decode = rle(1)
	case "p12_lossy_tiles.j2k": // opj_compress lost two rows to the offset of the picture
		height = 27
	}
	return func(data []byte) (*Image, error) { return decode(data, 37, height) }
}

// compressed lists the files of testdata that are not reference pictures.
func compressed(t testing.TB) (files []string) {
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if decoders[filepath.Ext(entry.Name())] != nil {
			files = append(files, entry.Name())
		}
	}
	if len(files) < 40 {
		t.Fatalf("only %d compressed files in testdata", len(files))
	}
	return files
}

func read(t testing.TB, file string) []byte {
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// readPGM reads a binary PGM of 8 or 16 bits.
func readPGM(t *testing.T, file string) *Image {
	t.Helper()
	r := bytes.NewReader(read(t, file))
	p, highest := &Image{}, 0
	if _, err := fmt.Fscanf(r, "P5\n%d %d\n%d\n", &p.Width, &p.Height, &highest); err != nil {
		t.Fatal(err)
	}
	for range p.Width * p.Height {
		if highest > 255 {
			var v uint16
			if err := binary.Read(r, binary.BigEndian, &v); err != nil {
				t.Fatal(err)
			}
			p.Samples = append(p.Samples, int32(v))
			continue
		}
		v, err := r.ReadByte()
		if err != nil {
			t.Fatal(err)
		}
		p.Samples = append(p.Samples, int32(v))
	}
	return p
}

// TestDecode compares every decoder with what the programs named in
// testdata/README.md encoded or decoded. Lossless streams must agree exactly.
// JPEG and irreversible JPEG 2000 are decoded in floating point or with other
// roundings elsewhere and may differ by 1, at 16 bits (of which float32 keeps
// 24 through five transforms) by 2; near-lossless JPEG-LS is exact again.
func TestDecode(t *testing.T) {
	for _, file := range compressed(t) {
		t.Run(file, func(t *testing.T) {
			base := strings.TrimSuffix(file, filepath.Ext(file))
			reference, tolerance := base+".pgm", int32(1)
			if _, err := os.Stat(filepath.Join("testdata", reference)); err != nil {
				bits, _, _ := strings.Cut(file, "_")
				reference, tolerance = bits+".pgm", 0
			}
			switch base {
			case "p8_near3", "p12_near3", "p16_near3":
				tolerance = 0
			case "p16_lossy":
				tolerance = 2
			}
			want := readPGM(t, reference)
			got, err := decoderOf(file)(read(t, file))
			if err != nil {
				t.Fatal(err)
			}
			if got.Width != want.Width || got.Height != want.Height {
				t.Fatalf("%d x %d pixels, want %d x %d", got.Width, got.Height, want.Width, want.Height)
			}
			for n, v := range got.Samples {
				if v < want.Samples[n]-tolerance || v > want.Samples[n]+tolerance {
					t.Fatalf("pixel %d: %d, want %d within %d", n, v, want.Samples[n], tolerance)
				}
			}
		})
	}
}

// TestCut cuts every file short, at any byte. Whatever is missing, except bytes
// at the very end that carry no pixel (markers, padding), must be an error.
func TestCut(t *testing.T) {
	for _, file := range compressed(t) {
		data := read(t, file)
		decode := decoderOf(file)
		whole, err := decode(data)
		if err != nil {
			t.Fatal(err)
		}
		for length := range len(data) {
			got, err := decode(data[:length])
			switch {
			case err == nil && len(data)-length > 4:
				t.Errorf("%s cut to %d of %d bytes is decoded", file, length, len(data))
			case err == nil && !equal(got, whole):
				t.Errorf("%s cut to %d of %d bytes is decoded to something else", file, length, len(data))
			case err != nil && !known(err):
				t.Errorf("%s cut to %d bytes: %v wraps no error of this package", file, length, err)
			}
		}
	}
}

func equal(a, b *Image) bool {
	if a.Width != b.Width || a.Height != b.Height {
		return false
	}
	for n := range a.Samples {
		if a.Samples[n] != b.Samples[n] {
			return false
		}
	}
	return true
}

func known(err error) bool {
	return errors.Is(err, ErrTruncated) || errors.Is(err, ErrDamaged) || errors.Is(err, ErrUnsupported)
}

// TestClaims gives pictures of other sizes than announced, and headers that claim
// huge pictures, as announced, in a few bytes.
func TestClaims(t *testing.T) {
	for _, file := range compressed(t) {
		if filepath.Ext(file) == ".rle" {
			continue
		}
		if _, err := decoders[filepath.Ext(file)](read(t, file), 38, 29); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s read as 38 x 29 pixels: %v, want ErrDamaged", file, err)
		}
	}
	size := func(file string, marker byte, at int, bytesPerSide int) []byte {
		data := bytes.Clone(read(t, file))
		start := bytes.Index(data, []byte{0xff, marker}) + 4 + at
		for n := range 2 * bytesPerSide {
			data[start+n] = 0xff
			if bytesPerSide == 4 && n%4 < 2 { // 65535 of 32 bits
				data[start+n] = 0
			}
		}
		return data
	}
	for name, c := range map[string]struct {
		decode decoder
		data   []byte
	}{
		"lossless JPEG": {JPEGLossless, size("p12_predictor1.jpg", 0xc3, 1, 2)},
		"JPEG-LS":       {JPEGLS, size("p12_lossless.jls", 0xf7, 1, 2)},
		"JPEG":          {JPEGBaseline, size("p8_baseline.jpg", 0xc0, 1, 2)},
		"JPEG 2000":     {JPEG2000, size("p12_plain.j2k", 0x51, 2, 4)},
	} {
		if _, err := c.decode(c.data, 65535, 65535); !errors.Is(err, ErrTruncated) {
			t.Errorf("%s of 65535 x 65535 pixels: %v, want ErrTruncated", name, err)
		}
	}
	if _, err := RLE(read(t, "p8_frame.rle"), 65535, 65535, 1); !errors.Is(err, ErrTruncated) {
		t.Errorf("RLE: %v, want ErrTruncated", err)
	}
}

// TestRestart decodes lossless JPEG with restart markers, which DCMTK cannot
// write: two rows coded by hand after T.81 annexes F and H, with a table of two
// codes. After the restart the prediction begins anew at 2^(8-1).
func TestRestart(t *testing.T) {
	stream := []byte{
		0xff, 0xd8,
		0xff, 0xc4, 0, 21, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // codes: 0 for category 0, 1 for category 1
		0xff, 0xc3, 0, 11, 8, 0, 2, 0, 4, 1, 1, 0x11, 0, // 8 bits, 4 x 2 pixels
		0xff, 0xdd, 0, 4, 0, 4, // restart after 4 pixels
		0xff, 0xda, 0, 8, 1, 1, 0, 1, 0, 0, // predictor 1
		0b11_0_11_0_11, // +1, 0, +1, 0 and padding
		0xff, 0xd0,
		0b0_10_0_10_11, // 0, -1, 0, -1 and padding
		0xff, 0xd9,
	}
	got, err := JPEGLossless(stream, 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := []int32{129, 129, 130, 130, 128, 127, 127, 126}
	for n, v := range got.Samples {
		if v != want[n] {
			t.Fatalf("samples %v, want %v", got.Samples, want)
		}
	}
}

func FuzzRLE(f *testing.F) {
	f.Add(read(f, "p16_frame.rle"), 37, 29, 2)
	f.Add(read(f, "p8_frame.rle"), 37, 29, 1)
	f.Fuzz(func(t *testing.T, data []byte, width, height, bytesPerSample int) {
		if bytesPerSample != 1 && bytesPerSample != 4 {
			bytesPerSample = 2
		}
		check(t, width*height, func() (*Image, error) { return RLE(data, width, height, bytesPerSample) })
	})
}

func FuzzJPEGLossless(f *testing.F) { fuzz(f, "*_predictor?.jpg", JPEGLossless) }

func FuzzJPEGLS(f *testing.F) { fuzz(f, "*.jls", JPEGLS) }

func FuzzJPEG2000(f *testing.F) { fuzz(f, "*.j*2*", JPEG2000) }

func FuzzJPEGBaseline(f *testing.F) { fuzz(f, "*_baseline.jpg", JPEGBaseline) }

func fuzz(f *testing.F, pattern string, decode decoder) {
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) == 0 {
		f.Fatal("no files ", pattern)
	}
	for _, file := range files {
		f.Add(read(f, filepath.Base(file)), uint8(37), uint8(29))
	}
	f.Fuzz(func(t *testing.T, data []byte, width, height uint8) { // larger pictures only make it slow
		check(t, int(width)*int(height), func() (*Image, error) { return decode(data, int(width), int(height)) })
	})
}

// check holds the result of a decoder to its promises.
func check(t *testing.T, samples int, decode func() (*Image, error)) {
	picture, err := decode()
	if err != nil {
		if !known(err) {
			t.Fatalf("%v wraps no error of this package", err)
		}
		return
	}
	if len(picture.Samples) != samples || picture.Bits < 1 {
		t.Fatalf("%d samples of %d bits for %d x %d pixels", len(picture.Samples), picture.Bits, picture.Width, picture.Height)
	}
}
