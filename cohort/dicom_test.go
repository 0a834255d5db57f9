package cohort

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ballast/cohort/dicom"
)

// holdsPlanes checks that every voxel has the value that the image has at the
// place where the affine puts the voxel. Values were rounded when written.
func holdsPlanes(t *testing.T, v *Volume, image func(x, y, z float64) float64) {
	t.Helper()
	for k := range v.Shape[2] {
		for j := range v.Shape[1] {
			for i := range v.Shape[0] {
				var place [3]float64
				for axis := range place {
					place[axis] = v.Affine[axis][0]*float64(i) + v.Affine[axis][1]*float64(j) + v.Affine[axis][2]*float64(k) + v.Affine[axis][3]
				}
				want := image(-place[0], -place[1], place[2]) // RAS to LPS
				if got := float64(v.At(i, j, k)); !(math.Abs(got-want) < 0.501) {
					t.Fatalf("voxel (%d, %d, %d) is %g, the image has %g at its place", i, j, k, got, want)
				}
			}
		}
	}
}

func hasNote(notes []Note, part string) bool {
	return slices.ContainsFunc(notes, func(n Note) bool { return strings.Contains(n.Problem, part) })
}

// TestDICOMSeries reads an oblique series whose files are in no order.
func TestDICOMSeries(t *testing.T) {
	folder := writeSeries(t, t.TempDir(), stackOf(tiltedSlice(), 0, -7.5, 2.5, -2.5, 5, -5))
	if err := os.WriteFile(filepath.Join(folder, "notes.txt"), []byte("not a slice"), 0o644); err != nil {
		t.Fatal(err)
	}
	v, err := ReadVolume(folder)
	if err != nil {
		t.Fatal(err)
	}
	if v.Shape != [3]int{5, 4, 6} || !(math.Abs(v.Spacing[0]-1.5)+math.Abs(v.Spacing[1]-2)+math.Abs(v.Spacing[2]-2.5) < 1e-5) {
		t.Errorf("shape %v, spacing %v; want 5 x 4 x 6 at 1.5 x 2 x 2.5 mm", v.Shape, v.Spacing)
	}
	holdsPlanes(t, v, planes)
	d, err := Describe(folder)
	if err != nil || len(d.Notes) != 0 || d.Volumes != 1 || d.Dtype != "int16" {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestDICOMTilt reads slices that are shifted along their planes, as by a tilted
// gantry: the affine must hold the shear.
func TestDICOMTilt(t *testing.T) {
	files := stackOf(tiltedSlice(), 0, 3, 6, 9)
	for name, slice := range files {
		for axis := range 3 {
			slice.position[axis] += slice.column[axis] * float64(slice.instance) * 0.8
		}
		files[name] = slice
	}
	folder := writeSeries(t, t.TempDir(), files)
	v, err := ReadVolume(folder)
	if err != nil {
		t.Fatal(err)
	}
	holdsPlanes(t, v, planes)
	if d, err := Describe(folder); err != nil || !hasNote(d.Notes, "tilted gantry") {
		t.Errorf("notes %+v, %v: the shear is not noted", d, err)
	}
}

// TestDICOMEnhanced writes the slices of two time points as frames of one file,
// in no order, and reads each time point.
func TestDICOMEnhanced(t *testing.T) {
	s := tiltedSlice()
	later := func(x, y, z float64) float64 { return planes(x, y, z) + 1000 }
	for _, each := range []struct {
		place float64
		time  int
	}{{4, 2}, {0, 1}, {2, 2}, {4, 1}, {0, 2}, {2, 1}} {
		frame := testFrame{position: s.along(each.place).position, value: planes,
			groups: testSequence(0x00209111, testElement(0x00209128, "UL", each.time))}
		if each.time == 2 {
			frame.value = later
		}
		s.frames = append(s.frames, frame)
	}
	path := filepath.Join(writeSeries(t, t.TempDir(), map[string]testSlice{"enhanced": s}), "enhanced")
	if _, err := ReadVolume(path); !errors.Is(err, ErrVolumes) || !strings.Contains(err.Error(), "2 temporal positions 1, 2") {
		t.Errorf("%v; want ErrVolumes with the two time points", err)
	}
	for index, image := range []func(x, y, z float64) float64{planes, later} {
		v, err := ReadVolumeAt(path, index)
		if err != nil {
			t.Fatal(err)
		}
		if v.Shape != [3]int{5, 4, 3} {
			t.Errorf("shape %v", v.Shape)
		}
		holdsPlanes(t, v, image)
	}
	if _, err := ReadVolumeAt(path, 2); !errors.Is(err, ErrVolumes) {
		t.Errorf("volume 2 of 2: %v", err)
	}
	if d, err := Describe(path); err != nil || d.Volumes != 2 || !slices.Equal(d.Shape, []int{5, 4, 3, 2}) {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestDICOMEncodings reads one enhanced file, its frames in no order, as DCMTK
// encoded it in six ways (testdata/dicom/README.md).
func TestDICOMEncodings(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "dicom", "*.dcm"))
	if err != nil || len(files) != 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		v, d, err := ReadDescribed(file, Unchosen)
		if err != nil {
			t.Error(err)
			continue
		}
		if v.Shape != [3]int{20, 16, 6} {
			t.Errorf("%s: shape %v", file, v.Shape)
		}
		holdsPlanes(t, v, planes)
		if text := fmt.Sprintf("%+v", d); strings.Contains(text, "Do^Not") {
			t.Errorf("%s: the description names the patient: %s", file, text)
		}
	}
}

// TestDICOMEchoes orders the volumes of a classic series by echo time, whatever
// the files' names and numbers, and refuses slices that cannot be told apart.
func TestDICOMEchoes(t *testing.T) {
	files := map[string]testSlice{}
	for echo, time := range []float64{80, 15} {
		for n := range 3 {
			s := tiltedSlice().along(float64(n) * 4)
			s.instance = 10*echo + n
			s.extra = testElement(0x00180081, "DS", numbers(time))
			s.value = func(x, y, z float64) float64 { return planes(x, y, z) + time }
			files[fmt.Sprintf("%d-%d", n, echo)] = s
		}
	}
	folder := writeSeries(t, t.TempDir(), files)
	if _, err := ReadVolume(folder); !errors.Is(err, ErrVolumes) || !strings.Contains(err.Error(), "2 echo times (ms) 15, 80") {
		t.Errorf("%v; want ErrVolumes with the echo times", err)
	}
	for index, time := range []float64{15, 80} {
		v, err := ReadVolumeAt(folder, index)
		if err != nil {
			t.Fatal(err)
		}
		holdsPlanes(t, v, func(x, y, z float64) float64 { return planes(x, y, z) + time })
	}
	mixed := maps.Clone(files)
	s := mixed["1-0"]
	s.extra = testElement(0x00180081, "DS", "33")
	mixed["1-0"] = s
	if _, err := ReadVolumeAt(writeSeries(t, t.TempDir(), mixed), 0); !errors.Is(err, ErrUnsupported) {
		t.Errorf("three echo times at two slices per place: %v", err)
	}
}

// TestDICOMScaling applies each slice's own slope and intercept.
func TestDICOMScaling(t *testing.T) {
	files := stackOf(tiltedSlice(), 0, 2, 4)
	for name, s := range files {
		slope := float64(s.instance) / 8
		s.value = func(x, y, z float64) float64 { return (planes(x, y, z) + 50) / slope / 10 }
		s.extra = append(testElement(0x00281053, "DS", numbers(slope*10)), testElement(0x00281052, "DS", "-50")...)
		s.photometric = "MONOCHROME1"
		files[name] = s
	}
	folder := writeSeries(t, t.TempDir(), files)
	d, err := Describe(folder)
	if err != nil {
		t.Fatal(err)
	}
	if !hasNote(d.Notes, "3 different pairs") || !hasNote(d.Notes, "MONOCHROME1") {
		t.Errorf("notes %+v", d.Notes)
	}
	v, err := ReadVolume(folder)
	if err != nil {
		t.Fatal(err)
	}
	for n, got := range v.Data { // rounding is now up to half a step of 3.75
		i, j, k := n%5, n/5%4, n/20
		place := [3]float64{}
		for axis := range place {
			place[axis] = v.Affine[axis][0]*float64(i) + v.Affine[axis][1]*float64(j) + v.Affine[axis][2]*float64(k) + v.Affine[axis][3]
		}
		if want := planes(-place[0], -place[1], place[2]); !(math.Abs(float64(got)-want) < 1.88) {
			t.Fatalf("voxel %d is %g, want %g", n, got, want)
		}
	}
}

// TestDICOMChoice chooses among the series of a folder.
func TestDICOMChoice(t *testing.T) {
	files := stackOf(tiltedSlice(), 0, 2, 4)
	second := tiltedSlice()
	second.series, second.number, second.columns = "1.2.9", 12, 3
	second.extra = testElement(0x0008103e, "LO", "t2_tse")
	maps.Copy(files, map[string]testSlice{"s1": second, "s2": second.along(5)})
	colour := tiltedSlice()
	colour.series, colour.number, colour.samplesPerPixel, colour.photometric = "1.2.10", 99, 3, "RGB"
	report := testSlice{series: "1.2.11", withoutPixelData: true}
	maps.Copy(files, map[string]testSlice{"picture": colour, "report": report})
	folder := writeSeries(t, t.TempDir(), files)

	_, err := ReadVolume(folder)
	if !errors.Is(err, ErrVolumes) || !strings.Contains(err.Error(), `2 series: series 4 (3 files), series 12 "t2_tse" (2 files)`) || !strings.Contains(err.Error(), "#4") {
		t.Errorf("%v; want the list of the series and how to choose", err)
	}
	if strings.Contains(err.Error(), "Do^Not") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q prints a patient's name, or several lines", err)
	}
	for choice, columns := range map[string]int{"4": 5, "12": 3, "1.2.9": 3, "1.2.3": 5} {
		if v, err := ReadVolume(folder + "#" + choice); err != nil || v.Shape[0] != columns {
			t.Errorf("#%s: %v, want %d columns", choice, err, columns)
		}
	}
	if _, err := ReadVolume(folder + "#5"); !errors.Is(err, ErrVolumes) {
		t.Errorf("#5: %v", err)
	}
	if _, err := ReadVolume(folder + "#99"); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "colour") {
		t.Errorf("#99: %v; want the refusal of colour", err)
	}
	for name := range files {
		if files[name].series == "1.2.9" {
			os.Remove(filepath.Join(folder, name))
		}
	}
	if d, err := Describe(folder); err != nil || !hasNote(d.Notes, "series 99") {
		t.Errorf("%v: the only series with images was not chosen, or colour pictures not noted", err)
	}
}

