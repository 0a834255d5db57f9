package cohort

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// Names by which the arrays of an archive are known; with sets the set stands
// before or after: train_images, x_train.
var (
	imageArrays   = []string{"images", "image", "x"}
	labelArrays   = []string{"labels", "label", "y"}
	subjectArrays = []string{"subjects", "subject", "patients", "patient", "patient_id", "subject_id", "groups"}
)

// colours are the sequences of colour images.
var colours = []string{"red", "green", "blue"}

// openArchive reads a cohort from arrays, as MedMNIST distributes them:
// train_images (N, rows, columns), (N, rows, columns, 3) or (N, slices, rows,
// columns) with train_labels (N) or (N, 1), and the same for val and test; or
// images and labels alone. Every image is a subject, unless an array of subjects
// (train_subjects, ...) says whose it is. Options.Path, Label and Subject name
// other arrays.
func openArchive(path string, o Options, lenient bool) (*Cohort, error) {
	c := &Cohort{Dir: filepath.Dir(path), Table: path}
	archive, err := openNPZ(path)
	if err != nil {
		var ofFile *os.PathError
		if errors.As(err, &ofFile) {
			err = ofFile.Err
		}
		return nil, err
	}
	defer archive.Close()
	return c, c.fromArchive(archive, o, lenient)
}

