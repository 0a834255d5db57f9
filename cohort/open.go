package cohort

import (
	"cmp"
	"errors"
	"fmt"
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
//   - a BIDS tree: participants.tsv without image paths. Each session that has the
//     chosen sequences is an image; columns of sub-XX_sessions.tsv count as columns
//     of the table;
//   - a MONAI datalist (.json), or a folder with dataset.json or datalist.json;
//   - an archive of arrays (.npz) like MedMNIST's, or a folder with one;
//   - a folder with one subfolder of images per class, or with train, validation
//     and test folders of such subfolders. See openFolders for the subject.
//
// Columns are found by name, whatever their case: the image by path, image_path,
// image, file, filename, scan, t1, ...; the class by label, else outcome, class,
// target, diagnosis, response, pcr; the subject by participant_id, subject_id,
// subject, patient_id, patient, pid, subject_group, patient_group, of several
// the coarsest; the mask by mask_path, mask, segmentation, ...; the site by site,
// centre, scanner, hospital, institution if it has at most 20 values and one for
// every five subjects (a site of the body often has more); the set by split, set,
// partition, subset, fold if all its values are words for sets; the volume of 4D
// files by volume, volume_index if all its values are whole numbers below 1000;
// the session by session_id, session. A column that holds train, validation or
// test, and a word that is none of them, is refused. When the name of a needed
// column is missing or ambiguous, the error lists the columns and the flag to
// name it by. The other columns are kept as covariates and facts. Paths are
// relative to the table's folder; they name a file, a folder with a DICOM series
// (folder#series when it holds several) or an image of an archive
// (file.npz#train_images/17).
//
// A label or path n/a, NA, NaN or empty is missing: the row is left out and
// Cohort.Excluded says so. Classes are sorted, by value if all are numbers.
//
// Files with the same content are found by size and SHA-256: subjects in two
// sets of the table that share one are refused, others are listed in
// Cohort.Duplicates and kept in one set by Split.
//
// Errors wrap ErrNoCohort, ErrTable, ErrArchive, ErrColumn, ErrCovariate, ErrSequence,
// ErrMissingFiles, ErrDuplicateImage, ErrLabelConflict, ErrSubjectInTwoSets,
// ErrContinuousLabel or ErrOneClass.
func Open(path string, o Options) (*Cohort, error) { return open(path, o, false) }

// Inspect is Open for a look at what is wrong: subjects in two sets are listed in
// Cohort.Overlap (and count for the set named first), and images that subjects of
// two sets share in Cohort.Duplicates, instead of being refused.
func Inspect(path string, o Options) (*Cohort, error) { return open(path, o, true) }

func open(path string, o Options, lenient bool) (*Cohort, error) {
	c, err := openAny(path, o, lenient)
	if err == nil {
		err = c.findDuplicates(lenient)
	}
	if err != nil {
		return nil, fmt.Errorf("open cohort %s: %w", path, err)
	}
	return c, nil
}

// OpenTable reads the subjects of a table and nothing else: their classes, sites,
// sets and covariates. They have no images, which the table need not name.
func OpenTable(path string, o Options) (*Cohort, error) {
	name, err := findSource(path)
	if err == nil && kindOf(name) != "table" {
		err = fmt.Errorf("%w: no table here", ErrNoCohort)
	}
	var c *Cohort
	if err == nil {
		c, err = openTable(name, o, false, true)
	}
	if err != nil {
		return nil, fmt.Errorf("open table %s: %w", path, err)
	}
	return c, nil
}

func openAny(path string, o Options, lenient bool) (*Cohort, error) {
	name, err := findSource(path)
	if err != nil {
		return nil, err
	}
	switch kindOf(name) {
	case "datalist":
		return openDatalist(name, o, lenient)
	case "archive":
		return openArchive(name, o, lenient)
	case "table":
		return openTable(name, o, lenient, false)
	}
	return openFolders(path, o, lenient)
}

// kindOf tells by its name what a cohort is read from.
func kindOf(name string) string {
	switch ext := strings.ToLower(filepath.Ext(name)); {
	case name == "":
		return "folders"
	case ext == ".json":
		return "datalist"
	case ext == ".npz":
		return "archive"
	}
	return "table"
}

// findSource returns the file that lists the cohort: the path itself, or what
// its folder holds; empty for a folder without one.
func findSource(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", errors.Unwrap(err)
	}
	if !info.IsDir() {
		return path, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	var tables, datalists, archives []string
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		if name == "participants.tsv" {
			return filepath.Join(path, name), nil
		}
		switch strings.ToLower(filepath.Ext(name)) {
		case ".tsv", ".csv":
			tables = append(tables, name)
		case ".npz":
			archives = append(archives, name)
		case ".json":
			if name == "dataset.json" || name == "datalist.json" {
				datalists = append(datalists, name)
			}
		}
	}
	for _, kind := range []struct {
		names []string
		what  string
	}{{tables, "tables"}, {datalists, "datalists"}, {archives, "archives of arrays"}} {
		switch len(kind.names) {
		case 0:
			continue
		case 1:
			return filepath.Join(path, kind.names[0]), nil
		}
		return "", fmt.Errorf("%w: the folder has several %s (%s); name the one to use", ErrTable, kind.what, strings.Join(kind.names, ", "))
	}
	return "", nil
}

func openTable(name string, o Options, lenient, alone bool) (*Cohort, error) {
	t, err := readTable(name)
	if err != nil {
		return nil, err
	}
	c := &Cohort{Dir: filepath.Dir(name), Table: name}
	return c, c.fromTable(t, o, lenient, alone)
}

