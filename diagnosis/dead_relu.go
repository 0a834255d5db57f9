package diagnosis

import "math"

// Measured reliability: planted in 72 runs, likely or confirmed in 100 % of them from the record
// alone and in 100 % of 12 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1476
// runs with other causes; with experiments in 0 of 60 and 0 of 247
// (docs/reliability-of-diagnosis.md).
var deadReLU = Cause{
	ID:    "dead-relu",
	Title: "Dead ReLU units",
	Explain: "Channels whose ReLU gives zero for every image. They pass nothing on and no gradient back, so they do not come back " +
		"to life: the network is smaller than it looks.",
	Of:   "generalisation",
	Kind: mistake,
	Brings: []string{"vanishing-gradient", "too-little-learning", "too-little-capacity", "learning-rate-too-low", "trained-too-short",
		"class-bias-oscillation", "coin-flip"},
	Judge: judgeDeadReLU,
}

const (
	deadShare   = 0.5  // of the channels of a layer
	activeShare = 0.01 // of a layer's outputs: fewer are as good as none
	quietShare  = 0.15 // of a layer's outputs: half the channels dead and the others as usual leave a quarter
	fewDead     = 0.25
)

// judgeDeadReLU reads what every epoch records of its last batch: a layer of which
// half the channels or more are zero for every image, or of which less than one
// output in a hundred is above zero, in each of the late epochs. In a small batch a
// channel may be zero by chance, so few of all outputs may be above zero, too.
// Amazon's SageMaker
// Debugger calls a layer dead where more than half of its units are active for less
// than 1 % (rule DeadRelu); a single batch says little, so it must last.
func judgeDeadReLU(e *evidence) judgement {
	worst, state := e.deadest(e.lateFrom)
	if worst == nil {
		return e.unwatched("how many channels are dead")
	}
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	first, _ := state.at(0)
	j.say(state.dead, "in %s, the layer with the most dead channels, %.0f %% of them are 0 for every image of a batch, and %.1f %% of all outputs are above 0, over the last third of the epochs (%.0f %% dead in the first epoch)",
		worst.name, 100*state.dead, 100*state.active, 100*first)
	switch {
	case state.lasting:
		j.verdict = Confirmed
		j.severity = math.Max(0, 100*(1-e.trainingFit().accuracy))
	case state.dead >= deadShare && state.active < quietShare:
		j.verdict = Likely
	case state.dead >= deadShare:
		j.verdict = Possible
	case state.dead >= fewDead && state.active < quietShare:
		j.verdict = Possible
	default:
		j.verdict = RuledOut
	}
	j.treat(e.reviveUnits(first))
	return j
}

// A deadness is that of one layer over the late epochs.
type deadness struct {
	dead, active float64 // means
	lasting      bool    // beyond what counts as dead in every epoch
	of           *layerCourse
}

// at returns the share of dead channels in the first watched epoch from t on.
func (d deadness) at(t int) (share float64, known bool) {
	for _, x := range d.of.dead[t:] {
		if isFinite(x) {
			return x, true
		}
	}
	return math.NaN(), false
}

// deadest returns the layer with the largest share of dead channels from an index
// on; nil where none was watched there.
func (e *evidence) deadest(from int) (worst *layerCourse, state deadness) {
	for _, l := range e.layers() {
		d := deadness{dead: finiteMean(l.dead[from:]), active: finiteMean(l.active[from:]), lasting: true, of: l}
		if !isFinite(d.dead) {
			continue
		}
		for t := from; t < len(l.dead); t++ {
			if isFinite(l.dead[t]) && !(l.dead[t] >= deadShare && l.active[t] < quietShare || l.active[t] < activeShare) {
				d.lasting = false
			}
		}
		if worst == nil || d.lasting && !state.lasting || d.lasting == state.lasting && d.dead > state.dead {
			worst, state = l, d
		}
	}
	return worst, state
}

// reviveUnits proposes what fits when they died: at the start it is the initial
// weights, later the steps.
func (e *evidence) reviveUnits(first float64) *Treatment {
	t := advise("Use leaky ReLU or batch norm and check the initial weights and biases: the units were dead from the start.")
	if first < deadShare {
		t.Text = "Lower the learning rate, by which the units died during training, or use leaky ReLU."
	}
	if e.plan != nil {
		t.Plan["net.activation"] = "leaky-relu"
		if first < deadShare {
			t.Plan["optimizer.lr"] = round2(e.plan.Optimizer.LR / 3)
		}
	}
	return t
}
