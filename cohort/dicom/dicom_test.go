package dicom

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// put writes a data element of explicit VR; a sequence's value is its items.
func put(order binary.AppendByteOrder, t uint32, vr string, value []byte) []byte {
	if len(value)%2 == 1 {
		value = append(value, ' ')
	}
	data := order.AppendUint16(order.AppendUint16(nil, uint16(t>>16)), uint16(t))
	data = append(data, vr...)
	switch vr {
	case "OB", "OW", "SQ", "UN", "UT":
		data = order.AppendUint32(append(data, 0, 0), uint32(len(value)))
	default:
		data = order.AppendUint16(data, uint16(len(value)))
	}
	return append(data, value...)
}

func text(t uint32, vr, value string) []byte {
	return put(binary.LittleEndian, t, vr, []byte(value))
}

func short(t uint32, value int) []byte {
	return put(binary.LittleEndian, t, "US", binary.LittleEndian.AppendUint16(nil, uint16(value)))
}

// item wraps elements as a sequence's item of known length.
func item(elements ...[]byte) []byte {
	value := bytes.Join(elements, nil)
	return append([]byte{0xfe, 0xff, 0x00, 0xe0, byte(len(value)), byte(len(value) >> 8), byte(len(value) >> 16), 0}, value...)
}

func sequence(t uint32, items ...[]byte) []byte {
	return put(binary.LittleEndian, t, "SQ", bytes.Join(items, nil))
}

// part10 puts preamble and file meta information before a data set.
func part10(syntax string, elements ...[]byte) []byte {
	return bytes.Join(append([][]byte{make([]byte, 128), []byte("DICM"), text(0x00020010, "UI", syntax)}, elements...), nil)
}

// header is the description of a picture of 2 rows and 3 columns, 16 bits.
func header() []byte {
	return bytes.Join([][]byte{short(0x00280002, 1), text(0x00280004, "CS", "MONOCHROME2"), short(0x00280010, 2), short(0x00280011, 3),
		short(0x00280100, 16), short(0x00280101, 12), short(0x00280102, 11), short(0x00280103, 0)}, nil)
}

// pixels are 0x0ff1 ... 0x0ff6 with rubbish in the four bits that are not stored.
var pixels = put(binary.LittleEndian, tagPixelData, "OW", []byte{0xf1, 0x8f, 0xf2, 0x7f, 0xf3, 0x0f, 0xf4, 0x0f, 0xf5, 0x0f, 0xf6, 0x0f})

func TestParse(t *testing.T) {
	data := part10(ExplicitLittleEndian, text(0x0020000e, "UI", "1.2.3\x00"), text(0x00200011, "IS", " 7 "), text(0x00200032, "DS", `1.5\-2\3e1`), header(), pixels)
	f, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if f.SeriesUID != "1.2.3" || f.SeriesNumber != 7 || f.Rows != 2 || f.Columns != 3 || f.NumberOfFrames != 1 || fmt.Sprint(f.Frames[0].Position) != "[1.5 -2 30]" {
		t.Errorf("parsed %+v", f)
	}
	stored, err := f.Stored(0)
	if err != nil || fmt.Sprint(stored) != "[4081 4082 4083 4084 4085 4086]" {
		t.Errorf("stored %v, %v; want 4081 to 4086, the low 12 bits", stored, err)
	}
}

