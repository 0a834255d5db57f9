package run

import (
	"math"
	"sort"
)

// A grid is how samples of different series find each other.
type grid byte

const (
	epochGrid grid = iota // one validation per epoch, epochs known
	stepGrid              // validations at optimiser steps
	timeGrid              // validations by the clock: training counts other steps
	orderGrid             // the k-th validation
)

// points puts the chosen series on the grid of the validation values.
func (l *loggedRun) points(c chosen) []Point {
	validation := c.validationGrid()
	training := c.trainLoss
	if training == nil {
		training = c.trainMeasure
	}
	if validation == nil && training != nil {
		validation = training.samples
	}
	if len(validation) == 0 {
		return nil
	}
	l.dropAfterTraining(c, training)
	validation = c.gridOr(validation)
	kind := gridOf(validation, training)
	builder := &pointBuilder{grid: kind, cells: map[float64]*cell{}}
	builder.keys(validation)
	if kind == epochGrid && training != nil {
		builder.trainingEpochs(training.samples)
	}
	for i, s := range [...]*series{c.rate, c.trainMeasure, c.trainLoss, c.validationMeasure, c.validationLoss} {
		builder.fill(i, s, l)
	}
	return builder.points(l)
}

func (c chosen) gridOr(other []sample) []sample {
	if g := c.validationGrid(); g != nil {
		return g
	}
	return other
}

// dropAfterTraining keeps a last validation apart that had no training before
// it though every other had: validate() or evaluate() was called after fit().
func (l *loggedRun) dropAfterTraining(c chosen, training *series) {
	validation := c.validationGrid()
	n := len(validation)
	if n < 2 || training == nil {
		return
	}
	last, before := validation[n-1], validation[n-2]
	if isInteger(last.epoch) && last.epoch == before.epoch && last.step <= before.step {
		return // the same place again: dropped as a repetition
	}
	if !isInteger(last.epoch) || last.step < 0 || last.step > before.step+1 {
		return
	}
	trained := map[float64]bool{}
	for _, s := range training.samples {
		trained[s.epoch] = true
	}
	for _, s := range validation[:n-1] {
		if !trained[s.epoch] {
			return
		}
	}
	if trained[last.epoch] {
		return
	}
	l.note("a last validation without training before it is left out: it was called after the training")
	for _, one := range []*series{c.validationLoss, c.validationMeasure} {
		if one != nil && len(one.samples) > 0 && one.samples[len(one.samples)-1].epoch == last.epoch {
			one.samples = one.samples[:len(one.samples)-1]
		}
	}
}

// gridOf decides how to align: by epochs if every validation has its own, then
// by steps, then by time, then by order.
func gridOf(validation []sample, training *series) grid {
	if oncePerEpoch(validation) {
		return epochGrid
	}
	if !increasing(validation, func(s sample) float64 { return float64(s.step) }) || validation[0].step < 0 {
		if increasing(validation, func(s sample) float64 { return s.time }) {
			return timeGrid
		}
		return orderGrid
	}
	if (chosen{trainLoss: training}).trainsByStep(validation) && increasing(validation, func(s sample) float64 { return s.time }) {
		return timeGrid
	}
	return stepGrid
}

// oncePerEpoch reports whether epochs are whole numbers (nearly: trainers print
// 0.998 for a last incomplete batch) that never fall and, the last one apart,
// never repeat.
func oncePerEpoch(samples []sample) bool {
	for i, s := range samples {
		if !isInteger(s.epoch) {
			return false
		}
		if i == 0 {
			continue
		}
		by := math.Round(s.epoch) - math.Round(samples[i-1].epoch)
		if by < 0 || by == 0 && i < len(samples)-1 {
			return false
		}
	}
	return true
}

func isInteger(epoch float64) bool {
	return math.Abs(epoch) < 1e9 && math.Abs(epoch-math.Round(epoch)) < 0.03
}

func increasing(samples []sample, of func(sample) float64) bool {
	for i := range samples {
		if math.IsNaN(of(samples[i])) || i > 0 && !(of(samples[i]) > of(samples[i-1])) && i < len(samples)-1 {
			return false
		}
	}
	return true
}

// mostPoints is what Curves hold at most; more epochs no training has.
const mostPoints = 1 << 18

// valueNames are the values of a point in the order of cell.means.
var valueNames = [...]string{LearningRate, TrainAccuracy, TrainLoss, ValidationAccuracy, ValidationLoss}

// A cell gathers what was logged at one point.
type cell struct {
	means    [len(valueNames)]mean
	step     int
	stepOf   loggedSet // whose step it is
	occupied bool
}

type mean struct {
	sum   float64
	count int
}

// A pointBuilder fills points from series.
type pointBuilder struct {
	grid     grid
	ordered  []float64 // keys of the cells
	cells    map[float64]*cell
	clock    map[int64]float64 // of timeGrid: when the validation of a step was
	repeated bool
	full     bool
}

// key is the place of a sample on the grid; index counts within its series.
func (b *pointBuilder) key(s sample, index int, validation bool) float64 {
	switch b.grid {
	case epochGrid:
		return math.Round(s.epoch)
	case stepGrid:
		return float64(s.step)
	case timeGrid:
		if at, known := b.clock[s.step]; known && validation {
			return at
		}
		return s.time
	}
	return float64(index)
}

