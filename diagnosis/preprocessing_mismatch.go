package diagnosis

import (
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: planted in 120 runs, likely or confirmed in 100 % of them from the record
// alone and in 100 % of 20 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1584
// runs with other causes; with experiments in 0 of 60 and 0 of 264
// (docs/reliability-of-diagnosis.md).
var preprocessingMismatch = Cause{
	ID:    "preprocessing-mismatch",
	Title: "Preprocessing differs between training and validation",
	Explain: "Images are scaled, cropped or normalised in one way for training and in another for validation, so the network " +
		"is shown images of a kind that it never learnt from.",
	Of:     "generalisation",
	Kind:   mistake,
	Brings: []string{"no-signal", "coin-flip", "class-bias-oscillation", "class-imbalance", "overfitting", "threshold-flicker", "overconfidence", "trained-too-long", "too-much-capacity"},
	Probes: []string{"training-through-validation"},
	Judge:  judgePreprocessing,
}

const (
	samePipeline      = 1e-6 // standard deviations by which images of one pipeline may differ
	differentPipeline = 0.1  // from which two pipelines differ by more than rounding and interpolation
	mismatchP         = 1e-4 // of all comparisons of intensities together
	relevantShift     = 0.25 // of a standard deviation, and of a change of that deviation by a quarter
	relevantExtreme   = 1.0  // the same for the least and greatest intensity, which vary more
)

// judgePreprocessing takes the experiment first: training subjects through the
// validation pipeline. Without it the intensities that the network was shown are
// compared between the sets. Subjects are dealt to the sets at random, so their
// intensities differ by chance only, unless the pipelines or the scanners do.
func judgePreprocessing(e *evidence) judgement {
	if e.probed("training-through-validation") && isFinite(e.probe("training-through-validation", "input_difference")) {
		return e.judgePipelines()
	}
	training, validation := e.looks(run.Train), e.looks(run.Validation)
	if len(training) < leastStratum || len(validation) < leastStratum {
		j := cannotTell(float64(min(len(training), len(validation))), "the intensities of %d training and %d validation subjects are recorded as the network is shown them", len(training), len(validation))
		j.treatment = recordLooks()
		return j
	}
	shift, found := largestShift(training, validation)
	j := judgement{verdict: CannotTell, severity: e.gapAtMost()}
	if !found {
		j.say(float64(len(validation)), "the intensities of %d validation and %d training subjects agree as the network is shown them; a difference of orientation or crop would not show in them", len(validation), len(training))
		return j
	}
	j.verdict = Likely
	j.say(shift.validation, "the %s intensity of an image is %.3g in validation and %.3g in training (medians; ranks differ with p < %.0e)", shift.name, shift.validation, shift.training, mismatchP)
	if s := e.strangers(); s > 0.5 {
		j.verdict = Possible
		j.say(100*s, "%.0f %% of the validation subjects come from sites that are not trained on, which may be the reason", 100*s)
	}
	if isFinite(j.severity) {
		j.say(j.severity, "the network is right %.0f points less often on validation subjects, which bounds what it can cost", j.severity)
	}
	j.treat(onePipeline())
	return j
}

// judgePipelines grades what the same training subjects lose by the validation
// pipeline.
func (e *evidence) judgePipelines() judgement {
	const id = "training-through-validation"
	difference := e.probe(id, "input_difference")
	n := float64(len(e.run.Header.Sets[run.Train]))
	own, other := e.probe(id, "train_train_accuracy"), e.probe(id, "train_validation_accuracy")
	j := judgement{verdict: RuledOut, severity: math.Max(0, 100*(own-other))}
	j.say(difference, "the same training images differ by %.3g standard deviations between the two pipelines", difference)
	if difference <= samePipeline {
		return j
	}
	least := math.NaN() // lower end of what the pipeline costs
	if isFinite(own) && isFinite(other) && n > 0 {
		low, high := stat.Newcombe(own*n, n, other*n, n, 0.95)
		least = low
		j.say(j.severity, "the training subjects are right in %.1f %% by their own pipeline and in %.1f %% by that of validation (95 %% interval of the difference %.0f to %.0f points)", 100*own, 100*other, 100*low, 100*high)
	}
	switch {
	case 100*least >= relevantGain:
		j.verdict = Confirmed
	case difference >= differentPipeline:
		j.verdict = Likely
	case j.severity >= relevantGain:
		j.verdict = Possible
	}
	j.treat(onePipeline())
	return j
}

func onePipeline() *Treatment {
	return &Treatment{Plan: map[string]any{}, Text: "Send both sets through one and the same preprocessing; what it needs to know of the images (means, histograms) is fitted on the training set and used for both."}
}

// A setShift is a measure of intensity that differs between the sets.
type setShift struct {
	name                 string
	training, validation float64 // medians
	p                    float64
}

// largestShift returns the surest difference of intensities between the sets, by the
// rank test of Mann and Whitney with Bonferroni's correction, if it is large enough
// to matter to a network: relative to the images' own standard deviation.
func largestShift(training, validation []run.Look) (surest setShift, found bool) {
	unit := medianOf(training, func(l run.Look) float64 { return float64(l.Deviation) })
	measures := []struct {
		name     string
		of       func(run.Look) float64
		relevant float64
	}{
		{"mean", func(l run.Look) float64 { return float64(l.Mean) / unit }, relevantShift},
		{"standard deviation of the", func(l run.Look) float64 { return math.Log(float64(l.Deviation) / unit) }, math.Log(1 + relevantShift)},
		{"least", func(l run.Look) float64 { return float64(l.Least) / unit }, relevantExtreme},
		{"greatest", func(l run.Look) float64 { return float64(l.Greatest) / unit }, relevantExtreme},
	}
	surest.p = mismatchP
	for k, m := range measures {
		a, b := finiteLooks(training, m.of), finiteLooks(validation, m.of)
		if len(a) < leastStratum || len(b) < leastStratum {
			continue
		}
		x, y := stat.Quantile(a, 0.5), stat.Quantile(b, 0.5)
		if p := math.Min(1, float64(len(measures))*rankP(a, b)); math.Abs(x-y) >= m.relevant && p < surest.p {
			if k == 1 {
				x, y = math.Exp(x), math.Exp(y)
			}
			surest, found = setShift{m.name, x * unit, y * unit, p}, true
		}
	}
	return surest, found
}

func finiteLooks(looks []run.Look, of func(run.Look) float64) []float64 {
	var values []float64
	for _, l := range looks {
		if x := of(l); isFinite(x) {
			values = append(values, x)
		}
	}
	return values
}

func medianOf(looks []run.Look, of func(run.Look) float64) float64 {
	values := finiteLooks(looks, of)
	if len(values) == 0 {
		return math.NaN()
	}
	return stat.Quantile(values, 0.5)
}

// rankP is the two-sided p-value of Mann and Whitney's test that two samples have
// one distribution, by the normal approximation without ties, which errs to the
// large side where there are any.
func rankP(a, b []float64) float64 {
	positive := make([]bool, len(a)+len(b))
	for i := range a {
		positive[i] = true
	}
	area, _ := stat.AUROC(slices.Concat(a, b), positive)
	n, m := float64(len(a)), float64(len(b))
	z := math.Abs(area-0.5) / math.Sqrt((n+m+1)/(12*n*m))
	return 2 * (1 - stat.NormalCDF(z))
}

// strangers is the share of validation subjects with a known site that is nobody's
// among the training subjects.
func (e *evidence) strangers() float64 {
	known := map[string]bool{}
	for _, s := range e.run.Header.Sets[run.Train] {
		known[s.Site] = true
	}
	strange, all := 0.0, 0.0
	for _, s := range e.run.Header.Sets[run.Validation] {
		if s.Site != "" {
			all++
			if !known[s.Site] {
				strange++
			}
		}
	}
	if all == 0 {
		return 0
	}
	return strange / all
}

// gapAtMost is the late accuracy on training less validation subjects in points, the
// most that anything particular to validation can cost.
func (e *evidence) gapAtMost() float64 {
	training, _, _ := e.trainingLevel()
	validation, _ := e.validationLevel()
	return math.Max(0, 100*(training-validation))
}
