package diagnosis

import "math"

var nonFiniteLoss = Cause{
	ID:    "non-finite-loss",
	Title: "The loss is not a number",
	Explain: "A loss became infinite or no number at all. From there on the weights hold no numbers, and whatever accuracy is logged " +
		"belongs to a network that always gives the same answer.",
	Of: "generalisation",
}

// judgeNonFinite is arithmetic, and the only cause that curves confirm.
func judgeNonFinite(e *curveEvidence) judgement {
	losses := finiteCount(e.trainLoss) + finiteCount(e.loss)
	switch {
	case e.broken > 0:
		j := judgement{verdict: Confirmed, severity: math.NaN()}
		j.say(float64(e.firstBroken), "the loss is not a finite number in %d of %d epochs, first in epoch %d", e.broken, len(e.epochs), e.firstBroken)
		j.treat(advise("Lower the learning rate, clip the gradient norm, and look for divisions by zero, logarithms of zero and " +
			"missing values in the images; with mixed precision, train once without."))
		return j
	case losses == 0:
		return cannotTell(0, "0 epochs have a loss")
	}
	j := judgement{verdict: RuledOut}
	j.say(losses, "all %.0f losses are finite", losses)
	return j
}
