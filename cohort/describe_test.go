package cohort

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ballast/stat"
)

// patched is testdata/nifti/NAME with some numbers replaced, in a file of its own.
func patched(t testing.TB, name string, patches map[int]any) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/nifti", name))
	if err != nil {
		t.Fatal(err)
	}
	return inFolder(t, name, patch(t, text, patches))
}

func patch(t testing.TB, text []byte, patches map[int]any) []byte {
	t.Helper()
	for at, value := range patches {
		if _, err := binary.Encode(text[at:], binary.LittleEndian, value); err != nil {
			t.Fatal(err)
		}
	}
	return text
}

func inFolder(t testing.TB, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// One defect of a header at a time gives one note, and a clean header none. The
// offsets are those of nifti1.h.
func TestNotes(t *testing.T) {
	sform := func(values ...float32) []float32 { return values }
	clean := map[int]any{ // 2 x 2 x 3 mm by an sform alone
		76: [4]float32{1, 2, 2, 3}, 123: byte(2), 252: [2]int16{0, 2}, 280: sform(-2, 0, 0, 10, 0, 2, 0, -20, 0, 0, 3, 5),
	}
	for _, c := range []struct {
		name    string
		file    string
		patches map[int]any
		level   string
		says    string
	}{
		{"clean", "int16_le.nii", nil, "", ""},
		{"forms disagree", "int16_le.nii", map[int]any{252: int16(1), 256: [3]float32{0, 0, 1}, 268: [3]float32{10, -20, 5}}, LevelWarning, "sform and qform (LPS) disagree by up to 8 mm"},
		{"forms agree", "int16_le.nii", map[int]any{252: int16(1), 76: float32(-1), 256: [3]float32{0, 1, 0}, 268: [3]float32{10, -20, 5}}, "", ""},
		{"damaged qform", "int16_le.nii", map[int]any{252: int16(1), 256: [3]float32{1, 1, 1}}, LevelInfo, "the qform is damaged"},
		{"no form", "int16_le.nii", map[int]any{252: [2]int16{}}, LevelWarning, "sform_code and qform_code are 0"},
		{"other voxel size", "int16_le.nii", map[int]any{84: float32(4)}, LevelWarning, "the voxel size along axis 2 is 2 mm by the sform, 4 mm by pixdim"},
		{"identity", "int16_le.nii", map[int]any{80: [3]float32{1, 1, 1}, 280: sform(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)}, LevelWarning, "the sform is the identity"},
		{"shear", "int16_le.nii", map[int]any{80: [3]float32{1, 1.118034, 1}, 280: sform(1, 0.5, 0, 3, 0, 1, 0, 0, 0, 0, 1, 0)}, LevelWarning, "axes i and j of the sform meet at 63.4 degrees"},
		{"unknown code", "int16_le.nii", map[int]any{254: int16(9)}, LevelWarning, "sform_code is 9"},
		{"handedness", "int16_le.nii", map[int]any{76: float32(0), 252: [2]int16{1, 0}}, LevelInfo, "pixdim[0]"},
		{"no unit", "int16_le.nii", map[int]any{123: byte(0)}, LevelInfo, "does not say the unit"},
		{"metres", "int16_le.nii", map[int]any{123: byte(1)}, LevelInfo, "stored in metres"},
		{"other unit", "int16_le.nii", map[int]any{123: byte(7)}, LevelWarning, "code 7"},
		{"bitpix", "int16_le.nii", map[int]any{72: int16(32)}, LevelInfo, "bitpix is 32, but int16 has 16 bits"},
		{"slope of NaN", "int16_le.nii", map[int]any{112: float32(math.NaN())}, LevelInfo, "scl_slope is NaN"},
		{"negative slope", "int16_le.nii", map[int]any{112: float32(-1)}, LevelWarning, "scl_slope is negative"},
		{"constant", "int16_le.nii", map[int]any{352: [12]int16{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}}, LevelWarning, "all values are 5"},
		{"colours", "rgb.nii", nil, LevelInfo, "the voxels are colours"},
		{"few NaN", "non_finite.nii", nil, LevelInfo, "2 of 12 values are NaN or infinite"},
		{"large integers", "int32_le.nii", map[int]any{352: int32(-20000001)}, LevelInfo, "whole numbers up to 2147483647"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := patched(t, c.file, clean)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			d, err := Describe(inFolder(t, c.file, patch(t, text, c.patches)))
			if err != nil {
				t.Fatal(err)
			}
			if c.says == "" {
				if len(d.Notes) != 0 {
					t.Errorf("notes %+v, want none", d.Notes)
				}
				return
			}
			if len(d.Notes) != 1 || d.Notes[0].Level != c.level || !strings.Contains(d.Notes[0].Problem, c.says) || d.Notes[0].Fix == "" {
				t.Errorf("notes %+v, want one: %s: %s", d.Notes, c.level, c.says)
			}
		})
	}
}

