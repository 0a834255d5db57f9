package net

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// withStatistics sets the running statistics as bench/pytorch/gradcam.py does.
func withStatistics(t *testing.T, n *Net) *Net {
	state, index := n.State(nil), 400
	for _, tensor := range state {
		if !strings.Contains(tensor.Name, "running") {
			continue
		}
		copy(tensor.Data, numbers(len(tensor.Data), index))
		if strings.HasSuffix(tensor.Name, "var") {
			for i := range tensor.Data {
				tensor.Data[i]++
			}
		}
		index++
	}
	if err := n.LoadState(state); err != nil {
		t.Fatal(err)
	}
	return n
}

// Activations, their gradients and the maps agree with those that PyTorch 2.15.0
// computes by autograd in float64; see bench/pytorch/gradcam.py.
func TestGradCAMAgreesWithPyTorch(t *testing.T) {
	r := readReference(t, "gradcam")
	r.tolerance = 2e-5
	for name, layers := range map[string][]string{
		"3d-norm":       {"block1.relu", "block1.pool", "block2.relu", "block2.pool"},
		"2d-norm":       {"block3.relu", "block4.pool"},
		"2d-plain":      {"block2.pool", "block3.relu"},
		"3d-signs":      {"block2.relu"},
		"3d-after-pool": {"block1.norm", "block2.relu", "block2.norm"},
		"2d-residual":   {"stem.relu", "group2.block1", "group3.block2", "group4.block2"},
		"3d-residual":   {"group4.block1"},
	} {
		c := pytorchCases()[name]
		c.batch = 2
		n := withStatistics(t, c.build(t, 2))
		x, _ := c.images(0)
		for _, layer := range layers {
			ours := layer
			if strings.HasPrefix(layer, "group") {
				ours += ".sum"
			}
			logits, images, err := n.Activations(x, 1, ours)
			if err != nil {
				t.Fatal(err)
			}
			if layer == layers[0] {
				r.compare(name+".logits", logits)
			}
			a := images[1]
			gradient := a.Gradient
			if strings.HasSuffix(layer, "relu") {
				gradient = channelMeans(a)
			}
			r.compare(name+"."+layer+".activation", a.Values)
			r.compare(name+"."+layer+".gradient", gradient)
			scale := r.take(name + "." + layer + ".scale")[0]
			if worst := farthest(a.GradCAM(), r.take(name+"."+layer+".map")); !(worst <= r.tolerance*float64(scale)) {
				t.Errorf("%s.%s.map: differs by %.3g of the sum of absolute values, tolerance %.3g", name, layer, worst/float64(scale), r.tolerance)
			}
		}
	}
	r.done()
}

// take returns a tensor of the file that is compared in another way.
func (r *reference) take(name string) []float32 {
	data, ok := r.tensors[name]
	if !ok {
		r.t.Fatalf("%s is not in the reference", name)
	}
	delete(r.tensors, name)
	return data
}

func farthest(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.NaN()
	}
	worst := 0.0
	for i, v := range a {
		worst = math.Max(worst, math.Abs(float64(v)-float64(b[i])))
	}
	return worst
}

// channelMeans returns the mean of the gradient of each channel.
func channelMeans(a *Activation) []float32 {
	voxels := a.D * a.H * a.W
	means := make([]float32, a.C)
	for c := range means {
		sum := 0.0
		for _, g := range a.Gradient[c*voxels:][:voxels] {
			sum += float64(g)
		}
		means[c] = float32(sum / float64(voxels))
	}
	return means
}

// Where global average pooling and the dense layer follow, Grad-CAM is CAM (Zhou
// et al. 2016), the sum of the channels weighted by the class's row of the dense
// layer, rectified and divided by the number of voxels (Selvaraju et al. 2017).
func TestGradCAMOfTheLastStageIsCAM(t *testing.T) {
	for name, layer := range map[string]string{"3d-norm": "block2.pool", "2d-residual": "group4.block2.sum", "3d-after-pool": "block2.norm"} {
		c := pytorchCases()[name]
		n := withStatistics(t, c.build(t, 1))
		x, _ := c.images(0)
		i := slices.IndexFunc(n.State(nil), func(tensor Tensor) bool { return tensor.Name == "head.weight" })
		weight := n.State(nil)[i]
		largest, worst := 0.0, 0.0
		for class := range c.config.Classes {
			_, images, err := n.Activations(x, class, layer)
			if err != nil {
				t.Fatal(err)
			}
			for _, image := range images {
				want := cam(image, weight.Data[class*weight.Shape[1]:])
				for _, v := range want {
					largest = math.Max(largest, float64(v))
				}
				worst = math.Max(worst, farthest(image.GradCAM(), want))
			}
		}
		if !(worst <= 1e-6*largest) || largest == 0 {
			t.Errorf("%s: differs from CAM by %g of at most %g", name, worst, largest)
		}
	}
}

