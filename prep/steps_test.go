package prep

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"ballast/cohort"
	"ballast/stat"
)

// near reports whether two numbers agree within a tolerance; NaN never does.
func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance }

// Values of Image.resize(..., BICUBIC) of PIL 13.0.0 in mode F (a = -1/2). Rows
// and columns where the filter reaches over the edge are left out: PIL takes
// nothing to lie there, we the background.
func TestCubicAgreesWithPIL(t *testing.T) {
	v := picture(16, 12, func(x, y int) float32 {
		if y >= 3 && y < 9 && x >= 3 && x < 13 {
			return float32((x*7+y*13+x*y)%97 + 1)
		}
		return 0
	})
	c := Config{Dims: 2, Crop: "none", Normalise: "none", Resample: "cubic"}
	c.Grid, c.Spacing = [3]int{1, 5, 7}, [3]float64{1, 12. / 5, 16. / 7}
	image := prepared(t, v, nil, c)
	// Row 2, columns 2 to 4: six pixels from every edge.
	for n, want := range []float64{47.972046, 63.043144, 47.848774} {
		if got := float64(image.Data[2*7+2+n]); !near(got, want, 2e-5) {
			t.Errorf("7 x 5: pixel %d = %v, want %v", n, got, want)
		}
	}
	c.Grid, c.Spacing = [3]int{1, 20, 24}, [3]float64{1, 12. / 20, 16. / 24}
	image = prepared(t, v, nil, c)
	for _, p := range []struct {
		y, x int
		want float64
	}{{5, 4, 28.642}, {6, 7, 85.1715}, {9, 12, 69.47491}, {13, 19, 45.6605}, {14, 20, -4.5583334}, {10, 5, 18.562906}} {
		if got := float64(image.Data[p.y*24+p.x]); !near(got, p.want, 2e-5) {
			t.Errorf("24 x 20: pixel (%d, %d) = %v, want %v", p.y, p.x, got, p.want)
		}
	}
}

// Values of scipy 1.17.1, ndimage.map_coordinates(order=0, mode="grid-constant").
func TestNearestAgreesWithScipy(t *testing.T) {
	v := volume([3]int{6, 5, 7}, [3]float64{1, 2, 3}, mottled)
	want := []float32{
		90, 2, 2, 10, 21, 21, 10, 21, 21, 27, 40, 40, 24, 34, 34, 43, 56, 56,
		43, 56, 56, 62, 78, 78, 55, 66, 66, 76, 91, 91, 76, 91, 91, 97, 19, 19,
	}
	c := Config{Dims: 3, Crop: "none", Grid: [3]int{3, 4, 3}, Spacing: [3]float64{2.5, 1.5, 0.7}, Normalise: "none", Resample: "nearest"}
	if image := prepared(t, v, nil, c); !slices.Equal(image.Data, want) {
		t.Errorf("%v, want %v", image.Data, want)
	}
}

// Values of numpy 2.4.6: differences of the integral of the image, taken constant
// within each voxel (interp of cumsum), along each axis in turn.
func TestAreaAgreesWithTheIntegral(t *testing.T) {
	v := volume([3]int{6, 5, 7}, [3]float64{1, 2, 3}, mottled)
	want := []float64{
		61.639380228, 51.516659811, 56.739681887, 37.061223091, 39.865418895, 45.75805567,
		47.995543672, 55.52289867, 60.253805019, 41.269642123, 55.444672974, 46.386192239,
	}
	c := Config{Dims: 3, Crop: "none", Grid: [3]int{3, 2, 2}, Spacing: [3]float64{5.1, 3.3, 2.6}, Normalise: "none", Resample: "area"}
	for n, got := range prepared(t, v, nil, c).Data {
		if !near(float64(got), want[n], 1e-5) {
			t.Errorf("voxel %d = %v, want %v", n, got, want[n])
		}
	}
}

