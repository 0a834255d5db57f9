package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Comparison predicates of VCMPPS.
const (
	lessOrEqual = 0x12 // ordered, quiet
	greater     = 0x1e // ordered, quiet
	unordered   = 0x03
	notEqual    = 0x04 // or unordered
)

// addProducts adds rows of voxels to float64 sums.
func addProducts() {
	TEXT("addProductsAVX2", 0, "func(sums *float64, x, y *float32, voxels int)")
	Doc("addProductsAVX2 adds the voxels of y to the first 16 sums and those of x*y to the last 16; voxels >= 1.")
	Pragma("noescape")
	sums, x, y, voxels := reg.RAX, reg.RBX, reg.RCX, reg.RDX
	Load(Param("sums"), sums)
	Load(Param("x"), x)
	Load(Param("y"), y)
	Load(Param("voxels"), voxels)
	total := []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7}
	for i, sum := range total {
		VMOVUPD(Mem{Base: sums, Disp: 32 * i}, sum)
	}
	Label("voxel")
	for i := range 4 {
		VCVTPS2PD(Mem{Base: y, Disp: 16 * i}, reg.Y8)
		VCVTPS2PD(Mem{Base: x, Disp: 16 * i}, reg.Y9)
		VADDPD(reg.Y8, total[i], total[i])
		VMULPD(reg.Y8, reg.Y9, reg.Y9)
		VADDPD(reg.Y9, total[4+i], total[4+i])
	}
	ADDQ(imm(64), x)
	ADDQ(imm(64), y)
	DECQ(voxels)
	JNZ(LabelRef("voxel"))
	for i, sum := range total {
		VMOVUPD(sum, Mem{Base: sums, Disp: 32 * i})
	}
	VZEROUPPER()
	RET()
}

// addSquares adds rows of voxels and their squares to float64 sums.
func addSquares() {
	TEXT("addSquaresAVX2", 0, "func(sums *float64, x *float32, voxels int)")
	Doc("addSquaresAVX2 is addSquaresGo; voxels >= 1.")
	Pragma("noescape")
	sums, x, voxels := reg.RAX, reg.RBX, reg.RDX
	Load(Param("sums"), sums)
	Load(Param("x"), x)
	Load(Param("voxels"), voxels)
	total := []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7}
	for i, sum := range total {
		VMOVUPD(Mem{Base: sums, Disp: 32 * i}, sum)
	}
	Label("voxel")
	for i, wide := range []reg.VecPhysical{reg.Y8, reg.Y9, reg.Y10, reg.Y11} {
		VCVTPS2PD(Mem{Base: x, Disp: 16 * i}, wide)
		VADDPD(wide, total[i], total[i])
		VFMADD231PD(wide, wide, total[4+i]) // the square is exact, so fused or not is the same
	}
	ADDQ(imm(64), x)
	DECQ(voxels)
	JNZ(LabelRef("voxel"))
	for i, sum := range total {
		VMOVUPD(sum, Mem{Base: sums, Disp: 32 * i})
	}
	VZEROUPPER()
	RET()
}

// maskRow is the backward pass of ReLU.
func maskRow() {
	TEXT("maskRowAVX2", 0, "func(y, dy *float32, voxels int)")
	Doc("maskRowAVX2 sets dy to zero where y <= 0; voxels >= 1.")
	Pragma("noescape")
	y, dy, voxels := reg.RAX, reg.RBX, reg.RCX
	Load(Param("y"), y)
	Load(Param("dy"), dy)
	Load(Param("voxels"), voxels)
	VXORPS(reg.Y0, reg.Y0, reg.Y0)
	Label("voxel")
	for i := range 2 {
		VMOVUPS(Mem{Base: y, Disp: 32 * i}, reg.Y1)
		VCMPPS(imm(lessOrEqual), reg.Y0, reg.Y1, reg.Y1)
		VANDNPS(Mem{Base: dy, Disp: 32 * i}, reg.Y1, reg.Y1)
		VMOVUPS(reg.Y1, Mem{Base: dy, Disp: 32 * i})
	}
	ADDQ(imm(64), y)
	ADDQ(imm(64), dy)
	DECQ(voxels)
	JNZ(LabelRef("voxel"))
	VZEROUPPER()
	RET()
}

// indices returns a table of the numbers 0 to 7 as int32.
func indices() Mem {
	table := GLOBL("windowIndices", RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(uint32(i)))
	}
	return table
}

