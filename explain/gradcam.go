package explain

import (
	"context"
	"math"

	"ballast/net"
	"ballast/prep"
)

// gradCAMMaps makes the maps of all results. Under attention the logit is that of
// the subject, so that its images go through the network together.
func (w *work) gradCAMMaps(ctx context.Context, n *net.Net) ([][]float32, error) {
	if w.attention {
		all := &net.Batch{N: len(w.results), Bags: []int{len(w.results)}, Covariates: w.covariates(1)}
		for _, r := range w.results {
			all.C, all.D, all.H, all.W = r.prepared.C, r.prepared.D, r.prepared.H, r.prepared.W
			all.Data = append(all.Data, r.prepared.Data...)
		}
		return w.gradCAMOf(n, all)
	}
	var maps [][]float32
	for _, r := range w.results {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		batch := batchOf(r.prepared)
		batch.Covariates = w.covariates(1)
		one, err := w.gradCAMOf(n, batch)
		if err != nil {
			return nil, err
		}
		maps = append(maps, one...)
	}
	return maps, nil
}

func (w *work) gradCAMOf(n *net.Net, batch *net.Batch) ([][]float32, error) {
	_, activations, err := n.Activations(batch, w.Class, w.Layer)
	if err != nil {
		return nil, err
	}
	w.pass(len(activations))
	var maps [][]float32
	for _, a := range activations {
		maps = append(maps, enlarge(a.GradCAM(), a, w.results[0].prepared))
	}
	return maps, nil
}

// enlarge interpolates a map on the voxels of a layer linearly to those of the
// network's input; beyond the outermost voxels of the layer it keeps their value.
func enlarge(layer []float32, a *net.Activation, to *prep.Image) []float32 {
	size := [3]int{a.D, a.H, a.W}
	var between [3][]interpolation
	for axis, voxels := range [3]int{to.D, to.H, to.W} {
		for x := range voxels {
			at := (float64(x) - a.Offset[axis]) / a.Stride[axis]
			between[axis] = append(between[axis], interpolate(at, size[axis]))
		}
	}
	values := make([]float32, 0, to.D*to.H*to.W)
	for _, d := range between[0] {
		for _, h := range between[1] {
			for _, w := range between[2] {
				sum := 0.0
				for corner := range 8 {
					i, j, k := corner>>2, corner>>1&1, corner&1
					weight := d.weight[i] * h.weight[j] * w.weight[k]
					sum += weight * float64(layer[(d.voxel[i]*size[1]+h.voxel[j])*size[2]+w.voxel[k]])
				}
				values = append(values, float32(sum))
			}
		}
	}
	return values
}

// An interpolation is the two voxels that a place lies between.
type interpolation struct {
	voxel  [2]int
	weight [2]float64
}

func interpolate(at float64, size int) interpolation {
	at = min(max(at, 0), float64(size-1))
	low := math.Floor(at)
	high := min(int(low)+1, size-1)
	return interpolation{[2]int{int(low), high}, [2]float64{1 - (at - low), at - low}}
}
