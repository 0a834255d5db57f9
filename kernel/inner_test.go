package kernel

import (
	"math"
	"slices"
	"testing"
)

// An innerCase describes one call of every inner loop.
type innerCase struct {
	seed                              uint32
	voxels, dstStride, xStride, depth int // strides in elements beyond the least
	taps, shift, special              int // shift: elements off alignment; special: every so many is NaN, Inf, -0 or tiny
}

var innerCases = []innerCase{
	{seed: 1, voxels: 1, depth: 1, taps: 1},
	{seed: 2, voxels: 2, depth: 3, taps: 2, shift: 1},
	{seed: 3, voxels: 5, depth: 16, taps: 3, shift: 3, xStride: 7, special: 5},
	{seed: 4, voxels: 6, depth: 17, taps: 9, dstStride: 16, special: 3},
	{seed: 5, voxels: 7, depth: 48, taps: 2, shift: 5},
	{seed: 6, voxels: 16, depth: 15, taps: 64, xStride: 1},
	{seed: 7, voxels: 17, depth: 33, taps: 1, special: 2, dstStride: 3},
	{seed: 8, voxels: 31, depth: 9, taps: 4, shift: 15},
	{seed: 9, voxels: 100, depth: 3, taps: 5, special: 40},
	{seed: 10, voxels: 4097, depth: 2, taps: 2},
}

func TestInnerLoopsAgreeBitForBit(t *testing.T) {
	if len(paths()) == 1 {
		t.Skip("this CPU has only the generic path")
	}
	for _, c := range innerCases {
		c.compare(t)
	}
}

func FuzzInnerLoopsAgreeBitForBit(f *testing.F) {
	for _, c := range innerCases {
		f.Add(c.seed, uint8(c.voxels), uint8(c.dstStride), uint8(c.xStride), uint8(c.depth), uint8(c.taps), uint8(c.shift), uint8(c.special))
	}
	f.Fuzz(func(t *testing.T, seed uint32, voxels, dstStride, xStride, depth, taps, shift, special uint8) {
		innerCase{seed: seed, voxels: int(voxels%70) + 1, dstStride: int(dstStride % 40), xStride: int(xStride % 40),
			depth: int(depth%70) + 1, taps: int(taps%64) + 1, shift: int(shift % 16), special: int(special)}.compare(t)
	})
}

// compare runs every inner loop with every implementation on the same numbers,
// and compares all that it may write, margins included.
func (c innerCase) compare(t *testing.T) {
	t.Helper()
	loops := map[string]func(c innerCase, t *testing.T) []float32{
		"rowSum": innerCase.rowSum, "outerSum": innerCase.outerSum, "addSquares": innerCase.addSquares,
		"addProducts": innerCase.addProducts, "maskRow": innerCase.maskRow, "poolRow 1": innerCase.poolRow1, "poolRow 2": innerCase.poolRow2,
		"normReLURow": innerCase.normReLURow, "normRow": innerCase.normRow, "normAddReLURow": innerCase.normAddReLURow,
		"adam": innerCase.adam, "transposeTiles": innerCase.transposeTiles, "normBackwardRow": innerCase.normBackwardRow, "addToRow": innerCase.addToRow, "unpoolRow": innerCase.unpoolRow, "normUnpoolRow": innerCase.normUnpoolRow,
		"transformInput": innerCase.transformInput, "transformGradient": innerCase.transformGradient, "transformOutput": innerCase.transformOutput,
		"transformWeights": innerCase.transformWeights, "restoreWeights": innerCase.restoreWeights,
	}
	for name, loop := range loops {
		c.compareLoop(t, name, loop)
	}
}

func (c innerCase) compareLoop(t *testing.T, name string, loop func(c innerCase, t *testing.T) []float32) {
	t.Helper()
	chosen := path
	defer func() { path = chosen }()
	path = generic
	want := loop(c, t)
	for _, path = range paths() {
		got := loop(c, t)
		if at := differentBits(got, want); at >= 0 {
			t.Errorf("%s %+v: %s gives %g at %d of %d, generic %g", name, c, path, got[at], at, len(got), want[at])
		}
	}
}

// operand returns count numbers that end where memory ends (guarded), some of
// them special.
func (c innerCase) operand(t *testing.T, count int, seed uint32) []float32 {
	values := guarded(t, count)
	copy(values, numbers(count, c.seed*16+seed))
	if c.special > 0 {
		specials := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
			math.SmallestNonzeroFloat32, math.MaxFloat32, -1e-39}
		for i := int(seed) % 7; i < count; i += c.special {
			values[i] = specials[(i/c.special+int(seed))%len(specials)]
		}
	}
	return values
}

// margin is the number of canaries on each side of what a loop writes.
const margin = 24

