package kernel

import (
	"syscall"
	"testing"
	"unsafe"
)

// guarded returns memory that ends at a page which cannot be read: a loop that
// reads or writes beyond its operand crashes.
func guarded(t *testing.T, count int) []float32 {
	page := syscall.Getpagesize()
	size := (4*count + page - 1) / page * page
	memory, err := syscall.Mmap(-1, 0, size+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(memory); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mprotect(memory[size:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&memory[size-4*count])), count)
}
