package diagnosis

import (
	"cmp"
	"math"
	"slices"
)

// A curveCause is a cause as curves alone can judge it.
type curveCause struct {
	*Cause
	judge func(*curveEvidence) judgement
}

// curveCauses lists what DiagnoseCurves judges. Those of Causes that are absent
// here need what no log of curves holds; see curveBlind.
var curveCauses = []curveCause{
	{&nonFiniteLoss, judgeNonFinite},
	{&coinFlip, judgeCurveCoin},
	{&smallValidationSet, judgeCurveSmallSet},
	{&classBias, judgeClassBias},
	{&classImbalance, judgeClassImbalance},
	{&learningRateTooHigh, judgeCurveRate},
	{&lossMismatch, judgeLossMismatch},
	{&tooLittleLearning, judgeTooLittleLearning},
	{&trainedTooShort, judgeTooShort},
	{&trainedTooLong, judgeTooLong},
	{&learningRateTooLow, judgeRateTooLow},
	{&overfitting, judgeCurveOverfitting},
	{&overconfidence, judgeCurveConfidence},
	{&validationBetter, judgeValidationBetter},
	{&optimisticSelection, judgeCurveSelection},
	{&stochasticEvaluation, blind("evaluate the same weights twice, and record both results: any difference is noise of the evaluation")},
	{&batchNormLag, blind("evaluate the same weights again after recomputing the batch-norm statistics on training batches")},
	{&preprocessingMismatch, blind("send the training cases through the validation pipeline in evaluation mode, and log their accuracy beside the others")},
	{&subjectLeakage, blind("compare the patients, and the images, of the two sets: ballast check does so for a cohort")},
}

// CurveCauses lists the causes that are judged from curves and are not in
// Causes.
func CurveCauses() []*Cause {
	var causes []*Cause
	for _, c := range curveCauses {
		if !slices.Contains(Causes, c.Cause) {
			causes = append(causes, c.Cause)
		}
	}
	return causes
}

// blind judges what curves cannot show, and says what to record.
func blind(record string) func(*curveEvidence) judgement {
	return func(e *curveEvidence) judgement {
		j := judgement{verdict: CannotTell, severity: math.NaN()}
		j.say(finiteCount(e.judged()), "no curve of %.0f values shows it", finiteCount(e.judged()))
		j.treatment = advise("To know, " + record + ".")
		return j
	}
}

// findings judges every cause, the most severe first.
func (e *curveEvidence) findings() []Finding {
	var findings []Finding
	for _, cause := range curveCauses {
		j := cause.judge(e)
		if j.verdict == RuledOut || j.verdict == CannotTell || math.IsNaN(j.severity) {
			j.severity = 0
		}
		findings = append(findings, Finding{
			ID: cause.ID, Title: cause.Title, Explain: cause.Explain, Of: cmp.Or(j.of, cause.Of),
			Verdict: j.verdict, Severity: Number(j.severity), Evidence: j.evidence, Treatment: j.prescription(),
		})
	}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity),
			cmp.Compare(slices.Index(verdictOrder, a.Verdict), slices.Index(verdictOrder, b.Verdict)))
	})
	return findings
}

// advise is a treatment in words; a foreign trainer has no plan of ours.
func advise(text string) *Treatment { return &Treatment{Text: text, Plan: map[string]any{}} }

// significantTrend is the one-sided p-value from which a trend counts. It is
// strict because the test takes epochs as independent, while neighbours share
// most of their weights and so their noise.
const (
	significantTrend = 0.001
	suggestedTrend   = 0.01 // makes possible what the other makes likely
)

// mostTrend bounds the values of a trend test, which takes quadratic time.
const mostTrend = 400

// thin takes evenly spaced values where there are more than mostTrend.
func thin(values []float64) []float64 {
	every := (len(values) + mostTrend - 1) / mostTrend
	if every <= 1 {
		return values
	}
	var kept []float64
	for i := 0; i < len(values); i += every {
		kept = append(kept, values[i])
	}
	return kept
}

// turn returns the index of the lowest smoothed value and how far the mean of
// the late values lies above it; -1 when there are not ten values.
func (e *curveEvidence) turn(curve []float64) (lowest int, rise float64) {
	if finiteCount(curve) < 10 {
		return -1, math.NaN()
	}
	smooth := smoothed(curve)
	lowest = -1
	for t, x := range smooth {
		if isFinite(x) && (lowest < 0 || x < smooth[lowest]) {
			lowest = t
		}
	}
	return lowest, math.Max(0, e.late(curve)-smooth[lowest])
}

// risesFrom reports whether a curve rises from an index on by more than chance.
func risesFrom(curve []float64, from int, p float64) bool { return risingP(thin(curve[from:])) < p }

// fallsFrom is the reverse.
func fallsFrom(curve []float64, from int, p float64) bool { return fallingP(thin(curve[from:])) < p }

// positive reports whether a curve has values and all are above zero, so that
// ratios of them mean something. Dice losses often are negative.
func positive(curve []float64) bool {
	return finiteCount(curve) > 0 && !slices.ContainsFunc(curve, func(x float64) bool { return x <= 0 })
}

// finiteOf returns the finite values of a curve.
func finiteOf(curve []float64) []float64 {
	var values []float64
	for _, x := range curve {
		if isFinite(x) {
			values = append(values, x)
		}
	}
	return values
}
