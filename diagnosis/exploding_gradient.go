package diagnosis

import (
	"math"

	"ballast/run"
)

// Measured reliability: planted in 24 runs, likely or confirmed in 100 % of them from the record
// alone and in 100 % of 4 with experiments; claimed falsely in 0 of 180 clean runs and 24 of 1608
// runs with other causes; with experiments in 0 of 60 and 4 of 268
// (docs/reliability-of-diagnosis.md).
var explodingGradient = Cause{
	ID:    "exploding-gradient",
	Title: "Exploding gradient",
	Explain: "The signal grows from layer to layer, and the gradient with it: the loss is far beyond that of knowing nothing, and " +
		"single steps throw the weights away. Initial weights that are too large do that in a network without normalisation.",
	Of:   "generalisation",
	Kind: mistake,
	Brings: []string{"too-little-learning", "learning-rate-too-low", "learning-rate-too-high", "class-bias-oscillation", "overconfidence",
		"trained-too-short", "coin-flip", "optimistic-selection"},
	Judge:        judgeExploding,
	WithoutCurve: true,
}

const (
	absurdLoss = 10.0  // times the loss of knowing nothing
	louder     = 100.0 // times the output of the first layer
	spike      = 70.0  // times the median norm of the gradient
)

// judgeExploding needs a training loss of ten times that of knowing nothing or more
// over a whole epoch, which no network reaches that merely errs: it gives the right
// class a probability of one in a thousand. That the gradient's norm grew to it, or
// the outputs grew from layer to layer by a factor of a hundred, makes it likely, and
// both together are a fact of the record. AUTOTRAINER (Zhang et al., ICSE 2021) takes
// a ratio of gradients of 70, or a loss of 1000.
func judgeExploding(e *evidence) judgement {
	j := judgement{verdict: RuledOut, severity: math.NaN()}
	absurd, worst := e.absurdEpochs()
	norm, usual := e.gradientNorms()
	growth := e.outputGrowth()
	if !isFinite(worst) && !isFinite(norm) && e.firstBroken() < 0 {
		return e.unwatched("the gradient")
	}
	if isFinite(worst) {
		j.say(worst, "the training loss is at most %.3g times that of knowing nothing, and ten times or more in %d of %d epochs", worst, absurd, len(e.epochs))
	}
	if isFinite(norm) {
		j.say(norm, "the mean norm of the gradient is at most %.3g in an epoch, %.3g times its median", norm, norm/usual)
	}
	if isFinite(growth) {
		j.say(growth, "in the first epoch the outputs of the loudest layer are %.3g times those of the first one", growth)
	}
	broken := e.firstBroken() >= 0
	loud, spikes := growth >= louder, norm >= spike*usual || norm >= 1e3
	switch {
	case absurd > 0 && loud && spikes:
		j.verdict = Confirmed
	case absurd > 0 && (loud || spikes), broken && (loud || spikes):
		j.verdict = Likely
	case absurd > 0, broken:
		j.verdict = Possible
	}
	j.treat(e.tameGradient(loud))
	return j
}

// absurdEpochs counts the epochs with a training loss of absurdLoss times that of
// knowing nothing, and returns the largest such ratio.
func (e *evidence) absurdEpochs() (count int, worst float64) {
	worst = math.NaN()
	nothing := e.ignorance(run.Train)
	if !isFinite(nothing) {
		nothing = math.Ln2
	}
	for _, view := range []string{run.Logged, run.Deterministic} {
		count = 0
		for _, loss := range e.trainingLoss(view) {
			ratio := loss / nothing
			if isFinite(ratio) && !(ratio <= worst) {
				worst = ratio
			}
			if ratio >= absurdLoss {
				count++
			}
		}
		if isFinite(worst) {
			return count, worst
		}
	}
	return count, worst
}

// gradientNorms returns the largest finite mean norm of the gradient in an epoch, and
// the median over the epochs.
func (e *evidence) gradientNorms() (largest, usual float64) {
	var norms []float64
	largest = math.NaN()
	for t := range e.run.Epochs {
		x := float64(e.run.Epochs[t].GradientNorm)
		if x == 0 {
			continue // a log without it
		}
		if isFinite(x) && !(x <= largest) {
			largest = x
		}
		norms = append(norms, x)
	}
	return largest, median(norms)
}

// outputGrowth is how many times the output of the loudest layer exceeds that of the
// first one in the first epoch that was watched; NaN where none was.
func (e *evidence) outputGrowth() float64 {
	layers := e.layers()
	for t := range e.run.Epochs {
		growth := math.NaN()
		for _, l := range layers {
			if x := l.output[t] / layers[0].output[t]; isFinite(x) && !(x <= growth) {
				growth = x
			}
		}
		if isFinite(growth) {
			return growth
		}
	}
	return math.NaN()
}

// tameGradient proposes normalisation where the layers amplify, else a limit.
func (e *evidence) tameGradient(loud bool) *Treatment {
	t := advise("Limit the norm of the gradient and lower the learning rate.")
	if loud {
		t.Text = "Draw the initial weights by He's rule and use batch norm or group norm: the layers amplify."
	}
	if e.plan == nil {
		return t
	}
	if loud && e.plan.Net.Norm == "none" {
		t.Plan["net.norm"] = "group"
	} else if e.plan.Optimizer.Clip == 0 {
		t.Plan["optimizer.clip"] = 1.0
	}
	return t
}
