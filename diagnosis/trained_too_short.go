package diagnosis

import (
	"math"
	"slices"
)

// Measured reliability: planted in 72 runs, likely or confirmed in 92 % of them from the record
// alone and in 100 % of 12 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1460
// runs with other causes; with experiments in 0 of 60 and 1 of 245
// (docs/reliability-of-diagnosis.md).
var trainedTooShort = Cause{
	ID:      "trained-too-short",
	Title:   "Trained too short",
	Explain: "The curves are still improving where training ends, so nothing is known of where they lead.",
	Of:      "generalisation",
	Kind:    mistake,
	Brings:  []string{"too-little-learning", "too-little-capacity", "coin-flip", "batch-norm-lag", "class-bias-oscillation", "threshold-flicker"},
	Probes:  []string{"continuation"},
	Judge:   judgeStoppedShort,
}

const (
	lossShare   = 0.05 // of the loss: what it must still fall by to matter
	steepFall   = 0.10 // of the loss: a fall that makes it likely
	farFall     = 0.2  // of the validation loss of a run over the last third: more than settling takes
	fewEpochs   = 10   // validation values below which no trend is tested
	scoreTwoSD  = 2.0  // standard deviations of independent draws that a last step must gain
	windowLeast = 8    // values of a window for a trend
	halfPath    = 0.3  // of the weights' size: all steps together, where training has hardly begun
	goesOn      = 0.1  // of the loss: what a short continuation takes away where training was not over
)

// judgeStoppedShort judges a run by its curves, as a log, and by two things that a
// log does not hold: whether the weights have had the way to go anywhere, and
// whether a short continuation goes on to improve both losses.
func judgeStoppedShort(e *evidence) judgement {
	c := e.asCurves()
	j := judgeTooShort(c)
	f, path, step := e.trainingFit(), e.medianPath(), e.medianStep()
	if late := c.late(c.loss); j.verdict == Likely && finiteCount(c.loss) >= fewEpochs && !(stillFalling(c.loss) >= farFall*late) {
		j.verdict = Possible
	}
	if isFinite(path) {
		j.say(path, "all steps together amount to %.2g times the size of the weights", path)
	}
	falls := e.stillLearning(&j)
	begun := f.loss > unlearnt*f.ignorance && f.loss < worseThan*f.ignorance
	if begun && step >= smallStep && (path < shortPath || falls && path < halfPath) && j.verdict != Likely {
		j.verdict, j.severity = Likely, math.Max(0, 100*(1-f.accuracy))
	}
	if on, tried := e.goesOn(&j); tried {
		switch {
		case on && j.verdict == Likely:
			j.verdict = Confirmed
		case on && begun:
			j.verdict, j.severity = Likely, math.Max(0, 100*(1-f.accuracy))
		case on:
			j.verdict = Possible
		case j.verdict == Possible:
			j.verdict = CannotTell
		}
	}
	if (j.verdict == Likely || j.verdict == Possible) && e.firstBroken() >= 0 {
		j.verdict = CannotTell
	}
	t := trainLonger()
	if e.plan != nil {
		t.Plan["epochs"] = max(30, 2*e.plan.Epochs)
	}
	j.treatment = nil
	j.treat(t)
	return j
}