// A voxel size of 0 or below is repaired, but said.
func TestNotesOfVoxelSizes(t *testing.T) {
	d, err := Describe(patched(t, "int16_le.nii", map[int]any{80: [3]float32{0, -2, 3}, 252: [2]int16{1, 0}}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"the voxel size along axis 1 is 0", "the voxel size along axis 2 is -2"} {
		if !slices.ContainsFunc(d.Notes, func(n Note) bool { return n.Problem == want }) {
			t.Errorf("%q is missing in %+v", want, d.Notes)
		}
	}
}

// Extensions are counted and skipped; a list that claims too much ends there, and
// bytes behind the voxels are said. The first extension has 32 bytes of which 24
// are content.
func TestExtensions(t *testing.T) {
	text, err := os.ReadFile("testdata/nifti/int16_le.nii")
	if err != nil {
		t.Fatal(err)
	}
	with := func(first, second uint32) string {
		little := binary.LittleEndian
		file := slices.Clone(text[:352])
		file[348] = 1
		little.PutUint32(file[108:], math.Float32bits(352+48))
		file = little.AppendUint32(little.AppendUint32(file, first), 6)
		file = append(file, make([]byte, 24)...)
		file = little.AppendUint32(little.AppendUint32(file, second), 4)
		file = append(file, make([]byte, 8)...)
		return inFolder(t, "e.nii", append(append(file, text[352:]...), "more"...))
	}
	plain, err := ReadVolume("testdata/nifti/int16_le.nii")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		first, second uint32
		codes         []int
		notes         []string
	}{
		{32, 16, []int{6, 4}, []string{"4 bytes follow the last voxel"}},
		{32, 1 << 31, []int{6}, []string{"extension 2 claims 2147483648 bytes", "4 bytes follow"}},
		{7, 16, nil, []string{"extension 1 claims 7 bytes", "4 bytes follow"}},
	} {
		path := with(c.first, c.second)
		v, err := ReadVolume(path)
		if err != nil || !slices.Equal(v.Data, plain.Data) {
			t.Errorf("%d, %d: %v %v", c.first, c.second, v, err)
		}
		d, err := Describe(path)
		if err != nil || d.Extensions != len(c.codes) || !slices.Equal(d.ExtensionCodes, c.codes) || len(d.Notes) != 1+len(c.notes) {
			t.Errorf("%d, %d: %+v %v", c.first, c.second, d, err)
			continue
		}
		for n, says := range c.notes {
			if !strings.Contains(d.Notes[n+1].Problem, says) { // the first: its sform is sheared
				t.Errorf("%d, %d: %+v, want %q", c.first, c.second, d.Notes[n], says)
			}
		}
	}
}

