package diagnosis

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// A Cause is one thing that can be wrong with a run. Each stands in a file of
// its own and is listed in Causes.
type Cause struct {
	ID      string
	Title   string
	Explain string // what it is, in one or two sentences
	Of      string // what its severity is measured in: jitter, generalisation, calibration or optimism
	Kind    kind
	Brings  []string // ids of the causes that follow from this one and need no treatment of their own
	Probes  []string // ids of the experiments that decide it, where the record alone does not
	Judge   func(*evidence) judgement
	// WithoutCurve: it is judged, too, where no epoch has a finite validation
	// accuracy, as of a run that diverged at once.
	WithoutCurve bool
}

// A kind says what is to be done about a cause. A reader wants to know of mistakes
// first, since they can be mended, then of what a milder plan or more subjects mend, then
// of what the cohort allows, then of how the numbers are to be read.
type kind int

const (
	mistake  kind = iota // of the program or the plan
	mismatch             // of the network and the number of its subjects
	limit                // of the cohort
	reading              // of the curve
)

// Causes lists every cause that Diagnose judges.
var Causes = []*Cause{
	&preprocessingMismatch,
	&stochasticEvaluation,
	&randomSubset,
	&subjectLeakage,
	&unscaledInput,
	&lossWeightMismatch,
	&batchNormSmallBatch,
	&batchNormLag,
	&noSignal,
	&labelNoise,
	&siteShortcut,
	&classImbalance,
	&coinFlip,
	&smallValidationSet,
	&thresholdFlicker,
	&classBias,
	&validationBetter,
	&unshuffledTraining,
	&nonFiniteLoss,
	&learningRateTooHigh,
	&explodingGradient,
	&vanishingGradient,
	&deadReLU,
	&learningRateTooLow,
	&batchTooSmall,
	&trainedTooShort,
	&tooMuchCapacity,
	&trainedTooLong,
	&tooLittleCapacity,
	&tooLittleLearning,
	&lossMismatch,
	&overfitting,
	&overconfidence,
	&optimisticSelection,
}

// A judgement is what a cause makes of the evidence.
type judgement struct {
	verdict   string
	severity  float64 // points; NaN when unknown
	of        string  // what they are points of, where that is not the cause's own
	evidence  []Evidence
	treatment *Treatment
}

// say adds a sentence with its number.
func (j *judgement) say(value float64, format string, arguments ...any) {
	j.evidence = append(j.evidence, Evidence{Text: fmt.Sprintf(format, arguments...), Value: Number(value)})
}

// treat proposes a treatment where the verdict leans to the cause.
func (j *judgement) treat(t *Treatment) {
	if j.verdict == Confirmed || j.verdict == Likely || j.verdict == Possible {
		j.treatment = t
	}
}

// cannotTell is the judgement when the record lacks what is needed.
func cannotTell(value float64, format string, arguments ...any) judgement {
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	j.say(value, format, arguments...)
	return j
}

var verdictOrder = []string{Confirmed, Likely, Possible, CannotTell, RuledOut}

// findings judges every cause, the most severe first. A cause that is not
// shown to cost anything, because it is ruled out or cannot be told, has a
// severity of zero and comes last.
func (e *evidence) findings() []Finding {
	var findings []Finding
	for _, cause := range Causes {
		j := e.judge(cause)
		if j.verdict == RuledOut || j.verdict == CannotTell || math.IsNaN(j.severity) {
			j.severity = 0
		}
		findings = append(findings, Finding{
			ID: cause.ID, Title: cause.Title, Explain: cause.Explain, Of: cmp.Or(j.of, cause.Of),
			Verdict: j.verdict, Severity: Number(j.severity), Evidence: j.evidence, Treatment: j.prescription(),
			Probes: e.unmade(cause, j.verdict),
		})
	}
	relate(findings, Causes)
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity),
			cmp.Compare(slices.Index(verdictOrder, a.Verdict), slices.Index(verdictOrder, b.Verdict)))
	})
	return findings
}

// judge judges a cause where there is anything to judge it by.
func (e *evidence) judge(cause *Cause) judgement {
	if e.lateFrom == len(e.accuracy) && !cause.WithoutCurve {
		return cannotTell(0, "0 of %d epochs have a finite validation accuracy", len(e.epochs))
	}
	return cause.Judge(e)
}

// prescription is the treatment, empty where there is none.
func (j *judgement) prescription() Treatment {
	if j.treatment == nil {
		return Treatment{Plan: map[string]any{}}
	}
	return *j.treatment
}

// What counts as an effect that matters. docs/budget.md gives the reasons.
const (
	relevantShare    = 0.10 // of the variance of the logged curve
	relevantJitter   = 1.0  // points: a curve that fluctuates less needs no explanation
	relevantGap      = 10.0 // points of accuracy or of confidence
	relevantGain     = 2.0  // points of accuracy that a change of evaluation yields
	relevantOptimism = 2.0  // points by which the best epoch flatters
)

// likelyLow is the lower end of the 80 % interval of an estimate, from that of
// its 95 % interval.
func likelyLow(estimate, low float64) float64 { return estimate - (estimate-low)*1.2816/1.9600 }

// confirmedLow is the lower end of the 99 % interval of an estimate, from that of
// its 95 % interval.
func confirmedLow(estimate, low float64) float64 { return estimate - (estimate-low)*2.5758/1.9600 }

// gradeShare turns a share of the jitter with its 95 % interval into a verdict:
// confirmed (by an experiment in the record) where the whole 99 % interval matters,
// since a diagnosis asks it of several shares at once, likely where the whole 80 % interval does, ruled out where none of it does.
func (e *evidence) gradeShare(share, low, high Number) string {
	switch {
	case e.jitter < relevantJitter:
		return RuledOut
	case !share.Known() || !low.Known() || !high.Known():
		return CannotTell
	case confirmedLow(float64(share), float64(low)) >= relevantShare:
		return Confirmed
	case high < relevantShare:
		return RuledOut
	case likelyLow(float64(share), float64(low)) >= relevantShare:
		return Likely
	case share >= relevantShare && decides(low, high):
		return Possible
	}
	return CannotTell
}

// gradeGap turns a difference in points with its interval into a verdict, by
// the same rules.
func gradeGap(gap, low, high, relevant float64) string {
	switch {
	case math.IsNaN(low) || math.IsNaN(high):
		return CannotTell
	case low >= relevant:
		return Confirmed
	case high < relevant:
		return RuledOut
	case likelyLow(gap, low) >= relevant:
		return Likely
	case gap >= relevant:
		return Possible
	}
	return CannotTell
}

// jitterPoints is a share of the logged variance in points of jitter.
func (e *evidence) jitterPoints(share float64) float64 {
	return e.jitter * math.Sqrt(math.Max(0, share))
}

// percent writes a share as a whole number of per cent.
func percent(share Number) string { return fmt.Sprintf("%.0f %%", 100*float64(share)) }

// between writes an interval of shares.
func between(low, high Number) string {
	return fmt.Sprintf("95 %% interval %.0f to %.0f %%", 100*float64(low), 100*float64(high))
}
