package diagnosis

import (
	"math"
	"slices"
)

// Measured reliability: planted in 72 runs, likely or confirmed in 100 % of them from the record
// alone and in 100 % of 10 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1464
// runs with other causes; with experiments in 0 of 60 and 0 of 210
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

// Measured reliability: planted in 48 runs, likely or confirmed in 44 % of them from the record
// alone and in 33 % of 6 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1233
// runs with other causes; with experiments in 0 of 60 and 0 of 178
// (docs/reliability-of-diagnosis.md).
var trainedTooLong = Cause{
	ID:      "trained-too-long",
	Title:   "Trained too long",
	Explain: "The validation loss has been rising for long: the last weights are worse than earlier ones.",
	Of:      "generalisation",
	Kind:    mistake,
	Brings:  []string{"overfitting", "overconfidence", "optimistic-selection"},
	Judge:   judgeRanLong,
}

const (
	lossShare   = 0.05 // of the loss: what it must still fall by to matter
	steepFall   = 0.10 // of the loss: a fall that makes it likely
	fewEpochs   = 10   // validation values below which no trend is tested
	riseShare   = 0.10 // of the lowest validation loss: a rise that matters
	riseNats    = 0.05 // and by this much
	steepRise   = 0.20 // a rise that makes it likely
	longPast    = 2.0 / 3
	scoreTwoSD  = 2.0 // standard deviations of independent draws that a last step must gain
	windowLeast = 8   // values of a window for a trend
)

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

// judgeTooLong asks whether the validation loss has risen from a lowest point
// in the first two thirds of the epochs, as a trend and by an amount that
// matters.
func judgeTooLong(e *curveEvidence) judgement {
	lowest, rise := e.turn(e.loss)
	if lowest < 0 || !positive(e.loss) {
		return cannotTell(finiteCount(e.loss), "%.0f validation losses above zero are too few to see it turn; ten are needed", finiteCount(e.loss))
	}
	least := smoothed(e.loss)[lowest]
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	j.say(rise, "the smoothed validation loss is lowest, %.3f, at epoch %d of %d, and %.0f %% higher over the last third", least, e.epochs[lowest], e.epochs[len(e.epochs)-1], 100*rise/least)
	fall := e.sayAccuracySince(&j, lowest)
	early := float64(lowest) <= longPast*float64(len(e.epochs)-1)
	rising := risesFrom(e.loss, lowest, suggestedTrend) && rise > riseNats
	switch {
	case early && rising && rise >= steepRise*least && risesFrom(e.loss, lowest, significantTrend):
		j.verdict, j.severity = Likely, math.Max(0, fall)
	case early && rising && rise >= riseShare*least:
		j.verdict, j.severity = Possible, math.Max(0, fall)
	case rise < lossShare*least:
		j.verdict = RuledOut
	}
	j.treat(advise("Stop near the lowest smoothed validation loss, chosen on other cases than those that are reported."))
	return j
}

// sayAccuracySince reports by how many points the accuracy has fallen since the
// lowest loss; NaN without an accuracy.
func (e *curveEvidence) sayAccuracySince(j *judgement, lowest int) float64 {
	fall := 100 * (smoothed(e.accuracy)[lowest] - e.late(e.accuracy))
	if !e.isAccuracy() || !isFinite(fall) {
		return math.NaN()
	}
	j.say(-fall, "since then the accuracy has changed by %+.1f points", -fall)
	return fall
}
