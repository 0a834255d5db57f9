package diagnosis

import (
	"fmt"
	"math"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: planted in 72 runs, likely or confirmed in 75 % of them from the record
// alone and in 58 % of 12 with experiments; claimed falsely in 0 of 180 clean runs and 5 of 1266
// runs with other causes; with experiments in 0 of 60 and 0 of 210
// (docs/reliability-of-diagnosis.md).
var overfitting = Cause{
	ID:    "overfitting",
	Title: "Overfitting",
	Explain: "The network is right far more often on the subjects it learnt from than on others: it has memorised them. That " +
		"lowers the whole validation curve; by itself it does not make it fluctuate.",
	Of:     "generalisation",
	Kind:   mismatch,
	Brings: []string{"overconfidence", "optimistic-selection"},
	Probes: []string{"cross-validation"},
	Judge:  judgeOverfitting,
}

// judgeOverfitting grades the gap of late accuracy between training and
// validation subjects. Both through the validation pipeline at the same
// weights are an experiment; the logged training curve (augmented, dropout on,
// weights changing meanwhile) is not, and can only make it likely. Where the run was
// repeated with other subjects held out, those many subjects decide.
func judgeOverfitting(e *evidence) judgement {
	training, n, pipeline := e.trainingLevel()
	validation, m := e.validationLevel()
	if !isFinite(training) || !isFinite(validation) {
		return cannotTell(0, "0 of %d epochs record the accuracy on the training set", len(e.epochs))
	}
	gap := 100 * (training - validation)
	low, high := math.NaN(), math.NaN()
	if n > 0 && m > 0 {
		low, high = stat.Newcombe(training*n, n, validation*m, m, 0.95)
	}
	j := judgement{verdict: gradeGap(gap, 100*low, 100*high, relevantGap), severity: math.Max(0, gap)}
	if !pipeline && j.verdict == Confirmed {
		j.verdict = Likely
	}
	where := "in the validation pipeline"
	if !pipeline {
		where = "as logged while training"
	} else if e.ofAverages() {
		where = "with the averaged weights, as the curve"
	}
	e.judgeHeldOut(&j)
	j.say(gap, "over the last third of the epochs %.1f %% of the training subjects are right (%s) and %.1f %% of the validation subjects: a gap of %.1f points%s",
		100*training, where, 100*validation, gap, gapInterval(100*low, 100*high))
	if epoch, rise := e.lossRise(); epoch > 0 {
		j.say(float64(epoch), "the smoothed validation loss is lowest at epoch %d of %d", epoch, e.epochs[len(e.epochs)-1])
		j.say(rise, "since then it has risen by %.2f nats", rise)
	}
	j.treat(e.lessMemory())
	return j
}

// judgeHeldOut takes the gap of the repetitions of the run in place of its own, where
// they held out more subjects than the validation set has.
func (e *evidence) judgeHeldOut(j *judgement) {
	const id = "cross-validation"
	training, n := e.probe(id, "training_accuracy"), float64(len(e.run.Header.Sets[run.Train]))
	validation, m := e.probe(id, "accuracy"), e.probe(id, "subjects")
	if !isFinite(training) || !isFinite(validation) || !(m > float64(e.subjects())) || n == 0 {
		return
	}
	gap := 100 * (training - validation)
	low, high := stat.Newcombe(math.Min(1, training)*n, n, validation*m, m, 0.95)
	j.verdict, j.severity = gradeGap(gap, 100*low, 100*high, relevantGap), math.Max(0, gap)
	j.say(gap, "in repetitions of the run with other subjects held out, %.1f %% of the training subjects are right and %.1f %% of %.0f others: a gap of %.1f points%s",
		100*training, 100*validation, m, gap, gapInterval(100*low, 100*high))
}

func gapInterval(low, high float64) string {
	if math.IsNaN(low) {
		return " (no interval: the number of subjects is unknown)"
	}
	return fmt.Sprintf(" (95 %% interval %.0f to %.0f)", low, high)
}

// trainingLevel is the mean late accuracy on the training set, the number of
// its subjects, and whether it was measured in the validation pipeline.
func (e *evidence) trainingLevel() (level, subjects float64, pipeline bool) {
	subjects = float64(len(e.run.Header.Sets[run.Train]))
	of := func(v *run.Evaluation) run.Float { return v.Accuracy }
	if level = e.lateMean(e.curve(run.Deterministic, run.Train, accuracyValues, of)); isFinite(level) {
		return level, subjects, true
	}
	return e.lateMean(e.curve(run.Logged, run.Train, accuracyValues, of)), subjects, false
}

// validationLevel is the mean late accuracy on the validation set and the
// number of its subjects.
func (e *evidence) validationLevel() (level, subjects float64) {
	of := func(v *run.Evaluation) run.Float { return v.Accuracy }
	if level = e.lateMean(e.curve(run.Deterministic, run.Validation, accuracyValues, of)); !isFinite(level) {
		level = e.lateMean(e.accuracy)
	}
	return level, float64(e.subjects())
}

// lossRise returns the epoch of the lowest validation loss, smoothed over five
// epochs, and how far the mean late loss lies above it; 0 when there are not
// ten finite losses.
func (e *evidence) lossRise() (epoch int, rise float64) {
	smooth := smoothed(e.loss)
	best, count := -1, 0
	for t, x := range smooth {
		if isFinite(x) {
			count++
			if best < 0 || x < smooth[best] {
				best = t
			}
		}
	}
	if count < 10 {
		return 0, math.NaN()
	}
	return e.epochs[best], math.Max(0, e.lateMean(e.loss)-smooth[best])
}

// smoothed returns the centred mean over five epochs, fewer at the ends,
// leaving out values that are not finite.
func smoothed(curve []float64) []float64 {
	result := make([]float64, len(curve))
	for t := range curve {
		result[t] = finiteMean(curve[max(0, t-2):min(len(curve), t+3)])
	}
	return result
}

// lessMemory proposes stronger weight decay and dropout, and fewer epochs when
// the lowest loss is long past.
func (e *evidence) lessMemory() *Treatment {
	t := &Treatment{Text: "Regularise: stronger weight decay, dropout, more augmentation or a narrower network. More patients help most.",
		Plan: map[string]any{"optimizer.weight_decay": 0.01, "net.dropout": 0.3}}
	if e.plan != nil {
		t.Plan["optimizer.weight_decay"] = round2(math.Min(0.1, math.Max(0.01, 10*e.plan.Optimizer.WeightDecay)))
		t.Plan["net.dropout"] = round2(math.Max(0.3, math.Min(0.6, 1.5*e.plan.Net.Dropout)))
	}
	if epoch, rise := e.lossRise(); epoch > 0 && rise > 0.1 && epoch <= e.epochs[len(e.epochs)-1]*2/3 {
		t.Plan["epochs"] = max(5, epoch+2)
		t.Text = "Stop earlier, near the lowest smoothed validation loss, and regularise: stronger weight decay and dropout. More patients help most."
	}
	return t
}
