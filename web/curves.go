package web

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"ballast/run"
	"ballast/stat"
)

// A series is a view of a set as the charts draw it.
type series struct {
	view, set    string
	class, label string // label is short enough to stand beside the plot
	long         string
}

var (
	trainLogged   = series{run.Logged, run.Train, "train", "training, running", "training, running mean over the mini-batches as logged"}
	trainClean    = series{run.Deterministic, run.Train, "clean", "training, clean", "training subjects through the validation pipeline"}
	validLogged   = series{run.Logged, run.Validation, "validation", "validation", "validation as logged"}
	validClean    = series{run.Deterministic, run.Validation, "fixed", "validation, clean", "validation without randomness, on the whole fixed set"}
	validAveraged = series{run.Averaged, run.Validation, "averaged", "averaged weights", "validation with averaged weights"}
	validPresent  = series{run.Deterministic, run.Validation, "fixed", "present weights", "validation with the weights as they are after each epoch, which the logged curve averages"}
)

// seriesOf lists the series of a run, from the back to the front. Where the logged
// curve is that of the averaged weights, the present ones stand beside it.
func seriesOf(r *run.Run) []series {
	all := []series{trainLogged, trainClean}
	switch present := differ(r, validLogged, validClean); {
	case present && recorded(r, validAveraged) && !differ(r, validLogged, validAveraged):
		all = append(all, validPresent)
	case present:
		all = append(all, validAveraged, validClean)
	default:
		all = append(all, validAveraged)
	}
	return append(all, validLogged)
}

// recorded reports whether a run has a series.
func recorded(r *run.Run, s series) bool {
	return slices.ContainsFunc(r.Epochs, func(e run.Epoch) bool { return e.Evaluation(s.view, s.set) != nil })
}

// differ reports whether two views of a set ever show another accuracy or loss.
func differ(r *run.Run, a, b series) bool {
	for i := range r.Epochs {
		first, second := r.Epochs[i].Evaluation(a.view, a.set), r.Epochs[i].Evaluation(b.view, b.set)
		if first != nil && second != nil && (unequal(first.Accuracy, second.Accuracy) || unequal(first.Loss, second.Loss)) {
			return true
		}
	}
	return false
}

func unequal(a, b run.Float) bool { return a != b && (a == a || b == b) }

func accuracyOf(e *run.Evaluation) float64 { return 100 * float64(e.Accuracy) }
func lossOf(e *run.Evaluation) float64     { return float64(e.Loss) }

// points collects one number of a series over the epochs that have it.
func (s series) points(r *run.Run, value func(*run.Evaluation) float64) []point {
	var points []point
	for i := range r.Epochs {
		if e := r.Epochs[i].Evaluation(s.view, s.set); e != nil {
			points = append(points, point{float64(r.Epochs[i].Epoch), value(e)})
		}
	}
	return points
}

// mostDots is up to how many epochs each validation value is marked.
const mostDots = 120

// curvesOf returns the series that have at least one value.
func curvesOf(r *run.Run, shown []series, value func(*run.Evaluation) float64) []curve {
	var curves []curve
	for _, s := range shown {
		points := s.points(r, value)
		if _, ok := lastFinite(points); ok {
			dots := s == validLogged && len(r.Epochs) <= mostDots || len(points) == 1
			curves = append(curves, curve{s.class, s.label, dots, points})
		}
	}
	return curves
}

// mostReadings bounds the columns that answer to the pointer.
const mostReadings = 500

func readings(r *run.Run, shown []series, value func(*run.Evaluation) float64, write func(float64) string) []reading {
	var all []reading
	every := (len(r.Epochs) + mostReadings - 1) / mostReadings
	for i := 0; i < len(r.Epochs); i += max(1, every) {
		e := &r.Epochs[i]
		parts := []string{}
		for _, s := range shown {
			if evaluation := e.Evaluation(s.view, s.set); evaluation != nil {
				parts = append(parts, s.label+" "+write(value(evaluation)))
			}
		}
		slices.Reverse(parts)
		all = append(all, reading{float64(e.Epoch), fmt.Sprintf("epoch %d: %s", e.Epoch, strings.Join(parts, "; "))})
	}
	return all
}

// A chanceBand is where the logged validation accuracy would move if the
// network stayed at its smoothed level and only the draw of n subjects changed.
type chanceBand struct {
	band
	subjects int // per epoch (the median, where it varies)
	window   int // epochs of the running mean
	inside   int // logged values inside the band
	values   int
}

// newChanceBand is the band of a run.
func newChanceBand(r *run.Run) chanceBand {
	return chanceBandOf(validLogged.points(r, accuracyOf), evaluatedSubjects(r))
}

// chanceBandOf takes the level at each epoch from a centred running mean of
// the accuracy, and the 2.5 % and 97.5 % quantiles of the exact binomial
// distribution with that number of subjects at that level.
func chanceBandOf(accuracy []point, subjects int) chanceBand {
	var points []point
	for _, p := range accuracy {
		if finite(p.value) {
			points = append(points, p)
		}
	}
	b := chanceBand{subjects: subjects, values: len(points)}
	b.class = "chance"
	if b.subjects == 0 || len(points) < 5 {
		return b
	}
	b.window = max(5, len(points)/6) | 1
	for i, p := range points {
		level := smoothed(points, i, b.window/2) / 100
		low, high := binomialBand(b.subjects, level)
		b.epochs = append(b.epochs, p.epoch)
		b.low, b.high = append(b.low, 100*low), append(b.high, 100*high)
		if p.value >= 100*low-1e-9 && p.value <= 100*high+1e-9 {
			b.inside++
		}
	}
	return b
}

