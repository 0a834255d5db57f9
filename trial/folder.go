package trial

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"ballast/cohort"
	"ballast/evaluation"
	"ballast/run"
)

// Format is the version of cv.json.
const Format = 1

// Files of a cross-validation.
const (
	RecordFile      = "cv.json"
	PlanFile        = "plan.yaml"
	PredictionsFile = "predictions.tsv"
)

// maxRecord is the largest cv.json or baselines.json that is read, in bytes.
const maxRecord = 64 << 20

// A folder is a cross-validation on disk that this process works on.
type folder struct {
	dir    string
	lock   *os.File // plan.yaml
	config Config
	layout [][]cohort.Split
	record CrossValidation
	made   []*finished // in the order of record.Runs

	volumes volumes // of the subjects
}

// finished is the predictions of a fold.
type finished struct {
	header      run.Header
	predictions run.Evaluation // of the test set by the final weights
	baselines   []foldBaseline
}

// openFolder starts a cross-validation in an absent or empty folder, else checks
// that the folder holds this one and reads its finished folds.
func openFolder(dir string, c Config, layout [][]cohort.Split) (*folder, error) {
	f := &folder{dir: dir, config: c, layout: layout}
	wanted := c.record()
	old, err := Open(dir)
	switch {
	case err == nil:
		return f, f.goOn(old, wanted)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%w: it holds %s and no %s; choose another folder or remove it", run.ErrExists, entries[0].Name(), RecordFile)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := replace(filepath.Join(dir, PlanFile), c.Plan.YAML()); err != nil {
		return nil, err
	}
	f.record = *wanted
	if err := f.take(); err != nil {
		return nil, err
	}
	return f, f.write()
}

// record is the cross-validation before its first fold.
func (c *Config) record() *CrossValidation {
	record := &CrossValidation{
		Format: Format, Creator: c.Creator, Cohort: c.Source, Status: Running,
		Folds: c.Folds, Repeats: c.Repeats, Classes: c.Cohort.Classes, Subjects: []run.Subject{}, Runs: []Fold{},
	}
	for _, s := range c.Cohort.Subjects {
		if s.Set != run.Test {
			record.Subjects = append(record.Subjects, subject(&s))
		}
	}
	return record
}

func subject(s *cohort.Subject) run.Subject {
	return run.Subject{ID: s.ID, Class: s.Class, Site: s.Site, Images: len(s.Images)}
}

// take locks the folder for this process.
func (f *folder) take() error {
	file, err := os.Open(filepath.Join(f.dir, PlanFile))
	if err != nil {
		return err
	}
	if err := run.Lock(file); err != nil {
		file.Close()
		return err
	}
	f.lock = file
	return nil
}

func (f *folder) close() { f.lock.Close() }

// goOn continues an old cross-validation if it is the wanted one.
func (f *folder) goOn(old, wanted *CrossValidation) error {
	stored, err := os.ReadFile(filepath.Join(f.dir, PlanFile))
	if err != nil {
		return err
	}
	plan := f.config.Plan.YAML()
	switch {
	case !bytes.Equal(stored, plan):
		return fmt.Errorf("%w is there: its plan says %s; choose another folder, or the same flags to go on", ErrDiffers, difference(stored, plan))
	case old.Folds != wanted.Folds || old.Repeats > wanted.Repeats:
		return fmt.Errorf("%w is there: of %d folds and %d repeats; choose another folder, or the same numbers to go on", ErrDiffers, old.Folds, old.Repeats)
	case !slices.Equal(old.Classes, wanted.Classes) || !slices.Equal(old.Subjects, wanted.Subjects):
		return fmt.Errorf("%w is there: of other subjects, classes or images (%d subjects there, %d here); choose another folder", ErrDiffers, len(old.Subjects), len(wanted.Subjects))
	}
	if err := f.take(); err != nil {
		return err
	}
	f.record = *wanted
	if err := f.collect(); err != nil {
		return errors.Join(err, f.lock.Close())
	}
	return f.write()
}

// collect reads the finished folds that the folder holds: those whose folder has
// its name, which it gets when training is complete.
func (f *folder) collect() error {
	for repeat := 1; repeat <= f.record.Repeats; repeat++ {
		for fold := 1; fold <= f.record.Folds; fold++ {
			if _, err := os.Stat(filepath.Join(f.dir, runName(repeat, fold))); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err := f.read(repeat, fold); err != nil {
				return err
			}
		}
	}
	return nil
}

// difference names the first line in which two plans differ.
func difference(stored, wanted []byte) string {
	a, b := bytes.Split(stored, []byte("\n")), bytes.Split(wanted, []byte("\n"))
	for n := range min(len(a), len(b)) {
		if !bytes.Equal(a[n], b[n]) {
			return fmt.Sprintf("%q where %q is asked for", bytes.TrimSpace(a[n]), bytes.TrimSpace(b[n]))
		}
	}
	return "something else"
}

