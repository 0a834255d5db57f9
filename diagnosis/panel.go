package diagnosis

import (
	"maps"
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

// predictions are the probabilities of one view of one set.
type predictions struct {
	classes []int       // true class of each subject
	rows    [][]run.Row // by epoch and subject; rows[t] is nil where epoch t has none, a row where a subject has none
}

// A panel holds one measure of one view, as a value per subject and epoch
// whose mean over all subjects is the measure: values[t][i], or nil where
// epoch t was not evaluated. For a plain mean over all subjects the value is
// the subject's own; else it is the measure plus n times the subject's
// influence on it, so that a subject left out of an epoch by a random subset
// has the measure itself.
type panel struct {
	subjects int
	strata   [][]int // the subjects of each class
	values   [][]float64
}

// leastStratum is the least number of subjects of a class from which its
// variance and that variance's own error are estimated.
const leastStratum = 4

// strataOf lists the subjects of each class. Where a class has too few for a
// variance of its own, all subjects are one stratum, as if the numbers of each
// class were left to chance.
func strataOf(classes []int) [][]int {
	byClass := map[int][]int{}
	for i, class := range classes {
		byClass[class] = append(byClass[class], i)
	}
	var strata [][]int
	for _, class := range slices.Sorted(maps.Keys(byClass)) {
		if len(byClass[class]) < leastStratum {
			return [][]int{allOf(len(classes))}
		}
		strata = append(strata, byClass[class])
	}
	return strata
}

func allOf(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// A measure turns the probabilities of one epoch into such values; nil when
// it cannot be computed (one class only).
type measure func(rows []run.Row, classes []int) []float64

// measures are those of which the jitter is reported.
var measures = []struct {
	id   string
	unit string
	of   measure
}{
	{"accuracy", Points, accuracyValues},
	{"balanced_accuracy", Points, balancedValues},
	{"auroc", Points, aurocValues},
	{"brier", Points, meanOf(brier)},
	{"loss", Nats, meanOf(loss)},
}

// panel applies a measure to every epoch.
func (p *predictions) panel(f measure) *panel {
	result := &panel{subjects: len(p.classes), strata: strataOf(p.classes), values: make([][]float64, len(p.rows))}
	for t, rows := range p.rows {
		if rows != nil {
			result.values[t] = f(rows, p.classes)
		}
	}
	return result
}

// curve returns the measure of every epoch, NaN where there is none.
func (p *panel) curve() []float64 {
	curve := make([]float64, len(p.values))
	for t, values := range p.values {
		curve[t] = math.NaN()
		if values != nil {
			curve[t] = mean(values)
		}
	}
	return curve
}

// meanOf makes a measure of the mean of a subject's score.
func meanOf(score func(row run.Row, class int) float64) measure {
	return func(rows []run.Row, classes []int) []float64 {
		values := make([]float64, len(rows))
		sum, count := 0.0, 0.0
		for i, row := range rows {
			if row != nil {
				values[i] = score(row, classes[i])
				sum += values[i]
				count++
			}
		}
		if n := float64(len(rows)); count < n {
			for i, row := range rows {
				if row == nil {
					values[i] = sum / count
				} else {
					values[i] = sum/count + n/count*(values[i]-sum/count)
				}
			}
		}
		return values
	}
}

var accuracyValues = meanOf(correct)

// correct is 1 for a subject whose most probable class is the true one.
func correct(row run.Row, class int) float64 {
	if row.Class() == class {
		return 1
	}
	return 0
}

// leastProbability is the smallest normal float32: probabilities that
// underflowed to zero count as this, a loss of 87 nats.
const leastProbability = 0x1p-126

// loss is the cross-entropy in nats.
func loss(row run.Row, class int) float64 {
	return -math.Log(math.Max(float64(row[class]), leastProbability))
}

// brier is the squared distance between the probabilities and the truth,
// halved so that two classes give the familiar (p - y)².
func brier(row run.Row, class int) float64 {
	sum := 0.0
	for c, p := range row {
		d := float64(p)
		if c == class {
			d--
		}
		sum += d * d
	}
	return sum / 2
}

// balancedValues are those of the mean over classes of the share classified
// correctly. Classes without an evaluated subject do not count.
func balancedValues(rows []run.Row, classes []int) []float64 {
	right, count := map[int]float64{}, map[int]float64{}
	for i, row := range rows {
		if row != nil {
			right[classes[i]] += correct(row, classes[i])
			count[classes[i]]++
		}
	}
	if len(count) < 2 {
		return nil
	}
	balanced, k := 0.0, float64(len(count))
	for c := range len(rows[firstPresent(rows)]) {
		if count[c] > 0 {
			balanced += right[c] / count[c] / k
		}
	}
	values := make([]float64, len(rows))
	for i, row := range rows {
		values[i] = balanced
		if c := classes[i]; row != nil {
			values[i] += float64(len(rows)) / (count[c] * k) * (correct(row, c) - right[c]/count[c])
		}
	}
	return values
}

func firstPresent(rows []run.Row) int {
	for i, row := range rows {
		if row != nil {
			return i
		}
	}
	return 0
}

// aurocValues are those of the area under the ROC curve of class 1 for two
// classes, and of the mean over classes of each against the rest for more.
func aurocValues(rows []run.Row, classes []int) []float64 {
	var present []int
	for i, row := range rows {
		if row != nil {
			present = append(present, i)
		}
	}
	if len(present) == 0 {
		return nil
	}
	k := len(rows[present[0]])
	first := 0
	if k == 2 {
		first = 1
	}
	values := make([]float64, len(rows))
	scored := 0
	for c := first; c < k; c++ {
		if area, influence := aurocInfluence(rows, classes, present, c); influence != nil {
			scored++
			for i := range values {
				values[i] += area
			}
			for j, i := range present {
				values[i] += float64(len(rows)) * influence[j]
			}
		}
	}
	if scored == 0 {
		return nil
	}
	for i := range values {
		values[i] /= float64(scored)
	}
	return values
}

// aurocInfluence returns the AUROC of one class against the rest among the
// present subjects, and each one's influence on it: its placement value less
// the area, over the number of subjects of its side.
func aurocInfluence(rows []run.Row, classes, present []int, class int) (area float64, influence []float64) {
	scores, positive := make([]float64, len(present)), make([]bool, len(present))
	positives := 0
	for j, i := range present {
		positive[j] = classes[i] == class
		if positive[j] {
			positives++
		}
		scores[j] = margin(rows[i], class)
	}
	if positives == 0 || positives == len(present) {
		return math.NaN(), nil
	}
	influence = stat.Placement(scores, positive)
	area, _ = stat.AUROC(scores, positive)
	for j := range influence {
		side := len(present) - positives
		if positive[j] {
			side = positives
		}
		influence[j] = (influence[j] - area) / float64(side)
	}
	return area, influence
}

// margin is the log-odds of a class, from the probabilities of the class and
// of all others: it orders subjects as the probability does, and keeps apart
// those whose float32 probability rounds to one.
func margin(row run.Row, class int) float64 {
	rest := 0.0
	for c, p := range row {
		if c != class {
			rest += float64(p)
		}
	}
	return math.Log(math.Max(float64(row[class]), leastProbability)) - math.Log(math.Max(rest, leastProbability))
}
