package diagnosis

import (
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: never planted; true of 630 runs by fresh subjects or by construction,
// likely or confirmed in 49 % of them from the record alone; claimed falsely in 0 of 180 clean runs
// and 4 of 1074 runs with other causes; with experiments in 0 of 60 and 0 of 177
// (docs/reliability-of-diagnosis.md).
var overconfidence = Cause{
	ID:    "overconfidence",
	Title: "Overconfidence",
	Explain: "The network is surer than it is right. The validation loss rises while the accuracy does not fall: every mistake " +
		"is made with more conviction. The probabilities must not be read as risks.",
	Of:    "calibration",
	Kind:  reading,
	Judge: judgeOverconfidence,
}

// judgeOverconfidence grades the mean confidence (probability of the predicted
// class) less the accuracy over the late epochs, with the interval over
// subjects. Without probabilities it looks at the two curves.
func judgeOverconfidence(e *evidence) judgement {
	p := e.clean(run.Validation)
	if p == nil {
		return e.judgeConfidenceFromCurves()
	}
	confidence := e.late(p, func(row run.Row, _ int) float64 { return float64(slices.Max(row)) })
	right := e.late(p, correct)
	var excess []float64
	for i := range right {
		if x := 100 * (confidence[i] - right[i]); isFinite(x) {
			excess = append(excess, x)
		}
	}
	if len(excess) < 3 {
		return cannotTell(float64(len(excess)), "only %d subjects have late predictions", len(excess))
	}
	gap, deviation := moments(excess)
	n := float64(len(excess))
	half := stat.StudentQuantile(0.975, n-1) * deviation / math.Sqrt(n)
	j := judgement{verdict: gradeGap(gap, gap-half, gap+half, relevantGap), severity: math.Max(0, gap)}
	j.say(gap, "over the last third of the epochs the mean confidence is %.1f %% and the accuracy %.1f %%: %+.1f points (95 %% interval %+.1f to %+.1f)",
		100*finiteMean(confidence), 100*finiteMean(right), gap, gap-half, gap+half)
	if x := e.lateCalibration(p); isFinite(x) {
		j.say(x, "the expected calibration error of the late epochs is %.1f points", x)
	}
	e.sayLossRise(&j)
	treatment := e.lessMemory()
	treatment.Text += " Until then do not read the probabilities as risks."
	j.treat(treatment)
	return j
}

// lateCalibration is the mean over the late epochs of the expected calibration
// error in ten bins, in points.
func (e *evidence) lateCalibration(p *predictions) float64 {
	var errors []float64
	for _, rows := range p.rows[e.lateFrom:] {
		var confidence []float64
		var right []bool
		for i, row := range rows {
			if row != nil {
				confidence = append(confidence, math.Min(1, float64(slices.Max(row))))
				right = append(right, row.Class() == p.classes[i])
			}
		}
		errors = append(errors, 100*stat.CalibrationError(confidence, right, 10))
	}
	return finiteMean(errors)
}

// sayLossRise reports the loss against its lowest and against that of knowing
// nothing but the classes' shares.
func (e *evidence) sayLossRise(j *judgement) (rise, fall float64) {
	epoch, rise := e.lossRise()
	if epoch == 0 {
		return math.NaN(), math.NaN()
	}
	best := slices.Index(e.epochs, epoch)
	fall = 100 * (smoothed(e.accuracy)[best] - e.lateMean(e.accuracy))
	j.say(rise, "the validation loss has risen by %.2f nats since epoch %d while the accuracy changed by %+.1f points", rise, epoch, -fall)
	return rise, fall
}

// judgeConfidenceFromCurves can at most make it likely: a loss that rises by a
// fifth of a nat while the accuracy does not fall has no other cause, but the
// curves have no interval.
func (e *evidence) judgeConfidenceFromCurves() judgement {
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	rise, fall := e.sayLossRise(&j)
	switch {
	case math.IsNaN(rise):
		j.say(finiteCount(e.loss), "only %.0f epochs have a finite validation loss; ten are needed", finiteCount(e.loss))
	case rise >= 0.2 && fall <= relevantOptimism:
		j.verdict = Likely
		j.treat(e.lessMemory())
	case rise >= 0.1 && fall <= relevantOptimism:
		j.verdict = Possible
		j.treat(e.lessMemory())
	}
	return j
}

func finiteCount(values []float64) float64 {
	count := 0.0
	for _, x := range values {
		if isFinite(x) {
			count++
		}
	}
	return count
}
