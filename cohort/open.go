package cohort

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Open reads the subjects of a study without reading a voxel. The path is
//
//   - a table (.tsv, .csv) with a row per image;
//   - a folder with participants.tsv, else with one .tsv or .csv table;
//   - a folder with one subfolder of images per class, or with train, validation
//     and test folders of such subfolders. The subject is then the "sub-XX" in a
//     file's name, else the name without its ending. Files called masks by their
//     names (case-7_mask.png, sub-01_seg.nii) are left out and noted.
//
// Columns are found by name, whatever their case: the image by path, image_path,
// image, file, filename, scan, t1, ...; the class by label, else outcome, class,
// target, diagnosis, response, pcr; the subject by participant_id, subject_id,
// subject, patient_id, patient, pid, subject_group, patient_group, of several
// the coarsest; the mask by mask_path, mask, segmentation, ...; the site by site,
// centre, scanner, hospital, institution if it has at most 20 values and one for
// every five subjects (a site of the body often has more); the set by split, set,
// partition, subset, fold if all its values are words for sets. A column that
// holds train, validation or test, and a word that is none of them, is refused.
// When the name of a needed column is missing or ambiguous, the error lists the
// columns and the flag to name it by. Paths are relative to the table's folder; a
// BIDS participants.tsv without them means sub-XX/**/anat/*_T1w.nii(.gz).
//
// A label or path n/a, NA, NaN or empty is missing: the row is left out and
// Cohort.Excluded says so. Classes are sorted, by value if all are numbers.
//
// Errors wrap ErrNoCohort, ErrTable, ErrColumn, ErrMissingFiles, ErrDuplicateImage,
// ErrLabelConflict, ErrSubjectInTwoSets, ErrContinuousLabel or ErrOneClass.
func Open(path string, o Options) (*Cohort, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open cohort %s: %w", path, errors.Unwrap(err))
	}
	name := path
	if info.IsDir() {
		if name, err = findTable(path); err != nil {
			return nil, fmt.Errorf("open cohort %s: %w", path, err)
		}
	}
	var c *Cohort
	if name == "" {
		c, err = openFolders(path, o)
	} else {
		c, err = openTable(name, o)
	}
	if err != nil {
		return nil, fmt.Errorf("open cohort %s: %w", path, err)
	}
	return c, nil
}

// findTable returns the table of a folder, empty when there is none.
func findTable(folder string) (string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	var tables []string
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		if entry.Name() == "participants.tsv" {
			return filepath.Join(folder, entry.Name()), nil
		}
		if ext := strings.ToLower(filepath.Ext(entry.Name())); ext == ".tsv" || ext == ".csv" {
			tables = append(tables, entry.Name())
		}
	}
	switch len(tables) {
	case 0:
		return "", nil
	case 1:
		return filepath.Join(folder, tables[0]), nil
	}
	return "", fmt.Errorf("%w: the folder has several tables (%s); name the one to use", ErrTable, strings.Join(tables, ", "))
}

// A row is one image with what its table or folder says of it.
type row struct {
	line                                  int // 0 when there is no table
	subject, label, set, site, path, mask string
}

func openTable(name string, o Options) (*Cohort, error) {
	t, err := readTable(name)
	if err != nil {
		return nil, err
	}
	c := &Cohort{Dir: filepath.Dir(name), Table: name}
	if err := c.chooseColumns(t, o); err != nil {
		return nil, err
	}
	rows, err := c.readRows(t)
	if err != nil {
		return nil, err
	}
	return c, c.build(rows)
}

