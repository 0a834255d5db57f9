package cohort

import (
	"fmt"
	"slices"
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
	subjectNames = [][]string{{"participant_id", "subject_id", "subject", "patient_id", "patient", "pid", "participant", "subject_group", "patient_group"}}
)

// sets maps the words for a set to its name.
var sets = map[string]string{
	"train": "train", "training": "train",
	"val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
	"test": "test", "testing": "test",
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
// only one that differs in case.
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
		column, err := t.named(asked, "set")
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
