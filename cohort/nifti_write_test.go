package cohort

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func oblique() *Volume {
	v := &Volume{Shape: [3]int{3, 2, 2}, Affine: [3][4]float64{{-1.5, 0.25, 0, 10}, {0.25, 1.5, 0, -20}, {0, 0, 3, 5}}}
	v.Spacing = spacingOf(v.Affine)
	for n := range 12 {
		v.Data = append(v.Data, float32(n*7%31))
	}
	return v
}

func TestWriteNIfTIReadsBack(t *testing.T) {
	folder := t.TempDir()
	for _, dtype := range []string{"float32", "int16", "uint8"} {
		for _, name := range []string{"a.nii", "a.nii.gz"} {
			path := filepath.Join(folder, name)
			want := oblique()
			if dtype == "float32" {
				want.Data[5] = -0.3
			}
			if err := WriteNIfTI(path, want, dtype); err != nil {
				t.Fatal(err)
			}
			first, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ReadVolume(path)
			if err != nil {
				t.Fatal(err)
			}
			if got.Shape != want.Shape || got.Affine != want.Affine || got.Spacing != want.Spacing {
				t.Errorf("%s %s: %v %v, want %v %v", name, dtype, got.Shape, got.Affine, want.Shape, want.Affine)
			}
			for n := range want.Data {
				if got.Data[n] != want.Data[n] {
					t.Errorf("%s %s: voxel %d = %v, want %v", name, dtype, n, got.Data[n], want.Data[n])
				}
			}
			if err := WriteNIfTI(path, want, dtype); err != nil {
				t.Fatal(err)
			}
			if second, _ := os.ReadFile(path); !bytes.Equal(first, second) {
				t.Errorf("%s %s: two writings differ", name, dtype)
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(folder, ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// testdata/nifti/written.nii is the file that nibabel 5.4.2 writes for this
// image with both codes 1 and millimetres. The bytes agree from dim to pixdim
// and from the codes to the end of the sform, but for rounding.
func TestWriteNIfTIAgreesWithNibabel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.nii")
	if err := WriteNIfTI(path, oblique(), "int16"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/nifti/written.nii")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][2]int{{0, 4}, {40, 56}, {70, 76}, {123, 124}, {252, 256}, {344, len(want)}} {
		if !bytes.Equal(got[part[0]:part[1]], want[part[0]:part[1]]) {
			t.Errorf("bytes %v: % x, want % x", part, got[part[0]:part[1]], want[part[0]:part[1]])
		}
	}
	for _, part := range [][2]int{{76, 92}, {108, 112}, {256, 328}} {
		for at := part[0]; at < part[1]; at += 4 {
			a, b := math.Float32frombits(uint32At(got[at:], 0)), math.Float32frombits(uint32At(want[at:], 0))
			if !(math.Abs(float64(a-b)) <= 1e-6) {
				t.Errorf("float at byte %d is %v, want %v", at, a, b)
			}
		}
	}
}

func TestWriteNIfTIRefuses(t *testing.T) {
	folder := t.TempDir()
	for _, c := range []struct {
		name, file, dtype, says string
		change                  func(v *Volume)
	}{
		{"type", "a.nii", "float16", `"float16"`, nil},
		{"name", "a.png", "int16", ".nii or .nii.gz", nil},
		{"range", "a.nii", "uint8", "voxel 3 is 256, which uint8 cannot hold", func(v *Volume) { v.Data[3] = 256 }},
		{"negative", "a.nii.gz", "uint8", "voxel 0 is -1", func(v *Volume) { v.Data[0] = -1 }},
		{"NaN", "a.nii", "int16", "voxel 0 is NaN", func(v *Volume) { v.Data[0] = float32(math.NaN()) }},
		{"shape", "a.nii", "int16", "does not agree with 12 voxels", func(v *Volume) { v.Shape[0] = 4 }},
		{"large", "a.nii", "int16", "does not fit NIfTI-1", func(v *Volume) { v.Shape[0] = 40000 }},
		{"affine", "a.nii", "int16", "singular", func(v *Volume) { v.Affine = [3][4]float64{} }},
		{"folder", "absent/a.nii", "int16", "absent", nil},
	} {
		v := oblique()
		if c.change != nil {
			c.change(v)
		}
		err := WriteNIfTI(filepath.Join(folder, c.file), v, c.dtype)
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "write ") {
			t.Errorf("%s: error %v, want %q", c.name, err, c.says)
		}
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
