package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: never planted; true of 480 runs by fresh subjects or by construction,
// likely or confirmed in 27 % of them from the record alone; claimed falsely in 0 of 180 clean runs
// and 12 of 1224 runs with other causes; with experiments in 0 of 60 and 0 of 198
// (docs/reliability-of-diagnosis.md).
var coinFlip = Cause{
	ID:    "coin-flip",
	Title: "No better than guessing",
	Explain: "On these validation subjects the network ranks no better than chance would. That does not prove that the images " +
		"hold no signal; it says what this many subjects could have shown.",
	Of:    "generalisation",
	Kind:  reading,
	Judge: judgeCoinFlip,
}

const (
	guessingAUROC    = 0.60 // an AUROC whose whole interval lies below is no better than guessing for any use
	weakAUROC        = 0.70
	undetectedAUROC  = 0.85 // validation sets that could miss this cannot tell
	coinPermutations = 1999

	leastEpochsToJudge = 5 // before that a network may simply not have begun to learn
)

// judgeCoinFlip looks once, at a summary fixed beforehand: the AUROC of each
// subject's class probabilities averaged over the last third of the epochs
// (for more than two classes the mean of each class against the rest), tested
// by permuting the labels. No epoch is chosen, so nothing is corrected for.
func judgeCoinFlip(e *evidence) judgement {
	p := e.clean(run.Validation)
	if p == nil {
		return e.judgeCoinFromCurve()
	}
	rows, classes := e.lateRows(p)
	values := aurocValues(rows, classes)
	if analysed := finiteCount(e.accuracy); analysed < leastEpochsToJudge {
		return cannotTell(analysed, "%.0f epochs are too few to judge what the network can learn", analysed)
	}
	if values == nil || len(rows) < 4 {
		return cannotTell(float64(len(rows)), "%d validation subjects with late predictions do not hold two classes to tell apart", len(rows))
	}
	area := mean(values)
	low, high := logitInterval(values)
	if low == high {
		return cannotTell(area, "the late predictions are the same for all %d subjects", len(rows))
	}
	chance := e.chanceOfRanking(rows, classes, area)
	detectable := detectableAUROC(classes, len(e.run.Header.Classes))
	j := judgement{verdict: CannotTell, severity: 100 * (1 - commonest(classes))}
	switch {
	case chance <= 0.025:
		j.verdict = RuledOut
		j.severity = 0
	case high < guessingAUROC:
		j.verdict = Confirmed
	case detectable > undetectedAUROC:
	case high < weakAUROC:
		j.verdict = Likely
	default:
		j.verdict = Possible
	}
	j.say(area, "AUROC of the probabilities averaged over the last third of the epochs: %.2f (95 %% interval %.2f to %.2f)", area, low, high)
	j.say(chance, "guessing does as well with probability %.3f (labels permuted %d times)", chance, coinPermutations)
	right := 0
	for i, row := range rows {
		right += int(correct(row, classes[i]))
	}
	guess := commonest(classes)
	j.say(100*float64(right)/float64(len(rows)), "%d of %d subjects are right (%.0f %%); always naming the commonest class gives %.0f %%, and %d would be needed to beat it (exact binomial, 5 %%)",
		right, len(rows), 100*float64(right)/float64(len(rows)), 100*guess, stat.LeastSignificant(len(rows), guess, 0.05))
	j.say(detectable, "with %d subjects an AUROC of %.2f would be found in four of five studies, a smaller one less often", len(rows), detectable)
	j.treat(&Treatment{Plan: map[string]any{},
		Text: "Show first that there is something to learn: cross-validate over all subjects, compare with a linear model on volume and mean intensity, and check labels and images. Tuning this curve cannot help."})
	return j
}

// lateRows returns each subject's probabilities averaged over the late epochs,
// and its class, for those evaluated.
func (e *evidence) lateRows(p *predictions) (rows []run.Row, classes []int) {
	for i, class := range p.classes {
		var sum []float64
		count := 0.0
		for _, epoch := range p.rows[e.lateFrom:] {
			if epoch == nil || epoch[i] == nil {
				continue
			}
			if sum == nil {
				sum = make([]float64, len(epoch[i]))
			}
			for c, x := range epoch[i] {
				sum[c] += float64(x)
			}
			count++
		}
		if sum == nil {
			continue
		}
		row := make(run.Row, len(sum))
		for c := range sum {
			row[c] = float32(sum[c] / count)
		}
		rows, classes = append(rows, row), append(classes, class)
	}
	return rows, classes
}

