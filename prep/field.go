package prep

import (
	"fmt"

	"ballast/cohort"
)

// A Field is where the grid of a prepared image lies in the image it was made of:
// the way back from the grid into the subject's own space.
type Field struct {
	at    placement
	image cohort.Volume // without voxels
}

func newField(at placement, v *cohort.Volume) *Field {
	return &Field{at, cohort.Volume{Shape: v.Shape, Affine: v.Affine, Spacing: v.Spacing}}
}

// LoadFields is LoadAll with the field of each result. It returns the first
// sequence, in whose space the fields lie, and the mask as well; the mask is nil
// when the image has none. Unlike LoadAll it reads the mask even if the
// preparation does not need it.
func LoadFields(image cohort.Image, c Config) (images []*Image, fields []*Field, v, mask *cohort.Volume, err error) {
	volumes, needed, err := readAll(image, c)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	if images, fields, err = PrepareFields(volumes, needed, c); err != nil {
		return nil, nil, nil, nil, fmt.Errorf("prepare %s: %w", image.Path, err)
	}
	v, mask = volumes[0], needed
	if mask == nil && image.Mask != "" {
		if mask, err = cohort.ReadMask(image.Mask); err != nil {
			return nil, nil, nil, nil, err
		}
		if err = v.SameGrid(mask); err != nil {
			return nil, nil, nil, nil, fmt.Errorf("read %s and %s: %w", image.Path, image.Mask, err)
		}
	}
	release(volumes[1:]...)
	return images, fields, v, mask, nil
}

// Back resamples a map on the grid, in the order (D, H, W), linearly to the voxels
// of the subject's image and adds it to target, a volume of the image's shape.
//
// Within half a voxel beyond the outermost voxels of the grid the map keeps the
// value at its edge; farther out, outside the field of view, it is zero. A field
// that is thinner than a voxel of the image, as that of a slice, reaches all
// voxels whose centres lie within half a voxel of it. Where the grid is finer than
// the image, the map is averaged by the triangle that resampling uses.
func (f *Field) Back(data []float32, target *cohort.Volume) {
	if target.Shape != f.image.Shape || len(data) != f.at.count[0]*f.at.count[1]*f.at.count[2] {
		panic(fmt.Sprintf("prep: map of %d voxels on a grid of %v for an image of %v", len(data), f.at.count, target.Shape))
	}
	var size [3]int
	var lists [3][]taps
	var first [3]int
	for n := range 3 {
		first[n], lists[n] = f.taps(n)
		size[n] = len(lists[n])
	}
	if size[0]*size[1]*size[2] == 0 {
		return
	}
	count := f.at.count
	data = pass(data, count[0]*count[1], count[2], 1, 0, lists[2], 0)
	data = pass(data, count[0], count[1], size[2], 0, lists[1], 0)
	data = pass(data, 1, count[0], size[1]*size[2], 0, lists[0], 0)
	axes := f.at.axes
	start := origin(axes)
	for d := range size[0] {
		for h := range size[1] {
			to := start + (first[0]+d)*axes[0].stride + (first[1]+h)*axes[1].stride + first[2]*axes[2].stride
			for _, x := range data[(d*size[1]+h)*size[2]:][:size[2]] {
				target.Data[to] += x
				to += axes[2].stride
			}
		}
	}
}

// taps returns how each voxel of the image within the field, from the first on, is
// made of the voxels of the grid along D, H or W.
func (f *Field) taps(n int) (first int, list []taps) {
	step, count, centre := f.at.step[n], f.at.count[n], f.at.centre[n]
	half := float64(max(float64(step*float64(count)), 1)/2) + 1e-6
	for x := range f.at.axes[n].size {
		away := float64(x) - centre
		if away < -half || away > half {
			continue
		}
		if len(list) == 0 {
			first = x
		}
		list = append(list, within(float64(away/step)+float64(float64(count-1)/2), 1/step, count))
	}
	return first, list
}

// within is the taps of linear resampling at a coordinate of a row of count
// voxels, of which those outside do not count.
func within(at, ratio float64, count int) taps {
	t := weigh(min(max(at, 0), float64(count-1)), max(1, ratio), count, nil, triangle)
	sum := 0.0
	for _, w := range t.weights {
		sum += w
	}
	t.outside = 0
	t.divide(sum)
	return t
}

// Voxel returns where a voxel (d, h, w) of the grid lies in the image: voxel
// coordinates (i, j, k).
func (f *Field) Voxel(at [3]float64) (voxel [3]float64) {
	for n, a := range f.at.axes {
		x := f.at.centre[n] + float64((at[n]-float64(float64(f.at.count[n]-1)/2))*f.at.step[n])
		if a.reversed {
			x = float64(a.size-1) - x
		}
		voxel[a.voxel] = x
	}
	return voxel
}

// Empty returns a volume of zeros in the space of the subject's image.
func (f *Field) Empty() *cohort.Volume {
	v := f.image
	v.Data = make([]float32, v.Shape[0]*v.Shape[1]*v.Shape[2])
	return &v
}
