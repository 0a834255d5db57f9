package diagnosis

import (
	"math"
	"sync"

	"ballast/run"
)

// asCurves returns the logged curves of the run as those of a log of which the
// number of validation subjects, the classes and their shares are known, so that
// what is judged from curves is judged of a run by the same rules.
func (e *evidence) asCurves() *curveEvidence {
	e.curvesOnce.Do(func() {
		classes := len(e.run.Header.Classes)
		options := CurveOptions{Validation: e.subjects(), Prevalence: e.prevalence(run.Validation)}
		if classes > 1 {
			options.Classes = classes
		}
		curves := &run.Curves{Measure: "accuracy", Format: "ballast", Validation: options.Validation, Classes: options.Classes}
		for t := range e.run.Epochs {
			curves.Points = append(curves.Points, e.point(t))
		}
		e.curves = newCurveEvidence(curves, options)
	})
	return e.curves
}

// lazy is what is arranged when a cause first asks for it.
type lazy struct {
	curvesOnce   sync.Once
	curves       *curveEvidence
	layersOnce   sync.Once
	layerCourses []*layerCourse
}

// point is an epoch as a log would show it. A value that is no number is one that
// the record lacks, unless the run diverged there.
func (e *evidence) point(t int) run.Point {
	epoch := &e.run.Epochs[t]
	nan := run.Float(math.NaN())
	p := run.Point{Epoch: epoch.Epoch, Step: epoch.Step, LearningRate: epoch.LearningRate,
		TrainLoss: nan, TrainAccuracy: nan, ValidationLoss: nan, ValidationAccuracy: nan}
	if v := e.loggedTraining(t); v != nil {
		p.TrainLoss, p.TrainAccuracy = v.Loss, v.Accuracy
	}
	p.ValidationLoss, p.ValidationAccuracy = run.Float(e.loss[t]), run.Float(e.accuracy[t])
	if v := epoch.Evaluation(run.Logged, run.Validation); v != nil && !isFinite(e.loss[t]) {
		p.ValidationLoss = v.Loss
	}
	if e.broken(t) {
		p.LoggedNaN = []string{run.TrainLoss, run.ValidationLoss}
	}
	return p
}

// loggedTraining is the training set as the training loop prints it, or in the
// validation pipeline where that was not recorded; nil where neither was.
func (e *evidence) loggedTraining(t int) *run.Evaluation {
	if v := e.run.Epochs[t].Evaluation(run.Logged, run.Train); v != nil {
		return v
	}
	return e.run.Epochs[t].Evaluation(run.Deterministic, run.Train)
}

// broken reports whether an epoch's arithmetic failed: its predictions are no
// numbers, a loss or the gradient is infinite, or the training loss was a number
// and from here on never is again. A single loss that is no number may as well be
// one that was not computed.
func (e *evidence) broken(t int) bool {
	epoch := &e.run.Epochs[t]
	if diverged(epoch.Evaluation(run.Logged, run.Validation)) || math.IsInf(float64(epoch.GradientNorm), 0) || t >= e.lossesEnd {
		return true
	}
	for _, set := range []string{run.Train, run.Validation} {
		if v := epoch.Evaluation(run.Logged, set); v != nil && math.IsInf(float64(v.Loss), 0) {
			return true
		}
	}
	return false
}

// endOfLosses is the index from which on no training loss is a number though earlier
// ones are; the number of epochs where there is none.
func (e *evidence) endOfLosses() int {
	all := len(e.run.Epochs)
	for t := all - 1; t >= 0; t-- {
		v := e.run.Epochs[t].Evaluation(run.Logged, run.Train)
		switch {
		case v == nil:
			return all
		case isFinite(float64(v.Loss)):
			return t + 1
		}
	}
	return all
}

// firstBroken is the index of the first epoch whose arithmetic failed, -1 when
// there is none.
func (e *evidence) firstBroken() int {
	for t := range e.run.Epochs {
		if e.broken(t) {
			return t
		}
	}
	return -1
}

// prevalence is the share of the commonest class in a set; 0 when it is empty.
func (e *evidence) prevalence(set string) float64 {
	var classes []int
	for _, s := range e.run.Header.Sets[set] {
		classes = append(classes, s.Class)
	}
	if len(classes) == 0 {
		return 0
	}
	return commonest(classes)
}
