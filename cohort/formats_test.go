package cohort

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of docs/formats.md instead of comparing with it")

// An expectedFile is one entry of expected.json, made with nibabel 5.0.0 and with
// pydicom 2.3.1 and GDCM 3.0.21.
type expectedFile struct {
	File, Kind string

	// NIfTI
	Shape      []int
	Endian     string
	Dtype      string
	Axcodes    string
	Affine     [][4]float64
	Slope      float64 `json:"effective_slope"`
	Inter      float64 `json:"effective_inter"`
	Extensions int
	NonFinite  int        `json:"non_finite"`
	Scaled     statistics `json:"stats_scaled"`
	Voxels     []struct {
		Index  []int
		Scaled float64
	}

	// DICOM
	Stored           statistics `json:"stats_stored"`
	ArrayShape       []int      `json:"array_shape"`
	RescaleSlope     *float64   `json:"rescale_slope"`
	RescaleIntercept *float64   `json:"rescale_intercept"`
	PixelSpacing     []float64  `json:"pixel_spacing"`
	Lossy            bool
	Pixels           []struct {
		Index  []int
		Stored float64
	}
}

type statistics struct{ Mean, Min, Max, Std float64 }

type expectations struct {
	Files     []expectedFile
	Relations []struct {
		Type          string
		Files         []string
		Series, NIfTI string
	}
}

