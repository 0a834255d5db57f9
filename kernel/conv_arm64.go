//go:build !purego

package kernel

import "unsafe"

// tileAssembly sums the tiles of one size of a row.
func tileAssembly(a *tileArguments, blocks, voxels int) {
	for a.repeat > 1 {
		tileNEON((*int)(unsafe.Pointer(a)), blocks, voxels)
		a.dst = (*float32)(unsafe.Add(unsafe.Pointer(a.dst), a.dstTile))
		a.from = (*float32)(unsafe.Add(unsafe.Pointer(a.from), a.fromTile))
		a.x = (*float32)(unsafe.Add(unsafe.Pointer(a.x), a.xTile))
		a.repeat--
	}
	tileNEON((*int)(unsafe.Pointer(a)), blocks, voxels)
}

// tileGroup says how many blocks a tile sums at once and how many voxels it has
// at most. Several blocks hide the latency of the sums where a row is short.
func tileGroup(blocks, voxels int) (group, most int) {
	switch {
	case blocks >= 4 && voxels == 1:
		return 4, 1
	case blocks >= 2 && voxels <= 3:
		return 2, 3
	}
	return 1, 6
}

// patchAssembly sums one patch.
func patchAssembly(a *outerArguments, key int) { outerNEON((*int)(unsafe.Pointer(a)), key) }

// patchOf returns the largest patch for which there is code.
func patchOf(planes, rows, depth, _ int) patch {
	const most = 6
	switch {
	case depth == 3 && rows == 1 && planes > 1:
		return patch{1, 2, 1, 3}
	case 2*depth <= most && rows > 1:
		return patch{1, 1, min(rows, 5, most/depth), depth}
	}
	return patch{1, 1, 1, min(depth, most)}
}
