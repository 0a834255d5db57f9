//go:build !linux

package kernel

import "testing"

// guarded returns plain memory where there are no guard pages.
func guarded(_ *testing.T, count int) []float32 { return make([]float32, count) }
