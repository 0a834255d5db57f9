// Package diagnosis says why the validation curve of a run fluctuates. From the
// record of a run alone it computes the jitter of the curve, divides it among
// its sources, and judges each cause: one file per cause. docs/budget.md holds
// the mathematics and how well it does on runs whose truth is known.
package diagnosis

import (
	"math"
	"strconv"
)

// ReportFormat is the version of the report's JSON.
const ReportFormat = 1

// A Number is a float64 that JSON can hold: six significant digits, and null
// for what is unknown (NaN) or not finite.
type Number float64

// MarshalJSON implements json.Marshaler.
func (x Number) MarshalJSON() ([]byte, error) {
	if !x.Known() {
		return []byte("null"), nil
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(float64(x), 'g', 6, 64), 64)
	if err != nil {
		return nil, err
	}
	if rounded == 0 {
		rounded = 0 // no "-0"
	}
	format := byte('f')
	if size := math.Abs(rounded); size != 0 && (size < 1e-6 || size >= 1e15) {
		format = 'g'
	}
	return strconv.AppendFloat(nil, rounded, format, -1, 64), nil
}

// UnmarshalJSON implements json.Unmarshaler; null reads as NaN.
func (x *Number) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*x = Number(math.NaN())
		return nil
	}
	value, err := strconv.ParseFloat(string(data), 64)
	*x = Number(value)
	return err
}

var unknown = Number(math.NaN())

// Known reports whether the number is finite.
func (x Number) Known() bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }

// The units of an Interval.
const (
	Points = "percentage points"
	Nats   = "nats"              // of cross-entropy
	Units  = "units of the loss" // of another trainer, which need not be nats
	Ratio  = "share"
)

// An Interval is an estimate with its 95 % interval, in percentage points
// unless Unit says otherwise. The ends are unknown where no per-subject
// predictions were recorded.
type Interval struct {
	Points Number `json:"points"`
	Low    Number `json:"low"`
	High   Number `json:"high"`
	Unit   string `json:"unit"`
}

// An interval that holds both of these shares does not decide what to do: by one end
// something else is to blame for three quarters of the variance or more, by the other
// for a quarter or less.
const mostlyNot, mostly = 0.25, 0.75

func decides(low, high Number) bool {
	return low.Known() && high.Known() && !(low < mostlyNot && high > mostly)
}

// Decides reports whether the interval of a share is narrow enough to act on. Where it
// is not, the report says that it cannot tell.
func (i Interval) Decides() bool { return decides(i.Low, i.High) }

func unknownInterval(unit string) Interval { return Interval{unknown, unknown, unknown, unit} }

// The sources of jitter, in the order of the ladder.
const (
	EvaluationNoise     = "evaluation-noise"      // random subset, augmentation or dropout left on
	BatchNormLag        = "batch-norm-lag"        // running statistics trail behind the weights
	ThresholdFlicker    = "threshold-flicker"     // the decision threshold moves, the ranking does not
	WeightNoise         = "weight-noise"          // what averaging the weights removes
	FiniteValidationSet = "finite-validation-set" // V_n: too few subjects to measure better
	RealChange          = "real-change"           // learning or genuine instability
)

// A Share is a source's part of the variance of the logged accuracy curve,
// with its 95 % interval. Shares sum to 1; a negative share means that
// switching the source off made the curve fluctuate more.
type Share struct {
	Source string `json:"source"`
	Share  Number `json:"share"`
	Low    Number `json:"low"`
	High   Number `json:"high"`
	Points Number `json:"points"` // sign(share) sqrt(|share|) times the jitter
	// Includes names the sources merged into this one because the views that
	// would tell them apart were not recorded.
	Includes []string `json:"includes,omitempty"`
}

// Decides reports whether the share's interval is narrow enough to act on.
func (s Share) Decides() bool { return decides(s.Low, s.High) }

// A View is one way to evaluate the same weights, alone: what the curve of
// accuracy would fluctuate by if it were logged like this.
type View struct {
	View   string   `json:"view"`   // run.Logged, ..., or with "+threshold": decided at the threshold of the training subjects
	Jitter Interval `json:"jitter"` // of accuracy
	Finite Interval `json:"finite"` // share of this view's jitter that is only the finite validation set
	// Removed is the share of the logged jitter's variance that this view
	// alone removes.
	Removed Interval `json:"removed"`
	// Accuracy is the mean accuracy over the late epochs, in per cent.
	Accuracy Number `json:"accuracy"`
}

