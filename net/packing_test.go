package net

import (
	"errors"
	"slices"
	"testing"

	"ballast/kernel"
)

// What lies beside the parameters comes out as the state does, and goes back.
func TestPacking(t *testing.T) {
	pool := kernel.NewPool(1)
	defer pool.Close()
	for _, c := range []Config{
		{Name: "cnn2", Dims: 3, Channels: 2, Size: [3]int{4, 6, 5}, Classes: 3, Width: 5, Norm: "batch", Momentum: 0.1},
		{Name: "linear", Dims: 2, Channels: 1, Size: [3]int{1, 7, 5}, Classes: 2},
	} {
		n, err := Build(c, 1, pool)
		if err != nil {
			t.Fatal(err)
		}
		state := map[string]Tensor{}
		for _, tensor := range n.State(nil) {
			state[tensor.Name] = tensor
		}
		var beside []Tensor
		for _, p := range n.Params() {
			beside = append(beside, Tensor{Name: p.Name, Shape: []int{len(p.Value)}, Data: p.Value})
		}
		unpacked := n.Unpack(beside, nil)
		for _, u := range unpacked {
			if want := state[u.Name]; !slices.Equal(u.Shape, want.Shape) || !slices.Equal(u.Data, want.Data) {
				t.Errorf("%s: %s is not laid out as the state", c.Name, u.Name)
			}
		}
		packed, err := n.Pack(unpacked)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range packed {
			if p.Name != beside[i].Name || !slices.Equal(p.Data, beside[i].Data) {
				t.Errorf("%s: %s does not come back", c.Name, p.Name)
			}
		}
		unpacked[0].Shape = []int{1}
		if _, err := n.Pack(unpacked); !errors.Is(err, ErrState) {
			t.Errorf("%s: a wrong shape: %v", c.Name, err)
		}
		if _, err := n.Pack([]Tensor{{Name: "nothing"}}); !errors.Is(err, ErrState) {
			t.Errorf("%s: an unknown name: %v", c.Name, err)
		}
	}
}
