package cohort

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A testSlice is a DICOM file to write: explicit VR little endian, 16 bits signed.
type testSlice struct {
	series           string // SeriesInstanceUID
	number           int    // SeriesNumber
	instance         int    // InstanceNumber
	uid              string // SOPInstanceUID, unique when empty
	columns, rows    int
	position         [3]float64 // LPS, mm
	row, column      [3]float64
	spacing          [2]float64 // between rows, between columns
	value            func(x, y, z float64) float64
	extra            []byte // further elements
	unplaced         bool
	frames           []testFrame // of a multiframe file; position is then unused
	photometric      string
	samplesPerPixel  int
	withoutPixelData bool
}

// A testFrame is a frame of an enhanced file.
type testFrame struct {
	position [3]float64
	groups   []byte // further functional groups
	value    func(x, y, z float64) float64
}

var slicesWritten int

// tiltedSlice is a series' first slice: turned about all axes, 2 mm between rows and
// 1.5 mm between columns.
func tiltedSlice() testSlice {
	a, b := 0.3, -0.2
	return testSlice{
		series: "1.2.3", number: 4, columns: 5, rows: 4, position: [3]float64{-30.5, 12.25, 7.125},
		row:    [3]float64{math.Cos(a) * math.Cos(b), math.Sin(a) * math.Cos(b), math.Sin(b)},
		column: [3]float64{-math.Sin(a), math.Cos(a), 0}, spacing: [2]float64{2, 1.5},
		value: planes, photometric: "MONOCHROME2", samplesPerPixel: 1,
	}
}

// planes is an image that tells every place from every other: its value changes
// along x, y and z (LPS, mm).
func planes(x, y, z float64) float64 { return 4000 + 100*x + 37*y + 11*z }

// along moves the slice by so many mm along its normal.
func (s testSlice) along(mm float64) testSlice {
	n := cross(s.row, s.column)
	for axis := range 3 {
		s.position[axis] += n[axis] * mm
	}
	return s
}

// numbers writes a DICOM decimal string.
func numbers(values ...float64) string {
	texts := make([]string, len(values))
	for n, v := range values {
		texts[n] = fmt.Sprintf("%.9g", v)
	}
	return strings.Join(texts, `\`)
}

// element writes one data element.
func testElement(tag uint32, vr string, value any) []byte {
	var raw []byte
	switch v := value.(type) {
	case int:
		raw = binary.LittleEndian.AppendUint16(nil, uint16(v))
		if vr == "UL" {
			raw = binary.LittleEndian.AppendUint32(nil, uint32(v))
		}
	case float64:
		raw = binary.LittleEndian.AppendUint64(nil, math.Float64bits(v))
	case string:
		raw = []byte(v)
	case []byte:
		raw = v
	}
	if len(raw)%2 == 1 {
		raw = append(raw, ' ')
	}
	data := binary.LittleEndian.AppendUint16(nil, uint16(tag>>16))
	data = append(binary.LittleEndian.AppendUint16(data, uint16(tag)), vr...)
	if vr == "SQ" || vr == "OW" {
		return append(binary.LittleEndian.AppendUint32(append(data, 0, 0), uint32(len(raw))), raw...)
	}
	return append(binary.LittleEndian.AppendUint16(data, uint16(len(raw))), raw...)
}

// testSequence writes a sequence of items.
func testSequence(tag uint32, items ...[]byte) []byte {
	var value []byte
	for _, item := range items {
		value = append(value, 0xfe, 0xff, 0x00, 0xe0)
		value = append(binary.LittleEndian.AppendUint32(value, uint32(len(item))), item...)
	}
	return testElement(tag, "SQ", value)
}

// bytes encodes the file. A pixel's place follows PS3.3 equation C.7.6.2.1-1.
func (s testSlice) bytes() []byte {
	var out bytes.Buffer
	put := func(tag uint32, vr string, value any) { out.Write(testElement(tag, vr, value)) }
	out.Write(make([]byte, 128))
	out.WriteString("DICM")
	put(0x00020010, "UI", "1.2.840.10008.1.2.1")
	slicesWritten++
	if s.uid == "" {
		s.uid = fmt.Sprintf("1.2.3.4.%d", slicesWritten)
	}
	put(0x00080018, "UI", s.uid)
	put(0x00080060, "CS", "MR")
	put(0x00100010, "PN", "Do^Not^Print")
	put(0x0020000e, "UI", s.series)
	put(0x00200011, "IS", fmt.Sprint(s.number))
	put(0x00200013, "IS", fmt.Sprint(s.instance))
	out.Write(s.extra)
	if s.withoutPixelData {
		return out.Bytes()
	}
	orientation := numbers(s.row[0], s.row[1], s.row[2], s.column[0], s.column[1], s.column[2])
	frames := s.frames
	if frames == nil {
		frames = []testFrame{{position: s.position, value: s.value}}
		if !s.unplaced {
			put(0x00200032, "DS", numbers(s.position[:]...))
			put(0x00200037, "DS", orientation)
		}
		put(0x00280030, "DS", numbers(s.spacing[:]...))
	} else {
		put(0x00280008, "IS", fmt.Sprint(len(frames)))
		var groups [][]byte
		for _, frame := range frames {
			groups = append(groups, append(testSequence(0x00209113, testElement(0x00200032, "DS", numbers(frame.position[:]...))), frame.groups...))
		}
		out.Write(testSequence(0x52009229, append(
			testSequence(0x00209116, testElement(0x00200037, "DS", orientation)),
			testSequence(0x00289110, testElement(0x00280030, "DS", numbers(s.spacing[:]...)))...)))
		out.Write(testSequence(0x52009230, groups...))
	}
	put(0x00280002, "US", s.samplesPerPixel)
	put(0x00280004, "CS", s.photometric)
	put(0x00280010, "US", s.rows)
	put(0x00280011, "US", s.columns)
	for n, value := range []int{16, 16, 15, 1} {
		put(0x00280100+uint32(n), "US", value)
	}
	var pixels []byte
	for _, frame := range frames {
		for r := range s.rows {
			for c := range s.columns {
				var place [3]float64
				for axis := range place {
					place[axis] = frame.position[axis] + s.row[axis]*s.spacing[1]*float64(c) + s.column[axis]*s.spacing[0]*float64(r)
				}
				value := int16(math.Round(frame.value(place[0], place[1], place[2])))
				for range s.samplesPerPixel {
					pixels = binary.LittleEndian.AppendUint16(pixels, uint16(value))
				}
			}
		}
	}
	put(0x7fe00010, "OW", pixels)
	return out.Bytes()
}

// writeSeries writes files into a folder.
func writeSeries(t testing.TB, folder string, files map[string]testSlice) string {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, slice := range files {
		if err := os.WriteFile(filepath.Join(folder, name), slice.bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// stackOf returns slices at the given mm along the normal, named so that the
// order of names is not the order of places.
func stackOf(first testSlice, places ...float64) map[string]testSlice {
	files := map[string]testSlice{}
	for n, mm := range places {
		slice := first.along(mm)
		slice.instance = n + 1
		files[fmt.Sprintf("%c%d.dcm", 'z'-rune(n*7%25), n)] = slice
	}
	return files
}
