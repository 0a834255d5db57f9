package codec

import "math"

// The inverse wavelet transforms of JPEG 2000 (T.800 annex F). Samples at even
// places of the grid are low-pass, at odd places high-pass; signals are extended
// by reflection at both ends.

// reconstruct decodes the code blocks and undoes the reversible 5-3 transform.
func (t *j2kTile) reconstruct(resolutions []*resolution) []int32 {
	var low []int32
	for n, r := range resolutions {
		bands := make([][]int32, len(r.bands))
		for k, b := range r.bands {
			bands[k] = make([]int32, b.width()*b.height())
			t.decodeBand(b, func(at int, half int32) { bands[k][at] = half / 2 })
		}
		if n == 0 {
			low = bands[0]
			continue
		}
		low = interleave(r, resolutions[n-1], low, bands)
		transform(r, low, lift53)
	}
	return low
}

// reconstructReal does the same for the irreversible 9-7 transform, with the
// quantisation of equation E-3.
func (t *j2kTile) reconstructReal(resolutions []*resolution, bits int) []float64 {
	var low []float64
	for n, r := range resolutions {
		bands := make([][]float64, len(r.bands))
		for k, b := range r.bands {
			bands[k] = make([]float64, b.width()*b.height())
			gain := [4]int{0, 1, 1, 2}[b.kind]
			step := math.Ldexp(1+float64(b.mantissa)/2048, bits+gain-b.exponent-1)
			t.decodeBand(b, func(at int, half int32) { bands[k][at] = float64(half) * step })
		}
		if n == 0 {
			low = bands[0]
			continue
		}
		low = interleave(r, resolutions[n-1], low, bands)
		transform(r, low, lift97)
	}
	return low
}

// decodeBand decodes a band's code blocks; set takes each coefficient that is
// not 0, in units of one half, with its place in the band.
func (t *j2kTile) decodeBand(b *band, set func(at int, half int32)) {
	var decoder blockDecoder
	for _, code := range b.blocks {
		if !code.included {
			continue
		}
		values := decoder.decode(code, b.kind, t.style)
		for y := range code.height() {
			start := (code.y0-b.y0+y)*b.width() + code.x0 - b.x0
			for x, value := range values[y*code.width() : (y+1)*code.width()] {
				if value != 0 {
					set(start+x, value)
				}
			}
		}
	}
}

// interleave puts the four bands of a resolution where they belong on its grid.
func interleave[T int32 | float64](r, lower *resolution, low []T, bands [][]T) []T {
	whole := make([]T, r.width()*r.height())
	parts := [4]struct {
		rect
		values []T
	}{{lower.rect, low}, {r.bands[0].rect, bands[0]}, {r.bands[1].rect, bands[1]}, {r.bands[2].rect, bands[2]}}
	for kind, part := range parts {
		for y := range part.height() {
			row := 2*(part.y0+y) + kind>>1 - r.y0
			for x := range part.width() {
				whole[row*r.width()+2*(part.x0+x)+kind&1-r.x0] = part.values[y*part.width()+x]
			}
		}
	}
	return whole
}

// transform runs the one-dimensional inverse over all rows, then all columns.
func transform[T int32 | float64](r *resolution, values []T, lift func(line []T, odd int)) {
	w, h := r.width(), r.height()
	for y := range h {
		lift(values[y*w:(y+1)*w], r.x0&1)
	}
	column := make([]T, h)
	for x := range w {
		for y := range column {
			column[y] = values[y*w+x]
		}
		lift(column, r.y0&1)
		for y := range column {
			values[y*w+x] = column[y]
		}
	}
}

// reflect returns the place inside 0..n-1 of a place up to one step outside.
func reflect(at, n int) int {
	if at < 0 {
		return -at
	}
	if at >= n {
		return 2*(n-1) - at
	}
	return at
}

// lift53 is equations F-5 and F-6; odd is 1 when the line begins at an odd place.
func lift53(line []int32, odd int) {
	n := len(line)
	if n == 1 {
		if odd == 1 {
			line[0] /= 2
		}
		return
	}
	for at := odd; at < n; at += 2 {
		line[at] -= (line[reflect(at-1, n)] + line[reflect(at+1, n)] + 2) >> 2
	}
	for at := 1 - odd; at < n; at += 2 {
		line[at] += (line[reflect(at-1, n)] + line[reflect(at+1, n)]) >> 1
	}
}

// The lifting factors of the 9-7 transform (table F.4).
const (
	lifting1 = -1.586134342059924 // alpha
	lifting2 = -0.052980118572961 // beta
	lifting3 = 0.882911075530934  // gamma
	lifting4 = 0.443506852043971  // delta
	scaling  = 1.230174104914001  // K
)

// lift97 is equation F-7.
func lift97(line []float64, odd int) {
	n := len(line)
	if n == 1 {
		if odd == 1 {
			line[0] /= 2
		}
		return
	}
	for at := range line {
		if (at+odd)&1 == 0 {
			line[at] *= scaling
		} else {
			line[at] *= 1 / scaling
		}
	}
	for step, factor := range [4]float64{lifting4, lifting3, lifting2, lifting1} {
		for at := (odd + step) & 1; at < n; at += 2 {
			line[at] -= float64(factor * (line[reflect(at-1, n)] + line[reflect(at+1, n)]))
		}
	}
}
