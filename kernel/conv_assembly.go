//go:build (amd64 || arm64) && !purego

package kernel

// The inner loops of convolution, divided into calls of assembly.

// tileArguments are the operands of the assembly of rowSum; strides in bytes.
// The generators know the offsets of the fields.
type tileArguments struct {
	dst, from, x, weight             *float32
	taps                             *tap
	count, depth                     int
	xStride, dstStride, fromStride   int
	dstBlock, fromBlock, weightBlock int

	repeat                   int // tiles, one after another in the row; 0 afterwards
	dstTile, fromTile, xTile int // from one to the next; dst, from and x move along
}

// outerArguments are the operands of the assembly of outerSum; strides in bytes.
type outerArguments struct {
	dst, x, y                  *float32
	taps                       *tap
	count, voxels              int
	xStride, xRow, xPlane      int
	dstRow, dstPlane, dstBlock int
	yBlock                     int
}

const bytesPerFloat = 4

// rowSumFast divides the blocks into groups and the row into tiles of nearly
// equal length, so that a tile's sums fit the registers.
func rowSumFast(r *rowSum) {
	if path == generic {
		rowSumGo(r)
		return
	}
	a := tileArguments{
		depth: r.depth, xStride: r.xStride * bytesPerFloat, dstStride: r.dstStride * bytesPerFloat,
		dstBlock: r.dstBlock * bytesPerFloat, weightBlock: r.weightBlock * bytesPerFloat,
	}
	for k := 0; k < r.blocks; {
		blocks, most := tileGroup(r.blocks-k, r.voxels)
		tiles := (r.voxels + most - 1) / most
		size, longer := r.voxels/tiles, r.voxels%tiles // so many tiles have a voxel more
		r.tiles(&a, k, blocks, 0, longer, size+1)
		r.tiles(&a, k, blocks, longer*(size+1), tiles-longer, size)
		k += blocks
	}
}

// maxProducts bounds the products of a voxel in one call of assembly, during
// which the garbage collector waits.
const maxProducts = 8192

// tiles sums some tiles of equal size, from voxel first on, of some blocks, from
// block k on, for all rows and samples.
func (r *rowSum) tiles(a *tileArguments, k, blocks, first, tiles, size int) {
	if tiles == 0 {
		return
	}
	most := max(1, maxProducts/(r.depth*tiles)) // taps of a call
	a.dstTile, a.xTile = size*a.dstStride, size*a.xStride
	a.weight = &r.weight[k*r.weightBlock]
	dst, from, x := k*r.dstBlock+first*r.dstStride, k*r.fromBlock+first*r.fromStride, first*r.xStride
	for sample := range r.samples {
		for row := range r.rows {
			dst := &r.dst[sample*r.dstStep+row*r.dstRow+dst]
			a.from, a.fromBlock, a.fromStride = &r.from[sample*r.fromStep+row*r.fromRow+from], r.fromBlock*bytesPerFloat, r.fromStride*bytesPerFloat
			for taps := r.list.taps[:r.list.count]; len(taps) > 0; {
				a.count = min(len(taps), most)
				a.taps, taps = &taps[0], taps[a.count:]
				a.dst, a.x, a.repeat, a.fromTile = dst, &r.x[sample*r.xStep+row*r.xRow+x], tiles, size*a.fromStride
				tileAssembly(a, blocks, size)
				a.from, a.fromBlock, a.fromStride = dst, a.dstBlock, a.dstStride
			}
		}
	}
}

// maxVoxels bounds the voxels of one call of assembly, during which the garbage
// collector waits.
const maxVoxels = 4096

// outerSumFast divides the elements into patches that fit the registers.
func outerSumFast(s *outerSum) {
	if path == generic {
		outerSumGo(s)
		return
	}
	a := outerArguments{
		xStride: s.xStride * bytesPerFloat, xRow: s.xRow * bytesPerFloat, xPlane: s.xPlane * bytesPerFloat,
		dstRow: s.dstRow * bytesPerFloat, dstPlane: s.dstPlane * bytesPerFloat, dstBlock: s.dstBlock * bytesPerFloat,
		yBlock: s.yBlock * bytesPerFloat, voxels: s.voxels,
	}
	for taps := s.list.taps[:s.list.count]; len(taps) > 0; {
		part := taps[:min(len(taps), max(1, maxVoxels/s.voxels))]
		taps = taps[len(part):]
		a.taps, a.count = &part[0], len(part)
		for k := 0; k < s.blocks; {
			k += s.patches(&a, k)
		}
	}
}

// patches does one or two blocks from k on and returns how many.
func (s *outerSum) patches(a *outerArguments, k int) (blocks int) {
	p := patchOf(s.planes, s.rows, s.depth, min(2, s.blocks-k))
	groups := (s.depth + p.depth - 1) / p.depth
	for plane := 0; plane < s.planes; plane += p.planes {
		for row := 0; row < s.rows; row += p.rows {
			part := p
			part.planes, part.rows = min(p.planes, s.planes-plane), min(p.rows, s.rows-row)
			for i := range groups {
				first, end := i*s.depth/groups, (i+1)*s.depth/groups
				part.depth = end - first
				a.dst = &s.dst[k*s.dstBlock+plane*s.dstPlane+row*s.dstRow+first*Lanes]
				a.x = &s.x[plane*s.xPlane+row*s.xRow+first]
				a.y = &s.y[k*s.yBlock]
				patchAssembly(a, part.key())
			}
		}
	}
	return p.blocks
}

// A patch is the part of an outerSum whose sums are kept in registers.
type patch struct{ blocks, planes, rows, depth int }

// key selects the code of a patch; the generators compute the same.
func (p patch) key() int { return ((p.blocks*4+p.planes)*8+p.rows)*32 + p.depth }
