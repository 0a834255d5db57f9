package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func imm(v uint8) Constant { return U8(v) }

// general lists the general-purpose registers that a function may use: all but
// the stack and frame pointers and R14, which Go keeps for itself.
func general() []reg.GPPhysical {
	return []reg.GPPhysical{reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI, reg.RDI, reg.R8, reg.R9, reg.R10, reg.R11, reg.R12, reg.R13, reg.R15}
}

// registers hands out general-purpose registers one after another.
type registers []reg.GPPhysical

func (r *registers) next() reg.GPPhysical {
	first := (*r)[0]
	*r = (*r)[1:]
	return first
}

// A machine is an instruction set: how it holds the 16 lanes of a channel block.
type machine struct {
	name   string
	width  int               // lanes of a register
	vector []reg.VecPhysical // all vector registers
}

var (
	avx512 = machine{"AVX512", 16, []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31}}
	avx2 = machine{"AVX2", 8, []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15}}
)

// halves is the number of registers that hold a channel block.
func (m machine) halves() int { return 16 / m.width }

// A shape is the sums that one piece of code keeps in registers: for each of
// some channel blocks, some voxels of a row or elements of a kernel row.
type shape struct{ blocks, count int }

// selectShape jumps to the code of the shape given by two registers, by
// halving the list, which must be sorted by blocks, then count.
func selectShape(prefix string, shapes []shape, blocks, count reg.Register) {
	key := blocks
	SHLQ(imm(8), key)
	ADDQ(count, key)
	halve(prefix, shapes, key)
}

func halve(prefix string, shapes []shape, key reg.Register) {
	if len(shapes) == 1 {
		JMP(LabelRef(shapes[0].label(prefix)))
		return
	}
	middle := shapes[len(shapes)/2]
	label := fmt.Sprintf("%sFrom_%d_%d", prefix, middle.blocks, middle.count)
	CMPQ(key, U32(uint32(middle.blocks<<8+middle.count)))
	JGE(LabelRef(label))
	halve(prefix, shapes[:len(shapes)/2], key)
	Label(label)
	halve(prefix, shapes[len(shapes)/2:], key)
}

func (s shape) label(prefix string) string { return fmt.Sprintf("%s_%d_%d", prefix, s.blocks, s.count) }

// sums hands out the registers of the sums: sum(block, i) is halves registers.
func (m machine) sums(s shape) func(block, i int) []reg.VecPhysical {
	return func(block, i int) []reg.VecPhysical {
		at := (block*s.count + i) * m.halves()
		return m.vector[at : at+m.halves()]
	}
}

// spare returns the registers that the sums of a shape leave.
func (m machine) spare(s shape) []reg.VecPhysical {
	return m.vector[s.blocks*s.count*m.halves():]
}

// load and store move the 16 lanes of a channel block.
func (m machine) load(from Mem, to []reg.VecPhysical) {
	for half, v := range to {
		VMOVUPS(from.Offset(4*m.width*half), v)
	}
}

func (m machine) store(from []reg.VecPhysical, to Mem) {
	for half, v := range from {
		VMOVUPS(v, to.Offset(4*m.width*half))
	}
}

// multiply adds scalar * right[block] to sum(block) for all blocks. With one
// block and AVX-512 the scalar is broadcast by the FMA itself.
func (m machine) multiply(scalar Mem, right [][]reg.VecPhysical, sum func(block int) []reg.VecPhysical, temporary reg.VecPhysical) {
	if len(right) == 1 && m.halves() == 1 {
		VFMADD231PS_BCST(scalar, right[0][0], sum(0)[0])
		return
	}
	VBROADCASTSS(scalar, temporary)
	for block, lanes := range right {
		for half, v := range lanes {
			VFMADD231PS(temporary, v, sum(block)[half])
		}
	}
}

// rights takes the registers of the second operand of every block.
func (m machine) rights(blocks int, spare []reg.VecPhysical) (right [][]reg.VecPhysical, left []reg.VecPhysical) {
	for range blocks {
		right = append(right, spare[:m.halves()])
		spare = spare[m.halves():]
	}
	return right, spare
}