// TestDICOMFolder tells folders of slices from others.
func TestDICOMFolder(t *testing.T) {
	top := t.TempDir()
	folder := writeSeries(t, filepath.Join(top, "s"), stackOf(tiltedSlice(), 0, 2))
	if !IsDICOMFolder(folder) || !IsDICOMFolder(folder+"#4") {
		t.Error("a folder of slices is not recognised")
	}
	if IsDICOMFolder(top) || IsDICOMFolder(filepath.Join(top, "none")) || IsDICOMFolder("testdata") {
		t.Error("a folder without slices is taken for one with")
	}
	if _, err := ReadVolume(top); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "subfolder s") {
		t.Errorf("%v; want a hint at the subfolder", err)
	}
	hash := writeSeries(t, filepath.Join(top, "a#b"), stackOf(tiltedSlice(), 0, 2))
	if _, err := ReadVolume(hash); err != nil {
		t.Errorf("a folder with # in its name: %v", err)
	}
}

// TestDICOMCopies leaves out files that repeat others.
func TestDICOMCopies(t *testing.T) {
	files := stackOf(tiltedSlice(), 0, 2, 4)
	twice := tiltedSlice()
	twice.uid = "1.2.3.4"
	files["one"], files["again"] = twice.along(6), twice.along(6)
	folder := writeSeries(t, t.TempDir(), files)
	v, err := ReadVolume(folder)
	if err != nil || v.Shape[2] != 4 {
		t.Fatalf("%v; want 4 slices", err)
	}
	holdsPlanes(t, v, planes)
	if d, err := Describe(folder); err != nil || !hasNote(d.Notes, "1 files are copies") {
		t.Errorf("the copy is not noted: %v", err)
	}
}