// chooseColumns fills c.Columns. A missing path column is left empty when the
// folder is BIDS.
func (c *Cohort) chooseColumns(t *table, o Options) (err error) {
	for _, purpose := range []struct {
		column      *string
		asked, flag string
		tiers       [][]string
	}{
		{&c.Columns.Label, o.Label, "label", labelNames},
		{&c.Columns.Path, o.Path, "path", pathNames},
		{&c.Columns.Mask, o.Mask, "mask", maskNames},
		{&c.Columns.Site, o.Site, "site", siteNames},
	} {
		if *purpose.column, err = t.find(purpose.asked, purpose.flag, purpose.tiers); err != nil {
			return err
		}
	}
	if c.Columns.Label == "" {
		return t.missing("label", labelNames)
	}
	if c.Columns.Subject, err = t.findSubject(o.Subject); err != nil {
		return err
	}
	if coarser, groups := t.coarserSubject(c.Columns.Subject); coarser != "" {
		c.Notes = append(c.Notes, fmt.Sprintf("column %s names %d subjects, but column %s groups them into %d; if those are the patients, images of one patient now straddle training and validation: --subject %s",
			c.Columns.Subject, t.distinct(c.Columns.Subject), coarser, groups, coarser))
	}
	if c.Columns.Set, err = t.findSet(o.Set); err != nil {
		return err
	}
	if c.Columns.Path == "" && plain(c.Columns.Subject) != "participant_id" {
		return t.missing("path", pathNames)
	}
	if c.Columns.Site != "" && o.Site == "" {
		c.doubtSite(t)
	}
	return nil
}

// doubtSite drops a site column that was found by its name alone but holds too
// many values for places where patients were scanned.
func (c *Cohort) doubtSite(t *table) {
	values, subjects := map[string]bool{}, map[string]bool{}
	for row := range t.rows {
		subjects[t.value(row, c.Columns.Subject)] = true
		if site := t.value(row, c.Columns.Site); site != "" {
			values[site] = true
		}
	}
	if len(values) > 20 || 5*len(values) > len(subjects) {
		c.Notes = append(c.Notes, fmt.Sprintf("column %s is not taken for the scanning site: %d values for %d subjects (use it all the same with --site %s)",
			c.Columns.Site, len(values), len(subjects), c.Columns.Site))
		c.Columns.Site = ""
	}
}

// readRows collects the rows that have a label and an image.
func (c *Cohort) readRows(t *table) ([]row, error) {
	var rows []row
	var absent []string
	for n := range t.rows {
		r := row{
			line:    t.lines[n],
			subject: t.value(n, c.Columns.Subject),
			label:   t.value(n, c.Columns.Label),
			site:    t.value(n, c.Columns.Site),
			path:    t.value(n, c.Columns.Path),
			mask:    t.value(n, c.Columns.Mask),
			set:     sets[strings.ToLower(t.value(n, c.Columns.Set))],
		}
		if r.subject == "" {
			return nil, fmt.Errorf("%w: %s line %d has no subject in column %s", ErrTable, t.path, r.line, c.Columns.Subject)
		}
		if strings.ContainsFunc(r.subject+r.label+r.site, unicode.IsControl) {
			return nil, fmt.Errorf("%w: %s line %d has a control character in %q", ErrTable, t.path, r.line, cmp.Or(firstControl(r.subject, r.label), r.site))
		}
		if r.label == "" {
			c.exclude(r, "no label in column "+c.Columns.Label)
			continue
		}
		if c.Columns.Path == "" {
			path, err := findBIDS(c.Dir, r.subject)
			if err != nil {
				return nil, err
			}
			if path == "" {
				absent = append(absent, r.subject)
				continue
			}
			r.path = path
		}
		if r.path == "" {
			c.exclude(r, "no image in column "+c.Columns.Path)
			continue
		}
		rows = append(rows, r)
	}
	if len(absent) > 0 {
		return nil, fmt.Errorf("%w: no anat/*_T1w.nii.gz below %s for %s; add a path column to %s, or name it with --path COLUMN (columns: %s)",
			ErrMissingFiles, c.Dir, some(absent), filepath.Base(t.path), t.list())
	}
	return rows, nil
}

// firstControl returns the first text with a control character.
func firstControl(texts ...string) string {
	for _, text := range texts {
		if strings.ContainsFunc(text, unicode.IsControl) {
			return text
		}
	}
	return ""
}