// Every kernel keeps a constant, at any ratio, inside and with the same value
// outside, and its weights sum to 1.
func TestKernelsKeepAConstant(t *testing.T) {
	for _, kernel := range Choices("resample") {
		for _, ratio := range []float64{0.2, 1, 1.7, 3, 12.5} {
			for n, tap := range filter(kernel, 50, 3.3, ratio, 9) {
				sum := tap.outside
				for _, weight := range tap.weights {
					sum += weight
				}
				if !near(sum, 1, 1e-12) || tap.first < 0 || tap.first+len(tap.weights) > max(9, tap.first) {
					t.Errorf("%s, ratio %g, tap %d: %+v sums to %g", kernel, ratio, n, tap, sum)
				}
			}
		}
	}
}

// second is a further sequence with an affine of its own.
func second(affine [3][4]float64) *cohort.Volume {
	w := volume([3]int{14, 12, 15}, [3]float64{1, 1, 1}, func(i, j, k int) float32 { return mottled(i+1, j+2, k+3) })
	w.Affine = affine
	for axis := range 3 {
		square := 0.0
		for row := range 3 {
			square += affine[row][axis] * affine[row][axis]
		}
		w.Spacing[axis] = math.Sqrt(square)
	}
	return w
}

// A second sequence is sampled in world coordinates. Values of SimpleITK 2.5.7,
// Resample with sitkLinear onto the same grid; the axes of one volume are
// permuted and reversed, those of the other lie oblique.
func TestFurtherSequencesAgreeWithSimpleITK(t *testing.T) {
	first := volume([3]int{6, 5, 7}, [3]float64{1, 2, 3}, mottled)
	c := Config{Dims: 3, Crop: "none", Grid: [3]int{3, 4, 3}, Spacing: [3]float64{2.5, 1.5, 0.7}, Normalise: "none", Channels: 2}
	for _, s := range []struct {
		name   string
		affine [3][4]float64
		want   []float64
	}{
		{"permuted", [3][4]float64{{0, 0, -1.1, 9.3}, {1.6, 0, 0, 4.1}, {0, 2.6, 0, 11.2}}, []float64{
			52.839816434, 65.547202797, 66.86090472, 41.484265734, 51.045782343, 59.176464161, 29.683566434, 34.541193182, 39.39881993,
			17.882867133, 18.036604021, 18.190340909, 27.093968531, 37.821896853, 47.065996503, 24.143793706, 29.594187063, 35.04458042,
			21.193618881, 21.366477273, 21.539335664, 18.243444056, 13.138767483, 30.185533217, 65.004370629, 22.338177448, 15.283872378,
			24.831840035, 12.148929196, 9.481861888, 12.703671329, 8.191761364, 27.050152972, 18.604020979, 8.240930944, 38.524147727}},
		{"oblique", [3][4]float64{{1.503508193, -0.572600951, 0.184112641, -4}, {0.547232229, 1.573208183, -0.505845325, 2}, {0, 0.295201902, 3.052904034, 8}}, []float64{
			62.215855772, 56.172346713, 50.10663453, 34.375140028, 31.146308235, 27.027841304, 15.55366575, 27.837377616, 31.45802532,
			52.852583111, 64.191625693, 65.128202993, 43.609238996, 40.872152557, 37.140863565, 23.274665195, 22.716280027, 21.598458087,
			5.576526955, 7.99377932, 9.450459245, 63.624257943, 53.821866409, 32.058683435, 27.635338091, 27.929308079, 27.141323154,
			20.867424512, 17.215785121, 19.265365512, 20.833121336, 12.924219191, 15.186759016, 59.256338642, 30.342421095, 22.324390532}},
	} {
		images, err := PrepareAll([]*cohort.Volume{first, second(s.affine)}, nil, c)
		if err != nil {
			t.Fatal(err)
		}
		alone := prepared(t, first, nil, Config{Dims: 3, Crop: "none", Grid: c.Grid, Spacing: c.Spacing, Normalise: "none"})
		if m := images[0]; m.C != 2 || len(m.Data) != 72 || !slices.Equal(m.Data[:36], alone.Data) {
			t.Fatalf("%s: the first channel is not the first sequence alone", s.name)
		}
		for n, want := range s.want {
			if got := float64(images[0].Data[36+n]); !near(got, want, 1e-4) {
				t.Errorf("%s: voxel %d = %v, want %v", s.name, n, got, want)
			}
		}
	}
}

