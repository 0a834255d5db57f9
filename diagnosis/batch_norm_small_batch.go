package diagnosis

import (
	"fmt"
	"math"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: planted in 24 runs, likely or confirmed in 0 % of them from the record
// alone and in 100 % of 4 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1680
// runs with other causes; with experiments in 0 of 60 and 0 of 280
// (docs/reliability-of-diagnosis.md).
var batchNormSmallBatch = Cause{
	ID:    "batch-norm-small-batch",
	Title: "Batch norm rests on batches that are too small",
	Explain: "While training, batch norm normalises by the few images of a batch, and the network learns to work with that noise; " +
		"validation normalises by fixed statistics, with which the same weights are another network.",
	Of:     "generalisation",
	Kind:   mistake,
	Brings: []string{"batch-norm-lag", "class-bias-oscillation", "threshold-flicker", "overfitting", "overconfidence"},
	Probes: []string{"mode", "recalibration", "group-norm"},
	Judge:  judgeSmallBatch,
}

// largestSmallBatch is the batch from which its statistics are no reason: the mean
// of 16 images has a quarter of their standard deviation.
const largestSmallBatch = 16

// tinyBatch is the batch up to which the mean of its images has half their standard
// deviation or more.
const tinyBatch = 4

// judgeSmallBatch compares the training subjects at the same weights normalised by
// their own batches (view "recalibrated", which computes the statistics on the way)
// with those normalised by the running statistics (view "deterministic"). A large
// difference that new statistics do not take away from validation is that of the
// two modes. The experiments compare the modes directly, and the training subjects
// normalised in batches of the run's size and in larger ones, and repeat the run with
// group norm.
func judgeSmallBatch(e *evidence) judgement {
	if e.plan != nil && (e.plan.Net.Norm == "none" || e.plan.Net.Norm == "group") {
		j := judgement{verdict: RuledOut}
		j.say(0, "0 layers of the network use batch norm")
		return j
	}
	if e.plan != nil && e.plan.Batch > largestSmallBatch {
		j := judgement{verdict: RuledOut}
		j.say(float64(e.plan.Batch), "a batch has %d images, whose mean has %.0f %% of their standard deviation", e.plan.Batch, 100/math.Sqrt(float64(e.plan.Batch)))
		return j
	}
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	if e.probed("mode") {
		e.judgeModes(&j)
	} else {
		e.compareTrainingModes(&j)
	}
	e.sayBatchSizes(&j)
	e.judgeGroupNorm(&j)
	if len(j.evidence) == 0 {
		j = cannotTell(0, "0 epochs have the training subjects both with the statistics of their batches and with the running ones")
		j.treatment = &Treatment{Text: "Evaluate the training subjects in both modes after every epoch (views \"deterministic\" and \"recalibrated\").", Plan: e.recordViews()}
	}
	j.treat(e.largerBatches())
	return j
}

// compareTrainingModes judges by the recorded views.
func (e *evidence) compareTrainingModes(j *judgement) {
	running, batch := e.training[run.Deterministic], e.training[run.Recalibrated]
	if running == nil || batch == nil || e.ofAverages() {
		return
	}
	gap, half := e.pairedGain(running, batch)
	if !isFinite(half) {
		return
	}
	j.say(gap, "the training subjects are right %+.1f points more often normalised by their own batches than by the running statistics (95 %% interval %+.1f to %+.1f)", gap, gap-half, gap+half)
	j.severity = math.Max(0, gap)
	before, after := e.validation[run.Deterministic], e.validation[run.Recalibrated]
	if before == nil || after == nil {
		return
	}
	gain, width := e.pairedGain(before, after)
	if isFinite(width) {
		j.say(gain, "recomputed statistics change the validation accuracy by %+.1f points (95 %% interval %+.1f to %+.1f)", gain, gain-width, gain+width)
	}
	switch {
	case math.Max(gap+half, half-gap) < relevantGap && !e.tinyBatches():
		j.verdict = RuledOut
	case gap-half >= relevantGap && gain+width < gap/2:
		j.verdict = Likely
	case gap >= relevantGap && gain < gap/2:
		j.verdict = Possible
	}
}

// judgeModes judges by the experiment in both modes with the last weights.
func (e *evidence) judgeModes(j *judgement) {
	n := float64(len(e.run.Header.Sets[run.Train]))
	running, batch := e.probe("mode", "train_running_accuracy"), e.probe("mode", "train_batch_accuracy")
	if !isFinite(running) || !isFinite(batch) || n == 0 {
		return
	}
	gap := 100 * (batch - running)
	low, high := stat.Newcombe(batch*n, n, running*n, n, 0.95)
	j.severity = math.Max(0, gap)
	j.say(gap, "with the last weights %.1f %% of the training subjects are right normalised by their own batches and %.1f %% by the running statistics: %+.1f points (95 %% interval %+.1f to %+.1f)",
		100*batch, 100*running, gap, 100*low, 100*high)
	cured := e.probe("recalibration", "accuracy_after") - e.probe("recalibration", "accuracy_before")
	if isFinite(cured) {
		j.say(100*cured, "recomputed statistics change the validation accuracy by %+.1f points", 100*cured)
	}
	switch {
	case math.Max(100*high, -100*low) < relevantGap && !e.tinyBatches():
		j.verdict = RuledOut
	case 100*low >= relevantGap && cured < (batch-running)/2:
		j.verdict = Confirmed
	case gap >= relevantGap && !(cured >= (batch-running)/2):
		j.verdict = Possible
	}
}

// sayBatchSizes compares the same weights and training subjects normalised in batches
// of the run's size and of 32: what the smaller ones cost while training.
func (e *evidence) sayBatchSizes(j *judgement) {
	if e.plan == nil {
		return
	}
	size := 2
	for size*2 <= e.plan.Batch {
		size *= 2
	}
	n := float64(len(e.run.Header.Sets[run.Train]))
	small, large := e.probe("recalibration", fmt.Sprintf("train_batch_%d_accuracy", size)), e.probe("recalibration", "train_batch_32_accuracy")
	if size < 32 && isFinite(small) && isFinite(large) && n > 0 {
		low, high := stat.Newcombe(large*n, n, small*n, n, 0.95)
		j.say(100*(large-small), "the same weights are right in %.1f %% of the training subjects normalised in batches of %d, and in %.1f %% in batches of 32 (95 %% interval of the difference %.0f to %.0f points)",
			100*small, size, 100*large, 100*low, 100*high)
		if 100*low >= relevantGain && 100*(large-small) >= relevantGap {
			j.verdict, j.severity = Confirmed, 100*(large-small)
		}
	}
	if j.verdict == CannotTell && e.tinyBatches() && len(j.evidence) > 0 {
		j.verdict = Possible
		j.say(float64(e.plan.Batch), "a batch has %d images, whose mean has %.0f %% of their standard deviation", e.plan.Batch, 100/math.Sqrt(float64(e.plan.Batch)))
	}
}

// judgeGroupNorm confirms it where the run repeated with group norm, which knows no
// batch, fits the training subjects and predicts the validation subjects clearly better,
// and rules it out where that fits no better.
func (e *evidence) judgeGroupNorm(j *judgement) {
	value := func(what string) float64 { return e.probe("group-norm", what) }
	training, same := value("group_training_loss"), value("same_training_loss")
	gain, low := value("group_gain"), value("group_gain_low")
	if !isFinite(training) || !isFinite(same) || !isFinite(gain) || !isFinite(low) {
		return
	}
	j.say(-gain, "repeated with group norm the network has a training loss of %.3f nats in place of %.3f, and its validation loss differs by %+.3f (95 %% interval %+.3f to %+.3f)",
		training, same, -gain, -value("group_gain_high"), -low)
	fits := training <= (1-otherWidth)*math.Min(same, e.trainingFit().loss)
	switch {
	case fits && low > 0 && gain >= otherWidth*value("same_validation_loss"):
		j.verdict = Confirmed
	case fits && gain > 0 && j.verdict != Confirmed:
		j.verdict = Likely
	case training > same && j.verdict == Possible:
		j.verdict = RuledOut
	}
}

// tinyBatches reports whether batches are so small that their noise may keep the
// network from learning, where both modes end alike.
func (e *evidence) tinyBatches() bool { return e.plan != nil && e.plan.Batch <= tinyBatch }

func (e *evidence) largerBatches() *Treatment {
	t := &Treatment{Plan: map[string]any{"net.norm": "group"}, Text: "Use group norm, which does the same in training and validation, or batches of at least 16 images."}
	return t
}
