package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// addSquares512 adds rows of voxels and their squares to float64 sums.
func addSquares512() {
	TEXT("addSquaresAVX512", 0, "func(sums *float64, x *float32, voxels int)")
	Doc("addSquaresAVX512 is addSquaresGo; voxels >= 1.")
	Pragma("noescape")
	sums, x, voxels := reg.RAX, reg.RBX, reg.RDX
	Load(Param("sums"), sums)
	Load(Param("x"), x)
	Load(Param("voxels"), voxels)
	total := []reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2, reg.Z3}
	for i, sum := range total {
		VMOVUPD(Mem{Base: sums, Disp: 64 * i}, sum)
	}
	Label("voxel")
	for i, wide := range []reg.VecPhysical{reg.Z4, reg.Z5} {
		VCVTPS2PD(Mem{Base: x, Disp: 32 * i}, wide)
		VADDPD(wide, total[i], total[i])
		VFMADD231PD(wide, wide, total[2+i]) // the square is exact, so fused or not is the same
	}
	ADDQ(imm(64), x)
	DECQ(voxels)
	JNZ(LabelRef("voxel"))
	for i, sum := range total {
		VMOVUPD(sum, Mem{Base: sums, Disp: 64 * i})
	}
	VZEROUPPER()
	RET()
}

// poolRow512 takes the window's element that will be the largest.
func poolRow512(table Mem) {
	TEXT("poolRowAVX512", 0, "func(x *float32, rowStride, planeStride, depth int, signs, best *float32, choice *byte, voxels int)")
	Doc("poolRowAVX512 is poolRowGo; strides in bytes, voxels >= 1.")
	Pragma("noescape")
	row := []reg.GPPhysical{reg.RAX, reg.RBX, reg.RCX, reg.RDX}
	best, choice, voxels, signs := reg.RDI, reg.R8, reg.R9, reg.R10
	Load(Param("best"), best)
	Load(Param("choice"), choice)
	Load(Param("voxels"), voxels)
	Load(Param("signs"), signs)
	Load(Param("x"), row[0])
	Load(Param("rowStride"), reg.R11)
	LEAQ(Mem{Base: row[0], Index: reg.R11, Scale: 1}, row[1])
	Load(Param("planeStride"), reg.R12)
	LEAQ(Mem{Base: row[0], Index: reg.R12, Scale: 1}, row[2])
	LEAQ(Mem{Base: row[1], Index: reg.R12, Scale: 1}, row[3])
	flip, keep := reg.Z0, reg.K1
	VMOVUPS(Mem{Base: signs}, reg.Z1)
	VPXORD(reg.Z2, reg.Z2, reg.Z2)
	VCMPPS(imm(notEqual), reg.Z2, reg.Z1, keep)
	VPSRLD(imm(31), reg.Z1, flip)
	VPSLLD(imm(31), flip, flip)
	indices := []reg.VecPhysical{reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15}
	for i, index := range indices {
		VPBROADCASTD(table.Offset(4*i), index)
	}
	Load(Param("depth"), reg.R12)
	CMPQ(reg.R12, imm(1))
	JEQ(LabelRef("two"))
	body := func(label string, row []reg.GPPhysical) {
		most, value, chosen := reg.Z3, reg.Z4, reg.Z5
		element := []reg.VecPhysical{reg.Z6, reg.Z7}
		Label(label)
		for k := range 2 * len(row) {
			from := Mem{Base: row[k/2], Disp: 64 * (k % 2)}
			if k == 0 {
				VMOVUPS(from, element[0])
				VPXORD_Z(element[0], flip, keep, most)
				VMOVDQA32(indices[0], chosen)
				continue
			}
			VMOVUPS(from, element[1])
			VPXORD_Z(element[1], flip, keep, value)
			VCMPPS(imm(greater), most, value, reg.K2)
			VCMPPS(imm(unordered), element[1], element[1], reg.K3)
			KORW(reg.K2, reg.K3, reg.K2)
			VMOVAPS(value, reg.K2, most)
			VMOVAPS(element[1], reg.K2, element[0])
			VMOVDQA32(indices[k], reg.K2, chosen)
		}
		VMOVUPS(element[0], Mem{Base: best})
		VPMOVDB(chosen, Mem{Base: choice})
		for _, r := range row {
			SUBQ(I8(-128), r)
		}
		ADDQ(imm(64), best)
		ADDQ(imm(16), choice)
		DECQ(voxels)
		JNZ(LabelRef(label))
		VZEROUPPER()
		RET()
	}
	body("four", row)
	body("two", row[:2])
}

// unpoolRow512 is the backward pass of pooling, and of normalisation with it.
func unpoolRow512(name string, norm bool) {
	signature := "func(dy *float32, choice *byte, first int, dx *float32, voxels int)"
	if norm {
		signature = "func(dy *float32, choice *byte, first int, x, factor, centre, offset, by, dx *float32, voxels int)"
	}
	TEXT(name+"AVX512", 0, signature)
	Doc(name + "AVX512 is " + name + "Go; voxels >= 1.")
	Pragma("noescape")
	dy, choice, x, dx, voxels := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI
	Load(Param("dy"), dy)
	Load(Param("choice"), choice)
	Load(Param("dx"), dx)
	Load(Param("voxels"), voxels)
	Load(Param("first"), reg.RDI)
	indices := []reg.VecPhysical{reg.Z8, reg.Z9} // of the window's elements in this row
	for _, index := range indices {
		VPBROADCASTD(reg.EDI, index)
		INCQ(reg.RDI)
	}
	factor, centre, offset, by := reg.Z0, reg.Z1, reg.Z2, reg.Z3
	if norm {
		Load(Param("x"), x)
		for i, v := range []reg.VecPhysical{factor, centre, offset, by} {
			Load(Param([]string{"factor", "centre", "offset", "by"}[i]), reg.RDI)
			VMOVUPS(Mem{Base: reg.RDI}, v)
		}
	}
	Label("voxel")
	VPMOVZXBD(Mem{Base: choice}, reg.Z10)
	VMOVUPS(Mem{Base: dy}, reg.Z11)
	for i, index := range indices {
		gradient, term := []reg.VecPhysical{reg.Z12, reg.Z13}[i], []reg.VecPhysical{reg.Z14, reg.Z15}[i]
		VPCMPEQD(index, reg.Z10, reg.K1)
		VMOVAPS_Z(reg.Z11, reg.K1, gradient)
		if norm {
			VMOVUPS(Mem{Base: x, Disp: 64 * i}, term)
			VSUBPS(centre, term, term)
			VMULPS(by, term, term)
			VSUBPS(offset, gradient, gradient)
			VSUBPS(term, gradient, gradient)
			VMULPS(factor, gradient, gradient)
		}
		VMOVUPS(gradient, Mem{Base: dx, Disp: 64 * i})
	}
	if norm {
		SUBQ(I8(-128), x)
	}
	SUBQ(I8(-128), dx)
	ADDQ(imm(64), dy)
	ADDQ(imm(16), choice)
	DECQ(voxels)
	JNZ(LabelRef("voxel"))
	VZEROUPPER()
	RET()
}