// A sequence turned by less than the aligned path tolerates, and by a little
// more, is the same image to the eye of a network: the two ways to resample agree.
func TestAlignedAndObliqueAgree(t *testing.T) {
	smooth := func(i, j, k int) float32 {
		return float32(100 + 30*math.Sin(float64(i)/3) + 20*math.Cos(float64(j)/4) + 10*math.Sin(float64(k)/2))
	}
	first := volume([3]int{24, 24, 24}, [3]float64{1, 1, 1}, smooth)
	c := Config{Dims: 3, Crop: "none", Grid: [3]int{8, 8, 8}, Spacing: [3]float64{1.3, 1.2, 1.1}, Normalise: "none", Channels: 2}
	var results [2][]float32
	for n, turn := range []float64{1e-6, 3e-3} {
		other := volume([3]int{24, 24, 24}, [3]float64{1, 1, 1}, smooth)
		other.Affine[0][1], other.Affine[1][0] = turn, -turn
		for _, kernel := range []string{"linear", "cubic"} {
			c.Resample = kernel
			images, err := PrepareAll([]*cohort.Volume{first, other}, nil, c)
			if err != nil {
				t.Fatal(err)
			}
			results[n] = append(results[n], images[0].Data[512:]...)
		}
	}
	for n := range results[0] {
		if !near(float64(results[0][n]), float64(results[1][n]), 2) {
			t.Fatalf("voxel %d: %v aligned, %v oblique", n, results[0][n], results[1][n])
		}
	}
	if slices.Equal(results[0], results[1]) {
		t.Error("turning the sequence changes nothing")
	}
}

// Values of numpy 2.4.6, percentile(x, p) of 11, 7, 3, 100, 5, 2.
func TestPercentilesAgreeWithNumpy(t *testing.T) {
	got := percentiles([]float32{11, 7, 3, 100, 5, 2}, []float64{0, 0.5, 25, 50, 99.5, 100})
	for n, want := range []float64{2, 2.025, 3.5, 6, 97.775, 100} {
		if !near(got[n], want, 1e-9) {
			t.Errorf("percentile %d = %v, want %v", n, got[n], want)
		}
	}
}

func TestClipAndMinmax(t *testing.T) {
	v := volume([3]int{10, 10, 10}, [3]float64{1, 1, 1}, func(i, j, k int) float32 { return float32(i + 10*j + 100*k) })
	c := Config{Dims: 3, Crop: "none", Grid: [3]int{10, 10, 10}, Spacing: [3]float64{1, 1, 1}, Normalise: "none", Clip: []float64{10, 90}, Over: "image"}
	image := prepared(t, v, nil, c)
	// numpy.percentile(arange(1000), [10, 90]) = 99.9, 899.1
	for n, x := range image.Data {
		want := min(max(float32(n), 99.9), 899.1)
		if x != want {
			t.Fatalf("voxel %d = %v, want %v", n, x, want)
		}
	}
	c.Normalise = "minmax"
	image = prepared(t, v, nil, c)
	if low, high := slices.Min(image.Data), slices.Max(image.Data); low != 0 || high != 1 {
		t.Errorf("minmax spans %v to %v", low, high)
	}
	if got, want := image.Data[500], (500-99.9)/(899.1-99.9); !near(float64(got), want, 1e-6) {
		t.Errorf("minmax of 500 = %v, want %v", got, want)
	}
}

