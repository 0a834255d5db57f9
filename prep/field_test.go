package prep

import (
	"math"
	"testing"

	"ballast/cohort"
)

// turned rotates the affine of a volume by an angle around z and half of it
// around x: an oblique image.
func turned(v *cohort.Volume, angle float64) *cohort.Volume {
	w := *v
	rotate := func(a, b int, angle float64) {
		sin, cos := math.Sincos(angle)
		for c := range 4 {
			w.Affine[a][c], w.Affine[b][c] = cos*w.Affine[a][c]-sin*w.Affine[b][c], sin*w.Affine[a][c]+cos*w.Affine[b][c]
		}
	}
	rotate(0, 1, angle)
	rotate(1, 2, angle/2)
	return &w
}

// blob is a ball of smooth border, brightest at a place in voxels.
func blob(at [3]float64, spacing [3]float64, radius float64) func(i, j, k int) float32 {
	return func(i, j, k int) float32 {
		square := 0.0
		for axis, x := range [3]int{i, j, k} {
			d := (float64(x) - at[axis]) * spacing[axis] / radius
			square += d * d
		}
		return float32(1000 * math.Exp(-square))
	}
}

// centroid returns the centre of mass in voxels.
func centroid(v *cohort.Volume) (at [3]float64) {
	sum := 0.0
	for n, x := range v.Data {
		index := [3]int{n % v.Shape[0], n / v.Shape[0] % v.Shape[1], n / v.Shape[0] / v.Shape[1]}
		for axis := range 3 {
			at[axis] += float64(x) * float64(index[axis])
		}
		sum += float64(x)
	}
	for axis := range 3 {
		at[axis] /= sum
	}
	return at
}

// A blob that is prepared and taken back lies where it was, to less than half a
// voxel of the subject's image along every axis: in all 48 orders of the axes, in
// oblique images, with grids coarser and finer than the image, off its middle and
// reaching beyond it.
func TestBackBringsABlobToItsPlace(t *testing.T) {
	shape, spacing := [3]int{20, 26, 14}, [3]float64{1.5, 1.1, 3}
	place := [3]float64{12.3, 9.6, 7.2}
	v := volume(shape, spacing, blob(place, spacing, 5))
	mask := volume(shape, spacing, func(i, j, k int) float32 {
		if i > 9 && j < 15 && k > 4 && k < 11 {
			return 1
		}
		return 0
	})
	for name, c := range map[string]Config{
		"coarser":  {Dims: 3, Crop: "none", Grid: [3]int{16, 12, 12}, Spacing: [3]float64{4.1, 3.3, 2.9}},
		"finer":    {Dims: 3, Crop: "mask", Grid: [3]int{32, 48, 40}, Spacing: [3]float64{1.3, 0.6, 0.7}},
		"to edge":  {Dims: 3, Crop: "mask", Grid: [3]int{17, 22, 21}, Spacing: [3]float64{3, 2.2, 1.9}},
		"as it is": {Dims: 3, Crop: "none", Grid: [3]int{14, 26, 20}, Spacing: [3]float64{3, 1.1, 1.5}},
	} {
		c.Normalise = "none"
		for _, order := range orders {
			for flips := range 8 {
				for _, angle := range []float64{0, 0.3} {
					v, mask := turned(rearrange(v, order, flips), angle), turned(rearrange(mask, order, flips), angle)
					images, fields, err := PrepareFields([]*cohort.Volume{v}, mask, c)
					if err != nil {
						t.Fatal(err)
					}
					back := fields[0].Empty()
					fields[0].Back(images[0].Data, back)
					if back.Affine != v.Affine || back.Shape != v.Shape || back.Spacing != v.Spacing {
						t.Fatalf("%s: geometry %v %v, want %v %v", name, back.Shape, back.Affine, v.Shape, v.Affine)
					}
					got, want := centroid(back), centroid(v)
					for axis := range 3 {
						if !(math.Abs(got[axis]-want[axis]) < 0.5) {
							t.Errorf("%s, axes %v, flips %03b, angle %g: %.2f, want %.2f", name, order, flips, angle, got, want)
						}
					}
				}
			}
		}
	}
}

