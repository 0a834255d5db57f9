//go:build !purego

package kernel

func transposeTilesFast(from, to []float32, tiles int) {
	const tile = Lanes * Lanes
	if path == generic {
		transposeTilesGo(from, to, tiles)
		return
	}
	_, _ = from[tiles*tile-1], to[tiles*tile-1]
	transposeTilesNEON(&from[0], &to[(tiles-1)*tile], -tile*bytesPerFloat, tiles)
}
