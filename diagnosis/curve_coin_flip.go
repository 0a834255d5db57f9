package diagnosis

import (
	"math"

	"ballast/stat"
)

const (
	weakGain     = 0.25 // of the way from guessing to perfect: what a weak classifier reaches
	extremeShare = 0.90 // a commonest class beyond this is not assumed unless said
)

// judgeCurveCoin looks once, at the mean accuracy over the last third of the
// epochs. That mean varies no more than the accuracy of one epoch, for which
// the binomial distribution holds, so the tests err towards guessing.
func judgeCurveCoin(e *curveEvidence) judgement {
	n, level := e.cases(), e.late(e.accuracy)
	guess, least := e.guess()
	if n == 0 || !isFinite(level) {
		return cannotTell(100*level, "without the number of validation cases and their accuracy it cannot be said what guessing would show")
	}
	if epochs := finiteCount(e.accuracy); epochs < leastEpochsToJudge {
		return cannotTell(epochs, "%.0f validation values are too few to judge what the network can learn", epochs)
	}
	right := int(math.Round(level * n))
	beaten, upper := stat.ClopperPearson(right, int(n), 0.95)
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	j.say(100*level, "the mean accuracy over the last third of the epochs is %.1f %% (exact 95 %% interval of %.0f cases %.0f to %.0f %%)", 100*level, n, 100*beaten, 100*upper)
	if isFinite(guess) {
		j.severity = 100 * (1 - guess)
		e.sayGuess(&j, guess, least, level)
	}
	weak := guess + weakGain*(1-guess)
	switch {
	case !least && beaten > guess, least && beaten >= extremeShare:
		j.verdict = RuledOut
	case upper < weak:
		j.verdict = Likely
	case beaten <= guess && float64(stat.LeastSignificant(int(n), guess, 0.05)) <= (guess+0.6*(1-guess))*n:
		j.verdict = Possible
	}
	if least && j.verdict != Likely && !(beaten <= guess) {
		j.say(100*beaten, "it beats guessing if the commonest class has less than %.0f %% of the cases: --prevalence decides", 100*beaten)
	}
	j.treat(advise("Show first that there is something to learn: cross-validate over all patients, compare with a linear model on " +
		"volume and mean intensity, and check labels and images. Tuning this curve cannot help."))
	return j
}

// sayGuess compares the curve with guessing, and its best epoch with what the
// best of as many guesses reaches.
func (e *curveEvidence) sayGuess(j *judgement, guess float64, least bool, level float64) {
	if least {
		j.say(100*guess, "always naming the commonest of %d classes gives at least %.1f %%", e.facts.Classes, 100*guess)
	} else {
		j.say(100*guess, "always naming the commonest class gives %.1f %% (%s)", 100*guess, e.facts.PrevalenceFrom)
		j.say(stat.BinomialTail(int(math.Round(level*e.cases())), int(e.cases()), guess), "guessing does as well with probability %.3f (exact binomial)",
			stat.BinomialTail(int(math.Round(level*e.cases())), int(e.cases()), guess))
	}
	epochs := int(finiteCount(e.accuracy))
	if best, _ := stat.BinomialRange(int(e.cases()), guess, epochs); isFinite(best) {
		j.say(100*best, "the best of %d epochs, %.1f %%, proves nothing: the best of as many independent guesses would be right for %.1f %%",
			epochs, 100*e.accuracy[highest(e.accuracy)], 100*best)
	}
}
