package diagnosis

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"ballast/run"
	"ballast/train"
)

// evidence is a run's record, arranged for the causes to judge.
type evidence struct {
	run        *run.Run
	plan       *train.Plan             // nil when the run has none of ballast's
	epochs     []int                   // epoch numbers
	validation map[string]*predictions // by view; absent where no probabilities were recorded
	training   map[string]*predictions
	recorded   map[string]*predictions // validation as recorded; see ofAverages
	accuracy   []float64               // logged validation accuracy by epoch, a share; NaN where not finite
	loss       []float64               // logged validation loss by epoch, nats; NaN where not finite
	lateFrom   int                     // index from which the last third of the epochs with a finite accuracy lies
	notes      []string

	ladder []rung // the views in the order in which sources are switched off
	steps  [][2]int
	stride int
	budget []Share

	logged *variance // of the logged accuracy at all epochs; nil without per-subject predictions
	jitter float64   // of the logged accuracy in points; NaN when there are no steps

	rankingP float64 // p-value of the late validation ranking; 0 until asked for

	lossesEnd int // index from which on the training loss is no number; see endOfLosses
	lazy
}

func (e *evidence) note(format string, values ...any) {
	e.notes = append(e.notes, fmt.Sprintf(format, values...))
}

// newEvidence arranges a run's record.
func newEvidence(r *run.Run) *evidence {
	e := &evidence{run: r, validation: map[string]*predictions{}, training: map[string]*predictions{}}
	e.notes = append(e.notes, r.Notes...)
	for _, epoch := range r.Epochs {
		e.epochs = append(e.epochs, epoch.Epoch)
	}
	if r.Plan != nil {
		if plan, err := train.ReadPlan(r.Plan); err == nil {
			e.plan = &plan
		} else {
			e.note("the plan was not used: %v", err)
		}
	}
	for _, view := range []string{run.Logged, run.Deterministic, run.Recalibrated, run.Averaged} {
		if p := e.predictions(view, run.Validation); p != nil {
			e.validation[view] = p
		}
		if p := e.predictions(view, run.Train); p != nil {
			e.training[view] = p
		}
	}
	e.recorded = e.validation
	if e.ofAverages() {
		e.judgeAverages()
	}
	e.accuracy = e.curve(run.Logged, run.Validation, accuracyValues, func(v *run.Evaluation) run.Float { return v.Accuracy })
	e.loss = e.curve(run.Logged, run.Validation, meanOf(loss), func(v *run.Evaluation) run.Float { return v.Loss })
	e.lateFrom, e.lossesEnd = lastThird(e.accuracy), e.endOfLosses()
	e.climb()
	e.budget = e.divide()
	e.logged, e.jitter = e.measureJitter(accuracyValues, e.accuracy)
	return e
}

// ofAverages reports whether the logged curve is that of averaged weights with
// recomputed batch-norm statistics.
func (e *evidence) ofAverages() bool { return e.plan != nil && e.plan.FinalView() == run.Averaged }

// judgeAverages puts the averaged weights in the place of the present ones, where
// the logged curve is theirs. What averaging and recomputing have taken out of that
// curve is not in it: the ladder goes down from the averaged weights, and the rungs
// of batch-norm lag and of weight noise take nothing away.
func (e *evidence) judgeAverages() {
	e.note("the logged curve is that of averaged weights with recomputed batch-norm statistics (validation.weights: averaged), and the budget divides what is left in it; the weights as they are after each epoch stand among the views")
	e.validation, e.training = maps.Clone(e.validation), maps.Clone(e.training)
	for _, views := range []map[string]*predictions{e.validation, e.training} {
		for _, view := range []string{run.Deterministic, run.Recalibrated} {
			delete(views, view)
			if averaged := views[run.Averaged]; averaged != nil {
				views[view] = averaged
			}
		}
	}
}

// lastThird is the index from which the last third of the finite values lies.
func lastThird(curve []float64) int {
	var finite []int
	for t, x := range curve {
		if isFinite(x) {
			finite = append(finite, t)
		}
	}
	if len(finite) == 0 {
		return len(curve)
	}
	return finite[len(finite)-max(1, len(finite)/3)]
}

// curve returns a measure of every epoch: as recorded, or from the
// probabilities where the record has no finite value.
func (e *evidence) curve(view, set string, f measure, recorded func(*run.Evaluation) run.Float) []float64 {
	curve := make([]float64, len(e.run.Epochs))
	predictions := e.validation[view]
	if set == run.Train {
		predictions = e.training[view]
	}
	for t := range curve {
		curve[t] = math.NaN()
		if diverged(e.run.Epochs[t].Evaluation(view, set)) {
			continue
		}
		if evaluation := e.run.Epochs[t].Evaluation(view, set); evaluation != nil {
			curve[t] = float64(recorded(evaluation))
		}
		if !isFinite(curve[t]) && predictions != nil && predictions.rows[t] != nil {
			curve[t] = mean(f(predictions.rows[t], predictions.classes))
		}
		if !isFinite(curve[t]) {
			curve[t] = math.NaN()
		}
	}
	return curve
}

