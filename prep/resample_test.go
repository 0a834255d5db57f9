package prep

import (
	"math"
	"slices"
	"testing"

	"ballast/cohort"
	"ballast/stat"
)

// Values of Image.resize(..., BILINEAR) of PIL 13.0.0 in mode F, whose filter is
// the same triangle. Rows where the filter reaches over the edge are left out:
// PIL takes nothing to lie there, we the background.
func TestResampleAgreesWithPIL(t *testing.T) {
	v := picture(16, 12, func(x, y int) float32 {
		if y >= 3 && y < 9 && x >= 3 && x < 13 {
			return float32((x*7+y*13+x*y)%97 + 1)
		}
		return 0
	})
	rows := []float32{ // 1 to 3 of 5
		0, 35.090397, 33.14186, 21.805084, 37.381474, 30.799774, 0,
		0, 22.650476, 44.499023, 56.42733, 44.860325, 27.46381, 0,
		0, 24.87887, 40.951706, 27.73564, 32.908985, 34.672993, 0,
	}
	image := prepared(t, v, nil, Config{Dims: 2, Crop: "none", Grid: [3]int{1, 5, 7}, Spacing: [3]float64{1, 12. / 5, 16. / 7}, Normalise: "none"})
	for n, want := range rows {
		if got := image.Data[7+n]; !(math.Abs(float64(got-want)) <= 2e-5) {
			t.Errorf("7 x 5: pixel %d = %v, want %v", 7+n, got, want)
		}
	}
	image = prepared(t, v, nil, Config{Dims: 2, Crop: "none", Grid: [3]int{1, 20, 24}, Spacing: [3]float64{1, 12. / 20, 16. / 24}, Normalise: "none"})
	for _, c := range []struct {
		y, x int
		want float64
	}{{0, 0, 0}, {5, 4, 28}, {6, 7, 72.5999984741211}, {9, 12, 67.16666412353516}, {13, 19, 40.5}, {14, 20, 0}, {10, 5, 19.933332443237305}} {
		if got := image.Data[c.y*24+c.x]; !(math.Abs(float64(got)-c.want) <= 2e-5) {
			t.Errorf("24 x 20: pixel (%d, %d) = %v, want %v", c.y, c.x, got, c.want)
		}
	}
}

// Values of scipy 1.17.1, ndimage.map_coordinates(order=1, mode="grid-constant").
func TestResampleAgreesWithScipy(t *testing.T) {
	v := volume([3]int{6, 5, 7}, [3]float64{1, 2, 3}, mottled)
	inside := []float64{
		75.458333, 45.916667, 16.779167, 47.3125, 29.416667, 21.625, 29.675, 28.072917, 36.575, 32.245833,
		40.875, 49.504167, 22.125, 26.4375, 33.175, 33.5, 41.8125, 50.125, 47.3, 57.1875,
		67.075, 61.1, 66.5, 71.9, 45.583333, 52.427083, 59.675, 60.104167, 69.364583, 68.520833,
		75.029167, 71.145833, 57.158333, 81.870833, 56.760417, 33.670833,
	}
	image := prepared(t, v, nil, Config{Dims: 3, Crop: "none", Grid: [3]int{3, 4, 3}, Spacing: [3]float64{2.5, 1.5, 0.7}, Normalise: "none"})
	for n, want := range inside {
		if !(math.Abs(float64(image.Data[n])-want) <= 1e-5) {
			t.Errorf("voxel %d = %v, want %v", n, image.Data[n], want)
		}
	}
	// A row that begins and ends outside, where the background is 1.
	edge := []float64{1, 6.6, 20.25, 31.95, 43.65, 55.35, 67.05, 78.75, 29.35, 1}
	image = prepared(t, v, nil, Config{Dims: 3, Crop: "none", Grid: [3]int{1, 1, 10}, Spacing: [3]float64{1, 1, 0.9}, Normalise: "none"})
	for n, want := range edge {
		if !(math.Abs(float64(image.Data[n])-want) <= 1e-5) {
			t.Errorf("edge: voxel %d = %v, want %v", n, image.Data[n], want)
		}
	}
}

