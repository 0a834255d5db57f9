package prep

import (
	"errors"
	"fmt"
	"math"

	"ballast/stat"
)

// Downsample makes the image coarse along one axis, as thick slices do.
//
// The image is averaged onto n/factor samples (rounded up) factor voxels apart and
// centred on it, each with the weights 1 - r/factor of the voxels at distances
// r < factor, divided by their sum; then it is interpolated linearly back onto its
// own grid, and beyond the outermost samples their value goes on. Axis and factor
// are drawn for each image; channels are treated alike.
//
// After TorchIO's RandomAnisotropy, which takes the nearest voxel without
// averaging, as slices with gaps would.
type Downsample struct {
	Probability float64 `yaml:"probability" doc:"share of the images that are made coarse along one axis"`
	Factor      float64 `yaml:"factor" doc:"largest factor by which voxels become longer, at least 1"`
}

// A DownsampleDraw is the parameters of one Downsample.
type DownsampleDraw struct {
	Axis   int     `json:"axis"` // 0, 1, 2 for D, H, W
	Factor float64 `json:"factor"`
}

// fewestSamples is how many samples must be left along an axis.
const fewestSamples = 4

func (o Downsample) check() error {
	low := 0.0
	if o.Probability > 0 {
		low = 1
	}
	return setting("downsample.factor", o.Factor, low, 64)
}

func (o Downsample) checkGrid(g grid) error {
	for _, size := range g.size {
		if size > 1 && o.Probability > 0 && o.Factor > float64(size)/fewestSamples {
			return fmt.Errorf("downsample.factor is %g: of %d voxels it would leave fewer than %d", o.Factor, size, fewestSamples)
		}
	}
	return nil
}

func (o Downsample) draw(s *stat.Stream, g grid) *DownsampleDraw {
	return &DownsampleDraw{Axis: g.drawAxis(s), Factor: uniform(s, 1, o.Factor)}
}

func (d *DownsampleDraw) checkFits() error {
	if d.Axis < 0 || d.Axis > 2 || !(d.Factor >= 1 && d.Factor <= 64) {
		return errors.New("downsample: needs an axis of 0, 1 or 2 and a factor of 1 to 64")
	}
	return nil
}

func (d *DownsampleDraw) apply(data []float32, g grid) {
	outer, size, inner := g.lines(d.Axis)
	rows := d.rows(size)
	before := borrow(size * inner)
	defer giveBack(before)
	for o := range outer {
		planes := data[o*size*inner : (o+1)*size*inner]
		copy(*before, planes)
		for n, row := range rows {
			out := planes[n*inner : (n+1)*inner]
			if inner == 1 {
				out[0] = row.sum(*before)
				continue
			}
			clear(out)
			for m, weight := range row.weights {
				for x, value := range (*before)[(row.first+m)*inner:][:inner] {
					out[x] += float32(weight * value)
				}
			}
		}
	}
}

// A coarseRow is how one voxel is made of those of the image along the axis.
type coarseRow struct {
	first   int
	weights []float32
}

// sum weighs neighbouring voxels.
func (r coarseRow) sum(line []float32) (sum float32) {
	for m, value := range line[r.first:][:len(r.weights)] {
		sum += float32(r.weights[m] * value)
	}
	return sum
}

// rows returns how each voxel of the result is made: of the one or two samples
// next to it, and these of the voxels within factor of them.
func (d *DownsampleDraw) rows(size int) []coarseRow {
	count := int(math.Ceil(float64(size) / d.Factor))
	middle, coarseMiddle := float64(float64(size-1)/2), float64(float64(count-1)/2)
	list := make([]coarseRow, size)
	dense := make([]float64, size)
	for n := range list {
		at := (float64(n)-middle)/d.Factor + coarseMiddle
		at = min(max(at, 0), float64(count-1))
		below := int(at)
		clear(dense)
		for sample, share := range [2]float64{1 - (at - float64(below)), at - float64(below)} {
			if share > 0 {
				centre := middle + float64((float64(below+sample)-coarseMiddle)*d.Factor)
				addTriangle(dense, centre, d.Factor, share)
			}
		}
		list[n] = compact(dense)
	}
	return list
}

// addTriangle adds to a row the weights share (1 - |x - centre|/radius), divided
// by their sum over the row.
func addTriangle(row []float64, centre, radius, share float64) {
	low, high := max(int(math.Floor(centre-radius))+1, 0), min(int(math.Ceil(centre+radius))-1, len(row)-1)
	sum := 0.0
	for x := low; x <= high; x++ {
		sum += 1 - math.Abs(float64(x)-centre)/radius
	}
	for x := low; x <= high; x++ {
		row[x] += float64(share*(1-math.Abs(float64(x)-centre)/radius)) / sum
	}
}

// compact leaves out the zeros at both ends.
func compact(row []float64) coarseRow {
	first, end := 0, len(row)
	for first < end-1 && row[first] == 0 {
		first++
	}
	for end > first+1 && row[end-1] == 0 {
		end--
	}
	short := coarseRow{first, make([]float32, end-first)}
	for n := range short.weights {
		short.weights[n] = float32(row[first+n])
	}
	return short
}
