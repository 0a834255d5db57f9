package explain

import (
	"context"
	"fmt"
	"math"
	"slices"

	"ballast/net"
	"ballast/prep"
	"ballast/stat"
)

// What covers a box of an image.
const (
	FillMean       = "mean"       // of the channel's voxels that are not background
	FillBackground = "background" // the value of empty space
)

// batchVoxels is how many voxels go through the network at once.
const batchVoxels = 1 << 20

// completeOcclusion fills in the box and the stride.
func (w *work) completeOcclusion() error {
	if w.Fill == "" {
		w.Fill = FillMean
	}
	if w.Fill != FillMean && w.Fill != FillBackground {
		return fmt.Errorf("fill %q: choose %s or %s: %w", w.Fill, FillMean, FillBackground, ErrOptions)
	}
	for axis, size := range w.Config.Grid {
		if w.Box[axis] == 0 {
			w.Box[axis] = max(1, int(math.Round(float64(size)/8)))
		}
		if w.Stride[axis] == 0 {
			w.Stride[axis] = max(1, w.Box[axis]/2)
		}
		if box, stride := w.Box[axis], w.Stride[axis]; box < 1 || box > size || stride < 1 || stride > box {
			return fmt.Errorf("box of %d and stride of %d voxels along %c of a grid of %d: the box must fit into the grid and the stride into the box: %w", box, stride, "DHW"[axis], size, ErrOptions)
		}
	}
	return nil
}

// starts returns where boxes begin along an axis: every stride, and at the end, so
// that every voxel is covered.
func starts(size, box, stride int) []int {
	var list []int
	for at := 0; at+box < size; at += stride {
		list = append(list, at)
	}
	return append(list, size-box)
}

// boxes is the number of boxes of an image.
func (w *work) boxes() int {
	count := 1
	for axis, size := range w.Config.Grid {
		count *= len(starts(size, w.Box[axis], w.Stride[axis]))
	}
	return count
}

// occlusionMaps makes the maps of all results: at each voxel the drop of the
// class's log-odds, in nats, when a box is covered, averaged over the boxes that
// hold the voxel. The log-odds are those of the image alone, or under attention
// of the subject with all its images.
func (w *work) occlusionMaps(ctx context.Context, n *net.Net) ([][]float32, error) {
	features := w.features(n)
	w.pass(len(w.results))
	var maps [][]float32
	for i := range w.results {
		one, err := w.occlusionMap(ctx, n, i, features)
		if err != nil {
			return nil, err
		}
		maps = append(maps, one)
	}
	return maps, nil
}

func (w *work) occlusionMap(ctx context.Context, n *net.Net, i int, features []float32) ([]float32, error) {
	image := w.results[i].prepared
	whole := w.logOdds(n, i, features, features[i*n.FeatureStride():][:n.FeatureStride()])[0]
	var corners [][3]int
	for _, d := range starts(image.D, w.Box[0], w.Stride[0]) {
		for _, h := range starts(image.H, w.Box[1], w.Stride[1]) {
			for _, x := range starts(image.W, w.Box[2], w.Stride[2]) {
				corners = append(corners, [3]int{d, h, x})
			}
		}
	}
	fill := w.fill(image)
	sums, covering := make([]float64, image.D*image.H*image.W), make([]int, image.D*image.H*image.W)
	for part := range slices.Chunk(corners, max(1, batchVoxels/len(image.Data))) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		batch := batchOf(image)
		batch.N, batch.Data = len(part), slices.Repeat(image.Data, len(part))
		for k, corner := range part {
			w.cover(batch.Data[k*len(image.Data):][:len(image.Data)], image, corner, fill)
		}
		rows := n.Features(batch, net.Inference, 0)[:len(part)*n.FeatureStride()]
		for k, odds := range w.logOdds(n, i, features, rows) {
			w.eachVoxel(image, part[k], func(voxel int) {
				sums[voxel] += whole - odds
				covering[voxel]++
			})
		}
		w.pass(len(part))
	}
	values := make([]float32, len(sums))
	for voxel, sum := range sums {
		values[voxel] = float32(sum / float64(covering[voxel]))
	}
	return values, nil
}

// logOdds returns the class's log-odds when result i has each of the rows of
// features in turn.
func (w *work) logOdds(n *net.Net, i int, features, rows []float32) []float64 {
	stride := n.FeatureStride()
	samples, bags := len(rows)/stride, []int(nil)
	if w.attention {
		var bagged []float32
		for k := range samples {
			bagged = append(bagged, features...)
			copy(bagged[len(bagged)-len(features)+i*stride:], rows[k*stride:][:stride])
			bags = append(bags, len(w.results))
		}
		rows = bagged
	}
	logits := n.Classify(rows, bags, w.covariates(samples), net.Inference, 0)
	classes := len(logits) / samples
	odds := make([]float64, samples)
	for k := range odds {
		odds[k] = logOddsOf(logits[k*classes:][:classes], w.Class)
	}
	return odds
}

// logOddsOf returns log(p / (1 - p)) = z - log(sum over the other classes of exp z).
func logOddsOf(logits []float32, class int) float64 {
	largest := math.Inf(-1)
	for c, z := range logits {
		if c != class {
			largest = max(largest, float64(z))
		}
	}
	sum := 0.0
	for c, z := range logits {
		if c != class {
			sum += stat.Exp(float64(z) - largest)
		}
	}
	return float64(logits[class]) - (largest + stat.Log(sum))
}

// fill returns what covers each channel.
func (w *work) fill(image *prep.Image) []float32 {
	voxels := image.D * image.H * image.W
	values := make([]float32, image.C)
	for c := range values {
		background := image.BackgroundOf(c)
		values[c] = background
		if w.Fill == FillBackground {
			continue
		}
		sum, count := 0.0, 0
		for _, x := range image.Data[c*voxels:][:voxels] {
			if x != background {
				sum += float64(x)
				count++
			}
		}
		if count > 0 {
			values[c] = float32(sum / float64(count))
		}
	}
	return values
}

// cover writes the fill into a box of an image.
func (w *work) cover(data []float32, image *prep.Image, corner [3]int, fill []float32) {
	voxels := image.D * image.H * image.W
	for c, value := range fill {
		w.eachVoxel(image, corner, func(voxel int) { data[c*voxels+voxel] = value })
	}
}

// eachVoxel calls f with the index of every voxel of a box.
func (w *work) eachVoxel(image *prep.Image, corner [3]int, f func(voxel int)) {
	for d := corner[0]; d < corner[0]+w.Box[0]; d++ {
		for h := corner[1]; h < corner[1]+w.Box[1]; h++ {
			for x := corner[2]; x < corner[2]+w.Box[2]; x++ {
				f((d*image.H+h)*image.W + x)
			}
		}
	}
}
