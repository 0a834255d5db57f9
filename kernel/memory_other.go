//go:build !linux

package kernel

// Floats returns that many zeros.
func Floats(count int) []float32 { return make([]float32, count) }