// target returns a buffer and its middle, off alignment by the case's shift.
func (c innerCase) target(t *testing.T, count int, seed uint32) (whole, middle []float32) {
	whole = c.operand(t, c.shift+margin+count+margin, seed)
	return whole, whole[c.shift+margin:][:count]
}

func (c innerCase) tapsOf(a, b int) *tapList {
	var list tapList
	for i := range c.taps {
		list.add(i*3%(a+1), (c.taps-1-i)*5%(b+1))
	}
	return &list
}

// blocks is 1 to 5.
func (c innerCase) blocks() int { return 1 + (c.voxels+c.depth)%5 }

func (c innerCase) rowSum(t *testing.T) []float32 {
	const spareX, spareWeight = 200, 300
	r := rowSum{voxels: c.voxels, depth: c.depth, blocks: c.blocks(), dstStride: Lanes + c.dstStride, xStride: c.xStride, list: c.tapsOf(spareX, spareWeight), samples: 1 + c.taps%3, rows: 1 + c.depth%3}
	r.dstBlock = (r.voxels-1)*r.dstStride + Lanes + c.shift
	r.weightBlock = r.depth*Lanes + c.shift
	r.dstRow, r.xRow = r.blocks*r.dstBlock+c.shift, 3
	r.dstStep, r.xStep = r.rows*r.dstRow, 5+c.shift
	whole, dst := c.target(t, r.samples*r.dstStep, 1)
	r.dst, r.from, r.fromBlock, r.fromStride, r.fromStep, r.fromRow = dst, dst, r.dstBlock, r.dstStride, r.dstStep, r.dstRow
	if c.taps%2 == 1 {
		r.from, r.fromBlock, r.fromStride, r.fromStep, r.fromRow = c.operand(t, r.blocks*Lanes, 4), Lanes, 0, 0, 0
	}
	r.x = c.operand(t, spareX+(r.samples-1)*r.xStep+(r.rows-1)*r.xRow+(r.voxels-1)*r.xStride+r.depth, 2)
	r.weight = c.operand(t, spareWeight+r.blocks*r.weightBlock, 3)
	r.run()
	return whole
}

func (c innerCase) outerSum(t *testing.T) []float32 {
	const spareX, spareY = 200, 300
	s := outerSum{voxels: c.voxels, depth: c.depth, blocks: c.blocks(), planes: 1 + c.taps%3, rows: 1 + c.seed2()%5, xStride: c.xStride, list: c.tapsOf(spareX, spareY)}
	s.xRow, s.xPlane = c.depth+c.shift, 5*(c.depth+c.shift)
	s.dstRow = s.depth * Lanes
	s.dstPlane = s.rows*s.dstRow + c.shift
	s.dstBlock = s.planes*s.dstPlane + c.shift
	s.yBlock = c.voxels*Lanes + c.shift
	whole, dst := c.target(t, s.blocks*s.dstBlock, 1)
	s.dst = dst
	s.x = c.operand(t, spareX+(s.voxels-1)*s.xStride+(s.planes-1)*s.xPlane+(s.rows-1)*s.xRow+s.depth, 2)
	s.y = c.operand(t, spareY+s.blocks*s.yBlock, 3)
	s.run()
	return whole
}

func (c innerCase) seed2() int { return int(c.seed % 1000) }

func (c innerCase) addProducts(t *testing.T) []float32 {
	var sums [2 * Lanes]float64
	sums[3], sums[20] = 0.1, -7
	addProductsFast(&sums, c.operand(t, c.voxels*Lanes, 1), c.operand(t, c.voxels*Lanes, 2))
	return halvesOf(sums)
}

// halvesOf returns both halves of every sum.
func halvesOf(sums [2 * Lanes]float64) []float32 {
	var halves []float32
	for _, v := range sums {
		if math.IsNaN(v) {
			v = math.NaN()
		}
		bits := math.Float64bits(v)
		halves = append(halves, math.Float32frombits(uint32(bits>>32)), float32(uint32(bits)))
	}
	return halves
}

func (c innerCase) maskRow(t *testing.T) []float32 {
	whole, dy := c.target(t, c.voxels*Lanes, 1)
	maskRowFast(c.operand(t, c.voxels*Lanes, 2), dy)
	return whole
}

func (c innerCase) addSquares(t *testing.T) []float32 {
	var sums [2 * Lanes]float64
	sums[3], sums[20] = 0.1, -7
	addSquaresFast(&sums, c.operand(t, c.voxels*Lanes, 1))
	return halvesOf(sums)
}

func (c innerCase) poolRow1(t *testing.T) []float32 { return c.poolRow(t, 1) }
func (c innerCase) poolRow2(t *testing.T) []float32 { return c.poolRow(t, 2) }

