package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"ballast/cohort"
	"ballast/evaluation"
	"ballast/run"
	"ballast/train"
)

// BaselinesFile is the file of a fold with what its baselines predict.
const BaselinesFile = "baselines.json"

// A Baseline is a model without a network, fitted to the training subjects of each
// fold and tested on the fold.
type Baseline struct {
	Name    string    `json:"name"`
	Detail  string    `json:"detail"`            // what it sees
	Unknown string    `json:"unknown,omitempty"` // why it was left out
	Results []Against `json:"results,omitempty"`
}

// Against is a measure of a baseline, mean over the folds, and by how much the
// network's is larger in the same folds, both with the interval of Nadeau and
// Bengio.
type Against struct {
	ID             string    `json:"id"`
	Value          run.Float `json:"value"`
	Low            run.Float `json:"low"`
	High           run.Float `json:"high"`
	Difference     run.Float `json:"difference"`
	DifferenceLow  run.Float `json:"difference_low"`
	DifferenceHigh run.Float `json:"difference_high"`
}

// foldBaselines is what BaselinesFile holds.
type foldBaselines struct {
	Format    int            `json:"format"`
	Baselines []foldBaseline `json:"baselines"`
}

// A foldBaseline is what one baseline predicts for the subjects of a fold.
type foldBaseline struct {
	Name          string    `json:"name"`
	Detail        string    `json:"detail"`
	Unknown       string    `json:"unknown,omitempty"`
	Probabilities []run.Row `json:"probabilities,omitempty"` // in the order of the run's test set
}

// features gives the rows of numbers that a baseline sees of a subject, by its
// index into the cohort.
type features func(subject int) ([][]float64, error)

// baselines fits every baseline to the training subjects of the fold and predicts
// the fold.
func (j *foldJob) baselines(ctx context.Context, plan train.Plan, images *train.Images) (foldBaselines, error) {
	b := foldBaselines{Format: Format}
	add := func(name, detail string, of func() (evaluated []run.Row, err error)) error {
		rows, err := of()
		if ctx.Err() != nil {
			return train.ErrInterrupted
		}
		made := foldBaseline{Name: name, Detail: detail, Probabilities: rows}
		if err != nil {
			made.Unknown, made.Probabilities = err.Error(), nil
		}
		b.Baselines = append(b.Baselines, made)
		return nil
	}
	logistic := func(of features) func() ([]run.Row, error) {
		return func() ([]run.Row, error) { return j.logistic(ctx, of) }
	}
	err := add("class shares", "how frequent the classes are among the training subjects", j.shares)
	if err == nil {
		err = add("volume and intensity", "logistic regression on the logarithm of the volume of the mask, or of the foreground, and the mean intensity in it",
			logistic(func(subject int) ([][]float64, error) { return j.folder.volumes.of(j.Cohort, subject) }))
	}
	if columns := plan.Data.Covariates; err == nil && len(columns) > 0 {
		err = add("covariates", fmt.Sprintf("logistic regression on %v", columns), logistic(j.clinical(columns)))
	}
	if err == nil {
		err = add("thumbnails", "logistic regression on the prepared images, averaged down to at most 32 x 32 pixels or 16 x 16 x 16 voxels", logistic(j.thumbnails(images)))
	}
	return b, err
}

// shares predicts the class shares of the training subjects for everybody.
func (j *foldJob) shares() ([]run.Row, error) {
	var training []evaluation.Case
	for _, s := range j.split.Train {
		training = append(training, evaluation.Case{Class: j.Cohort.Subjects[s].Class})
	}
	constant, err := evaluation.Majority(training, len(j.Cohort.Classes))
	if err != nil {
		return nil, err
	}
	return slices.Repeat([]run.Row{narrow(constant(evaluation.Case{}))}, len(j.split.Test)), nil
}

// logistic fits a logistic regression to features of the training subjects.
func (j *foldJob) logistic(ctx context.Context, of features) ([]run.Row, error) {
	subjects := slices.Concat(j.split.Train, j.split.Test)
	cases, failures := make([]evaluation.Case, len(subjects)), make([]error, len(subjects))
	var next atomic.Int64
	var work sync.WaitGroup
	for range max(1, j.Reading.Threads) {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(subjects) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				s := j.Cohort.Subjects[subjects[i]]
				cases[i] = evaluation.Case{ID: s.ID, Class: s.Class}
				cases[i].Rows, failures[i] = of(subjects[i])
			}
		})
	}
	work.Wait()
	for _, failure := range failures {
		if failure != nil {
			return nil, failure
		}
	}
	training, tested := cases[:len(j.split.Train)], cases[len(j.split.Train):]
	model, err := evaluation.FitLogisticBaseline(ctx, training, len(j.Cohort.Classes), j.plan(j.repeat).Seed, j.Reading.Threads)
	if err != nil {
		return nil, err
	}
	var rows []run.Row
	for _, c := range tested {
		rows = append(rows, narrow(model.Predict(c)))
	}
	return rows, nil
}

