package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// pair returns the registers of the two halves of a channel block, from the
// given one on.
func pair(first int) []reg.VecPhysical { return avx2.vector[first : first+2] }

// normRow normalises, adds the other operand and rectifies, as far as asked.
func normRow(name string, add, relu bool) {
	signature := "func(x, scale, shift, y *float32, voxels int)"
	if add {
		signature = "func(x, scale, shift, other, y *float32, voxels int)"
	}
	TEXT(name+"AVX2", 0, signature)
	Doc(name + "AVX2 is " + name + "Go; voxels >= 1.")
	Pragma("noescape")
	x, y, voxels, other := reg.RAX, reg.RBX, reg.RCX, reg.RDI
	Load(Param("x"), x)
	Load(Param("y"), y)
	Load(Param("voxels"), voxels)
	Load(Param("scale"), reg.RDX)
	Load(Param("shift"), reg.RSI)
	if add {
		Load(Param("other"), other)
	}
	scale, shift, zero := pair(0), pair(2), reg.Y4
	avx2.load(Mem{Base: reg.RDX}, scale)
	avx2.load(Mem{Base: reg.RSI}, shift)
	VXORPS(zero, zero, zero)
	Label("voxel")
	for half := range 2 {
		v, mask := pair(5)[half], pair(7)[half]
		VMULPS(Mem{Base: x, Disp: 32 * half}, scale[half], v)
		VADDPS(shift[half], v, v)
		if add {
			VADDPS(Mem{Base: other, Disp: 32 * half}, v, v)
		}
		if relu {
			VCMPPS(imm(lessOrEqual), zero, v, mask)
			VANDNPS(v, mask, v)
		}
		VMOVUPS(v, Mem{Base: y, Disp: 32 * half})
	}
	ADDQ(imm(64), x)
	ADDQ(imm(64), y)
	if add {
		ADDQ(imm(64), other)
	}
	DECQ(voxels)
	JNZ(LabelRef("voxel"))
	VZEROUPPER()
	RET()
}

// normBackwardRow is the pass back through the normalisation.
func normBackwardRow() {
	TEXT("normBackwardRowAVX2", 0, "func(x, dy, factor, centre, offset, by, dx *float32, voxels int)")
	Doc("normBackwardRowAVX2 is normBackwardRowGo; voxels >= 1.")
	Pragma("noescape")
	x, dy, dx, voxels := reg.RAX, reg.RBX, reg.RCX, reg.RDX
	Load(Param("x"), x)
	Load(Param("dy"), dy)
	Load(Param("dx"), dx)
	Load(Param("voxels"), voxels)
	factor, centre, offset, by := pair(0), pair(2), pair(4), pair(6)
	for i, v := range [][]reg.VecPhysical{factor, centre, offset, by} {
		Load(Param([]string{"factor", "centre", "offset", "by"}[i]), reg.RDI)
		avx2.load(Mem{Base: reg.RDI}, v)
	}
	Label("voxel")
	for half := range 2 {
		term, gradient := pair(8)[half], pair(10)[half]
		VMOVUPS(Mem{Base: x, Disp: 32 * half}, term)
		VSUBPS(centre[half], term, term)
		VMULPS(by[half], term, term)
		VMOVUPS(Mem{Base: dy, Disp: 32 * half}, gradient)
		VSUBPS(offset[half], gradient, gradient)
		VSUBPS(term, gradient, gradient)
		VMULPS(factor[half], gradient, gradient)
		VMOVUPS(gradient, Mem{Base: dx, Disp: 32 * half})
	}
	ADDQ(imm(64), x)
	ADDQ(imm(64), dy)
	ADDQ(imm(64), dx)
	DECQ(voxels)
	JNZ(LabelRef("voxel"))
	VZEROUPPER()
	RET()
}

// addToRow adds a row to another.
func addToRow() {
	TEXT("addToRowAVX2", 0, "func(x, y *float32, voxels int)")
	Doc("addToRowAVX2 is addToRowGo; voxels >= 1.")
	Pragma("noescape")
	x, y, voxels := reg.RAX, reg.RBX, reg.RCX
	Load(Param("x"), x)
	Load(Param("y"), y)
	Load(Param("voxels"), voxels)
	Label("voxel")
	for half := range 2 {
		v := pair(0)[half]
		VMOVUPS(Mem{Base: y, Disp: 32 * half}, v)
		VADDPS(Mem{Base: x, Disp: 32 * half}, v, v)
		VMOVUPS(v, Mem{Base: y, Disp: 32 * half})
	}
	ADDQ(imm(64), x)
	ADDQ(imm(64), y)
	DECQ(voxels)
	JNZ(LabelRef("voxel"))
	VZEROUPPER()
	RET()
}