// TestSigned holds sign extension from the highest stored bit, and a stored range
// that does not begin at bit 0, against PS3.5 section 8.1.1.
func TestSigned(t *testing.T) {
	for _, c := range []struct {
		allocated, stored, high int
		signed                  bool
		raw, want               int32
	}{
		{16, 12, 11, true, 0x0fff, -1}, {16, 12, 11, true, 0x07ff, 2047}, {16, 12, 11, true, 0xf800, -2048},
		{16, 12, 15, false, 0xabcd, 0xabc}, {16, 12, 15, true, 0xabcd, 0xabc - 0x1000},
		{8, 8, 7, true, 0x80, -128}, {8, 8, 7, false, 0x80, 128}, {16, 16, 15, false, 0xffff, 65535}, {32, 32, 31, true, -5, -5},
	} {
		f := &File{BitsAllocated: c.allocated, BitsStored: c.stored, HighBit: c.high, Signed: c.signed}
		if got := f.interpret(c.raw); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// TestNamesAreNotDecoded puts names and identifiers of a patient where DICOM has
// them and looks for them in all that a File holds and in all that the parser got.
func TestNamesAreNotDecoded(t *testing.T) {
	secret := "SECRET"
	var identifying [][]byte
	for _, each := range []struct {
		t  uint32
		vr string
	}{{0x00100010, "PN"}, {0x00100020, "LO"}, {0x00100030, "DA"}, {0x00080090, "PN"}, {0x00080050, "SH"}, {0x00081030, "LO"}, {0x00204000, "LT"}, {0x00091001, "LO"}} {
		identifying = append(identifying, text(each.t, each.vr, secret))
	}
	nested := sequence(0x00081140, item(identifying...))
	groups := sequence(0x52009229, item(append(identifying, sequence(0x00209113, item(text(0x00200032, "DS", `1\2\3`), text(0x00100010, "PN", secret))))...))
	data := part10(ExplicitLittleEndian, bytes.Join(identifying, nil), nested, groups, header(), pixels)
	f, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(f.Frames[0].Position) != "[1 2 3]" {
		t.Errorf("position %v of the shared functional groups", f.Frames[0].Position)
	}
	f.Release()
	if strings.Contains(fmt.Sprintf("%+v", f), secret) {
		t.Error("a File holds a patient's data")
	}
	body, _, err := readMeta(data)
	if err != nil {
		t.Fatal(err)
	}
	w := &walker{data: body, order: binary.LittleEndian, creators: map[uint32]string{}}
	if _, err := w.walk(0, len(body), false, true, 0, 0); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(w.clean, []byte(secret)) {
		t.Error("the parser was given a patient's data")
	}
}

// TestHostile gives files that make a trusting parser allocate, recurse or hang.
func TestHostile(t *testing.T) {
	deep := header()
	for range 200_000 {
		deep = append(deep, 0x08, 0x00, 0x40, 0x11, 'S', 'Q', 0, 0, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff)
	}
	huge := bytes.Replace(header(), short(0x00280010, 2), short(0x00280010, 65535), 1)
	huge = bytes.Replace(huge, short(0x00280011, 3), short(0x00280011, 65535), 1)
	claim := bytes.Clone(pixels)
	binary.LittleEndian.PutUint32(claim[8:], 0xfffffffe)
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"200,000 nested sequences":         {part10(ExplicitLittleEndian, deep), ErrDamaged},
		"65535 x 65535 pixels in 12 bytes": {part10(ExplicitLittleEndian, huge, pixels), ErrTruncated},
		"pixel data of 4 GiB":              {part10(ExplicitLittleEndian, header(), claim), ErrTruncated},
		"2 billion frames":                 {part10(ExplicitLittleEndian, header(), text(0x00280008, "IS", "2147483647"), pixels), ErrTruncated},
		"an element of 4 GiB":              {part10(ExplicitLittleEndian, []byte{0x09, 0, 0x10, 0, 'O', 'B', 0, 0, 0xf0, 0xff, 0xff, 0xff}), ErrTruncated},
		"UN of undefined length":           {part10(ExplicitLittleEndian, []byte{0x09, 0, 0x10, 0x10, 'U', 'N', 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8}), ErrDamaged},
		"a delimiter alone":                {part10(ExplicitLittleEndian, []byte{0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0}), ErrDamaged},
		"no transfer syntax":               {bytes.Join([][]byte{make([]byte, 128), []byte("DICM"), text(0x00020003, "UI", "1.2"), {9, 9, 9, 9, 9, 9, 9, 9}}, nil), ErrDamaged},
		"2 million frames":                 {part10(ExplicitLittleEndian, header(), put(binary.LittleEndian, 0x52009230, "SQ", bytes.Repeat(item(), 2_000_000)), pixels), ErrUnsupported},
		"colour":                           {part10(ExplicitLittleEndian, bytes.Replace(header(), short(0x00280002, 1), short(0x00280002, 3), 1), pixels), ErrUnsupported},
		"a position of two numbers":        {part10(ExplicitLittleEndian, text(0x00200032, "DS", `1\2`), header(), pixels), ErrDamaged},
		"a slope that is no number":        {part10(ExplicitLittleEndian, text(0x00281053, "DS", "one"), header(), pixels), ErrDamaged},
		"not DICOM":                        {bytes.Repeat([]byte("no "), 100), ErrFormat},
		"nothing":                          {nil, ErrFormat},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse(c.data)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20+4*uint64(len(c.data)) {
			t.Errorf("%s: %d bytes were allocated for %d", name, used, len(c.data))
		}
	}
}

// TestBomb inflates a kilobyte that holds a megabyte, with a lower limit.
func TestBomb(t *testing.T) {
	var bomb bytes.Buffer
	w, _ := flate.NewWriter(&bomb, flate.BestCompression)
	w.Write(make([]byte, 1<<20))
	w.Close()
	if _, err := inflate(bomb.Bytes(), 1<<19); !errors.Is(err, ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
	if data, err := inflate(bomb.Bytes(), 1<<20); err != nil || len(data) != 1<<20 {
		t.Errorf("%d bytes, %v, at the limit", len(data), err)
	}
}

// TestCut parses every beginning of a file with functional groups: it is either
// refused or lacks its pixels; only the whole file is read.
func TestCut(t *testing.T) {
	groups := sequence(0x52009230, item(sequence(0x00209113, item(text(0x00200032, "DS", `1\2\3`)))))
	data := part10(ExplicitLittleEndian, header(), groups, pixels)
	for length := range data {
		f, err := Parse(data[:length])
		if err == nil && f.HasPixels {
			t.Errorf("cut to %d of %d bytes it is read", length, len(data))
		}
	}
	if _, err := Parse(data); err != nil {
		t.Error(err)
	}
}

// TestEncodings writes one data set in other ways: without preamble, deflated,
// with wanted attributes as UN, with rubbish behind the pixels.
func TestEncodings(t *testing.T) {
	plain := bytes.Join([][]byte{text(0x00080008, "CS", `ORIGINAL\PRIMARY`), text(0x00200032, "DS", `1\2\3`), header()}, nil)
	unknown := bytes.Join([][]byte{text(0x00080008, "CS", `ORIGINAL\PRIMARY`),
		put(binary.LittleEndian, 0x00200032, "UN", []byte(`1\2\3 `)), header()}, nil)
	var deflated bytes.Buffer
	w, _ := flate.NewWriter(&deflated, flate.BestCompression)
	w.Write(plain)
	w.Write(pixels)
	w.Close()
	for name, data := range map[string][]byte{
		"plain":            part10(ExplicitLittleEndian, plain, pixels),
		"no preamble":      append(bytes.Clone(plain), pixels...),
		"deflated":         part10(DeflatedLittleEndian, deflated.Bytes()),
		"wrong syntax":     part10(ImplicitLittleEndian, plain, pixels),
		"UN":               part10(ExplicitLittleEndian, unknown, pixels),
		"trailing padding": part10(ExplicitLittleEndian, plain, pixels, text(0xfffcfffc, "OB", "\x00\x00"), make([]byte, 77)),
	} {
		f, err := Parse(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		stored, err := f.Stored(0)
		if err != nil || stored[5] != 4086 || fmt.Sprint(f.Frames[0].Position) != "[1 2 3]" || !IsDICOM(data) {
			t.Errorf("%s: stored %v, %v, position %v", name, stored, err, f.Frames[0].Position)
		}
	}
}

// TestFragments joins the parts of frames by the basic offset table, or by where
// JPEG streams begin, and refuses what neither tells apart.
func TestFragments(t *testing.T) {
	part := func(data ...byte) []byte { return item(data) }
	for name, c := range map[string]struct {
		items [][]byte
		want  string
	}{
		"offsets":          {[][]byte{part(0, 0, 0, 0, 20, 0, 0, 0), part(1, 2), part(3, 4), part(5, 6)}, "[1 2 3 4] [5 6]"},
		"one for each":     {[][]byte{part(), part(1, 2), part(5, 6)}, "[1 2] [5 6]"},
		"JPEG":             {[][]byte{part(), part(0xff, 0xd8, 0xff, 1), part(3, 4), part(0xff, 0xd8, 0xff, 2)}, "[255 216 255 1 3 4] [255 216 255 2]"},
		"JPEG 2000":        {[][]byte{part(), part(0xff, 0x4f, 0xff, 0x51), part(0xff, 0x4f, 0xff, 0x51), part(7, 8)}, "[255 79 255 81] [255 79 255 81 7 8]"},
		"cannot be told":   {[][]byte{part(), part(1, 2), part(3, 4), part(5, 6)}, "refused refused"},
		"offsets that lie": {[][]byte{part(0, 0, 0, 0, 99, 0, 0, 0), part(1, 2), part(3, 4), part(5, 6)}, "[1 2 3 4 5 6] refused"},
	} {
		pixelData := bytes.Join(append(append([][]byte{{0xe0, 0x7f, 0x10, 0x00, 'O', 'B', 0, 0, 0xff, 0xff, 0xff, 0xff}}, c.items...),
			[]byte{0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0}), nil)
		f, err := Parse(part10(RLELossless, header(), text(0x00280008, "IS", "2"), pixelData))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for frame := range 2 {
			data, err := f.frameData(frame)
			if err == nil {
				got = append(got, fmt.Sprint(data))
			} else if errors.Is(err, ErrUnsupported) {
				got = append(got, "refused")
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}

// shared returns the folder of the test files, see ../../docs/formats.md.
func shared(t testing.TB) string {
	top := os.Getenv("BALLAST_SHARED")
	if top == "" {
		top = filepath.Join("..", "..", "..", "shared")
	}
	folder := filepath.Join(top, "data", "formats")
	if _, err := os.Stat(filepath.Join(folder, "expected.json")); err != nil {
		t.Skip("test files of formats: shared data absent")
	}
	return folder
}

// TestShared compares attributes and stored pixels of all DICOM files with
// expected.json (pydicom 2.3.1 with GDCM 3.0.21). Lossy pixels may differ by 1,
// and their sum by 1 in 100 pixels.
func TestShared(t *testing.T) {
	folder := shared(t)
	text, err := os.ReadFile(filepath.Join(folder, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expected struct {
		Files []struct {
			File, Kind, Photometric string
			Syntax                  string `json:"transfer_syntax_uid"`
			Rows, Columns, Frames   int
			Allocated               int       `json:"bits_allocated"`
			Stored                  int       `json:"bits_stored"`
			Representation          int       `json:"pixel_representation"`
			Spacing                 []float64 `json:"pixel_spacing"`
			Position                []float64 `json:"image_position"`
			Orientation             []float64 `json:"image_orientation"`
			Slope                   *float64  `json:"rescale_slope"`
			Intercept               *float64  `json:"rescale_intercept"`
			Thickness               float64   `json:"slice_thickness"`
			Instance                int       `json:"instance_number"`
			Lossy                   bool
			Stats                   struct{ Min, Max, Sum int64 } `json:"stats_stored"`
			Pixels                  []struct {
				Index  []int
				Stored int32
			}
		}
	}
	if err := json.Unmarshal(text, &expected); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, want := range expected.Files {
		if want.Kind != "dicom" || strings.HasSuffix(want.File, ".gz") {
			continue
		}
		compared++
		t.Run(filepath.Base(want.File), func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(folder, want.File))
			if err != nil {
				t.Fatal(err)
			}
			f, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			slope, intercept := 1.0, 0.0
			if want.Slope != nil {
				slope, intercept = *want.Slope, *want.Intercept
			}
			if f.TransferSyntax != want.Syntax || f.Rows != want.Rows || f.Columns != want.Columns || f.NumberOfFrames != want.Frames ||
				f.BitsAllocated != want.Allocated || f.BitsStored != want.Stored || f.Signed != (want.Representation == 1) ||
				f.Photometric != want.Photometric || f.InstanceNumber != want.Instance || f.Lossy != want.Lossy {
				t.Errorf("attributes %+v, want %+v", f, want)
			}
			first := f.Frames[0]
			if fmt.Sprint(first.PixelSpacing, first.Position, first.Orientation, first.SliceThickness, first.Slope, first.Intercept) !=
				fmt.Sprint(want.Spacing, want.Position, want.Orientation, want.Thickness, slope, intercept) {
				t.Errorf("frame %+v, want %+v", first, want)
			}
			var frames [][]int32
			low, high, sum, count := int64(1<<40), int64(-1<<40), int64(0), int64(0)
			for n := range f.NumberOfFrames {
				stored, err := f.Stored(n)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range stored {
					low, high, sum = min(low, int64(v)), max(high, int64(v)), sum+int64(v)
				}
				count += int64(len(stored))
				frames = append(frames, stored)
			}
			tolerance, sumTolerance := int64(0), int64(0)
			if want.Lossy {
				tolerance, sumTolerance = 1, count/100
			}
			if far(low, want.Stats.Min, tolerance) || far(high, want.Stats.Max, tolerance) || far(sum, want.Stats.Sum, sumTolerance) {
				t.Errorf("min %d max %d sum %d, want %+v", low, high, sum, want.Stats)
			}
			for _, pixel := range want.Pixels {
				at := pixel.Index
				if len(at) == 2 {
					at = []int{0, at[0], at[1]}
				}
				if got := frames[at[0]][at[1]*f.Columns+at[2]]; far(int64(got), int64(pixel.Stored), tolerance) {
					t.Errorf("pixel %v is %d, want %d", pixel.Index, got, pixel.Stored)
				}
			}
		})
	}
	if compared < 45 {
		t.Errorf("only %d files compared", compared)
	}
}

func far(a, b, tolerance int64) bool { return a-b > tolerance || b-a > tolerance }

func FuzzParse(f *testing.F) {
	f.Add(part10(ExplicitLittleEndian, text(0x00080008, "CS", `ORIGINAL\MOSAIC`), header(),
		sequence(0x52009230, item(sequence(0x00209113, item(text(0x00200032, "DS", `1\2\3`))))), pixels))
	f.Add(append(header(), pixels...))
	f.Add(part10(ImplicitLittleEndian, []byte{8, 0, 8, 0, 2, 0, 0, 0, 'A', ' '}))
	f.Add(part10(RLELossless, header(), []byte{0xe0, 0x7f, 0x10, 0x00, 'O', 'B', 0, 0, 0xff, 0xff, 0xff, 0xff}, item(), item(make([]byte, 70)), []byte{0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0}))
	f.Add(part10(ExplicitLittleEndian, text(0x00290010, "LO", "SIEMENS CSA HEADER"), put(binary.LittleEndian, 0x00291010, "OB", append([]byte("SV10\x04\x03\x02\x01\x01\x00\x00\x00\x4d\x00\x00\x00NumberOfImagesInMosaic"), make([]byte, 100)...)), header(), pixels))
	f.Fuzz(func(t *testing.T, data []byte) {
		// The parser writes to the standard log what it stumbles over; the walker
		// must leave it nothing.
		var logged bytes.Buffer
		log.SetOutput(&logged)
		file, err := Parse(data)
		if logged.Len() > 0 {
			t.Fatalf("the parser logged %q", logged.String())
		}
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("%v wraps no error of this package", err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("an error of several lines: %v", err)
			}
			return
		}
		if mosaic, err := file.Mosaic(); err == nil && mosaic != nil {
			if stored, err := file.Stored(0); err == nil {
				mosaic.Tile(stored, mosaic.Tiles-1)
			}
		}
		for n := range min(file.NumberOfFrames, 4) {
			if stored, err := file.Stored(n); err == nil && len(stored) != file.Rows*file.Columns {
				t.Fatalf("%d pixels of %d x %d", len(stored), file.Columns, file.Rows)
			}
		}
	})
}
