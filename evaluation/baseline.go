package evaluation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"ballast/stat"
)

// ErrBaseline is wrapped when a baseline cannot be fitted.
var ErrBaseline = errors.New("baseline")

// A Case is one subject as a baseline sees it: a row of features for each image,
// or one row. Its prediction is the mean over its rows.
type Case struct {
	ID    string
	Class int
	Rows  [][]float64
}

// A Baseline is a model without a network, to hold the network against.
type Baseline struct {
	Name     string   `json:"name"`
	Detail   string   `json:"detail"` // what it sees, and its ridge
	Trained  int      `json:"training_subjects"`
	Metrics  []Metric `json:"metrics,omitempty"`
	Less     []Metric `json:"network_minus_baseline,omitempty"` // the network's measures less its own, on the same subjects
	Unknown  string   `json:"unknown,omitempty"`                // why it was left out
	Subjects []Line   `json:"-"`
}

// Majority predicts the classes' shares among the training subjects for
// everybody: the commonest class always.
func Majority(training []Case, classes int) (func(Case) []float64, error) {
	if len(training) == 0 {
		return nil, fmt.Errorf("%w: there are no training subjects", ErrBaseline)
	}
	shares := make([]float64, classes)
	for _, c := range training {
		shares[c.Class] += 1 / float64(len(training))
	}
	return func(Case) []float64 { return shares }, nil
}

// Ridges are the penalties that a baseline chooses from, for features of
// standard deviation 1.
var Ridges = []float64{0.01, 0.1, 1, 10, 100, 1000, 10000, 100000}

// baselineFolds are those of the choice of the ridge.
const baselineFolds = 5

// A LogisticBaseline is a logistic regression whose features were scaled and
// whose ridge was chosen on the training subjects alone.
type LogisticBaseline struct {
	Ridge   float64
	scaling stat.Scaling
	model   *stat.Logistic
}

// FitLogisticBaseline fits a logistic regression to the training subjects. The
// ridge is the one of Ridges with the least log loss in a cross-validation that
// divides the training subjects into five folds, stratified by class, all rows of
// a subject in one fold; folds come from the stream (seed, "baseline-folds").
// Ridges are tried from the largest down until the loss has risen twice: small
// ones are slow to fit. Nothing is learned from other subjects.
func FitLogisticBaseline(ctx context.Context, training []Case, classes int, seed uint64, threads int) (*LogisticBaseline, error) {
	fold, err := folds(training, classes, seed)
	if err != nil {
		return nil, err
	}
	best, least, rises := 0.0, math.Inf(1), 0
	for _, ridge := range slices.Backward(Ridges) {
		loss := heldOutLoss(ctx, training, fold, classes, ridge, threads)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if loss < least {
			best, least, rises = ridge, loss, 0
		} else if rises++; rises == 2 {
			break
		}
	}
	if math.IsInf(least, 1) {
		return nil, fmt.Errorf("%w: no ridge gives a finite loss", ErrBaseline)
	}
	return fitLogistic(training, classes, best)
}

// heldOutLoss is the summed log loss over all subjects of models fitted to the
// other folds; infinite when one cannot be fitted.
func heldOutLoss(ctx context.Context, training []Case, fold []int, classes int, ridge float64, threads int) float64 {
	var losses [baselineFolds]float64
	slots := make(chan struct{}, max(threads, 1))
	var work sync.WaitGroup
	for out := range losses {
		work.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() == nil {
				losses[out] = lossOfFold(training, fold, out, classes, ridge)
			}
		})
	}
	work.Wait()
	sum := 0.0
	for _, loss := range losses {
		sum += loss
	}
	return sum
}

// folds deals the subjects of each class out in a random order.
func folds(training []Case, classes int, seed uint64) ([]int, error) {
	members := make([][]int, classes)
	for i, c := range training {
		members[c.Class] = append(members[c.Class], i)
	}
	fold, next := make([]int, len(training)), 0
	for class, list := range members {
		if len(list) == 1 {
			return nil, fmt.Errorf("%w: a class has one training subject; at least 2 are needed", ErrBaseline)
		}
		for _, n := range stat.NewStream(seed, "baseline-folds", uint64(class)).Perm(len(list)) {
			fold[list[n]] = next % baselineFolds
			next++
		}
	}
	if len(training) < 2*baselineFolds {
		return nil, fmt.Errorf("%w: %d training subjects; at least %d are needed to choose a ridge", ErrBaseline, len(training), 2*baselineFolds)
	}
	return fold, nil
}

// lossOfFold is the part of one fold.
func lossOfFold(training []Case, fold []int, out, classes int, ridge float64) float64 {
	var rest []Case
	for i, c := range training {
		if fold[i] != out {
			rest = append(rest, c)
		}
	}
	model, err := fitLogistic(rest, classes, ridge)
	if err != nil {
		return math.Inf(1)
	}
	loss := 0.0
	for i, c := range training {
		if fold[i] == out {
			loss -= math.Log(max(model.Predict(c)[c.Class], 1e-12))
		}
	}
	return loss
}

func fitLogistic(training []Case, classes int, ridge float64) (*LogisticBaseline, error) {
	var rows [][]float64
	var truth []int
	for _, c := range training {
		for _, row := range c.Rows {
			rows, truth = append(rows, row), append(truth, c.Class)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%w: the training subjects have no features", ErrBaseline)
	}
	l := &LogisticBaseline{Ridge: ridge, scaling: stat.FitScaling(rows)}
	for i, row := range rows {
		rows[i] = l.scaling.Apply(row)
	}
	var err error
	if l.model, err = stat.FitLogistic(rows, truth, classes, ridge); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBaseline, err)
	}
	return l, nil
}

// Predict returns the mean of the predictions for a subject's rows.
func (l *LogisticBaseline) Predict(c Case) []float64 {
	var rows [][]float64
	for _, row := range c.Rows {
		rows = append(rows, l.model.Predict(l.scaling.Apply(row)))
	}
	return stat.MeanProbabilities(rows)
}
