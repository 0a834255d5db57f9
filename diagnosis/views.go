package diagnosis

import (
	"ballast/run"
)

// views reports every view alone: the jitter it would show in place of the
// logged curve, over the epochs that both have. Where the logged curve is that of
// averaged weights, the others are no part of it, and nothing is removed from it.
func (e *evidence) views() []View {
	alone := []struct {
		name        string
		predictions *predictions
	}{
		{run.Logged, e.recorded[run.Logged]},
		{run.Deterministic, e.recorded[run.Deterministic]},
		{run.Deterministic + "+threshold", nil},
		{run.Recalibrated, e.recorded[run.Recalibrated]},
		{run.Recalibrated + "+threshold", nil},
		{run.Averaged, e.validation[run.Averaged]},
		{run.Averaged + "+threshold", fixThreshold(e.validation[run.Averaged], e.training[run.Averaged])},
	}
	if !e.ofAverages() {
		alone[2].predictions = fixThreshold(e.validation[run.Deterministic], e.training[run.Deterministic])
		alone[4].predictions = fixThreshold(e.validation[run.Recalibrated], e.training[run.Recalibrated])
	}
	views := []View{}
	for _, a := range alone {
		if a.predictions != nil {
			if view, ok := e.view(a.name, a.predictions); ok {
				views = append(views, view)
			}
		}
	}
	return views
}

func (e *evidence) view(name string, p *predictions) (View, bool) {
	logged := e.validation[run.Logged]
	steps, _ := e.stepsOf(func(t int) bool { return p.rows[t] != nil && (logged == nil || logged.rows[t] != nil) })
	v := jitterVariance(p.panel(accuracyValues), steps)
	if v == nil {
		return View{}, false
	}
	view := View{
		View: name, Jitter: v.interval(Points), Finite: v.finiteShare(), Removed: unknownInterval(Ratio),
		Accuracy: Number(100 * finiteMean(e.late(p, correct))),
	}
	if logged == nil || e.ofAverages() && (name == run.Deterministic || name == run.Recalibrated) {
		return view, true
	}
	if l := jitterVariance(logged.panel(accuracyValues), steps); l.expected() > 0 {
		removed := (l.expected() - v.expected()) / l.expected()
		half := halfWidth(l.total.plus(-1, v.total).plus(-removed, l.total)) / l.expected()
		view.Removed = Interval{Number(removed), Number(removed - half), Number(removed + half), Ratio}
	}
	return view, true
}
