package diagnosis

import (
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

const (
	halfPath  = 0.3 // of the weights' size: all steps together, where training has hardly begun
	farFall   = 0.2 // of the validation loss over the last third: more than settling takes
	goesOn    = 0.1 // of the loss: what a short continuation takes away where training was not over
	crossFits = 2   // parts of the validation subjects
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

// judgeRanLong asks by how much the late validation loss lies above the lowest one,
// with every subject's loss at hand: half the subjects choose the epoch of the lowest
// smoothed loss, the other half say how much has been lost since, and the reverse,
// so that the choice does not flatter the difference. That the same subjects' loss is
// higher at the later weights is a fact of the record; the interval is over subjects.
// Where it is too wide, a rise of the curve that is a significant trend, as in a log,
// makes it likely. Both only where the training set is known by heart: else the loss
// rises for another reason.
func judgeRanLong(e *evidence) judgement {
	p := e.validation[run.Recalibrated] // free of statistics that do not fit the weights
	if p == nil {
		p = e.clean(run.Validation)
	}
	if p == nil {
		return judgeTooLong(e.asCurves())
	}
	rises, least, epoch := e.lossSince(p)
	if len(rises) < 2*crossFits || !(least > 0) {
		return cannotTell(float64(len(rises)), "the losses of %d subjects over %d epochs do not show it turn; ten epochs are needed", len(rises), len(e.epochs))
	}
	rise, deviation := moments(rises)
	half := stat.StudentQuantile(0.975, float64(len(rises)-1)) * deviation / math.Sqrt(float64(len(rises)))
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	j.say(rise, "the validation loss of the last third of the epochs lies %.3f nats above the lowest, %.3f, about epoch %d of %d (95 %% interval %.3f to %.3f)",
		rise, least, epoch, e.epochs[len(e.epochs)-1], rise-half, rise+half)
	training := e.trainingFit()
	heart := training.loss <= heartLoss*training.ignorance
	if isFinite(training.loss) {
		j.say(training.loss, "the late training loss is %.3f nats", training.loss)
	}
	matters := math.Max(riseNats, steepRise*least)
	early := float64(epoch) <= longPast*float64(e.epochs[len(e.epochs)-1])
	switch {
	case !early || rise+half < matters/2:
		j.verdict = RuledOut
	case heart && rise-half >= matters:
		j.verdict = Confirmed
	case heart && (likelyLow(rise, rise-half) >= matters || judgeTooLong(e.asCurves()).verdict == Likely):
		j.verdict = Likely
	case rise >= matters:
		j.verdict = Possible
	}
	if lost := e.accuracySince(epoch); isFinite(lost) {
		j.severity = math.Max(0, lost)
		j.say(-lost, "since then the accuracy has changed by %+.1f points", -lost)
	}
	t := advise("Stop near the lowest smoothed validation loss, chosen on other subjects than those that are reported.")
	if e.plan != nil && epoch+2 < e.plan.Epochs {
		t.Plan["epochs"] = max(5, epoch+2)
	}
	j.treat(t)
	return j
}

// lossSince returns by how much each subject's late loss lies above its mean over the
// five epochs about the lowest smoothed loss of the other half of the subjects, the
// lowest loss itself and its epoch (the means of both halves).
func (e *evidence) lossSince(p *predictions) (rises []float64, least float64, epoch int) {
	losses := e.lossesOf(p)
	late := make([]float64, len(p.classes))
	for i := range late {
		late[i] = finiteMean(losses[i][e.lateFrom:])
	}
	half := halves(p.classes)
	for part := range crossFits {
		curve := make([]float64, len(e.epochs))
		for t := range curve {
			sum, n := 0.0, 0.0
			for i := range p.classes {
				if half[i] != part && isFinite(losses[i][t]) {
					sum, n = sum+losses[i][t], n+1
				}
			}
			curve[t] = sum / n
		}
		if finiteCount(curve) < fewEpochs {
			return nil, math.NaN(), 0
		}
		smooth := smoothed(curve)
		lowest := lowestOf(smooth)
		least += smooth[lowest] / crossFits
		epoch += e.epochs[lowest]
		for i := range p.classes {
			from, to := max(0, lowest-2), min(len(curve), lowest+3)
			if rise := late[i] - finiteMean(losses[i][from:to]); half[i] == part && isFinite(rise) {
				rises = append(rises, rise)
			}
		}
	}
	return rises, least, epoch / crossFits
}

// lossesOf are the subjects' losses by epoch; NaN where one was not evaluated.
func (e *evidence) lossesOf(p *predictions) [][]float64 {
	losses := make([][]float64, len(p.classes))
	for i, class := range p.classes {
		losses[i] = make([]float64, len(p.rows))
		for t, rows := range p.rows {
			losses[i][t] = math.NaN()
			if rows != nil && rows[i] != nil {
				losses[i][t] = loss(rows[i], class)
			}
		}
	}
	return losses
}

// halves deals the subjects of each class in turn to the two halves.
func halves(classes []int) []int {
	next := map[int]int{}
	half := make([]int, len(classes))
	for i, class := range classes {
		half[i] = next[class] % crossFits
		next[class]++
	}
	return half
}

// lowestOf is the index of the lowest finite value, 0 where there is none.
func lowestOf(curve []float64) int {
	lowest := -1
	for t, x := range curve {
		if isFinite(x) && (lowest < 0 || x < curve[lowest]) {
			lowest = t
		}
	}
	return max(0, lowest)
}

// accuracySince is by how many points the smoothed accuracy has fallen since an
// epoch.
func (e *evidence) accuracySince(epoch int) float64 {
	t, found := slices.BinarySearch(e.epochs, epoch)
	if !found && t == len(e.epochs) {
		return math.NaN()
	}
	return 100 * (smoothed(e.accuracy)[t] - e.lateMean(e.accuracy))
}