// Mean and deviation are taken where the plan says.
func TestOver(t *testing.T) {
	v := volume([3]int{12, 12, 12}, [3]float64{1, 1, 1}, func(i, j, k int) float32 {
		if i == 0 || j == 0 || k == 0 {
			return 0
		}
		return 500 + mottled(i, j, k)
	})
	mask := volume(v.Shape, v.Spacing, func(i, j, k int) float32 {
		if i > 6 && j > 6 && k > 6 {
			return 1
		}
		return 0
	})
	c := Config{Dims: 3, Crop: "none", Grid: [3]int{12, 12, 12}, Spacing: [3]float64{1, 1, 1}, Normalise: "zscore"}
	for over, in := range map[string]func(n int) bool{
		"image":      func(int) bool { return true },
		"foreground": func(n int) bool { return v.Data[n] > 0 },
		"mask":       func(n int) bool { return mask.Data[n] > 0 },
	} {
		c.Over = over
		image := prepared(t, v, mask, c)
		sum, square, count := 0.0, 0.0, 0.0
		for n, x := range image.Data {
			if in(n) {
				sum, square, count = sum+float64(x), square+float64(x)*float64(x), count+1
			}
		}
		if !near(sum/count, 0, 1e-6) || !near(square/count, 1, 1e-6) {
			t.Errorf("over %s: mean %g and mean square %g of %g voxels", over, sum/count, square/count, count)
		}
	}
	small := volume(v.Shape, v.Spacing, func(i, j, k int) float32 {
		if i == 5 && j == 5 && k == 5 {
			return 1
		}
		return 0
	})
	c.Over = "mask"
	if _, err := Prepare(v, small, c); err == nil || !strings.Contains(err.Error(), "1 voxels on the grid") {
		t.Errorf("a mask of one voxel: %v", err)
	}
	if _, err := Prepare(v, nil, c); err == nil || !strings.Contains(err.Error(), "no mask") {
		t.Errorf("no mask: %v", err)
	}
}

func TestPad(t *testing.T) {
	v := volume([3]int{4, 4, 4}, [3]float64{1, 1, 1}, mottled)
	c := Config{Dims: 3, Crop: "none", Grid: [3]int{6, 4, 4}, Spacing: [3]float64{1, 1, 1}, Normalise: "none", Pad: "-3.5"}
	image := prepared(t, v, nil, c)
	if image.Data[0] != -3.5 || image.Background != -3.5 || image.Data[16] != v.Data[0] {
		t.Errorf("outside %v, background %v, inside %v", image.Data[0], image.Background, image.Data[16])
	}
	c.Normalise = "minmax"
	if image = prepared(t, v, nil, c); image.Background != image.Data[0] || !(image.Background < 0) {
		t.Errorf("after minmax: outside %v, background %v", image.Data[0], image.Background)
	}
	c.Pad = "air"
	if err := c.Check(); err == nil {
		t.Error("pad air is accepted")
	}
}

// W, H and D run as i, j and k of the file, whatever its affine says.
func TestStoredOrientation(t *testing.T) {
	v := volume([3]int{3, 4, 5}, [3]float64{1, 1, 1}, mottled)
	for _, order := range orders {
		w := rearrange(v, order, 5)
		c := Config{Dims: 3, Orient: "stored", Crop: "none", Grid: [3]int{w.Shape[2], w.Shape[1], w.Shape[0]}, Spacing: [3]float64{1, 1, 1}, Normalise: "none"}
		if image := prepared(t, w, nil, c); !slices.Equal(image.Data, w.Data) {
			t.Errorf("axes %v: the voxels were moved", order)
		}
	}
}

