package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: planted in 24 runs, likely or confirmed in 96 % of them from the record
// alone and in 100 % of 4 with experiments; claimed falsely in 2 of 129 clean runs and 30 of 1335
// runs with other causes; with experiments in 1 of 43 and 4 of 220
// (docs/reliability-of-diagnosis.md).
var validationBetter = Cause{
	ID:    "validation-better-than-training",
	Title: "Validation is better than training",
	Explain: "Mostly the training curve is the mean over an epoch while the weights improved, with dropout and augmentation on. " +
		"Otherwise the validation cases are easier, or stand in the training set too.",
	Of:    "optimism",
	Kind:  reading,
	Judge: judgeValidationAbove,
}

// judgeValidationAbove asks whether late validation accuracy lies above that of
// training as logged, and why: the training subjects in the validation pipeline, at
// the same weights, say whether dropout, augmentation and the mean over the epoch
// explain it.
func judgeValidationAbove(e *evidence) judgement {
	of := func(v *run.Evaluation) run.Float { return v.Accuracy }
	logged := e.lateMean(e.curve(run.Logged, run.Train, accuracyValues, of))
	clean := e.lateMean(e.curve(run.Deterministic, run.Train, accuracyValues, of))
	validation, m := e.validationLevel()
	n := float64(len(e.run.Header.Sets[run.Train]))
	if !isFinite(logged) || !isFinite(validation) || n == 0 || m == 0 {
		return cannotTell(finiteCount(e.accuracy), "of %.0f epochs with a validation accuracy none has one of the training set as logged", finiteCount(e.accuracy))
	}
	gap := 100 * (validation - logged)
	low, high := stat.Newcombe(validation*m, m, math.Min(1, logged)*n, n, 0.95)
	j := judgement{verdict: gradeGap(gap, 100*low, 100*high, relevantGain), severity: math.Max(0, gap)}
	j.say(gap, "over the last third of the epochs %.1f %% of the validation subjects are right and %.1f %% of the training subjects as logged: %+.1f points (95 %% interval %+.1f to %+.1f)",
		100*validation, 100*logged, gap, 100*low, 100*high)
	switch {
	case j.verdict == RuledOut || j.verdict == CannotTell:
	case !isFinite(clean):
		j.verdict = Possible
		j.say(n, "what the same weights give for the %.0f training subjects in the validation pipeline is not recorded, so the reason is not known", n)
		j.treat(&Treatment{Plan: e.recordViews(), Text: "Record the training subjects in the validation pipeline (view \"deterministic\"): that says whether dropout and augmentation explain it."})
	default:
		e.explainBetter(&j, logged, clean, validation, n, m)
	}
	return j
}

// pipelineGain is by how many points late training accuracy is higher in the
// validation pipeline than as logged, of the same subjects, and the lower end of its
// 95 % interval over the epochs.
func (e *evidence) pipelineGain() (gain, least float64) {
	of := func(v *run.Evaluation) run.Float { return v.Accuracy }
	logged, clean := e.curve(run.Logged, run.Train, accuracyValues, of), e.curve(run.Deterministic, run.Train, accuracyValues, of)
	var gains []float64
	for t := e.lateFrom; t < len(logged); t++ {
		if x := clean[t] - logged[t]; isFinite(x) {
			gains = append(gains, 100*x)
		}
	}
	gain, deviation := moments(gains)
	n := float64(len(gains))
	return gain, gain - stat.StudentQuantile(0.975, n-1)*deviation/math.Sqrt(n)
}

// explainBetter compares with the training subjects in the validation pipeline.
func (e *evidence) explainBetter(j *judgement, logged, clean, validation, n, m float64) {
	own, least := e.pipelineGain()
	low, high := stat.Newcombe(validation*m, m, math.Min(1, clean)*n, n, 0.95)
	rest := 100 * (validation - clean)
	j.say(own, "the same training subjects in the validation pipeline are right in %.1f %%: %+.1f points (at least %.1f, over the epochs) come from dropout, augmentation and the mean over the epoch",
		100*clean, own, least)
	if 100*low >= relevantGain {
		j.say(rest, "that leaves %+.1f points (95 %% interval %+.1f to %+.1f): the validation subjects are easier, or known to the network", rest, 100*low, 100*high)
		if j.verdict == Confirmed {
			j.verdict = Likely // that there is a gap is certain, why is not
		}
		j.treat(&Treatment{Plan: map[string]any{}, Text: "Look for copies of training subjects in the validation set, and compare the classes and sites of the two sets; ballast check does both."})
		return
	}
	j.say(rest, "that leaves %+.1f points (95 %% interval %+.1f to %+.1f), which the choice of the subjects may be", rest, 100*low, 100*high)
	switch {
	case own < rest:
		j.verdict = Possible // neither the pipeline nor the subjects explain it surely
	case least >= relevantGain && j.verdict == Possible:
		j.verdict = Likely // few validation subjects leave the gap open, all training subjects show its reason
	}
	j.treat(&Treatment{Plan: map[string]any{}, Text: "Nothing needs a cure: compare with the training subjects in the validation pipeline (the view \"deterministic\"), not with the training curve as logged."})
}