// logitInterval is the 95 % interval of an AUROC from its values per subject,
// symmetric in the logit of the area; where the area is 0 or 1 the interval is
// unknown on the inner side and given as [0, 1].
func logitInterval(values []float64) (low, high float64) {
	area, deviation := moments(values)
	if !(area > 0 && area < 1) {
		return 0, 1
	}
	n := float64(len(values))
	half := stat.StudentQuantile(0.975, n-1) * deviation / math.Sqrt(n) / (area * (1 - area))
	logit := math.Log(area / (1 - area))
	return 1 / (1 + math.Exp(half-logit)), 1 / (1 + math.Exp(-half-logit))
}

// permutedP is the share of label permutations that give at least the area.
func permutedP(rows []run.Row, classes []int, area float64) float64 {
	ranks, present := classRanks(rows, classes)
	null := make([]float64, coinPermutations)
	labels := make([]int, len(classes))
	for k := range null {
		for i, from := range stat.NewStream(1, "diagnosis/coin-flip", uint64(k)).Perm(len(classes)) {
			labels[i] = classes[from]
		}
		null[k] = rankArea(ranks, present, labels)
	}
	return stat.PermutationP(area, null)
}

// chanceOfRanking is permutedP of the late validation predictions, computed once.
func (e *evidence) chanceOfRanking(rows []run.Row, classes []int, area float64) float64 {
	if e.rankingP == 0 {
		e.rankingP = permutedP(rows, classes, area)
	}
	return e.rankingP
}

// classRanks returns every subject's mid-rank by the margin of each class that
// counts in aurocValues, and those classes.
func classRanks(rows []run.Row, classes []int) (ranks [][]float64, present []int) {
	k := len(rows[0])
	count := make([]int, k)
	for _, class := range classes {
		count[class]++
	}
	first := 0
	if k == 2 {
		first = 1
	}
	for c := first; c < k; c++ {
		if count[c] == 0 || count[c] == len(classes) {
			continue
		}
		margins := make([]float64, len(rows))
		for i, row := range rows {
			margins[i] = margin(row, c)
		}
		ranks, present = append(ranks, stat.MidRanks(margins)), append(present, c)
	}
	return ranks, present
}

// rankArea is the mean over classes of (R - m(m+1)/2) / (m (n-m)), R being the
// sum of the ranks of the m subjects of the class: Mann and Whitney's U.
func rankArea(ranks [][]float64, present, labels []int) float64 {
	area := 0.0
	for k, c := range present {
		sum, m := 0.0, 0.0
		for i, label := range labels {
			if label == c {
				sum += ranks[k][i]
				m++
			}
		}
		area += (sum - m*(m+1)/2) / (m * (float64(len(labels)) - m))
	}
	return area / float64(len(present))
}

// detectableAUROC is the AUROC that a one-sided test at 2.5 % finds with a
// power of 80 %, by the null standard deviation sqrt((n+1) / (12 m (n-m))) of
// the commonest class against the rest (Mann and Whitney 1947).
func detectableAUROC(classes []int, k int) float64 {
	n := float64(len(classes))
	m := commonest(classes) * n
	deviation := math.Sqrt((n + 1) / (12 * m * (n - m)))
	return math.Min(1, 0.5+(stat.NormalQuantile(0.975)+stat.NormalQuantile(0.8))*deviation)
}

// commonest is the share of the commonest class.
func commonest(classes []int) float64 {
	count, most := map[int]int{}, 0
	for _, class := range classes {
		count[class]++
		most = max(most, count[class])
	}
	return float64(most) / float64(len(classes))
}

// judgeCoinFromCurve tests the mean late accuracy of the curve against the
// commonest class. The mean over epochs varies less than one epoch, for which
// the binomial test holds, so the test errs towards guessing and cannot make
// it more than possible.
func (e *evidence) judgeCoinFromCurve() judgement {
	var classes []int
	for _, s := range e.run.Header.Sets[run.Validation] {
		classes = append(classes, s.Class)
	}
	n, level := len(classes), e.lateMean(e.accuracy)
	if n == 0 || !isFinite(level) {
		return cannotTell(100*level, "the late accuracy is %.0f %%, and what guessing gives is unknown without the subjects' classes", 100*level)
	}
	guess := commonest(classes)
	chance := stat.BinomialTail(int(math.Round(level*float64(n))), n, guess)
	j := judgement{verdict: CannotTell, severity: 100 * (1 - guess)}
	j.say(100*level, "the mean late accuracy is %.1f %%; always naming the commonest class gives %.1f %%", 100*level, 100*guess)
	j.say(chance, "guessing does as well with probability %.3f (exact binomial, %d subjects)", chance, n)
	if chance <= 0.025 {
		j.verdict, j.severity = RuledOut, 0
	} else if guess < 1 && float64(stat.LeastSignificant(n, guess, 0.05)) <= (guess+(1-guess)*0.6)*float64(n) {
		j.verdict = Possible
	}
	return j
}