func (c *Cohort) fromArchive(archive *npzArchive, o Options, lenient bool) error {
	for option, name := range map[string]string{"mask": o.Mask, "site": o.Site, "set": o.Set, "fold": o.Fold, "session": o.Session} {
		if name != "" {
			return fmt.Errorf("%w: %s is an archive of arrays, which has no %s %q", ErrColumn, c.Table, option, name)
		}
	}
	if err := noCovariates(c.Table, "an archive of arrays", o); err != nil {
		return err
	}
	if len(o.Path) > 1 {
		return fmt.Errorf("%w: name one array of images, not %s", ErrColumn, strings.Join(o.Path, ", "))
	}
	c.Columns.Sequences = o.Sequences
	var rows []row
	for _, set := range archive.sets(o) {
		more, err := c.archiveRows(archive, set, o)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	if len(rows) == 0 {
		return fmt.Errorf("%w: no images with labels; it needs train_images and train_labels (and val_, test_), or images and labels (arrays: %s)",
			ErrNoCohort, strings.Join(archive.names(), ", "))
	}
	return c.build(rows, lenient)
}

// An arraySet is the arrays of one set, and their names without it.
type arraySet struct {
	set, images, labels, subjects string
	bare                          Options
}

// sets finds the arrays of each set, or those of all images.
func (a *npzArchive) sets(o Options) (found []arraySet) {
	names := a.names()
	choose := func(asked string, known []string, prefix, suffix string) (full, bare string) {
		if asked != "" {
			known = []string{asked}
		}
		for _, name := range known {
			if full := prefix + name + suffix; slices.Contains(names, full) {
				return full, name
			}
		}
		return "", ""
	}
	asked := ""
	if len(o.Path) > 0 {
		asked = o.Path[0]
	}
	for _, word := range []string{"", "train", "training", "val", "valid", "validation", "test", "testing"} {
		for _, affix := range [][2]string{{word + "_", ""}, {"", "_" + word}} {
			if word == "" {
				affix = [2]string{}
			}
			s := arraySet{set: sets[word], bare: Options{Path: []string{""}}}
			s.images, s.bare.Path[0] = choose(asked, imageArrays, affix[0], affix[1])
			s.labels, s.bare.Label = choose(o.Label, labelArrays, affix[0], affix[1])
			s.subjects, s.bare.Subject = choose(o.Subject, subjectArrays, affix[0], affix[1])
			if s.images != "" && s.labels != "" && !slices.ContainsFunc(found, func(f arraySet) bool { return f.images == s.images }) {
				found = append(found, s)
			}
		}
	}
	return found
}

// archiveRows lists the images of one set.
func (c *Cohort) archiveRows(a *npzArchive, set arraySet, o Options) ([]row, error) {
	images, err := a.array(set.images)
	if err != nil {
		return nil, err
	}
	if len(images.header.shape) < 3 {
		return nil, fmt.Errorf("%w: array %s has shape %v; images take [number, rows, columns]", ErrArchive, set.images, images.header.shape)
	}
	labels, err := a.column(set.labels, images.header.shape[0])
	if err != nil {
		return nil, err
	}
	subjects, err := c.archiveSubjects(a, set, o, images.header.shape[0])
	if err != nil {
		return nil, err
	}
	channels, err := c.colourChannels(&images.header, o)
	if err != nil {
		return nil, err
	}
	c.Columns.Path, c.Columns.Label, c.Columns.Subject = set.bare.Path, set.bare.Label, set.bare.Subject
	var rows []row
	for n, label := range labels {
		address := fmt.Sprintf("%s#%s/%d", filepath.Base(c.Table), set.images, n)
		r := row{subject: subjects[n], label: nonMissing(label), set: set.set, path: address, volume: Unchosen}
		if r.subject == "" || strings.ContainsFunc(r.subject+r.label, unicode.IsControl) {
			return nil, fmt.Errorf("%w: element %d of %s or %s is empty or has a control character", ErrArchive, n, set.labels, set.subjects)
		}
		if r.label == "" {
			c.exclude(r, fmt.Sprintf("no label in element %d of %s", n, set.labels))
			continue
		}
		for m, channel := range channels {
			if file := fmt.Sprintf("%s/%d", address, channel); m == 0 {
				r.path = file
			} else {
				r.also = append(r.also, file)
			}
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// archiveSubjects returns the subject of each image: by the array of subjects,
// else by its number.
func (c *Cohort) archiveSubjects(a *npzArchive, set arraySet, o Options, count int) ([]string, error) {
	if set.subjects != "" {
		return a.column(set.subjects, count)
	}
	if o.Subject != "" {
		return nil, fmt.Errorf("%w: there is no array %q beside %s", ErrColumn, o.Subject, set.images)
	}
	c.noteOnce("every image counts as a subject of its own: the archive has no array of subjects")
	subjects := make([]string, count)
	digits := len(fmt.Sprint(max(0, count-1)))
	for n := range subjects {
		subjects[n] = fmt.Sprintf("%s-%0*d", set.images, digits, n)
	}
	return subjects, nil
}

// colourChannels turns the chosen colours into channels; none without a choice.
func (c *Cohort) colourChannels(h *npyHeader, o Options) (channels []int, err error) {
	inColour := len(h.shape) > 3 && h.shape[len(h.shape)-1] == 3
	for _, name := range o.Sequences {
		channel := slices.Index(colours, strings.ToLower(name))
		if channel < 0 || !inColour || slices.Contains(channels, channel) {
			return nil, fmt.Errorf("%w: %q; an archive with images of shape %v has %s", ErrSequence, name, h.shape[1:],
				map[bool]string{true: "red, green and blue, each once", false: "one sequence"}[inColour])
		}
		channels = append(channels, channel)
	}
	if inColour && channels == nil {
		c.noteOnce("the images are in colour and are read as luminance; --sequences red,green,blue makes each a channel")
	}
	c.Sequences = o.Sequences
	return channels, nil
}

func (c *Cohort) noteOnce(note string) {
	if !slices.Contains(c.Notes, note) {
		c.Notes = append(c.Notes, note)
	}
}

// column reads an array of one value per image as text.
func (a *npzArchive) column(name string, count int) ([]string, error) {
	array, err := a.array(name)
	if err != nil {
		return nil, err
	}
	h := array.header
	if len(h.shape) == 2 && h.shape[1] > 1 {
		return nil, fmt.Errorf("%w: array %s has %d values per image (several tasks, or one-hot); ballast predicts one class: write one column", ErrUnsupported, name, h.shape[1])
	}
	n, _ := h.elements()
	if len(h.shape) == 0 || h.shape[0] != count || n != count {
		return nil, fmt.Errorf("%w: array %s has shape %v for %d images", ErrArchive, name, h.shape, count)
	}
	data, err := array.inflate()
	if err != nil {
		return nil, fmt.Errorf("array %s: %w", name, err)
	}
	values := make([]string, count)
	for n := range values {
		values[n] = h.text(data[n*h.size:])
	}
	return values, nil
}