// poolRow takes the window's element that will be the largest.
func poolRow(table Mem) {
	TEXT("poolRowAVX2", 0, "func(x *float32, rowStride, planeStride, depth int, signs, best *float32, choice *byte, voxels int)")
	Doc("poolRowAVX2 is poolRowGo; strides in bytes, voxels >= 1.")
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
	keep, flip := []reg.VecPhysical{reg.Y0, reg.Y1}, []reg.VecPhysical{reg.Y2, reg.Y3}
	VXORPS(reg.Y15, reg.Y15, reg.Y15)
	VPCMPEQD(reg.Y14, reg.Y14, reg.Y14)
	VPSLLD(imm(31), reg.Y14, reg.Y14)
	for half := range 2 {
		VMOVUPS(Mem{Base: signs, Disp: 32 * half}, reg.Y13)
		VCMPPS(imm(notEqual), reg.Y15, reg.Y13, keep[half])
		VANDPS(reg.Y14, reg.Y13, flip[half])
	}
	Load(Param("depth"), reg.R12)
	CMPQ(reg.R12, imm(1))
	JEQ(LabelRef("two"))
	body := func(label string, row []reg.GPPhysical) {
		Label(label)
		index := []reg.VecPhysical{reg.Y4, reg.Y5}
		for half := range 2 {
			poolHalf(table, row, half, keep[half], flip[half], index[half])
			VMOVUPS(reg.Y7, Mem{Base: best, Disp: 32 * half})
		}
		// 2 x 8 indices of 32 bits to 16 bytes in order.
		VPACKSSDW(index[1], index[0], reg.Y4)
		VPERMQ(imm(0xd8), reg.Y4, reg.Y4)
		VEXTRACTI128(imm(1), reg.Y4, reg.X5)
		VPACKUSWB(reg.X5, reg.X4, reg.X4)
		VMOVDQU(reg.X4, Mem{Base: choice})
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

// poolHalf leaves the chosen element of x of 8 lanes in Y7 and its index in the
// window in index.
func poolHalf(table Mem, row []reg.GPPhysical, half int, keep, flip, index reg.VecPhysical) {
	most, best, element, value, newer, nan := reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11
	for k := range 2 * len(row) {
		from := Mem{Base: row[k/2], Disp: 64*(k%2) + 32*half}
		if k == 0 {
			VMOVUPS(from, best)
			VANDPS(best, keep, most)
			VXORPS(most, flip, most)
			VXORPS(index, index, index)
			continue
		}
		VMOVUPS(from, element)
		VANDPS(element, keep, value)
		VXORPS(value, flip, value)
		VCMPPS(imm(greater), most, value, newer)
		VCMPPS(imm(unordered), element, element, nan)
		VORPS(nan, newer, newer)
		VBLENDVPS(newer, value, most, most)
		VBLENDVPS(newer, element, best, best)
		VBROADCASTSS(table.Offset(4*k), nan)
		VBLENDVPS(newer, nan, index, index)
	}
}

// unpoolRow is the backward pass of pooling, and of normalisation with it.
func unpoolRow(name, doc string, norm bool) {
	signature := "func(dy *float32, choice *byte, first int, dx *float32, voxels int)"
	if norm {
		signature = "func(dy *float32, choice *byte, first int, x, factor, centre, offset, by, dx *float32, voxels int)"
	}
	TEXT(name, 0, signature)
	Doc(doc)
	Pragma("noescape")
	dy, choice, x, dx, voxels := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI
	Load(Param("dy"), dy)
	Load(Param("choice"), choice)
	Load(Param("dx"), dx)
	Load(Param("voxels"), voxels)
	Load(Param("first"), reg.RDI)
	indices := []reg.VecPhysical{reg.Y8, reg.Y9} // of the window's elements in this row
	for i, v := range []reg.VecPhysical{reg.X8, reg.X9} {
		MOVQ(reg.RDI, v)
		VPBROADCASTD(v, indices[i])
		INCQ(reg.RDI)
	}
	coefficients := []string{"factor", "centre", "offset", "by"}
	held := [][]reg.VecPhysical{{reg.Y0, reg.Y1}, {reg.Y2, reg.Y3}, {reg.Y4, reg.Y5}, {reg.Y6, reg.Y7}}
	if norm {
		Load(Param("x"), x)
		for i, coefficient := range coefficients {
			Load(Param(coefficient), reg.RDI)
			VMOVUPS(Mem{Base: reg.RDI}, held[i][0])
			VMOVUPS(Mem{Base: reg.RDI, Disp: 32}, held[i][1])
		}
	}
	Label("voxel")
	for half := range 2 {
		VPMOVZXBD(Mem{Base: choice, Disp: 8 * half}, reg.Y10)
		VMOVUPS(Mem{Base: dy, Disp: 32 * half}, reg.Y11)
		for i, index := range indices {
			at := Mem{Disp: 64*i + 32*half}
			VPCMPEQD(index, reg.Y10, reg.Y12)
			VANDPS(reg.Y11, reg.Y12, reg.Y12)
			if norm {
				at.Base = x
				VMOVUPS(at, reg.Y13)
				VSUBPS(held[1][half], reg.Y13, reg.Y13)
				VMULPS(held[3][half], reg.Y13, reg.Y13)
				VSUBPS(held[2][half], reg.Y12, reg.Y12)
				VSUBPS(reg.Y13, reg.Y12, reg.Y12)
				VMULPS(held[0][half], reg.Y12, reg.Y12)
			}
			at.Base = dx
			VMOVUPS(reg.Y12, at)
		}
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
