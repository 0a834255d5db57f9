package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
)

// A layerCourse is how one layer with weights went, by epoch; NaN where an epoch
// was not watched. run.LayerHealth says what the numbers are.
type layerCourse struct {
	name                                   string
	weight, gradient, zeroGradient, update []float64
	dead, active, output                   []float64
	path                                   float64 // sum of the relative sizes of all steps; NaN where none was watched
}

// layers returns the layers that training moves, the one next to the image first;
// nil where nothing was watched. Those that the plan freezes are left out.
func (e *evidence) layers() []*layerCourse {
	e.layersOnce.Do(func() { e.layerCourses = e.watchLayers() })
	return e.layerCourses
}

func (e *evidence) watchLayers() []*layerCourse {
	var layers []*layerCourse
	at := map[string]*layerCourse{}
	for t := range e.run.Epochs {
		h := e.health(t)
		if h == nil {
			continue
		}
		for i := range h.Layers {
			l := &h.Layers[i]
			if e.frozen(l.Name) {
				continue
			}
			if at[l.Name] == nil {
				at[l.Name] = e.emptyCourse(l.Name)
				layers = append(layers, at[l.Name])
			}
			at[l.Name].set(t, l)
		}
	}
	for _, l := range layers {
		l.path = e.pathOf(l)
	}
	return layers
}

func (e *evidence) emptyCourse(name string) *layerCourse {
	l := &layerCourse{name: name, path: math.NaN()}
	for _, series := range l.series() {
		*series = make([]float64, len(e.run.Epochs))
		for t := range *series {
			(*series)[t] = math.NaN()
		}
	}
	return l
}

func (l *layerCourse) series() []*[]float64 {
	return []*[]float64{&l.weight, &l.gradient, &l.zeroGradient, &l.update, &l.dead, &l.active, &l.output}
}

func (l *layerCourse) set(t int, h *run.LayerHealth) {
	for i, x := range []run.Float{h.Weight, h.Gradient, h.ZeroGradient, h.Update, h.Dead, h.Active, h.Output} {
		(*l.series()[i])[t] = float64(x)
	}
}

// frozen reports whether the plan keeps a layer as it starts.
func (e *evidence) frozen(name string) bool {
	if e.plan == nil {
		return false
	}
	for _, prefix := range e.plan.Net.Freeze {
		if len(name) >= len(prefix) && name[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}

// stepsIn is the number of optimiser steps of an epoch.
func (e *evidence) stepsIn(t int) int {
	before := 0
	if t > 0 {
		before = e.run.Epochs[t-1].Step
	}
	return max(0, e.run.Epochs[t].Step-before)
}

// pathOf is how far a layer's weights can have come: the sum over all steps of the
// size of the step divided by that of the weights, which no change of the weights
// exceeds. Epochs that were not watched count as the mean of those that were.
func (e *evidence) pathOf(l *layerCourse) float64 {
	path, watched, all := 0.0, 0, 0
	for t, update := range l.update {
		steps := e.stepsIn(t)
		all += steps
		if isFinite(update) {
			path += update * float64(steps)
			watched += steps
		}
	}
	return path * float64(all) / float64(watched)
}

// medianPath is that over the layers; NaN where nothing was watched.
func (e *evidence) medianPath() float64 {
	var paths []float64
	for _, l := range e.layers() {
		paths = append(paths, l.path)
	}
	return median(paths)
}

// medianStep is the median over the layers of the mean size of a step, relative to
// that of the weights; NaN where nothing was watched.
func (e *evidence) medianStep() float64 {
	return e.medianPath() / float64(e.run.Epochs[len(e.run.Epochs)-1].Step)
}

// median is NaN for no values.
func median(values []float64) float64 {
	values = finiteOf(values)
	if len(values) == 0 {
		return math.NaN()
	}
	return stat.Quantile(values, 0.5)
}

// ignorance is the cross-entropy in nats of naming the classes of a set by their
// shares and knowing nothing else.
func (e *evidence) ignorance(set string) float64 {
	count, n := map[int]float64{}, 0.0
	for _, s := range e.run.Header.Sets[set] {
		count[s.Class]++
		n++
	}
	h := 0.0
	for _, k := range count {
		h -= k / n * math.Log(k/n)
	}
	if h == 0 {
		return math.NaN()
	}
	return h
}

// A fit is how well the network has come to know its training subjects in the late
// epochs: by whichever recorded view shows it best, so that neither dropout nor
// batch-norm statistics that lag are taken for not having learnt.
type fit struct {
	accuracy, loss float64 // a share; nats. NaN where not recorded
	guess          float64 // share of the commonest class
	ignorance      float64 // see ignorance
}

func (e *evidence) trainingFit() fit {
	f := fit{accuracy: math.NaN(), loss: math.NaN(), guess: e.prevalence(run.Train), ignorance: e.ignorance(run.Train)}
	if f.guess == 0 {
		f.guess = math.NaN()
	}
	for _, view := range []string{run.Logged, run.Deterministic, run.Recalibrated, run.Averaged} {
		accuracy := e.lateMean(e.curve(view, run.Train, accuracyValues, func(v *run.Evaluation) run.Float { return v.Accuracy }))
		loss := e.lateMean(e.trainingLoss(view))
		if isFinite(accuracy) && !(accuracy <= f.accuracy) {
			f.accuracy = accuracy
		}
		if isFinite(loss) && !(loss >= f.loss) {
			f.loss = loss
		}
	}
	return f
}

// way is how far the training accuracy has come from guessing (0) to perfect (1).
func (f fit) way() float64 { return (f.accuracy - f.guess) / (1 - f.guess) }

// trainingLoss is a view's loss on the training set by epoch, in nats.
func (e *evidence) trainingLoss(view string) []float64 {
	return e.curve(view, run.Train, meanOf(loss), func(v *run.Evaluation) run.Float { return v.Loss })
}

// unwatched is the judgement where the health of training was not recorded.
func (e *evidence) unwatched(what string) judgement {
	watched := 0
	for t := range e.run.Epochs {
		if e.health(t) != nil {
			watched++
		}
	}
	j := cannotTell(float64(watched), "the health of training is recorded in %d of %d epochs, which does not show %s", watched, len(e.epochs), what)
	j.treatment = advise("Record the health of training in every epoch (docs/format/run.md): ballast train does.")
	return j
}