func (f *folder) has(repeat, fold int) bool {
	return slices.ContainsFunc(f.record.Runs, func(r Fold) bool { return r.Repeat == repeat && r.Fold == fold })
}

// read reads a finished fold from its run and puts it into the record.
func (f *folder) read(repeat, fold int) error {
	name := runName(repeat, fold)
	invalid := func(format string, values ...any) error {
		return fmt.Errorf("read %s: %w: %s; remove it to train the fold again", filepath.Join(f.dir, name), ErrInvalid, fmt.Sprintf(format, values...))
	}
	r, err := run.Open(filepath.Join(f.dir, name))
	if err != nil {
		return err
	}
	if r.Header.Status != run.Complete && r.Header.Status != run.Stopped {
		return invalid("the run is %s", r.Header.Status)
	}
	sets := r.Header.Sets
	if !slices.EqualFunc(sets[run.Test], f.layout[repeat-1][fold-1].Test, func(s run.Subject, at int) bool {
		return s.ID == f.config.Cohort.Subjects[at].ID && s.Class == f.config.Cohort.Subjects[at].Class
	}) {
		return invalid("its test set is not fold %d of repeat %d", fold, repeat)
	}
	view := f.config.Plan.FinalView()
	at := slices.IndexFunc(r.Test, func(e run.Evaluation) bool { return e.View == view && e.Set == run.Test })
	if at < 0 || len(r.Test[at].Probabilities) == 0 {
		return invalid("the test set was not predicted in the view %q", view)
	}
	baselines, err := readBaselines(filepath.Join(f.dir, name), len(sets[run.Test]), len(r.Header.Classes))
	if err != nil {
		return err
	}
	f.made = append(f.made, &finished{r.Header, r.Test[at], baselines})
	f.record.Runs = append(f.record.Runs, Fold{
		Repeat: repeat, Fold: fold, Seed: f.config.plan(repeat).Seed, Dir: name, Epochs: len(r.Epochs), View: view,
		Train: len(sets[run.Train]), Validation: len(sets[run.Validation]), Test: len(sets[run.Test]),
	})
	return nil
}

// add reads a fold that was just trained and records it.
func (f *folder) add(repeat, fold int) (*Fold, error) {
	if err := f.read(repeat, fold); err != nil {
		return nil, err
	}
	last := f.record.Runs[len(f.record.Runs)-1]
	if err := f.writePredictions(); err != nil {
		return nil, err
	}
	return &last, f.write()
}

// finish computes the results of all folds and records them.
func (f *folder) finish(seed uint64) error {
	f.sort()
	o, err := f.outcome()
	if err != nil {
		return err
	}
	f.record.Results = nil
	for _, m := range measures {
		f.record.Results = append(f.record.Results, o.summarise(m, seed, draws))
	}
	f.record.Baselines = f.against(o)
	f.record.Status = Complete
	if err := f.writePredictions(); err != nil {
		return err
	}
	return f.write()
}

// sort puts the folds in the order of repeats and folds, however they came.
func (f *folder) sort() {
	order := make([]int, len(f.record.Runs))
	for i := range order {
		order[i] = i
	}
	key := func(i int) int { return f.record.Runs[i].Repeat*(f.record.Folds+1) + f.record.Runs[i].Fold }
	slices.SortFunc(order, func(a, b int) int { return key(a) - key(b) })
	runs, made := make([]Fold, len(order)), make([]*finished, len(order))
	for to, from := range order {
		runs[to], made[to] = f.record.Runs[from], f.made[from]
	}
	f.record.Runs, f.made = runs, made
}

// outcome gathers the out-of-fold predictions.
func (f *folder) outcome() (*outcome, error) {
	index := map[string]int{}
	o := &outcome{classes: len(f.record.Classes), folds: f.record.Folds}
	for i, s := range f.record.Subjects {
		index[s.ID] = i
		o.truth = append(o.truth, s.Class)
	}
	for range f.record.Repeats {
		o.rows = append(o.rows, make([][]float64, len(index)))
		o.fold = append(o.fold, make([]int, len(index)))
	}
	for n, fold := range f.record.Runs {
		made := f.made[n]
		for i, s := range made.header.Sets[run.Test] {
			at, ok := index[s.ID]
			if !ok || o.rows[fold.Repeat-1][at] != nil || o.truth[at] != s.Class {
				return nil, fmt.Errorf("read %s: %w: subject %s is not of this fold", filepath.Join(f.dir, fold.Dir), ErrInvalid, s.ID)
			}
			row := evaluation.Widen(made.predictions.Probabilities[i])
			o.rows[fold.Repeat-1][at], o.fold[fold.Repeat-1][at] = row, fold.Fold-1
		}
		o.tested += float64(fold.Test) / float64(len(f.record.Runs))
		o.trained += float64(fold.Train+fold.Validation) / float64(len(f.record.Runs))
	}
	for r := range o.rows {
		if at := slices.IndexFunc(o.rows[r], func(row []float64) bool { return row == nil }); at >= 0 {
			return nil, fmt.Errorf("%w: subject %s is in no fold of repeat %d", ErrInvalid, f.record.Subjects[at].ID, r+1)
		}
	}
	return o, nil
}

