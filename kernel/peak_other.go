//go:build (!amd64 && !arm64) || purego

package kernel

func multiplyAddsFast() int64 { return multiplyAddsScalar() }
