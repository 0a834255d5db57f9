package cohort

import "errors"

// What can be wrong with a file or a cohort. Errors of this package wrap one
// of these, say which file, row or subject, and what to do.
var (
	ErrFormat      = errors.New("not an image that ballast reads (NIfTI, DICOM, PNG, JPEG, TIFF, BMP or NumPy)")
	ErrHeader      = errors.New("damaged header")
	ErrTruncated   = errors.New("truncated")
	ErrUnsupported = errors.New("not supported")              // a valid file of a kind that is refused
	ErrNonFinite   = errors.New("voxels that are not finite") // more than half of the image
	ErrConstant    = errors.New("all voxels have the same value")
	ErrEmptyMask   = errors.New("mask has no voxel above 0")
	ErrGeometry    = errors.New("image and mask do not lie on the same grid")

	ErrNoCohort         = errors.New("no cohort here")
	ErrTable            = errors.New("damaged table")
	ErrArchive          = errors.New("damaged archive of arrays")
	ErrSequence         = errors.New("MRI sequence not found or ambiguous")
	ErrColumn           = errors.New("column not found")
	ErrCovariate        = errors.New("unusable covariate")
	ErrMissingFiles     = errors.New("files not found")
	ErrDuplicateImage   = errors.New("the same image is listed twice")
	ErrLabelConflict    = errors.New("a subject has more than one label")
	ErrSubjectInTwoSets = errors.New("a subject is in two sets")
	ErrContinuousLabel  = errors.New("the label looks continuous")
	ErrOneClass         = errors.New("fewer than two classes")
	ErrTooFewSubjects   = errors.New("too few subjects")
)