// Back interpolates linearly: a ramp on the grid is, at every voxel of the image
// within the field of view, the ramp at the voxel's own place in the grid, which
// is found here in world coordinates; outside it is zero.
func TestBackOfARampInWorldCoordinates(t *testing.T) {
	shape, spacing := [3]int{15, 12, 18}, [3]float64{1.25, 2, 0.8}
	c := Config{Dims: 3, Crop: "none", Grid: [3]int{5, 6, 4}, Spacing: [3]float64{2.5, 2.2, 3.1}, Normalise: "none"}
	ramp := func(d, h, w float64) float64 { return 100 + 3*d - 7*h + 11*w }
	var data []float32
	for d := range 5 {
		for h := range 6 {
			for w := range 4 {
				data = append(data, float32(ramp(float64(d), float64(h), float64(w))))
			}
		}
	}
	for _, order := range orders {
		for flips := range 8 {
			v := rearrange(volume(shape, spacing, mottled), order, flips)
			_, fields, err := PrepareFields([]*cohort.Volume{v}, nil, c)
			if err != nil {
				t.Fatal(err)
			}
			back := fields[0].Empty()
			fields[0].Back(data, back)
			inside := 0
			for n, got := range back.Data {
				index := [3]int{n % v.Shape[0], n / v.Shape[0] % v.Shape[1], n / v.Shape[0] / v.Shape[1]}
				want, within := rampAt(v, index, c, ramp)
				if within {
					inside++
				}
				if !(math.Abs(float64(got)-want) < 1e-3) {
					t.Fatalf("axes %v, flips %03b: voxel %v is %g, want %g", order, flips, index, got, want)
				}
			}
			if inside < 500 || inside == len(back.Data) {
				t.Fatalf("%d of %d voxels within the field", inside, len(back.Data))
			}
		}
	}
}

// rampAt returns the ramp at a voxel of the image; the grid is centred on the
// image's middle and runs along S, A, R of the world.
func rampAt(v *cohort.Volume, index [3]int, c Config, ramp func(d, h, w float64) float64) (value float64, within bool) {
	var at [3]float64
	for n := range 3 {
		row := 2 - n // world axis of D, H, W
		mm := 0.0
		for axis := range 3 {
			mm += v.Affine[row][axis] * (float64(index[axis]) - float64(v.Shape[axis]-1)/2)
		}
		at[n] = mm/c.Spacing[n] + float64(c.Grid[n]-1)/2
		if at[n] < -0.5-1e-6 || at[n] > float64(c.Grid[n])-0.5+1e-6 {
			return 0, false
		}
		at[n] = min(max(at[n], 0), float64(c.Grid[n]-1))
	}
	return ramp(at[0], at[1], at[2]), true
}

