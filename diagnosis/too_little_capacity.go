package diagnosis

import (
	"math"

	"ballast/run"
)

// Measured reliability: planted in 72 runs, likely or confirmed in 100 % of them from the record
// alone and in 100 % of 12 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1632
// runs with other causes; with experiments in 0 of 60 and 2 of 272
// (docs/reliability-of-diagnosis.md).
var tooLittleCapacity = Cause{
	ID:    "too-little-capacity",
	Title: "Network too small for the task",
	Explain: "The network does not fit even the subjects it learns from, though the steps are large enough and training has come to " +
		"a rest: it lacks the room.",
	Of:     "generalisation",
	Kind:   mistake,
	Brings: []string{"too-little-learning"},
	Probes: []string{"capacity", "continuation", "label-permutation"},
	Judge:  judgeSmallNetwork,
}

const (
	restingFall = 0.03 // of the training loss over the last third: less is rest
	fitted      = 0.95 // training accuracy from which the network has room enough
	fewWeights  = 1.0  // for each training subject
	stillGains  = 0.1  // of the training loss that another rate takes away in a short continuation
	otherWidth  = 0.2  // of a loss: what another width must take away, since another seed takes away some hundredths
	otherNats   = 0.1  // and so many nats
)

// judgeSmallNetwork confirms by the experiment: a wider network, trained as the run
// was, fits the training subjects and predicts the validation subjects clearly
// better. Without it a training set that is not fitted may as well hold wrong labels
// or what no image shows, so likely takes a network that could not learn the
// training set by heart whatever the labels: with fewer weights than subjects.
// Training must have come to rest, at a rate that lets the weights move, and in a
// short continuation neither a larger nor a smaller rate may help. A network that learns
// permuted labels by heart has room enough, whatever a wider one may do better.
func judgeSmallNetwork(e *evidence) judgement {
	f := e.trainingFit()
	if !isFinite(f.accuracy) || !isFinite(f.loss) {
		return cannotTell(0, "0 epochs record how well the training set is fitted")
	}
	j := judgement{verdict: CannotTell, severity: 100 * math.Max(0, 1-f.accuracy)}
	j.say(100*f.accuracy, "%.1f %% of the training subjects are right over the last third of the epochs, at a loss of %.3f nats (%.3f for knowing nothing)", 100*f.accuracy, f.loss, f.ignorance)
	c := e.asCurves()
	fall := stillFalling(c.trainLoss) / math.Abs(c.late(c.trainLoss))
	if isFinite(fall) {
		j.say(100*fall, "over the last third of the epochs the training loss falls by %.1f %% as a trend", 100*fall)
	}
	each, path := e.weightsForEach(), e.medianPath()
	if isFinite(each) {
		j.say(each, "the network has about %.3g weights for each training subject", each)
	}
	if isFinite(path) {
		j.say(path, "all steps together amount to %.2g times the size of the weights", path)
	}
	permuted := e.probe("label-permutation", "permuted_training_accuracy")
	if isFinite(permuted) {
		j.say(100*permuted, "trained to learn permuted labels by heart it gets %.0f %% of them right", 100*permuted)
	}
	resting := fall < restingFall && finiteCount(c.trainLoss) >= fewEpochs
	helped := e.otherRateHelps(&j)
	wide := e.anotherWidth(&j, "wide", f)
	switch {
	case f.accuracy >= fitted, permuted >= fitted, path < shortPath, helped, e.firstBroken() >= 0, f.loss > worseThan*f.ignorance, wide.tried && !wide.fits:
		j.verdict = RuledOut
	case path < halfPath: // a wider network would have learnt faster as well
	case wide.better && wide.fits:
		j.verdict = Confirmed
	case wide.fits:
		j.verdict = Possible
	case !resting || !isFinite(path):
	case each < fewWeights && path >= longPath:
		j.verdict = Likely
	}
	j.treat(e.widerNetwork())
	return j
}

// otherRateHelps reports whether a short continuation at another learning rate fits
// the training set better by a tenth than one at the same rate.
func (e *evidence) otherRateHelps(j *judgement) bool {
	same := e.probe("continuation", "same_loss")
	best := math.NaN()
	for _, name := range []string{"half_loss", "tenth_loss", "triple_loss"} {
		if x := e.probe("continuation", name); isFinite(x) && !(x >= best) {
			best = x
		}
	}
	if !isFinite(same) || !isFinite(best) {
		return false
	}
	j.say(same-best, "trained on for a few epochs, the training loss is %.3f at the same rate and %.3f at the best other one", same, best)
	return best < (1-stillGains)*same
}

// A retrained network of another width.
type retrained struct {
	tried  bool
	fits   bool // the training subjects clearly better
	better bool // predicts the validation subjects clearly better, and not by chance of who they are
}

// anotherWidth reads the experiment that trains a narrower or a wider network. The
// run's own last epoch may be a bad one, so the other network must surpass the mean
// of its late epochs as well.
func (e *evidence) anotherWidth(j *judgement, name string, f fit) (r retrained) {
	value := func(what string) float64 { return e.probe("capacity", what) }
	width, training, same := value(name+"_width"), value(name+"_training_loss"), value("same_training_loss")
	gain, low := value(name+"_gain"), value(name+"_gain_low")
	if !isFinite(training) || !isFinite(same) || !isFinite(gain) || !isFinite(low) {
		return r
	}
	j.say(-gain, "retrained with a width of %.0f the network has a training loss of %.3f nats in place of %.3f, and its validation loss differs by %+.3f (95 %% interval %+.3f to %+.3f)",
		width, training, same, -gain, -value(name+"_gain_high"), -low)
	before := value("same_validation_loss")
	if late := e.lateValidationLoss(); late < before {
		gain -= before - late
	}
	matters := math.Max(otherNats, otherWidth*before)
	if opposite := value(map[string]string{"wide": "narrow_gain", "narrow": "wide_gain"}[name]); isFinite(opposite) && opposite > 0 {
		matters = math.Max(matters, opposite+otherNats) // where either width is better, it is the seed
	}
	return retrained{tried: true, fits: training <= (1-otherWidth)*math.Min(same, f.loss), better: low > 0 && gain >= matters}
}

// lateValidationLoss is that of the weights with recomputed batch-norm statistics, or
// as it was logged.
func (e *evidence) lateValidationLoss() float64 {
	of := func(v *run.Evaluation) run.Float { return v.Loss }
	if x := e.lateMean(e.curve(run.Recalibrated, run.Validation, meanOf(loss), of)); isFinite(x) {
		return x
	}
	return e.lateMean(e.loss)
}

// widerNetwork proposes twice the width, and a block more for a shallow one.
func (e *evidence) widerNetwork() *Treatment {
	t := advise("Train a network of twice the width or with more blocks over several seeds and compare: only that shows that capacity is to blame.")
	if e.plan != nil && e.plan.Net.Width > 0 {
		t.Plan["net.width"] = max(8, 2*e.plan.Net.Width)
	}
	return t
}
