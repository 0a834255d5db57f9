//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// paths lists what this CPU can run, the fastest last.
func paths() []string {
	known := []string{generic}
	if cpu.X86.HasAVX2 {
		known = append(known, avx2)
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasAVX512F {
		known = append(known, avx512)
	}
	return known
}

// Sums that the registers hold: voxels of a tile, elements of an outer product.
const (
	mostAVX2   = 6
	mostAVX512 = 16
)

// maxVoxels bounds the voxels of one call of assembly, during which the garbage
// collector waits.
const maxVoxels = 4096

// accumulateRowFast divides the row into tiles of nearly equal length.
func accumulateRowFast(dst, x, weight []float32, taps []tap, voxels, dstStride, xStride, depth int) {
	most := mostAVX512
	switch path {
	case generic:
		accumulateRowGo(dst, x, weight, taps, voxels, dstStride, xStride, depth)
		return
	case avx2:
		most = mostAVX2
	}
	tiles := (voxels + most - 1) / most
	for i := range tiles {
		first, end := i*voxels/tiles, (i+1)*voxels/tiles
		d, s := &dst[first*dstStride], &x[first*xStride]
		if path == avx2 {
			accumulateTileAVX2(d, s, &weight[0], &taps[0].a, len(taps), end-first, dstStride, xStride, depth)
		} else {
			accumulateTileAVX512(d, s, &weight[0], &taps[0].a, len(taps), end-first, dstStride, xStride, depth)
		}
	}
}

// accumulateOuterFast divides the elements into groups of nearly equal size.
func accumulateOuterFast(dst, x, y []float32, taps []tap, voxels, xStride, depth int) {
	most := mostAVX512
	switch path {
	case generic:
		accumulateOuterGo(dst, x, y, taps, voxels, xStride, depth)
		return
	case avx2:
		most = mostAVX2
	}
	groups := (depth + most - 1) / most
	for len(taps) > 0 {
		part := taps[:min(len(taps), max(1, maxVoxels/voxels))]
		taps = taps[len(part):]
		for i := range groups {
			first, end := i*depth/groups, (i+1)*depth/groups
			if path == avx2 {
				accumulateOuterAVX2(&dst[first*Lanes], &x[first], &y[0], &part[0].a, len(part), voxels, xStride, end-first)
			} else {
				accumulateOuterAVX512(&dst[first*Lanes], &x[first], &y[0], &part[0].a, len(part), voxels, xStride, end-first)
			}
		}
	}
}

// The passes below read and write memory at the speed it has; 256-bit vectors
// suffice for it.

func addProductsFast(sums *[2 * Lanes]float64, x, y []float32) {
	if path == generic {
		addProductsGo(sums, x, y)
		return
	}
	addProductsAVX2(&sums[0], &x[0], &y[0], len(y)/Lanes)
}

func maskRowFast(y, dy []float32) {
	if path == generic {
		maskRowGo(y, dy)
		return
	}
	maskRowAVX2(&y[0], &dy[0], len(y)/Lanes)
}

func normPoolRowFast(x []float32, rows []int, scale, shift, y, best []float32, choice []byte) {
	if path == generic {
		normPoolRowGo(x, rows, scale, shift, y, best, choice)
		return
	}
	normPoolRowAVX2(&x[0], &rows[0], len(rows), &scale[0], &shift[0], &y[0], &best[0], &choice[0], len(y)/Lanes)
}

func unpoolRowFast(dy []float32, choice []byte, first int, dx []float32) {
	if path == generic {
		unpoolRowGo(dy, choice, first, dx)
		return
	}
	unpoolRowAVX2(&dy[0], &choice[0], first, &dx[0], len(dy)/Lanes)
}

func normUnpoolRowFast(dy []float32, choice []byte, first int, x []float32, lanes *normLanes, dx []float32) {
	if path == generic {
		normUnpoolRowGo(dy, choice, first, x, lanes, dx)
		return
	}
	normUnpoolRowAVX2(&dy[0], &choice[0], first, &x[0], &lanes.factor[0], &lanes.centre[0], &lanes.offset[0], &lanes.by[0],
		&dx[0], len(dy)/Lanes)
}
