package diagnosis

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"ballast/run"
)

// CurveOptions are what a user can say beyond the log of another trainer.
type CurveOptions struct {
	Validation int     // cases in the validation set; 0: as the log says, else inferred
	Classes    int     // 0: as the log says
	Prevalence float64 // share of the commonest class among the validation cases; 0: unknown
}

// ErrOptions is wrapped when the options cannot be true.
var ErrOptions = errors.New("impossible option")

// mostGiven bounds the cases of a validation set, as sums over them are taken.
const mostGiven = 1_000_000

// Check says what is wrong with the options; the error wraps ErrOptions.
func (o CurveOptions) Check() error {
	switch {
	case o.Validation < 0 || o.Validation > mostGiven:
		return fmt.Errorf("%w: a validation set of %d cases; it has between 1 and %d", ErrOptions, o.Validation, mostGiven)
	case o.Classes < 0 || o.Classes == 1:
		return fmt.Errorf("%w: %d classes; a classifier has at least 2", ErrOptions, o.Classes)
	case !(o.Prevalence >= 0 && o.Prevalence <= 1):
		return fmt.Errorf("%w: a prevalence of %g; it is a share between 0 and 1", ErrOptions, o.Prevalence)
	case o.Prevalence > 0 && o.Classes > 0 && o.Prevalence < 1/float64(o.Classes)-0.005:
		return fmt.Errorf("%w: the commonest of %d classes cannot have a share of %g", ErrOptions, o.Classes, o.Prevalence)
	}
	return nil
}

// Where a number of a CurveFacts comes from.
const (
	Given    = "given"
	Logged   = "log"
	Inferred = "inferred"
)

// CurveFacts are what is known of a log of another trainer besides its curves.
type CurveFacts struct {
	Source  string `json:"source"`
	Format  string `json:"format"`
	Name    string `json:"name,omitempty"`
	Measure string `json:"measure"` // what plays accuracy; empty when only losses are logged
	// Validation is the number of validation cases, 0 when unknown, and where
	// it comes from: "given", "log" or "inferred".
	Validation     int    `json:"validation"`
	ValidationFrom string `json:"validation_from,omitempty"`
	Classes        int    `json:"classes"` // 0: unknown
	// Prevalence is the share of the commonest class and where it comes from.
	Prevalence     Number `json:"prevalence"`
	PrevalenceFrom string `json:"prevalence_from,omitempty"`
	// Missing lists the options that would decide more.
	Missing []Missing `json:"missing"`
}

// Missing is an option that was not given, and what it would decide.
type Missing struct {
	Option  string `json:"option"`
	Decides string `json:"decides"`
}

// curveEvidence is the log of another trainer, arranged for judging. Values
// that are absent or not finite are NaN.
type curveEvidence struct {
	facts  CurveFacts
	epochs []int

	accuracy, trainAccuracy []float64 // the measure, also where it is no accuracy
	loss, trainLoss         []float64
	lateFrom                int // index from which the last third of the validation values lies

	broken      int // epochs with a loss that is not a finite number
	firstBroken int // the first of them

	jitter  float64 // of the accuracy, points; NaN when there are no steps
	finite  finiteBounds
	excess  float64 // least ratio of the settled curve's mean squared step to that of independent draws
	notes   []string
	options CurveOptions
}

func (e *curveEvidence) note(format string, values ...any) {
	e.notes = append(e.notes, fmt.Sprintf(format, values...))
}

// newCurveEvidence arranges the log.
func newCurveEvidence(c *run.Curves, o CurveOptions) *curveEvidence {
	e := &curveEvidence{options: o, facts: CurveFacts{
		Source: c.Source, Format: c.Format, Name: c.Name, Measure: c.Measure,
		Classes: c.Classes, Prevalence: unknown, Missing: []Missing{},
	}}
	e.notes = append(e.notes, c.Notes...)
	for i := range c.Points {
		e.add(&c.Points[i])
	}
	e.lateFrom = lastThird(e.judged())
	if o.Classes > 0 {
		e.facts.Classes = o.Classes
	}
	e.findSize(c.Validation)
	e.findPrevalence()
	e.jitter = e.curveJitter()
	e.finite = e.boundFinite()
	e.excess = e.leastExcess()
	e.findMissing()
	return e
}

