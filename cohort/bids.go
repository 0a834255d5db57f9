package cohort

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A bidsTree is a folder by the Brain Imaging Data Structure (BIDS 1.10):
// sub-XX[/ses-YY]/anat/sub-XX[_ses-YY][_key-value...]_suffix.nii[.gz].
type bidsTree struct {
	dir      string
	sidecars map[string][]bidsFile // of each folder, listed once
}

// A bidsFile is one file of a tree. Its entities are the key-value pairs of its
// name but sub and ses.
type bidsFile struct {
	path     string // relative to the tree
	session  string // folder between the subject's and the data type's, without "ses-"
	datatype string // anat, dwi, perf, ...
	entities []string
	suffix   string // T1w, FLAIR, ...
}

// A visit is one session of a participant.
type visit struct {
	row   row
	files []bidsFile
}

// usualSequences come first in the choice of one; others follow by name.
var usualSequences = []string{"T1w", "T2w", "FLAIR", "T2starw", "PDw"}

// isBIDS tells whether a table lists the participants of a tree: it names them
// by participant_id and no image.
func isBIDS(t *table, o Options) bool {
	path, err := t.find("", "path", pathNames)
	if err != nil || path != "" || len(o.Path) > 0 || t.areColumns(o.Sequences) {
		return false
	}
	subject, err := t.findSubject(o.Subject)
	return err == nil && plain(subject) == "participant_id"
}

func newBIDSTree(dir string) *bidsTree {
	return &bidsTree{dir: dir, sidecars: map[string][]bidsFile{}}
}

// label is the participant's folder.
func (b *bidsTree) label(participant string) string {
	if strings.HasPrefix(participant, "sub-") {
		return participant
	}
	return "sub-" + participant
}

