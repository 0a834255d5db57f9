// Package evaluation says how good predictions are, and how surely that is
// known: measures at subject level, each with an interval over subjects,
// calibration, uncertainty, subgroups, and baselines that need no network.
package evaluation

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

// ErrPredictions is wrapped by complaints about predictions that cannot be
// evaluated.
var ErrPredictions = errors.New("predictions")

// A Subject is one patient with what was predicted for it. Its images, visits
// and slices are already pooled: the subject is the unit of every measure.
type Subject struct {
	ID            string
	Class         int               // the truth, an index into Predictions.Classes
	Set           string            // of the run that predicted it: run.Train, ...; empty when in none
	Probabilities []float64         // of each class, adding up to 1: the mean over Samples where there are any
	Samples       [][]float64       // probabilities of each Monte-Carlo pass or member of an ensemble; nil: one prediction
	Groups        map[string]string // columns to look at subgroups by, as "site"
}

// Entropy is that of the probabilities, in nats.
func (s *Subject) Entropy() float64 { return stat.Entropy(s.Probabilities) }

// MutualInformation is what the samples disagree about, in nats; NaN without.
func (s *Subject) MutualInformation() float64 { return stat.MutualInformation(s.Samples) }

// Predictions are those for all subjects of a set.
type Predictions struct {
	Classes  []string
	Positive int // of two classes the one that sensitivity and the curves are about; usually 1
	Subjects []Subject
}

// FromRun takes the predictions that a run recorded: one evaluation of a set,
// of two classes the second as the positive one. Subjects that the view left
// out are left out.
func FromRun(h *run.Header, e *run.Evaluation) *Predictions {
	p := &Predictions{Classes: h.Classes, Positive: 1}
	for i, row := range e.Probabilities {
		if row == nil {
			continue
		}
		s := h.Sets[e.Set][i]
		subject := Subject{ID: s.ID, Class: s.Class, Set: e.Set, Probabilities: Widen(row)}
		if s.Site != "" {
			subject.Groups = map[string]string{"site": s.Site}
		}
		p.Subjects = append(p.Subjects, subject)
	}
	return p
}

// Widen returns a recorded row as float64.
func Widen(row run.Row) []float64 {
	wide := make([]float64, len(row))
	for class, p := range row {
		wide[class] = float64(p)
	}
	return wide
}

// Check returns ErrPredictions when something cannot be evaluated: no subjects,
// a probability too many or too few, one that is not between 0 and 1, a subject
// twice.
func (p *Predictions) Check() error {
	if len(p.Subjects) == 0 {
		return fmt.Errorf("%w: there are no subjects to evaluate", ErrPredictions)
	}
	if len(p.Classes) < 2 || p.Positive < 0 || p.Positive >= len(p.Classes) {
		return fmt.Errorf("%w: %d classes and class %d as the positive one", ErrPredictions, len(p.Classes), p.Positive)
	}
	seen := map[string]bool{}
	for _, s := range p.Subjects {
		if seen[s.ID] {
			return fmt.Errorf("%w: subject %s is there twice", ErrPredictions, s.ID)
		}
		seen[s.ID] = true
		if s.Class < 0 || s.Class >= len(p.Classes) {
			return fmt.Errorf("%w: subject %s is of class %d; there are %d", ErrPredictions, s.ID, s.Class, len(p.Classes))
		}
		for _, row := range append([][]float64{s.Probabilities}, s.Samples...) {
			if len(row) != len(p.Classes) {
				return fmt.Errorf("%w: subject %s has %d probabilities for %d classes", ErrPredictions, s.ID, len(row), len(p.Classes))
			}
			if slices.ContainsFunc(row, func(x float64) bool { return !(x >= 0 && x <= 1) }) {
				return fmt.Errorf("%w: subject %s has probabilities %v; the network has diverged", ErrPredictions, s.ID, row)
			}
		}
	}
	return nil
}

// Binary says whether there are two classes.
func (p *Predictions) Binary() bool { return len(p.Classes) == 2 }

// Counts is the number of subjects of each class.
func (p *Predictions) Counts() []int {
	counts := make([]int, len(p.Classes))
	for _, s := range p.Subjects {
		counts[s.Class]++
	}
	return counts
}

// scores returns the probability of one class, and who is of it.
func (p *Predictions) scores(class int) (scores []float64, positive []bool) {
	for _, s := range p.Subjects {
		scores, positive = append(scores, s.Probabilities[class]), append(positive, s.Class == class)
	}
	return scores, positive
}

// Only returns the predictions for the subjects that keep wants.
func (p *Predictions) Only(keep func(*Subject) bool) *Predictions {
	some := &Predictions{Classes: p.Classes, Positive: p.Positive}
	for i := range p.Subjects {
		if keep(&p.Subjects[i]) {
			some.Subjects = append(some.Subjects, p.Subjects[i])
		}
	}
	return some
}

// Decide returns the predicted class. Of two classes it is the positive one when
// its probability lies above the threshold; of more it is the most probable,
// the first of equals.
func (p *Predictions) Decide(probabilities []float64, threshold float64) int {
	if p.Binary() {
		if probabilities[p.Positive] > threshold {
			return p.Positive
		}
		return 1 - p.Positive
	}
	best := 0
	for class, x := range probabilities {
		if x > probabilities[best] {
			best = class
		}
	}
	return best
}

// Options says how to evaluate. Zero values stand for the defaults.
type Options struct {
	Threshold float64 // of the positive of two classes, fixed beforehand; 0: 0.5
	Level     float64 // of the intervals; 0: 0.95
	Draws     int     // of the bootstrap; 0: 2000
	Seed      uint64  // of the bootstrap; 0: 1
	Bins      int     // of the reliability diagram and the calibration error; 0: 10
}

func (o Options) complete() Options {
	if o.Threshold == 0 {
		o.Threshold = 0.5
	}
	if o.Level == 0 {
		o.Level = 0.95
	}
	if o.Draws == 0 {
		o.Draws = 2000
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Bins == 0 {
		o.Bins = 10
	}
	return o
}

// A Metric is one measure with its interval.
type Metric struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Value    run.Float `json:"value"` // NaN when it cannot be told
	Low      run.Float `json:"low"`   // of the interval; NaN when it cannot be told
	High     run.Float `json:"high"`
	Method   string    `json:"method"`            // of the interval
	Subjects int       `json:"subjects"`          // that it rests on
	Unknown  string    `json:"unknown,omitempty"` // why value or interval cannot be told
}

// Known says whether there is a value.
func (m *Metric) Known() bool { return !math.IsNaN(float64(m.Value)) }

// HasInterval says whether there is an interval.
func (m *Metric) HasInterval() bool {
	return !math.IsNaN(float64(m.Low)) && !math.IsNaN(float64(m.High))
}

// The ids of the metrics. Those of the two curves' areas are macro means, each
// class against the rest, when there are more than two classes.
const (
	Accuracy         = "accuracy"
	BalancedAccuracy = "balanced_accuracy"
	AUROC            = "auroc"
	AUPRC            = "auprc"
	LogLoss          = "log_loss" // nats
	Brier            = "brier"    // of two classes mean (p - y)²; of more the sum over classes
	ECE              = "ece"      // expected calibration error of the predicted class
	Sensitivity      = "sensitivity"
	Specificity      = "specificity"
	RecallOf         = "recall_" // followed by the class's index, of more than two classes
)

// Find returns the metric of an id, or nil.
func Find(metrics []Metric, id string) *Metric {
	for i := range metrics {
		if metrics[i].ID == id {
			return &metrics[i]
		}
	}
	return nil
}
