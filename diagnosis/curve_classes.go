package diagnosis

import (
	"math"
	"slices"

	"ballast/stat"
)

// poles counts the epochs whose accuracy is exactly the share p of one of two
// classes, high, or of the other, low; what smooth change would lead one to
// expect; and the share of the curve's variance in steps to or from the low
// pole. The expectation is the binomial probability of that very count at the
// mean of the neighbouring epochs, two on either side.
type poles struct {
	high, low, expectedLow, expected float64
	pHigh, pLow                      float64 // Poisson tails of both together and of the low pole alone
	lastLow                          int     // last epoch on the low pole
	variance                         float64
}

func (e *curveEvidence) polesAt(p float64) poles {
	n := e.cases()
	up := math.Round(p * n)
	down := n - up
	var s poles
	isLow := make([]bool, len(e.accuracy))
	for t, a := range e.accuracy {
		if !isFinite(a) {
			continue
		}
		switch k := math.Round(a * n); k {
		case up:
			s.high++
		case down:
			s.low++
			isLow[t], s.lastLow = true, e.epochs[t]
		}
		around := e.neighbours(t)
		if isFinite(around) {
			around = math.Min(math.Max(around, 0.5/n), 1-0.5/n)
			s.expected += stat.BinomialTail(int(up), int(n), around) - stat.BinomialTail(int(up)+1, int(n), around)
			s.expectedLow += stat.BinomialTail(int(down), int(n), around) - stat.BinomialTail(int(down)+1, int(n), around)
		}
	}
	s.expected += s.expectedLow
	s.pHigh, s.pLow = poissonTail(s.high+s.low, s.expected), poissonTail(s.low, s.expectedLow)
	total := 0.0
	for _, step := range e.steps(e.accuracy, 0) {
		square := step.change * step.change
		total += square
		if isLow[step.from] != isLow[step.to] {
			s.variance += square
		}
	}
	s.variance /= total
	return s
}

// neighbours is the mean accuracy of the two values before and after.
func (e *curveEvidence) neighbours(t int) float64 {
	around := slices.Concat(e.accuracy[max(0, t-2):t], e.accuracy[t+1:min(len(e.accuracy), t+3)])
	return finiteMean(around)
}

// poissonTail is P(X >= k) for a Poisson number X of the given mean, which
// bounds that of a sum of rare independent events: the regularised lower
// incomplete gamma function, here as a sum.
func poissonTail(k, mean float64) float64 {
	if k <= 0 {
		return 1
	}
	if mean <= 0 {
		return 0
	}
	below, term := 0.0, math.Exp(-mean)
	for i := 0.0; i < k; i++ {
		below += term
		term *= mean / (i + 1)
	}
	return math.Max(0, 1-below)
}

const (
	leastLandings  = 3    // epochs on the low pole
	inferredPoleP  = 1e-4 // of poles that were looked for at every value
	givenPoleP     = 0.01 // of poles that are known
	balancedWithin = 1.5  // cases from one half: landing there means nothing
)

// findPrevalence takes the share of the commonest class from the user, or
// infers that of two classes from poles: an accuracy p and its complement 1-p
// that the curve hits far more often than smooth change would.
func (e *curveEvidence) findPrevalence() {
	f := &e.facts
	if p := e.options.Prevalence; p > 0 {
		f.Prevalence, f.PrevalenceFrom = Number(e.sharpen(p)), Given
		return
	}
	n := e.cases()
	if n == 0 || f.Classes > 2 || f.Validation > mostPoleCases {
		return
	}
	landings := map[float64]int{}
	for _, a := range e.accuracy {
		landings[math.Round(a*n)]++
	}
	best, surest := 0.0, inferredPoleP
	tried := map[float64]bool{}
	for _, a := range e.accuracy {
		k := math.Round(math.Max(a, 1-a) * n)
		if !isFinite(a) || tried[k] || k-n/2 < balancedWithin || k == n {
			continue
		}
		tried[k] = true
		if landings[k] < leastLandings || landings[n-k] < leastLandings {
			continue
		}
		s := e.polesAt(k / n)
		if p := math.Max(s.pHigh, s.pLow); p < surest {
			best, surest = k/n, p
		}
	}
	if best > 0 {
		f.Prevalence, f.PrevalenceFrom = Number(best), Inferred
		e.note("the commonest of two classes has %.1f %% of the cases, inferred: the accuracy lands on that share and on its complement far more often than smooth change would", 100*best)
	}
}