func cam(a *Activation, weights []float32) []float32 {
	voxels := a.D * a.H * a.W
	result := make([]float32, voxels)
	for v := range result {
		sum := 0.0
		for channel := range a.C {
			sum += float64(weights[channel]) * float64(a.Values[channel*voxels+v])
		}
		result[v] = float32(math.Max(0, sum) / float64(voxels))
	}
	return result
}

// Every network names its layers, and each has an activation of the size that the
// network's summary states, whose voxels lie within the input.
func TestActivationLayers(t *testing.T) {
	for _, name := range Names() {
		for _, dims := range []int{2, 3} {
			c := Config{Name: name, Dims: dims, Channels: 1, Size: [3]int{1, 1, 1}, Classes: 2, Width: 2, Norm: "batch", Momentum: 0.1, BlockDropout: 0.1}
			for axis := 3 - dims; axis < 3; axis++ {
				c.Size[axis] = max(11, 1<<c.poolings())
			}
			n := build(t, c, 1)
			layers := n.ActivationLayers()
			if name == linear {
				_, _, err := n.Activations(images(c, 1, 3), 0, "average")
				if !errors.Is(err, ErrLayer) || len(layers) > 0 || n.FinestLastLayer() != "" {
					t.Errorf("%s: error %v, layers %v", name, err, layers)
				}
				continue
			}
			if !slices.Contains(layers, n.FinestLastLayer()) {
				t.Errorf("%s: %q is none of %v", name, n.FinestLastLayer(), layers)
			}
			shapes := map[string][]int{}
			for _, l := range n.Layers() {
				shapes[l.Name] = l.Output
			}
			for _, layer := range layers {
				_, all, err := n.Activations(images(c, 2, 3), 1, layer)
				if err != nil || len(all) != 2 {
					t.Fatalf("%s, %s: %d images, %v", name, layer, len(all), err)
				}
				a := all[1]
				if !slices.Equal(n.shape(a.C, a.D, a.H, a.W), shapes[layer]) {
					t.Errorf("%s, %s: %d x %d x %d x %d, the summary says %v", name, layer, a.C, a.D, a.H, a.W, shapes[layer])
				}
				for axis, size := range [3]int{a.D, a.H, a.W} {
					last := a.Offset[axis] + a.Stride[axis]*float64(size-1)
					if a.Offset[axis] < 0 || last > float64(c.Size[axis]-1)+0.5*a.Stride[axis]-0.5 {
						t.Errorf("%s, %s: voxels from %g to %g along axis %d of %d", name, layer, a.Offset[axis], last, axis, c.Size[axis])
					}
				}
			}
			if _, _, err := n.Activations(images(c, 1, 3), 0, "head"); !errors.Is(err, ErrLayer) || !strings.Contains(err.Error(), layers[0]) {
				t.Errorf("%s: error %v for the head", name, err)
			}
		}
	}
}

// The maxima of the windows of what a stage pools are what it gives, and the
// gradients of a window's elements add up to that of its maximum: for every
// normalisation and activation, in every network that pools.
func TestWhatIsPooledBecomesTheOutput(t *testing.T) {
	for name, size := range map[string][3]int{"cnn2": {7, 8, 9}, "vgg11": {1, 33, 34}, "resnet10": {9, 10, 8}} {
		for _, norm := range []string{"batch", "group", "none"} {
			for _, activation := range []string{"relu", "leaky-relu"} {
				c := Config{Name: name, Dims: 3, Channels: 1, Size: size, Classes: 2, Width: 6, Norm: norm, Groups: 3, Momentum: 0.1, Activation: activation, Slope: 0.1}
				if size[0] == 1 {
					c.Dims = 2
				}
				if c.Check() != nil {
					continue // residual networks need batch or group normalisation
				}
				n := withStatistics(t, build(t, c, 1))
				compared := 0
				for _, pool := range n.ActivationLayers() {
					before, ok := strings.CutSuffix(pool, ".pool")
					if !ok {
						continue
					}
					layers := n.ActivationLayers()
					_, fine, err := n.Activations(images(c, 1, 3), 1, layers[slices.Index(layers, pool)-1])
					if err != nil || !strings.HasPrefix(fine[0].Layer, before) {
						t.Fatalf("%s, %s: %v", name, pool, err)
					}
					_, coarse, err := n.Activations(images(c, 1, 3), 1, pool)
					if err != nil {
						t.Fatal(err)
					}
					comparePooled(t, name+", "+norm+", "+activation+", "+pool, fine[0], coarse[0])
					compared++
				}
				if compared == 0 {
					t.Errorf("%s has no pooling", name)
				}
			}
		}
	}
}

