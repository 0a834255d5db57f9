package cohort

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ballast/stat"
)

// Names by which a column is known, compared without regard to case, spaces
// and hyphens counting as underscores. A name of the first line wins over the
// others; two of the others are ambiguous.
var (
	pathNames    = [][]string{{"path", "image_path"}, {"image", "file", "filename", "file_name", "filepath", "file_path", "image_file", "img", "scan", "nifti", "t1", "t1w", "t1_path", "t1w_path"}}
	labelNames   = [][]string{{"label"}, {"outcome", "class", "target", "diagnosis", "response", "pcr"}}
	maskNames    = [][]string{{"mask_path", "mask"}, {"segmentation", "seg", "roi", "mask_file", "segmentation_path"}}
	siteNames    = [][]string{{"site", "centre", "center", "scanner", "hospital", "institution"}}
	setNames     = [][]string{{"split", "set", "partition", "subset", "fold"}}
	volumeNames  = [][]string{{"volume", "volume_index"}}
	sessionNames = [][]string{{"session_id", "session"}}
	foldNames    = [][]string{{"fold", "cv_fold", "official_fold"}}
	subjectNames = [][]string{{"participant_id", "subject_id", "subject", "patient_id", "patient", "pid", "participant", "subject_group", "patient_group"}}
)

// sets maps the words for a set to its name.
var sets = map[string]string{
	"train": "train", "training": "train",
	"val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
	"test": "test", "testing": "test",
}

// A columns is how a table's columns are used beyond what Options says.
type columns struct {
	mask, session string
	volume        string   // column with the volume of 4D files
	index         int      // the volume of all files without one in the column
	rest          []string // used for nothing else
}

// chooseColumns fills c.Columns. The path columns stay empty when the images
// are found elsewhere.
func (c *Cohort) chooseColumns(t *table, o Options, elsewhere bool) (used columns, err error) {
	c.Columns.Session = strings.TrimPrefix(o.Session, "ses-")
	if c.Columns.Label, err = t.find(o.Label, "label", labelNames); err != nil {
		return used, err
	}
	if c.Columns.Label == "" {
		return used, t.missing("label", labelNames)
	}
	if c.Columns.Path, err = t.findPaths(o); err != nil && !(elsewhere && len(o.Path) == 0) {
		return used, err
	}
	if used.mask, err = t.find(o.Mask, "mask", maskNames); err != nil && !(elsewhere && o.Mask != "") {
		return used, err
	}
	c.Columns.Mask = cmp.Or(used.mask, o.Mask)
	if c.Columns.Site, err = t.find(o.Site, "site", siteNames); err != nil {
		return used, err
	}
	if c.Columns.Subject, err = t.findSubject(o.Subject); err != nil {
		return used, err
	}
	if c.Columns.Set, err = t.findSet(o.Set); err != nil {
		return used, err
	}
	if used.session, err = t.find("", "session", sessionNames); err != nil {
		return used, err
	}
	if err = c.chooseVolume(t, o, &used); err != nil {
		return used, err
	}
	if err = c.chooseFold(t, o); err != nil {
		return used, err
	}
	if len(c.Columns.Path) == 0 && !elsewhere {
		return used, fmt.Errorf("the table names no images: %w", t.missing("path", pathNames))
	}
	if len(o.Sequences) > 0 && len(c.Columns.Path) > 0 && !t.areColumns(o.Sequences) {
		return used, fmt.Errorf("%w: %s; %s has the columns %s, of which --path t1,flair makes two sequences", ErrSequence, strings.Join(o.Sequences, ", "), t.path, t.list())
	}
	if len(c.Columns.Path) > 1 {
		c.Sequences = c.Columns.Path
	}
	c.noteColumns(t, o)
	used.rest = c.unusedColumns(t, used)
	c.notePaths(t, used.rest)
	return used, c.chooseCovariates(t, o, &used)
}

