// Package cohort reads the subjects of a study: their images, masks, labels
// and sites, from a folder or a table, and divides them into training,
// validation and test sets that no subject straddles.
package cohort

// A Cohort is the subjects of a study.
type Cohort struct {
	Dir        string      // folder that image paths are relative to
	Table      string      // the table, datalist or archive it was read from, empty for folders
	Columns    Options     // the columns and choices that were used, empty for those that were not
	Classes    []string    // class names, sorted; an index into it is a class
	Sequences  []string    // what Image.Path and each of Image.Also hold (T1w, FLAIR, a column); nil when there is one without a name
	Subjects   []Subject   // sorted by ID
	Duplicates []Duplicate // images of different subjects whose files have the same content
	Overlap    []string    // one line per subject in two sets, of a cohort read by Inspect
	Excluded   []string    // one line per row left out and why (label n/a, ...)
	Notes      []string    // one line per choice that a user may want to know of
}

// A Subject is one patient: the unit of splitting and of every interval.
type Subject struct {
	ID     string
	Class  int     // index into Cohort.Classes
	Site   string  // empty when unknown; "a+b" for a subject scanned at two
	Set    string  // "train", "validation" or "test" when the table fixes it, else empty
	Fold   string  // of a published cross-validation; empty when the table has none
	Images []Image // in table order, at least one unless read by OpenTable

	// Covariates are the values of the columns that are used for nothing else and
	// are the same in all rows of the subject (age, sex, grade), and of those asked
	// for, by column; a missing value has no entry.
	Covariates map[string]string
}

// An Image is one visit of a subject: one file, or one per MRI sequence.
type Image struct {
	Path    string   // absolute, or relative to the working directory; see ReadVolume
	Mask    string   // empty when there is none
	Also    []string // further sequences of the same visit, a channel each after Path
	Volume  int      // which volume of Path, a 4D file, from 0; -1 (Unchosen): none, the file holds one
	Session string   // of a BIDS tree or a table, without "ses-"; empty when there is none

	// Facts say how the image was acquired: the plain values of its JSON sidecar
	// (Manufacturer, MagneticFieldStrength, EchoTime) and of the columns that differ
	// between images of a subject. Facts of further sequences are not kept.
	Facts map[string]string
}

// A Duplicate is an image that two subjects share under different names.
type Duplicate struct {
	Subjects [2]int    // indices into Cohort.Subjects, the smaller one first
	Paths    [2]string // the file of each
}

// A Split names the subjects of each set by index into Cohort.Subjects,
// in increasing order.
type Split struct {
	Train, Validation, Test []int
}

// Options names the columns of a table and chooses among the images of a
// study. What is empty is found by itself, as documented at Open.
type Options struct {
	Path       []string // image file, relative to the table's folder; several columns are sequences
	Label      string   // class
	Subject    string   // patient
	Mask       string   // mask file, or in a BIDS tree the name of one, as "label-lesion_mask"
	Site       string   // scanner, hospital
	Set        string   // train, validation or test
	Fold       string   // fold of a published cross-validation
	Sequences  []string // MRI sequences, a channel each: T1w, acq-ax_FLAIR, a column; red, green, blue of an archive
	Session    string   // one visit of a BIDS tree or table: its name, or "first"
	Covariates []string // columns with clinical values that a network is given: in the table, one value for each subject
	Volume     string   // of 4D files: an index from 0, or the column that holds it, or "none"
}
