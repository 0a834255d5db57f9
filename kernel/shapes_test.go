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
		rows, planes := 5, 3
		if size > 9 { // then patches have one row
			rows, planes = 1, 1
		}
		for other := 1; other <= 5; other++ { // all numbers of blocks; all remainders of the depth
			innerCase{voxels: size, depth: other, taps: 2}.compareLoop(t, "rowSum", innerCase.rowSum)
			for row := range rows {
				for plane := range planes {
					innerCase{seed: uint32(row), voxels: other, depth: size, taps: 3 + plane}.compareLoop(t, "outerSum", innerCase.outerSum)
				}
			}
		}
	}
}
