package cohort

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A row is one image with what its table, folder or archive says of it.
type row struct {
	line                 int // 0 when there is no table
	subject, label, site string
	set, fold            string
	session              string
	path, mask           string
	also                 []string
	volume               int               // Unchosen, or an index
	facts                map[string]string // of the sidecar
	values               map[string]string // of the columns that are used for nothing else
}

// files lists the images of a row.
func (r *row) files() []string { return append([]string{r.path}, r.also...) }

// build turns rows into subjects and refuses what no study can mean. A lenient
// one lists subjects in two sets instead of refusing them.
func (c *Cohort) build(rows []row, lenient bool) error {
	if err := c.findClasses(rows); err != nil {
		return err
	}
	subjects := map[string]*Subject{}
	rowsOf := map[string][]row{}
	var overlap []string
	for _, r := range rows {
		class := slices.Index(c.Classes, r.label)
		s := subjects[r.subject]
		if s == nil {
			s = &Subject{ID: r.subject, Class: class, Set: r.set, Fold: r.fold}
			subjects[r.subject] = s
		}
		if s.Class != class {
			return fmt.Errorf("%w: %s is %s and %s%s", ErrLabelConflict, r.subject, c.Classes[s.Class], r.label, at(r))
		}
		if s.Set != r.set {
			overlap = append(overlap, fmt.Sprintf("%s is in %s and in %s%s", r.subject, orNone(s.Set), orNone(r.set), at(r)))
		} else if s.Fold != r.fold {
			overlap = append(overlap, fmt.Sprintf("%s is in fold %s and in fold %s%s", r.subject, orNone(s.Fold), orNone(r.fold), at(r)))
		}
		s.Site = joinSites(s.Site, r.site)
		rowsOf[r.subject] = append(rowsOf[r.subject], r)
		if r.path != "" {
			s.Images = append(s.Images, c.image(r))
		}
	}
	if overlap = oncePerSubject(overlap); len(overlap) > 0 && !lenient {
		return fmt.Errorf("%w: %s", ErrSubjectInTwoSets, someOf(overlap, "; ", "subjects"))
	}
	c.Overlap = overlap
	for _, id := range slices.Sorted(maps.Keys(subjects)) {
		c.Subjects = append(c.Subjects, *subjects[id])
	}
	c.noteSpelling()
	c.noteSessions()
	if err := c.checkCovariates(rowsOf); err != nil {
		return err
	}
	c.keepValues(rowsOf)
	c.freeTraining()
	return c.checkClasses()
}

// freeTraining lets the split divide the training subjects when nobody is set
// aside to validate on, as where only training and test sets are published.
func (c *Cohort) freeTraining() {
	counts := map[string]int{}
	for _, s := range c.Subjects {
		counts[s.Set]++
	}
	if counts["train"] == 0 || counts["validation"] > 0 {
		return
	}
	for n := range c.Subjects {
		if c.Subjects[n].Set == "train" {
			c.Subjects[n].Set = ""
		}
	}
	c.Notes = append(c.Notes, fmt.Sprintf("no subject is set aside for validation, so the %d training subjects are divided by split.validation", counts["train"]))
}

// image is what a row says of its files.
func (c *Cohort) image(r row) Image {
	image := Image{Path: c.resolve(r.path), Volume: r.volume, Session: r.session, Facts: r.facts}
	if r.mask != "" {
		image.Mask = c.resolve(r.mask)
	}
	for _, file := range r.also {
		image.Also = append(image.Also, c.resolve(file))
	}
	return image
}

// oncePerSubject keeps the first line of each subject, which begins with it.
func oncePerSubject(lines []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(lines, func(line string) bool {
		id, _, _ := strings.Cut(line, " is in ")
		known := seen[id]
		seen[id] = true
		return known
	})
}