// A slice of a volume goes back to the slice it was taken from, and to no other.
func TestBackOfSlices(t *testing.T) {
	shape, spacing := [3]int{24, 20, 9}, [3]float64{1, 1.2, 4}
	for name, c := range map[string]struct {
		slice string
		want  []int // slices that are not zero
		depth float64
	}{
		"middle":            {"middle", []int{4}, 4},
		"middle, thick":     {"middle", []int{3, 4, 5}, 12},
		"middle, thin":      {"middle", []int{4}, 1},
		"largest of a mask": {"mask-largest", []int{6}, 4},
		"all of the mask":   {"all", []int{5, 6, 7}, 4},
	} {
		v := volume(shape, spacing, func(i, j, k int) float32 {
			return 1 + float32(k) + blob([3]float64{15, 8, 6}, spacing, 4)(i, j, k)
		})
		mask := volume(shape, spacing, func(i, j, k int) float32 {
			if i == 12 && k >= 5 && k <= 7 || k == 6 && i > 12 && i < 20 {
				return 1
			}
			return 0
		})
		config := Config{Dims: 2, Crop: "mask", Slice: c.slice, Grid: [3]int{1, 24, 28}, Spacing: [3]float64{c.depth, 1, 1}, Normalise: "none"}
		if c.slice == "middle" {
			config.Crop = "none"
		}
		for flips := range 8 {
			v, mask := rearrange(v, [3]int{2, 0, 1}, flips), rearrange(mask, [3]int{2, 0, 1}, flips)
			images, fields, err := PrepareFields([]*cohort.Volume{v}, mask, config)
			if err != nil {
				t.Fatal(err)
			}
			back := fields[0].Empty()
			for n, image := range images {
				fields[n].Back(image.Data, back)
			}
			for k := range 9 {
				slice := k // along the first axis, which is the old third
				if flips&1 == 1 {
					slice = 8 - k
				}
				largest, at := float32(0), [2]int{}
				for j := range v.Shape[1] {
					for l := range v.Shape[2] {
						if x := back.At(slice, j, l); x > largest {
							largest, at = x, [2]int{j, l}
						}
					}
				}
				wanted := false
				for _, w := range c.want {
					wanted = wanted || w == k
				}
				if (largest > 0) != wanted {
					t.Errorf("%s, flips %03b: slice %d is at most %g", name, flips, k, largest)
				}
				place := [2]int{15, 8}
				for n := range 2 {
					if flips>>(n+1)&1 == 1 {
						place[n] = v.Shape[n+1] - 1 - place[n]
					}
				}
				if k == 6 && wanted && (math.Abs(float64(at[0]-place[0])) > 0.5 || math.Abs(float64(at[1]-place[1])) > 0.5) {
					t.Errorf("%s, flips %03b: brightest at %v, want %v", name, flips, at, place)
				}
			}
		}
	}
}

// A box of an even number of slices has its middle between two, which a thin
// grid takes the mean of: the map belongs to both.
func TestBackOfAMiddleBetweenSlices(t *testing.T) {
	v := volume([3]int{8, 8, 4}, [3]float64{1, 1, 5}, mottled)
	c := Config{Dims: 2, Crop: "none", Grid: [3]int{1, 8, 8}, Spacing: [3]float64{4.99, 1, 1}, Normalise: "none"}
	images, fields, err := PrepareFields([]*cohort.Volume{v}, nil, c)
	if err != nil {
		t.Fatal(err)
	}
	back := fields[0].Empty()
	fields[0].Back(images[0].Data, back)
	for k, want := range []bool{false, true, true, false} {
		if got := back.At(3, 3, k) != 0; got != want {
			t.Errorf("slice %d: %g", k, back.At(3, 3, k))
		}
	}
}

// A picture's map has the picture's own pixels.
func TestBackOfAPicture(t *testing.T) {
	v := picture(40, 30, func(x, y int) float32 { return blob([3]float64{28, 9, 0}, [3]float64{1, 1, 1}, 4)(x, y, 0) })
	c := Config{Dims: 2, Crop: "none", Grid: [3]int{1, 16, 16}, Spacing: [3]float64{1, 2.1, 2.6}, Normalise: "none"}
	images, fields, err := PrepareFields([]*cohort.Volume{v}, nil, c)
	if err != nil {
		t.Fatal(err)
	}
	back := fields[0].Empty()
	fields[0].Back(images[0].Data, back)
	if got := centroid(back); !(math.Abs(got[0]-28) < 0.5 && math.Abs(got[1]-9) < 0.5) {
		t.Errorf("blob at %.2f, want 28 9", got)
	}
	if at := fields[0].Voxel([3]float64{0, 7.5, 7.5}); at != [3]float64{19.5, 14.5, 0} {
		t.Errorf("the grid's middle lies at %v of the picture", at)
	}
}
