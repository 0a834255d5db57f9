package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"ballast/cohort"
	"ballast/run"
	"ballast/train"
)

// A Config says what is cross-validated, and how.
type Config struct {
	Plan    train.Plan // of every fold but for the seed; what it leaves open is chosen for each fold
	Cohort  *cohort.Cohort
	Source  string // where the cohort was read, for the record
	Folds   int    // at least 2
	Repeats int    // at least 1
	Creator string // program and version, for the record

	NoBaselines bool // fit no models to compare with

	Reading train.Reading // of images; Each is replaced
	// Admit may refuse a fold's resolved plan, given the number of its images,
	// before they are read; may be nil.
	Admit    func(p train.Plan, images int) error
	Progress func(Progress) // called from one goroutine, but while images are read from several; may be nil
}

// Progress says how far a cross-validation is.
type Progress struct {
	Share        float64    // of the folds that this call trains, 0 to 1
	Repeat, Fold int        // under way, from 1
	Finished     *Fold      // the fold just finished, else nil
	Epoch        *run.Epoch // the epoch just finished, else nil
	Read, Images int        // while a fold's images are read: how many are, and how many there are; else 0
	Notes        []string   // on the images of the first fold, else nil
}

// The status of a cross-validation.
const (
	Running  = "running"  // folds are missing
	Complete = "complete" // every fold of every repeat is there
)

// A CrossValidation is what cv.json holds; see docs/format/cv.md.
type CrossValidation struct {
	Format    int           `json:"format"`
	Creator   string        `json:"creator"`
	Cohort    string        `json:"cohort"`
	Status    string        `json:"status"`
	Folds     int           `json:"folds"`
	Repeats   int           `json:"repeats"`
	Classes   []string      `json:"classes"`
	Subjects  []run.Subject `json:"subjects"`  // those that are tested, once in each repeat
	Runs      []Fold        `json:"runs"`      // the finished folds, in order
	Results   []Result      `json:"results"`   // once complete; nil before
	Baselines []Baseline    `json:"baselines"` // once complete; nil before
}

// A Fold is one training of a cross-validation: a run whose test set is the fold.
type Fold struct {
	Repeat     int    `json:"repeat"` // from 1
	Fold       int    `json:"fold"`   // from 1
	Seed       uint64 `json:"seed"`   // of the division into folds and of the training
	Dir        string `json:"dir"`    // the run, a folder beside cv.json
	Train      int    `json:"train"`  // subjects
	Validation int    `json:"validation"`
	Test       int    `json:"test"`
	Epochs     int    `json:"epochs"` // trained
	View       string `json:"view"`   // of the predictions: that of the plan's final weights
}

// CrossValidate trains the folds that the folder lacks and returns the whole
// cross-validation. The folder may be absent, empty, or hold some folds of the
// same cross-validation; of another one ErrDiffers is returned.
//
// In repeat r, counted from 1, subjects are divided into folds, stratified, with
// the seed plan.Seed + r - 1, which the networks are trained with, too. Each fold in
// turn is the test set of a run: nothing is chosen by looking at it. The subjects of
// the other folds are divided into training and validation subjects as `ballast
// train` divides a cohort, and the plan is resolved and the preprocessing fitted on
// the training subjects alone. A fold is predicted with the plan's final weights.
//
// A fold that ctx interrupts goes on after its last finished epoch when the
// cross-validation does, and ends with the bits of one that was never interrupted.
// train.ErrInterrupted and train.ErrDiverged pass through.
func CrossValidate(ctx context.Context, dir string, c Config) (*CrossValidation, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	layout, err := c.layout()
	if err != nil {
		return nil, err
	}
	f, err := openFolder(dir, c, layout)
	if err != nil {
		return nil, fmt.Errorf("cross-validate into %s: %w", dir, err)
	}
	defer f.close()
	total, done := c.Folds*c.Repeats-len(f.record.Runs), 0
	for r, splits := range layout {
		for k, split := range splits {
			if f.has(r+1, k+1) {
				continue
			}
			job := foldJob{Config: c, folder: f, split: split, repeat: r + 1, fold: k + 1, done: done, total: total}
			if err := job.run(ctx); err != nil {
				return nil, fmt.Errorf("fold %d of repeat %d: %w", k+1, r+1, err)
			}
			fold, err := f.add(r+1, k+1)
			if err != nil {
				return nil, fmt.Errorf("cross-validate into %s: %w", dir, err)
			}
			job.tell(Progress{Share: 1, Finished: fold})
			done++
		}
	}
	if err := f.finish(c.Plan.Seed); err != nil {
		return nil, fmt.Errorf("cross-validate into %s: %w", dir, err)
	}
	return &f.record, nil
}

