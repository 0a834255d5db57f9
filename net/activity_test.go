package net

import (
	"math"
	"slices"
	"testing"

	"ballast/kernel"
)

// activity is measured by the definitions, element by element.
func activity(a activated) Activity {
	s := a.shape
	var squares, active, dead float64
	for c := range s.C {
		used := false
		for n := range s.N {
			for d := range s.D {
				for h := range s.H {
					for w := range s.W {
						x := float64(a.data[s.Index(n, c, d, h, w)])
						squares += x * x
						used = used || x != 0
						if x > 0 {
							active++
						}
					}
				}
			}
		}
		if !used {
			dead++
		}
	}
	elements := float64(s.N * s.C * s.Voxels())
	return Activity{Dead: dead / float64(s.C), Active: active / elements, Output: math.Sqrt(squares / elements)}
}

func TestActivityByDefinition(t *testing.T) {
	for _, channels := range []int{1, 5, 16, 17, 40} {
		s := kernel.Blocked(3, channels, 2, 5, 7, 1)
		data := make([]float32, s.Len())
		for i := range data { // halo and padding channels must not count
			data[i] = 1000
		}
		for c := range channels {
			for v := range s.N * s.Voxels() {
				n, v := v/s.Voxels(), v%s.Voxels()
				x := max(0, float32((v*7+c*5+n)%11)-6)
				if c%4 == 2 {
					x = 0
				}
				if c%4 == 3 {
					x = -x / 8 // of a leaky ReLU
				}
				data[s.Index(n, c, v/35, v/7%5, v%7)] = x
			}
		}
		a := activated{&Param{Name: "x"}, s, data}
		want := activity(a)
		for _, workers := range []int{1, 3} {
			pool := kernel.NewPool(workers)
			got := a.measure(pool)
			pool.Close()
			if got.Dead != want.Dead || got.Active != want.Active || !(math.Abs(got.Output-want.Output) < 1e-12*want.Output) {
				t.Errorf("%d channels on %d threads: %+v, want %+v", channels, workers, got, want)
			}
		}
		data[s.Index(1, channels-1, 1, 4, 6)] = float32(math.NaN())
		pool := kernel.NewPool(1)
		if got := a.measure(pool); !math.IsNaN(got.Dead) || !math.IsNaN(got.Active) || !math.IsNaN(got.Output) {
			t.Errorf("%d channels with a NaN: %+v", channels, got)
		}
		pool.Close()
	}
}

// Elements are those of the tensors of a file, and frozen layers are told apart.
func TestWeightLayers(t *testing.T) {
	for _, name := range []string{"linear", "cnn3", "vgg11", "resnet10"} {
		n := build(t, Config{Name: name, Dims: 3, Channels: 2, Size: [3]int{32, 32, 32}, Classes: 3, Width: 5, Norm: "batch", Momentum: 0.1, Activation: "relu"}, 1)
		if err := n.Freeze([]string{n.WeightLayers()[0].Weight.Name}); err != nil {
			t.Fatal(err)
		}
		state := n.State(nil)
		layers := n.WeightLayers()
		for i, l := range layers {
			at := slices.IndexFunc(state, func(t Tensor) bool { return t.Name == l.Weight.Name })
			if at < 0 || len(state[at].Data) != l.Elements {
				t.Fatalf("%s: %s has %d elements", name, l.Weight.Name, l.Elements)
			}
			if l.Trained != (i > 0) {
				t.Errorf("%s: %s is trained: %t", name, l.Weight.Name, l.Trained)
			}
		}
		if last := layers[len(layers)-1].Weight.Name; last != "head.weight" {
			t.Errorf("%s: the last layer is %s", name, last)
		}
	}
}
