package diagnosis

import (
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: planted in 72 runs, likely or confirmed in 0 % of them from the record
// alone and in 50 % of 12 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1632
// runs with other causes; with experiments in 0 of 60 and 0 of 272
// (docs/reliability-of-diagnosis.md).
var labelNoise = Cause{
	ID:    "label-noise",
	Title: "Some labels are wrong",
	Explain: "Subjects carry the label of another class. The network learns them by heart one by one, and on validation subjects " +
		"with a wrong label it is wrong where it is surest.",
	Of:     "generalisation",
	Kind:   limit,
	Brings: []string{"overfitting", "overconfidence", "too-much-capacity"},
	Probes: []string{"label-noise"},
	Judge:  judgeLabelNoise,
}

const (
	relevantNoise  = 0.05  // share of wrong labels that matters
	strikingNoise  = 0.1   // that no subgroup of hard subjects made up in clean development runs
	mostNoise      = 0.4   // beyond it wrong labels cannot be told from a task that is hardly learnt
	labelNoiseP    = 0.002 // that so many of the surest predictions are wrong
	leastConfident = 10    // subjects in the surest third
)

// judgeLabelNoise rests on where the mistakes are. A hard subject lies near the
// threshold, so of the subjects that a network is surest of, few are wrong even in a
// hard task; a wrong label lies anywhere. Without the experiment the mistakes among the
// surest third are held against those of a binormal task of the same accuracy. A
// subgroup that looks like the other class would do the same, so nothing here
// confirms it: somebody has to look at the labels.
func judgeLabelNoise(e *evidence) judgement {
	if estimate := e.probe("label-noise", "estimate"); isFinite(estimate) {
		return e.judgeNoiseProbe(estimate)
	}
	p := e.clean(run.Validation)
	if p == nil {
		return cannotTell(0, "0 epochs have the predictions of each validation subject")
	}
	s := surestThird(e.lateRows(p))
	if s.all < leastEpochsToJudge {
		return cannotTell(s.all, "%.0f validation subjects have late predictions", s.all)
	}
	j := cannotTell(s.wrongSure, "%.0f of %.0f validation subjects are wrong, %.0f of them among the %.0f that the network is surest of; a task of that accuracy leads one to expect %.1f",
		s.wrong, s.all, s.wrongSure, s.sure, s.expected)
	if s.excess() && s.leastWrong >= 2 {
		j.verdict, j.severity = Possible, 100*(s.wrongSure-s.expected)/s.sure
		j.treat(readLabels())
	}
	return j
}

// judgeNoiseProbe takes the share of wrong labels that explains how often the network
// is wrong, out of fold, at every degree of sureness (see lapseModel in package probe).
// Half of the labels wrong and no signal at all are the same, so a share that may lie
// near one half shows nothing. The share that the confident joint estimates counts
// hard subjects as well: it makes wrong labels possible where it is above that of
// clean labels of a task as hard.
func (e *evidence) judgeNoiseProbe(estimate float64) judgement {
	const id = "label-noise"
	lapse, low, high, p := e.probe(id, "lapse"), e.probe(id, "lapse_low"), e.probe(id, "lapse_high"), e.probe(id, "p_lapse")
	j := judgement{verdict: CannotTell, severity: 100 * estimate}
	if isFinite(lapse) {
		j.severity = 100 * lapse
		j.say(100*lapse, "out of fold the mistakes, counted by how sure the network is, are explained best by %.0f %% wrong labels (95 %% interval %.0f to %.0f %%; by none at all: p = %.3f)", 100*lapse, 100*low, 100*high, p)
	}
	if n, sure, wrongSure := e.probe(id, "subjects"), e.probe(id, "confident"), e.probe(id, "confident_wrong"); isFinite(wrongSure) {
		j.say(wrongSure, "%.0f of %.0f subjects are predicted otherwise than labelled, %.0f of them among the %.0f that the network is surest of", math.Round(e.probe(id, "wrong")*n), n, wrongSure, sure)
	}
	switch {
	case high < relevantNoise:
		j.verdict = RuledOut
	case low >= strikingNoise && high <= mostNoise && p < 0.05 && e.probe(id, "confident_wrong_least") >= 2:
		j.verdict = Likely
	case low >= relevantNoise && high <= mostNoise || e.probe(id, "low") >= relevantNoise && estimate > e.probe(id, "null_high"):
		j.verdict = Possible
	}
	if suspects := e.probe(id, "suspects"); isFinite(suspects) {
		j.say(suspects, "%.0f subjects are suspect; the experiment lists them", suspects)
	}
	j.treat(readLabels())
	return j
}

func readLabels() *Treatment {
	return &Treatment{Plan: map[string]any{}, Text: "Read the labels of the suspect subjects again, blind to the prediction, and correct them in the table; smoothing the labels makes the rest do less harm."}
}

// sureMistakes counts the mistakes, and those among the third of the subjects with
// the largest margins.
type sureMistakes struct {
	all, wrong, sure, wrongSure float64
	leastWrong                  float64 // the least wrongSure of the labelled classes
	expected                    float64 // of wrongSure in a binormal task of the same accuracy
}

// excess reports whether there are more mistakes among the surest than the binormal
// task explains, by the binomial test, and enough to matter. A network that guesses
// is as wrong where it is sure as elsewhere, and shows nothing.
func (s *sureMistakes) excess() bool {
	rate := s.expected / s.sure
	return s.sure >= leastConfident && s.wrong <= 0.35*s.all && s.wrongSure-s.expected >= relevantNoise*s.sure &&
		stat.BinomialTail(int(s.wrongSure), int(s.sure), rate) < labelNoiseP
}

// surestThird counts in averaged predictions.
func surestThird(rows []run.Row, classes []int) sureMistakes {
	order := allOf(len(rows))
	margins := make([]float64, len(rows))
	for i, row := range rows {
		margins[i] = margin(row, row.Class())
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case margins[a] > margins[b]:
			return -1
		case margins[a] < margins[b]:
			return 1
		}
		return 0
	})
	s := sureMistakes{all: float64(len(rows)), sure: float64(len(rows) / 3)}
	byClass := map[int]float64{}
	for _, c := range classes {
		byClass[c] = 0
	}
	for k, i := range order {
		if rows[i].Class() == classes[i] {
			continue
		}
		s.wrong++
		if float64(k) < s.sure {
			s.wrongSure++
			byClass[classes[i]]++
		}
	}
	s.leastWrong = math.Inf(1)
	for _, n := range byClass {
		s.leastWrong = math.Min(s.leastWrong, n)
	}
	s.expect()
	return s
}

// expect sets the number of mistakes among the surest that a binormal task leads one
// to expect: outputs z are normal with deviation 1 around ±m by class, m being the
// quantile of the accuracy, and the surest are those with the largest |z|,
//
//	P(wrong | |z| > t) = Φ(-t-m) / (Φ(-t-m) + Φ(m-t)),   P(|z| > t) = 1/3
//
// One mistake more than seen goes into the accuracy, which leaves room for its error.
func (s *sureMistakes) expect() {
	if s.all < 1 {
		return
	}
	m := stat.NormalQuantile(math.Max(0.5, 1-(s.wrong+1)/(s.all+2)))
	low, high := 0.0, 10.0
	beyond := func(t float64) (wrong, right float64) { return stat.NormalCDF(-t - m), stat.NormalCDF(m - t) }
	for range 60 {
		t := (low + high) / 2
		if wrong, right := beyond(t); wrong+right > s.sure/s.all {
			low = t
		} else {
			high = t
		}
	}
	wrong, right := beyond(low)
	s.expected = s.sure * wrong / (wrong + right)
}