// TestDICOMRefusals plants one fault in a series of six slices.
func TestDICOMRefusals(t *testing.T) {
	change := func(name string, fault func(*testSlice)) func(map[string]testSlice) {
		return func(files map[string]testSlice) {
			s := files[name]
			fault(&s)
			files[name] = s
		}
	}
	const third = "l2.dcm"
	for name, c := range map[string]struct {
		plant func(map[string]testSlice)
		want  error
		says  string
	}{
		"gap":       {func(f map[string]testSlice) { delete(f, third) }, ErrTruncated, "1 missing"},
		"uneven":    {change(third, func(s *testSlice) { *s = s.along(0.5) }), ErrUnsupported, "uneven spacing"},
		"direction": {change(third, func(s *testSlice) { s.row, s.column = s.column, s.row }), ErrUnsupported, "different directions"},
		"size":      {change(third, func(s *testSlice) { s.columns++ }), ErrUnsupported, "different sizes"},
		"spacing":   {change(third, func(s *testSlice) { s.spacing[0] = 3 }), ErrUnsupported, "PixelSpacing"},
		"unplaced":  {change(third, func(s *testSlice) { s.unplaced = true }), ErrHeader, "without ImagePosition"},
		"beside": {change(third, func(s *testSlice) {
			s.position[0] += s.row[0] * 2
			s.position[1] += s.row[1] * 2
			s.position[2] += s.row[2] * 2
		}), ErrUnsupported, "beside the line"},
		"twice":       {func(f map[string]testSlice) { f["x"] = f[third] }, ErrHeader, "holds slices twice"},
		"orientation": {change(third, func(s *testSlice) { s.row[0] *= 2 }), ErrUnsupported, "different directions"},
		"all unplaced": {func(f map[string]testSlice) {
			for name := range f {
				change(name, func(s *testSlice) { s.unplaced = true })(f)
			}
		}, ErrUnsupported, "order is unknown"},
		"one UID, two pictures": {func(f map[string]testSlice) {
			a, b := f[third], f[third]
			a.uid, b.uid, b.value = "1.2", "1.2", func(x, y, z float64) float64 { return 1 }
			f[third], f["x"] = a, b
		}, ErrHeader, "same SOPInstanceUID"},
	} {
		files := stackOf(tiltedSlice(), 0, 2, 4, 6, 8, 10)
		c.plant(files)
		_, err := ReadVolume(writeSeries(t, t.TempDir(), files))
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) || strings.Contains(fmt.Sprint(err), "\n") {
			t.Errorf("%s: %v; want %v saying %q", name, err, c.want, c.says)
		}
	}
	folder := writeSeries(t, t.TempDir(), stackOf(tiltedSlice(), 0, 2, 4))
	path := filepath.Join(folder, "z0.dcm")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data[:len(data)-7], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadVolume(folder); !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), "z0.dcm: truncated: 33 of 40 bytes") {
		t.Errorf("a cut slice: %v", err)
	}
}