// joinSessions puts the columns of each sub-XX/sub-XX_sessions.tsv beside those
// of its participant, a row per session, or beside the participant's row of that
// session. Where both have a value the session's counts. The table is changed.
func (b *bidsTree) joinSessions(t *table) error {
	column := t.candidates([][]string{{"participant_id"}})[0][0]
	var rows [][]string
	var lines []int
	found := false
	perSession := "" // the participants' own column of sessions
	if columns := t.candidates(sessionNames)[0]; len(columns) > 0 {
		perSession = columns[0]
	}
	for n, fields := range t.rows {
		folder, own := b.label(t.value(n, column)), t.value(n, perSession)
		name := filepath.Join(b.dir, folder, folder+"_sessions.tsv")
		if _, err := os.Stat(name); err != nil || strings.ContainsAny(folder, `/\`) {
			rows, lines = append(rows, fields), append(lines, t.lines[n])
			continue
		}
		sessions, err := readTable(name)
		if err != nil {
			return err
		}
		if len(sessions.candidates([][]string{{"session_id"}})[0]) == 0 {
			return fmt.Errorf("%w: %s has no column session_id (columns: %s)", ErrTable, name, sessions.list())
		}
		found = true
		matched := false
		for m, row := range sessions.rows {
			if own == "" || sameSession(own, sessions.value(m, sessions.candidates(sessionNames)[0][0])) {
				rows, lines, matched = append(rows, t.extend(fields, sessions.columns, row)), append(lines, t.lines[n]), true
			}
		}
		if !matched {
			rows, lines = append(rows, fields), append(lines, t.lines[n])
		}
	}
	if !found {
		return nil
	}
	for n := range rows { // rows from before a column was met
		for len(rows[n]) < len(t.columns) {
			rows[n] = append(slices.Clip(rows[n]), "")
		}
	}
	t.rows, t.lines = rows, lines
	return nil
}

func sameSession(a, b string) bool {
	return strings.TrimPrefix(a, "ses-") == strings.TrimPrefix(b, "ses-")
}

// extend puts the values of more columns beside a row, adding columns that the
// table does not have yet.
func (t *table) extend(row, columns, values []string) []string {
	row = slices.Clone(row)
	for n, name := range columns {
		at := slices.Index(t.columns, name)
		if at < 0 {
			at = len(t.columns)
			t.columns = append(slices.Clip(t.columns), name)
		}
		for len(row) <= at {
			row = append(row, "")
		}
		if nonMissing(values[n]) != "" {
			row[at] = values[n]
		}
	}
	return row
}

// files lists the images of a participant below a folder of the tree, "" or
// "derivatives/NAME": in sub-XX/TYPE and in sub-XX/SESSION/TYPE.
func (b *bidsTree) files(below, participant string) ([]bidsFile, error) {
	folder := b.label(participant)
	if strings.ContainsAny(folder, `/\`) {
		return nil, fmt.Errorf("%w: participant %q", ErrTable, participant)
	}
	var files []bidsFile
	top := filepath.Join(below, folder)
	names, err := subfolders(filepath.Join(b.dir, top))
	if err != nil {
		return nil, nil // no such participant
	}
	for _, name := range names {
		inner, err := subfolders(filepath.Join(b.dir, top, name))
		if err != nil {
			return nil, err
		}
		files = append(files, b.list(filepath.Join(top, name), "", name)...)
		for _, datatype := range inner {
			files = append(files, b.list(filepath.Join(top, name, datatype), strings.TrimPrefix(name, "ses-"), datatype)...)
		}
	}
	return files, nil
}

// list reads one folder of images.
func (b *bidsTree) list(folder, session, datatype string) []bidsFile {
	var files []bidsFile
	entries, _ := os.ReadDir(filepath.Join(b.dir, folder)) // a folder that cannot be read holds no images
	for _, entry := range entries {
		ending, isImage := imageEnding(entry.Name())
		if !isImage || strings.HasPrefix(entry.Name(), ".") || entry.IsDir() {
			continue
		}
		file := parseBIDS(strings.TrimSuffix(entry.Name(), ending))
		file.path, file.session, file.datatype = filepath.Join(folder, entry.Name()), session, datatype
		files = append(files, file)
	}
	return files
}

// parseBIDS takes a name without its ending apart.
func parseBIDS(stem string) (file bidsFile) {
	parts := strings.Split(stem, "_")
	file.suffix = parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		if !strings.HasPrefix(part, "sub-") && !strings.HasPrefix(part, "ses-") {
			file.entities = append(file.entities, part)
		}
	}
	return file
}

// name is the file's sequence: T1w, ce-gd_T1w, acq-ax_run-2_FLAIR.
func (f *bidsFile) name() string {
	return strings.Join(append(slices.Clone(f.entities), f.suffix), "_")
}

// pick returns the file of a sequence: the one with its suffix and entities; of
// several the one that has no further entity. Two of these are ambiguous.
func pick(files []bidsFile, sequence string) (*bidsFile, error) {
	asked := parseBIDS(sequence)
	var matches, exact []*bidsFile
	for n := range files {
		f := &files[n]
		if f.suffix != asked.suffix || slices.ContainsFunc(asked.entities, func(e string) bool { return !slices.Contains(f.entities, e) }) {
			continue
		}
		matches = append(matches, f)
		if len(f.entities) == len(asked.entities) {
			exact = append(exact, f)
		}
	}
	switch {
	case len(matches) == 0:
		return nil, nil
	case len(matches) == 1:
		return matches[0], nil
	case len(exact) == 1:
		return exact[0], nil
	}
	var names, paths []string
	for _, f := range matches {
		names, paths = append(names, f.name()), append(paths, f.path)
	}
	return nil, fmt.Errorf("%d %s images (%s); choose with --sequences %s, or name one in a path column",
		len(matches), sequence, some(paths), strings.Join(slices.Compact(names), " or "))
}

// bidsRows turns the rows of participants into a row per visit that has all
// chosen sequences.
func (c *Cohort) bidsRows(tree *bidsTree, participants []row, t *table, o Options) ([]row, error) {
	visits, err := c.visits(tree, participants)
	if err != nil {
		return nil, err
	}
	if len(o.Sequences) > 0 {
		c.Sequences = slices.Clone(o.Sequences)
	} else if c.Sequences, err = c.chooseSequence(visits); err != nil {
		return nil, err
	}
	c.Columns.Sequences = c.Sequences
	var rows []row
	complete := map[string]bool{}
	for _, v := range visits {
		lacks, err := v.take(tree, c.Sequences, c.bidsMask(t))
		if err != nil {
			return nil, fmt.Errorf("%w: participant %s has %w", ErrSequence, v.row.subject, err)
		}
		if lacks == "" {
			complete[v.row.subject] = true
			rows = append(rows, v.row)
		} else if v.row.session != "" {
			c.exclude(v.row, "no "+lacks+" in session "+v.row.session)
		}
	}
	var absent []string
	for _, r := range participants {
		if !complete[r.subject] && !slices.Contains(absent, r.subject) {
			absent = append(absent, r.subject)
		}
	}
	if len(absent) > 0 {
		there := ""
		if names := sequenceNames(visits); len(names) > 0 {
			there = fmt.Sprintf(" (sequences there: %s)", strings.Join(names, ", "))
		}
		return nil, fmt.Errorf("%w: no anat/*_%s.nii.gz below %s for %s%s; give them the label n/a to leave them out, add a path column to %s, or name it with --path COLUMN (columns: %s)",
			ErrMissingFiles, strings.Join(c.Sequences, " and *_"), c.Dir, some(absent), there, filepath.Base(t.path), t.list())
	}
	return rows, nil
}

// sequenceNames lists what there is to choose from, at most a dozen.
func sequenceNames(visits []visit) []string {
	var names []string
	for _, v := range visits {
		for _, f := range v.files {
			names = append(names, f.name())
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), 12)]
}

// bidsMask is the name of the masks in the tree, empty when the table names them.
func (c *Cohort) bidsMask(t *table) string {
	if slices.Contains(t.columns, c.Columns.Mask) {
		return ""
	}
	return c.Columns.Mask
}

// visits lists the sessions of the participants that are to be used.
func (c *Cohort) visits(tree *bidsTree, participants []row) ([]visit, error) {
	var visits []visit
	sessions := map[string]bool{}
	for _, r := range participants {
		files, err := tree.files("", r.subject)
		if err != nil {
			return nil, err
		}
		bySession := map[string][]bidsFile{}
		for _, f := range files {
			bySession[f.session] = append(bySession[f.session], f)
		}
		if r.session != "" && bySession[r.session] == nil {
			c.exclude(r, "no images in session "+r.session)
		}
		for n, session := range slices.SortedFunc(maps.Keys(bySession), compareSessions) {
			sessions[session] = true
			asked := cmp.Or(r.session, c.Columns.Session)
			if asked == firstSession && n > 0 || asked != "" && asked != firstSession && asked != session {
				continue
			}
			v := visit{r, bySession[session]}
			v.row.session = session
			visits = append(visits, v)
		}
	}
	if asked := c.Columns.Session; asked != "" && asked != firstSession && !sessions[asked] {
		delete(sessions, "")
		return nil, fmt.Errorf("%w: no session %q; there are %s", ErrColumn, asked, cmp.Or(some(slices.SortedFunc(maps.Keys(sessions), compareSessions)), "none"))
	}
	return visits, nil
}

// take fills the row of a visit with its sequences and its mask, and names the
// first sequence that it lacks.
func (v *visit) take(tree *bidsTree, sequences []string, mask string) (lacks string, err error) {
	v.row.also = nil
	for n, sequence := range sequences {
		f, err := pick(v.files, sequence)
		if err != nil || f == nil {
			return sequence, err
		}
		if n == 0 {
			v.row.path, v.row.facts = f.path, tree.facts(f)
		} else {
			v.row.also = append(v.row.also, f.path)
		}
	}
	if mask == "" {
		return "", nil
	}
	files := v.files
	derivatives, _ := subfolders(filepath.Join(tree.dir, "derivatives")) // there need not be any
	for _, name := range derivatives {
		more, err := tree.files(filepath.Join("derivatives", name), v.row.subject)
		if err != nil {
			return "", err
		}
		files = append(files, slices.DeleteFunc(more, func(f bidsFile) bool { return f.session != v.row.session })...)
	}
	f, err := pick(files, mask)
	if f != nil {
		v.row.mask = f.path
	}
	return "", err
}

// A sequenceTally counts who has a sequence, and who has it twice in one visit.
type sequenceTally struct {
	name      string
	subjects  map[string]bool
	ambiguous error
}

// tally lists the anatomical sequences of the visits by suffix, T1w, T2w, FLAIR,
// T2starw and PDw first. Masks and segmentations are none.
func tally(visits []visit) []sequenceTally {
	found := map[string]*sequenceTally{}
	for _, v := range visits {
		anat := slices.DeleteFunc(slices.Clone(v.files), func(f bidsFile) bool { return f.datatype != "anat" })
		for _, f := range anat {
			if f.suffix == "mask" || strings.HasSuffix(f.suffix, "seg") {
				continue
			}
			sequence := found[f.suffix]
			if sequence == nil {
				sequence = &sequenceTally{name: f.suffix, subjects: map[string]bool{}}
				found[f.suffix] = sequence
			}
			sequence.subjects[v.row.subject] = true
			if _, err := pick(anat, f.suffix); err != nil && sequence.ambiguous == nil {
				sequence.ambiguous = fmt.Errorf("%w: participant %s has %w", ErrSequence, v.row.subject, err)
			}
		}
	}
	var list []sequenceTally
	for _, name := range slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		return cmp.Or(cmp.Compare(usualRank(a), usualRank(b)), cmp.Compare(a, b))
	}) {
		list = append(list, *found[name])
	}
	return list
}

// chooseSequence returns the first sequence that all participants have in some
// visit, and notes which more there are.
func (c *Cohort) chooseSequence(visits []visit) ([]string, error) {
	subjects := map[string]bool{}
	for _, v := range visits {
		subjects[v.row.subject] = true
	}
	list := tally(visits)
	chosen := slices.IndexFunc(list, func(s sequenceTally) bool { return len(s.subjects) == len(subjects) && s.ambiguous == nil })
	var others, counts []string
	for n, s := range list {
		if n != chosen {
			others, counts = append(others, s.name), append(counts, fmt.Sprintf("%s (%d of %d subjects)", s.name, len(s.subjects), len(subjects)))
		}
	}
	if chosen >= 0 {
		name := list[chosen].name
		if len(others) > 0 {
			c.Notes = append(c.Notes, fmt.Sprintf("sequence %s is used, which all subjects have; there are also %s: --sequences %s,%s makes each a channel",
				name, strings.Join(counts, ", "), name, others[0]))
		}
		return []string{name}, nil
	}
	for _, s := range list {
		if s.ambiguous != nil {
			return nil, s.ambiguous
		}
	}
	if len(list) > 1 {
		return nil, fmt.Errorf("%w: no sequence is there for all subjects: %s; give subjects without it the label n/a and choose with --sequences NAME",
			ErrMissingFiles, strings.Join(counts, ", "))
	}
	return append(others, "T1w")[:1], nil // the one that some lack, who are named next
}

func usualRank(name string) int {
	if rank := slices.Index(usualSequences, name); rank >= 0 {
		return rank
	}
	return len(usualSequences)
}

// facts merges the sidecars that apply to an image, by the inheritance principle
// of BIDS: those in the folders from the tree's own down to the image's with its
// suffix and none but its entities; deeper ones win.
func (b *bidsTree) facts(f *bidsFile) map[string]string {
	facts := map[string]string{}
	own := strings.Split(strings.TrimSuffix(filepath.Base(sidecarOf(f.path)), ".json"), "_")
	for _, folder := range foldersDownTo(filepath.Dir(f.path)) {
		for _, sidecar := range b.sidecarsIn(folder) {
			if sidecar.suffix == f.suffix && !slices.ContainsFunc(sidecar.entities, func(e string) bool { return !slices.Contains(own, e) }) {
				maps.Copy(facts, readSidecar(filepath.Join(b.dir, sidecar.path)))
			}
		}
	}
	if len(facts) == 0 {
		return nil
	}
	return facts
}

// foldersDownTo lists "" and each folder on the way to the given one.
func foldersDownTo(folder string) []string {
	list := []string{""}
	for n, r := range folder {
		if r == filepath.Separator {
			list = append(list, folder[:n])
		}
	}
	return append(list, folder)
}

// sidecarsIn lists the JSON files of a folder, those with fewer entities first.
// Their entities include sub and ses.
func (b *bidsTree) sidecarsIn(folder string) []bidsFile {
	if known, ok := b.sidecars[folder]; ok {
		return known
	}
	var list []bidsFile
	entries, _ := os.ReadDir(filepath.Join(b.dir, folder)) // sidecars are a help only
	for _, entry := range entries {
		if strings.EqualFold(filepath.Ext(entry.Name()), ".json") {
			parts := strings.Split(strings.TrimSuffix(entry.Name(), filepath.Ext(entry.Name())), "_")
			list = append(list, bidsFile{path: filepath.Join(folder, entry.Name()), entities: parts[:len(parts)-1], suffix: parts[len(parts)-1]})
		}
	}
	slices.SortStableFunc(list, func(a, b bidsFile) int { return cmp.Compare(len(a.entities), len(b.entities)) })
	b.sidecars[folder] = list
	return list
}
