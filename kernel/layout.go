package kernel

import "fmt"

// Lanes is the number of channels in a block.
const Lanes = 16

// A Shape says how activations (N, C, D, H, W) lie in memory: N-block-D-H-W-lane
// with Halo voxels of zeros left and right of every row.
type Shape struct {
	N, C, D, H, W int
	Halo          int
	Lanes         int // channels per block: 16, or C where C < 16
}

// Blocked returns the shape with channels in blocks of 16.
func Blocked(n, c, d, h, w, halo int) Shape {
	return Shape{N: n, C: c, D: d, H: h, W: w, Halo: halo, Lanes: Lanes}
}

// Narrow returns the shape of a network's input: fewer than 16 channels form
// one block without padding lanes.
func Narrow(n, c, d, h, w, halo int) Shape {
	return Shape{N: n, C: c, D: d, H: h, W: w, Halo: halo, Lanes: min(c, Lanes)}
}

// Blocks returns the number of channel blocks.
func (s Shape) Blocks() int {
	if s.Lanes == Lanes { // saves a division in the innermost Go loops
		return (s.C + Lanes - 1) / Lanes
	}
	return (s.C + s.Lanes - 1) / s.Lanes
}

// Padded returns the number of channels with the padding ones.
func (s Shape) Padded() int { return s.Blocks() * s.Lanes }

// RowLen returns the number of elements of a row with its halo.
func (s Shape) RowLen() int { return (s.W + 2*s.Halo) * s.Lanes }

// Rows returns the number of rows (n, block, d, h).
func (s Shape) Rows() int { return s.N * s.Blocks() * s.D * s.H }

// Sample returns the number of elements of one sample.
func (s Shape) Sample() int { return s.Blocks() * s.D * s.H * s.RowLen() }

// Len returns the number of elements of the whole tensor.
func (s Shape) Len() int { return s.N * s.Sample() }

// Voxels returns D*H*W.
func (s Shape) Voxels() int { return s.D * s.H * s.W }

// Row returns the offset of voxel w = 0, lane 0 of a row.
func (s Shape) Row(n, block, d, h int) int {
	index := s.rowIndex()
	return index.row(n, block, d, h)
}

// A rowIndex finds the rows of a Shape without the arithmetic that all share.
type rowIndex struct{ blocks, d, h, length, first int }

func (s Shape) rowIndex() rowIndex {
	return rowIndex{s.Blocks(), s.D, s.H, s.RowLen(), s.Halo * s.Lanes}
}

func (r *rowIndex) row(n, block, d, h int) int {
	return (((n*r.blocks+block)*r.d+d)*r.h+h)*r.length + r.first
}

// Index returns the offset of an element.
func (s Shape) Index(n, c, d, h, w int) int {
	return s.Row(n, c/s.Lanes, d, h) + w*s.Lanes + c%s.Lanes
}

// Batch returns the shape with another number of samples.
func (s Shape) Batch(n int) Shape {
	s.N = n
	return s
}

// separate returns the same memory as one sample that has the channels of all,
// those in the padding included: what is done to each channel is then done to
// each channel of each sample.
func (s Shape) separate() Shape {
	s.N, s.C = 1, s.N*s.Padded()
	return s
}

func (s Shape) check(name string, data []float32) {
	if len(data) < s.Len() {
		panic(fmt.Sprintf("kernel: %s has %d elements, its shape %+v needs %d", name, len(data), s, s.Len()))
	}
}

func sameVolume(a, b Shape) bool {
	return a.N == b.N && a.C == b.C && a.D == b.D && a.H == b.H && a.W == b.W
}

// Pack copies planar (N, C, D, H, W) into the layout s. Halo and padding lanes
// are not written: they must be zero already.
func Pack(pool *Pool, planar []float32, s Shape, blocked []float32) {
	s.check("packed tensor", blocked)
	p := newPass(func(p *pass, task int) {
		s := &p.a
		n, c := task/s.C, task%s.C
		source := p.x[task*s.Voxels():][:s.Voxels()]
		for d := range s.D {
			for h := range s.H {
				row := p.y[s.Index(n, c, d, h, 0):]
				if s.Lanes == 1 {
					copy(row, source[:s.W])
				} else {
					for w, v := range source[:s.W] {
						row[w*s.Lanes] = v
					}
				}
				source = source[s.W:]
			}
		}
	})
	p.a, p.x, p.y = s, planar, blocked
	p.run(pool, s.N*s.C)
}
