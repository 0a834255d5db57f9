package main

import (
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ballast/cohort"
)

// writeVolume writes a small image of known values: 0, 2, 4, ... 46 in a grid of
// 2 x 3 x 4 voxels of 1 x 2 x 3 mm, LAS.
func writeVolume(t *testing.T) string {
	t.Helper()
	v := &cohort.Volume{Shape: [3]int{2, 3, 4}, Affine: [3][4]float64{{-1, 0, 0, 10}, {0, 2, 0, 20}, {0, 0, 3, 30}}}
	for n := range 24 {
		v.Data = append(v.Data, float32(2*n))
	}
	path := filepath.Join(t.TempDir(), "image.nii.gz")
	if err := cohort.WriteNIfTI(path, v, "int16"); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVolumeCommand(t *testing.T) {
	path := writeVolume(t)
	text := mustBallast(t, "volume", path)
	for _, want := range []string{
		"NIfTI-1, little-endian", "shape        2 x 3 x 4\n", "stored type  int16", "1 x 2 x 3 mm", "orientation  LAS",
		"stored x 1 + 0", "0 to 46, mean 23, standard deviation 13.8444", // sqrt(4 (24² - 1) / 12)
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	text = mustBallast(t, "volume", path, "--json")
	var facts map[string]any
	if err := json.Unmarshal([]byte(text), &facts); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"file", "format", "shape", "dtype", "spacing", "affine", "orientation", "scaling",
		"min", "max", "mean", "std", "non_finite", "extensions", "volumes", "notes",
	} {
		if _, ok := facts[key]; !ok {
			t.Errorf("key %s is missing in:\n%s", key, text)
		}
	}
}

// A folder of DICOM files and the same patient's NIfTI file are described alike;
// the numbers are nibabel's.
func TestVolumeCommandOnDICOM(t *testing.T) {
	formats := sharedData(t, "formats")
	for _, name := range []string{"dicom/sts025_series", "nifti/float32_sts025_t1.nii.gz"} {
		var d cohort.Description
		text := mustBallast(t, "volume", "--json", filepath.Join(formats, filepath.FromSlash(name)))
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(d.Shape, []int{75, 55, 25}) || d.Orientation != "LPS" || d.Max != 1750 || d.Volumes != 1 ||
			!(math.Abs(float64(d.Mean)-295.9261866666667) <= 1e-6) || !(math.Abs(d.Affine[2][3]-397.55072) <= 1e-3) {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

func TestVolumeCommandRefuses(t *testing.T) {
	path := writeVolume(t)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"volume"}, exitUsage, "needs an image file"},
		{[]string{"volume", path, "--volume", "-1"}, exitUsage, "counted from 0"},
		{[]string{"volume", path, "--volume", "1"}, exitFailed, "holds one only, number 0"},
		{[]string{"volume", path + ".absent"}, exitFailed, "no such file"},
	} {
		code, stdout, stderr := ballast(t, c.args...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit %d, %q, %q", c.args, code, stdout, stderr)
		}
	}
}