// sharpen moves a share given with few decimals to the accuracy within its
// rounding that the curve hits most often, at least leastLandings times.
func (e *curveEvidence) sharpen(p float64) float64 {
	digits := printedDigits([]float64{p})
	if digits == 0 {
		return p
	}
	best, most := p, leastLandings-1
	landings := map[float64]int{}
	for _, a := range e.accuracy {
		if landings[a]++; math.Abs(a-p) <= 0.5*math.Pow10(-digits) && landings[a] > most {
			best, most = a, landings[a]
		}
	}
	return best
}

// mostPoleCases bounds the search for poles: in a larger set no accuracy is
// hit twice but by a network that stands still.
const mostPoleCases = 2000

// judgeClassBias counts the landings on p and on 1-p.
func judgeClassBias(e *curveEvidence) judgement {
	n, p := e.cases(), float64(e.facts.Prevalence)
	switch {
	case n == 0 || !isFinite(p):
		return cannotTell(math.NaN(), "no two accuracies stand out as the shares of two classes, and --prevalence is not given")
	case e.facts.Classes > 2:
		return cannotTell(float64(e.facts.Classes), "of %d classes only the share of the commonest is known", e.facts.Classes)
	case math.Round(p*n)-n/2 < balancedWithin:
		return cannotTell(100*p, "the classes are as good as equal (%.0f %%): predicting either one alone looks like guessing", 100*p)
	}
	s := e.polesAt(p)
	j := judgement{verdict: CannotTell, severity: e.jitter * math.Sqrt(s.variance)}
	j.say(s.low, "%.0f epochs have exactly %.1f %% right, the share of the rarer class (%.1f expected of smooth change), and %.0f exactly %.1f %%, that of the commoner",
		s.low, 100*(1-p), s.expectedLow, s.high, 100*p)
	j.say(s.variance, "steps to or from the lower of the two make up %.0f %% of the curve's variance", 100*s.variance)
	if s.low > 0 {
		j.say(float64(s.lastLow), "the last epoch at the lower of the two is %d of %d", s.lastLow, e.epochs[len(e.epochs)-1])
	}
	unlikely := math.Max(s.pHigh, s.pLow)
	switch {
	case s.low == 0:
		j.verdict = RuledOut
	case s.low >= leastLandings && s.high >= leastLandings && unlikely < givenPoleP && s.variance >= relevantShare:
		j.verdict = Likely
	case s.low >= 2 && s.pLow < 0.05 && s.variance >= relevantShare:
		j.verdict = Possible
	}
	j.treat(advise("Fix the decision threshold on training cases, weight the classes or draw them equally often, and lower the " +
		"learning rate; judge by AUROC or balanced accuracy."))
	return j
}

// judgeClassImbalance looks for a curve that rests on the share of the
// commonest class.
func judgeClassImbalance(e *curveEvidence) judgement {
	n, p := e.cases(), float64(e.facts.Prevalence)
	if n == 0 || !isFinite(p) {
		if e.still() {
			j := judgement{verdict: Possible, severity: math.NaN()}
			j.say(100*e.late(e.accuracy), "the accuracy is exactly %.1f %% in every epoch, as if one answer were given to every case", 100*e.late(e.accuracy))
			j.treat(reportEveryClass())
			return j
		}
		return cannotTell(math.NaN(), "the share of the commonest class is unknown: --prevalence decides")
	}
	equal := 0.5
	if e.facts.Classes > 0 {
		equal = 1 / float64(e.facts.Classes)
	}
	resting := 0.0
	for _, a := range e.accuracy {
		if math.Abs(math.Round(a*n)-math.Round(p*n)) <= 0.5 {
			resting++
		}
	}
	j := judgement{verdict: CannotTell, severity: 100 * (1 - p)}
	j.say(100*p, "the commonest class has %.1f %% of the cases (%s); equal classes would have %.1f %%", 100*p, e.facts.PrevalenceFrom, 100*equal)
	j.say(resting, "in %.0f of %.0f epochs the accuracy is exactly that share", resting, finiteCount(e.accuracy))
	switch unequal := p >= 1.3*equal; {
	case !unequal:
		j.verdict = RuledOut
	case finiteCount(e.accuracy) >= leastEpochsToJudge && resting > finiteCount(e.accuracy)/2:
		j.verdict = Likely
	default:
		j.verdict = Possible
	}
	j.treat(reportEveryClass())
	return j
}

func reportEveryClass() *Treatment {
	return advise("Report AUROC, balanced accuracy and the share found of every class; weight the loss by class or draw the classes equally often.")
}

// still reports whether the accuracy is the same in every epoch, at least five.
func (e *curveEvidence) still() bool {
	values := finiteOf(e.accuracy)
	return len(values) >= leastEpochsToJudge && slices.Max(values) == slices.Min(values) && values[0] < 1
}
