// Package cohort reads the subjects of a study: their images, masks, labels
// and sites, from a folder or a table, and divides them into training,
// validation and test sets that no subject straddles.
package cohort

// A Cohort is the subjects of a study.
type Cohort struct {
	Dir      string    // folder that image paths are relative to
	Table    string    // the table it was read from, empty for a folder of classes
	Columns  Options   // the columns that were used, empty for those that were not
	Classes  []string  // class names, sorted; an index into it is a class
	Subjects []Subject // sorted by ID
	Excluded []string  // one line per row left out and why (label n/a, ...)
	Notes    []string  // one line per choice that a user may want to know of
}

// A Subject is one patient: the unit of splitting and of every interval.
type Subject struct {
	ID     string
	Class  int     // index into Cohort.Classes
	Site   string  // empty when unknown
	Set    string  // "train", "validation" or "test" when the table fixes it, else empty
	Images []Image // in table order, at least one
}

// An Image is one file of a subject.
type Image struct {
	Path string // absolute, or relative to the working directory
	Mask string // empty when there is none
}

// A Split names the subjects of each set by index into Cohort.Subjects,
// in increasing order.
type Split struct {
	Train, Validation, Test []int
}

// Options names the columns of a table. An empty name is found by itself among
// the names documented at Open.
type Options struct {
	Path    string // image file, relative to the table's folder
	Label   string // class
	Subject string // patient
	Mask    string // mask file
	Site    string // scanner, hospital
	Set     string // train, validation or test
}
