package run

import "os"

// Lock takes an open file for this process until the file is closed or the
// process dies, and returns ErrBusy when another process has taken it. On a file
// system without locks it takes nothing.
func Lock(file *os.File) error { return lock(file) }
