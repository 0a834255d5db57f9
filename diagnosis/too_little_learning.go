package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: never planted; true of 261 runs by fresh subjects or by construction,
// likely or confirmed in 66 % of them from the record alone; claimed falsely in 0 of 180 clean runs
// and 0 of 1443 runs with other causes; with experiments in 0 of 60 and 0 of 239
// (docs/reliability-of-diagnosis.md).
var tooLittleLearning = Cause{
	ID:    "too-little-learning",
	Title: "Hardly learns its own training set",
	Explain: "Even on the cases it learns from the network is no better than guessing, or stands still. Nothing about validation " +
		"can be concluded. Too low a learning rate, dead units, bad initial weights, too small a network, too strong " +
		"regularisation, or labels or a loss that do not fit the outputs all look like this.",
	Of:     "generalisation",
	Kind:   reading,
	Brings: []string{"coin-flip"},
	Judge:  judgeLittleLearning,
}

// Measured reliability: never planted; claimed falsely in 0 of 180 clean runs and 0 of 1704 runs
// with other causes; with experiments in 0 of 60 and 0 of 284 (docs/reliability-of-diagnosis.md).
var lossMismatch = Cause{
	ID:    "loss-accuracy-mismatch",
	Title: "Loss and accuracy do not belong together",
	Explain: "A case that is wrong costs a cross-entropy of at least ln 2, so the loss cannot be less than ln 2 times the share " +
		"that is wrong. Where it is, the logged loss is another one (focal, squared, weighted), or outputs, labels and loss do not fit.",
	Of:    "calibration",
	Kind:  mistake,
	Judge: func(e *evidence) judgement { return judgeLossMismatch(e.asCurves()) },
}

const (
	stillShare = 0.02 // of the training loss: a fall below this is standing still
	noProgress = 0.10 // of the way from guessing to perfect
	progress   = 0.80 // is learning, whatever the shares of the classes
)

// judgeTooLittleLearning places the late training accuracy between guessing
// and perfect, and looks at how far the training loss came.
func judgeTooLittleLearning(e *curveEvidence) judgement {
	level := e.late(e.trainAccuracy)
	accuracy := isFinite(level) && e.isAccuracy()
	guess, least := e.guess()
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	standing := e.trainingStands(&j)
	if !accuracy {
		if standing {
			j.verdict = Possible
		}
		if len(j.evidence) == 0 {
			j.say(finiteCount(e.trainLoss), "%.0f epochs have a training loss and none an accuracy on the training cases", finiteCount(e.trainLoss))
		}
		j.treat(overfitFew())
		return j
	}
	way := (level - guess) / (1 - guess)
	j.say(100*level, "over the last third of the epochs %.1f %% of the training cases are right", 100*level)
	if isFinite(way) {
		j.say(100*guess, "guessing gives %s%.1f %%", map[bool]string{true: "at least "}[least], 100*guess)
	}
	switch {
	case level >= extremeShare && !(way < 0.5), way >= progress, !least && way >= 0.5:
		j.verdict = RuledOut
	case finiteCount(e.trainAccuracy) < leastSteps:
	case way < noProgress, standing && !(way > 0.5):
		j.verdict, j.severity = Likely, 100*math.Max(0, 1-level)
	case way < 2.5*noProgress:
		j.verdict, j.severity = Possible, 100*math.Max(0, 1-level)
	}
	if !isFinite(guess) && j.verdict == CannotTell {
		j.say(100*level, "what guessing gives is unknown: --classes decides")
	}
	j.treat(overfitFew())
	return j
}

// trainingStands reports whether the training loss has not fallen.
func (e *curveEvidence) trainingStands(j *judgement) bool {
	values := finiteOf(e.trainLoss)
	if len(values) < leastEpochsToJudge || !positive(e.trainLoss) {
		return false
	}
	fallen := 1 - e.late(e.trainLoss)/values[0]
	j.say(100*fallen, "the training loss has fallen by %.1f %% since the first epoch", 100*fallen)
	return fallen < stillShare
}

func overfitFew() *Treatment {
	return advise("Let the network learn ten training cases by heart: if it cannot, look at the loss, the labels, the last layer and the learning rate before anything else.")
}

// judgeLossMismatch is arithmetic on the late values of either set. As other
// losses than cross-entropy are common it is likely only where the loss is as
// good as zero.
func judgeLossMismatch(e *curveEvidence) judgement {
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	if !e.isAccuracy() {
		return cannotTell(0, "no accuracy is logged to hold the loss against")
	}
	compared, verdict := 0, RuledOut
	for _, set := range []struct {
		name           string
		loss, accuracy []float64
	}{{"training", e.trainLoss, e.trainAccuracy}, {"validation", e.loss, e.accuracy}} {
		loss, wrong := e.late(set.loss), 1-e.late(set.accuracy)
		if !isFinite(loss) || !isFinite(wrong) {
			continue
		}
		compared++
		least := wrong * math.Ln2
		j.say(loss, "%.1f %% of the %s cases are wrong, which costs a cross-entropy of at least %.3f; the loss is %.3g", 100*wrong, set.name, least, loss)
		switch {
		case wrong < 0.02:
		case loss < 0.01*least && loss >= 0:
			verdict = Likely
		case loss < 0.9*least && verdict != Likely:
			verdict = Possible
		}
	}
	if compared == 0 {
		return cannotTell(0, "no set has both a loss and an accuracy")
	}
	j.verdict = verdict
	j.treat(advise("Check that outputs, labels and loss fit: logits or probabilities, one output per class or one for two classes, and weights of the loss."))
	return j
}

// judgeLittleLearning places the late training accuracy of a run between guessing
// and perfect, by whichever view shows it best. The 95 % interval is that of as many
// subjects; the mean over the late epochs has a narrower one.
func judgeLittleLearning(e *evidence) judgement {
	f := e.trainingFit()
	way := f.way()
	if !isFinite(way) {
		return judgeTooLittleLearning(e.asCurves())
	}
	n := float64(len(e.run.Header.Sets[run.Train]))
	_, high := stat.Wilson(f.accuracy*n, n, 0.95)
	most := (high - f.guess) / (1 - f.guess)
	j := judgement{verdict: CannotTell, severity: 100 * math.Max(0, 1-f.accuracy)}
	j.say(100*f.accuracy, "over the last third of the epochs %.1f %% of the training subjects are right, in the view that shows them best; guessing gives %.1f %%", 100*f.accuracy, 100*f.guess)
	if isFinite(f.loss) {
		j.say(f.loss, "the training loss is %.3f nats; knowing nothing but the shares of the classes costs %.3f", f.loss, f.ignorance)
	}
	learnt := f.loss < (1-noProgress)*f.ignorance
	switch {
	case way >= 0.5:
		j.verdict = RuledOut
	case finiteCount(e.accuracy) < leastSteps:
	case way < noProgress && most < 5*noProgress && !learnt:
		j.verdict = Likely
	case way < 2.5*noProgress && !learnt:
		j.verdict = Possible
	case learnt && way >= 2.5*noProgress:
		j.verdict = RuledOut
	}
	j.treat(overfitFew())
	return j
}
