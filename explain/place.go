package explain

import (
	"math"
	"slices"

	"ballast/cohort"
)

// A Peak is the largest value of a map; of several equals, as they stand side by
// side at the edge of a field of view, the one nearest to their centre.
type Peak struct {
	Voxel [3]int     // i, j, k of the image
	World [3]float64 // mm, RAS+
	Value float64
}

// Inside says how a map lies to a mask, within the field of view.
type Inside struct {
	Mass   float64 // share of the map's positive mass that lies in the mask; NaN when there is none
	Field  float64 // share of the field of view that the mask fills: what Mass would be of a map that is the same everywhere
	Peak   bool    // whether the peak lies in the mask
	Trough bool    // whether the trough does
}

// place brings the maps of all results, on the grid (D, H, W), into the subject's
// space and measures them there.
func (w *work) place(maps [][]float32) {
	for i, r := range w.results {
		m := w.images[r.image]
		if m.Volume == nil {
			m.Volume, m.Field = r.field.Empty(), r.field.Empty()
		}
		r.field.Back(maps[i], m.Volume)
		ones := slices.Repeat([]float32{1}, len(maps[i]))
		r.field.Back(ones, m.Field)
	}
	for _, m := range w.images {
		m.Peak, m.Trough = extremeOf(m.Volume, 1), extremeOf(m.Volume, -1)
		if m.Mask != nil && (m.Peak != nil || m.Trough != nil) {
			m.Inside = m.inside()
		}
	}
}

// extremeOf returns the largest value with the sign 1, the lowest with -1; nil when
// no voxel has the sign.
func extremeOf(v *cohort.Volume, sign float32) *Peak {
	largest := float32(0)
	for _, x := range v.Data {
		largest = max(largest, sign*x)
	}
	if !(largest > 0) {
		return nil
	}
	// Interpolation rounds: what is equal may differ in its last digits.
	var equal []int
	var centre [3]float64
	for n, x := range v.Data {
		if sign*x >= largest*(1-1e-6) {
			equal = append(equal, n)
		}
	}
	for _, n := range equal {
		for axis, x := range voxelOf(v, n) {
			centre[axis] += float64(x) / float64(len(equal))
		}
	}
	best, least := equal[0], math.Inf(1)
	for _, n := range equal {
		square := 0.0
		for axis, x := range voxelOf(v, n) {
			mm := (float64(x) - centre[axis]) * v.Spacing[axis]
			square += mm * mm
		}
		if square < least {
			best, least = n, square
		}
	}
	p := &Peak{Value: float64(v.Data[best]), Voxel: voxelOf(v, best)}
	for row := range 3 {
		p.World[row] = v.Affine[row][3]
		for axis, x := range p.Voxel {
			p.World[row] += v.Affine[row][axis] * float64(x)
		}
	}
	return p
}

// voxelOf returns i, j, k of a voxel.
func voxelOf(v *cohort.Volume, n int) [3]int {
	return [3]int{n % v.Shape[0], n / v.Shape[0] % v.Shape[1], n / v.Shape[0] / v.Shape[1]}
}

func (m *Map) inside() *Inside {
	mass, within, field, masked := 0.0, 0.0, 0, 0
	for n, x := range m.Volume.Data {
		if m.Field.Data[n] == 0 {
			continue
		}
		field++
		mass += float64(max(x, 0))
		if m.Mask.Data[n] > 0 {
			masked++
			within += float64(max(x, 0))
		}
	}
	in := func(p *Peak) bool { return p != nil && m.Mask.At(p.Voxel[0], p.Voxel[1], p.Voxel[2]) > 0 }
	return &Inside{Mass: within / mass, Field: float64(masked) / float64(field), Peak: in(m.Peak), Trough: in(m.Trough)}
}