func comparePooled(t *testing.T, name string, fine, coarse *Activation) {
	t.Helper()
	largest, worst, worstGradient, largestGradient := 0.0, 0.0, 0.0, 0.0
	depth := min(2, fine.D) // of a window
	for i, want := range coarse.Values {
		w := i % coarse.W
		h := i / coarse.W % coarse.H
		d := i / coarse.W / coarse.H % coarse.D
		c := i / coarse.W / coarse.H / coarse.D
		top, sum := math.Inf(-1), 0.0
		for window := range 4 * depth {
			at := ((c*fine.D+depth*d+window>>2)*fine.H+2*h+window>>1&1)*fine.W + 2*w + window&1
			top = math.Max(top, float64(fine.Values[at]))
			sum += float64(fine.Gradient[at])
		}
		largest, worst = math.Max(largest, math.Abs(top)), math.Max(worst, math.Abs(top-float64(want)))
		g := float64(coarse.Gradient[i])
		largestGradient, worstGradient = math.Max(largestGradient, math.Abs(g)), math.Max(worstGradient, math.Abs(sum-g))
	}
	if !(worst <= 1e-5*largest) || !(worstGradient <= 1e-6*largestGradient) || largest == 0 {
		t.Errorf("%s: values differ by %g of %g, gradients by %g of %g", name, worst, largest, worstGradient, largestGradient)
	}
}

// A network that only averages keeps a blob at its place: the centroid of every
// layer's activation, each voxel at the place that Stride and Offset give it, is
// that of the image, to less than a fifth of a voxel of the layer.
func TestActivationsLieWhereTheyBelong(t *testing.T) {
	place := [2]float64{29.3, 36.8}
	for _, name := range Names() {
		c := Config{Name: name, Dims: 2, Channels: 1, Size: [3]int{1, 72, 69}, Classes: 2, Width: 2, Norm: "batch", Momentum: 0.1}
		n := build(t, c, 1)
		average(t, n)
		x := &Batch{N: 1, C: 1, D: 1, H: 72, W: 69}
		for h := range 72 {
			for w := range 69 {
				dh, dw := float64(h)-place[0], float64(w)-place[1]
				x.Data = append(x.Data, float32(math.Exp(-(dh*dh+dw*dw)/50)))
			}
		}
		for _, layer := range n.ActivationLayers() {
			_, all, err := n.Activations(x, 0, layer)
			if err != nil {
				t.Fatal(err)
			}
			a := all[0]
			if a.Stride[1] > 4 { // the blob is then no larger than a voxel
				continue
			}
			sum, h, w := 0.0, 0.0, 0.0
			for i, v := range a.Values {
				sum += float64(v)
				h += float64(v) * (a.Offset[1] + a.Stride[1]*float64(i/a.W%a.H))
				w += float64(v) * (a.Offset[2] + a.Stride[2]*float64(i%a.W))
			}
			if away := math.Hypot(h/sum-place[0], w/sum-place[1]); !(away < a.Stride[1]/5) {
				t.Errorf("%s, %s: %.2f voxels away from the blob at stride %g", name, layer, away, a.Stride[1])
			}
		}
	}
}

// average makes every convolution the mean over its window and channels.
func average(t *testing.T, n *Net) {
	t.Helper()
	state := n.State(nil)
	for _, tensor := range state {
		if len(tensor.Shape) < 3 {
			continue
		}
		for i := range tensor.Data {
			tensor.Data[i] = 1 / float32(volume(tensor.Shape[1:]))
		}
	}
	if err := n.LoadState(state); err != nil {
		t.Fatal(err)
	}
}
