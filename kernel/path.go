package kernel

import (
	"fmt"
	"os"
	"strings"
)

// The implementations of the inner loops. All give the same bits.
const (
	generic = "generic" // Go, on every CPU
	avx2    = "avx2"
	avx512  = "avx512"
)

// pathVariable is the environment variable that forces a path.
const pathVariable = "BALLAST_CPU"

var path, pathError = choosePath(os.Getenv(pathVariable))

// Path names the implementation in use: generic (Go), avx2 or avx512. It is the
// fastest that the CPU has, unless BALLAST_CPU names another.
func Path() string { return path }

// PathError says why BALLAST_CPU was not followed; nil if it was, or is unset.
func PathError() error { return pathError }

// choosePath returns the wanted path, or the best with an error where it is
// unknown or the CPU lacks it.
func choosePath(wanted string) (string, error) {
	known := paths()
	best := known[len(known)-1]
	if wanted == "" {
		return best, nil
	}
	for _, name := range known {
		if name == wanted {
			return wanted, nil
		}
	}
	return best, fmt.Errorf("%s=%s: not available on this CPU; use one of %s",
		pathVariable, wanted, strings.Join(known, ", "))
}

// accumulateRow adds the products of all taps to a row of voxels; see
// accumulateRowGo. It panics when a tap reaches outside its operand.
func accumulateRow(dst, x, weight []float32, taps []tap, voxels, dstStride, xStride, depth int) {
	if len(taps) == 0 {
		return
	}
	_ = dst[(voxels-1)*dstStride+Lanes-1]
	for _, t := range taps {
		_ = x[t.a : t.a+(voxels-1)*xStride+depth]
		_ = weight[t.b : t.b+depth*Lanes]
	}
	accumulateRowFast(dst, x, weight, taps, voxels, dstStride, xStride, depth)
}

// accumulateOuter adds the products of all taps to a gradient; see
// accumulateOuterGo. It panics when a tap reaches outside its operand.
func accumulateOuter(dst, x, y []float32, taps []tap, voxels, xStride, depth int) {
	if len(taps) == 0 {
		return
	}
	_ = dst[depth*Lanes-1]
	for _, t := range taps {
		_ = x[t.a : t.a+(voxels-1)*xStride+depth]
		_ = y[t.b : t.b+voxels*Lanes]
	}
	accumulateOuterFast(dst, x, y, taps, voxels, xStride, depth)
}
