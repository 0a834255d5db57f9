package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func imm(v uint8) Constant { return U8(v) }

// Registers of the convolution kernels.
var (
	bases   = []reg.GPPhysical{reg.RAX, reg.RBX, reg.RCX, reg.RDX} // of voxels 0, 4, 8, 12
	right   = reg.RSI                                              // second operand
	counter = reg.RDI
	taps    = reg.R8
	count   = reg.R9
	inner   = reg.R10 // iterations of the inner loop
	stride  = reg.R11 // of x, in bytes
	triple  = reg.R12 // three strides
	left    = reg.R13 // x
)

const (
	tileDoc = "%s adds to each voxel t < voxels and lane o the sum over taps, j < depth of x[a + t*xStride + j] * weight[b + j*16 + o]; 1 <= voxels <= %d."
	tileSig = "func(dst, x, weight *float32, taps *int, count, voxels, dstStride, xStride, depth int)"
	outDoc  = "%s adds to each element j < depth and lane o the sum over taps, t < voxels of x[a + t*xStride + j] * y[b + t*16 + o]; 1 <= depth <= %d."
	outSig  = "func(dst, x, y *float32, taps *int, count, voxels, xStride, depth int)"
)

// begin starts a function whose code depends on the value, from 1 to most, of
// one argument.
func begin(name, signature, doc, selector string, most int) {
	TEXT(name, 0, signature)
	Doc(fmt.Sprintf(doc, name, most))
	Pragma("noescape")
	Load(Param("taps"), taps)
	Load(Param("count"), count)
	Load(Param("x"), left)
	Load(Param("xStride"), stride)
	bytes(stride)
	Load(Param(selector), counter)
	for n := 1; n < most; n++ {
		CMPQ(counter, imm(uint8(n)))
		JEQ(LabelRef(fmt.Sprintf("size%d", n)))
	}
}

// nextTap points the operands at the tap and leaves the offset of x in bases[0].
func nextTap(rightName string) {
	MOVQ(Mem{Base: taps}, bases[0])
	LEAQ(Mem{Base: left, Index: bases[0], Scale: 4}, bases[0])
	MOVQ(Mem{Base: taps, Disp: 8}, counter)
	Load(Param(rightName), right)
	LEAQ(Mem{Base: right, Index: counter, Scale: 4}, right)
	MOVQ(inner, counter)
}

// endTap closes the loop over taps.
func endTap(label string) {
	ADDQ(imm(16), taps)
	DECQ(count)
	JNZ(LabelRef(label))
}

// voxel returns the address of element 0 of voxel t.
func voxel(t int) Mem {
	m := Mem{Base: bases[t/4]}
	switch t % 4 {
	case 1:
		m.Index, m.Scale = stride, 1
	case 2:
		m.Index, m.Scale = stride, 2
	case 3:
		m.Index, m.Scale = triple, 1
	}
	return m
}

// A vector set holds sums of 16 lanes and adds products to them.
type vectors struct {
	most     int                        // sums that fit the registers
	load     func(i int, m Mem)         // sum i
	store    func(i int, m Mem)         // sum i
	right    func(m Mem)                // the 16 lanes of the second operand
	multiply func(i int, broadcast Mem) // add broadcast * right to sum i
}

func wide() vectors {
	sums := []reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
		reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15}
	other, products := reg.Z16, []reg.VecPhysical{reg.Z17, reg.Z18, reg.Z19, reg.Z20}
	return vectors{
		most:  len(sums),
		load:  func(i int, m Mem) { VMOVUPS(m, sums[i]) },
		store: func(i int, m Mem) { VMOVUPS(sums[i], m) },
		right: func(m Mem) { VMOVUPS(m, other) },
		multiply: func(i int, broadcast Mem) {
			product := products[i%len(products)]
			VMULPS_BCST(broadcast, other, product)
			VADDPS(product, sums[i], sums[i])
		},
	}
}