// noteColumns speaks up about a coarser column of patients and drops a doubtful
// column of sites.
func (c *Cohort) noteColumns(t *table, o Options) {
	if coarser, groups := t.coarserSubject(c.Columns.Subject); coarser != "" {
		c.Notes = append(c.Notes, fmt.Sprintf("column %s names %d subjects, but column %s groups them into %d; if those are the patients, images of one patient now straddle training and validation: --subject %s",
			c.Columns.Subject, t.distinct(c.Columns.Subject), coarser, groups, coarser))
	}
	if c.Columns.Site != "" && o.Site == "" {
		c.doubtSite(t)
	}
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

// maxVolumeIndex is the largest number that makes a column called volume pass
// for indices without being asked for: larger ones measure something.
const maxVolumeIndex = 999

// chooseVolume finds which volume of 4D files is meant.
func (c *Cohort) chooseVolume(t *table, o Options, used *columns) (err error) {
	c.Columns.Volume, used.index = o.Volume, Unchosen
	if index, err := strconv.Atoi(o.Volume); err == nil {
		if index < 0 {
			return fmt.Errorf("%w: volume %d; volumes count from 0", ErrColumn, index)
		}
		used.index = index
		return nil
	}
	if o.Volume == "none" {
		return nil
	}
	if o.Volume != "" {
		if used.volume, err = t.named(o.Volume, "volume"); err == nil {
			c.Columns.Volume = used.volume
		}
		return err
	}
	if column, err := t.find("", "volume", volumeNames); err == nil && column != "" && t.areIndices(column) {
		used.volume, c.Columns.Volume = column, column
		c.Notes = append(c.Notes, fmt.Sprintf("column %s chooses the volume of 4D files; if it measures something, say --volume none", column))
	}
	return nil
}

// areIndices tells whether a column holds nothing but small whole numbers.
func (t *table) areIndices(column string) bool {
	for row := range t.rows {
		if text := t.value(row, column); text != "" {
			if index, err := strconv.Atoi(text); err != nil || index < 0 || index > maxVolumeIndex {
				return false
			}
		}
	}
	return true
}

// chooseFold finds the fold of a published cross-validation. A column that was
// not asked for has to keep each subject in one fold.
func (c *Cohort) chooseFold(t *table, o Options) (err error) {
	if o.Fold != "" {
		c.Columns.Fold, err = t.named(o.Fold, "set data.fold=")
		return err
	}
	for _, column := range t.candidates(foldNames)[0] {
		if column == c.Columns.Set || column == c.Columns.Label {
			continue
		}
		if t.within(c.Columns.Subject, column) {
			c.Columns.Fold = column
			return nil
		}
		c.Notes = append(c.Notes, fmt.Sprintf("column %s is not taken for folds: it has several values for one subject of column %s", column, c.Columns.Subject))
	}
	return nil
}

// unusedColumns lists the columns that nothing is read from yet.
func (c *Cohort) unusedColumns(t *table, used columns) (rest []string) {
	taken := append([]string{"", c.Columns.Label, c.Columns.Subject, c.Columns.Site, c.Columns.Set, c.Columns.Fold,
		used.mask, used.session, used.volume}, c.Columns.Path...)
	for _, column := range t.columns {
		if !slices.Contains(taken, column) {
			rest = append(rest, column)
		}
	}
	return rest
}

// notePaths speaks up about columns that name images and are not used.
func (c *Cohort) notePaths(t *table, rest []string) {
	if len(c.Columns.Path) == 0 {
		return
	}
	var more []string
	for _, column := range rest {
		for row := range t.rows {
			if value := t.value(row, column); value != "" {
				if _, isImage := imageEnding(value); isImage {
					more = append(more, column)
				}
				break
			}
		}
	}
	if len(more) > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("column %s names images too and is not used; --path %s makes each a channel",
			strings.Join(more, ", "), strings.Join(append(slices.Clone(c.Columns.Path), more...), ",")))
	}
}

func plain(name string) string {
	return strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(name))
}

// candidates returns the table's columns of the given names, in the order of
// the names, tier by tier.
func (t *table) candidates(tiers [][]string) [][]string {
	found := make([][]string, len(tiers))
	for n, names := range tiers {
		for _, name := range names {
			for _, column := range t.columns {
				if plain(column) == name {
					found[n] = append(found[n], column)
				}
			}
		}
	}
	return found
}

// named returns the column that the user asked for: the exact name, else the
// only one that differs in case. A flag that ends in "=" is a key of the plan, in "=[]" one
// with a list.
func (t *table) named(name, flag string) (string, error) {
	if slices.Contains(t.columns, name) {
		return name, nil
	}
	var close []string
	for _, column := range t.columns {
		if strings.EqualFold(column, name) {
			close = append(close, column)
		}
	}
	if len(close) == 1 {
		return close[0], nil
	}
	hint := ""
	if near := nearest(name, t.columns); near != "" {
		hint = fmt.Sprintf("; did you mean --%s %s?", flag, near)
		if key, ok := strings.CutSuffix(flag, "="); ok {
			hint = fmt.Sprintf("; did you mean --%s=%s?", key, near)
		} else if key, ok := strings.CutSuffix(flag, "=[]"); ok {
			hint = fmt.Sprintf("; did you mean --%s=[%s]?", key, near)
		}
	}
	return "", fmt.Errorf("%w: %s has no column %q%s (columns: %s)", ErrColumn, t.path, name, hint, t.list())
}

// find returns the column for a purpose, asked for or known by its name; empty
// when there is none. A tier with two candidates is ambiguous unless it is the
// first, whose order decides.
func (t *table) find(asked, flag string, tiers [][]string) (string, error) {
	if asked != "" {
		return t.named(asked, flag)
	}
	for n, found := range t.candidates(tiers) {
		if len(found) > 1 && plain(found[0]) == plain(found[1]) {
			return "", fmt.Errorf("%w: %s has columns %q and %q, which differ in spelling only; choose with --%s COLUMN", ErrColumn, t.path, found[0], found[1], flag)
		}
		if len(found) == 1 || n == 0 && len(found) > 1 {
			return found[0], nil
		}
		if len(found) > 1 {
			return "", fmt.Errorf("%w: %s has several columns that may be the %s: %s; choose with --%s COLUMN",
				ErrColumn, t.path, flag, strings.Join(found, ", "), flag)
		}
	}
	return "", nil
}

