package prep

import (
	"math"
	"testing"

	"ballast/stat"
)

func TestChoose(t *testing.T) {
	alike := func(size, spacing [3]float64) []Extent {
		return []Extent{{size, spacing}, {size, spacing}, {size, spacing}}
	}
	outlier := make([]Extent, 10) // nine small boxes, one large: the 90th percentile is a small one
	for n := range outlier {
		outlier[n] = Extent{[3]float64{32, 64, 64}, [3]float64{2, 1, 1}}
	}
	outlier[4].Size = [3]float64{500, 500, 500}
	for _, c := range []struct {
		name    string
		extents []Extent
		dims    int
		voxels  int
		grid    [3]int
		spacing [3]float64
	}{
		{"as fine as the images", alike([3]float64{48, 64, 96}, [3]float64{2, 1, 1}), 3, 1 << 20, [3]int{24, 64, 96}, [3]float64{2, 1, 1}},
		{"rounded up to 16 and 8", alike([3]float64{50, 65, 97}, [3]float64{2, 1, 1}), 3, 1 << 20, [3]int{32, 80, 112}, [3]float64{2, 1, 1}},
		{"coarser in-plane first", alike([3]float64{64, 64, 64}, [3]float64{4, 1, 1}), 3, 16 * 32 * 32, [3]int{16, 32, 32}, [3]float64{4, 2, 2}},
		{"then everywhere", alike([3]float64{128, 128, 128}, [3]float64{4, 1, 1}), 3, 16 * 16 * 16, [3]int{16, 16, 16}, [3]float64{8, 8, 8}},
		{"an outlier does not count", outlier, 3, 1 << 20, [3]int{16, 64, 64}, [3]float64{2, 1, 1}},
		{"2D", alike([3]float64{1, 512, 512}, [3]float64{1, 1, 1}), 2, 128 * 128, [3]int{1, 128, 128}, [3]float64{1, 4, 4}},
		{"smaller than the smallest grid", alike([3]float64{5, 5, 5}, [3]float64{3, 1, 1}), 3, 1, [3]int{16, 16, 16}, [3]float64{3, 1, 1}},
	} {
		grid, spacing := Choose(c.extents, c.dims, c.voxels)
		if grid != c.grid || spacing != c.spacing {
			t.Errorf("%s: grid %v of %v mm, want %v of %v mm", c.name, grid, spacing, c.grid, c.spacing)
		}
	}
}

// Whatever the images, the rule that Choose documents holds.
func TestChooseKeepsItsRule(t *testing.T) {
	s := stat.NewStream(5, "test")
	for range 300 {
		native := [3]float64{0.5 + 5*s.Float64(), 0, 0.3 + 2*s.Float64()}
		native[1] = native[2]
		size := [3]float64{10 + 200*s.Float64(), 10 + 200*s.Float64(), 10 + 200*s.Float64()}
		budget := 4096 + s.IntN(1<<18)
		grid, spacing := Choose([]Extent{{size, native}}, 3, budget)
		if grid[0]*grid[1]*grid[2] > budget || spacing[1] != spacing[2] {
			t.Fatalf("grid %v of %v mm for %d voxels", grid, spacing, budget)
		}
		for axis, multiple := range [3]int{8, 16, 16} {
			if grid[axis]%multiple != 0 || grid[axis] < 16 {
				t.Errorf("grid %v", grid)
			}
			if !(spacing[axis] >= native[axis]*0.994) { // three digits
				t.Errorf("spacing %v, images have %v", spacing, native)
			}
			if covered := float64(grid[axis]) * spacing[axis]; !(covered >= size[axis]*0.994) {
				t.Errorf("grid %v of %v mm does not cover %v mm", grid, spacing, size)
			}
		}
	}
	if got := threeDigits(0.9765625); got != 0.977 || threeDigits(12.3456) != 12.3 || math.IsNaN(got) {
		t.Errorf("threeDigits(0.9765625) = %v", got)
	}
}
