package diagnosis

import (
	"fmt"
	"strings"
)

// plainNames are the sources of jitter in a reader's words.
var plainNames = map[string]string{
	EvaluationNoise:     "randomness left on while validating",
	BatchNormLag:        "batch-norm statistics that do not fit the weights",
	ThresholdFlicker:    "a decision threshold that moves from epoch to epoch",
	WeightNoise:         "weights that keep jumping about",
	FiniteValidationSet: "the small number of validation patients",
	RealChange:          "real changes of the network",
}

// summarise answers the user's question in two or three plain sentences, each
// with its number.
func (r *Report) summarise() []string {
	sentences := []string{r.summariseJitter()}
	if sentence := r.summariseWorth(); sentence != "" {
		sentences = append(sentences, sentence)
	}
	return append(sentences, r.summariseTreatment())
}

func (r *Report) summariseJitter() string {
	j, ok := r.Jitter["accuracy"]
	if !ok || !j.Points.Known() {
		return "The record is too short to say how much the validation accuracy fluctuates."
	}
	sentence := fmt.Sprintf("From one epoch to the next the validation accuracy fluctuates by %.1f percentage points", j.Points)
	if j.Points < relevantJitter {
		return sentence + ", which is too little to need an explanation."
	}
	f := r.Finite
	if !f.Points.Known() && r.Epochs.Analysed <= leastSteps {
		return sentence + "; so few epochs do not say why."
	}
	if !f.Points.Known() {
		return sentence + "; without each patient's predictions it cannot be said why."
	}
	if f.Decides() {
		sentence += fmt.Sprintf("; about %.0f %% of that variance (between %.0f and %.0f %%) is there only because %d patients are validated on",
			100*f.Points, 100*f.Low, 100*f.High, r.Subjects.Validation)
	} else {
		sentence += fmt.Sprintf("; how much of that variance is there only because %d patients are validated on cannot be told (something between %.0f and %.0f %%)",
			r.Subjects.Validation, 100*f.Low, 100*f.High)
	}
	if largest := r.surestShare(); largest != nil {
		return sentence + fmt.Sprintf(". The largest part that a single change would take away, %.0f %% (between %.0f and %.0f %%), belongs to %s.",
			100*largest.Share, 100*largest.Low, 100*largest.High, largest.plainName())
	}
	return sentence + "."
}

// surestShare is the largest share of a source that can be switched off whose
// interval lies above zero and is narrow enough to act on; nil when there is none.
func (r *Report) surestShare() *Share {
	var largest *Share
	for i := range r.Budget {
		s := &r.Budget[i]
		if s.Source != FiniteValidationSet && s.Source != RealChange && s.Low > 0 && s.Decides() && (largest == nil || s.Share > largest.Share) {
			largest = s
		}
	}
	return largest
}

func (s *Share) plainName() string {
	names := []string{plainNames[s.Source]}
	for _, id := range s.Includes {
		names = append(names, plainNames[id])
	}
	return strings.Join(names, " or ")
}

// summariseWorth says what the network is worth: whether it beats guessing,
// and whether it has memorised.
func (r *Report) summariseWorth() string {
	coin, over := r.finding("coin-flip"), r.finding("overfitting")
	var parts []string
	if r.Chance.Accuracy.Known() {
		switch part := fmt.Sprintf("its mean accuracy of late epochs is %.0f %%", r.Chance.Accuracy); coin.Verdict {
		case RuledOut:
			parts = append(parts, part+", and its ranking of patients is better than guessing")
		case Confirmed, Likely, Possible:
			parts = append(parts, part+fmt.Sprintf(", not distinguishable from guessing (%.0f %%) on %d patients", r.Chance.Guess, r.Subjects.Validation))
		default:
			parts = append(parts, part+fmt.Sprintf(", and %d patients are too few to tell whether that beats guessing", r.Subjects.Validation))
		}
	}
	if over.Verdict == Confirmed || over.Verdict == Likely {
		parts = append(parts, fmt.Sprintf("it is right %.0f points more often on the patients it learnt from, so it has memorised them", over.Severity))
	}
	if len(parts) == 0 {
		return ""
	}
	sentence := strings.Join(parts, "; ")
	return "I" + sentence[1:] + "."
}

// summariseTreatment names the first thing to change: a mistake that can be mended,
// then whether there is anything to learn, then what makes the curve jump, which is what
// was asked, then what comes first in reading.
func (r *Report) summariseTreatment() string {
	findings := r.ForReading()
	worth := func(f *Finding) bool { return f.ID == "no-signal" || f.ID == "coin-flip" }
	jumps := func(f *Finding) bool { return f.Of == "jitter" }
	for _, wanted := range []func(*Finding) bool{isMistake, worth, jumps, func(*Finding) bool { return true }} {
		for _, f := range findings {
			if f.sure() && f.Because == "" && f.Treatment.Text != "" && wanted(&f) {
				return "First: " + f.Treatment.Text
			}
		}
	}
	for _, f := range findings {
		if f.Verdict == Possible && f.Treatment.Text != "" {
			return "Nothing is certain; the first thing to try: " + f.Treatment.Text
		}
	}
	return fmt.Sprintf("None of the %d causes looked for needs a treatment on this evidence.", len(r.Findings))
}

// finding returns the finding of a cause.
func (r *Report) finding(id string) *Finding {
	for i := range r.Findings {
		if r.Findings[i].ID == id {
			return &r.Findings[i]
		}
	}
	return &Finding{Verdict: CannotTell}
}
