package evaluation

import (
	"fmt"
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

// An Uncertainty says whether the network is less sure where it is wrong.
type Uncertainty struct {
	Right int `json:"right"` // subjects
	Wrong int `json:"wrong"`

	// Mean entropies in nats of the right and of the wrong subjects.
	EntropyRight run.Float `json:"entropy_right"`
	EntropyWrong run.Float `json:"entropy_wrong"`

	// The AUROC with which the entropy, or the mutual information of samples,
	// tells wrong subjects from right ones: 0.5 says nothing.
	Entropy           Metric  `json:"entropy_auroc"`
	MutualInformation *Metric `json:"mutual_information_auroc,omitempty"` // of samples only

	Sentence string `json:"sentence"`
}

// Doubt compares the uncertainty of wrong and of right subjects.
func Doubt(p *Predictions, o Options) Uncertainty {
	o = o.complete()
	s := newSample(p, o)
	var u Uncertainty
	var entropy, information []float64
	wrong := make([]bool, len(s.truth))
	for i := range p.Subjects {
		entropy = append(entropy, p.Subjects[i].Entropy())
		information = append(information, p.Subjects[i].MutualInformation())
		if wrong[i] = s.predicted[i] != s.truth[i]; wrong[i] {
			u.Wrong++
			u.EntropyWrong += run.Float(entropy[i])
		} else {
			u.Right++
			u.EntropyRight += run.Float(entropy[i])
		}
	}
	u.EntropyRight /= run.Float(u.Right) // NaN for nobody
	u.EntropyWrong /= run.Float(u.Wrong)
	u.Entropy = s.deLong("entropy_auroc", "AUROC of entropy for being wrong", entropy, wrong)
	if len(p.Subjects) > 0 && p.Subjects[0].Samples != nil {
		m := s.deLong("mutual_information_auroc", "AUROC of mutual information for being wrong", information, wrong)
		u.MutualInformation = &m
	}
	u.Sentence = u.sentence()
	if s.Binary() && len(slices.Compact(slices.Sorted(slices.Values(s.predicted)))) == 1 && u.Wrong > 0 && u.Right > 0 {
		u.Sentence += " All subjects are predicted to be " + s.Classes[s.predicted[0]] + ", so this is no more than how well the probability ranks them."
	}
	return u
}

// sentence says in words what the interval allows to say.
func (u *Uncertainty) sentence() string {
	m := &u.Entropy
	switch {
	case u.Wrong == 0:
		return "No subject is wrong, so whether entropy warns of mistakes cannot be told."
	case u.Right == 0:
		return "No subject is right, so whether entropy warns of mistakes cannot be told."
	case !m.HasInterval():
		return fmt.Sprintf("Whether entropy warns of mistakes cannot be told: %s.", m.Unknown)
	}
	facts := fmt.Sprintf("%d wrong and %d right subjects: mean entropy %.3f and %.3f nats, AUROC for being wrong %.2f, 95 %% interval %.2f to %.2f",
		u.Wrong, u.Right, u.EntropyWrong, u.EntropyRight, m.Value, m.Low, m.High)
	switch {
	case m.Low > 0.5:
		return "Entropy is higher on wrong than on right subjects (" + facts + ")."
	case m.High < 0.5:
		return "Entropy is lower on wrong than on right subjects: the network is surest where it errs (" + facts + ")."
	}
	return "Whether entropy is higher on wrong than on right subjects cannot be told from these subjects (" + facts + ")."
}

// A Line is one subject of the report.
type Line struct {
	ID                string      `json:"subject"`
	Class             int         `json:"class"` // the truth
	Predicted         int         `json:"predicted"`
	Set               string      `json:"set,omitempty"`
	Probabilities     []run.Float `json:"probabilities"`
	Entropy           run.Float   `json:"entropy"`
	MutualInformation run.Float   `json:"mutual_information"` // NaN without samples
}

// Right says whether the prediction is.
func (l *Line) Right() bool { return l.Class == l.Predicted }

// lines are the subjects in their order.
func lines(p *Predictions, o Options) []Line {
	all := make([]Line, len(p.Subjects))
	for i := range p.Subjects {
		s := &p.Subjects[i]
		all[i] = Line{ID: s.ID, Class: s.Class, Set: s.Set, Predicted: p.Decide(s.Probabilities, o.Threshold), Entropy: run.Float(s.Entropy()), MutualInformation: run.Float(math.NaN())}
		if len(s.Samples) > 0 {
			all[i].MutualInformation = run.Float(stat.MutualInformation(s.Samples))
		}
		for _, x := range s.Probabilities {
			all[i].Probabilities = append(all[i].Probabilities, run.Float(x))
		}
	}
	return all
}
