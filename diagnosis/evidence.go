package diagnosis

import (
	"fmt"
	"math"

	"ballast/run"
)

// evidence is a run's record, arranged for the causes to judge.
type evidence struct {
	run        *run.Run
	epochs     []int                   // epoch numbers
	validation map[string]*predictions // by view; absent where no probabilities were recorded
	training   map[string]*predictions
	notes      []string

	ladder   []rung // the views in the order in which sources are switched off
	steps    [][2]int
	stride   int
	accuracy *variance // of the logged curve at all epochs; nil without per-subject predictions
}

func (e *evidence) note(format string, values ...any) {
	e.notes = append(e.notes, fmt.Sprintf(format, values...))
}

// newEvidence arranges a run's record.
func newEvidence(r *run.Run) *evidence {
	e := &evidence{run: r, validation: map[string]*predictions{}, training: map[string]*predictions{}}
	for _, epoch := range r.Epochs {
		e.epochs = append(e.epochs, epoch.Epoch)
	}
	for _, view := range []string{run.Logged, run.Deterministic, run.Recalibrated, run.Averaged} {
		if p := e.predictions(view, run.Validation); p != nil {
			e.validation[view] = p
		}
		if p := e.predictions(view, run.Train); p != nil {
			e.training[view] = p
		}
	}
	return e
}

// predictions gathers the usable probabilities of a view of a set; nil when
// there are none.
func (e *evidence) predictions(view, set string) *predictions {
	subjects, k := e.run.Header.Sets[set], len(e.run.Header.Classes)
	p := &predictions{classes: make([]int, len(subjects)), rows: make([][]run.Row, len(e.run.Epochs))}
	for i, s := range subjects {
		if s.Class < 0 || s.Class >= k {
			return nil
		}
		p.classes[i] = s.Class
	}
	found := false
	for t := range e.run.Epochs {
		evaluation := e.run.Epochs[t].Evaluation(view, set)
		if evaluation == nil || len(subjects) == 0 || len(evaluation.Probabilities) != len(subjects) {
			continue
		}
		rows, usable := make([]run.Row, len(subjects)), false
		for i, row := range evaluation.Probabilities {
			if len(row) == k && finite(row) {
				rows[i], usable = row, true
			}
		}
		if usable {
			p.rows[t], found = rows, true
		}
	}
	if !found {
		return nil
	}
	return p
}

func finite(row run.Row) bool {
	for _, p := range row {
		if x := float64(p); math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return len(row) > 0
}

// stepsOf returns the pairs of consecutive epochs for which every one of the
// given predictions has rows, and the number of epochs between them. Pairs
// further apart than the commonest distance are left out: a step over a gap is
// not like the others.
func (e *evidence) stepsOf(views ...*predictions) (steps [][2]int, stride int) {
	last := -1
	distance := map[int]int{}
	for t := range e.epochs {
		complete := true
		for _, p := range views {
			complete = complete && p.rows[t] != nil
		}
		if !complete {
			continue
		}
		if last >= 0 {
			steps = append(steps, [2]int{last, t})
			distance[e.epochs[t]-e.epochs[last]]++
		}
		last = t
	}
	for d, count := range distance {
		if count > distance[stride] || count == distance[stride] && d < stride {
			stride = d
		}
	}
	kept := steps[:0]
	for _, s := range steps {
		if e.epochs[s[1]]-e.epochs[s[0]] == stride {
			kept = append(kept, s)
		}
	}
	return kept, stride
}
