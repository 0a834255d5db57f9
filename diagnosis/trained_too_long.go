package diagnosis

import (
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: planted in 48 runs, likely or confirmed in 79 % of them from the record
// alone and in 88 % of 8 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1260
// runs with other causes; with experiments in 0 of 60 and 0 of 208
// (docs/reliability-of-diagnosis.md).
var trainedTooLong = Cause{
	ID:      "trained-too-long",
	Title:   "Trained too long",
	Explain: "The validation loss has been rising for long: the last weights are worse than earlier ones.",
	Of:      "generalisation",
	Kind:    mistake,
	Brings:  []string{"overconfidence", "optimistic-selection"},
	Probes:  []string{"cross-validation"},
	Judge:   judgeRanLong,
}

const (
	riseShare = 0.10 // of the lowest validation loss: a rise that matters
	riseNats  = 0.05 // and by this much
	steepRise = 0.20 // a rise that makes it likely
	longPast  = 2.0 / 3
	crossFits = 2 // parts of the validation subjects
)

// judgeRanLong asks by how much the late validation loss lies above the lowest one,
// with every subject's loss at hand: half the subjects choose the epoch of the lowest
// smoothed loss, the other half say how much has been lost since, and the reverse,
// so that the choice does not flatter the difference. That the same subjects' loss is
// higher at the later weights is a fact of the record; the interval is over subjects.
// Where it is too wide, a rise of the curve that is a significant trend, as in a log,
// makes it likely. Both only where the training set is known by heart: else the loss
// rises for another reason.
//
// Where the run was repeated with other subjects held out, those many subjects decide by
// the same measure; as far as they cannot, the run's own stand.
func judgeRanLong(e *evidence) judgement {
	own := e.judgeOwnRise()
	if rise := e.probe("cross-validation", "rise"); isFinite(rise) && e.probe("cross-validation", "subjects") > float64(e.subjects()) {
		return e.judgeRiseHeldOut(rise, own)
	}
	return own
}

// judgeOwnRise judges by the validation subjects of the run itself.
func (e *evidence) judgeOwnRise() judgement {
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
	j.treat(e.stopAt(epoch))
	return j
}

// stopAt proposes to end soon after an epoch.
func (e *evidence) stopAt(epoch int) *Treatment {
	t := advise("Stop near the lowest smoothed validation loss, chosen on other subjects than those that are reported.")
	if e.plan != nil && epoch+2 < e.plan.Epochs {
		t.Plan["epochs"] = max(5, epoch+2)
	}
	return t
}

// judgeRiseHeldOut grades the rise of the loss of subjects held out from repetitions
// of the run, beside what the run itself shows.
func (e *evidence) judgeRiseHeldOut(rise float64, own judgement) judgement {
	const id = "cross-validation"
	low, high := e.probe(id, "rise_low"), e.probe(id, "rise_high")
	least, epoch, n := e.probe(id, "lowest_loss"), e.probe(id, "lowest_epoch"), e.probe(id, "subjects")
	last := float64(e.epochs[len(e.epochs)-1])
	j := judgement{verdict: CannotTell, severity: own.severity}
	j.say(rise, "in repetitions of the run the loss of %.0f subjects held out lies %.3f nats above the lowest over the last third of the epochs, %.3f, about epoch %.0f of %.0f (95 %% interval %.3f to %.3f)",
		n, rise, least, epoch, last, low, high)
	heart := e.probe(id, "training_loss") <= heartLoss*e.trainingFit().ignorance
	matters := math.Max(riseNats, steepRise*least)
	switch {
	case epoch > longPast*last, high < matters/2:
		j.verdict = RuledOut
	case heart && low >= matters:
		j.verdict = Confirmed
	case heart && likelyLow(rise, low) >= matters:
		j.verdict = Likely
	case own.verdict == Likely || own.verdict == Possible:
		j.verdict = own.verdict
	case rise >= matters:
		j.verdict = Possible
	}
	j.evidence = append(j.evidence, own.evidence...)
	j.treat(e.stopAt(int(epoch)))
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