// check refuses what a cross-validation cannot do.
func (c *Config) check() error {
	s := c.Plan.Split
	switch {
	case c.Folds < 2 || c.Repeats < 1:
		return fmt.Errorf("%w: %d folds and %d repeats; there must be at least 2 and 1", train.ErrPlan, c.Folds, c.Repeats)
	case s.Test != 0:
		return fmt.Errorf("%w: split.test is %g, but in a cross-validation each fold is the test set; set it to 0", train.ErrPlan, s.Test)
	case s.LeaveOut != "" || s.Fold != "":
		return fmt.Errorf("%w: split.leave_out and split.fold name a set, but in a cross-validation each fold is the test set; leave them empty", train.ErrPlan)
	}
	if c.Plan.Mistakes.ChangeSubjects() {
		return fmt.Errorf("%w: mistakes.drop, permute_labels, label_noise and leak change who is tested, but a cross-validation tests every subject as it is; leave them out", train.ErrPlan)
	}
	return c.Plan.Validate()
}

// plan is that of the folds of a repeat.
func (c *Config) plan(repeat int) train.Plan {
	p := c.Plan
	p.Seed += uint64(repeat - 1)
	return p
}

// layout is the sets of each fold of each repeat.
func (c *Config) layout() ([][]cohort.Split, error) {
	var layout [][]cohort.Split
	for repeat := range c.Repeats {
		splits, err := c.Cohort.NestedFolds(c.plan(repeat+1).Seed, c.Folds, c.Plan.Split.Validation, c.Plan.Split.Stratify...)
		if err != nil {
			return nil, err
		}
		layout = append(layout, splits)
	}
	return layout, nil
}

// A foldJob trains one fold.
type foldJob struct {
	Config
	folder       *folder
	split        cohort.Split
	repeat, fold int
	done, total  int // folds that this call has trained and trains
}

func (j *foldJob) tell(p Progress) {
	if j.Progress == nil {
		return
	}
	p.Share = (float64(j.done) + p.Share) / float64(j.total)
	p.Repeat, p.Fold = j.repeat, j.fold
	j.Progress(p)
}

// run trains the fold into a folder with the ending ".partial", which it renames
// when training is complete.
func (j *foldJob) run(ctx context.Context) error {
	reading, read := j.Reading, atomic.Int64{}
	images := j.images()
	reading.Each = func() { j.tell(Progress{Read: min(int(read.Add(1)), images), Images: images}) }
	plan, err := train.Resolve(ctx, j.plan(j.repeat), j.Cohort, j.split, reading)
	if err != nil {
		return err
	}
	if j.Admit != nil {
		if err := j.Admit(plan, images); err != nil {
			return err
		}
	}
	read.Store(0)
	loaded, err := train.Load(ctx, j.Cohort, j.split, plan, reading)
	if err != nil {
		return err
	}
	if j.done == 0 && len(loaded.Notes) > 0 {
		j.tell(Progress{Notes: loaded.Notes})
	}
	name := runName(j.repeat, j.fold)
	partial := filepath.Join(j.folder.dir, name+".partial")
	err = j.train(ctx, partial, plan, loaded)
	if err == nil && !j.NoBaselines {
		err = j.writeBaselines(ctx, partial, plan, loaded)
	}
	if errors.Is(err, train.ErrDiverged) { // it would do so again
		return errors.Join(err, os.RemoveAll(partial))
	}
	if err != nil {
		return err
	}
	return os.Rename(partial, filepath.Join(j.folder.dir, name))
}

// images is the number of images of the cohort.
func (j *foldJob) images() int {
	n := 0
	for _, set := range [][]int{j.split.Train, j.split.Validation, j.split.Test} {
		for _, s := range set {
			n += len(j.Cohort.Subjects[s].Images)
		}
	}
	return n
}

// train goes on with the run of the folder where there is one that can be gone on
// with, else it begins.
func (j *foldJob) train(ctx context.Context, dir string, plan train.Plan, images *train.Images) error {
	options := train.Options{
		Threads:  j.Reading.Threads,
		Progress: func(p train.Progress) { j.tell(Progress{Share: p.Share, Epoch: p.Epoch}) },
	}
	if r, err := run.Open(dir); err == nil {
		if r.Header.Status == run.Complete || r.Header.Status == run.Stopped {
			return nil
		}
		err := train.Resume(ctx, dir, plan, images, options)
		if !errors.Is(err, train.ErrMismatch) && !errors.Is(err, train.ErrCheckpoint) && !errors.Is(err, run.ErrInvalid) {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	writer, err := run.Create(dir, train.Header(plan, images, j.Creator), plan.YAML())
	if err != nil {
		return err
	}
	return train.Train(ctx, plan, images, writer, options)
}

func (j *foldJob) writeBaselines(ctx context.Context, dir string, plan train.Plan, images *train.Images) error {
	b, err := j.baselines(ctx, plan, images)
	if err != nil {
		return err
	}
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return replace(filepath.Join(dir, BaselinesFile), append(text, '\n'))
}

// runName is the folder of a fold.
func runName(repeat, fold int) string { return fmt.Sprintf("fold-%d-repeat-%d", fold, repeat) }
