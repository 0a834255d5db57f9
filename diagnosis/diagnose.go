package diagnosis

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"ballast/run"
	"ballast/stat"
)

// ErrTooShort is wrapped when a run has no validation result from which
// anything could be said.
var ErrTooShort = errors.New("nothing to diagnose")

// Diagnose says why the validation curve of a run fluctuates, from its record
// alone. A run that diverged in its first epoch has no curve to explain and gets a
// report of that. The error wraps ErrTooShort when no epoch has a finite
// validation accuracy for any other reason.
func Diagnose(r *run.Run) (*Report, error) {
	if len(r.Epochs) == 0 {
		return nil, fmt.Errorf("%w: no epoch is recorded", ErrTooShort)
	}
	e := newEvidence(r)
	analysed := int(finiteCount(e.accuracy))
	if analysed == 0 && e.firstBroken() < 0 {
		return nil, fmt.Errorf("%w: none of %d epochs has a finite accuracy of the view %q on the set %q", ErrTooShort, len(r.Epochs), run.Logged, run.Validation)
	}
	report := &Report{
		Format:   ReportFormat,
		Subjects: Subjects{Train: len(r.Header.Sets[run.Train]), Validation: e.subjects()},
		Classes:  append([]string{}, r.Header.Classes...),
		Epochs:   e.describeEpochs(analysed),
		Jitter:   e.jitters(),
		Finite:   e.logged.finiteShare(),
		Infinite: e.logged.infinite(),
		Chance:   e.chance(),
		Budget:   append([]Share{}, e.budget...),
		Views:    e.views(),
		Findings: e.findings(),

		Experiments: e.experiments(),
	}
	e.describeRecord(analysed)
	report.Summary = report.summarise()
	if first := e.firstBroken(); first >= 0 && analysed == 0 {
		report.Summary = []string{fmt.Sprintf("Training diverged in epoch %d: the network's outputs are not numbers, so there is no validation curve to explain. Lower the learning rate, and look for missing values in the images.", e.epochs[first])}
	} else if epoch := e.divergence(); epoch > 0 {
		report.Summary = slices.Insert(report.Summary, 0, fmt.Sprintf("Training diverged: from epoch %d on the network's outputs are not numbers. Lower the learning rate. What follows is about the epochs before.", epoch))
	}
	report.Notes = append([]string{}, e.notes...)
	return report, nil
}

func (e *evidence) describeEpochs(analysed int) Epochs {
	d := Epochs{Recorded: len(e.epochs), Analysed: analysed, Stride: e.stride, BestAccuracy: unknown}
	if analysed > 0 {
		best := e.best()
		d.Late, d.Best, d.BestAccuracy = e.epochs[e.lateFrom], e.epochs[best], Number(100*e.accuracy[best])
		d.LowestLoss, _ = e.lossRise()
	}
	return d
}

// jitters reports the jitter of every measure of the logged curve.
func (e *evidence) jitters() map[string]Interval {
	result := map[string]Interval{}
	for _, m := range measures {
		v, j := e.logged, e.jitter // of the accuracy, already measured
		switch m.id {
		case "accuracy":
		case "loss":
			v, j = e.measureJitter(m.of, e.loss)
		default:
			v, j = e.measureJitter(m.of, nil)
		}
		if m.unit == Nats {
			j /= 100
		}
		if v != nil {
			result[m.id] = v.interval(m.unit)
		} else if isFinite(j) {
			result[m.id] = Interval{Number(j), unknown, unknown, m.unit}
		}
	}
	return result
}

// chance says what as many subjects can show at all.
func (e *evidence) chance() Chance {
	c := Chance{unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown}
	level := e.lateMean(e.accuracy)
	low, high, steps, square := math.Inf(1), math.Inf(-1), 0.0, 0.0
	previous := math.NaN()
	for _, a := range e.accuracy {
		if isFinite(a) {
			low, high = math.Min(low, a), math.Max(high, a)
		}
		if d := a - previous; isFinite(d) {
			square += d * d
			steps++
		}
		previous = a
	}
	c.Accuracy, c.Range, c.Step = Number(100*level), Number(100*(high-low)), Number(100*math.Sqrt(square/steps))
	if high < low {
		c.Range = unknown // no epoch has a finite accuracy
	}
	n := e.subjects()
	if n == 0 {
		return c
	}
	var classes []int
	for _, s := range e.run.Header.Sets[run.Validation] {
		classes = append(classes, s.Class)
	}
	guess := commonest(classes)
	c.Guess, c.Needs = Number(100*guess), Number(100*float64(stat.LeastSignificant(n, guess, 0.05))/float64(n))
	if c.Needs > 100 {
		c.Needs = unknown // no result would do
	}
	if isFinite(level) {
		a, b := stat.Wilson(level*float64(n), float64(n), 0.95)
		_, span := stat.BinomialRange(n, level, int(finiteCount(e.accuracy)))
		c.Low, c.High, c.ChanceRange = Number(100*a), Number(100*b), Number(100*span)
		c.ChanceStep = Number(100 * math.Sqrt(2*level*(1-level)/float64(n)))
	}
	return c
}

// describeRecord notes what was left out or merged, and what to record to know
// more.
func (e *evidence) describeRecord(analysed int) {
	if missing := len(e.epochs) - analysed; missing > 0 {
		e.note("%d of %d epochs have no finite validation accuracy and were left out", missing, len(e.epochs))
	}
	if missing := len(e.epochs) - int(finiteCount(e.loss)); missing > 0 {
		e.note("%d of %d epochs have no finite validation loss", missing, len(e.epochs))
	}
	if analysed == 0 {
		return // it diverged at once
	}
	if e.validation[run.Logged] == nil {
		e.note("no per-subject probabilities of the validation set are recorded, so nothing has an interval and the jitter cannot be divided; record them for every epoch")
		return
	}
	if n := e.contradictions(); n > 0 {
		e.note("in %d epochs the recorded accuracy is not that of the recorded probabilities; levels are taken from the first, the jitter from the second", n)
	}
	if e.logged != nil && len(e.logged.total.strata) == 1 {
		e.note("a class has fewer than %d validation subjects, so the numbers of each class are taken as left to chance", leastStratum)
	}
	if e.logged != nil && e.logged.model.value < 0 {
		e.note("the curve fluctuates by %.1f points, less than the %.1f expected of %d subjects whose predictions change this often; the budget divides the expected variance",
			e.jitter, 100*math.Sqrt(e.logged.finite.value), e.subjects())
	}
	if len(e.budget) == 0 {
		e.note("the jitter was not divided: at least 3 subjects, %d consecutive evaluations and a change of the curve are needed", leastSteps+1)
	}
	for _, share := range e.budget {
		if len(share.Includes) > 0 {
			e.note("%s includes %s: the views that would tell them apart are not recorded", share.Source, strings.Join(share.Includes, ", "))
		}
	}
	if e.stride > 1 {
		e.note("the budget compares evaluations %d epochs apart, as the views were recorded", e.stride)
	}
}

// contradictions counts the epochs whose logged accuracy differs from that of
// the recorded probabilities by more than rounding: by half a subject.
func (e *evidence) contradictions() int {
	computed := e.validation[run.Logged].panel(accuracyValues).curve()
	count := 0
	for t, recorded := range e.accuracy {
		if math.Abs(recorded-computed[t])*float64(e.subjects()) > 0.5 {
			count++
		}
	}
	return count
}