// writePredictions writes every out-of-fold prediction there is.
func (f *folder) writePredictions() error {
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	w.Comma = '\t'
	header := []string{"subject", "class", "repeat", "fold", "predicted"}
	for _, class := range f.record.Classes {
		header = append(header, "p_"+class)
	}
	_ = w.Write(header) // a buffer takes everything
	for n, fold := range f.record.Runs {
		made := f.made[n]
		for i, s := range made.header.Sets[run.Test] {
			row := made.predictions.Probabilities[i]
			p := predicted{rows: [][]float64{evaluation.Widen(row)}}
			line := []string{s.ID, f.record.Classes[s.Class], strconv.Itoa(fold.Repeat), strconv.Itoa(fold.Fold), f.record.Classes[p.decisions()[0]]}
			for _, x := range row {
				line = append(line, strconv.FormatFloat(float64(x), 'g', -1, 32))
			}
			_ = w.Write(line)
		}
	}
	w.Flush()
	return replace(filepath.Join(f.dir, PredictionsFile), text.Bytes())
}

func (f *folder) write() error {
	text, err := json.MarshalIndent(f.record, "", "  ")
	if err != nil {
		return err
	}
	return replace(filepath.Join(f.dir, RecordFile), append(text, '\n'))
}

// replace writes a file under a temporary name and renames it.
func replace(name string, data []byte) error {
	temporary := name + ".tmp"
	file, err := os.Create(temporary)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return nil
}

// Open reads cv.json of a folder. The error wraps fs.ErrNotExist where there is
// none, and ErrInvalid where it is not as documented.
func Open(dir string) (*CrossValidation, error) {
	name := filepath.Join(dir, RecordFile)
	text, err := readFile(name)
	if err != nil {
		return nil, err
	}
	record, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return record, nil
}

// readFile reads a file of at most maxRecord bytes.
func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxRecord+1))
	if err == nil && len(text) > maxRecord {
		err = fmt.Errorf("%w: more than %d bytes", ErrInvalid, maxRecord)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}

// decode reads and checks the text of cv.json.
func decode(text []byte) (*CrossValidation, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if version.Format != Format {
		return nil, fmt.Errorf("%w: format %d; this program reads format %d", ErrInvalid, version.Format, Format)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	record := &CrossValidation{}
	if err := decoder.Decode(record); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := record.check(); err != nil {
		return nil, err
	}
	return record, nil
}

// check refuses a record that contradicts itself.
func (c *CrossValidation) check() error {
	switch {
	case c.Status != Running && c.Status != Complete:
		return fmt.Errorf("%w: status %q; it can be %s or %s", ErrInvalid, c.Status, Running, Complete)
	case c.Folds < 2 || c.Repeats < 1:
		return fmt.Errorf("%w: %d folds and %d repeats", ErrInvalid, c.Folds, c.Repeats)
	case len(c.Classes) < 2:
		return fmt.Errorf("%w: %d classes", ErrInvalid, len(c.Classes))
	}
	for _, s := range c.Subjects {
		if s.Class < 0 || s.Class >= len(c.Classes) {
			return fmt.Errorf("%w: subject %s is of class %d; there are %d", ErrInvalid, s.ID, s.Class, len(c.Classes))
		}
	}
	seen := map[[2]int]bool{}
	for _, fold := range c.Runs {
		at := [2]int{fold.Repeat, fold.Fold}
		if fold.Repeat < 1 || fold.Repeat > c.Repeats || fold.Fold < 1 || fold.Fold > c.Folds || seen[at] {
			return fmt.Errorf("%w: fold %d of repeat %d is out of place", ErrInvalid, fold.Fold, fold.Repeat)
		}
		seen[at] = true
	}
	if c.Status == Complete && len(c.Runs) != c.Folds*c.Repeats {
		return fmt.Errorf("%w: complete with %d of %d folds", ErrInvalid, len(c.Runs), c.Folds*c.Repeats)
	}
	return nil
}
