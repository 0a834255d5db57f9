// Package trial trains a plan more than once and says what may be concluded from
// all the runs together: cross-validation.
package trial

import "errors"

// ErrDiffers is returned when a folder holds another cross-validation than the one
// that is asked for.
var ErrDiffers = errors.New("another cross-validation")

// ErrInvalid is wrapped by complaints about files that are not as documented in
// docs/format/cv.md.
var ErrInvalid = errors.New("not a valid cross-validation")
