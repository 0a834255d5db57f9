package phantom

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ballast/cohort"
)

func faulty(kind string) Config {
	c := Default().Resized(3, 16)
	c.Seed, c.Copies, c.Copy = 5, 2, kind
	return c
}

// A copy has the image of its predecessor, changed as said, and its own label.
func TestCopies(t *testing.T) {
	for _, kind := range Copies {
		c := faulty(kind)
		original, copied, later := c.Subject(2), c.Subject(3), c.Subject(5)
		clean := c
		clean.Copies = 0
		if !slices.Equal(later.Volume.Data, clean.Subject(5).Volume.Data) || !slices.Equal(original.Volume.Data, clean.Subject(2).Volume.Data) {
			t.Errorf("%s: others than the copies changed", kind)
		}
		if copied.ID != "sub-0004" || copied.Label != clean.Subject(3).Label || copied.Site != clean.Subject(3).Site {
			t.Errorf("%s: the copy is %s, label %d", kind, copied.ID, copied.Label)
		}
		same := slices.Equal(original.Volume.Data, copied.Volume.Data)
		if same != (kind == CopyExact) {
			t.Errorf("%s: equal voxels %v", kind, same)
		}
		if err := copied.Volume.SameGrid(copied.Mask); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestCopyChanges(t *testing.T) {
	original := faulty(CopyExact).Subject(0).Volume
	mirrored := faulty(CopyMirrored).Subject(1).Volume
	if original.At(3, 5, 7) != mirrored.At(12, 5, 7) {
		t.Error("left and right are not exchanged")
	}
	shifted := faulty(CopyShifted).Subject(1).Volume
	found := false
	for i := 1; i <= 2; i++ {
		for j := 1; j <= 2; j++ {
			for k := 1; k <= 2; k++ {
				found = found || original.At(8, 8, 8) == shifted.At(8+i, 8-j, 8+k) && original.At(5, 9, 6) == shifted.At(5+i, 9-j, 6+k)
			}
		}
	}
	if !found {
		t.Error("no shift by one or two voxels")
	}
	grey := map[float32]bool{}
	for _, x := range faulty(CopyRescaled).Subject(1).Volume.Data {
		grey[x] = true
	}
	if len(grey) > 256 {
		t.Errorf("%d grey levels", len(grey))
	}
	coarse := faulty(CopyResampled).Subject(1).Volume
	if coarse.Shape != [3]int{12, 12, 12} || coarse.Spacing != [3]float64{15, 15, 15} {
		t.Errorf("resampled to %v voxels of %v mm", coarse.Shape, coarse.Spacing)
	}
	// The middle of the grid stays where it is in the world.
	for axis := range 3 {
		before := original.Affine[axis][3] + original.Affine[axis][axis]*float64(original.Shape[axis]-1)/2
		after := coarse.Affine[axis][3] + coarse.Affine[axis][axis]*float64(coarse.Shape[axis]-1)/2
		if !(before-after < 1e-9 && after-before < 1e-9) {
			t.Errorf("axis %d: the middle moved from %g to %g", axis, before, after)
		}
	}
}

// Subjects in two sets are refused when the cohort is opened for training.
func TestOverlap(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cohort")
	c := Default().Resized(3, 8)
	c.Overlap = 2
	if err := Write(context.Background(), dir, c, 8, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := cohort.Open(dir, cohort.Options{}); !errors.Is(err, cohort.ErrSubjectInTwoSets) || !strings.Contains(err.Error(), "sub-0001") {
		t.Errorf("%v", err)
	}
	table, err := os.ReadFile(filepath.Join(dir, "participants.tsv"))
	if err != nil || strings.Count(string(table), "\n") != 11 || strings.Count(string(table), "sub-0002\t") != 2 {
		t.Errorf("%v\n%s", err, table)
	}
}

func TestFaultsAreChecked(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Copies = -1 },
		func(c *Config) { c.Copies, c.Copy = 1, "" },
		func(c *Config) { c.Copies, c.Copy = 1, "perfect" },
		func(c *Config) { c.Overlap = -1 },
	} {
		c := Default()
		change(&c)
		if err := c.Validate(); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
