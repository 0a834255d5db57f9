package main

import "fmt"

// The instructions that Go's assembler lacks, encoded as in the Arm Architecture
// Reference Manual for A-profile, section C7.2 (Advanced SIMD). In comments the
// operands stand in Go's order, the destination last.

// word writes an encoded instruction.
func (a *assembly) word(code uint32, format string, operands ...any) {
	fmt.Fprintf(&a.text, "\tWORD $0x%08x // %s\n", code, fmt.Sprintf(format, operands...))
}

// An operation of two vectors of four float32 or two float64.
type operation struct {
	code uint32
	name string
	kind func(vector) string
}

var (
	addSingles      = operation{0x4e20d400, "FADD", vector.singles}
	subtractSingles = operation{0x4ea0d400, "FSUB", vector.singles}
	multiplySingles = operation{0x6e20dc00, "FMUL", vector.singles}
	divideSingles   = operation{0x6e20fc00, "FDIV", vector.singles}
	greaterSingles  = operation{0x6ea0e400, "FCMGT", vector.singles} // all ones or zeros
	equalSingles    = operation{0x4e20e400, "FCMEQ", vector.singles}
	addDoubles      = operation{0x4e60d400, "FADD", vector.doubles}
	andNot          = operation{0x4e601c00, "BIC", vector.bytes}
	orNot           = operation{0x4ee01c00, "ORN", vector.bytes}
)

// do sets to = left operation right.
func (a *assembly) do(o operation, left, right, to vector) {
	a.word(o.code|uint32(right)<<16|uint32(left)<<5|uint32(to), "%s %s, %s, %s", o.name, o.kind(right), o.kind(left), o.kind(to))
}

// multiplyAdd sets sum += lanes * scalar[element], fused.
func (a *assembly) multiplyAdd(lanes, scalar vector, element int, sum vector) {
	low, high := uint32(element)&1, uint32(element)>>1
	a.word(0x4f801000|low<<21|uint32(scalar)<<16|high<<11|uint32(lanes)<<5|uint32(sum),
		"FMLA V%d.S[%d], %s, %s", int(scalar), element, lanes.singles(), sum.singles())
}

// notPositive sets to all ones where a float32 is <= 0, else, as for NaN, to zeros.
func (a *assembly) notPositive(from, to vector) {
	a.word(0x6ea0d800|uint32(from)<<5|uint32(to), "FCMLE $0, %s, %s", from.singles(), to.singles())
}

// squareRoot takes the roots of four float32.
func (a *assembly) squareRoot(from, to vector) {
	a.word(0x6ea1f800|uint32(from)<<5|uint32(to), "FSQRT %s, %s", from.singles(), to.singles())
}

// widen turns four float32 into twice two float64; high must not be from.
func (a *assembly) widen(from, high, low vector) {
	a.word(0x4e617800|uint32(from)<<5|uint32(high), "FCVTL2 %s, %s", from.singles(), high.doubles())
	a.word(0x0e617800|uint32(from)<<5|uint32(low), "FCVTL V%d.S2, %s", int(from), low.doubles())
}
