package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of the pages that Linux uses for large memory if asked.
const hugePage = 2 << 20

// Floats returns that many zeros. Large memory is asked for in large pages: a
// step goes through all of it, and looks up a page each time it enters one.
func Floats(count int) []float32 {
	data := make([]float32, count)
	size := uintptr(count) * unsafe.Sizeof(float32(0))
	if size < 2*hugePage {
		return data
	}
	start := uintptr(unsafe.Pointer(&data[0]))
	skip := -start % hugePage // bytes to the first whole page
	whole := (size - skip) / hugePage * hugePage
	region := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(&data[0]), skip)), whole)
	_ = unix.Madvise(region, unix.MADV_HUGEPAGE) // where it is not possible, small pages do as well
	return data
}
