// Command _gen writes the amd64 assembly of package kernel with avo:
//
//	cd kernel && go generate
//
// Every function computes, bit for bit, what its Go counterpart of the same
// name with the suffix Go does: vector lanes run over channels, products are
// rounded before they are added. All are leaves without stack frames; the Go
// code that calls them bounds the work of one call.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!purego")
	tileAVX512()
	tileAVX2()
	outerAVX512()
	outerAVX2()
	addProducts()
	addSquares()
	addSquares512()
	maskRow()
	table := indices()
	poolRow(table)
	poolRow512(table)
	normRow("normRow", false, false)
	normRow("normReLURow", false, true)
	normRow("normAddReLURow", true, true)
	normBackwardRow()
	addToRow()
	adam()
	transposeTiles()
	unpoolRow512("unpoolRow", false)
	unpoolRow512("normUnpoolRow", true)
	unpoolRow("unpoolRowAVX2", "unpoolRowAVX2 is unpoolRowGo; voxels >= 1.", false)
	unpoolRow("normUnpoolRowAVX2", "normUnpoolRowAVX2 is normUnpoolRowGo; voxels >= 1.", true)
	for _, t := range transforms {
		t.write(avx512)
		t.write(avx2)
	}
	peak(avx512)
	peak(avx2)
	Generate()
}

// bytes turns a count of float32 in a register into bytes.
func bytes(r reg.Register) { SHLQ(imm(2), r) }