func (b *pointBuilder) keys(validation []sample) {
	b.clock = map[int64]float64{}
	for i, s := range validation {
		if _, known := b.clock[s.step]; known {
			b.clock = nil // steps tell nothing
		}
		if b.grid == timeGrid && b.clock != nil {
			b.clock[s.step] = s.time
		}
		b.addCell(b.key(s, i, false))
	}
	sort.Float64s(b.ordered)
}

// trainingEpochs adds the epochs without validation, as far as training tells
// of whole epochs.
func (b *pointBuilder) trainingEpochs(training []sample) {
	for _, s := range training {
		if math.Abs(s.epoch) < 1e9 && s.epoch == math.Trunc(s.epoch) {
			b.addCell(s.epoch)
		}
	}
	sort.Float64s(b.ordered)
}

func (b *pointBuilder) addCell(key float64) {
	if _, known := b.cells[key]; known || math.IsNaN(key) {
		return
	}
	if len(b.cells) == mostPoints {
		b.full = true
		return
	}
	b.cells[key] = &cell{}
	b.ordered = append(b.ordered, key)
}

// fill gives the values of a series to the points. Validation values belong to
// one point, the first of several counts; training values are averaged over all
// that lie after the point before; of learning rates the last one counts.
func (b *pointBuilder) fill(value int, s *series, l *loggedRun) {
	if s == nil {
		return
	}
	name := valueNames[value]
	validation := name == ValidationLoss || name == ValidationAccuracy
	for i, one := range s.samples {
		at := b.place(one, i, len(s.samples), validation)
		if at == nil {
			continue
		}
		m := &at.means[value]
		if validation && m.count > 0 {
			b.repeated = true
			continue
		}
		if name == LearningRate {
			*m = mean{}
		}
		m.sum += one.value
		m.count++
		at.occupied = true
		if !l.stepsCountRows {
			at.setStep(one.step, s.role.set, b.grid, l.stepsFrom0)
		}
	}
}

// setStep notes the optimiser steps taken at a point: those of the validation
// where it counts them, else the last of training.
func (c *cell) setStep(step int64, set loggedSet, g grid, from0 bool) {
	if step < 0 || step > math.MaxInt32 || g == timeGrid && set == validationSet {
		return
	}
	if from0 {
		step++
	}
	switch {
	case set == validationSet:
		c.step, c.stepOf = int(step), set
	case c.stepOf != validationSet:
		c.step, c.stepOf = max(c.step, int(step)), set
	}
}

// place finds the point that a sample belongs to, nil if none.
func (b *pointBuilder) place(s sample, index, length int, validation bool) *cell {
	if b.grid == orderGrid && !validation && length != len(b.ordered) {
		return nil
	}
	key := b.key(s, index, validation)
	if b.grid == epochGrid && !validation {
		key = math.Ceil(s.epoch)
	}
	if validation || b.grid == orderGrid || b.grid == epochGrid {
		return b.cells[key]
	}
	next := sort.SearchFloat64s(b.ordered, key)
	if next == len(b.ordered) || math.IsNaN(key) {
		return nil
	}
	return b.cells[b.ordered[next]]
}

// points finishes the points and numbers them from 1.
func (b *pointBuilder) points(l *loggedRun) []Point {
	points := make([]Point, 0, len(b.ordered))
	first := math.NaN()
	for _, key := range b.ordered {
		one := b.cells[key]
		if !one.occupied {
			continue
		}
		if math.IsNaN(first) {
			first = key
		}
		point := one.point()
		point.Epoch = len(points) + 1
		if b.grid == epochGrid {
			point.Epoch = int(key) + max(0, 1-int(first))
		}
		points = append(points, point)
	}
	if b.grid == epochGrid && first <= 0 {
		l.note("the log counts epochs from %g; here they count from 1", first)
	}
	b.remarks(l)
	return points
}

func (b *pointBuilder) remarks(l *loggedRun) {
	switch b.grid {
	case timeGrid:
		l.note("training and validation count different steps: they are put together by the clock")
	case stepGrid:
		l.note("the log does not say where epochs end: every validation is one point, and training values are means since the one before")
	case orderGrid:
		l.note("the log gives no epochs and no steps: every validation counts as one epoch")
	}
	if b.repeated {
		l.note("values of one epoch were logged more than once: the first counts")
	}
	if b.full {
		l.note("more than %d points: the rest is left out", mostPoints)
	}
}

func (c *cell) point() Point {
	point := emptyPoint(0)
	point.Step = c.step
	to := [...]*Float{&point.LearningRate, &point.TrainAccuracy, &point.TrainLoss, &point.ValidationAccuracy, &point.ValidationLoss}
	for i, m := range c.means {
		if m.count == 0 {
			continue
		}
		*to[i] = Float(m.sum / float64(m.count))
		if math.IsNaN(float64(*to[i])) {
			point.LoggedNaN = append(point.LoggedNaN, valueNames[i])
		}
	}
	return point
}
