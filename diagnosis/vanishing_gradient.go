package diagnosis

import "math"

// Measured reliability: planted in 24 runs, likely or confirmed in 88 % of them from the record
// alone and in 75 % of 4 with experiments; claimed falsely in 0 of 180 clean runs and 3 of 1626
// runs with other causes; with experiments in 0 of 60 and 1 of 270
// (docs/reliability-of-diagnosis.md).
var vanishingGradient = Cause{
	ID:    "vanishing-gradient",
	Title: "Vanishing gradient",
	Explain: "The signal dies out on its way through the layers, forwards or back, so the first layers are not told what to learn. " +
		"Initial weights that are too small, or saturating activations in a deep network without normalisation, do that.",
	Of:     "generalisation",
	Kind:   mistake,
	Brings: []string{"too-little-learning", "too-little-capacity", "learning-rate-too-low", "trained-too-short", "class-bias-oscillation", "coin-flip", "dead-relu"},
	Judge:  judgeVanishing,
}

const (
	weakGradient = 1e-7 // root mean square: as good as none
	fainter      = 1e-3 // of the last layer's gradient in the first layer, or of the first layer's output in a later one
	faintEpochs  = 0.5  // share of the epochs in which it must be so
)

// judgeVanishing asks for two things: the network does not learn, and gradients or
// outputs die out across the layers. The limits are those of AUTOTRAINER (Zhang et
// al., ICSE 2021: the first layer's gradient below 1e-3 of the last one's) and of
// DeepDiagnosis and SageMaker Debugger (below 1e-7). By themselves they hold in many
// networks that learn well, since normalisation and Adam make up for the size of a
// gradient, so that they are no sign of harm. Where the first layer's own units are
// dead, or its gradient is exactly zero from the start, dead units are the deeper
// cause: what only becomes small is not zero.
func judgeVanishing(e *evidence) judgement {
	layers := e.layers()
	if len(layers) < 2 {
		return e.unwatched("how the gradient changes from layer to layer")
	}
	f := e.trainingFit()
	j := judgement{verdict: RuledOut, severity: 100 * math.Max(0, 1-f.accuracy)}
	first, last := layers[0], layers[len(layers)-1]
	ratio, faint := e.faintest(layers)
	j.say(ratio, "the gradient of %s has %.2g times the size of that of %s (median over the epochs), and its root mean square is %.2g", first.name, ratio, last.name, median(first.gradient))
	j.say(faint, "the gradient or the output of some layer has died out in %.0f %% of the epochs", 100*faint)
	if way := f.way(); isFinite(way) {
		j.say(100*f.accuracy, "%.1f %% of the training subjects are right; guessing gives %.1f %%", 100*f.accuracy, 100*f.guess)
	}
	stuck := f.way() < 2.5*noProgress && !(f.loss < (1-noProgress)*f.ignorance)
	switch {
	case faint < faintEpochs:
	case !isFinite(f.way()):
		j.verdict = CannotTell
	case stuck && (finiteMean(first.active[e.lateFrom:]) < activeShare || e.cutOff(first)):
		j.verdict = Possible // it is dead units that stop it
	case stuck && ratio < fainter:
		j.verdict = Confirmed
	case stuck:
		j.verdict = Likely
	}
	t := advise("Draw the initial weights by He's rule, use batch norm or group norm, or a network with shortcut connections.")
	if e.plan != nil && e.plan.Net.Norm == "none" {
		t.Plan["net.norm"] = "group"
	}
	j.treat(t)
	return j
}

// cutOff reports whether a layer has no gradient at all in the first epoch that was
// watched.
func (e *evidence) cutOff(l *layerCourse) bool {
	for _, x := range l.gradient {
		if isFinite(x) {
			return x == 0
		}
	}
	return false
}

// faintest returns the median over epochs of the first layer's gradient relative to
// the last one's, and the share of epochs in which a gradient or an output has died
// out though the layer before still gives something.
func (e *evidence) faintest(layers []*layerCourse) (ratio, share float64) {
	var ratios []float64
	faint, watched := 0, 0
	first, last := layers[0], layers[len(layers)-1]
	for t := range e.run.Epochs {
		if !isFinite(first.gradient[t]) || !isFinite(last.gradient[t]) {
			continue
		}
		watched++
		r := first.gradient[t] / last.gradient[t]
		if !isFinite(r) {
			r = 0 // neither has a gradient
		}
		ratios = append(ratios, r)
		died := r < fainter || first.gradient[t] < weakGradient
		for _, l := range layers {
			died = died || isFinite(l.output[t]) && l.output[t] < fainter*first.output[t]
		}
		if died {
			faint++
		}
	}
	return median(ratios), float64(faint) / float64(watched)
}
