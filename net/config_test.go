package net

import (
	"math"
	"testing"
)

// The estimate is held against the networks themselves.
func TestWeights(t *testing.T) {
	for _, name := range []string{"cnn1", "cnn4", "vgg11", "resnet10", "resnet18", "linear"} {
		config := Config{Name: name, Dims: 2, Channels: 1, Size: [3]int{1, 32, 32}, Classes: 2, Width: 16, Norm: "batch", Momentum: 0.1, Activation: "relu"}
		want := float64(build(t, config, 1).Cost(1).Parameters)
		if got := config.Weights(); !(math.Abs(got-want) <= 0.05*want) && !(want-got <= 100) {
			t.Errorf("%s: about %.0f weights; the network has %.0f parameters", name, got, want)
		}
	}
}
