package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of tileArguments.
const (
	tileDst, tileFrom, tileX, tileWeight, tileTaps, tileCount, tileDepth                     = 0, 8, 16, 24, 32, 40, 48
	tileXStride, tileDstStride, tileFromStride, tileDstBlock, tileFromBlock, tileWeightBlock = 56, 64, 72, 80, 88, 96
	tileRepeat, tileDstTile, tileFromTile, tileXTile                                         = 104, 112, 120, 128
)

const tileDoc = "tile%s computes tiles of blocks x voxels sums; see rowSumGo. blocks x voxels may be %s."

// tileShapes lists the tiles up to the given ones: with more than one block each
// broadcast element of a voxel serves several products.
func tileShapes(most ...shape) (shapes []shape) {
	for _, m := range most {
		for count := 1; count <= m.count; count++ {
			shapes = append(shapes, shape{m.blocks, count})
		}
	}
	return shapes
}

func tileAVX512() {
	tile(avx512, "1 x 1..28, 2 x 1..12, 4 x 1..6", tileShapes(shape{1, 28}, shape{2, 12}, shape{4, 6}))
}
func tileAVX2() { tile(avx2, "1 x 1..6", tileShapes(shape{1, 6})) }

func tile(m machine, doc string, shapes []shape) {
	TEXT("tile"+m.name, 0, "func(a *int, blocks, voxels int)")
	Doc(fmt.Sprintf(tileDoc, m.name, doc))
	Pragma("noescape")
	Load(Param("blocks"), reg.RAX)
	Load(Param("voxels"), reg.RBX)
	selectShape("tile", shapes, reg.RAX, reg.RBX)
	for _, s := range shapes {
		tileOf(m, s)
	}
}

// A rowAddress finds the voxels of a row: a base register for every eight, and
// odd multiples of the stride.
type rowAddress struct {
	bases     []reg.GPPhysical
	multiples map[int]reg.GPPhysical // 1, 3, 5, 7 strides
}

func newRowAddress(free *registers, voxels int) rowAddress {
	a := rowAddress{multiples: map[int]reg.GPPhysical{}}
	for first := 0; first < voxels; first += 8 {
		a.bases = append(a.bases, free.next())
	}
	for _, multiple := range []int{1, 3, 5, 7} {
		if multiple == 1 || voxels > multiple {
			a.multiples[multiple] = free.next()
		}
	}
	return a
}

// prepare computes the odd multiples from the stride.
func (a rowAddress) prepare() {
	one := a.multiples[1]
	if r, ok := a.multiples[3]; ok {
		LEAQ(Mem{Base: one, Index: one, Scale: 2}, r)
	}
	if r, ok := a.multiples[5]; ok {
		LEAQ(Mem{Base: one, Index: one, Scale: 4}, r)
	}
	if r, ok := a.multiples[7]; ok {
		LEAQ(Mem{Base: a.multiples[3], Index: one, Scale: 4}, r)
	}
}

// spread sets the further bases from the first.
func (a rowAddress) spread() {
	for i := range a.bases[1:] {
		LEAQ(Mem{Base: a.bases[i], Index: a.multiples[1], Scale: 8}, a.bases[i+1])
	}
}

// voxel returns the address of voxel t, shifted by a number of bytes.
func (a rowAddress) voxel(t, shift int) Mem {
	address := Mem{Base: a.bases[t/8], Disp: shift}
	rest, scale := t%8, uint8(1)
	for rest > 0 && rest%2 == 0 {
		rest, scale = rest/2, scale*2
	}
	if rest > 0 {
		address.Index, address.Scale = a.multiples[rest], scale
	}
	return address
}

// unroll is the number of products between two jumps.
const unroll = 4