func readExpectations(t *testing.T) (folder string, e expectations) {
	t.Helper()
	folder = sharedFolder(t, "data/formats")
	text, err := os.ReadFile(filepath.Join(folder, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	return folder, e
}

// TestFormats reads every file of the shared collection, compares what it reads
// with expected.json, and what it says of each file with docs/formats.md.
func TestFormats(t *testing.T) {
	folder, e := readExpectations(t)
	rows := []string{"| file | format | shape | stored type | axes | outcome |", "| --- | --- | --- | --- | --- | --- |"}
	for _, want := range e.Files {
		path := filepath.Join(folder, filepath.FromSlash(want.File))
		d, err := Describe(path)
		switch want.Kind {
		case "nifti":
			if err != nil {
				t.Errorf("%s: %v", want.File, err)
				continue
			}
			compareNIfTI(t, path, want, d)
		case "dicom":
			if err == nil {
				compareDICOM(t, path, want, d)
			}
		case "broken":
			if err == nil {
				t.Errorf("%s: no error", want.File)
			}
		default:
			t.Errorf("%s: unknown kind %q", want.File, want.Kind)
		}
		if strings.HasPrefix(want.File, "dicom/sts025_series/") {
			continue // one row for the folder
		}
		rows = append(rows, tableRow(path, want.File, d, err))
	}
	series := filepath.Join(folder, "dicom", "sts025_series")
	d, err := Describe(series)
	rows = append(rows, tableRow(series, "dicom/sts025_series (folder of 25 files)", d, err))
	compareTable(t, strings.Join(rows, "\n")+"\n")
}

// tableRow says in one line what became of a file.
func tableRow(path, name string, d *Description, err error) string {
	if err != nil {
		says := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "read "+path+": "), path, name)
		return fmt.Sprintf("| %s | | | | | refused: %s |", name, says)
	}
	outcome := "read"
	if d.Volumes > 1 {
		outcome = fmt.Sprintf("read; choose one of %d volumes", d.Volumes)
	}
	for _, note := range d.Notes {
		if note.Level == LevelWarning {
			outcome += "; warning: " + note.Problem
		}
	}
	format := d.Format
	if d.ByteOrder != "" {
		format += ", " + d.ByteOrder
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", name, format, product(d.Shape), d.Dtype, d.Orientation, outcome)
}

// compareTable holds the table against the one between the markers in
// docs/formats.md, or writes it there.
func compareTable(t *testing.T, table string) {
	t.Helper()
	const page, begin, end = "../docs/formats.md", "<!-- table -->\n", "<!-- end of table -->"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), begin)
	old, after, found := strings.Cut(rest, end)
	if !found {
		t.Fatalf("%s has no place for the table", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != table {
		t.Errorf("%s is not what the files give now; go test ./cohort -run TestFormats -update writes it anew:\n%s", page, table)
	}
}

func compareNIfTI(t *testing.T, path string, want expectedFile, d *Description) {
	t.Helper()
	if !slices.Equal(d.Shape, want.Shape) || d.Dtype != want.Dtype || d.ByteOrder != want.Endian || d.Orientation != want.Axcodes ||
		d.Extensions != want.Extensions || d.NonFinite != want.NonFinite || d.Scaling != (Scaling{want.Slope, want.Inter}) {
		t.Errorf("%s: %+v", want.File, d)
	}
	for row := range 3 {
		for column := range 4 {
			if got := d.Affine[row][column]; !(math.Abs(got-want.Affine[row][column]) <= 1e-6) {
				t.Errorf("%s: affine %v, want %v", want.File, d.Affine, want.Affine)
			}
		}
	}
	compareStatistics(t, want.File, d, want.Scaled, 1e-9)
	volumes := map[int]*Volume{}
	for _, voxel := range want.Voxels {
		index, step := 0, 1
		for axis := 3; axis < len(want.Shape); axis++ {
			index += voxel.Index[axis] * step
			step *= want.Shape[axis]
		}
		if volumes[index] == nil {
			v, err := ReadVolumeAt(path, index)
			if err != nil {
				t.Errorf("%s, volume %d: %v", want.File, index, err)
				continue
			}
			volumes[index] = v
		}
		if got := volumes[index].At(voxel.Index[0], voxel.Index[1], voxel.Index[2]); got != float32(voxel.Scaled) {
			t.Errorf("%s: voxel %v = %v, want %v", want.File, voxel.Index, got, voxel.Scaled)
		}
	}
	v, err := ReadVolume(path)
	if d.Volumes > 1 {
		if !errors.Is(err, ErrVolumes) || !strings.Contains(err.Error(), fmt.Sprintf("holds %d", d.Volumes)) {
			t.Errorf("%s: %v, want a refusal that names %d volumes", want.File, err, d.Volumes)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", want.File, err)
		return
	}
	compareGeometry(t, v, want.Shape, [3][4]float64(want.Affine), want.Axcodes)
}

func compareStatistics(t *testing.T, file string, d *Description, want statistics, tolerance float64) {
	t.Helper()
	for _, pair := range [][2]float64{
		{float64(d.Min), want.Min}, {float64(d.Max), want.Max}, {float64(d.Mean), want.Mean}, {float64(d.Std), want.Std},
	} {
		if !(math.Abs(pair[0]-pair[1]) <= tolerance*max(1, math.Abs(pair[1]))) {
			t.Errorf("%s: min, max, mean, std %v, %v, %v, %v, want %+v", file, d.Min, d.Max, d.Mean, d.Std, want)
			return
		}
	}
}

// compareDICOM compares a single file that is not a mosaic: its rows run along i,
// its columns along j, its frames along k. A lossy one may differ by a grey level.
func compareDICOM(t *testing.T, path string, want expectedFile, d *Description) {
	t.Helper()
	rows, columns := want.ArrayShape[len(want.ArrayShape)-2], want.ArrayShape[len(want.ArrayShape)-1]
	if strings.Contains(want.File, "mosaic") {
		return // TestFormatsRelations
	}
	if d.Shape[0] != columns || d.Shape[1] != rows {
		t.Errorf("%s: shape %v, want %d columns and %d rows", want.File, d.Shape, columns, rows)
		return
	}
	slope, intercept, levels := 1.0, 0.0, 0.0
	if want.RescaleSlope != nil {
		slope, intercept = *want.RescaleSlope, *want.RescaleIntercept
	}
	if want.Lossy {
		levels = 1
	}
	scaled := statistics{want.Stored.Mean*slope + intercept, want.Stored.Min*slope + intercept, want.Stored.Max*slope + intercept, want.Stored.Std * slope}
	compareStatistics(t, want.File, d, scaled, max(1e-9, levels*slope/max(1, scaled.Max)))
	if s := want.PixelSpacing; s != nil && !(math.Abs(d.Spacing[0]-s[1]) <= 1e-5 && math.Abs(d.Spacing[1]-s[0]) <= 1e-5) {
		t.Errorf("%s: spacing %v, want columns %v and rows %v mm apart", want.File, d.Spacing, s[1], s[0])
	}
	v, err := ReadVolumeAt(path, Unchosen)
	if err != nil {
		t.Errorf("%s: described, but not read: %v", want.File, err)
		return
	}
	for _, pixel := range want.Pixels {
		frame := 0
		if len(pixel.Index) == 3 {
			frame = pixel.Index[0]
		}
		row, column := pixel.Index[len(pixel.Index)-2], pixel.Index[len(pixel.Index)-1]
		got, value := float64(v.At(column, row, frame)), pixel.Stored*slope+intercept
		if !(math.Abs(got-value) <= levels*slope+1e-6*math.Abs(value)) {
			t.Errorf("%s: pixel %v = %v, want %v", want.File, pixel.Index, got, value)
		}
	}
}

// What the collection says of its files among each other: the same pixels in
// other encodings, and DICOM beside its conversion to NIfTI by other programs.
func TestFormatsRelations(t *testing.T) {
	folder, e := readExpectations(t)
	compared := 0
	read := func(file string, index int) *Volume {
		v, err := ReadVolumeAt(filepath.Join(folder, filepath.FromSlash(file)), index)
		if errors.Is(err, ErrUnsupported) {
			return nil // docs/formats.md lists it, and TestFormats holds it to that
		}
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	world := func(file, nifti string, index int) {
		if v := read(file, Unchosen); v != nil {
			compared++
			sameInWorld(t, file, v, read(nifti, index))
		}
	}
	for _, r := range e.Relations {
		switch r.Type {
		case "identical_pixels", "same_map":
			first := read(r.Files[0], Unchosen)
			for _, file := range r.Files[1:] {
				v := read(file, Unchosen)
				if v == nil {
					continue
				}
				compared++
				if !slices.Equal(v.Data, first.Data) || v.Affine != first.Affine {
					t.Errorf("%s differs from %s", file, r.Files[0])
				}
			}
		case "series_equals_nifti":
			world(r.Series, r.NIfTI, Unchosen)
		case "mosaic_equals_nifti":
			for n, file := range r.Files {
				world(file, r.NIfTI, n)
			}
		default:
			t.Errorf("unknown relation %q", r.Type)
		}
	}
	if compared < 15 {
		t.Errorf("%d comparisons, want at least 15 of 17", compared)
	}
}

// sameInWorld compares two images voxel for voxel by where they lie in the body,
// whatever the order of their axes.
func sameInWorld(t *testing.T, name string, got, want *Volume) {
	t.Helper()
	inverse := inverseOf(want.Affine)
	for n, x := range got.Data {
		index := [3]float64{float64(n % got.Shape[0]), float64(n / got.Shape[0] % got.Shape[1]), float64(n / (got.Shape[0] * got.Shape[1]))}
		var there [3]int
		for axis, at := range through(inverse, through(got.Affine, index)) {
			there[axis] = int(math.Round(at))
			if !(math.Abs(at-math.Round(at)) <= 0.01) || there[axis] < 0 || there[axis] >= want.Shape[axis] {
				t.Errorf("%s: voxel %v lies at %v of the other image", name, index, through(inverse, through(got.Affine, index)))
				return
			}
		}
		if y := want.At(there[0], there[1], there[2]); x != y {
			t.Errorf("%s: voxel %v is %v, and %v in the other image", name, index, x, y)
			return
		}
	}
}

func through(affine [3][4]float64, at [3]float64) (to [3]float64) {
	for row := range 3 {
		to[row] = affine[row][0]*at[0] + affine[row][1]*at[1] + affine[row][2]*at[2] + affine[row][3]
	}
	return to
}

func inverseOf(affine [3][4]float64) (inverse [3][4]float64) {
	det := determinant(affine)
	for r := range 3 {
		for c := range 3 {
			r1, r2, c1, c2 := (r+1)%3, (r+2)%3, (c+1)%3, (c+2)%3
			inverse[c][r] = minor(affine[r1][c1], affine[r2][c2], affine[r1][c2], affine[r2][c1]) / det
		}
	}
	offset := through(inverse, [3]float64{affine[0][3], affine[1][3], affine[2][3]})
	for r := range 3 {
		inverse[r][3] = -offset[r]
	}
	return inverse
}

// The headers that expected.json calls readable in broken files lead to an error
// that says what is missing.
func TestBrokenFiles(t *testing.T) {
	folder := sharedFolder(t, "data/formats/broken")
	for _, c := range []struct {
		file string
		kind error
		says string
	}{
		{"truncated.nii.gz", ErrTruncated, "of 1180064 bytes"}, // 416 + 128 x 96 x 24 x 2 x 2
		{"truncated.nii", ErrTruncated, "truncated: 50000 of 68002 bytes"},
		{"header_only.nii", ErrTruncated, "truncated: 352 of 68002 bytes"},
		{"not_nifti.nii", ErrFormat, "neither 348 nor 540"},
	} {
		path := filepath.Join(folder, c.file)
		_, described := Describe(path)
		_, read := ReadVolumeAt(path, 0)
		if c.file == "truncated.nii.gz" { // its first volume is whole
			if read != nil {
				t.Errorf("%s: volume 0: %v", c.file, read)
			}
			_, read = ReadVolumeAt(path, 1)
		}
		for _, err := range []error{described, read} {
			if !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("%s: error %v, want %v with %q", c.file, err, c.kind, c.says)
			}
		}
	}
}
