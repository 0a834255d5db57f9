package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transposeTiles transposes tiles of 16 x 16 in quarters of 8 x 8.
func transposeTiles() {
	TEXT("transposeTilesAVX2", 0, "func(from, to *float32, step, tiles int)")
	Doc("transposeTilesAVX2 transposes tiles of 16 x 16; those of to lie step bytes apart, tiles >= 1.")
	Pragma("noescape")
	from, to, step, tiles := reg.RAX, reg.RBX, reg.RCX, reg.RDX
	Load(Param("from"), from)
	Load(Param("to"), to)
	Load(Param("step"), step)
	Load(Param("tiles"), tiles)
	Label("tile")
	for row := range 2 {
		for column := range 2 {
			transposeQuarter(Mem{Base: from, Disp: 512*row + 32*column}, Mem{Base: to, Disp: 512*column + 32*row})
		}
	}
	ADDQ(U32(1024), from)
	ADDQ(step, to)
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// transposeQuarter transposes 8 x 8 elements of rows that lie 64 bytes apart.
func transposeQuarter(from, to Mem) {
	a, b := avx2.vector[:8], avx2.vector[8:16]
	for i := range 8 {
		VMOVUPS(from.Offset(64*i), a[i])
	}
	for i := 0; i < 8; i += 2 { // pairs of rows: elements 0 1 4 5, 2 3 6 7
		VUNPCKLPS(a[i+1], a[i], b[i])
		VUNPCKHPS(a[i+1], a[i], b[i+1])
	}
	for i := 0; i < 8; i += 4 { // quadruples of rows: columns 0 and 4, 1 and 5, 2 and 6, 3 and 7
		VSHUFPS(imm(0x44), b[i+2], b[i], a[i])
		VSHUFPS(imm(0xee), b[i+2], b[i], a[i+1])
		VSHUFPS(imm(0x44), b[i+3], b[i+1], a[i+2])
		VSHUFPS(imm(0xee), b[i+3], b[i+1], a[i+3])
	}
	for i := range 4 {
		VPERM2F128(imm(0x20), a[i+4], a[i], b[i])
		VPERM2F128(imm(0x31), a[i+4], a[i], b[i+4])
	}
	for i := range 8 {
		VMOVUPS(b[i], to.Offset(64*i))
	}
}
