package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ballast/cohort"
	"ballast/evaluation"
	"ballast/prep"
	"ballast/run"
	"ballast/train"
)

// An ensemble is the networks whose predictions are averaged, one or more; of
// each as many samples with dropout as are asked for.
type ensemble struct {
	members []*train.Predictor // the first is that of the first run
	samples int                // 0: one prediction without dropout
}

// openEnsemble loads weights of runs. They must have the same classes, and all
// or none need masks; with samples all need dropout.
func openEnsemble(dirs, weights []string, samples, threads int, cache *prep.Cache) (*ensemble, error) {
	e := &ensemble{samples: samples}
	for _, dir := range dirs {
		for _, name := range weights {
			member, err := train.NewPredictor(dir, name, threads)
			if err != nil {
				e.close()
				return nil, fmt.Errorf("%w: %w", errInput, err)
			}
			member.Cache = cache
			e.members = append(e.members, member)
			if err := e.fits(member); err != nil {
				e.close()
				return nil, err
			}
		}
	}
	return e, nil
}

// fits says why a member cannot be averaged with the first.
func (e *ensemble) fits(member *train.Predictor) error {
	first := e.members[0]
	switch {
	case !slices.Equal(member.Classes, first.Classes):
		return fmt.Errorf("average %s with %s: their classes differ: %s and %s", member.Dir, first.Dir, strings.Join(member.Classes, ", "), strings.Join(first.Classes, ", "))
	case member.Config.NeedsMask() != first.Config.NeedsMask():
		return fmt.Errorf("average %s with %s: one needs masks, the other does not; average runs of the same preprocessing", member.Dir, first.Dir)
	case max(member.Config.Channels, 1) != max(first.Config.Channels, 1):
		return fmt.Errorf("average %s with %s: they see %d and %d sequences of an image; average runs of the same preprocessing", member.Dir, first.Dir, max(member.Config.Channels, 1), max(first.Config.Channels, 1))
	case e.samples > 0 && !member.HasDropout():
		return fmt.Errorf("--mc: %s: %w, so all samples would be the same; train with --set net.dropout=0.3, or use --ensemble", member.Dir, train.ErrNoDropout)
	}
	return nil
}

func (e *ensemble) close() {
	for _, member := range e.members {
		member.Close()
	}
}

// single says whether there is one prediction of each subject.
func (e *ensemble) single() bool { return len(e.members) == 1 && e.samples == 0 }

// rows are all predictions for a subject that are to be averaged.
func (e *ensemble) rows(subject cohort.Subject) (rows [][]float64, err error) {
	for _, member := range e.members {
		var own []run.Row
		if e.samples > 0 {
			own, err = member.Sample(subject, e.samples)
		} else {
			own = make([]run.Row, 1)
			own[0], err = member.Predict(subject)
		}
		if err != nil {
			return nil, err
		}
		for _, row := range own {
			rows = append(rows, evaluation.Widen(row))
		}
	}
	return rows, nil
}

// errUnrecorded is returned when a run has no predictions of its validation
// subjects.
var errUnrecorded = errors.New("the run recorded no predictions of its validation subjects with these weights")

// recorded returns the predictions of the validation subjects that the first run
// recorded with its weights.
func (e *ensemble) recorded() (*evaluation.Predictions, error) {
	first := e.members[0]
	view := first.Recorded(run.Validation)
	if view == nil || view.Probabilities == nil {
		return nil, errUnrecorded
	}
	p := evaluation.FromRun(&first.Run.Header, view)
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("read the validation predictions of %s: %w", first.Dir, err)
	}
	return p, nil
}

// checkSamples refuses a number of Monte-Carlo samples that makes no sense.
func checkSamples(samples int, given bool) error {
	if given && (samples < 2 || samples > 10_000) {
		return fmt.Errorf("%w: --mc is %d; it must lie between 2 and 10000", errUsage, samples)
	}
	return nil
}