// Both files of a pair open it, compressed or not.
func TestPairs(t *testing.T) {
	header, err := os.ReadFile("testdata/nifti/pair.hdr")
	if err != nil {
		t.Fatal(err)
	}
	voxels, err := os.ReadFile("testdata/nifti/pair.img")
	if err != nil {
		t.Fatal(err)
	}
	want, err := ReadVolume("testdata/nifti/pair.hdr")
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range [][2]string{{"a.hdr", "a.img"}, {"a.hdr.gz", "a.img.gz"}, {"a.hdr", "a.img.gz"}} {
		folder := t.TempDir()
		for n, text := range [][]byte{header, voxels} {
			if strings.HasSuffix(names[n], ".gz") {
				text = zipped(text)
			}
			if err := os.WriteFile(filepath.Join(folder, names[n]), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range names {
			path := filepath.Join(folder, name)
			v, err := ReadVolume(path)
			if err != nil || !slices.Equal(v.Data, want.Data) || v.Affine != want.Affine {
				t.Errorf("%v by %s: %v %v", names, name, v, err)
			}
			if d, err := Describe(path); err != nil || !strings.Contains(d.Format, "pair") || d.File != path {
				t.Errorf("%v by %s: %+v %v", names, name, d, err)
			}
		}
	}
	alone := inFolder(t, "alone.img", voxels)
	if _, err := ReadVolume(alone); err == nil {
		t.Error("an .img without header was read")
	}
	alone = inFolder(t, "alone.hdr", header)
	if _, err := ReadVolume(alone); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "alone.img, which is not there") {
		t.Errorf("a .hdr without voxels: %v", err)
	}
}

func zipped(text []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	w.Write(text)
	w.Close()
	return b.Bytes()
}

// One volume of several is described alone.
func TestDescribeAt(t *testing.T) {
	const path = "testdata/nifti/four_dimensions.nii" // 2 x 2 x 2 x 3
	low, high := math.Inf(1), math.Inf(-1)
	for n := range 3 {
		d, err := DescribeAt(path, n)
		if err != nil || d.Volume == nil || *d.Volume != n || d.Volumes != 3 || !slices.Equal(d.Shape, []int{2, 2, 2}) {
			t.Fatalf("volume %d: %+v %v", n, d, err)
		}
		v, same, err := ReadDescribed(path, n)
		if err != nil || same.Min != d.Min || same.Max != d.Max || same.Mean != d.Mean || *same.Volume != n || len(v.Data) != 8 {
			t.Errorf("volume %d: %+v %v, want %+v", n, same, err, d)
		}
		low, high = min(low, float64(d.Min)), max(high, float64(d.Max))
	}
	d, err := Describe(path)
	if err != nil || float64(d.Min) != low || float64(d.Max) != high || d.Volume != nil {
		t.Errorf("%+v %v, want %g to %g", d, err, low, high)
	}
	if _, err := DescribeAt(path, 3); !errors.Is(err, ErrVolumes) {
		t.Errorf("volume 3: %v", err)
	}
}

// Without a finite value there is no statistic, and JSON says null.
func TestDescriptionAsJSON(t *testing.T) {
	nan := float32(math.NaN())
	d, err := Describe(patched(t, "float32_le.nii", map[int]any{352: [12]float32{nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan}}))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(d)
	if err != nil || !strings.Contains(string(text), `"min":null,"max":null,"mean":null,"std":null,"non_finite":12`) {
		t.Errorf("%s %v", text, err)
	}
}

// Moments of blocks are those of the whole, however it is divided; the numbers of
// the first case are those of NIST's data set NumAcc3 (1000000.1 ± 0.1, s = 0.1).
func TestMoments(t *testing.T) {
	numacc3 := []float64{1000000.2}
	for range 500 {
		numacc3 = append(numacc3, 1000000.1, 1000000.3)
	}
	for _, size := range []int{1, 7, 1000, 2000} {
		var m moments
		for part := range slices.Chunk(numacc3, size) {
			m.add(part)
		}
		m.add([]float64{math.NaN(), math.Inf(1)})
		s := math.Sqrt(m.squares / float64(m.count-1))
		if !(math.Abs(m.mean-1000000.2) <= 1e-9) || !(math.Abs(s-0.1) <= 1e-9) || m.nonFinite != 2 || m.min != 1000000.1 || m.max != 1000000.3 {
			t.Errorf("blocks of %d: %+v, s %v", size, m, s)
		}
	}
}

// Released memory is used again and never shows through.
func TestRelease(t *testing.T) {
	first, err := ReadVolume("testdata/nifti/int16_le.nii")
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(first.Data)
	for range 10 {
		v, err := ReadVolume("testdata/nifti/int16_le.nii")
		if err != nil || !slices.Equal(v.Data, want) {
			t.Fatalf("%v %v, want %v", v, err, want)
		}
		for n := range v.Data {
			v.Data[n] = -1
		}
		v.Release()
		if v.Data != nil {
			t.Fatal("released data are still there")
		}
		v.Release()
	}
	if !slices.Equal(first.Data, want) {
		t.Error("an image that was not released has changed")
	}
}

// claims are small files whose headers announce gigabytes.
func claims(t testing.TB) map[string][]byte {
	t.Helper()
	little := binary.LittleEndian
	nifti1 := func(dims ...uint16) []byte {
		text, err := os.ReadFile("testdata/nifti/int16_le.nii")
		if err != nil {
			t.Fatal(err)
		}
		little.PutUint16(text[40:], uint16(len(dims)))
		for n, size := range dims {
			little.PutUint16(text[42+2*n:], size)
		}
		return append(text, make([]byte, 1000-len(text))...)
	}
	nifti2, err := os.ReadFile("testdata/nifti/nifti2_le.nii")
	if err != nil {
		t.Fatal(err)
	}
	for n, size := range []uint64{3, 800, 800, 800} {
		little.PutUint64(nifti2[16+8*n:], size)
	}
	extended := nifti1(2, 3, 2)
	extended[348] = 1
	little.PutUint32(extended[108:], math.Float32bits(1<<27))
	little.PutUint32(extended[352:], 1<<26)
	pictures := map[string][]byte{}
	for name, encode := range encoders {
		p := image.NewGray16(image.Rect(0, 0, 3, 2))
		paint(p)
		var small image.Image = p
		if name == "BMP" {
			colours := image.NewNRGBA(image.Rect(0, 0, 3, 2))
			paint(colours)
			small = colours
		}
		pictures[name] = encode(t, small)
	}
	binary.BigEndian.PutUint32(pictures["PNG"][16:], 11000)
	binary.BigEndian.PutUint32(pictures["PNG"][20:], 11000)
	binary.BigEndian.PutUint32(pictures["PNG"][29:], pngChecksum(pictures["PNG"][12:29]))
	little.PutUint32(pictures["BMP"][18:], 11000)
	little.PutUint32(pictures["BMP"][22:], 11000)
	for _, name := range []string{"TIFF", "deflate TIFF"} {
		widenTIFF(pictures[name], 11000)
	}
	var jpegText bytes.Buffer
	if err := jpeg.Encode(&jpegText, image.NewGray(image.Rect(0, 0, 3, 2)), nil); err != nil {
		t.Fatal(err)
	}
	pictures["JPEG"] = jpegText.Bytes()
	frame := bytes.Index(pictures["JPEG"], []byte{0xff, 0xc0})
	copy(pictures["JPEG"][frame+5:], []byte{0x2a, 0xf8, 0x2a, 0xf8}) // height, width: 11000
	all := map[string][]byte{
		"10 GB of NIfTI-1":            nifti1(2000, 2000, 1250),
		"1 GB of NIfTI-1":             nifti1(800, 800, 800),
		"10 GB in 10 volumes":         nifti1(800, 800, 800, 10),
		"10 GB in tiny volumes":       nifti1(10, 10, 10, 30000, 100),
		"1 GB of NIfTI-2":             nifti2,
		"a 64 MB extension":           extended,
		"gzip of 10 GB":               zipped(nifti1(2000, 2000, 1250)),
		"gzip of 1 GB":                zipped(nifti1(800, 800, 800)),
		"gzip of 10 GB in 10 volumes": zipped(nifti1(800, 800, 800, 10)),
		"gzip of tiny volumes":        zipped(nifti1(10, 10, 10, 30000, 100)),
		"gzip of a 64 MB extension":   zipped(extended),
	}
	for name, text := range pictures {
		all["121 megapixels of "+name] = text
	}
	return all
}

func pngChecksum(chunk []byte) uint32 {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(chunk)
	w.Close()
	return binary.LittleEndian.Uint32(b.Bytes()[b.Len()-8:]) // gzip has the same CRC-32
}

// widenTIFF writes width and height into the first directory.
func widenTIFF(text []byte, size uint32) {
	little := binary.LittleEndian
	directory := text[little.Uint32(text[4:]):]
	for e := range int(little.Uint16(directory)) {
		if entry := directory[2+12*e:]; little.Uint16(entry) == 256 || little.Uint16(entry) == 257 {
			little.PutUint16(entry[2:], 4)
			little.PutUint32(entry[8:], size)
		}
	}
}

// A file of a kilobyte that claims gigabytes is refused with one line before more
// than four megabytes are taken, by every way of reading it.
func TestClaimsDoNotAllocate(t *testing.T) {
	const most = 4 << 20
	for name, text := range claims(t) {
		t.Run(name, func(t *testing.T) {
			if len(text) > 1100 {
				t.Fatalf("the file has %d bytes", len(text))
			}
			path := inFolder(t, "claim.nii", text)
			for way, read := range map[string]func() error{
				"ReadVolume":    func() error { _, err := ReadVolume(path); return err },
				"ReadVolumeAt":  func() error { _, err := ReadVolumeAt(path, 0); return err },
				"Describe":      func() error { _, err := Describe(path); return err },
				"ReadDescribed": func() error { _, _, err := ReadDescribed(path, 0); return err },
			} {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				err := read()
				runtime.ReadMemStats(&after)
				if err == nil || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: error %v", way, err)
				}
				if taken := after.TotalAlloc - before.TotalAlloc; taken > most {
					t.Errorf("%s: %d bytes were allocated for a file of %d", way, taken, len(text))
				}
			}
		})
	}
}

