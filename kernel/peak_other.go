//go:build !amd64 || purego

package kernel

func multiplyAddsFast() int64 { return multiplyAddsScalar() }
