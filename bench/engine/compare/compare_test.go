package main

import (
	"encoding/json"
	"math"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ballast/bench/engine"
	"ballast/kernel"
	"ballast/net"
)

func TestRatio(t *testing.T) {
	r := &result{times: map[string][]float64{}, rounds: map[string][]float64{}}
	for _, round := range []float64{1, 2, 4} { // the second and the third are disturbed
		r.add(ballast, []float64{10 * round, 12 * round})
		r.add(plain, []float64{40 * round, 44 * round})
		r.add(channelsLast, []float64{20 * round, 24 * round})
	}
	if r.best() != channelsLast {
		t.Errorf("best format %s", r.best())
	}
	ratio, low, high := r.ratio()
	if !(math.Abs(ratio-0.5) <= 1e-12) || !(math.Abs(low-0.5) <= 1e-12) || !(math.Abs(high-0.5) <= 1e-12) {
		t.Errorf("ratio %g, quartiles %g and %g, want 0.5", ratio, low, high)
	}
}

// TestTorch compares a tiny network, where Python has torch.
func TestTorch(t *testing.T) {
	if exec.Command("python3", "-c", "import torch, numpy, safetensors").Run() != nil {
		t.Skip("python3 has no torch: the comparison with PyTorch is not tested")
	}
	t.Chdir("../../..")
	pool := kernel.NewPool(1)
	defer pool.Close()
	python, err := startTorch("python3")
	if err != nil {
		t.Fatal(err)
	}
	c := comparison{pool: pool, peak: engine.NewPeak(pool), torch: python}
	n := engine.Network{ID: "T1", Batch: 2, Config: net.Config{Name: "cnn2", Dims: 3, Channels: 1, Size: [3]int{8, 8, 8}, Classes: 2, Width: 4, Norm: "batch", Momentum: 0.1}}
	r, err := c.network(n, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, competitor := range []string{ballast, plain, channelsLast} {
		if len(r.times[competitor]) != steps {
			t.Errorf("%s: %d times of one round, want %d", competitor, len(r.times[competitor]), steps)
		}
	}
	if err := python.stop(); err != nil {
		t.Error(err)
	}
}

// TestSpec holds the request against the names that compare.py reads.
func TestSpec(t *testing.T) {
	text, err := json.Marshal(specOf(engine.References()[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"name":"cnn4"`, `"dims":3`, `"size":[64,64,64]`, `"width":16`, `"norm":"batch"`, `"batch":4`, `"inference":false`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}
