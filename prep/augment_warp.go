package prep

import "math"

// A mapping says from where in the image a voxel of the result comes: the
// voxel coordinate start + step[0] d + step[1] h + step[2] w.
type mapping struct {
	start [3]float64
	step  [3][3]float64 // step[n] per voxel along axis n of the result
}

// newMapping inverts q = matrix p + move (mm from the centre of the grid).
func newMapping(g grid, spacing [3]float64, matrix [3][3]float64, move [3]float64) mapping {
	back := inverse(matrix)
	var p mapping
	for to := range 3 {
		centre := float64(g.size[to]-1) / 2
		p.start[to] = centre
		for from := range 3 {
			p.step[from][to] = float64(back[to][from]*spacing[from]) / spacing[to]
			far := float64(g.size[from]-1) / 2
			p.start[to] -= float64(p.step[from][to]*far) + float64(back[to][from]*move[from])/spacing[to]
		}
	}
	return p
}

// stay is the mapping that changes nothing.
func stay() mapping {
	return mapping{step: [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}
}

// warp interpolates src linearly at the places that p and the displacement (nil:
// none) name and writes dst. A neighbour outside the image counts as background,
// as in scipy.ndimage.map_coordinates(order=1, mode="grid-constant").
func warp(dst, src []float32, g grid, p mapping, u *displacement, background float32) {
	depth, height, width := g.size[0], g.size[1], g.size[2]
	image := sampler{src, g.size, background}
	row := make([]float64, 3*width)
	for d := range depth {
		if u != nil {
			u.plane(d)
		}
		for h := range height {
			at := [3]float64{}
			for n := range 3 {
				at[n] = p.start[n] + float64(float64(d)*p.step[0][n]) + float64(float64(h)*p.step[1][n])
				coordinates := row[n*width : (n+1)*width]
				for w := range coordinates {
					coordinates[w] = at[n] + float64(float64(w)*p.step[2][n])
				}
			}
			if u != nil {
				u.addRow(row, h)
			}
			image.row(dst[(d*height+h)*width:][:width], row[:width], row[width:2*width], row[2*width:])
		}
	}
}

// A sampler interpolates an image linearly.
type sampler struct {
	data       []float32
	size       [3]int
	background float32
}

// row samples at the voxel coordinates z[i], y[i], x[i].
func (s *sampler) row(out []float32, z, y, x []float64) {
	height, width := s.size[1], s.size[2]
	plane := height * width
	flat := s.size[0] == 1
	for i := range out {
		iz, iy, ix := floor(z[i]), floor(y[i]), floor(x[i])
		if flat && iz == 0 && z[i] == 0 && uint(iy) < uint(height-1) && uint(ix) < uint(width-1) {
			near := s.data[iy*width+ix:]
			out[i] = plain(near, width, float32(y[i]-float64(iy)), float32(x[i]-float64(ix)))
			continue
		}
		if uint(iz) >= uint(s.size[0]-1) || uint(iy) >= uint(height-1) || uint(ix) >= uint(width-1) {
			out[i] = s.border(z[i], y[i], x[i], iz, iy, ix)
			continue
		}
		ty, tx := float32(y[i]-float64(iy)), float32(x[i]-float64(ix))
		near := s.data[iz*plane+iy*width+ix:]
		front := plain(near, width, ty, tx)
		behind := plain(near[plane:], width, ty, tx)
		out[i] = front + float32(float32(z[i]-float64(iz))*(behind-front))
	}
}

// plain interpolates between near[0], near[1] and the two a row further.
func plain(near []float32, width int, ty, tx float32) float32 {
	next := near[width : width+2]
	near = near[:2]
	top := near[0] + float32(tx*(near[1]-near[0]))
	bottom := next[0] + float32(tx*(next[1]-next[0]))
	return top + float32(ty*(bottom-top))
}

// border interpolates where some of the eight neighbours lie outside.
func (s *sampler) border(z, y, x float64, iz, iy, ix int) float32 {
	if iz < -1 || iz >= s.size[0] || iy < -1 || iy >= s.size[1] || ix < -1 || ix >= s.size[2] {
		return s.background
	}
	tz, ty, tx := float32(z-float64(iz)), float32(y-float64(iy)), float32(x-float64(ix))
	var corner [8]float32
	for n := range corner {
		corner[n] = s.at(iz+n>>2, iy+n>>1&1, ix+n&1)
	}
	for n := range 4 {
		corner[n] = corner[2*n] + float32(tx*(corner[2*n+1]-corner[2*n]))
	}
	for n := range 2 {
		corner[n] = corner[2*n] + float32(ty*(corner[2*n+1]-corner[2*n]))
	}
	return corner[0] + float32(tz*(corner[1]-corner[0]))
}

func (s *sampler) at(z, y, x int) float32 {
	if uint(z) >= uint(s.size[0]) || uint(y) >= uint(s.size[1]) || uint(x) >= uint(s.size[2]) {
		return s.background
	}
	return s.data[(z*s.size[1]+y)*s.size[2]+x]
}

// floor returns the largest whole number that is not above x, or one far outside
// of any image when x is far outside.
func floor(x float64) int {
	if !(math.Abs(x) < 1<<30) {
		return -1 << 30
	}
	i := int(x)
	if float64(i) > x {
		i--
	}
	return i
}
