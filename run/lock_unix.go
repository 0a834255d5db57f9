//go:build unix && !solaris && !aix

package run

import (
	"errors"
	"os"
	"syscall"
)

// lock takes the run for this process until the file is closed or the process
// dies. On a file system without locks it takes nothing.
func lock(file *os.File) error {
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrBusy
	}
	return nil
}