func (c *Cohort) exclude(r row, why string) {
	c.Excluded = append(c.Excluded, fmt.Sprintf("line %d, subject %s: %s", r.line, r.subject, why))
}

// findBIDS returns the one T1-weighted image of a participant, relative to the
// folder; empty when there is none.
func findBIDS(folder, participant string) (string, error) {
	if !strings.HasPrefix(participant, "sub-") {
		participant = "sub-" + participant
	}
	var found []string
	for _, pattern := range []string{"anat", "*/anat"} {
		for _, ending := range []string{"*_T1w.nii", "*_T1w.nii.gz"} {
			matches, err := filepath.Glob(filepath.Join(escapeGlob(filepath.Join(folder, participant)), filepath.FromSlash(pattern), ending))
			if err != nil {
				return "", fmt.Errorf("%w: participant %q", ErrTable, participant)
			}
			found = append(found, matches...)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return filepath.Rel(folder, found[0])
	}
	return "", fmt.Errorf("%w: participant %s has %d T1w images (%s); choose one in a path column", ErrTable, participant, len(found), some(found))
}

func escapeGlob(path string) string {
	return strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`).Replace(path)
}

// some names the first three and counts the rest.
func some(names []string) string {
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
}

// build turns rows into subjects and refuses what no study can mean.
func (c *Cohort) build(rows []row) error {
	if err := c.checkFiles(rows); err != nil {
		return err
	}
	if err := c.findClasses(rows); err != nil {
		return err
	}
	subjects := map[string]*Subject{}
	for _, r := range rows {
		class := slices.Index(c.Classes, r.label)
		s := subjects[r.subject]
		if s == nil {
			s = &Subject{ID: r.subject, Class: class, Set: r.set}
			subjects[r.subject] = s
		}
		if s.Class != class {
			return fmt.Errorf("%w: %s is %s and %s%s", ErrLabelConflict, r.subject, c.Classes[s.Class], r.label, at(r))
		}
		if s.Set != r.set {
			return fmt.Errorf("%w: %s is in %s and in %s%s", ErrSubjectInTwoSets, r.subject, orNone(s.Set), orNone(r.set), at(r))
		}
		s.Site = joinSites(s.Site, r.site)
		image := Image{Path: c.resolve(r.path)}
		if r.mask != "" {
			image.Mask = c.resolve(r.mask)
		}
		s.Images = append(s.Images, image)
	}
	spelt := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(subjects)) {
		c.Subjects = append(c.Subjects, *subjects[id])
		if other, ok := spelt[strings.ToLower(id)]; ok {
			c.Notes = append(c.Notes, fmt.Sprintf("subjects %q and %q count as two patients; if they are one, write them alike", other, id))
		}
		spelt[strings.ToLower(id)] = id
	}
	return c.checkClasses()
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
		for _, file := range []string{r.path, r.mask} {
			if file == "" {
				continue
			}
			if why, ok := c.present(file); !ok {
				missing = append(missing, file+why)
			}
		}
		path := realPath(c.resolve(r.path))
		if r.mask != "" && realPath(c.resolve(r.mask)) == path {
			return fmt.Errorf("%w: %s is given as image and as its mask%s", ErrTable, r.path, at(r))
		}
		if other, ok := first[path]; ok {
			if other.subject == r.subject {
				return fmt.Errorf("%w: %s, of subject %s, in lines %d and %d", ErrDuplicateImage, r.path, r.subject, other.line, r.line)
			}
			return fmt.Errorf("%w: %s is the image of subject %s and of subject %s%s", ErrDuplicateImage, r.path, other.subject, r.subject, at(r))
		}
		first[path] = r
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

// present tells whether a file is there, and if it is something else, what.
func (c *Cohort) present(file string) (why string, ok bool) {
	info, err := os.Stat(c.resolve(file))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false
	case err != nil:
		return fmt.Sprintf(" (%v)", errors.Unwrap(err)), false
	case info.IsDir():
		return " (a folder: name the image in it, and convert a DICOM series with dcm2niix)", false
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
