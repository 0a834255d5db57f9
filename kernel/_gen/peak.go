package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peak is a loop of fused multiply-adds on registers alone. There are more sums
// than the FMA units can have under way (two units, latency 4 to 5), and every
// sum becomes 1.75 - sum, so that its bits never come to rest.
func peak(m machine) {
	TEXT("multiplyAdds"+m.name, 0, "func(rounds int)")
	Doc("multiplyAdds" + m.name + " does 12 fused multiply-adds on whole registers in each of rounds >= 1 rounds.")
	factor, addend, sums := m.vector[12], m.vector[13], m.vector[:12]
	rounds, bits := reg.RAX, reg.RBX
	Load(Param("rounds"), rounds)
	broadcast := func(float32Bits uint32, to reg.VecPhysical) {
		MOVL(U32(float32Bits), bits.As32())
		VMOVD(bits.As32(), to.AsX())
		VBROADCASTSS(to.AsX(), to)
	}
	broadcast(0xbf800000, factor) // -1
	broadcast(0x3fe00000, addend) // 1.75
	for _, sum := range sums {
		broadcast(0x3f19999a, sum) // 0.6
	}
	Label("round")
	for _, sum := range sums {
		VFMADD213PS(addend, factor, sum)
	}
	DECQ(rounds)
	JNZ(LabelRef("round"))
	VZEROUPPER()
	RET()
}
