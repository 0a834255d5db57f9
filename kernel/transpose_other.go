//go:build (!amd64 && !arm64) || purego

package kernel

func transposeTilesFast(from, to []float32, tiles int) { transposeTilesGo(from, to, tiles) }