func (c innerCase) poolRow(t *testing.T, depth int) []float32 {
	row := 2*c.voxels*Lanes + c.xStride
	plane := 2*row + c.shift
	x := c.operand(t, (depth-1)*plane+row+2*c.voxels*Lanes, 1)
	wholeBest, best := c.target(t, c.voxels*Lanes, 3)
	wholeChoice := make([]byte, c.shift+2*margin+c.voxels*Lanes)
	signs := make([]float32, Lanes)
	for lane := range signs {
		signs[lane] = float32((lane+c.depth)%3 - 1)
	}
	poolRow(x, [2]int{row, plane}, depth, signs, best, wholeChoice[c.shift+margin:][:c.voxels*Lanes])
	all := slices.Clone(wholeBest)
	for _, v := range wholeChoice {
		all = append(all, float32(v))
	}
	return all
}

func (c innerCase) normReLURow(t *testing.T) []float32 {
	whole, y := c.target(t, c.voxels*Lanes, 1)
	normReLURow(c.operand(t, c.voxels*Lanes, 2), c.operand(t, Lanes, 3), c.operand(t, Lanes, 4), y)
	return whole
}

func (c innerCase) normRow(t *testing.T) []float32 {
	whole, y := c.target(t, c.voxels*Lanes, 1)
	normRowFast(c.operand(t, c.voxels*Lanes, 2), c.operand(t, Lanes, 3), c.operand(t, Lanes, 4), y)
	return whole
}

func (c innerCase) normAddReLURow(t *testing.T) []float32 {
	whole, y := c.target(t, c.voxels*Lanes, 1)
	normAddReLURowFast(c.operand(t, c.voxels*Lanes, 2), c.operand(t, Lanes, 3), c.operand(t, Lanes, 4), c.operand(t, c.voxels*Lanes, 5), y)
	return whole
}

func (c innerCase) normBackwardRow(t *testing.T) []float32 {
	whole, dx := c.target(t, c.voxels*Lanes, 1)
	g := NormGradient{factor: c.operand(t, Lanes, 3), centre: c.operand(t, Lanes, 4), offset: c.operand(t, Lanes, 5), by: c.operand(t, Lanes, 6)}
	lanes := g.lanes(0)
	normBackwardRowFast(c.operand(t, c.voxels*Lanes, 2), c.operand(t, c.voxels*Lanes, 7), &lanes, dx)
	return whole
}

func (c innerCase) adam(t *testing.T) []float32 {
	count := c.voxels*3 + c.shift
	wholeValue, value := c.target(t, count, 1)
	wholeFirst, first := c.target(t, count, 2)
	wholeSecond, second := c.target(t, count, 3)
	rates := AdamRates{Decay: 0.01, First: 0.1, Second: 0.999, Square: 0.001, Scale: 0.3, Epsilon: 1e-8, Size: 0.01}
	Adam(&rates, value, c.operand(t, count, 4), first, second)
	return slices.Concat(wholeValue, wholeFirst, wholeSecond)
}

func (c innerCase) transposeTiles(t *testing.T) []float32 {
	tiles := 1 + c.taps%7
	whole, to := c.target(t, tiles*Lanes*Lanes, 1)
	transposeTilesFast(c.operand(t, tiles*Lanes*Lanes, 2), to, tiles)
	return whole
}

func (c innerCase) addToRow(t *testing.T) []float32 {
	whole, y := c.target(t, c.voxels*Lanes, 1)
	addToRowFast(c.operand(t, c.voxels*Lanes, 2), y)
	return whole
}

func (c innerCase) choices() []byte {
	choice := make([]byte, c.voxels*Lanes)
	for i := range choice {
		choice[i] = byte((i*7 + i/5) % 8)
	}
	return choice
}

func (c innerCase) unpoolRow(t *testing.T) []float32 {
	whole, dx := c.target(t, 2*c.voxels*Lanes, 1)
	normUnpoolRow(c.operand(t, c.voxels*Lanes, 2), c.choices(), 2*(c.taps%4), nil, nil, dx)
	return whole
}

func (c innerCase) normUnpoolRow(t *testing.T) []float32 {
	whole, dx := c.target(t, 2*c.voxels*Lanes, 1)
	g := NormGradient{factor: c.operand(t, Lanes, 3), centre: c.operand(t, Lanes, 4), offset: c.operand(t, Lanes, 5), by: c.operand(t, Lanes, 6)}
	lanes := g.lanes(0)
	normUnpoolRow(c.operand(t, c.voxels*Lanes, 2), c.choices(), 2*(c.taps%4), c.operand(t, 2*c.voxels*Lanes, 7), &lanes, dx)
	return whole
}