// A gzip file that could hold what its header claims, but does not, takes no more
// than 64 times its own size.
func TestGzipClaimsGrowSlowly(t *testing.T) {
	text, err := os.ReadFile("testdata/nifti/int16_le.nii")
	if err != nil {
		t.Fatal(err)
	}
	for axis, size := range []uint16{600, 600, 600} { // 432 MB
		binary.LittleEndian.PutUint16(text[42+2*axis:], size)
	}
	stream := stat.NewStream(3, "claim")
	for range 500_000 {
		text = append(text, byte(stream.Uint32()))
	}
	file := zipped(text)
	path := inFolder(t, "claim.nii.gz", file)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = ReadVolume(path)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrTruncated) {
		t.Errorf("error %v, want %v", err, ErrTruncated)
	}
	if taken := after.TotalAlloc - before.TotalAlloc; taken > uint64(64*len(file)+4<<20) {
		t.Errorf("%d bytes were allocated for a file of %d", taken, len(file))
	}
}

// A gzip file of 2 MB that goes on for 2 GB of zeros behind its voxels is not
// read to its end, and pictures are not looked for inside gzip at all.
func TestGzipBombs(t *testing.T) {
	good, err := os.ReadFile("testdata/nifti/int16_le.nii")
	if err != nil {
		t.Fatal(err)
	}
	bomb := zipped(good)
	zeros := zipped(make([]byte, 64<<20))
	for range 32 {
		bomb = append(bomb, zeros...)
	}
	path := inFolder(t, "bomb.nii.gz", bomb)
	for name, read := range map[string]func() error{
		"ReadVolume": func() error { _, err := ReadVolume(path); return err },
		"Describe":   func() error { _, err := Describe(path); return err },
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := read()
		runtime.ReadMemStats(&after)
		if taken := after.TotalAlloc - before.TotalAlloc; err != nil || taken > 4<<20 {
			t.Errorf("%s: %d bytes, %v", name, taken, err)
		}
	}
	p := image.NewGray(image.Rect(0, 0, 2, 2))
	p.SetGray(0, 0, color.Gray{9})
	if _, err := ReadVolume(inFolder(t, "p.png.gz", zipped(encoders["PNG"](t, p)))); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "unpack it") {
		t.Errorf("PNG inside gzip: %v", err)
	}
}

