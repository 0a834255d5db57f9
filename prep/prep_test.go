package prep

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ballast/cohort"
	"ballast/stat"
)

// volume makes a RAS+ volume whose voxel (i, j, k) is value(i, j, k).
func volume(shape [3]int, spacing [3]float64, value func(i, j, k int) float32) *cohort.Volume {
	v := &cohort.Volume{Shape: shape, Spacing: spacing, Data: make([]float32, 0, shape[0]*shape[1]*shape[2])}
	for axis := range 3 {
		v.Affine[axis][axis] = spacing[axis]
		v.Affine[axis][3] = float64(10 * axis)
	}
	for k := range shape[2] {
		for j := range shape[1] {
			for i := range shape[0] {
				v.Data = append(v.Data, value(i, j, k))
			}
		}
	}
	return v
}

// picture makes a volume as cohort reads a PNG or JPEG.
func picture(width, height int, value func(x, y int) float32) *cohort.Volume {
	v := volume([3]int{width, height, 1}, [3]float64{1, 1, 1}, func(i, j, _ int) float32 { return value(i, j) })
	v.Affine = [3][4]float64{{-1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, 1, 0}}
	return v
}

func mottled(i, j, k int) float32 { return float32((i*7+j*13+k*29+i*j*k)%97 + 1) }

// rearrange stores the same anatomy with its axes in another order and
// direction: new axis n is old axis order[n], backwards where bit n of flips is
// set.
func rearrange(v *cohort.Volume, order [3]int, flips int) *cohort.Volume {
	w := &cohort.Volume{Data: make([]float32, len(v.Data))}
	for row := range 3 {
		w.Affine[row][3] = v.Affine[row][3]
	}
	for n, old := range order {
		w.Shape[n], w.Spacing[n] = v.Shape[old], v.Spacing[old]
		for row := range 3 {
			w.Affine[row][n] = v.Affine[row][old]
			if flips>>n&1 == 1 {
				w.Affine[row][3] += v.Affine[row][old] * float64(v.Shape[old]-1)
				w.Affine[row][n] = -w.Affine[row][n]
			}
		}
	}
	var at [3]int
	for n := range w.Data {
		index := [3]int{n % w.Shape[0], n / w.Shape[0] % w.Shape[1], n / w.Shape[0] / w.Shape[1]}
		for axis, old := range order {
			at[old] = index[axis]
			if flips>>axis&1 == 1 {
				at[old] = w.Shape[axis] - 1 - index[axis]
			}
		}
		w.Data[n] = v.At(at[0], at[1], at[2])
	}
	return w
}

var orders = [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}

func prepared(t *testing.T, v, mask *cohort.Volume, c Config) *Image {
	t.Helper()
	image, err := Prepare(v, mask, c)
	if err != nil {
		t.Fatal(err)
	}
	if len(image.Data) != image.C*image.D*image.H*image.W || image.C != 1 || [3]int{image.D, image.H, image.W} != c.Grid {
		t.Fatalf("%d voxels in %d x %d x %d x %d for grid %v", len(image.Data), image.C, image.D, image.H, image.W, c.Grid)
	}
	return image
}

func digest(image *Image) string {
	hash := sha256.New()
	binary.Write(hash, binary.LittleEndian, image.Data)
	binary.Write(hash, binary.LittleEndian, image.Background)
	return hex.EncodeToString(hash.Sum(nil))
}

// All 48 ways to store one anatomy give the same bits, with the crop centred on
// the foreground and on a mask that does not lie in the middle.
func TestStorageOrderDoesNotMatter(t *testing.T) {
	v := volume([3]int{9, 11, 8}, [3]float64{1.1, 0.9, 2.3}, func(i, j, k int) float32 {
		if i < 2 || j > 8 || k == 0 {
			return 0
		}
		return mottled(i, j, k)
	})
	mask := volume(v.Shape, v.Spacing, func(i, j, k int) float32 {
		if i >= 5 && j < 4 && k > 5 {
			return 1
		}
		return 0
	})
	for _, crop := range []string{"mask", "foreground", "none"} {
		c := Config{Dims: 3, Crop: crop, Grid: [3]int{6, 7, 5}, Spacing: [3]float64{2.9, 1.3, 1.7}, Normalise: "zscore"}
		want := prepared(t, v, mask, c)
		for _, order := range orders {
			for flips := range 8 {
				got := prepared(t, rearrange(v, order, flips), rearrange(mask, order, flips), c)
				if digest(got) != digest(want) {
					t.Errorf("crop %s: axes %v with flips %03b differ from RAS", crop, order, flips)
				}
			}
		}
	}
}

