package diagnosis

import (
	"math"

	"ballast/run"
)

// Measured reliability: never planted; true of 288 runs by fresh subjects or by construction,
// likely or confirmed in 0 % of them from the record alone; claimed falsely in 0 of 180 clean runs
// and 0 of 1416 runs with other causes; with experiments in 0 of 60 and 0 of 236
// (docs/reliability-of-diagnosis.md).
var tooMuchCapacity = Cause{
	ID:    "too-much-capacity",
	Title: "Network too large for the cohort",
	Explain: "The network has room enough to learn every training subject by heart, noise included, and does so in place of learning " +
		"what they have in common.",
	Of:     "generalisation",
	Kind:   mistake,
	Brings: []string{"overfitting", "overconfidence", "trained-too-long", "optimistic-selection"},
	Probes: []string{"capacity", "label-permutation"},
	Judge:  judgeLargeNetwork,
}

const (
	byHeart     = 0.99 // of the training subjects
	heartLoss   = 0.1  // of the loss of knowing nothing
	learnsNoise = 0.95 // of training subjects with permuted labels
	manyWeights = 1000 // for each training subject
)

// judgeLargeNetwork confirms by the experiment: a narrower network, trained as the
// run was, predicts the validation subjects clearly better. Without it nothing is more
// than possible. Large networks often generalise well (Zhang et al., "Understanding
// deep learning requires rethinking generalization", 2017), and so they did wherever
// we planted this cause: of 30 subjects known by heart, with a validation loss above
// that of knowing nothing, a network four times as wide still learnt more.
func judgeLargeNetwork(e *evidence) judgement {
	f := e.trainingFit()
	if !isFinite(f.accuracy) || !isFinite(f.loss) {
		return cannotTell(0, "0 epochs record how well the training set is fitted")
	}
	over := judgeOverfitting(e)
	j := judgement{verdict: CannotTell, severity: over.severity}
	heart := f.accuracy >= byHeart && f.loss <= heartLoss*f.ignorance
	j.say(100*f.accuracy, "%.1f %% of the training subjects are right over the last third of the epochs, at a loss of %.3f nats", 100*f.accuracy, f.loss)
	each := e.weightsForEach()
	if isFinite(each) {
		j.say(each, "the network has about %.3g weights for each training subject", each)
	}
	permuted := e.probe("label-permutation", "permuted_training_accuracy")
	if isFinite(permuted) {
		j.say(100*permuted, "trained on permuted labels it gets %.0f %% of them right, where there is nothing to learn", 100*permuted)
	}
	nothing := e.ignorance(run.Validation)
	late := e.lateMean(e.loss)
	worse := late > nothing
	if isFinite(late) && isFinite(nothing) {
		j.say(late, "the late validation loss is %.3f nats; knowing nothing costs %.3f", late, nothing)
	}
	narrow := e.anotherWidth(&j, "narrow", f)
	switch {
	case narrow.better && heart:
		j.verdict = Confirmed
	case !heart || over.verdict == RuledOut:
		j.verdict = RuledOut
	case over.verdict != Confirmed && over.verdict != Likely:
	case narrow.tried && e.probe("capacity", "narrow_gain_high") < otherNats:
		j.verdict = RuledOut
	case each >= manyWeights && worse, permuted >= learnsNoise:
		j.verdict = Possible
	}
	j.treat(e.narrowerNetwork())
	return j
}

// weightsForEach is the number of the network's weights for each training subject;
// NaN where the plan does not say.
func (e *evidence) weightsForEach() float64 {
	n := len(e.run.Header.Sets[run.Train])
	if e.plan == nil || n == 0 {
		return math.NaN()
	}
	return e.plan.Weights(len(e.run.Header.Classes)) / float64(n)
}

// narrowerNetwork proposes half the width.
func (e *evidence) narrowerNetwork() *Treatment {
	t := advise("Train a network of half the width or fewer blocks over several seeds and compare: only that shows that capacity is to blame. Augmentation and more patients help as well.")
	if e.plan != nil && e.plan.Net.Width > 1 {
		t.Plan["net.width"] = e.plan.Net.Width / 2
	}
	return t
}
