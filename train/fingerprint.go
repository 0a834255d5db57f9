package train

import (
	"math"

	"ballast/prep"
	"ballast/run"
)

// fingerprint describes what the network is shown of the subjects of the training,
// the validation and the test set, not augmented; see run.Fingerprint. Each subject
// is a task of its own, so the number of threads does not matter.
func (t *trainer) fingerprint() *run.Fingerprint {
	f := &run.Fingerprint{Format: run.Format, Sets: map[string][]run.Look{}}
	for _, set := range t.images.sets()[:3] {
		if len(set.Subjects) == 0 {
			continue
		}
		looks := make([]run.Look, len(set.Subjects))
		t.pool.Run(len(looks), func(i int) {
			from, to := set.bag(i)
			looks[i] = look(set.Samples[from:to])
		})
		f.Sets[set.Name] = looks
	}
	return f
}

// look describes the images of a subject.
func look(samples []Sample) run.Look {
	sum, count := 0.0, 0
	least, greatest := math.Inf(1), math.Inf(-1)
	for _, s := range samples {
		for _, x := range s.Image.Data {
			sum += float64(x)
			least, greatest = min(least, float64(x)), max(greatest, float64(x))
		}
		count += len(s.Image.Data)
	}
	if count == 0 {
		nothing := run.Float(math.NaN())
		return run.Look{Mean: nothing, Deviation: nothing, Least: nothing, Greatest: nothing, Thumbnail: make([]int, run.ThumbnailCells)}
	}
	mean, squares := sum/float64(count), 0.0
	for _, s := range samples {
		for _, x := range s.Image.Data {
			d := float64(x) - mean
			squares += float64(d * d)
		}
	}
	return run.Look{
		Mean: run.Float(mean), Deviation: run.Float(math.Sqrt(squares / float64(count))),
		Least: run.Float(least), Greatest: run.Float(greatest),
		Thumbnail: thumbnail(samples[0].Image),
	}
}

// thumbnail makes run.Look.Thumbnail of an image.
func thumbnail(image *prep.Image) []int {
	cells := cellMeans(image)
	mean, squares := 0.0, 0.0
	for _, x := range cells {
		mean += (x - cells[0]) / float64(len(cells))
	}
	mean += cells[0]
	for _, x := range cells {
		squares += float64((x - mean) * (x - mean))
	}
	deviation := math.Sqrt(squares / float64(len(cells)))
	small := make([]int, len(cells))
	if !(deviation > 0) || math.IsInf(deviation, 0) {
		return small
	}
	for i, x := range cells {
		small[i] = int(math.Round(max(-127, min(127, float64(32*(x-mean)/deviation)))))
	}
	return small
}

// cellMeans divides the first channel of an image along each axis into as equal
// parts as there are and takes the mean of each cell: of n voxels and k parts, part i
// has those from i n/k to below (i+1) n/k, rounded down, and at least one.
func cellMeans(image *prep.Image) []float64 {
	parts := [3]int{4, 4, 4}
	if image.D == 1 {
		parts = [3]int{1, 8, 8}
	}
	size := [3]int{image.D, image.H, image.W}
	within := func(axis, part int) (from, to int) {
		from, to = part*size[axis]/parts[axis], (part+1)*size[axis]/parts[axis]
		return from, max(to, from+1)
	}
	cells := make([]float64, 0, run.ThumbnailCells)
	for i := range parts[0] {
		for j := range parts[1] {
			for k := range parts[2] {
				cells = append(cells, cellMean(image, within, [3]int{i, j, k}))
			}
		}
	}
	return cells
}

// cellMean is the mean of a cell, taken of the differences from its first voxel, so
// that a cell of one colour has exactly that.
func cellMean(image *prep.Image, within func(axis, part int) (from, to int), cell [3]int) float64 {
	d0, d1 := within(0, cell[0])
	h0, h1 := within(1, cell[1])
	w0, w1 := within(2, cell[2])
	first := float64(image.Data[(d0*image.H+h0)*image.W+w0])
	sum := 0.0
	for d := d0; d < d1; d++ {
		for h := h0; h < h1; h++ {
			row := (d*image.H + h) * image.W
			for _, x := range image.Data[row+w0 : row+w1] {
				sum += float64(x) - first
			}
		}
	}
	return first + sum/float64((d1-d0)*(h1-h0)*(w1-w0))
}
