package diagnosis

import "fmt"

// summarise answers the question in plain sentences, each with its number.
func (e *curveEvidence) summarise(r *Report) []string {
	var sentences []string
	if e.broken > 0 {
		sentences = append(sentences, fmt.Sprintf("Training broke down: from epoch %d on the loss is not a number.", e.firstBroken))
	}
	sentences = append(sentences, e.summariseJitter())
	if level := r.Chance.Accuracy; level.Known() {
		sentences = append(sentences, e.summariseWorth(r, float64(level)))
	}
	return append(sentences, r.summariseTreatment())
}

func (e *curveEvidence) summariseJitter() string {
	if !isFinite(e.jitter) || !e.isAccuracy() {
		return "The log has no accuracy curve whose fluctuation could be measured."
	}
	sentence := fmt.Sprintf("From one epoch to the next the validation accuracy fluctuates by %.1f percentage points", e.jitter)
	if e.jitter < relevantJitter {
		return sentence + ", which is too little to need an explanation."
	}
	if !isFinite(e.finite.low) {
		return sentence + "; without the number of validation cases it cannot be said whether that is chance."
	}
	most := 100 * e.finite.high
	sentence += fmt.Sprintf("; %.0f validation cases%s alone account for %.0f to %.0f %% of that variance", e.cases(), e.fromWhere(), 100*e.finite.low, most)
	if e.excess > 1 {
		return sentence + ", and it is more than their number can explain."
	}
	return sentence + "."
}

func (e *curveEvidence) fromWhere() string {
	if e.facts.ValidationFrom == Inferred {
		return " (inferred)"
	}
	return ""
}

func (e *curveEvidence) summariseWorth(r *Report, level float64) string {
	sentence := fmt.Sprintf("Its mean accuracy of late epochs is %.0f %%", level)
	switch r.finding("coin-flip").Verdict {
	case RuledOut:
		sentence += ", better than guessing"
	case Likely, Possible:
		sentence += ", not distinguishable from guessing"
	}
	if over := r.finding("overfitting"); over.Verdict == Likely && over.Severity >= relevantGap {
		sentence += fmt.Sprintf("; it is right %.0f points more often on the cases it learnt from", over.Severity)
	}
	return sentence + "."
}
