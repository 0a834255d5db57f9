package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A transform combines vectors of one operand into those of another: the
// transforms of minimal filtering.
type transform struct {
	name, doc, signature string
	from, to             operand
	bias                 bool // adds a channel block
	rows                 bool // the count is of kernel rows of 16 vectors, three of which lie behind one another
	combine              func(d, out, spare []reg.VecPhysical)
}

// An operand of a transform is vectors that lie some bytes apart, or a stride
// given at run time where apart is 0, and a step from one tile to the next.
type operand struct {
	name               string
	count, apart, step int
}

var transforms = []transform{
	{
		name: "transformInput", signature: "func(x, out *float32, stride, tiles int)",
		from: operand{"x", 4, 64, 128}, to: operand{"out", 4, 0, 64},
		combine: func(d, out, _ []reg.VecPhysical) {
			VSUBPS(d[2], d[0], out[0])
			VADDPS(d[2], d[1], out[1])
			VSUBPS(d[1], d[2], out[2])
			VSUBPS(d[3], d[1], out[3])
		},
	},
	{
		name: "transformGradient", signature: "func(dy, out *float32, stride, tiles int)",
		from: operand{"dy", 2, 64, 128}, to: operand{"out", 4, 0, 64},
		combine: func(e, out, _ []reg.VecPhysical) {
			VMOVAPS(e[0], out[0])
			VADDPS(e[1], e[0], out[1])
			VSUBPS(e[1], e[0], out[2])
			VMOVAPS(e[1], out[3])
		},
	},
	{
		name: "transformOutput", signature: "func(m *float32, stride int, bias, y *float32, tiles int)", bias: true,
		from: operand{"m", 4, 0, 64}, to: operand{"y", 2, 64, 128},
		combine: func(m, out, _ []reg.VecPhysical) {
			VADDPS(m[1], m[0], out[0])
			VADDPS(m[2], out[0], out[0])
			VSUBPS(m[2], m[1], out[1])
			VSUBPS(m[3], out[1], out[1])
		},
	},
	{
		name: "transformWeights", signature: "func(row, u *float32, stride, rows int)", rows: true,
		from: operand{"row", 3, 1024, 64}, to: operand{"u", 4, 0, 64},
		combine: func(g, out, half []reg.VecPhysical) {
			VADDPS(g[2], g[0], out[0])
			VADDPS(g[1], out[0], out[1])
			VMULPS(half[0], out[1], out[1])
			VSUBPS(g[1], out[0], out[2])
			VMULPS(half[0], out[2], out[2])
			VMOVAPS(g[0], out[0])
			VMOVAPS(g[2], out[3])
		},
	},
	{
		name: "restoreWeights", signature: "func(m *float32, stride int, dg *float32, rows int)", rows: true,
		from: operand{"m", 4, 0, 64}, to: operand{"dg", 3, 1024, 64},
		combine: func(m, out, half []reg.VecPhysical) {
			VADDPS(m[2], m[1], out[2])
			VMULPS(half[0], out[2], out[2])
			VADDPS(out[2], m[0], out[0])
			VSUBPS(m[2], m[1], out[1])
			VMULPS(half[0], out[1], out[1])
			VSUBPS(m[3], out[2], out[2])
		},
	},
}

// write writes a transform for a machine. A count of kernel rows is turned into one
// of vectors.
func (t transform) write(m machine) {
	name := t.name + m.name
	count := "tiles"
	if t.rows {
		count = "rows"
	}
	TEXT(name, 0, t.signature)
	Doc(fmt.Sprintf("%s is %sGo, stride in bytes; %s >= 1.", name, t.name, count))
	Pragma("noescape")
	free := registers(general())
	from, to, stride, triple, number := free.next(), free.next(), free.next(), free.next(), free.next()
	Load(Param(t.from.name), from)
	Load(Param(t.to.name), to)
	Load(Param("stride"), stride)
	Load(Param(count), number)
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, triple)
	d, out, spare := m.vector[:4], m.vector[4:8], m.vector[8:]
	bias := spare[:m.halves()]
	inner := reg.GPPhysical(nil)
	if t.bias {
		address := free.next()
		Load(Param("bias"), address)
		m.load(Mem{Base: address}, bias)
	}
	if t.rows {
		inner = free.next()
		MOVL(U32(0x3f000000), inner.As32()) // one half
		MOVQ(inner, reg.X8)
		VBROADCASTSS(reg.X8, spare[0])
	}
	at := func(o operand, base reg.GPPhysical, i int) Mem {
		switch {
		case o.apart > 0:
			return Mem{Base: base, Disp: o.apart * i}
		case i == 3:
			return Mem{Base: base, Index: triple, Scale: 1}
		case i == 0:
			return Mem{Base: base}
		}
		return Mem{Base: base, Index: stride, Scale: uint8(i)}
	}
	if t.rows {
		Label("row")
		MOVL(U32(16), inner.As32())
	}
	Label("vector")
	for half := range m.halves() {
		for i := range t.from.count {
			VMOVUPS(at(t.from, from, i).Offset(4*m.width*half), d[i])
		}
		t.combine(d, out, spare)
		for i := range t.to.count {
			if t.bias {
				VADDPS(bias[half], out[i], out[i])
			}
			VMOVUPS(out[i], at(t.to, to, i).Offset(4*m.width*half))
		}
	}
	ADDQ(U32(uint32(t.from.step)), from)
	ADDQ(U32(uint32(t.to.step)), to)
	if t.rows {
		DECQ(inner)
		JNZ(LabelRef("vector"))
		if t.from.apart > 0 { // the other two vectors of the row are behind
			ADDQ(U32(2048), from)
		} else {
			ADDQ(U32(2048), to)
		}
	}
	DECQ(number)
	if t.rows {
		JNZ(LabelRef("row"))
	} else {
		JNZ(LabelRef("vector"))
	}
	VZEROUPPER()
	RET()
}