// Decoding straight to float32 gives the bits that rounding from float64 gives,
// whatever the byte order and the size of the file.
func TestDecodeIsExact(t *testing.T) {
	const voxels = 3*block/2 + 17
	stream := stat.NewStream(7, "decode")
	for code, kind := range datatypes {
		raw := make([]byte, voxels*kind.size)
		for n := range raw {
			raw[n] = byte(stream.Uint32())
		}
		clear(raw[1003:5001]) // background, which has a shortcut
		wide := make([]float64, voxels)
		kind.widen(wide, raw)
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			stored := slices.Clone(raw)
			if order == binary.BigEndian {
				for word := range slices.Chunk(stored, kind.word) {
					slices.Reverse(word)
				}
			}
			for _, scaling := range [][2]float64{{1, 0}, {0.37, -12.5}} {
				source, err := newSource(bytes.NewReader(stored), int64(len(stored)))
				if err != nil {
					t.Skip(fmt.Sprint("random bytes look like gzip: ", err))
				}
				data, read, err := kind.decode(source, voxels, 0, order, scaling[0], scaling[1])
				if err != nil || read != int64(len(raw)) {
					t.Fatalf("type %d: %d bytes, %v", code, read, err)
				}
				for n, x := range wide {
					want := float32(x)
					if scaling[0] != 1 {
						want = float32(float64(x*scaling[0]) + scaling[1])
					}
					if want == want && math.Float32bits(data[n]) != math.Float32bits(want) {
						t.Fatalf("type %d, %v, scaling %v: voxel %d = %v, want %v", code, order, scaling, n, data[n], want)
					}
				}
			}
		}
	}
}