// Slices of a volume of which each is a constant picture with a spot: the number
// of the slice can be read off the result.
func TestSlices(t *testing.T) {
	v := volume([3]int{8, 8, 9}, [3]float64{1, 1, 3}, func(i, j, k int) float32 {
		if i == 4 && j == 4 {
			return float32(100 + k)
		}
		return float32(k)
	})
	mask := volume(v.Shape, v.Spacing, func(i, j, k int) float32 {
		if j > 4 && i < 7 && (k == 3 || k >= 2 && k <= 6 && i < 8-k) { // largest in slice 3
			return 1
		}
		return 0
	})
	c := Config{Dims: 2, Crop: "mask", Grid: [3]int{1, 7, 7}, Spacing: [3]float64{1, 1, 1}, Normalise: "none", Pad: "-1"}
	for slice, want := range map[string][]float32{"": {4}, "middle": {4}, "mask-largest": {3}, "all": {2, 3, 4, 5, 6}} {
		c.Slice = slice
		images, err := PrepareAll([]*cohort.Volume{v}, mask, c)
		if err != nil {
			t.Fatal(err)
		}
		var got []float32
		for _, m := range images {
			got = append(got, slices.Max(m.Data)-100)
		}
		if !slices.Equal(got, want) {
			t.Errorf("slice %q: %v, want %v", slice, got, want)
		}
		// The same anatomy stored upside down gives the same slices.
		for _, order := range orders {
			again, err := PrepareAll([]*cohort.Volume{rearrange(v, order, 6)}, rearrange(mask, order, 6), c)
			if err != nil || len(again) != len(images) {
				t.Fatalf("slice %q, axes %v: %d slices, %v", slice, order, len(again), err)
			}
			for n := range again {
				if digest(again[n]) != digest(images[n]) {
					t.Errorf("slice %q, axes %v: slice %d differs", slice, order, n)
				}
			}
		}
	}
	c.Slice = "mask-largest"
	if _, err := Prepare(v, nil, c); err == nil || !strings.Contains(err.Error(), "no mask") {
		t.Errorf("mask-largest without a mask: %v", err)
	}
}

// Slices that show nothing are left out; when all do, the image is refused.
func TestEmptySlicesAreLeftOut(t *testing.T) {
	v := volume([3]int{6, 6, 6}, [3]float64{1, 1, 1}, func(i, j, k int) float32 {
		if k == 2 || k == 4 {
			return mottled(i, j, k)
		}
		return 7
	})
	c := Config{Dims: 2, Crop: "none", Slice: "all", Grid: [3]int{1, 6, 6}, Spacing: [3]float64{1, 1, 1}, Over: "image"}
	images, err := PrepareAll([]*cohort.Volume{v}, nil, c)
	if err != nil || len(images) != 2 {
		t.Errorf("%d slices, %v; want 2", len(images), err)
	}
	stairs := volume(v.Shape, v.Spacing, func(_, _, k int) float32 { return float32(k) })
	if _, err := PrepareAll([]*cohort.Volume{stairs}, nil, c); !errors.Is(err, cohort.ErrConstant) {
		t.Errorf("nothing but constant slices: %v", err)
	}
}

func nyulVolume(s int) *cohort.Volume {
	return volume([3]int{6, 5, 7}, [3]float64{1, 1, 1}, func(i, j, k int) float32 {
		m := mottled(i, j, k)
		return m*m/float32(int(1)<<s) + float32(10*s)
	})
}

// Landmarks and values of TorchIO 1.2.1 (HistogramStandardization.train and its
// transform), whose landmarks beside the quartiles are ours.
func TestNyulAgreesWithTorchIO(t *testing.T) {
	c := Config{Dims: 3, Crop: "none", Grid: [3]int{7, 5, 6}, Spacing: [3]float64{1, 1, 1}, Standardise: "nyul", Normalise: "none", Over: "image"}
	var rows [][][]float64
	for s := range 3 {
		own, err := Landmarks([]*cohort.Volume{nyulVolume(s)}, c)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, own)
	}
	fitted, err := Fit(rows)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []float64{0, 1.556230073, 4.782168793, 9.763479182, 18.614586208, 25.518604834, 38.561991549, 49.73253854, 67.408156051, 85.804096532, 100} {
		if got := fitted.Channels[0].Landmarks[n]; !near(got, want, 1e-5) { // TorchIO's images are float32
			t.Errorf("landmark %d = %v, want %v", n, got, want)
		}
	}
	c.Fitted = fitted
	image := prepared(t, nyulVolume(3), nil, c)
	for _, p := range []struct {
		i, j, k int
		want    float64
	}{
		{0, 0, 0, -0.0029921108}, {1, 2, 3, 9.959629}, {5, 4, 6, 91.75507}, {2, 0, 5, 43.969955},
		{3, 1, 1, 49.73254}, {4, 3, 2, 31.11496}, {0, 4, 6, 12.054106}, {5, 0, 0, 14.348058},
	} {
		if got := float64(image.Data[p.i+6*(p.j+5*p.k)]); !near(got, p.want, 2e-5) {
			t.Errorf("voxel (%d, %d, %d) = %v, want %v", p.i, p.j, p.k, got, p.want)
		}
	}
	again, err := ReadFitted(fitted.JSON())
	if err != nil || !slices.Equal(again.Channels[0].Landmarks, fitted.Channels[0].Landmarks) {
		t.Errorf("prep.json reads back as %+v, %v", again, err)
	}
}