// A linear function of the millimetres stays what it was where the result is
// as fine as the image, or coarser by a whole number.
func TestRampIsKept(t *testing.T) {
	ramp := func(x, y, z float64) float64 { return 3 + 0.5*x - 0.25*y + 0.75*z }
	spacing := [3]float64{1, 1.5, 2}
	v := volume([3]int{40, 40, 40}, spacing, func(i, j, k int) float32 {
		return float32(ramp(float64(i), 1.5*float64(j), 2*float64(k)))
	})
	for _, ratio := range [][3]float64{{1, 1, 1}, {0.7, 0.31, 0.9}, {2, 3, 4}, {1, 0.5, 3}} { // D, H, W
		c := Config{Dims: 3, Crop: "none", Grid: [3]int{5, 6, 7}, Normalise: "none"}
		for axis := range 3 {
			c.Spacing[axis] = ratio[axis] * spacing[2-axis]
		}
		image := prepared(t, v, nil, c)
		for n, got := range image.Data {
			index := [3]int{n / 42, n / 7 % 6, n % 7}
			var mm [3]float64 // D, H, W
			for axis := range 3 {
				mm[axis] = 19.5*spacing[2-axis] + (float64(index[axis])-float64(c.Grid[axis]-1)/2)*c.Spacing[axis]
			}
			if want := ramp(mm[2], mm[1], mm[0]); !(math.Abs(float64(got)-want) <= 1e-5) {
				t.Fatalf("ratio %v: voxel %v = %v, want %v", ratio, index, got, want)
			}
		}
	}
}

// Weights are at least 0 and sum to 1 with the part outside; a grid that lies
// wholly outside is background.
func TestTapsSumToOne(t *testing.T) {
	for _, ratio := range []float64{0.2, 1, 1.7, 3, 12.5} {
		for n, tap := range filter("linear", 50, 3.3, ratio, 9) {
			sum := tap.outside
			for _, weight := range tap.weights {
				sum += weight
				if !(weight >= 0) {
					t.Errorf("ratio %g, tap %d: weight %g", ratio, n, weight)
				}
			}
			if !(math.Abs(sum-1) <= 1e-12) || tap.first < 0 || tap.first+len(tap.weights) > max(9, tap.first) {
				t.Errorf("ratio %g, tap %d: %+v sums to %g", ratio, n, tap, sum)
			}
		}
	}
	v := volume([3]int{4, 4, 4}, [3]float64{1, 1, 1}, mottled)
	image := prepared(t, v, nil, Config{Dims: 3, Crop: "none", Grid: [3]int{2, 2, 2}, Spacing: [3]float64{100, 1, 1}, Normalise: "none"})
	for _, x := range image.Data {
		if !(x < 5) { // 4 of about 10,000 slices that the filter spans are not background, 1
			t.Errorf("far outside: %v", image.Data)
		}
	}
}

func TestOrderStatisticsAgreeWithSorting(t *testing.T) {
	for _, size := range []int{1, 2, 5001, few, few + 1, 3 * few} {
		s := stat.NewStream(11, "test", uint64(size))
		data := make([]float32, size)
		for n := range data {
			data[n] = float32(s.Normal() * 1000)
			if n%7 == 0 {
				data[n] = 0
			}
		}
		sorted := slices.Sorted(slices.Values(data))
		ranks := []int{size - 1, 0, size / 50, size / 4, size / 2, size/2 + size%2, size * 6 / 10, size / 50}
		for n, rank := range ranks {
			ranks[n] = min(rank, size-1)
		}
		for n, got := range orderStatistics(data, ranks) {
			if want := sorted[ranks[n]]; got != want {
				t.Errorf("%d numbers: rank %d = %v, want %v", size, ranks[n], got, want)
			}
		}
	}
}

func TestForeground(t *testing.T) {
	half := func(low, high float32) *cohort.Volume {
		return volume([3]int{10, 10, 10}, [3]float64{1, 1, 1}, func(i, j, k int) float32 {
			if i >= 2 && i < 8 && j > 0 && j < 9 && k > 0 && k < 9 { // 384 of 1000
				return high
			}
			return low
		})
	}
	for _, c := range []struct {
		name           string
		v              *cohort.Volume
		background     float32
		inside, beyond []float32
	}{
		{"air of 20, tissue of 520", half(20, 520), 20, []float32{70.5, 520}, []float32{20, 69.5}}, // 20 + 0.1 * 500
		{"zeros around negative numbers", half(0, -4), 0, []float32{-4, 1}, []float32{0}},
		{"one bright voxel in 1000", volume([3]int{10, 10, 10}, [3]float64{1, 1, 1}, func(i, j, k int) float32 {
			if i == 5 && j == 5 && k == 5 {
				return 9
			}
			return 2
		}), 2, []float32{9}, []float32{2}},
	} {
		g := Foreground(c.v)
		if g.Background != c.background {
			t.Errorf("%s: background %v, want %v", c.name, g.Background, c.background)
		}
		for _, x := range c.inside {
			if !g.Contains(x) {
				t.Errorf("%s: %v is not in the foreground", c.name, x)
			}
		}
		for _, x := range c.beyond {
			if g.Contains(x) {
				t.Errorf("%s: %v is in the foreground", c.name, x)
			}
		}
	}
	if g := Foreground(volume([3]int{4, 4, 4}, [3]float64{1, 1, 1}, mottled)); g.Background != 1 {
		t.Errorf("corners that differ: background %v, want the lowest, 1", g.Background)
	}
}