// noteSpelling speaks up about subjects that differ in capitals only.
func (c *Cohort) noteSpelling() {
	spelt := map[string]string{}
	for _, s := range c.Subjects {
		if other, ok := spelt[strings.ToLower(s.ID)]; ok {
			c.Notes = append(c.Notes, fmt.Sprintf("subjects %q and %q count as two patients; if they are one, write them alike", other, s.ID))
		}
		spelt[strings.ToLower(s.ID)] = s.ID
	}
}

// noteSessions speaks up about visits: images from after a treatment may tell
// its outcome.
func (c *Cohort) noteSessions() {
	most, several := 0, 0
	for _, s := range c.Subjects {
		sessions := map[string]bool{}
		for _, image := range s.Images {
			sessions[image.Session] = true
		}
		most = max(most, len(sessions))
		if len(sessions) > 1 {
			several++
		}
	}
	if several > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("%d of %d subjects have up to %d sessions, each an image of its own; --session NAME or --session first uses one", several, len(c.Subjects), most))
	}
}

// keepValues divides the columns that are used for nothing else: those that are
// the same in all rows of every subject become covariates of the subject, the
// others facts of the image. A missing value is the same as any.
func (c *Cohort) keepValues(rowsOf map[string][]row) {
	varying := map[string]bool{}
	for _, rows := range rowsOf {
		known := map[string]string{}
		for _, r := range rows {
			for column, value := range r.values {
				if other, ok := known[column]; ok && other != value {
					varying[column] = true
				}
				known[column] = value
			}
		}
	}
	for n := range c.Subjects {
		s := &c.Subjects[n]
		s.Covariates = map[string]string{}
		image := 0
		for _, r := range rowsOf[s.ID] {
			for column, value := range r.values {
				if !varying[column] {
					s.Covariates[column] = value
				} else if r.path != "" && !identifying(column) {
					setFact(&s.Images[image], column, value)
				}
			}
			if r.path != "" {
				image++
			}
		}
	}
}

func setFact(image *Image, name, value string) {
	if image.Facts == nil {
		image.Facts = map[string]string{}
	}
	image.Facts[name] = value
}

func at(r row) string {
	if r.line == 0 {
		return ""
	}
	return fmt.Sprintf(" (line %d)", r.line)
}

func orNone(set string) string {
	if set == "" {
		return "no set"
	}
	return set
}

// joinSites names the sites of a subject who was scanned at several "a+b".
func joinSites(known, site string) string {
	if known == "" || site == "" {
		return known + site
	}
	all := strings.Split(known, "+")
	if !slices.Contains(all, site) {
		all = append(all, site)
		slices.Sort(all)
	}
	return strings.Join(all, "+")
}

// some names the first three and counts the rest.
func some(names []string) string { return someOf(names, ", ", "") }

func someOf(names []string, separator, what string) string {
	if len(names) <= 3 {
		return strings.Join(names, separator)
	}
	text := fmt.Sprintf("%s and %d more", strings.Join(names[:3], separator), len(names)-3)
	if what != "" {
		text += " " + what
	}
	return text
}

func (c *Cohort) resolve(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.Dir, filepath.FromSlash(path))
}