// findPaths returns the columns with image files, asked for or the one that is
// known by its name.
func (t *table) findPaths(o Options) (columns []string, err error) {
	asked := o.Path
	if len(asked) == 0 && t.areColumns(o.Sequences) {
		asked = o.Sequences
	}
	if len(asked) == 0 {
		column, err := t.find("", "path", pathNames)
		if err != nil || column == "" {
			return nil, err
		}
		return []string{column}, nil
	}
	for _, name := range asked {
		column, err := t.named(name, "path")
		if err != nil {
			return nil, err
		}
		if slices.Contains(columns, column) {
			return nil, fmt.Errorf("%w: column %s is asked for twice", ErrColumn, column)
		}
		columns = append(columns, column)
	}
	return columns, nil
}

// areColumns tells whether all names are columns, and there are any.
func (t *table) areColumns(names []string) bool {
	for _, name := range names {
		if _, err := t.named(name, ""); err != nil {
			return false
		}
	}
	return len(names) > 0
}

func (t *table) missing(flag string, tiers [][]string) error {
	return fmt.Errorf("%w: %s has no column that ballast takes for the %s (%s); name it with --%s COLUMN (columns: %s)",
		ErrColumn, t.path, flag, strings.Join(slices.Concat(tiers...), ", "), flag, t.list())
}

// list names the columns, the first 40 of them.
func (t *table) list() string {
	if len(t.columns) > 40 {
		return fmt.Sprintf("%s and %d more", strings.Join(t.columns[:40], ", "), len(t.columns)-40)
	}
	return strings.Join(t.columns, ", ")
}

// findSubject chooses among several subject columns the coarsest, provided
// that each value of the others lies within one value of it: so slices of one
// patient never straddle sets.
func (t *table) findSubject(asked string) (string, error) {
	if asked != "" {
		return t.named(asked, "subject")
	}
	found := t.candidates(subjectNames)[0]
	for _, coarse := range found {
		nested := true
		for _, fine := range found {
			nested = nested && t.within(fine, coarse)
		}
		if nested {
			return coarse, nil
		}
	}
	if len(found) > 0 {
		return "", fmt.Errorf("%w: %s has several columns that may be the subject: %s; choose with --subject COLUMN",
			ErrColumn, t.path, strings.Join(found, ", "))
	}
	return "", fmt.Errorf("%w (one patient per image: --subject with the path column)", t.missing("subject", subjectNames))
}

// coarserSubject returns the column named like one of patients that puts several
// subjects of the chosen column together into the fewest groups; empty when there
// is none.
func (t *table) coarserSubject(chosen string) (column string, groups int) {
	groups = t.distinct(chosen)
	for _, candidate := range t.candidates(subjectNames)[0] {
		if n := t.distinct(candidate); n > 1 && n < groups && t.within(chosen, candidate) {
			column, groups = candidate, n
		}
	}
	return column, groups
}

// distinct counts the values of a column.
func (t *table) distinct(column string) int {
	values := map[string]bool{}
	for row := range t.rows {
		if value := t.value(row, column); value != "" {
			values[value] = true
		}
	}
	return len(values)
}

// within tells whether each value of the fine column goes with one value of
// the coarse one.
func (t *table) within(fine, coarse string) bool {
	parent := map[string]string{}
	for row := range t.rows {
		a, b := t.value(row, fine), t.value(row, coarse)
		if known, ok := parent[a]; ok && known != b {
			return false
		}
		parent[a] = b
	}
	return true
}

// findSet returns a set column whose values are all words for sets. A column
// that was meant for it but holds another value as well is refused: the sets
// would silently be others than the user's.
func (t *table) findSet(asked string) (string, error) {
	if asked != "" {
		column, err := t.named(asked, "set data.set=")
		if err != nil {
			return "", err
		}
		_, err = t.checkSet(column)
		return column, err
	}
	for _, column := range t.candidates(setNames)[0] {
		known, err := t.checkSet(column)
		if err == nil && len(known) > 0 {
			return column, nil
		}
		if known["train"] && (known["validation"] || known["test"]) {
			return "", err
		}
	}
	return "", nil
}

// checkSet returns the sets that a column names, and an error for the first
// value that is no word for a set.
func (t *table) checkSet(column string) (known map[string]bool, err error) {
	known = map[string]bool{}
	for row := range t.rows {
		value := t.value(row, column)
		if value == "" {
			continue
		}
		if set := sets[strings.ToLower(value)]; set != "" {
			known[set] = true
		} else if err == nil {
			err = fmt.Errorf("%w: %s line %d: column %s has %q, which is none of train, validation, test; correct it, or rename the column to have it ignored",
				ErrTable, t.path, t.lines[row], column, value)
		}
	}
	return known, err
}

// nearest returns the name that takes the fewest edits, if at most a third of
// its letters (at least two edits are allowed) have to change.
func nearest(name string, names []string) string {
	best, fewest := "", max(2, len(name)/3)+1
	for _, candidate := range names {
		if n := stat.EditDistance(plain(name), plain(candidate)); n < fewest && n < len(candidate) {
			best, fewest = candidate, n
		}
	}
	return best
}
