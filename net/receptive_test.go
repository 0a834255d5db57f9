package net

import (
	"slices"
	"testing"
)

// A voxel of the last stage changes when a voxel within its receptive field is
// made very large or very small, and never when one outside is.
func TestReceptiveField(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   int
	}{
		{Config{Name: "cnn2", Norm: normNone}, 10}, // 3 (2² - 1) + 1
		{Config{Name: "cnn3", Norm: normNone}, 22},
		{Config{Name: "resnet10", Norm: normBatch, Momentum: 0.1}, 96},
		{Config{Name: "vgg11", Norm: normNone}, 150},
		{Config{Name: "vgg16", Norm: normNone}, 212}, // as Araujo, Norris and Sim give for VGG-16
		{Config{Name: "linear"}, 0},
	} {
		config := c.config
		config.Dims, config.Channels, config.Size, config.Classes, config.Width = 2, 1, [3]int{1, 32, 192}, 2, 2
		config.Activation, config.Slope = "leaky-relu", 0.9
		n, err := Build(config, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := n.ReceptiveField()
		if got != c.want {
			t.Errorf("%s: receptive field of %d voxels, want %d", config.Name, got, c.want)
		}
		if got > 0 && got < 100 {
			if seen := seenBy(n); seen != got {
				t.Errorf("%s: %d voxels change the middle of the last stage, want %d", config.Name, seen, got)
			}
		}
	}
}

// seenBy counts the columns of the image that change the middle voxel of the last
// stage, from the first to the last of them.
func seenBy(n *Net) int {
	x := Batch{N: 1, C: 1, D: 1, H: n.config.Size[1], W: n.config.Size[2]}
	image := make([]float32, x.H*x.W)
	for i := range image {
		image[i] = float32(i*i%97)/97 - 0.5
	}
	x.Data = slices.Clone(image)
	out := n.last().output()
	middle := func() []float32 {
		n.Forward(&x, Inference, 0)
		at := out.Row(0, 0, 0, out.H/2) + out.W/2*out.Lanes
		return slices.Clone(n.final[at : at+out.C])
	}
	before := middle()
	first, last := x.W, -1
	for column := range x.W {
		for _, change := range []float32{1e3, -1e3} {
			for row := range x.H {
				x.Data[row*x.W+column] += change
			}
			if !slices.Equal(middle(), before) {
				first, last = min(first, column), max(last, column)
			}
			copy(x.Data, image)
		}
	}
	return last - first + 1
}