// diverged reports whether an evaluation holds probabilities that are no
// numbers: what it says of right and wrong then means nothing.
func diverged(evaluation *run.Evaluation) bool {
	return evaluation != nil && slices.ContainsFunc(evaluation.Probabilities, func(row run.Row) bool {
		return slices.ContainsFunc(row, func(p float32) bool { return p != p })
	})
}

// divergence is the first epoch after which the network gave no numbers, 0 when
// there is none.
func (e *evidence) divergence() int {
	for t := range e.run.Epochs {
		if diverged(e.run.Epochs[t].Evaluation(run.Logged, run.Validation)) {
			return e.epochs[t]
		}
	}
	return 0
}

func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// measureJitter returns the variance of a measure of the logged view over all
// epochs (nil without per-subject predictions) and its J in the curve's units,
// in points for shares, from the recorded curve where that is all there is.
func (e *evidence) measureJitter(f measure, recorded []float64) (*variance, float64) {
	if p := e.validation[run.Logged]; p != nil {
		values := p.panel(f)
		steps, _ := e.stepsOf(func(t int) bool { return values.values[t] != nil })
		if v := jitterVariance(values, steps); v != nil && len(steps) >= leastSteps {
			return v, 100 * math.Sqrt(math.Max(0, v.total.value))
		}
	}
	if recorded == nil {
		return nil, math.NaN()
	}
	steps, _ := e.stepsOf(func(t int) bool { return isFinite(recorded[t]) })
	sum := 0.0
	for _, s := range steps {
		d := recorded[s[1]] - recorded[s[0]]
		sum += d * d / 2
	}
	return nil, 100 * math.Sqrt(sum/float64(len(steps)))
}

// predictions gathers the usable probabilities of a view of a set; nil when
// there are none. Subjects stand in the order of their ids, so that the order
// of the record changes no result.
func (e *evidence) predictions(view, set string) *predictions {
	subjects, k := e.run.Header.Sets[set], len(e.run.Header.Classes)
	for _, s := range subjects {
		if s.Class < 0 || s.Class >= k {
			return nil
		}
	}
	order := e.ordered(set)
	p := &predictions{classes: make([]int, len(subjects)), rows: make([][]run.Row, len(e.run.Epochs))}
	for i, from := range order {
		p.classes[i] = subjects[from].Class
	}
	found := false
	for t := range e.run.Epochs {
		evaluation := e.run.Epochs[t].Evaluation(view, set)
		if evaluation == nil || len(subjects) == 0 || len(evaluation.Probabilities) != len(subjects) {
			continue
		}
		if rows := usableRows(evaluation.Probabilities, order, k); rows != nil {
			p.rows[t], found = rows, true
		}
	}
	if !found {
		return nil
	}
	return p
}

// ordered lists the subjects of a set by their indices in the header, in the order
// of their ids, which is that of predictions.
func (e *evidence) ordered(set string) []int {
	subjects := e.run.Header.Sets[set]
	order := make([]int, len(subjects))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(subjects[a].ID, subjects[b].ID) })
	return order
}

// usableRows returns the rows in the given order, without those that lack a
// finite probability for a class; nil when none is left.
func usableRows(rows []run.Row, order []int, classes int) []run.Row {
	kept, found := make([]run.Row, len(rows)), false
	for i, from := range order {
		row := rows[from]
		unusable := func(p float32) bool { return !isFinite(float64(p)) || p < 0 }
		if len(row) == classes && classes > 0 && !slices.ContainsFunc(row, unusable) {
			kept[i], found = row, true
		}
	}
	if !found {
		return nil
	}
	return kept
}

// stepsOf returns the pairs of consecutive epochs among those that are usable,
// and the number of epochs between them. Pairs further apart than the
// commonest distance are left out: a step over a gap is not like the others.
func (e *evidence) stepsOf(usable func(t int) bool) (steps [][2]int, stride int) {
	last := -1
	distance := map[int]int{}
	for t := range e.epochs {
		if !usable(t) {
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

// clean returns the predictions of a set from which levels are read: the
// deterministic view, or the logged one where that was not recorded.
func (e *evidence) clean(set string) *predictions {
	views := e.validation
	if set == run.Train {
		views = e.training
	}
	if p := views[run.Deterministic]; p != nil {
		return p
	}
	return views[run.Logged]
}

// late returns every subject's mean score over the epochs of the last third;
// NaN for a subject that was evaluated in none.
func (e *evidence) late(p *predictions, score func(row run.Row, class int) float64) []float64 {
	means := make([]float64, len(p.classes))
	for i, class := range p.classes {
		sum, count := 0.0, 0.0
		for _, rows := range p.rows[e.lateFrom:] {
			if rows != nil && rows[i] != nil {
				sum += score(rows[i], class)
				count++
			}
		}
		means[i] = sum / count
	}
	return means
}

// lateMean is the mean of the finite values of a curve over the last third.
func (e *evidence) lateMean(curve []float64) float64 { return finiteMean(curve[e.lateFrom:]) }

func finiteMean(values []float64) float64 {
	sum, count := 0.0, 0.0
	for _, x := range values {
		if isFinite(x) {
			sum += x
			count++
		}
	}
	return sum / count
}

// subjects is the number of validation subjects, 0 when unknown.
func (e *evidence) subjects() int { return len(e.run.Header.Sets[run.Validation]) }