// add takes over one epoch.
func (e *curveEvidence) add(p *run.Point) {
	finite := func(x run.Float) float64 {
		if isFinite(float64(x)) {
			return float64(x)
		}
		return math.NaN()
	}
	e.epochs = append(e.epochs, p.Epoch)
	e.accuracy = append(e.accuracy, finite(p.ValidationAccuracy))
	e.trainAccuracy = append(e.trainAccuracy, finite(p.TrainAccuracy))
	e.loss = append(e.loss, finite(p.ValidationLoss))
	e.trainLoss = append(e.trainLoss, finite(p.TrainLoss))
	infinite := math.IsInf(float64(p.TrainLoss), 0) || math.IsInf(float64(p.ValidationLoss), 0)
	if infinite || slices.Contains(p.LoggedNaN, run.TrainLoss) || slices.Contains(p.LoggedNaN, run.ValidationLoss) {
		if e.broken == 0 {
			e.firstBroken = p.Epoch
		}
		e.broken++
	}
}

// isAccuracy reports whether the measure is a share of cases that are right.
func (e *curveEvidence) isAccuracy() bool {
	return e.facts.Measure == "accuracy" && !slices.ContainsFunc(e.accuracy, func(a float64) bool { return a < 0 || a > 1 })
}

// judged is the curve from which levels are read: the accuracy, or the loss
// where there is none.
func (e *curveEvidence) judged() []float64 {
	if finiteCount(e.accuracy) > 0 {
		return e.accuracy
	}
	return e.loss
}

// late is the mean of the finite values of a curve over the epochs of the last
// third.
func (e *curveEvidence) late(curve []float64) float64 {
	if e.lateFrom >= len(curve) {
		return math.NaN()
	}
	return finiteMean(curve[e.lateFrom:])
}

// findSize settles how many cases were validated on.
func (e *curveEvidence) findSize(logged int) {
	inferred := ValidationSize{Why: "the log holds no accuracy"}
	if e.isAccuracy() {
		inferred = InferValidationSize(e.accuracy)
	}
	f := &e.facts
	switch {
	case e.options.Validation > 0:
		f.Validation, f.ValidationFrom = e.options.Validation, Given
	case logged > 0 && logged <= mostGiven:
		f.Validation, f.ValidationFrom = logged, Logged
	case inferred.Cases > 0:
		f.Validation, f.ValidationFrom = inferred.Cases, Inferred
		e.note("the validation set has %d cases, inferred: that is the smallest number for which all %d different accuracies (%s) are whole cases; a multiple of it is possible",
			inferred.Cases, inferred.Values, inferred.precision())
		return
	case e.isAccuracy():
		e.note("the size of the validation set cannot be inferred: %s", inferred.Why)
		return
	default:
		return
	}
	if inferred.Cases > 0 && f.Validation%inferred.Cases != 0 {
		e.note("the accuracies are not whole cases of %d: all of them are of %d", f.Validation, inferred.Cases)
	}
}

// cases is the number of validation cases where accuracies are shares of them;
// 0 when unknown.
func (e *curveEvidence) cases() float64 {
	if !e.isAccuracy() {
		return 0
	}
	return float64(e.facts.Validation)
}

// guess is the accuracy of always naming the commonest class, and whether that
// is only the least it can be, 1/classes. NaN when nothing is known.
func (e *curveEvidence) guess() (share float64, least bool) {
	if e.facts.Prevalence.Known() {
		return float64(e.facts.Prevalence), false
	}
	if e.facts.Classes > 0 {
		return 1 / float64(e.facts.Classes), true
	}
	return math.NaN(), true
}

