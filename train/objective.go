package train

import (
	"slices"

	"ballast/net"
	"ballast/run"
)

// An objective is the loss that training lessens.
type objective struct {
	classes int
	loss    *net.Loss // nil: the plain cross-entropy
	mixed   net.Loss  // the plain cross-entropy of mixed labels
	shares  []float64 // of the classes in each label, reused
}

// A score is what a batch gives, summed over its images.
type score struct {
	crossEntropy float64 // plain: neither weighted nor smoothed nor focused
	correct      float64 // classified correctly; of mixed labels the share
	objective    float64 // what training lessens
	weight       float64 // that objective is divided by for a mean
}

func (s *score) add(t score) {
	s.crossEntropy += t.crossEntropy
	s.correct += t.correct
	s.objective += t.objective
	s.weight += t.weight
}

func newObjective(p Plan, images *Images) *objective {
	o := &objective{classes: len(images.Classes)}
	l := net.Loss{Smoothing: p.Loss.Smoothing}
	if p.Loss.Name == "focal" {
		l.Gamma = p.Loss.Gamma
	}
	if p.Loss.Weights == "balanced" {
		l.Weights = balancedWeights(p.unitClasses(&images.Train), len(images.Classes))
	}
	if weight := p.Mistakes.ClassWeight; weight != 1 {
		if l.Weights == nil {
			l.Weights = slices.Repeat([]float64{1}, o.classes)
		}
		l.Weights[o.classes-1] *= weight
	}
	if l.Weights != nil || l.Smoothing > 0 || l.Gamma > 0 {
		o.loss = &l
	}
	return o
}

// plain reports whether the objective is the cross-entropy that a run records.
func (o *objective) plain() bool { return o.loss == nil }

// balancedWeights are n / (K n_k), with n_k of n training units in class k of K:
// their mean over the units is 1 (class_weight="balanced" of scikit-learn). A
// class without units has weight 0.
func balancedWeights(units []int, classes int) []float64 {
	counts := make([]float64, classes)
	for _, class := range units {
		counts[class]++
	}
	weights := make([]float64, len(counts))
	for class, count := range counts {
		if count > 0 {
			weights[class] = float64(len(units)) / (float64(len(counts)) * count)
		}
	}
	return weights
}

// gradient: logits (N, classes), labels (N) -> probabilities (N, classes) and the
// gradient of the batch's mean objective by the logits (N, classes). With a
// mixture each label is mixed with its partner's, and so are the scores.
func (o *objective) gradient(logits []float32, labels []int, m *mixture, probabilities, gradient []float32) score {
	if o.loss == nil && m == nil {
		sum := net.SoftmaxCrossEntropy(logits, labels, o.classes, probabilities, gradient)
		s := score{crossEntropy: sum, objective: sum, weight: float64(len(labels))}
		for i, label := range labels {
			if run.Row(probabilities[i*o.classes:(i+1)*o.classes]).Class() == label {
				s.correct++
			}
		}
		return s
	}
	o.label(labels, m)
	var s score
	s.crossEntropy, _ = o.mixed.Gradient(logits, o.shares, o.classes, probabilities, gradient)
	s.objective, s.weight = s.crossEntropy, float64(len(labels))
	if o.loss != nil {
		s.objective, s.weight = o.loss.Gradient(logits, o.shares, o.classes, probabilities, gradient)
	}
	for i := range labels {
		if class := run.Row(probabilities[i*o.classes : (i+1)*o.classes]).Class(); class >= 0 {
			s.correct += o.shares[i*o.classes+class]
		}
	}
	return s
}

// label puts the share of each class in each label into o.shares.
func (o *objective) label(labels []int, m *mixture) {
	if need := len(labels) * o.classes; cap(o.shares) < need {
		o.shares = make([]float64, need)
	}
	o.shares = o.shares[:len(labels)*o.classes]
	clear(o.shares)
	for i, label := range labels {
		if m == nil {
			o.shares[i*o.classes+label] = 1
			continue
		}
		o.shares[i*o.classes+label] += m.share
		o.shares[i*o.classes+labels[m.partners[i]]] += 1 - m.share
	}
}