// Two scanners show the same tissue on scales that a monotone curve turns into
// one another; afterwards the tissue has one scale.
func TestNyulUndoesAScanner(t *testing.T) {
	s := stat.NewStream(8, "test")
	tissue := make([]float64, 20*20*20)
	for n := range tissue {
		tissue[n] = 100 + 30*s.Normal() + 60*float64(n%3)
	}
	scan := func(curve func(float64) float64) *cohort.Volume {
		return volume([3]int{20, 20, 20}, [3]float64{1, 1, 1}, func(i, j, k int) float32 { return float32(curve(tissue[i+20*(j+20*k)])) })
	}
	one := scan(func(x float64) float64 { return x })
	two := scan(func(x float64) float64 { return 900 + 4*x + 0.02*x*x })
	c := Config{Dims: 3, Crop: "none", Grid: [3]int{20, 20, 20}, Spacing: [3]float64{1, 1, 1}, Standardise: "nyul", Normalise: "none", Over: "image"}
	first, err1 := Landmarks([]*cohort.Volume{one}, c)
	other, err2 := Landmarks([]*cohort.Volume{two}, c)
	fitted, err3 := Fit([][][]float64{first, other})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	c.Fitted = fitted
	a, b := prepared(t, one, nil, c), prepared(t, two, nil, c)
	worst := 0.0
	for n := range a.Data {
		if x := float64(a.Data[n]); x > 0 && x < 100 {
			worst = max(worst, math.Abs(x-float64(b.Data[n])))
		}
	}
	if !(worst < 1) { // of the scale's 100; a linear match is off by several
		t.Errorf("the same tissue differs by up to %g", worst)
	}
}

func TestFittedIsRefused(t *testing.T) {
	c := Config{Dims: 3, Crop: "none", Grid: [3]int{4, 4, 4}, Spacing: [3]float64{1, 1, 1}, Standardise: "nyul"}
	v := volume([3]int{4, 4, 4}, [3]float64{1, 1, 1}, mottled)
	if _, err := Prepare(v, nil, c); err == nil || !strings.Contains(err.Error(), "no landmarks were fitted") {
		t.Errorf("without landmarks: %v", err)
	}
	c.Over = "mask"
	if err := c.Check(); err == nil {
		t.Error("nyul over the mask is accepted")
	}
	good, err := Fit([][][]float64{{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}})
	if err != nil {
		t.Fatal(err)
	}
	text := string(good.JSON())
	for _, change := range [][2]string{
		{`"format": 1`, `"format": 2`}, {`"images"`, `"pictures"`}, {"99", "98"}, {"100\n", "-1\n"}, {"}\n", "}\n7"}, {"{", ""},
	} {
		if _, err := ReadFitted([]byte(strings.Replace(text, change[0], change[1], 1))); err == nil {
			t.Errorf("%q for %q is accepted", change[1], change[0])
		}
	}
}

func FuzzReadFitted(f *testing.F) {
	good, err := Fit([][][]float64{{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.JSON())
	f.Fuzz(func(t *testing.T, text []byte) {
		fitted, err := ReadFitted(text)
		if err != nil {
			return
		}
		if again, err := ReadFitted(fitted.JSON()); err != nil || len(again.Channels) != len(fitted.Channels) {
			t.Errorf("%s reads back as %+v, %v", text, again, err)
		}
	})
}
