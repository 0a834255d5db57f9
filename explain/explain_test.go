package explain

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ballast/cohort"
	"ballast/net"
	"ballast/prep"
	"ballast/stat"
)

// detector is a network of one block whose logit of class 1 is the mean, over
// what it has pooled, of how far voxels are brighter than 0.2; class 0 sees
// nothing.
func detector(t *testing.T, dims int, grid [3]int, pooling string) *net.Net {
	t.Helper()
	n, err := net.Build(net.Config{Name: "cnn1", Dims: dims, Channels: 1, Size: grid, Classes: 2, Width: 1, Norm: "none", Pooling: pooling}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	state := n.State(nil)
	for _, tensor := range state {
		clear(tensor.Data)
		switch tensor.Name {
		case "block1.conv.weight":
			tensor.Data[len(tensor.Data)/2] = 1
		case "block1.conv.bias":
			tensor.Data[0] = -0.2
		case "head.weight":
			tensor.Data[1] = 1
		}
	}
	if err := n.LoadState(state); err != nil {
		t.Fatal(err)
	}
	return n
}

// subject writes an image with a bright ball at a place in voxels, turned by an
// angle around z, with its axes in another order and direction, and a mask of the
// ball; it returns the place in world coordinates.
func subject(t *testing.T, angle float64, order [3]int, flips int) (cohort.Image, [3]float64) {
	t.Helper()
	shape, spacing, place := [3]int{20, 24, 12}, [3]float64{2, 1.5, 4}, [3]float64{13, 7, 8}
	v := &cohort.Volume{}
	sin, cos := math.Sincos(angle)
	turn := [3][3]float64{{cos, -sin, 0}, {sin, cos, 0}, {0, 0, 1}}
	var world [3]float64
	for row := range 3 {
		v.Affine[row][3] = float64(5 * row)
		world[row] = v.Affine[row][3]
		for axis := range 3 {
			world[row] += turn[row][axis] * spacing[axis] * place[axis]
		}
	}
	for axis, old := range order {
		v.Shape[axis], v.Spacing[axis] = shape[old], spacing[old]
		for row := range 3 {
			v.Affine[row][axis] = turn[row][old] * spacing[old]
			if flips>>axis&1 == 1 {
				v.Affine[row][3] += v.Affine[row][axis] * float64(shape[old]-1)
				v.Affine[row][axis] = -v.Affine[row][axis]
			}
		}
	}
	mask := *v
	for n := range shape[0] * shape[1] * shape[2] {
		square := 0.0
		for axis, x := range voxelOf(v, n) {
			old := order[axis]
			if flips>>axis&1 == 1 {
				x = shape[old] - 1 - x
			}
			mm := (float64(x) - place[old]) * spacing[old]
			square += mm * mm
		}
		v.Data = append(v.Data, float32(stat.Exp(-square/50)))
		inside := float32(0)
		if square < 100 {
			inside = 1
		}
		mask.Data = append(mask.Data, inside)
	}
	image := cohort.Image{Path: filepath.Join(t.TempDir(), "image.nii.gz"), Mask: filepath.Join(t.TempDir(), "mask.nii.gz"), Volume: cohort.Unchosen}
	if err := cohort.WriteNIfTI(image.Path, v, "float32"); err != nil {
		t.Fatal(err)
	}
	if err := cohort.WriteNIfTI(image.Mask, &mask, "uint8"); err != nil {
		t.Fatal(err)
	}
	return image, world
}

// A map's peak lies where the network looks, however the image is stored, with
// both methods, in 3D and in slices, alone and pooled by attention.
func TestPeakLiesWhereTheNetworkLooks(t *testing.T) {
	whole := prep.Config{Dims: 3, Crop: "none", Grid: [3]int{14, 20, 22}, Spacing: [3]float64{3.6, 1.9, 1.9}, Normalise: "none"}
	slices := prep.Config{Dims: 2, Crop: "none", Slice: "all", Grid: [3]int{1, 20, 22}, Spacing: [3]float64{4, 1.9, 1.9}, Normalise: "none"}
	for name, c := range map[string]struct {
		config  prep.Config
		pooling string
		options Options
	}{
		"grad-cam":             {whole, "", Options{}},
		"grad-cam, pooled":     {whole, "", Options{Layer: "block1.pool"}},
		"occlusion":            {whole, "", Options{Method: Occlusion, Box: [3]int{3, 5, 5}, Stride: [3]int{2, 2, 2}}},
		"slices":               {slices, "", Options{}},
		"slices, attention":    {slices, "attention", Options{}},
		"occlusion, slices":    {slices, "", Options{Method: Occlusion, Fill: FillBackground}},
		"occlusion, attention": {slices, "attention", Options{Method: Occlusion, Fill: FillBackground}},
	} {
		n := detector(t, c.config.Dims, c.config.Grid, c.pooling)
		for _, stored := range []struct {
			angle float64
			order [3]int
			flips int
		}{{0, [3]int{0, 1, 2}, 0}, {0.2, [3]int{2, 0, 1}, 5}, {-0.3, [3]int{1, 0, 2}, 2}} {
			image, world := subject(t, stored.angle, stored.order, stored.flips)
			c.options.Class = 1
			e, err := Explain(context.Background(), Model{n, c.config}, Subject{Images: []cohort.Image{image}}, c.options)
			if err != nil {
				t.Fatal(err)
			}
			m := e.Maps[0]
			if m.Volume.Shape != m.Image.Shape || m.Volume.Affine != m.Image.Affine {
				t.Fatalf("%s: the map has %v %v, the image %v %v", name, m.Volume.Shape, m.Volume.Affine, m.Image.Shape, m.Image.Affine)
			}
			if m.Peak == nil || m.Inside == nil {
				t.Errorf("%s: no peak", name)
				continue
			}
			away := 0.0
			for axis := range 3 {
				away += (m.Peak.World[axis] - world[axis]) * (m.Peak.World[axis] - world[axis])
			}
			if away = math.Sqrt(away); !(away < 4.5) { // a voxel of the image is 4.7 mm from corner to corner, one of the layer up to 9
				t.Errorf("%s, stored %+v: the peak lies %.1f mm away from the ball", name, stored, away)
			}
			if !m.Inside.Peak || !(m.Inside.Mass > 3*m.Inside.Field) || !(m.Inside.Mass <= 1) {
				t.Errorf("%s: %+v", name, *m.Inside)
			}
		}
	}
}

// Of a linear network the drop of the log-odds is the sum, over the covered
// voxels, of their distance from the fill times the difference of the weights.
func TestOcclusionOfALinearNetwork(t *testing.T) {
	grid := [3]int{5, 7, 8}
	n, err := net.Build(net.Config{Name: "linear", Dims: 3, Channels: 1, Size: grid, Classes: 2}, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	var weight []float32
	for _, tensor := range n.State(nil) {
		if tensor.Name == "head.weight" {
			weight = tensor.Data
		}
	}
	image := &prep.Image{C: 1, D: 5, H: 7, W: 8, Background: -1}
	stream, sum := stat.NewStream(9, "occlusion"), 0.0
	for range 5 * 7 * 8 {
		image.Data = append(image.Data, float32(stream.Normal()))
		sum += float64(image.Data[len(image.Data)-1])
	}
	fill := sum / 280
	w := &work{Model: Model{n, prep.Config{Grid: grid}}, Options: Options{Method: Occlusion, Class: 1, Box: [3]int{2, 3, 4}, Stride: [3]int{1, 2, 3}}, results: []result{{prepared: image}}}
	if err := w.completeOcclusion(); err != nil {
		t.Fatal(err)
	}
	maps, err := w.occlusionMaps(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	for voxel, got := range maps[0] {
		want, boxes := 0.0, 0
		at := [3]int{voxel / 56, voxel / 8 % 7, voxel % 8}
		for _, d := range []int{0, 1, 2, 3} {
			for _, h := range []int{0, 2, 4} {
				for _, x := range []int{0, 3, 4} {
					if at[0] < d || at[0] >= d+2 || at[1] < h || at[1] >= h+3 || at[2] < x || at[2] >= x+4 {
						continue
					}
					boxes++
					for v := range image.Data {
						in := [3]int{v / 56, v / 8 % 7, v % 8}
						if in[0] >= d && in[0] < d+2 && in[1] >= h && in[1] < h+3 && in[2] >= x && in[2] < x+4 {
							want += (float64(image.Data[v]) - fill) * (float64(weight[280+v]) - float64(weight[v]))
						}
					}
				}
			}
		}
		if want /= float64(boxes); !(math.Abs(float64(got)-want) < 1e-5) {
			t.Fatalf("voxel %v: %g, want %g", at, got, want)
		}
	}
	if boxes := w.boxes(); boxes != 4*3*3 {
		t.Errorf("%d boxes, want 36", boxes)
	}
}

// Boxes start every stride and reach the end of every axis.
func TestStarts(t *testing.T) {
	for _, c := range []struct {
		size, box, stride int
		want              []int
	}{{8, 4, 2, []int{0, 2, 4}}, {9, 4, 2, []int{0, 2, 4, 5}}, {5, 5, 2, []int{0}}, {1, 1, 1, []int{0}}, {4, 1, 1, []int{0, 1, 2, 3}}} {
		if got := starts(c.size, c.box, c.stride); !slices.Equal(got, c.want) {
			t.Errorf("box of %d every %d of %d: %v, want %v", c.box, c.stride, c.size, got, c.want)
		}
	}
}

// The reference is torch.nn.functional.interpolate (PyTorch 2.15.0,
// align_corners=False), which is what a map is enlarged by where every halving is a
// pooling.
func TestEnlargeAgreesWithPyTorch(t *testing.T) {
	for _, c := range []struct {
		layer []float32
		size  [3]int
		to    [3]int
		want  []float64
	}{
		{[]float32{1, 4, 9, 16, 25, 36}, [3]int{1, 2, 3}, [3]int{1, 4, 12}, []float64{
			1, 1, 1.375, 2.125, 2.875, 3.625, 4.625, 5.875, 7.125, 8.375, 9, 9,
			4.75, 4.75, 5.3125, 6.4375, 7.5625, 8.6875, 10.0625, 11.6875, 13.3125, 14.9375, 15.75, 15.75,
		}},
		{[]float32{1, 5, 2, 8, 3, 3, 7, 0}, [3]int{2, 2, 2}, [3]int{4, 4, 4}, []float64{
			1, 2, 4, 5, 1.25, 2.375, 4.625, 5.75, 1.75, 3.125, 5.875, 7.25, 2, 3.5, 6.5, 8, 1.5, 2.25, 3.75, 4.5,
		}},
	} {
		a := &net.Activation{D: c.size[0], H: c.size[1], W: c.size[2]}
		for axis := range 3 {
			a.Stride[axis] = float64(c.to[axis] / c.size[axis])
			a.Offset[axis] = (a.Stride[axis] - 1) / 2
		}
		got := enlarge(c.layer, a, &prep.Image{D: c.to[0], H: c.to[1], W: c.to[2]})
		for n, want := range c.want {
			if !(math.Abs(float64(got[n])-want) < 1e-6) {
				t.Errorf("%v to %v: element %d is %g, want %g", c.size, c.to, n, got[n], want)
			}
		}
	}
}

// The reference is scipy.stats.spearmanr (SciPy 1.17.1), with ties on both sides.
func TestRankCorrelation(t *testing.T) {
	a := []float32{0, 0, 0, 1.5, 2, 2, 7, -1, 3.25}
	b := []float32{1, 0, 0, 2, 2, 5, 4, 0, 0}
	if got := rankCorrelation(a, b); !(math.Abs(got-0.5850313387601316) < 1e-12) {
		t.Errorf("%v, want 0.5850313387601316", got)
	}
	if got := rankCorrelation(a, make([]float32, 9)); !math.IsNaN(got) {
		t.Errorf("%v with a map that is the same everywhere", got)
	}
}

// A map that random weights make as well is noticed: that of a network which has
// learnt nothing itself, whose convolution lets the image through.
func TestSanity(t *testing.T) {
	config := prep.Config{Dims: 3, Crop: "none", Grid: [3]int{14, 20, 22}, Spacing: [3]float64{3.6, 1.9, 1.9}, Normalise: "none"}
	image, _ := subject(t, 0, [3]int{0, 1, 2}, 0)
	n := detector(t, 3, config.Grid, "")
	explained := func() *Explanation {
		e, err := Explain(context.Background(), Model{n, config}, Subject{Images: []cohort.Image{image}}, Options{Class: 1, Random: 4})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := explained()
	if e.Passes != 5 || len(e.Sanity.Correlations) != 4 {
		t.Errorf("%d passes, correlations %v", e.Passes, e.Sanity.Correlations)
	}
	for i, r := range explained().Sanity.Correlations {
		if r != e.Sanity.Correlations[i] && !(math.IsNaN(r) && math.IsNaN(e.Sanity.Correlations[i])) {
			t.Errorf("a second time the correlation is %g, not %g", r, e.Sanity.Correlations[i])
		}
	}
	for _, c := range []struct {
		median float64
		want   bool
	}{{0.49, false}, {0.5, true}, {-0.8, true}, {math.NaN(), false}} {
		if got := (&Sanity{Median: c.median}).Hardly(); got != c.want {
			t.Errorf("median %g: %v", c.median, got)
		}
	}
	if got := stat.Quantile([]float64{3, 1, 2, 10}, 0.5); got != 2.5 {
		t.Errorf("median %g, want 2.5", got)
	}
}

// The predicted class is explained unless another is asked for, and a class for
// which nothing speaks has no peak.
func TestClasses(t *testing.T) {
	config := prep.Config{Dims: 3, Crop: "none", Grid: [3]int{14, 20, 22}, Spacing: [3]float64{3.6, 1.9, 1.9}, Normalise: "none"}
	image, _ := subject(t, 0, [3]int{0, 1, 2}, 0)
	n := detector(t, 3, config.Grid, "")
	e, err := Explain(context.Background(), Model{n, config}, Subject{Images: []cohort.Image{image}}, Options{Class: Predicted})
	if err != nil || e.Class != 1 || !(math.Abs(e.Probabilities[0]+e.Probabilities[1]-1) < 1e-12) || !(e.Probabilities[1] > 0.5) {
		t.Errorf("class %d of %v, %v", e.Class, e.Probabilities, err)
	}
	e, err = Explain(context.Background(), Model{n, config}, Subject{Images: []cohort.Image{image}}, Options{Class: 0})
	if err != nil || e.Class != 0 || e.Maps[0].Peak != nil || e.Maps[0].Inside != nil {
		t.Errorf("class 0: peak %v, %v", e.Maps[0].Peak, err)
	}
}

// Covering what speaks against a class raises its log-odds: the trough lies there.
func TestTrough(t *testing.T) {
	config := prep.Config{Dims: 3, Crop: "none", Grid: [3]int{14, 20, 22}, Spacing: [3]float64{3.6, 1.9, 1.9}, Normalise: "none"}
	image, world := subject(t, 0.2, [3]int{2, 0, 1}, 5)
	n := detector(t, 3, config.Grid, "")
	e, err := Explain(context.Background(), Model{n, config}, Subject{Images: []cohort.Image{image}}, Options{Method: Occlusion, Class: 0, Box: [3]int{3, 5, 5}, Stride: [3]int{2, 2, 2}})
	if err != nil {
		t.Fatal(err)
	}
	m := e.Maps[0]
	if m.Trough == nil || !(m.Trough.Value < 0) || m.Inside == nil || !m.Inside.Trough || m.Inside.Peak {
		t.Fatalf("trough %+v, inside %+v", m.Trough, m.Inside)
	}
	for axis := range 3 {
		if !(math.Abs(m.Trough.World[axis]-world[axis]) < 4.5) {
			t.Errorf("trough at %v, want %v", m.Trough.World, world)
		}
	}
}

func TestRefusals(t *testing.T) {
	config := prep.Config{Dims: 3, Crop: "none", Grid: [3]int{14, 20, 22}, Spacing: [3]float64{3.6, 1.9, 1.9}, Normalise: "none"}
	image, _ := subject(t, 0, [3]int{0, 1, 2}, 0)
	images := []cohort.Image{image}
	n := detector(t, 3, config.Grid, "")
	linear, err := net.Build(net.Config{Name: "linear", Dims: 3, Channels: 1, Size: config.Grid, Classes: 2}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	diverged := detector(t, 3, config.Grid, "")
	state := diverged.State(nil)
	state[0].Data[0] = float32(math.NaN())
	if err := diverged.LoadState(state); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		n       *net.Net
		subject Subject
		options Options
		ctx     context.Context
		want    error
		words   string
	}{
		{n, Subject{}, Options{}, nil, ErrOptions, "without images"},
		{n, Subject{images, []float32{1}}, Options{}, nil, ErrOptions, "1 covariates for a network with 0"},
		{n, Subject{images, nil}, Options{Class: 2}, nil, ErrOptions, "class 2 of 2"},
		{n, Subject{images, nil}, Options{Method: "saliency"}, nil, ErrOptions, "choose gradcam or occlusion"},
		{n, Subject{images, nil}, Options{Layer: "block2"}, nil, net.ErrLayer, "block1.relu, block1.pool"},
		{linear, Subject{images, nil}, Options{}, nil, net.ErrLayer, "no convolutions"},
		{n, Subject{images, nil}, Options{Method: Occlusion, Fill: "noise"}, nil, ErrOptions, "choose mean or background"},
		{n, Subject{images, nil}, Options{Method: Occlusion, Box: [3]int{15, 1, 1}}, nil, ErrOptions, "box of 15"},
		{n, Subject{images, nil}, Options{Method: Occlusion, Stride: [3]int{1, 9, 1}}, nil, ErrOptions, "stride of 9"},
		{diverged, Subject{images, nil}, Options{Class: Predicted}, nil, ErrNotFinite, image.Path},
		{n, Subject{images, nil}, Options{}, cancelled, context.Canceled, ""},
		{n, Subject{images, nil}, Options{Method: Occlusion}, cancelled, context.Canceled, ""},
	} {
		if c.ctx == nil {
			c.ctx = context.Background()
		}
		_, err := Explain(c.ctx, Model{c.n, config}, c.subject, c.options)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%+v: error %v, want %v with %q", c.options, err, c.want, c.words)
		}
	}
}