// The patient's right, anterior and superior are at the high ends of W, H and
// D, however the file runs.
func TestDirections(t *testing.T) {
	for world, at := range [3][3]int{{4, 2, 2}, {2, 4, 2}, {2, 2, 4}} { // right, anterior, superior
		v := volume([3]int{5, 5, 5}, [3]float64{1, 1, 1}, func(i, j, k int) float32 {
			if i == at[0] && j == at[1] && k == at[2] {
				return 7
			}
			return 0
		})
		c := Config{Dims: 3, Crop: "none", Grid: [3]int{5, 5, 5}, Spacing: [3]float64{1, 1, 1}, Normalise: "none"}
		image := prepared(t, rearrange(v, [3]int{1, 0, 2}, 5), nil, c)
		want := [3]int{2, 2, 2} // D, H, W
		want[2-world] = 4
		if got := image.Data[(want[0]*5+want[1])*5+want[2]]; got != 7 {
			t.Errorf("world axis %d: the bright voxel is not at %v", world, want)
		}
	}
}

// A picture keeps its rows; a 2D NIfTI slice looks as on a radiologist's screen
// (patient's right at the left edge, anterior or superior on top), whichever way
// it was stored.
func TestTwoDimensionsLookAsOnScreen(t *testing.T) {
	c := Config{Dims: 2, Crop: "none", Grid: [3]int{1, 3, 4}, Spacing: [3]float64{1, 1, 1}, Normalise: "none"}
	image := prepared(t, picture(4, 3, func(x, y int) float32 { return float32(10*y + x) }), nil, c)
	for n, x := range image.Data {
		if want := float32(10*(n/4) + n%4); x != want {
			t.Errorf("pixel %d = %v, want %v", n, x, want)
		}
	}
	for thin, name := range []string{"sagittal", "coronal", "axial"} {
		shape := [3]int{4, 4, 4}
		shape[thin] = 1
		v := volume(shape, [3]float64{1, 1, 1}, func(i, j, k int) float32 { return float32(i + 10*j + 100*k) })
		c.Grid = [3]int{1, 4, 4}
		// The first voxel is the most superior and anterior (or right) one, the
		// second lies one voxel to posterior (or left) of it.
		first := [3][2]float32{{330, 320}, {303, 302}, {33, 32}}[thin]
		for _, order := range orders {
			for flips := range 8 {
				image := prepared(t, rearrange(v, order, flips), nil, c)
				if image.Data[0] != first[0] || image.Data[1] != first[1] {
					t.Fatalf("%s, axes %v, flips %03b: starts with %v, want %v", name, order, flips, image.Data[:2], first)
				}
			}
		}
	}
}

// A box of ones lands where its millimetres say: the mask's middle is in the
// middle of the grid, and the box covers its size in mm.
func TestBoxLandsWhereItsMillimetresSay(t *testing.T) {
	v := volume([3]int{40, 30, 20}, [3]float64{1, 1, 2}, func(i, j, k int) float32 {
		if i >= 10 && i < 22 && j >= 6 && j < 14 && k >= 12 && k < 18 { // 12 x 8 x 12 mm
			return 1
		}
		return 0
	})
	c := Config{Dims: 3, Crop: "mask", Grid: [3]int{12, 16, 20}, Spacing: [3]float64{2, 1, 1}, Normalise: "none"}
	for _, shift := range [][3]int{{0, 0, 0}, {2, -3, 1}} { // where the mask is, relative to the box, in voxels i, j, k
		mask := volume(v.Shape, v.Spacing, func(i, j, k int) float32 { return v.At(max(i-shift[0], 0), max(j-shift[1], 0), max(k-shift[2], 0)) })
		image := prepared(t, v, mask, c)
		// The box has 6 x 8 x 12 voxels; in the middle they start at 3, 4, 4.
		for n, x := range image.Data {
			d, h, w := n/16/20+shift[2], n/20%16+shift[1], n%20+shift[0]
			inside := d >= 3 && d < 9 && h >= 4 && h < 12 && w >= 4 && w < 16
			if want := map[bool]float32{true: 1}[inside]; x != want {
				t.Fatalf("shift %v: voxel %d = %v, want %v", shift, n, x, want)
			}
		}
	}
	e, err := Measure(v, v, "mask", 5)
	if err != nil || e.Size != [3]float64{22, 18, 22} || e.Spacing != [3]float64{2, 1, 1} {
		t.Errorf("extent %+v, %v", e, err)
	}
	if e, err = Measure(v, nil, "none", 0); err != nil || e.Size != [3]float64{40, 30, 40} {
		t.Errorf("extent %+v, %v", e, err)
	}
}

