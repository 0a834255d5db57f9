package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: planted in 144 runs, likely or confirmed in 29 % of them from the record
// alone and in 96 % of 24 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1560
// runs with other causes; with experiments in 0 of 60 and 0 of 260
// (docs/reliability-of-diagnosis.md).
var noSignal = Cause{
	ID:    "no-signal",
	Title: "Nothing to learn was found",
	Explain: "The network learns its training subjects by heart, yet what it learns says nothing of other subjects: labels dealt out " +
		"at random would do as well. More training, regularisation or another learning rate cannot help.",
	Of:     "generalisation",
	Kind:   limit,
	Brings: []string{"coin-flip", "overfitting", "overconfidence", "trained-too-long", "too-much-capacity", "threshold-flicker", "class-bias-oscillation", "learning-rate-too-high", "optimistic-selection"},
	Probes: []string{"label-permutation"},
	Judge:  judgeNoSignal,
}

// learntShare is the way from guessing to perfect on the training subjects from
// which the network has learnt what there is to learn of them.
const learntShare = 0.6

// judgeNoSignal asks the experiment first: whether training on permuted labels does
// as well. From the record alone it is likely where the network has learnt its
// training subjects and the whole interval of its validation AUROC lies below what
// would be worth finding; a network that has not learnt them proves nothing.
func judgeNoSignal(e *evidence) judgement {
	if score := e.probe("label-permutation", "score"); isFinite(score) {
		return e.judgePermutation(score)
	}
	p := e.clean(run.Validation)
	if p == nil {
		return cannotTell(0, "0 epochs have the predictions of each validation subject")
	}
	if analysed := finiteCount(e.accuracy); analysed < leastEpochsToJudge {
		return cannotTell(analysed, "%.0f epochs are too few to judge what the network can learn", analysed)
	}
	rows, classes := e.lateRows(p)
	values := aurocValues(rows, classes)
	if values == nil || len(rows) < leastStratum {
		return cannotTell(float64(len(rows)), "%d validation subjects with late predictions do not hold two classes to tell apart", len(rows))
	}
	area := mean(values)
	low, high := logitInterval(values)
	learnt := e.learnt()
	j := judgement{verdict: CannotTell, severity: 100 * (1 - commonest(classes))}
	j.say(area, "AUROC of the validation probabilities averaged over the last third of the epochs: %.2f (95 %% interval %.2f to %.2f)", area, low, high)
	if isFinite(learnt) {
		j.say(100*learnt, "on its training subjects the network has come %.0f %% of the way from guessing to perfect", 100*learnt)
	}
	chance := e.chanceOfRanking(rows, classes, area)
	switch {
	case low == high:
	case chance <= 0.025:
		j.verdict = RuledOut
	case !(learnt >= learntShare) && high < weakAUROC:
		j.verdict = Possible // or the network could not learn
	case !(learnt >= learntShare):
	case high < weakAUROC && detectableAUROC(classes, len(e.run.Header.Classes)) <= undetectedAUROC:
		j.verdict = Likely
	default:
		j.verdict = Possible
	}
	j.treat(e.showSignalFirst())
	return j
}

// judgePermutation grades the score of subjects held out from networks that learnt the
// others by heart. That it does not beat permuted labels proves nothing by itself: it is
// confirmed where the whole interval is no better than guessing for any use, and likely
// where an AUROC worth finding is excluded. The null's spread, (null_high -
// null_mean)/1.645, is that of the score. Where the run itself ranks its validation
// subjects better than chance, the experiment was too small, and yields.
func (e *evidence) judgePermutation(score float64) judgement {
	const id = "label-permutation"
	centre, top, p := e.probe(id, "null_mean"), e.probe(id, "null_high"), e.probe(id, "p")
	spread := (top - centre) / stat.NormalQuantile(0.95)
	high := score + stat.NormalQuantile(0.975)*spread
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	j.say(score, "%.0f subjects held out are ranked with an AUROC of %.2f", e.probe(id, "subjects"), score)
	if isFinite(p) {
		j.say(p, "permuted labels do as well with probability %.3f (mean %.2f, 95 of 100 below %.2f)", p, centre, top)
	}
	fitted := math.Inf(1)
	if level, guess := e.probe(id, "training_accuracy"), e.prevalence(run.Train); isFinite(level) && guess > 0 && guess < 1 {
		fitted = (level - guess) / (1 - guess)
		j.say(100*level, "these trainings were right in %.0f %% of their own subjects", 100*level)
	}
	if classes := e.validationClasses(); len(classes) > 0 {
		j.severity = 100 * (1 - commonest(classes))
	}
	switch {
	case !isFinite(p):
	case p <= signalP, e.ranksValidation():
		j.verdict = RuledOut
	case fitted < learntShare, p <= doubtfulP:
		j.verdict = Possible // a network that does not learn its own subjects proves nothing
	case high < guessingAUROC:
		j.verdict = Confirmed
	case high < weakAUROC:
		j.verdict = Likely
	default:
		j.verdict = Possible
	}
	j.treat(e.showSignalFirst())
	return j
}

const (
	signalP   = 0.01 // of permuted labels: there is a signal
	doubtfulP = 0.05 // there may be one
)

// ranksValidation reports whether the run ranks its validation subjects clearly better
// than chance.
func (e *evidence) ranksValidation() bool {
	p := e.clean(run.Validation)
	if p == nil {
		return false
	}
	rows, classes := e.lateRows(p)
	values := aurocValues(rows, classes)
	return values != nil && len(rows) >= leastStratum && e.chanceOfRanking(rows, classes, mean(values)) <= signalP
}

func (e *evidence) validationClasses() []int {
	var classes []int
	for _, s := range e.run.Header.Sets[run.Validation] {
		classes = append(classes, s.Class)
	}
	return classes
}

// learnt is how far the late training accuracy has come from naming the commonest
// class to perfect; NaN where it is not recorded.
func (e *evidence) learnt() float64 {
	level, _, _ := e.trainingLevel()
	guess := e.prevalence(run.Train)
	if guess == 0 || guess == 1 {
		return math.NaN()
	}
	return (level - guess) / (1 - guess)
}

func (e *evidence) showSignalFirst() *Treatment {
	return &Treatment{Plan: map[string]any{}, Text: "Do not tune this curve. Check labels and images, cross-validate over all subjects, compare with a linear model on volume and mean intensity, and only then look for more patients or another question."}
}