// fromTable fills the cohort from a table; alone without its images.
func (c *Cohort) fromTable(t *table, o Options, lenient, alone bool) error {
	var tree *bidsTree
	if !alone && isBIDS(t, o) {
		tree = newBIDSTree(c.Dir)
		if err := tree.joinSessions(t); err != nil {
			return err
		}
	}
	used, err := c.chooseColumns(t, o, tree != nil || alone)
	if err != nil {
		return err
	}
	rows, err := c.readRows(t, used)
	if err != nil {
		return err
	}
	switch {
	case alone:
		return c.build(withoutFiles(rows), lenient)
	case tree != nil:
		rows, err = c.bidsRows(tree, rows, t, o)
	default:
		rows = c.withFiles(rows, used)
	}
	if err != nil {
		return err
	}
	if err := c.checkFiles(rows); err != nil {
		return err
	}
	return c.build(rows, lenient)
}

func withoutFiles(rows []row) []row {
	for n := range rows {
		rows[n].path, rows[n].also, rows[n].mask = "", nil, ""
	}
	return rows
}

// readRows collects the rows that have a label.
func (c *Cohort) readRows(t *table, used columns) ([]row, error) {
	var rows []row
	for n := range t.rows {
		r := row{
			line:    t.lines[n],
			subject: t.value(n, c.Columns.Subject),
			label:   t.value(n, c.Columns.Label),
			site:    t.value(n, c.Columns.Site),
			mask:    t.value(n, used.mask),
			session: strings.TrimPrefix(t.value(n, used.session), "ses-"),
			fold:    t.value(n, c.Columns.Fold),
			set:     sets[strings.ToLower(t.value(n, c.Columns.Set))],
			values:  t.values(n, used.rest),
		}
		if strings.ContainsFunc(r.subject+r.label+r.site, unicode.IsControl) {
			return nil, fmt.Errorf("%w: %s line %d has a control character in %q", ErrTable, t.path, r.line, cmp.Or(firstControl(r.subject, r.label), r.site))
		}
		if r.label == "" {
			c.exclude(r, "no label in column "+c.Columns.Label)
			continue
		}
		if r.subject == "" {
			return nil, fmt.Errorf("%w: %s line %d has no subject in column %s", ErrTable, t.path, r.line, c.Columns.Subject)
		}
		var err error
		if r.volume, err = used.volumeOf(t, n); err != nil {
			return nil, err
		}
		for m, column := range c.Columns.Path {
			if file := t.value(n, column); m == 0 {
				r.path = file
			} else {
				r.also = append(r.also, file)
			}
		}
		rows = append(rows, r)
	}
	return c.oneSession(rows)
}

// volumeOf returns the volume of a row's 4D file.
func (u *columns) volumeOf(t *table, n int) (int, error) {
	text := t.value(n, u.volume)
	if text == "" {
		return u.index, nil
	}
	index, err := strconv.Atoi(strings.TrimSuffix(text, ".0"))
	if err != nil || index < 0 {
		return 0, fmt.Errorf("%w: %s line %d: column %s has %q, which is no index of a volume (0, 1, ...)", ErrTable, t.path, t.lines[n], u.volume, text)
	}
	return index, nil
}

// withFiles leaves out the rows of a table that lack an image, and reads the
// sidecars of the others.
func (c *Cohort) withFiles(rows []row, used columns) []row {
	var complete []row
	for _, r := range rows {
		missing := slices.Index(r.files(), "")
		if missing >= 0 {
			c.exclude(r, "no image in column "+c.Columns.Path[missing])
			continue
		}
		r.facts = readSidecar(c.resolve(sidecarOf(r.path)))
		complete = append(complete, r)
	}
	return complete
}

// oneSession keeps the rows of the chosen session and refuses one that no row
// has. Without a choice all rows stay.
func (c *Cohort) oneSession(rows []row) ([]row, error) {
	sessions := map[string]bool{}
	first := map[string]string{}
	for _, r := range rows {
		if r.session != "" {
			sessions[r.session] = true
			if known, ok := first[r.subject]; !ok || sessionLess(r.session, known) {
				first[r.subject] = r.session
			}
		}
	}
	asked := c.Columns.Session
	if asked == "" || len(sessions) == 0 {
		return rows, nil // a BIDS tree without sessions.tsv chooses among its folders
	}
	if asked != firstSession && !sessions[asked] {
		return nil, fmt.Errorf("%w: no session %q; there are %s", ErrColumn, asked, some(slices.SortedFunc(maps.Keys(sessions), compareSessions)))
	}
	return slices.DeleteFunc(rows, func(r row) bool {
		if asked == firstSession {
			return r.session != first[r.subject]
		}
		return r.session != asked
	}), nil
}

// firstSession is the choice of each subject's first session.
const firstSession = "first"

// compareSessions orders 2 before 10, and names by their letters.
func compareSessions(a, b string) int {
	if x, err := strconv.Atoi(a); err == nil {
		if y, err := strconv.Atoi(b); err == nil && x != y {
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(a, b)
}

func sessionLess(a, b string) bool { return compareSessions(a, b) < 0 }

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
	var where []string
	if r.line > 0 {
		where = append(where, fmt.Sprintf("line %d", r.line))
	}
	if r.subject != "" {
		where = append(where, "subject "+r.subject)
	}
	c.Excluded = append(c.Excluded, strings.Join(where, ", ")+": "+why)
}
