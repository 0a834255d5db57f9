package explain

import "ballast/cohort"

// A Peak is the largest value of a map, the first of equals.
type Peak struct {
	Voxel [3]int     // i, j, k of the image
	World [3]float64 // mm, RAS+
	Value float64
}

// Inside says how a map lies to a mask, within the field of view.
type Inside struct {
	Mass  float64 // share of the map's positive mass that lies in the mask
	Field float64 // share of the field of view that the mask fills: what Mass would be of a map that is the same everywhere
	Peak  bool    // whether the peak lies in the mask
}

// place brings the maps into the subject's space and measures them there.
func (w *work) place() {
	for _, r := range w.results {
		m := w.images[r.image]
		if m.Volume == nil {
			m.Volume, m.Field = r.field.Empty(), r.field.Empty()
		}
		r.field.Back(r.values, m.Volume)
		ones := make([]float32, len(r.values))
		for i := range ones {
			ones[i] = 1
		}
		r.field.Back(ones, m.Field)
	}
	for _, m := range w.images {
		m.Peak = peakOf(m.Volume)
		if m.Mask != nil && m.Peak != nil {
			m.Inside = m.inside()
		}
	}
}

// peakOf returns nil when no voxel is positive.
func peakOf(v *cohort.Volume) *Peak {
	best := 0
	for n, x := range v.Data {
		if x > v.Data[best] {
			best = n
		}
	}
	if !(v.Data[best] > 0) {
		return nil
	}
	p := &Peak{Value: float64(v.Data[best])}
	p.Voxel = [3]int{best % v.Shape[0], best / v.Shape[0] % v.Shape[1], best / v.Shape[0] / v.Shape[1]}
	for row := range 3 {
		p.World[row] = v.Affine[row][3]
		for axis, x := range p.Voxel {
			p.World[row] += v.Affine[row][axis] * float64(x)
		}
	}
	return p
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
	p := m.Peak.Voxel
	return &Inside{Mass: within / mass, Field: float64(masked) / float64(field), Peak: m.Mask.At(p[0], p[1], p[2]) > 0}
}
