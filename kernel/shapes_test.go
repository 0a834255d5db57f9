package kernel

import "testing"

// TestEveryShapeAgreesBitForBit runs the code of every tile and every patch:
// each has its own registers.
func TestEveryShapeAgreesBitForBit(t *testing.T) {
	if len(paths()) == 1 {
		t.Skip("this CPU has only the generic path")
	}
	const mostSums = 30 // no path holds more
	for size := 1; size <= mostSums; size++ {
		depths := 5 // as many give every number of blocks, and 20 that with every remainder
		if size <= 12 {
			depths = 20
		}
		for depth := 1; depth <= depths; depth++ {
			c := innerCase{voxels: size, depth: depth, taps: 2, dstStride: 5, xStride: 3, shift: 1}
			c.compareLoop(t, "rowSum", innerCase.rowSum)
		}
		rows, planes := 5, 3
		if size > 9 { // then patches have one row
			rows, planes = 1, 1
		}
		for voxels := 1; voxels <= 5; voxels++ {
			for row := range rows {
				for plane := range planes {
					c := innerCase{seed: uint32(row), voxels: voxels, depth: size, taps: 3 + plane, xStride: 3, shift: 1}
					c.compareLoop(t, "outerSum", innerCase.outerSum)
				}
			}
		}
	}
}