func tileOf(m machine, s shape) {
	label := s.label("tile")
	Label(label)
	defer nextTile(label)
	free := registers(general())
	weight, counter, taps, count := free.next(), free.next(), free.next(), free.next()
	var weightBlock, weightTriple reg.GPPhysical
	if s.blocks > 1 {
		weightBlock = free.next()
	}
	if s.blocks > 2 {
		weightTriple = free.next()
	}
	row := newRowAddress(&free, s.count)
	sum := m.sums(s)
	right, spare := m.rights(s.blocks, m.spare(s))
	arguments := counter

	// transfer moves all sums; voxels lie side by side, or by apart.
	transfer := func(start, stride, block int, name string, move func(at Mem, v []reg.VecPhysical)) {
		Load(Param("a"), arguments)
		from, by := weight, taps
		MOVQ(Mem{Base: arguments, Disp: stride}, by)
		MOVQ(Mem{Base: arguments, Disp: start}, count)
		each := func(move func(b int)) {
			for b := range s.blocks {
				if b > 0 {
					ADDQ(Mem{Base: arguments, Disp: block}, count)
				}
				move(b)
			}
		}
		CMPQ(by, imm(64))
		JNE(LabelRef(label + name + "_apart"))
		each(func(b int) {
			for t := range s.count {
				move(Mem{Base: count, Disp: 64 * t}, sum(b, t))
			}
		})
		JMP(LabelRef(label + name + "_end"))
		Label(label + name + "_apart")
		if name == "_load" {
			TESTQ(by, by)
			JNE(LabelRef(label + name + "_strided"))
			each(func(b int) { // all voxels start with the same, a bias
				move(Mem{Base: count}, sum(b, 0))
				for t := 1; t < s.count; t++ {
					for half, v := range sum(b, 0) {
						VMOVAPS(v, sum(b, t)[half])
					}
				}
			})
			JMP(LabelRef(label + name + "_end"))
			Label(label + name + "_strided")
		}
		each(func(b int) {
			MOVQ(count, from)
			for t := range s.count {
				move(Mem{Base: from}, sum(b, t))
				if t < s.count-1 {
					ADDQ(by, from)
				}
			}
		})
		Label(label + name + "_end")
	}
	transfer(tileFrom, tileFromStride, tileFromBlock, "_load", m.load)

	Load(Param("a"), arguments)
	MOVQ(Mem{Base: arguments, Disp: tileTaps}, taps)
	MOVQ(Mem{Base: arguments, Disp: tileCount}, count)
	MOVQ(Mem{Base: arguments, Disp: tileXStride}, row.multiples[1])
	row.prepare()
	if s.blocks > 1 {
		MOVQ(Mem{Base: arguments, Disp: tileWeightBlock}, weightBlock)
	}
	if s.blocks > 2 {
		LEAQ(Mem{Base: weightBlock, Index: weightBlock, Scale: 2}, weightTriple)
	}

	Label(label + "_tap")
	Load(Param("a"), arguments)
	MOVQ(Mem{Base: taps}, row.bases[0])
	SHLQ(imm(2), row.bases[0])
	ADDQ(Mem{Base: arguments, Disp: tileX}, row.bases[0])
	MOVQ(Mem{Base: taps, Disp: 8}, weight)
	SHLQ(imm(2), weight)
	ADDQ(Mem{Base: arguments, Disp: tileWeight}, weight)
	row.spread()
	MOVQ(Mem{Base: arguments, Disp: tileDepth}, counter)

	products := func(j int) {
		for b := range s.blocks {
			at := Mem{Base: weight, Disp: 64 * j}
			switch b {
			case 1:
				at.Index, at.Scale = weightBlock, 1
			case 2:
				at.Index, at.Scale = weightBlock, 2
			case 3:
				at.Index, at.Scale = weightTriple, 1
			}
			m.load(at, right[b])
		}
		for t := range s.count {
			m.multiply(row.voxel(t, 4*j), right, func(block int) []reg.VecPhysical { return sum(block, t) }, spare[t%len(spare)])
		}
	}
	advance := func(n int) {
		for _, base := range row.bases {
			ADDQ(imm(uint8(4*n)), base)
		}
		ADDQ(U32(uint32(64*n)), weight)
	}
	if s.blocks == 1 { // the depth of a single channel and a kernel of three: too short for a loop
		CMPQ(counter, imm(3))
		JEQ(LabelRef(label + "_three"))
	}
	SUBQ(imm(unroll), counter)
	JLT(LabelRef(label + "_rest"))
	Label(label + "_loop")
	for j := range unroll {
		products(j)
	}
	advance(unroll)
	SUBQ(imm(unroll), counter)
	JGE(LabelRef(label + "_loop"))
	Label(label + "_rest")
	ADDQ(imm(unroll), counter)
	JEQ(LabelRef(label + "_next"))
	Label(label + "_single")
	products(0)
	advance(1)
	DECQ(counter)
	JNZ(LabelRef(label + "_single"))
	Label(label + "_next")
	ADDQ(imm(16), taps)
	DECQ(count)
	JNZ(LabelRef(label + "_tap"))

	transfer(tileDst, tileDstStride, tileDstBlock, "_store", func(at Mem, v []reg.VecPhysical) { m.store(v, at) })
	JMP(LabelRef(label + "_moved"))
	if s.blocks == 1 {
		Label(label + "_three")
		for j := range 3 {
			products(j)
		}
		JMP(LabelRef(label + "_next"))
	}
}

// nextTile goes on to the next tile of the row, if there is one.
func nextTile(label string) {
	Label(label + "_moved")
	arguments, step := reg.RAX, reg.RBX
	Load(Param("a"), arguments)
	DECQ(Mem{Base: arguments, Disp: tileRepeat})
	JE(LabelRef(label + "_done"))
	for _, move := range []struct{ pointer, by int }{{tileDst, tileDstTile}, {tileFrom, tileFromTile}, {tileX, tileXTile}} {
		MOVQ(Mem{Base: arguments, Disp: move.by}, step)
		ADDQ(step, Mem{Base: arguments, Disp: move.pointer})
	}
	JMP(LabelRef(label))
	Label(label + "_done")
	VZEROUPPER()
	RET()
}
