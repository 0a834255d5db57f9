package run

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// A sample is one logged value and where it stands.
type sample struct {
	epoch float64 // as in the log; NaN when it does not say
	step  int64   // -1 when it does not say
	time  float64 // seconds on some clock; NaN when unknown
	value float64
}

// A series is everything that was logged under one name, in order.
type series struct {
	name    string
	role    role
	remark  string // why it is taken as a validation curve
	samples []sample
}

// A loggedRun is one run as its log tells it, before anything is decided.
type loggedRun struct {
	name           string
	series         []*series
	byName         map[string]*series
	notes          []string
	validation     int
	classes        int
	stepsFrom0     bool    // the first optimiser step has number 0
	stepsCountRows bool    // steps are no optimiser steps
	evaluated      bool    // the log is known to name its validation values without saying so
	count          int     // samples of all series
	source         *int    // samples of all runs of the source
	percent        bool    // the log puts % behind its measures
	lastEpoch      float64 // of a log that is read epoch by epoch; NaN at first
}

// Limits that keep a hostile or endless log from filling the memory.
const (
	mostSamples = 4 << 20 // of one source: 128 MiB
	mostSeries  = 4096
	mostRuns    = 10_000 // of one source
)

func newLoggedRun(name string) *loggedRun {
	return &loggedRun{name: name, byName: map[string]*series{}, lastEpoch: math.NaN(), source: new(int)}
}

// another begins a run of the same source, with which it shares the limit.
func (l *loggedRun) another(name string) *loggedRun {
	next := newLoggedRun(name)
	next.source = l.source
	return next
}

// note adds a remark once.
func (l *loggedRun) note(format string, values ...any) {
	text := fmt.Sprintf(format, values...)
	if !slices.Contains(l.notes, text) && len(l.notes) < 50 {
		l.notes = append(l.notes, text)
	}
}

// add appends a value to the series of a name, whose set may be known from
// elsewhere. Names that mean nothing here are dropped.
func (l *loggedRun) add(name string, set loggedSet, s sample) {
	key := name
	if set != anySet {
		key = string(rune('0'+set)) + name
	}
	one, known := l.byName[key]
	if !known {
		r := roleOf(name)
		if r.set == anySet {
			r.set = set
		}
		if len(l.series) >= mostSeries || r.quantity == otherQuantity {
			return
		}
		one = &series{name: name, role: r}
		l.byName[key] = one
		l.series = append(l.series, one)
	}
	if *l.source >= mostSamples {
		l.note("more than %d values: the rest is left out", mostSamples)
		return
	}
	one.samples = append(one.samples, s)
	l.count++
	*l.source++
}

// pick returns the series of a role with the lowest rank, the first of equals.
func (l *loggedRun) pick(fits func(role) bool) *series {
	var best *series
	for _, one := range l.series {
		if len(one.samples) > 0 && fits(one.role) && (best == nil || one.role.rank < best.role.rank) {
			best = one
		}
	}
	return best
}

func (l *loggedRun) pickOf(set loggedSet, q quantity, measure string) *series {
	return l.pick(func(r role) bool { return r.set == set && r.quantity == q && r.measure == measure })
}

// chosen are the series that become the values of points; nil where there is none.
type chosen struct {
	trainLoss, trainMeasure, validationLoss, validationMeasure, rate *series
	measure                                                          string
}

// choose decides which series are the curves.
func (l *loggedRun) choose() chosen {
	l.errorsToAccuracy()
	l.assignSets()
	var c chosen
	c.trainLoss = l.pickOf(trainSet, lossQuantity, "")
	c.validationLoss = l.pickOf(validationSet, lossQuantity, "")
	c.validationMeasure = l.bestMeasure(validationSet)
	if c.validationMeasure == nil {
		c.trainMeasure = l.bestMeasure(trainSet)
	} else {
		c.trainMeasure = l.pickOf(trainSet, measureQuantity, c.validationMeasure.role.measure)
	}
	for _, one := range []*series{c.trainMeasure, c.validationMeasure} {
		if one != nil {
			c.measure = one.role.measure
		}
	}
	c.rate = l.pick(func(r role) bool { return r.quantity == rateQuantity })
	for _, one := range []*series{c.validationLoss, c.validationMeasure} {
		if one != nil && one.remark != "" {
			l.note("%s is taken as a validation curve: %s", one.name, one.remark)
		}
		if n := l.alike(one); n > 1 {
			l.note("%s is taken of %d validation curves of its kind", one.name, n)
		}
	}
	return c
}

// alike counts the series that have the role of one and no simpler name; 1 if
// its name is as simple as can be.
func (l *loggedRun) alike(one *series) (n int) {
	if one == nil || one.role.rank <= 0 {
		return 1
	}
	for _, other := range l.series {
		if other.role.set == one.role.set && other.role.quantity == one.role.quantity && other.role.measure == one.role.measure {
			n++
		}
	}
	return n
}