func TestZscoreInTheForeground(t *testing.T) {
	v := volume([3]int{16, 16, 16}, [3]float64{1, 1, 1}, func(i, j, k int) float32 {
		if i < 3 || i > 12 {
			return 0
		}
		return 200 + mottled(i, j, k)
	})
	c := Config{Dims: 3, Crop: "none", Grid: [3]int{16, 16, 16}, Spacing: [3]float64{1, 1, 1}, Normalise: "zscore"}
	image := prepared(t, v, nil, c)
	sum, square, n := 0.0, 0.0, 0.0
	for at, x := range image.Data {
		if at%16 < 3 || at%16 > 12 {
			if x != image.Background || !(x < -5) {
				t.Fatalf("background voxel %d = %v, background %v", at, x, image.Background)
			}
			continue
		}
		sum, square, n = sum+float64(x), square+float64(x)*float64(x), n+1
	}
	if !(math.Abs(sum/n) <= 1e-6 && math.Abs(square/n-1) <= 1e-6) {
		t.Errorf("mean %g, mean square %g", sum/n, square/n)
	}
}

// A field that lies wholly in empty space is normalised by all its voxels, and
// refused when they are equal.
func TestZscoreWithoutForeground(t *testing.T) {
	for _, noise := range []float32{1, 0} {
		v := volume([3]int{32, 8, 8}, [3]float64{1, 1, 1}, func(i, j, k int) float32 {
			if i < 16 {
				return 1000
			}
			return 10 + noise*float32((i+j+k)%2)
		})
		mask := volume(v.Shape, v.Spacing, func(i, j, k int) float32 {
			if i == 28 && j == 3 && k == 3 {
				return 1
			}
			return 0
		})
		c := Config{Dims: 3, Crop: "mask", Grid: [3]int{3, 3, 3}, Spacing: [3]float64{1, 1, 1}, Normalise: "zscore"}
		image, err := Prepare(v, mask, c)
		if noise == 0 {
			if !errors.Is(err, cohort.ErrConstant) || !strings.Contains(err.Error(), "in the field around the centre of the crop") {
				t.Errorf("flat field: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		mean, deviation := moments(image.Data, nil)
		if !(math.Abs(mean) <= 1e-6 && math.Abs(deviation-1) <= 1e-6) {
			t.Errorf("mean %g, deviation %g", mean, deviation)
		}
	}
}

// The digest was taken on amd64. Every CPU must give the same. When it changes,
// pipelineVersion must rise, or caches go on giving the old bits.
func TestPreparedBitsArePinned(t *testing.T) {
	stream := stat.NewStream(3, "test")
	v := volume([3]int{33, 29, 21}, [3]float64{0.9765625, 0.98, 3.27}, func(i, j, k int) float32 { return float32(100 + 20*stream.Normal()) })
	image := prepared(t, v, nil, Config{Dims: 3, Crop: "none", Grid: [3]int{16, 17, 18}, Spacing: [3]float64{4.1, 2.3, 1.7}, Normalise: "zscore"})
	const want = "42dd51eeb1453e5ccbd6627e8f4df6277b925f5314efa84f624eb8b5d43b3c36"
	if got := digest(image); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestPrepareRefuses(t *testing.T) {
	v := volume([3]int{4, 5, 6}, [3]float64{1, 1, 1}, mottled)
	good := Config{Dims: 3, Crop: "mask", Grid: [3]int{4, 4, 4}, Spacing: [3]float64{1, 1, 1}, Normalise: "zscore"}
	moved := rearrange(v, [3]int{0, 1, 2}, 0)
	moved.Affine[1][3] += 3
	nearly := rearrange(v, [3]int{0, 1, 2}, 0)
	nearly.Affine[1][3] += 0.05
	if _, err := Prepare(v, nearly, good); err != nil {
		t.Errorf("a mask 0.05 mm off: %v", err)
	}
	flat := volume(v.Shape, v.Spacing, func(i, j, k int) float32 { return 5 })
	nothing := volume(v.Shape, v.Spacing, func(i, j, k int) float32 { return 0 })
	broken := rearrange(v, [3]int{0, 1, 2}, 0)
	broken.NonFinite = 61
	for _, c := range []struct {
		name, says string
		kind       error
		v, mask    *cohort.Volume
		change     func(c *Config)
	}{
		{"no mask", "no mask", nil, v, nil, nil},
		{"other shape", "4 x 5 x 6 voxels, the mask 5 x 4 x 6", cohort.ErrGeometry, v, rearrange(v, [3]int{1, 0, 2}, 0), nil},
		{"other place", "3 mm", cohort.ErrGeometry, v, moved, nil},
		{"empty mask", "no voxel", cohort.ErrEmptyMask, v, nothing, nil},
		{"not finite", "61 of 120", cohort.ErrNonFinite, broken, v, nil},
		{"spacing of the file", "voxels of 1e-30 mm", nil, volume(v.Shape, [3]float64{1, 1e-30, 1}, mottled), nil, func(c *Config) { c.Crop = "none" }},
		{"flat", "same value", cohort.ErrConstant, flat, v, nil},
		{"dims", "4 dimensions", nil, v, v, func(c *Config) { c.Dims = 4 }},
		{"crop", `"lesion"`, nil, v, v, func(c *Config) { c.Crop = "lesion" }},
		{"normalise", `"histogram"`, nil, v, v, func(c *Config) { c.Normalise = "histogram" }},
		{"grid", "[0 4 4]", nil, v, v, func(c *Config) { c.Grid[0] = 0 }},
		{"spacing", "NaN", nil, v, v, func(c *Config) { c.Spacing[1] = math.NaN() }},
		{"depth in 2D", "depth is 1", nil, v, v, func(c *Config) { c.Dims = 2 }},
		{"2D image", "the image is 2D (4 x 3 x 1 voxels)", nil, picture(4, 3, func(x, y int) float32 { return float32(x) }), nil, func(c *Config) { c.Crop = "none" }},
	} {
		config := good
		if c.change != nil {
			c.change(&config)
		}
		_, err := Prepare(c.v, c.mask, config)
		if err == nil || !strings.Contains(err.Error(), c.says) || c.kind != nil && !errors.Is(err, c.kind) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.says)
		}
	}
}

// A real volume, read and prepared twice, and turned to RAS+ by hand.
func TestRealVolume(t *testing.T) {
	top := os.Getenv("BALLAST_SHARED")
	if top == "" {
		top = filepath.Join("..", "..", "shared")
	}
	folder := filepath.Join(top, "data", "sts-lungmets")
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("%s: shared data absent", folder)
	}
	file := cohort.Image{Path: filepath.Join(folder, "images", "STS_008_T1.nii.gz"), Mask: filepath.Join(folder, "masks", "STS_008_GTV.nii.gz")}
	c := Config{Dims: 3, Crop: "mask", Grid: [3]int{32, 32, 32}, Spacing: [3]float64{3.27, 3, 3}, Normalise: "zscore"}
	first, err := Load(file, c)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Load(file, c)
	if err != nil || digest(first) != digest(second) {
		t.Fatalf("two readings differ (%v)", err)
	}
	// The bits that the defaults gave before other steps could be chosen.
	for n, old := range []Config{
		{Dims: 3, Crop: "mask", Grid: [3]int{32, 48, 48}, Spacing: [3]float64{3.27, 3, 3}, Normalise: "zscore"},
		{Dims: 3, Crop: "foreground", Grid: [3]int{32, 32, 32}, Spacing: [3]float64{5.1, 4, 4}, Normalise: "zscore"},
		{Dims: 2, Crop: "mask", Grid: [3]int{1, 64, 64}, Spacing: [3]float64{1, 2, 2}, Normalise: "none"},
	} {
		image, err := Load(file, old)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"66a868bcf158a1f259aec328", "9a6b1d31982e19e08dcf6fa4", "b7deae0a8de9f2918bb1d8a2"}[n]
		if got := digest(image); !strings.HasPrefix(got, want) {
			t.Errorf("configuration %d: digest %s, want %s...", n, got, want)
		}
		if n > 0 {
			continue
		}
		// Values of bench/preparation/preparation.py (nibabel 5.4.2, numpy 2.4.6): the
		// whole way from the file, written independently.
		for at, want := range map[[3]int]float64{
			{0, 0, 0}: -1.7545284, {16, 24, 24}: -0.6534077, {10, 30, 12}: 0.11880049, {5, 25, 20}: -0.46563706, {31, 47, 47}: -1.7545284,
		} {
			if got := float64(image.Data[(at[0]*48+at[1])*48+at[2]]); !near(got, want, 2e-6) {
				t.Errorf("voxel %v = %v, numpy gives %v", at, got, want)
			}
		}
	}
	v, mask, err := file.Load()
	if err != nil {
		t.Fatal(err)
	}
	world, reversed := v.Orientation()
	if world != [3]int{0, 1, 2} || reversed != [3]bool{true, true, false} { // LPS, as the data's README says
		t.Fatalf("orientation %v %v", world, reversed)
	}
	turned := prepared(t, rearrange(v, [3]int{0, 1, 2}, 3), rearrange(mask, [3]int{0, 1, 2}, 3), c)
	if digest(turned) != digest(first) {
		t.Error("the volume stored as RAS+ gives another image")
	}
}