// Epochs says which epochs the report rests on.
type Epochs struct {
	Recorded     int    `json:"recorded"`
	Analysed     int    `json:"analysed"`      // with a finite validation result
	Stride       int    `json:"stride"`        // epochs between the evaluations that the budget compares
	Late         int    `json:"late"`          // first epoch of the last third, over which levels are averaged; 0 when none
	Best         int    `json:"best"`          // epoch of the highest logged validation accuracy, the first of equals; 0 when none
	BestAccuracy Number `json:"best_accuracy"` // in per cent
	LowestLoss   int    `json:"lowest_loss"`   // epoch of the lowest smoothed validation loss; 0 when none
}

// Chance is what n subjects can show at all, whatever the network does. All
// values are in per cent or percentage points.
type Chance struct {
	Guess       Number `json:"guess"`        // share of the commonest class among the validation subjects
	Accuracy    Number `json:"accuracy"`     // mean logged accuracy over the late epochs
	Low         Number `json:"low"`          // Wilson 95 % interval of a single epoch at that accuracy
	High        Number `json:"high"`         //
	Needs       Number `json:"needs"`        // least accuracy that n subjects can tell from guessing (exact binomial, one-sided 5 %)
	Range       Number `json:"range"`        // maximum - minimum of the logged curve
	ChanceRange Number `json:"chance_range"` // the same expected of as many independent draws of n subjects at a constant accuracy
	Step        Number `json:"step"`         // root mean square step of the logged curve
	ChanceStep  Number `json:"chance_step"`  // the same of independent draws of n subjects
}

// The verdicts, from the surest to the reverse.
const (
	Confirmed  = "confirmed"   // an experiment in the record shows it, its whole interval beyond what matters
	Likely     = "likely"      // the evidence points there
	Possible   = "possible"    // the evidence allows it and leans there
	CannotTell = "cannot-tell" // the record does not decide
	RuledOut   = "ruled-out"   // the interval excludes an effect that matters
)

// A Finding is a cause with its verdict and the numbers behind it.
type Finding struct {
	ID        string     `json:"id"`
	Title     string     `json:"title"`
	Verdict   string     `json:"verdict"`
	Severity  Number     `json:"severity_points"` // what the record shows it to cost, of what Of says; 0 for cannot-tell and ruled-out
	Of        string     `json:"severity_of"`     // "jitter", "generalisation", "calibration" or "optimism"
	Explain   string     `json:"explain"`
	Evidence  []Evidence `json:"evidence"`
	Treatment Treatment  `json:"treatment"` // what to change; its text is empty where nothing is
	// Because is the id of a surer or deeper cause that this one follows from; empty
	// where it stands by itself.
	Because string `json:"because,omitempty"`
	// Probes are the ids of experiments that were not made and would decide more.
	Probes []string `json:"probes,omitempty"`
}

// Evidence is one number for or against a cause.
type Evidence struct {
	Text  string `json:"text"` // the sentence, the number included
	Value Number `json:"value"`
}

// A Treatment is a change that should cure the cause. Plan holds dotted plan
// keys with their new values; empty where no key of the plan can do it.
type Treatment struct {
	Text string         `json:"text"`
	Plan map[string]any `json:"plan"`
}

// Subjects counts the subjects of the two sets.
type Subjects struct {
	Train      int `json:"train"`
	Validation int `json:"validation"`
}

// A Report is what a run's record says about its validation curve.
type Report struct {
	Format   int      `json:"format"`
	Subjects Subjects `json:"subjects"`
	Classes  []string `json:"classes"`
	Epochs   Epochs   `json:"epochs"`
	Summary  []string `json:"summary"` // the answer in two or three plain sentences
	// Jitter of the logged validation curves: "accuracy", "loss", "auroc",
	// "balanced_accuracy" and "brier", where they can be computed.
	Jitter map[string]Interval `json:"jitter"`
	// Finite is the share of the logged accuracy's jitter that is only the
	// finite validation set.
	Finite Interval `json:"finite"`
	// Infinite is the jitter of accuracy that infinitely many validation subjects of
	// the same mix of classes would show.
	Infinite Interval  `json:"infinite"`
	Chance   Chance    `json:"chance"`
	Budget   []Share   `json:"budget"` // empty without per-subject predictions
	Views    []View    `json:"views"`
	Findings []Finding `json:"findings"` // every cause, most severe first; ruled out last
	Notes    []string  `json:"notes"`    // what was left out or merged, and what to record to know more
	// Experiments are the ids of those that were made with the run's weights and
	// images after training.
	Experiments []string `json:"experiments,omitempty"`
	// Curves is what is known of a log of another trainer; nil for a run. Then
	// Finite has no estimate, and its ends are bounds and no interval.
	Curves *CurveFacts `json:"curves,omitempty"`
}