// bestMeasure is the series of a set that can best play accuracy. One that was
// logged far less often than another does not count.
func (l *loggedRun) bestMeasure(set loggedSet) *series {
	most := 0
	for _, one := range l.series {
		if one.role.set == set && one.role.quantity == measureQuantity {
			most = max(most, len(one.samples))
		}
	}
	var best *series
	for _, one := range l.series {
		if one.role.set != set || one.role.quantity != measureQuantity || 2*len(one.samples) < most || len(one.samples) == 0 {
			continue
		}
		if best == nil || measureOrder(one) < measureOrder(best) {
			best = one
		}
	}
	return best
}

func measureOrder(s *series) int { return 1000*measureRanks[s.role.measure] + s.role.rank }

// errorsToAccuracy turns error rates into accuracies where no accuracy is logged.
func (l *loggedRun) errorsToAccuracy() {
	hasMeasure := l.pick(func(r role) bool { return r.quantity == measureQuantity }) != nil
	for _, one := range l.series {
		if one.role.quantity != errorQuantity || hasMeasure {
			continue
		}
		largest := largestFinite(one.samples)
		if largest > 100 || smallestFinite(one.samples) < 0 {
			continue // an error that is no share: of a regression
		}
		whole := 1.0
		if largest > 1.0001 {
			whole = 100
		}
		for i := range one.samples {
			one.samples[i].value = complement(whole, one.samples[i].value)
		}
		one.role.quantity, one.role.measure = measureQuantity, "accuracy"
		l.note("accuracy is 1 - %s", one.name)
	}
}

// assignSets decides what the names without a set belong to, and lets a test
// set that was evaluated again and again stand in for a missing validation set.
func (l *loggedRun) assignSets() {
	if l.pick(isValidation) == nil {
		l.testForValidation()
	}
	if l.pickOf(trainSet, lossQuantity, "") == nil {
		// "loss" beside "val_loss", as Keras prints it, or alone.
		l.assign(lossQuantity, "", trainSet)
	}
	for measure := range measureRanks {
		if l.pickOf(anySet, measureQuantity, measure) == nil {
			continue
		}
		inTrain := l.pickOf(trainSet, measureQuantity, measure) != nil
		inValidation := l.pickOf(validationSet, measureQuantity, measure) != nil
		switch {
		case inTrain && inValidation:
		case inValidation || !inTrain && !l.saysTrain():
			l.assign(measureQuantity, measure, trainSet)
		default:
			l.assign(measureQuantity, measure, validationSet)
		}
	}
}

// saysTrain reports whether the log calls training values by that name, or is
// of a trainer known for it: then a measure without a set is of the validation.
func (l *loggedRun) saysTrain() bool {
	return l.evaluated || l.pick(func(r role) bool { return r.set == trainSet && isCurve(r) && !r.assigned }) != nil
}

func (l *loggedRun) testForValidation() {
	for _, one := range l.series {
		if one.role.set == testSet && isCurve(one.role) && len(one.samples) > 1 {
			one.role.set = validationSet
			one.remark = "the log names no validation set"
		}
	}
}

// assign gives the series of a quantity that have no set to one.
func (l *loggedRun) assign(q quantity, measure string, set loggedSet) {
	for _, one := range l.series {
		if one.role.set == anySet && one.role.quantity == q && one.role.measure == measure {
			one.role.set, one.role.assigned = set, true
			if set == validationSet {
				one.remark = "the log does not say of which set it is"
			}
		}
	}
}

func isCurve(r role) bool { return r.quantity == lossQuantity || r.quantity == measureQuantity }

func isValidation(r role) bool { return r.set == validationSet && isCurve(r) }

func largestFinite(samples []sample) float64 {
	largest := math.Inf(-1)
	for _, s := range samples {
		if !math.IsInf(s.value, 0) && s.value > largest {
			largest = s.value
		}
	}
	return largest
}

func smallestFinite(samples []sample) float64 {
	smallest := math.Inf(1)
	for _, s := range samples {
		if !math.IsInf(s.value, 0) && s.value < smallest {
			smallest = s.value
		}
	}
	return smallest
}

// shares brings a measure to shares from 0 to 1 and says so when it was in per
// cent. It reports false for values that are neither.
func (l *loggedRun) shares(s *series) bool {
	if s == nil {
		return true
	}
	switch largest := largestFinite(s.samples); {
	case largest > 100.0001 || smallestFinite(s.samples) < -100:
		return false
	case largest > 1.0001:
		for i := range s.samples {
			s.samples[i].value = hundredth(s.samples[i].value)
		}
		l.note("%s is in per cent and was divided by 100", s.name)
	case l.percent && largest > 0:
		l.note("%s is printed with %% and holds no value above 1: taken as a share", s.name)
	}
	return true
}