func narrow(wide []float64) run.Row {
	row := make(run.Row, len(wide))
	for class, p := range wide {
		row[class] = float32(p)
	}
	return row
}

// clinical is the columns of the table, encoded as a network is given them.
func (j *foldJob) clinical(columns []string) features {
	var training []cohort.Subject
	for _, s := range j.split.Train {
		training = append(training, j.Cohort.Subjects[s])
	}
	encoding, err := train.FitCovariates(columns, training)
	return func(subject int) ([][]float64, error) {
		if err != nil {
			return nil, err
		}
		numbers, err := encoding.Encode(j.Cohort.Subjects[subject].Covariates)
		row := make([]float64, len(numbers))
		for i, x := range numbers {
			row[i] = float64(x)
		}
		return [][]float64{row}, err
	}
}

// thumbnails is small copies of the images that the network is given.
func (j *foldJob) thumbnails(images *train.Images) features {
	rows := map[int][][]float64{}
	for set, subjects := range map[*train.Set][]int{&images.Train: j.split.Train, &images.Test: j.split.Test} {
		for _, sample := range set.Samples {
			s := subjects[sample.Subject]
			rows[s] = append(rows[s], evaluation.Thumbnail(sample.Image))
		}
	}
	return func(subject int) ([][]float64, error) { return rows[subject], nil }
}

// volumes keeps the volume and intensity of the subjects, which are the same in
// every fold.
type volumes struct{ known sync.Map }

func (v *volumes) of(c *cohort.Cohort, subject int) ([][]float64, error) {
	if rows, ok := v.known.Load(subject); ok {
		return rows.([][]float64), nil
	}
	var rows [][]float64
	for _, image := range c.Subjects[subject].Images {
		row, err := evaluation.VolumeAndIntensity(image)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	mean := [][]float64{evaluation.MeanRow(rows)}
	v.known.Store(subject, mean)
	return mean, nil
}

// readBaselines reads what the baselines of a fold predict for its test set of
// some size; nil when there is no file.
func readBaselines(dir string, subjects, classes int) ([]foldBaseline, error) {
	name := filepath.Join(dir, BaselinesFile)
	text, err := readFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var b foldBaselines
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", name, ErrInvalid, err)
	}
	if b.Format != Format {
		return nil, fmt.Errorf("read %s: %w: format %d; this program reads format %d", name, ErrInvalid, b.Format, Format)
	}
	for _, baseline := range b.Baselines {
		if baseline.Unknown == "" && len(baseline.Probabilities) != subjects ||
			slices.ContainsFunc(baseline.Probabilities, func(row run.Row) bool { return len(row) != classes }) {
			return nil, fmt.Errorf("read %s: %w: %q does not predict %d subjects of %d classes", name, ErrInvalid, baseline.Name, subjects, classes)
		}
	}
	return b.Baselines, nil
}

// against measures every baseline that all folds have, in the order of the first.
func (f *folder) against(o *outcome) []Baseline {
	var all []Baseline
	for n, first := range f.made[0].baselines {
		b := Baseline{Name: first.Name, Detail: first.Detail}
		var folds []predicted
		for _, made := range f.made {
			if n >= len(made.baselines) || made.baselines[n].Name != first.Name {
				b.Unknown = "it was not fitted in every fold"
				break
			}
			if b.Unknown = made.baselines[n].Unknown; b.Unknown != "" {
				break
			}
			p := predicted{classes: o.classes}
			for i, row := range made.baselines[n].Probabilities {
				p.rows, p.truth = append(p.rows, evaluation.Widen(row)), append(p.truth, made.header.Sets[run.Test][i].Class)
			}
			folds = append(folds, p)
		}
		if b.Unknown == "" {
			for _, m := range measures {
				b.Results = append(b.Results, o.compare(m, folds))
			}
		}
		all = append(all, b)
	}
	return all
}

// compare measures a baseline in the folds, in the order of repeats and folds.
func (o *outcome) compare(m measure, folds []predicted) Against {
	values, differences := make([]float64, len(folds)), make([]float64, len(folds))
	network := o.allFolds(m.of)
	for n, p := range folds {
		values[n] = m.of(p)
		differences[n] = network[n] - values[n]
	}
	value, low, high := NadeauBengio(values, o.tested/o.trained, level)
	low, high = m.cut(low, high)
	difference, from, to := NadeauBengio(differences, o.tested/o.trained, level)
	return Against{m.id, run.Float(value), run.Float(low), run.Float(high), run.Float(difference), run.Float(from), run.Float(to)}
}