// smoothed is the mean over the points within reach of point i on both sides;
// near an end the reach shrinks, so that the mean stays centred, but not below
// 2 values on one side.
func smoothed(points []point, i, reach int) float64 {
	side := max(2, min(reach, i, len(points)-1-i))
	from, to := max(0, i-side), min(len(points), i+side+1)
	sum := 0.0
	for _, p := range points[from:to] {
		sum += p.value
	}
	return sum / float64(to-from)
}

// binomialBand returns the 2.5 % and 97.5 % quantiles of the share of n
// subjects classified correctly when each is with probability p.
func binomialBand(n int, p float64) (low, high float64) {
	quantile := func(q float64) float64 {
		return float64(stat.LeastSignificant(n, p, 1-q)-1) / float64(n)
	}
	return quantile(0.025), quantile(0.975)
}

// evaluatedSubjects is the median number of validation subjects that the
// logged view evaluated: fewer than the set has where each epoch draws some.
func evaluatedSubjects(r *run.Run) int {
	var counts []int
	for i := range r.Epochs {
		e := r.Epochs[i].Evaluation(run.Logged, run.Validation)
		if e == nil || e.Probabilities == nil {
			continue
		}
		count := 0
		for _, row := range e.Probabilities {
			if row != nil {
				count++
			}
		}
		counts = append(counts, count)
	}
	if len(counts) == 0 {
		return len(r.Header.Sets[run.Validation])
	}
	slices.Sort(counts)
	return counts[len(counts)/2]
}

// guessing is the share of the commonest class among the validation subjects,
// in per cent: what a network that never looks at an image can reach. NaN
// without subjects.
func guessing(r *run.Run) float64 {
	subjects := r.Header.Sets[run.Validation]
	count := make([]int, len(r.Header.Classes))
	for _, s := range subjects {
		count[s.Class]++
	}
	if len(subjects) == 0 {
		return math.NaN()
	}
	return 100 * float64(slices.Max(count)) / float64(len(subjects))
}

// accuracyChart draws the accuracy curves; nil when there are none.
func accuracyChart(r *run.Run, chance chanceBand) *chart {
	shown := seriesOf(r)
	curves := curvesOf(r, shown, accuracyOf)
	if len(curves) == 0 {
		return nil
	}
	c := &chart{
		id: "accuracy", title: "Accuracy after each epoch",
		description: "Accuracy in per cent over " + plural(len(r.Epochs), "epoch") + ": " + longNames(r, shown, accuracyOf) + ".",
		height:      320, x: epochAxis(len(r.Epochs)), curves: curves,
		readings: readings(r, shown, accuracyOf, func(x float64) string { return decimal(x, 1) + " %" }),
	}
	low, high := extent(curves)
	if len(chance.epochs) > 0 {
		c.bands = []band{chance.band}
		low, high = min(low, slices.Min(chance.low)), max(high, slices.Max(chance.high))
	}
	if guess := guessing(r); finite(guess) {
		c.rules = []rule{{"guess", "guessing", guess}}
		low, high = min(low, guess), max(high, guess)
	}
	c.y = linearAxis(max(0, low-2), min(100, high+2), 5)
	c.y.low, c.y.high = max(0, c.y.low), min(100, c.y.high)
	return c
}

// lossChart draws the loss curves; nil when there is no finite value. The axis
// is logarithmic where the losses span more than a factor of 30.
func lossChart(r *run.Run) *chart {
	shown := seriesOf(r)
	curves := curvesOf(r, shown, lossOf)
	if len(curves) == 0 {
		return nil
	}
	c := &chart{
		id: "loss", title: "Loss after each epoch",
		description: "Mean cross-entropy in nats over " + plural(len(r.Epochs), "epoch") + ": " + longNames(r, shown, lossOf) + ".",
		height:      260, x: epochAxis(len(r.Epochs)), curves: curves,
		readings: readings(r, shown, lossOf, significant),
	}
	low, high := extent(curves)
	if low > 0 && high/low > 30 {
		c.y = logAxis(low, high)
	} else {
		c.y = linearAxis(min(0, low), high, 4)
	}
	return c
}

func extent(curves []curve) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, c := range curves {
		for _, p := range c.points {
			if finite(p.value) {
				low, high = min(low, p.value), max(high, p.value)
			}
		}
	}
	return low, high
}

func longNames(r *run.Run, shown []series, value func(*run.Evaluation) float64) string {
	var names []string
	for _, s := range shown {
		if last, ok := lastFinite(s.points(r, value)); ok {
			names = append(names, fmt.Sprintf("%s, at the end %s", s.long, significant(last.value)))
		}
	}
	return strings.Join(names, "; ")
}

// nonFinite counts the epochs in which some loss is not a finite number.
func nonFinite(r *run.Run) int {
	count := 0
	for i := range r.Epochs {
		if slices.ContainsFunc(r.Epochs[i].Evaluations, func(e run.Evaluation) bool { return !finite(float64(e.Loss)) }) {
			count++
		}
	}
	return count
}
