package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// adam moves eight parameters at a time.
func adam() {
	TEXT("adamAVX2", 0, "func(rates, value, gradient, first, second *float32, eights int)")
	Doc("adamAVX2 is adamGo; rates are the fields of AdamRates, eights >= 1.")
	Pragma("noescape")
	value, gradient, first, second, eights := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI
	for i, r := range []reg.GPPhysical{value, gradient, first, second, eights} {
		Load(Param([]string{"value", "gradient", "first", "second", "eights"}[i]), r)
	}
	Load(Param("rates"), reg.RDI)
	rates := avx2.vector[:7]
	for i, rate := range rates {
		VBROADCASTSS(Mem{Base: reg.RDI, Disp: 4 * i}, rate)
	}
	decay, firstRate, secondRate, square, scale, epsilon, size := rates[0], rates[1], rates[2], rates[3], rates[4], rates[5], rates[6]
	g, v, m, s, t := reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12
	Label("loop")
	VMOVUPS(Mem{Base: value}, v)
	VMULPS(v, decay, g)
	VADDPS(Mem{Base: gradient}, g, g)
	VMOVUPS(Mem{Base: first}, m)
	VSUBPS(m, g, t)
	VMULPS(firstRate, t, t)
	VADDPS(t, m, m)
	VMOVUPS(m, Mem{Base: first})
	VMULPS(Mem{Base: second}, secondRate, s)
	VMULPS(g, g, t)
	VMULPS(square, t, t)
	VADDPS(t, s, s)
	VMOVUPS(s, Mem{Base: second})
	VSQRTPS(s, s)
	VDIVPS(scale, s, s)
	VADDPS(epsilon, s, s)
	VDIVPS(s, m, m)
	VMULPS(size, m, m)
	VSUBPS(m, v, v)
	VMOVUPS(v, Mem{Base: value})
	for _, r := range []reg.GPPhysical{value, gradient, first, second} {
		ADDQ(imm(32), r)
	}
	DECQ(eights)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