// findMissing lists the options that would decide more.
func (e *curveEvidence) findMissing() {
	if !e.isAccuracy() {
		return
	}
	add := func(option, decides string) { e.facts.Missing = append(e.facts.Missing, Missing{option, decides}) }
	if e.facts.Validation == 0 {
		add("--n-validation", "whether so few cases explain the fluctuation, and every interval")
	}
	if e.facts.Classes == 0 {
		add("--classes", "whether the network learns at all, and whether its loss is worse than knowing nothing")
	}
	if !e.facts.Prevalence.Known() {
		add("--prevalence", "whether the accuracy beats always naming the commonest class, and whether one class is predicted at a time")
	}
}

// DiagnoseCurves says why a validation curve fluctuates as far as curves alone
// can: nothing but a loss that is not finite is ever confirmed. The error wraps
// ErrOptions, or ErrTooShort when no epoch has a validation value.
func DiagnoseCurves(c *run.Curves, o CurveOptions) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	e := newCurveEvidence(c, o)
	analysed := int(finiteCount(e.judged()))
	if analysed == 0 && e.broken == 0 {
		return nil, fmt.Errorf("%w: none of %d epochs has a validation value", ErrTooShort, len(e.epochs))
	}
	report := &Report{
		Format:   ReportFormat,
		Subjects: Subjects{Validation: int(e.cases())},
		Classes:  []string{},
		Epochs:   e.describeEpochs(analysed),
		Jitter:   e.jitters(),
		Finite:   Interval{unknown, Number(e.finite.low), Number(e.finite.high), Ratio},
		Infinite: unknownInterval(Points),
		Chance:   e.chance(),
		Budget:   []Share{}, Views: []View{},
		Findings: e.findings(),
		Curves:   &e.facts,
	}
	report.Summary = e.summarise(report)
	e.describeRecord(analysed)
	report.Notes = append([]string{}, e.notes...)
	return report, nil
}

func (e *curveEvidence) describeEpochs(analysed int) Epochs {
	d := Epochs{Recorded: len(e.epochs), Analysed: analysed, Stride: e.stride(e.judged()), BestAccuracy: unknown}
	if analysed > 0 {
		d.Late = e.epochs[e.lateFrom]
	}
	if best := highest(e.accuracy); best >= 0 {
		d.Best, d.BestAccuracy = e.epochs[best], Number(100*e.accuracy[best])
	}
	if lowest, _ := e.turn(e.loss); lowest >= 0 {
		d.LowestLoss = e.epochs[lowest]
	}
	return d
}

// jitters reports the jitter of the two validation curves.
func (e *curveEvidence) jitters() map[string]Interval {
	result := map[string]Interval{}
	if isFinite(e.jitter) && e.isAccuracy() {
		result["accuracy"] = Interval{Number(e.jitter), unknown, unknown, Points}
	}
	if j := math.Sqrt(halfMeanSquare(e.steps(e.loss, 0))); isFinite(j) {
		result["loss"] = Interval{Number(j), unknown, unknown, Units}
	}
	return result
}

func (e *curveEvidence) describeRecord(analysed int) {
	if missing := len(e.epochs) - analysed; missing > 0 {
		e.note("%d of %d epochs have no finite validation value", missing, len(e.epochs))
	}
	if stride := e.stride(e.judged()); stride > 1 {
		e.note("the validation values are %d epochs apart", stride)
	}
	if e.facts.Measure != "" && !e.isAccuracy() {
		e.note("%s is no share of cases, so nothing can be said about chance at a given number of cases", e.facts.Measure)
	}
	e.note("these are verdicts from curves; with each case's probabilities after every epoch (docs/guides) the fluctuation can be divided among its sources, with intervals")
}

// highest is the index of the highest finite value, the first of equals; -1
// when there is none.
func highest(curve []float64) int {
	best := -1
	for t, x := range curve {
		if isFinite(x) && (best < 0 || x > curve[best]) {
			best = t
		}
	}
	return best
}
