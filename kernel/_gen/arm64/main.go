// Command arm64 writes the NEON assembly of package kernel, as text since avo
// knows amd64 only:
//
//	cd kernel && go generate
//
// Every function computes, bit for bit, what its Go counterpart of the same
// name with the suffix Go does. All are leaves without stack frames; the Go
// code that calls them bounds the work of one call.
package main

import (
	"flag"
	"log"
	"os"
)

func main() {
	out := flag.String("out", "kernels_arm64.s", "file for the assembly")
	stubs := flag.String("stubs", "kernels_arm64.go", "file for the Go declarations")
	flag.Parse()
	a := newAssembly("kernel")
	a.tile()
	a.outer()
	a.addProducts()
	a.addSquares()
	a.maskRow()
	a.poolRow()
	a.unpoolRow()
	a.normUnpoolRow()
	a.normRow("normRow", false, false)
	a.normRow("normReLURow", false, true)
	a.normRow("normAddReLURow", true, true)
	a.normBackwardRow()
	a.addToRow()
	a.adam()
	a.transposeTiles()
	a.transformInput()
	a.transformOutput()
	a.transformGradient()
	a.transformWeights()
	a.restoreWeights()
	a.multiplyAdds()
	for file, text := range map[string]string{*out: a.text.String(), *stubs: a.stubs.String()} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
