package kernel

// The inner loops of convolution. Their Go form states what every faster
// implementation must compute, bit for bit.

// A tap is a pair of offsets into the two operands of an inner loop.
type tap struct{ a, b int }

// A tapList gathers taps on the stack.
type tapList struct {
	taps         [256]tap
	count        int
	mostA, mostB int
}

func (l *tapList) reset() { l.count, l.mostA, l.mostB = 0, 0, 0 }

func (l *tapList) add(a, b int) {
	l.taps[l.count] = tap{a, b}
	l.count++
	l.mostA, l.mostB = max(l.mostA, a), max(l.mostB, b)
}

// A rowSum adds products to one row of voxels of some channel blocks:
//
//	dst[k][t][o] = from[k][t][o] + sum over taps, j < depth of x[a + t*xStride + j] * weight[b + k*weightBlock + j*16 + o]
//
// for block k, voxel t and lane o, in the order of taps, then j, each product
// fused with its addition. Element (k, t, o) of dst is dst[k*dstBlock +
// t*dstStride + o], and likewise of from, which may be dst itself or, with
// stride 0, a bias. All this is done for some rows of some samples, which lie
// row distances and sample steps apart.
type rowSum struct {
	dst, from, x, weight             []float32
	blocks, voxels, depth            int
	dstBlock, fromBlock, weightBlock int
	dstStride, fromStride, xStride   int
	samples                          int
	dstStep, fromStep, xStep         int // from one sample to the next
	rows                             int
	dstRow, fromRow, xRow            int // from one row to the next
	list                             *tapList
}

// run panics when an operand is too short.
func (r *rowSum) run() {
	last, lastBlock, lastSample, lastRow := r.voxels-1, r.blocks-1, r.samples-1, r.rows-1
	_ = r.dst[lastSample*r.dstStep+lastRow*r.dstRow+lastBlock*r.dstBlock+last*r.dstStride+Lanes-1]
	_ = r.from[lastSample*r.fromStep+lastRow*r.fromRow+lastBlock*r.fromBlock+last*r.fromStride+Lanes-1]
	if r.list.count == 0 {
		r.copy()
		return
	}
	_ = r.x[lastSample*r.xStep+lastRow*r.xRow+r.list.mostA+last*r.xStride+r.depth-1]
	_ = r.weight[r.list.mostB+lastBlock*r.weightBlock+r.depth*Lanes-1]
	rowSumFast(r)
}

// copy sets dst to from, to which there is nothing to add.
func (r *rowSum) copy() {
	for sample := range r.samples {
		for row := range r.rows {
			for k := range r.blocks {
				dst, from := r.dst[sample*r.dstStep+row*r.dstRow+k*r.dstBlock:], r.from[sample*r.fromStep+row*r.fromRow+k*r.fromBlock:]
				for t := range r.voxels {
					*(*[Lanes]float32)(dst[t*r.dstStride:]) = *(*[Lanes]float32)(from[t*r.fromStride:])
				}
			}
		}
	}
}

func rowSumGo(r *rowSum) {
	for sample := range r.samples {
		for row := range r.rows {
			for k := range r.blocks {
				r.rowGo(sample*r.dstStep+row*r.dstRow, sample*r.fromStep+row*r.fromRow, sample*r.xStep+row*r.xRow, k)
			}
		}
	}
}

// rowGo does one row of block k, given the offsets of its operands.
func (r *rowSum) rowGo(dst, from, x, k int) {
	for t := range r.voxels {
		sum := widenLanes(r.from[from+k*r.fromBlock+t*r.fromStride:])
		r.voxel(&sum, x+t*r.xStride, k)
		narrowLanes(&sum, r.dst[dst+k*r.dstBlock+t*r.dstStride:])
	}
}

// voxel adds the products of the voxel of x at that offset.
func (r *rowSum) voxel(sum *[Lanes]float64, offset, k int) {
	for _, tap := range r.list.taps[:r.list.count] {
		weight := r.weight[tap.b+k*r.weightBlock:]
		for j, u := range r.x[tap.a+offset:][:r.depth] {
			addProduct(sum, (*[Lanes]float32)(weight[j*Lanes:]), float64(u))
		}
	}
}

// An outerSum adds products to the gradient of the weights of some kernel rows,
// which may lie in several planes, for some channel blocks:
//
//	dst[k][p][r][j][o] += sum over taps, t < voxels of x[a + p*xPlane + r*xRow + t*xStride + j] * y[b + k*yBlock + t*16 + o]
//
// for block k, plane p, row r, element j < depth and lane o, in the order of
// taps, then t, each product fused with its addition. Element (k, p, r, j, o)
// of dst is dst[k*dstBlock + p*dstPlane + r*dstRow + j*16 + o].
type outerSum struct {
	dst, x, y                     []float32
	blocks, planes, rows, depth   int
	voxels                        int
	dstBlock, dstPlane, dstRow    int
	yBlock, xPlane, xRow, xStride int
	list                          *tapList
}

// run panics when an operand is too short.
func (s *outerSum) run() {
	if s.list.count == 0 || s.voxels == 0 {
		return
	}
	_ = s.dst[(s.blocks-1)*s.dstBlock+(s.planes-1)*s.dstPlane+(s.rows-1)*s.dstRow+s.depth*Lanes-1]
	_ = s.x[s.list.mostA+(s.planes-1)*s.xPlane+(s.rows-1)*s.xRow+(s.voxels-1)*s.xStride+s.depth-1]
	_ = s.y[s.list.mostB+(s.blocks-1)*s.yBlock+s.voxels*Lanes-1]
	outerSumFast(s)
}

func outerSumGo(s *outerSum) {
	for k := range s.blocks {
		for p := range s.planes {
			for r := range s.rows {
				for j := range s.depth {
					s.element(k, p, r, j)
				}
			}
		}
	}
}

// element does the 16 lanes of one element.
func (s *outerSum) element(k, p, r, j int) {
	dst := s.dst[k*s.dstBlock+p*s.dstPlane+r*s.dstRow+j*Lanes:]
	sum := widenLanes(dst)
	for _, tap := range s.list.taps[:s.list.count] {
		x, y := s.x[tap.a+p*s.xPlane+r*s.xRow+j:], s.y[tap.b+k*s.yBlock:]
		for t := range s.voxels {
			addProduct(&sum, (*[Lanes]float32)(y[t*Lanes:]), float64(x[t*s.xStride]))
		}
	}
	narrowLanes(&sum, dst)
}
