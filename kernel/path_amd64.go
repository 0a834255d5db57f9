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

func poolRowFast(x []float32, strides [2]int, depth int, signs, best []float32, choice []byte) {
	if path == generic {
		poolRowGo(x, strides, depth, signs, best, choice)
		return
	}
	if path == avx512 {
		poolRowAVX512(&x[0], strides[0]*bytesPerFloat, strides[1]*bytesPerFloat, depth, &signs[0], &best[0], &choice[0], len(best)/Lanes)
		return
	}
	poolRowAVX2(&x[0], strides[0]*bytesPerFloat, strides[1]*bytesPerFloat, depth, &signs[0], &best[0], &choice[0], len(best)/Lanes)
}

func addSquaresFast(sums *[2 * Lanes]float64, x []float32) {
	if path == generic {
		addSquaresGo(sums, x)
		return
	}
	if path == avx512 {
		addSquaresAVX512(&sums[0], &x[0], len(x)/Lanes)
		return
	}
	addSquaresAVX2(&sums[0], &x[0], len(x)/Lanes)
}

func unpoolRowFast(dy []float32, choice []byte, first int, dx []float32) {
	if path == generic {
		unpoolRowGo(dy, choice, first, dx)
		return
	}
	if path == avx512 {
		unpoolRowAVX512(&dy[0], &choice[0], first, &dx[0], len(dy)/Lanes)
		return
	}
	unpoolRowAVX2(&dy[0], &choice[0], first, &dx[0], len(dy)/Lanes)
}

func normUnpoolRowFast(dy []float32, choice []byte, first int, x []float32, lanes *normLanes, dx []float32) {
	if path == generic {
		normUnpoolRowGo(dy, choice, first, x, lanes, dx)
		return
	}
	if path == avx512 {
		normUnpoolRowAVX512(&dy[0], &choice[0], first, &x[0], &lanes.factor[0], &lanes.centre[0], &lanes.offset[0], &lanes.by[0],
			&dx[0], len(dy)/Lanes)
		return
	}
	normUnpoolRowAVX2(&dy[0], &choice[0], first, &x[0], &lanes.factor[0], &lanes.centre[0], &lanes.offset[0], &lanes.by[0],
		&dx[0], len(dy)/Lanes)
}

func normReLURowFast(x, scale, shift, y []float32) {
	if path == generic {
		normReLURowGo(x, scale, shift, y)
		return
	}
	normReLURowAVX2(&x[0], &scale[0], &shift[0], &y[0], len(x)/Lanes)
}