// TestDICOMSpacing reads spacing that varies a little and says so.
func TestDICOMSpacing(t *testing.T) {
	folder := writeSeries(t, t.TempDir(), stackOf(tiltedSlice(), 0, 2, 4.06, 6, 8))
	if _, err := ReadVolume(folder); err != nil {
		t.Fatal(err)
	}
	if d, err := Describe(folder); err != nil || !hasNote(d.Notes, "varies by up to 0.06 mm around 2 mm") {
		t.Errorf("%+v, %v: the variation is not noted", d, err)
	}
}

// FuzzDICOMStack parses a file, takes it apart into slices and reads them.
func FuzzDICOMStack(f *testing.F) {
	s := tiltedSlice()
	f.Add(s.bytes(), s.along(2).bytes())
	s.frames = []testFrame{{position: [3]float64{1, 2, 3}, value: planes}, {position: [3]float64{1, 2, 5}, value: planes}}
	f.Add(s.bytes(), s.bytes())
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var files []*dicomFile
		for n, data := range [][]byte{first, second} {
			header, err := dicom.Parse(data)
			if err != nil || !header.HasPixels || header.Rows*header.Columns*header.NumberOfFrames > 1<<16 {
				continue
			}
			mosaic, err := header.Mosaic()
			if err != nil {
				continue
			}
			files = append(files, &dicomFile{path: fmt.Sprint(n), header: header, mosaic: mosaic})
		}
		if len(files) == 0 {
			return
		}
		stack, err := newDICOMStack(files)
		if err != nil {
			return
		}
		for _, volume := range stack.volumes {
			if len(volume) != stack.shape[2] {
				t.Fatalf("%d slices of %d", len(volume), stack.shape[2])
			}
		}
		if err := checkAffine(stack.affine); err != nil {
			t.Fatalf("a bad affine was let through: %v", err)
		}
	})
}
