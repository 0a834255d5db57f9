//go:build !purego

package kernel

import "unsafe"

// tileAssembly sums the tiles of one size of a row.
func tileAssembly(a *tileArguments, blocks, voxels int) {
	if path == avx2 {
		tileAVX2((*int)(unsafe.Pointer(a)), blocks, voxels)
	} else {
		tileAVX512((*int)(unsafe.Pointer(a)), blocks, voxels)
	}
}

// tileGroup says how many blocks a tile sums at once and how many voxels it has
// at most. With several blocks each broadcast serves several products; many
// voxels, or many blocks where a row is short, hide the latency of the sums.
func tileGroup(blocks, voxels int) (group, most int) {
	switch {
	case path == avx2:
		return 1, 6
	case blocks >= 4 && voxels <= 6:
		return 4, 6
	case blocks >= 2:
		return 2, 12
	}
	return 1, 28
}

// patchAssembly sums one patch.
func patchAssembly(a *outerArguments, key int) {
	if path == avx2 {
		outerAVX2((*int)(unsafe.Pointer(a)), key)
	} else {
		outerAVX512((*int)(unsafe.Pointer(a)), key)
	}
}

// patchOf returns the largest patch for which there is code.
func patchOf(planes, rows, depth, blocks int) patch {
	most := 28
	if path == avx2 {
		most = 6
	}
	switch {
	case depth == 3 && rows <= 3 && planes > 1 && depth*rows*min(planes, 3) <= most:
		return patch{1, min(planes, 3), rows, depth}
	case depth <= 9 && 2*depth <= most && rows > 1:
		return patch{1, 1, min(rows, 5, most/depth), depth}
	case path != avx2 && blocks == 2 && depth > 3:
		return patch{2, 1, 1, min(depth, 12)}
	}
	return patch{1, 1, 1, min(depth, most)}
}
