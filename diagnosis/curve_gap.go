package diagnosis

import (
	"fmt"
	"math"

	"ballast/stat"
)

// lateGap is the late accuracy on training less validation cases in points, with
// the 95 % interval that the number of validation cases leaves (Wilson's, the
// training cases being taken as exact); the ends are NaN without it.
func (e *curveEvidence) lateGap() (gap, low, high float64) {
	training, validation := e.late(e.trainAccuracy), e.late(e.accuracy)
	gap, low, high = 100*(training-validation), math.NaN(), math.NaN()
	if n := e.cases(); n > 0 && isFinite(gap) {
		a, b := stat.Wilson(validation*n, n, 0.95)
		low, high = 100*(training-b), 100*(training-a)
	}
	return gap, low, high
}

// judgeCurveOverfitting grades the gap of late accuracy. A validation loss that
// rises while the training loss falls is a second sign, which makes it likely
// by itself. The training curve is as logged (augmented, dropout on), so
// nothing confirms it.
func judgeCurveOverfitting(e *curveEvidence) judgement {
	gap, low, high := e.lateGap()
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	graded := CannotTell
	if e.isAccuracy() && isFinite(gap) {
		j.severity = math.Max(0, gap)
		graded = e.gradeOneSided(gap, low, high)
		j.say(gap, "over the last third of the epochs %.1f %% of the training cases are right as logged and %.1f %% of the validation cases: a gap of %.1f points%s",
			100*e.late(e.trainAccuracy), 100*e.late(e.accuracy), gap, casesInterval(low, high))
	}
	part, sure, known := e.lossesPart(&j)
	switch {
	case sure && part >= steepRise, graded == Likely, part >= riseShare && graded == Possible:
		j.verdict = Likely
	case part >= riseShare, graded == Possible:
		j.verdict = Possible
	case graded == RuledOut && known, !isFinite(gap) && known && e.late(e.loss)-e.late(e.trainLoss) <= riseShare*e.late(e.loss):
		j.verdict = RuledOut
	}
	if len(j.evidence) == 0 {
		return cannotTell(0, "0 epochs have what it takes: accuracies of both sets, or ten losses of both")
	}
	j.treat(advise("Regularise: stronger weight decay, dropout, more augmentation or a narrower network, and stop near the lowest smoothed validation loss. More patients help most."))
	return j
}

// gradeOneSided grades a gap like gradeGap but one level lower, because only one
// of its sides has an interval: likely takes the whole 95 % interval.
func (e *curveEvidence) gradeOneSided(gap, low, high float64) string {
	switch graded := gradeGap(gap, low, high, relevantGap); {
	case graded == Confirmed:
		return Likely
	case graded == Likely, math.IsNaN(low) && gap >= relevantGap:
		return Possible
	default:
		return graded
	}
}

func casesInterval(low, high float64) string {
	if math.IsNaN(low) {
		return " (no interval: the number of validation cases is unknown)"
	}
	return fmt.Sprintf(" (95 %% interval %.0f to %.0f)", low, high)
}

// lossesPart returns by what share the validation loss rises from its lowest
// point on while the training loss falls, 0 where these are not even suggested
// trends; whether they are significant ones; and whether both losses are known.
func (e *curveEvidence) lossesPart(j *judgement) (part float64, sure, known bool) {
	lowest, rise := e.turn(e.loss)
	if lowest < 0 || !positive(e.loss) || finiteCount(e.trainLoss) < fewEpochs {
		return 0, false, false
	}
	least := smoothed(e.loss)[lowest]
	j.say(rise, "the smoothed validation loss is lowest at epoch %d of %d and %.0f %% higher over the last third", e.epochs[lowest], e.epochs[len(e.epochs)-1], 100*rise/least)
	falls := fallsFrom(e.trainLoss, lowest, suggestedTrend)
	if falls {
		j.say(1, "the training loss has gone on falling")
	}
	if falls && rise > riseNats && risesFrom(e.loss, lowest, suggestedTrend) {
		part = rise / least
	}
	return part, fallsFrom(e.trainLoss, lowest, significantTrend) && risesFrom(e.loss, lowest, significantTrend), true
}

// judgeCurveConfidence looks for a validation loss that rises though the
// accuracy does not fall, and for one that is above that of knowing nothing.
//
// Whatever is added to the cross-entropy for the weights is in the training
// loss too, so the difference of the two is at most the validation
// cross-entropy; where that exceeds ln K the network does worse than equal
// probabilities for K classes, which no lack of confidence can do.
func judgeCurveConfidence(e *curveEvidence) judgement {
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	if !e.isAccuracy() || !positive(e.loss) {
		return cannotTell(0, "it takes an accuracy and a cross-entropy of the validation cases to see")
	}
	lowest, rise := e.turn(e.loss)
	worse := e.lossBeyondIgnorance(&j)
	if lowest < 0 {
		if worse {
			j.verdict = Possible
		}
		j.say(finiteCount(e.loss), "%.0f validation losses are too few to see them turn; ten are needed", finiteCount(e.loss))
		j.treat(calmDown())
		return j
	}
	fall := 100 * (smoothed(e.accuracy)[lowest] - e.late(e.accuracy))
	j.say(rise, "the validation loss has risen by %.2f since epoch %d while the accuracy changed by %+.1f points", rise, e.epochs[lowest], -fall)
	rising := fall <= relevantOptimism && risesFrom(e.loss, lowest, suggestedTrend) && rise >= riseShare*smoothed(e.loss)[lowest]
	switch {
	case rising && rise >= 0.2 && risesFrom(e.loss, lowest, significantTrend), worse:
		j.verdict = Likely
	case rising && rise >= 0.1:
		j.verdict = Possible
	case rise < riseNats:
		j.verdict = RuledOut
	}
	j.treat(calmDown())
	return j
}

func calmDown() *Treatment {
	return advise("Regularise or stop earlier, or calibrate the outputs (temperature); until then do not read the probabilities as risks.")
}

func (e *curveEvidence) lossBeyondIgnorance(j *judgement) bool {
	training, validation := e.late(e.trainLoss), e.late(e.loss)
	ignorance := math.Log(float64(e.facts.Classes))
	if e.facts.Classes < 2 || !isFinite(validation-training) || training < 0 || e.broken > 0 {
		return false
	}
	j.say(validation, "the late validation loss is %.3g; equal probabilities for %d classes cost %.3f", validation, e.facts.Classes, ignorance)
	return validation-training > ignorance && !(e.late(e.trainAccuracy) < progress)
}

// judgeValidationBetter grades the reverse of the gap. That validation is
// better is plain; why, the curves do not say.
func judgeValidationBetter(e *curveEvidence) judgement {
	gap, low, high := e.lateGap()
	if !e.isAccuracy() || !isFinite(gap) {
		return cannotTell(0, "it takes accuracies of both sets to see")
	}
	j := judgement{verdict: CannotTell, severity: math.Max(0, -gap)}
	j.say(-gap, "over the last third of the epochs the validation accuracy less the training accuracy as logged is %+.1f points%s", -gap, casesInterval(-high, -low))
	switch {
	case -high >= relevantGain, -gap >= relevantGap && math.IsNaN(high):
		j.verdict = Likely
	case -gap >= relevantGain:
		j.verdict = Possible
	case -low < relevantGain, -gap < 0:
		j.verdict = RuledOut
	}
	j.treat(advise("Log the training accuracy again in evaluation mode after the epoch; if validation is still better, look for copies of training cases in it and for an easier mix."))
	return j
}