// hundredth divides by 100 in decimal: 52.63 becomes the float nearest to 0.5263,
// so that the printed digits, which tell the size of a set, survive.
func hundredth(x float64) float64 {
	mantissa, exponent, found := strings.Cut(strconv.FormatFloat(x, 'e', -1, 64), "e")
	power, err := strconv.Atoi(exponent)
	if !found || err != nil {
		return x / 100 // not finite
	}
	share, _ := strconv.ParseFloat(mantissa+"e"+strconv.Itoa(power-2), 64)
	return share
}

// complement is whole - x with the decimal places of x.
func complement(whole, x float64) float64 {
	text := strconv.FormatFloat(x, 'f', -1, 64)
	places := 0
	if point := strings.IndexByte(text, '.'); point >= 0 {
		places = len(text) - point - 1
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(whole-x, 'f', places, 64), 64)
	if err != nil {
		return whole - x
	}
	return rounded
}

// curves decides what the series mean and puts them on one grid of points.
func (l *loggedRun) curves(source, format string) *Curves {
	c := l.choose()
	if !l.shares(c.validationMeasure) || !l.shares(c.trainMeasure) {
		l.note("%s is neither a share nor per cent and is left out", c.measure)
		c.trainMeasure, c.validationMeasure, c.measure = nil, nil, ""
	}
	l.resolveEpochs(c)
	result := &Curves{Source: source, Format: format, Name: l.name, Measure: c.measure,
		Points: l.points(c), Validation: l.validation, Classes: l.classes}
	result.Notes = l.notes
	return result
}

// resolveEpochs gives every sample its epoch where the log tells it apart from
// the value: by a series of its own, or by steps that count epochs.
func (l *loggedRun) resolveEpochs(c chosen) {
	if epochs := l.pick(func(r role) bool { return r.quantity == epochQuantity }); epochs != nil {
		byStep := slices.Clone(epochs.samples)
		sort.SliceStable(byStep, func(i, j int) bool { return byStep[i].step < byStep[j].step })
		for _, one := range l.series {
			for i := range one.samples {
				if s := &one.samples[i]; math.IsNaN(s.epoch) && s.step >= 0 {
					s.epoch = epochAt(byStep, s.step)
				}
			}
		}
		return
	}
	validation := c.validationGrid()
	if !unknownEpochs(validation) || !countEpochs(validation) || c.trainsByStep(validation) {
		return
	}
	last := validation[len(validation)-1].step
	for _, one := range l.series {
		if n := len(one.samples); n > 0 && unknownEpochs(one.samples) && one.samples[n-1].step <= last+1 {
			stepsAreEpochs(one.samples)
		}
	}
}

// trainsByStep reports whether training was logged on another, finer count of
// steps than validation, and both by the clock, which aligns them.
func (c chosen) trainsByStep(validation []sample) bool {
	if c.trainLoss == nil || len(c.trainLoss.samples) == 0 || math.IsNaN(validation[0].time) {
		return false
	}
	last := c.trainLoss.samples[len(c.trainLoss.samples)-1]
	return last.step > 2*validation[len(validation)-1].step+1 && !math.IsNaN(last.time)
}

// epochAt is the epoch logged at a step, or at the last one before it.
func epochAt(byStep []sample, step int64) float64 {
	after := sort.Search(len(byStep), func(i int) bool { return byStep[i].step > step })
	if after == 0 {
		return math.NaN()
	}
	return byStep[after-1].value
}

func unknownEpochs(samples []sample) bool {
	for _, s := range samples {
		if !math.IsNaN(s.epoch) {
			return false
		}
	}
	return len(samples) > 0
}

// countEpochs reports whether steps are 0, 1, 2, ... or 1, 2, 3, ...: numbers of
// epochs. A last one may be repeated.
func countEpochs(samples []sample) bool {
	if len(samples) == 0 || samples[0].step < 0 || samples[0].step > 1 {
		return false
	}
	for i := 1; i < len(samples); i++ {
		if by := samples[i].step - samples[i-1].step; by < 0 || by > 1 || by == 0 && i < len(samples)-1 {
			return false
		}
	}
	return len(samples) > 1
}

func stepsAreEpochs(samples []sample) {
	for i := range samples {
		samples[i].epoch, samples[i].step = float64(samples[i].step), -1
	}
}

// validationGrid is the series that says where the points are.
func (c chosen) validationGrid() []sample {
	switch {
	case c.validationLoss == nil && c.validationMeasure == nil:
		return nil
	case c.validationLoss == nil, c.validationMeasure != nil && len(c.validationMeasure.samples) > len(c.validationLoss.samples):
		return c.validationMeasure.samples
	}
	return c.validationLoss.samples
}
