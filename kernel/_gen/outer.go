package main

import (
	"fmt"
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of outerArguments.
const (
	outerDst, outerX, outerY, outerTaps, outerCount, outerVoxels               = 0, 8, 16, 24, 32, 40
	outerXStride, outerRowStride, outerPlaneStride, outerDstRow, outerDstPlane = 48, 56, 64, 72, 80
	outerDstBlock, outerYBlock                                                 = 88, 96
)

// A patch is the part of a kernel whose gradient is kept in registers: for
// each of some channel blocks, the elements of some rows of some planes.
type patch struct{ blocks, planes, rows, depth int }

func (p patch) elements() int { return p.planes * p.rows * p.depth }

// key is what selects the code of a patch; the Go side computes the same.
func (p patch) key() int { return ((p.blocks*4+p.planes)*8+p.rows)*32 + p.depth }

func (p patch) label() string {
	return fmt.Sprintf("patch_%d_%d_%d_%d", p.blocks, p.planes, p.rows, p.depth)
}

// patches lists what fits that many sums: one row of any depth; several rows,
// and planes, where a row is short, as in a network's first layer; and one row
// for two blocks.
func patches(most, mostOfTwo int) (list []patch) {
	for depth := 1; depth <= most; depth++ {
		for planes := 1; planes <= 3; planes++ {
			for rows := 1; rows <= 5; rows++ {
				p := patch{1, planes, rows, depth}
				short := depth <= 9 && planes == 1 || depth == 3 && rows <= 3
				if p.elements() <= most && (planes*rows == 1 || short) {
					list = append(list, p)
				}
			}
		}
	}
	for depth := 1; depth <= mostOfTwo; depth++ {
		list = append(list, patch{2, 1, 1, depth})
	}
	slices.SortFunc(list, func(a, b patch) int { return a.key() - b.key() })
	return list
}

func outerAVX512() { outer(avx512, patches(28, 12)) }
func outerAVX2()   { outer(avx2, patches(6, 0)) }

func outer(m machine, list []patch) {
	TEXT("outer"+m.name, 0, "func(a *int, patch int)")
	Doc("outer" + m.name + " computes one patch of a weight gradient; see outerGo and patchKey.")
	Pragma("noescape")
	Load(Param("patch"), reg.RAX)
	selectPatch(list, reg.RAX)
	for _, p := range list {
		outerOf(m, p)
	}
}

func selectPatch(list []patch, key reg.Register) {
	if len(list) == 1 {
		JMP(LabelRef(list[0].label()))
		return
	}
	middle := list[len(list)/2]
	CMPQ(key, U32(uint32(middle.key())))
	JGE(LabelRef("from_" + middle.label()))
	selectPatch(list[:len(list)/2], key)
	Label("from_" + middle.label())
	selectPatch(list[len(list)/2:], key)
}

// outerOf generates the code of one patch.
func outerOf(m machine, p patch) {
	Label(p.label())
	free := registers(general())
	y, counter, taps, count, xStride := free.next(), free.next(), free.next(), free.next(), free.next()
	bases := []reg.GPPhysical{}
	for range p.planes {
		bases = append(bases, free.next())
	}
	var row, triple, yBlock reg.GPPhysical
	if p.rows > 1 {
		row = free.next()
	}
	if p.rows > 3 {
		triple = free.next()
	}
	if p.blocks > 1 {
		yBlock = free.next()
	}
	s := shape{p.blocks, p.elements()}
	sum := m.sums(s)
	right, spare := m.rights(p.blocks, m.spare(s))
	arguments := counter

	transfer := func(move func(at Mem, v []reg.VecPhysical)) {
		Load(Param("a"), arguments)
		MOVQ(Mem{Base: arguments, Disp: outerDst}, y)
		for b := range p.blocks {
			for plane := range p.planes {
				MOVQ(y, taps)
				for r := range p.rows {
					for j := range p.depth {
						move(Mem{Base: taps, Disp: 64 * j}, sum(b, (plane*p.rows+r)*p.depth+j))
					}
					if r < p.rows-1 {
						ADDQ(Mem{Base: arguments, Disp: outerDstRow}, taps)
					}
				}
				if plane < p.planes-1 {
					ADDQ(Mem{Base: arguments, Disp: outerDstPlane}, y)
				}
			}
			if b < p.blocks-1 {
				ADDQ(Mem{Base: arguments, Disp: outerDstBlock}, y)
			}
		}
	}
	transfer(m.load)

	Load(Param("a"), arguments)
	MOVQ(Mem{Base: arguments, Disp: outerTaps}, taps)
	MOVQ(Mem{Base: arguments, Disp: outerCount}, count)
	MOVQ(Mem{Base: arguments, Disp: outerXStride}, xStride)
	if p.rows > 1 {
		MOVQ(Mem{Base: arguments, Disp: outerRowStride}, row)
	}
	if p.rows > 3 {
		LEAQ(Mem{Base: row, Index: row, Scale: 2}, triple)
	}
	if p.blocks > 1 {
		MOVQ(Mem{Base: arguments, Disp: outerYBlock}, yBlock)
	}

	Label(p.label() + "_tap")
	Load(Param("a"), arguments)
	MOVQ(Mem{Base: taps}, bases[0])
	SHLQ(imm(2), bases[0])
	ADDQ(Mem{Base: arguments, Disp: outerX}, bases[0])
	for i := range bases[1:] {
		MOVQ(bases[i], bases[i+1])
		ADDQ(Mem{Base: arguments, Disp: outerPlaneStride}, bases[i+1])
	}
	MOVQ(Mem{Base: taps, Disp: 8}, y)
	SHLQ(imm(2), y)
	ADDQ(Mem{Base: arguments, Disp: outerY}, y)
	MOVQ(Mem{Base: arguments, Disp: outerVoxels}, counter)

	Label(p.label() + "_voxel")
	m.load(Mem{Base: y}, right[0])
	if p.blocks > 1 {
		m.load(Mem{Base: y, Index: yBlock, Scale: 1}, right[1])
	}
	i := 0
	for plane := range p.planes {
		for r := range p.rows {
			for j := range p.depth {
				at := Mem{Base: bases[plane], Disp: 4 * j}
				switch r {
				case 1:
					at.Index, at.Scale = row, 1
				case 2:
					at.Index, at.Scale = row, 2
				case 3:
					at.Index, at.Scale = triple, 1
				case 4:
					at.Index, at.Scale = row, 4
				}
				m.multiply(at, right, func(block int) []reg.VecPhysical { return sum(block, i) }, spare[i%len(spare)])
				i++
			}
		}
	}
	for _, base := range bases {
		ADDQ(xStride, base)
	}
	ADDQ(imm(64), y)
	DECQ(counter)
	JNZ(LabelRef(p.label() + "_voxel"))
	ADDQ(imm(16), taps)
	DECQ(count)
	JNZ(LabelRef(p.label() + "_tap"))

	transfer(func(at Mem, v []reg.VecPhysical) { m.store(v, at) })
	VZEROUPPER()
	RET()
}