// checkFiles refuses rows whose image or mask is not there, all of them in one
// error, and images that are listed twice, under whatever names.
func (c *Cohort) checkFiles(rows []row) error {
	first := map[string]row{}
	var missing []string
	for _, r := range rows {
		for _, file := range append(r.files(), r.mask) {
			if file == "" {
				continue
			}
			if why, ok := c.present(file); !ok {
				missing = append(missing, file+why)
			}
		}
		mask := ""
		if r.mask != "" {
			mask = realPath(c.resolve(r.mask))
		}
		own := map[string]bool{}
		for _, file := range r.files() {
			path := realPath(c.resolve(file))
			if path == mask {
				return fmt.Errorf("%w: %s is given as image and as its mask%s", ErrTable, file, at(r))
			}
			if own[path] {
				return fmt.Errorf("%w: %s is given as two sequences%s", ErrDuplicateImage, file, at(r))
			}
			own[path] = true
			name := fmt.Sprintf("%s volume %d", path, r.volume)
			if other, ok := first[name]; ok {
				return listedTwice(file, other, r)
			}
			first[name] = r
		}
	}
	if len(missing) == 0 {
		return nil
	}
	hint := ""
	if strings.Contains(missing[0], `\`) && filepath.Separator == '/' {
		hint = `; write paths with / instead of \`
	}
	return fmt.Errorf("%w: %d below %s: %s%s", ErrMissingFiles, len(missing), c.Dir, some(missing), hint)
}

func listedTwice(file string, first, second row) error {
	if first.subject == second.subject {
		return fmt.Errorf("%w: %s, of subject %s, in lines %d and %d", ErrDuplicateImage, file, second.subject, first.line, second.line)
	}
	return fmt.Errorf("%w: %s is the image of subject %s and of subject %s%s", ErrDuplicateImage, file, first.subject, second.subject, at(second))
}

// present tells whether an image is there, and if it is something else, what.
func (c *Cohort) present(file string) (why string, ok bool) {
	path := c.resolve(file)
	if archive, _, ok := splitMember(path); ok {
		path = archive
	}
	info, err := os.Stat(path)
	switch {
	case (err != nil || info.IsDir()) && IsDICOMFolder(path):
		return "", true
	case errors.Is(err, fs.ErrNotExist):
		return "", false
	case err != nil:
		return fmt.Sprintf(" (%v)", errors.Unwrap(err)), false
	case info.IsDir():
		return " (a folder without DICOM files: name the image in it)", false
	case !info.Mode().IsRegular():
		return " (not a plain file)", false
	}
	return "", true
}

// realPath follows links, so that a file has one name only.
func realPath(path string) string {
	if followed, err := filepath.EvalSymlinks(path); err == nil {
		path = followed
	}
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}

// findClasses lists the labels in order.
func (c *Cohort) findClasses(rows []row) error {
	known := map[string]bool{}
	numbers := map[string]float64{}
	for _, r := range rows {
		if known[r.label] {
			continue
		}
		known[r.label] = true
		if x, err := strconv.ParseFloat(r.label, 64); err == nil {
			numbers[r.label] = x
		}
	}
	c.Classes = slices.Sorted(maps.Keys(known))
	if len(numbers) == len(known) {
		slices.SortStableFunc(c.Classes, func(a, b string) int {
			if numbers[a] < numbers[b] {
				return -1
			} else if numbers[a] > numbers[b] {
				return 1
			}
			return 0
		})
	}
	for n, class := range c.Classes {
		for _, other := range c.Classes[:n] {
			x, isNumber := numbers[class]
			y, otherIs := numbers[other]
			if strings.EqualFold(class, other) || isNumber && otherIs && x == y {
				return fmt.Errorf("%w: labels %q and %q are two spellings of one class; make them alike", ErrTable, other, class)
			}
		}
	}
	return nil
}

// checkClasses refuses a cohort with nothing to tell apart, and a measurement
// in the place of a class.
func (c *Cohort) checkClasses() error {
	if len(c.Subjects) == 0 {
		return fmt.Errorf("%w: no row has both a label and an image", ErrTable)
	}
	label := c.Columns.Label
	if label == "" {
		label = "folder name"
	}
	if len(c.Classes) < 2 {
		return fmt.Errorf("%w: all %d subjects have %s %s", ErrOneClass, len(c.Subjects), label, c.Classes[0])
	}
	if n := len(c.Classes); n > 20 || n > 4 && 2*n > len(c.Subjects) {
		return fmt.Errorf("%w: %s has %d different values for %d subjects (%s); ballast predicts classes: add a column with few values, such as low and high",
			ErrContinuousLabel, label, n, len(c.Subjects), some(c.Classes))
	}
	return nil
}