func narrow() vectors {
	sums := []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11}
	low, high, factor, product := reg.Y12, reg.Y13, reg.Y14, reg.Y15
	return vectors{
		most:  len(sums) / 2,
		load:  func(i int, m Mem) { VMOVUPS(m, sums[2*i]); VMOVUPS(m.Offset(32), sums[2*i+1]) },
		store: func(i int, m Mem) { VMOVUPS(sums[2*i], m); VMOVUPS(sums[2*i+1], m.Offset(32)) },
		right: func(m Mem) { VMOVUPS(m, low); VMOVUPS(m.Offset(32), high) },
		multiply: func(i int, broadcast Mem) {
			VBROADCASTSS(broadcast, factor)
			VMULPS(low, factor, product)
			VADDPS(product, sums[2*i], sums[2*i])
			VMULPS(high, factor, factor)
			VADDPS(factor, sums[2*i+1], sums[2*i+1])
		},
	}
}

func tileAVX512() { tile("accumulateTileAVX512", wide()) }
func tileAVX2()   { tile("accumulateTileAVX2", narrow()) }

func outerAVX512() { outer("accumulateOuterAVX512", wide()) }
func outerAVX2()   { outer("accumulateOuterAVX2", narrow()) }

func tile(name string, v vectors) {
	begin(name, tileSig, tileDoc, "voxels", v.most)
	for n := v.most; n >= 1; n-- {
		tileOf(n, v)
	}
}

// tileOf generates the code for n voxels.
func tileOf(n int, v vectors) {
	Label(fmt.Sprintf("size%d", n))
	transfer := func(f func(i int, m Mem)) {
		Load(Param("dst"), bases[0])
		Load(Param("dstStride"), counter)
		bytes(counter)
		for t := range n {
			f(t, Mem{Base: bases[0]})
			if t < n-1 {
				ADDQ(counter, bases[0])
			}
		}
	}
	transfer(v.load)
	Load(Param("depth"), inner)
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, triple)
	tapLoop, depthLoop := fmt.Sprintf("tap%d", n), fmt.Sprintf("depth%d", n)
	Label(tapLoop)
	nextTap("weight")
	used := bases[:(n+3)/4]
	for i := range used[1:] {
		LEAQ(Mem{Base: bases[i], Index: stride, Scale: 4}, bases[i+1])
	}
	Label(depthLoop)
	v.right(Mem{Base: right})
	for t := range n {
		v.multiply(t, voxel(t))
	}
	for _, base := range used {
		ADDQ(imm(4), base)
	}
	ADDQ(imm(64), right)
	DECQ(counter)
	JNZ(LabelRef(depthLoop))
	endTap(tapLoop)
	transfer(v.store)
	VZEROUPPER()
	RET()
}

func outer(name string, v vectors) {
	begin(name, outSig, outDoc, "depth", v.most)
	for n := v.most; n >= 1; n-- {
		outerOf(n, v)
	}
}

// outerOf generates the code for n elements.
func outerOf(n int, v vectors) {
	Label(fmt.Sprintf("size%d", n))
	transfer := func(f func(i int, m Mem)) {
		Load(Param("dst"), bases[0])
		for j := range n {
			f(j, Mem{Base: bases[0], Disp: 64 * j})
		}
	}
	transfer(v.load)
	Load(Param("voxels"), inner)
	tapLoop, voxelLoop := fmt.Sprintf("tap%d", n), fmt.Sprintf("voxel%d", n)
	Label(tapLoop)
	nextTap("y")
	Label(voxelLoop)
	v.right(Mem{Base: right})
	for j := range n {
		v.multiply(j, Mem{Base: bases[0], Disp: 4 * j})
	}
	ADDQ(stride, bases[0])
	ADDQ(imm(64), right)
	DECQ(counter)
	JNZ(LabelRef(voxelLoop))
	endTap(tapLoop)
	transfer(v.store)
	VZEROUPPER()
	RET()
}
