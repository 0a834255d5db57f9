package run

import "errors"

var (
	// ErrExists is returned by Create for a folder that already holds something.
	ErrExists = errors.New("folder is not empty")
	// ErrNotRun is returned by Open for a folder that holds no run.
	ErrNotRun = errors.New("not a run")
	// ErrFormat is returned by Open for a run of a format this package does not read.
	ErrFormat = errors.New("unsupported run format")
	// ErrInvalid marks contents that docs/format/run.md does not allow: a
	// damaged file when reading, a programming mistake when writing.
	ErrInvalid = errors.New("invalid run")
	// ErrBusy is returned by Resume for a run that a program is recording.
	ErrBusy = errors.New("run is being recorded by another program")
	// ErrMismatch is returned by Resume when classes or subjects are not the run's.
	ErrMismatch = errors.New("not what the run was begun with")
	// ErrDiffers is returned by Append of a resumed run for an epoch that the
	// run holds already and that is not the same.
	ErrDiffers = errors.New("the epoch is recorded already, with other numbers")
	// ErrClosed is returned by the methods of a Writer after Finish or Close.
	ErrClosed = errors.New("run is closed")
)
