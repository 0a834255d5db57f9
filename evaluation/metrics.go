package evaluation

import (
	"fmt"
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

// The methods of intervals.
const (
	methodWilson         = "Wilson"
	methodRecovery       = "Wilson per class, variances recovered"
	methodRecoveredAreas = "DeLong on the logit scale, variances recovered"
	methodLogit          = "DeLong, on the logit scale"
	methodPrecision      = "logit scale, Boyd et al."
	methodBootstrap      = "bootstrap of subjects within classes"
)

// Metrics computes every measure of the predictions. Accuracy, recalls,
// sensitivity and specificity have Wilson's interval; balanced accuracy that of
// stat.BalancedAccuracyInterval; the AUROC of two classes that of
// stat.AUROCInterval and the AUPRC that of stat.AveragePrecisionInterval; all
// others the percentile interval, expanded by stat.ExpandedLevel, of a bootstrap
// that resamples subjects within their classes, as many of each as there are. A
// measure that cannot be told says why in Unknown. The predictions must pass Check.
func Metrics(p *Predictions, o Options) []Metric {
	o = o.complete()
	s := newSample(p, o)
	metrics := []Metric{s.accuracy(), s.balancedAccuracy(), s.area(), s.precision()}
	for _, m := range losses {
		metrics = append(metrics, s.resample(m))
	}
	return append(metrics, s.recalls()...)
}

// A sample is predictions in columns, ready to be resampled.
type sample struct {
	*Predictions
	Options
	rows      [][]float64
	truth     []int
	predicted []int
	counts    []int
}

func newSample(p *Predictions, o Options) *sample {
	s := &sample{Predictions: p, Options: o, counts: p.Counts()}
	for i := range p.Subjects {
		s.rows = append(s.rows, p.Subjects[i].Probabilities)
		s.truth = append(s.truth, p.Subjects[i].Class)
		s.predicted = append(s.predicted, p.Decide(p.Subjects[i].Probabilities, o.Threshold))
	}
	return s
}

// metric makes a Metric without an interval.
func (s *sample) metric(id, name string, value float64, method string) Metric {
	nan := run.Float(math.NaN())
	return Metric{ID: id, Name: name, Value: run.Float(value), Low: nan, High: nan, Method: method, Subjects: len(s.truth)}
}

// cannot says why a metric is not told.
func (m Metric) cannot(format string, values ...any) Metric {
	m.Unknown = fmt.Sprintf(format, values...)
	return m
}

func (m Metric) between(low, high float64) Metric {
	m.Low, m.High = run.Float(low), run.Float(high)
	return m
}

func (s *sample) accuracy() Metric {
	right := 0
	for i, class := range s.truth {
		if s.predicted[i] == class {
			right++
		}
	}
	n := float64(len(s.truth))
	return s.metric(Accuracy, "accuracy", float64(right)/n, methodWilson).between(stat.Wilson(float64(right), n, s.Level))
}

// few names a class with fewer subjects than a measure over classes needs.
func (s *sample) few(least int) string {
	for class, count := range s.counts {
		if count < least {
			return fmt.Sprintf("class %s has %d of %d subjects; at least %d are needed", s.Classes[class], count, len(s.truth), least)
		}
	}
	return ""
}

func (s *sample) balancedAccuracy() Metric {
	m := s.metric(BalancedAccuracy, "balanced accuracy", math.NaN(), methodRecovery)
	if few := s.few(1); few != "" {
		return m.cannot("%s", few)
	}
	recalls := stat.Recalls(s.predicted, s.truth, len(s.Classes))
	m.Value = run.Float(stat.BalancedAccuracy(recalls))
	if few := s.few(2); few != "" {
		return m.cannot("%s", few)
	}
	return m.between(stat.BalancedAccuracyInterval(recalls, s.Level))
}

// area is the AUROC: of two classes with DeLong's interval, else the mean over
// classes, each against the rest.
func (s *sample) area() Metric {
	if !s.Binary() {
		return s.resample(measure{AUROC, "AUROC, mean of each class against the rest", 2, macro(func(scores []float64, positive []bool) float64 {
			area, _ := stat.AUROC(scores, positive)
			return area
		})})
	}
	scores, positive := s.scores(s.Positive)
	return s.deLong(AUROC, "AUROC", scores, positive)
}

// precision is the AUPRC: of two classes with the interval of
// stat.AveragePrecisionInterval, else the mean over classes.
func (s *sample) precision() Metric {
	if !s.Binary() {
		return s.resample(averagePrecision)
	}
	m := s.metric(AUPRC, averagePrecision.name, math.NaN(), methodPrecision)
	if few := s.few(averagePrecision.least); few != "" {
		return m.cannot("%s", few)
	}
	value := averagePrecision.of(s, s.all())
	m.Value = run.Float(value)
	if m = m.between(stat.AveragePrecisionInterval(value, s.counts[s.Positive], s.Level)); !m.HasInterval() {
		return m.cannot("all of class %s come first, so the variance is estimated as 0; more subjects are needed for an interval", s.Classes[s.Positive])
	}
	return m
}

// deLong is an AUROC with DeLong's variance.
func (s *sample) deLong(id, name string, scores []float64, positive []bool) Metric {
	area, variance := stat.AUROC(scores, positive)
	m := s.metric(id, name, area, methodLogit)
	positives := 0
	for _, is := range positive {
		if is {
			positives++
		}
	}
	switch negatives := len(positive) - positives; {
	case min(positives, negatives) < 2:
		return m.cannot("%d against %d subjects; at least 2 of either kind are needed", positives, negatives)
	case variance == 0:
		return m.cannot("every subject is ranked alike, so the variance is estimated as 0; more subjects are needed for an interval")
	}
	return m.between(stat.AUROCInterval(area, variance, s.Level))
}

// A measure is a statistic of resampled subjects.
type measure struct {
	id, name string
	least    int // subjects that every class must have
	of       func(s *sample, indices []int) float64
}

// averagePrecision is the AUPRC of any number of classes.
var averagePrecision = measure{AUPRC, "AUPRC", 2, func(s *sample, indices []int) float64 {
	if !s.Binary() {
		return macro(stat.AveragePrecision)(s, indices)
	}
	return s.against(s.Positive, indices, stat.AveragePrecision)
}}

// losses are the measures of probabilities, of any number of classes.
var losses = []measure{
	{LogLoss, "log loss", 0, func(s *sample, indices []int) float64 {
		return stat.LogLoss(s.gather(indices))
	}},
	{Brier, "Brier score", 0, func(s *sample, indices []int) float64 {
		if !s.Binary() {
			return stat.Brier(s.gather(indices))
		}
		return s.against(s.Positive, indices, stat.BinaryBrier)
	}},
	{ECE, "expected calibration error", 0, func(s *sample, indices []int) float64 {
		confidence, right := s.confidence(indices)
		return stat.CalibrationError(confidence, right, s.Bins)
	}},
}

// against computes a measure of the scores of one class against the rest.
func (s *sample) against(class int, indices []int, of func([]float64, []bool) float64) float64 {
	scores, positive := make([]float64, len(indices)), make([]bool, len(indices))
	for n, i := range indices {
		scores[n], positive[n] = s.rows[i][class], s.truth[i] == class
	}
	return of(scores, positive)
}

// macro is the mean of a measure over the classes, each against the rest.
func macro(of func([]float64, []bool) float64) func(*sample, []int) float64 {
	return func(s *sample, indices []int) float64 {
		sum := 0.0
		for class := range s.Classes {
			sum += s.against(class, indices, of) / float64(len(s.Classes))
		}
		return sum
	}
}

func (s *sample) gather(indices []int) (rows [][]float64, truth []int) {
	rows, truth = make([][]float64, len(indices)), make([]int, len(indices))
	for n, i := range indices {
		rows[n], truth[n] = s.rows[i], s.truth[i]
	}
	return rows, truth
}

// confidence is the probability of the most probable class, and whether that is
// the true one.
func (s *sample) confidence(indices []int) (confidence []float64, right []bool) {
	confidence, right = make([]float64, len(indices)), make([]bool, len(indices))
	for n, i := range indices {
		top := slices.Max(s.rows[i])
		confidence[n] = min(1, top)
		right[n] = slices.Index(s.rows[i], top) == s.truth[i]
	}
	return confidence, right
}

// all are the indices of every subject once.
func (s *sample) all() []int {
	indices := make([]int, len(s.truth))
	for i := range indices {
		indices[i] = i
	}
	return indices
}

// resample computes a measure with its bootstrap interval.
func (s *sample) resample(of measure) Metric {
	m := s.metric(of.id, of.name, math.NaN(), methodBootstrap)
	if of.id == AUPRC && !s.Binary() {
		m.Name += ", mean of each class against the rest"
	}
	if few := s.few(of.least); few != "" {
		return m.cannot("%s", few)
	}
	value := of.of(s, s.all())
	m.Value = run.Float(value)
	switch {
	case math.IsInf(value, 0):
		return m.cannot("a subject's own class was given the probability 0")
	case math.IsNaN(s.expanded()):
		return m.cannot("there are no more subjects than classes, so resampling within classes says nothing")
	}
	draws := stat.Bootstrap(s.Seed, s.truth, len(s.truth), s.Draws, func(indices []int) float64 { return of.of(s, indices) })
	m = m.between(stat.PercentileInterval(draws, s.expanded()))
	if !m.HasInterval() {
		return m.cannot("resampling these subjects does not change it, so it has no interval")
	}
	return m
}

// expanded is the level of the percentile interval.
func (s *sample) expanded() float64 {
	present := 0
	for _, count := range s.counts {
		if count > 0 {
			present++
		}
	}
	return stat.ExpandedLevel(s.Level, len(s.truth), present)
}

// recalls are sensitivity and specificity of two classes, else one recall for
// each class.
func (s *sample) recalls() []Metric {
	var metrics []Metric
	for class, r := range stat.Recalls(s.predicted, s.truth, len(s.Classes)) {
		id, name := fmt.Sprintf("%s%d", RecallOf, class), "recall of "+s.Classes[class]
		switch {
		case s.Binary() && class == s.Positive:
			id, name = Sensitivity, fmt.Sprintf("sensitivity for %s", s.Classes[class])
		case s.Binary():
			id, name = Specificity, fmt.Sprintf("specificity for %s", s.Classes[s.Positive])
		}
		m := s.metric(id, name, r.Share(), methodWilson)
		m.Subjects = r.Of
		if r.Of < 2 {
			m = m.cannot("class %s has %d of %d subjects; at least 2 are needed", s.Classes[class], r.Of, len(s.truth))
		} else {
			m = m.between(stat.Wilson(float64(r.Right), float64(r.Of), s.Level))
		}
		metrics = append(metrics, m)
	}
	if s.Binary() && s.Positive == 1 { // sensitivity first
		metrics[0], metrics[1] = metrics[1], metrics[0]
	}
	return metrics
}

// Compare returns, for each measure that both predictions of the same subjects
// have, first - second: the AUROC of two classes with the interval of
// stat.AUROCDifferenceInterval, the others with a bootstrap that resamples the subjects of
// both alike. It panics when the subjects differ.
func Compare(first, second *Predictions, o Options) []Metric { return compare(first, second, o, o) }

// compare lets each decide by a threshold of its own.
func compare(first, second *Predictions, o, other Options) []Metric {
	a, b := newSample(first, o.complete()), newSample(second, other.complete())
	if !slices.Equal(a.truth, b.truth) {
		panic("evaluation: Compare needs the same subjects in the same order")
	}
	share := measure{Accuracy, "accuracy", 0, func(s *sample, indices []int) float64 {
		right := 0
		for _, i := range indices {
			if s.predicted[i] == s.truth[i] {
				right++
			}
		}
		return float64(right) / float64(len(indices))
	}}
	all := append([]measure{share, averagePrecision}, losses...)
	var metrics []Metric
	if first.Binary() {
		metrics = append(metrics, a.compareAreas(b))
	} else {
		all = append(all, measure{AUROC, "AUROC, mean of each class against the rest", 2, macro(func(scores []float64, positive []bool) float64 {
			area, _ := stat.AUROC(scores, positive)
			return area
		})})
	}
	for _, of := range all {
		metrics = append(metrics, a.resample(measure{of.id, of.name, of.least, func(s *sample, indices []int) float64 {
			return of.of(a, indices) - of.of(b, indices)
		}}))
	}
	return metrics
}

// compareAreas is the difference of the AUROCs of two classes.
func (s *sample) compareAreas(other *sample) Metric {
	mine, positive := s.scores(s.Positive)
	theirs, _ := other.scores(s.Positive)
	difference, variance := stat.AUROCDifference(mine, theirs, positive)
	m := s.metric(AUROC, "AUROC", difference, methodRecoveredAreas)
	if few := s.few(2); few != "" {
		m.Value = run.Float(math.NaN())
		return m.cannot("%s", few)
	}
	if variance == 0 {
		return m.cannot("both rank the subjects alike")
	}
	if m = m.between(stat.AUROCDifferenceInterval(mine, theirs, positive, s.Level)); !m.HasInterval() {
		return m.cannot("one of them ranks every subject rightly, so its variance is estimated as 0")
	}
	return m
}