// stillLearning reports whether the training loss falls to the end: in every epoch
// where there are few, as a trend where there are more.
func (e *evidence) stillLearning(j *judgement) bool {
	c := e.asCurves()
	values := finiteOf(c.trainLoss)
	if len(values) < 2 {
		return false
	}
	if len(values) >= fewEpochs {
		return stillFalling(c.trainLoss) > lossShare*math.Abs(c.late(c.trainLoss))
	}
	falls := slices.IsSortedFunc(values, func(a, b float64) int {
		switch {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	if falls {
		j.say(values[0]-values[len(values)-1], "the training loss falls in every one of %d epochs, by %.3f nats", len(values), values[0]-values[len(values)-1])
	}
	return falls
}

// goesOn reports whether a short continuation at the same settings takes a tenth or
// more off both losses, and whether it was made.
func (e *evidence) goesOn(j *judgement) (yes, tried bool) {
	before, after := e.probe("continuation", "before_loss"), e.probe("continuation", "same_loss")
	beforeValidation, afterValidation := e.probe("continuation", "before_validation_loss"), e.probe("continuation", "same_validation_loss")
	if !isFinite(before) || !isFinite(after) || !isFinite(beforeValidation) || !isFinite(afterValidation) || !e.continuedInEarnest() {
		return false, false
	}
	j.say(beforeValidation-afterValidation, "a few more epochs change the training loss from %.3f to %.3f and the validation loss from %.3f to %.3f", before, after, beforeValidation, afterValidation)
	return after <= (1-goesOn)*before && afterValidation <= (1-goesOn)*beforeValidation, true
}

// inEarnest is the share of the run's largest learning rate below which a
// continuation tries nothing, as after a schedule that ends near zero.
const inEarnest = 0.3

func (e *evidence) continuedInEarnest() bool {
	return e.probe("continuation", "learning_rate") >= inEarnest*e.rate()
}

// judgeTooShort asks whether the validation curves still improve over the last
// third of the epochs by an amount that matters, and the training curves too.
func judgeTooShort(e *curveEvidence) judgement {
	values := finiteCount(e.judged())
	if values < fewEpochs {
		return e.judgeFewEpochs(values)
	}
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	gain := 100 * stillFalling(negated(e.accuracy))
	fall := stillFalling(e.loss)
	training := stillFalling(e.trainLoss) > 0 || stillFalling(negated(e.trainAccuracy)) > 0
	j.say(gain, "over the last third of the epochs the validation accuracy rises by %.1f points and the validation loss falls by %.3f as trends", gain, fall)
	loss := math.Abs(e.late(e.loss))
	matters := gain >= relevantOptimism || fall >= lossShare*loss
	steep := fall >= steepFall*loss || finiteCount(e.loss) == 0 && gain >= 2*relevantOptimism
	switch {
	case steep && training:
		j.verdict, j.severity = Likely, gain
		j.say(1, "the training curves improve too")
	case matters:
		j.verdict, j.severity = Possible, gain
	case !training:
		j.verdict = RuledOut
	}
	j.treat(trainLonger())
	return j
}

// stillFalling returns by how much a curve fell over its last third (at least
// windowLeast values) by Theil and Sen's slope, 0 where that is no trend.
func stillFalling(curve []float64) float64 {
	values := finiteOf(curve)
	window := thin(values[max(0, len(values)-max(windowLeast, len(values)/3)):])
	if fallingP(window) >= significantTrend {
		return 0
	}
	return math.Max(0, -theilSen(window)*float64(len(window)-1))
}

func negated(curve []float64) []float64 {
	result := make([]float64, len(curve))
	for i, x := range curve {
		result[i] = -x
	}
	return result
}

func trainLonger() *Treatment {
	return advise("Train on until the smoothed validation loss has not fallen for a third of the epochs.")
}

// judgeFewEpochs judges logs of fewer than fewEpochs validation values: likely
// only where the last step alone gains more than independent draws would.
func (e *curveEvidence) judgeFewEpochs(values float64) judgement {
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	j.say(values, "%.0f validation values are too few for a trend", values)
	if values < 2 {
		j.verdict = Possible
		j.treat(trainLonger())
		return j
	}
	loss, accuracy := finiteOf(e.loss), finiteOf(e.accuracy)
	lastLowest := len(loss) > 1 && loss[len(loss)-1] == slices.Min(loss)
	lastHighest := len(accuracy) > 1 && accuracy[len(accuracy)-1] == slices.Max(accuracy) && accuracy[len(accuracy)-1] > accuracy[0]
	if lastLowest || lastHighest {
		j.verdict = Possible
		j.say(values, "and the last is the best")
	}
	if n := e.cases(); n > 0 && lastHighest && (lastLowest || len(loss) == 0) {
		now, before := accuracy[len(accuracy)-1], accuracy[len(accuracy)-2]
		level := (now + before) / 2
		if gain := now - before; gain >= relevantOptimism/100 && gain > scoreTwoSD*math.Sqrt(2*level*(1-level)/n) {
			j.verdict, j.severity = Likely, 100*gain
			j.say(100*gain, "the last step gains %.1f points, more than %.0f cases do by chance", 100*gain, n)
		}
	}
	j.treat(trainLonger())
	return j
}
