package trial

import (
	"math"
	"slices"

	"ballast/evaluation"
	"ballast/run"
	"ballast/stat"
)

// level is that of every interval of a cross-validation.
const level = 0.95

// draws is how often subjects are resampled.
const draws = 2000

// A Result is one measure of a cross-validation.
//
// The headline is Value, the mean over all folds of all repeats, each measured by
// itself, with the corrected resampled t interval; see NadeauBengio. Beside it
// stands Pooled, the measure of all out-of-fold predictions of a repeat together,
// mean over the repeats, with a bootstrap of subjects, in which a subject's
// predictions of all repeats travel together. That one leaves out that the
// networks share training subjects. In simulations with known truth the former
// covers it about as often as it says and the latter less often (docs/training.md).
type Result struct {
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	Value      run.Float   `json:"value"`
	Low        run.Float   `json:"low"`
	High       run.Float   `json:"high"`
	Pooled     run.Float   `json:"pooled"`
	PooledLow  run.Float   `json:"pooled_low"`
	PooledHigh run.Float   `json:"pooled_high"`
	Repeats    []run.Float `json:"repeats"` // the pooled value of each repeat
	Spread     Spread      `json:"spread"`
}

// A Spread divides what moves a measure, as standard deviations.
type Spread struct {
	Subjects run.Float `json:"subjects"` // of Pooled, by who the subjects are: bootstrap
	Repeats  run.Float `json:"repeats"`  // between repeats: other folds and seeds, the same subjects
	Folds    run.Float `json:"folds"`    // between folds of a repeat
	// ByChance is what Folds would be were all folds' networks equally good: the
	// predictions of each class dealt out to the folds at random.
	ByChance run.Float `json:"folds_by_chance"`
}

// outcome is all out-of-fold predictions.
type outcome struct {
	classes int
	truth   []int         // by subject
	rows    [][][]float64 // probabilities by repeat, subject and class
	fold    [][]int       // of the subject in each repeat
	folds   int
	trained float64 // subjects outside a fold, on average
	tested  float64 // subjects of a fold, on average
}

func (o *outcome) repeat(r int) predicted { return predicted{o.rows[r], o.truth, o.classes} }

// pooled is the mean over the repeats of a measure of resampled subjects; nil: all.
func (o *outcome) pooled(of func(predicted) float64, sample []int) float64 {
	sum := 0.0
	for r := range o.rows {
		p := o.repeat(r)
		if sample != nil {
			p = p.only(sample)
		}
		sum += of(p) / float64(len(o.rows))
	}
	return sum
}

// perFold is a measure of each fold of a repeat by itself, given the fold of each
// subject.
func (o *outcome) perFold(r int, fold []int, of func(predicted) float64) []float64 {
	members := make([][]int, o.folds)
	for subject, f := range fold {
		members[f] = append(members[f], subject)
	}
	values := make([]float64, o.folds)
	for f := range values {
		values[f] = of(o.repeat(r).only(members[f]))
	}
	return values
}

// allFolds is a measure of every fold by itself, in the order of repeats and folds.
func (o *outcome) allFolds(of func(predicted) float64) (values []float64) {
	for r := range o.rows {
		values = append(values, o.perFold(r, o.fold[r], of)...)
	}
	return values
}

// summarise computes a measure with its intervals and spreads. Draws come from
// streams of the seed.
func (o *outcome) summarise(m measure, seed uint64, draws int) Result {
	var repeats, within []float64
	for r := range o.rows {
		repeats = append(repeats, m.of(o.repeat(r)))
		_, variance := moments(o.perFold(r, o.fold[r], m.of))
		within = append(within, variance)
	}
	result := Result{ID: m.id, Name: m.name, Pooled: run.Float(o.pooled(m.of, nil))}
	for _, value := range repeats {
		result.Repeats = append(result.Repeats, run.Float(value))
	}
	value, low, high := NadeauBengio(o.allFolds(m.of), o.tested/o.trained, level)
	low, high = m.cut(low, high)
	result.Value, result.Low, result.High = run.Float(value), run.Float(low), run.Float(high)

	resampled := stat.Bootstrap(seed, o.truth, len(o.truth), draws, func(sample []int) float64 { return o.pooled(m.of, sample) })
	low, high = stat.PercentileInterval(resampled, level)
	if n := float64(len(o.truth)); m.id == evaluation.Accuracy && math.IsNaN(low) { // all right, or all of a class wrong
		low, high = stat.Wilson(float64(result.Pooled)*n, n, level)
	}
	result.PooledLow, result.PooledHigh = run.Float(low), run.Float(high)

	_, bySubjects := moments(resampled)
	_, byRepeats := moments(repeats)
	byFolds, _ := moments(within)
	result.Spread = Spread{
		Subjects: root(bySubjects), Repeats: root(byRepeats), Folds: root(byFolds),
		ByChance: run.Float(o.foldsByChance(m, seed, draws/10)),
	}
	return result
}

// foldsByChance is the standard deviation between the folds of a repeat when the
// predictions of each class are dealt out to the folds at random: the root of the
// mean variance.
func (o *outcome) foldsByChance(m measure, seed uint64, deals int) float64 {
	sum, count := 0.0, 0.0
	for k := range deals {
		stream := stat.NewStream(seed, "cv/deal", uint64(k))
		r := k % len(o.rows)
		dealt := make([]int, len(o.truth))
		for class := range o.classes {
			var members, folds []int
			for subject, c := range o.truth {
				if c == class {
					members, folds = append(members, subject), append(folds, o.fold[r][subject])
				}
			}
			for n, at := range stream.Perm(len(members)) {
				dealt[members[n]] = folds[at]
			}
		}
		if _, variance := moments(o.perFold(r, dealt, m.of)); !math.IsNaN(variance) {
			sum += variance
			count++
		}
	}
	return math.Sqrt(sum / count)
}

func root(variance float64) run.Float { return run.Float(math.Sqrt(variance)) }

// moments returns the mean and the sample variance; the latter is NaN for fewer
// than two values.
func moments(values []float64) (mean, variance float64) {
	n := float64(len(values))
	for _, x := range values {
		mean += x / n
	}
	for _, x := range values {
		variance += (x - mean) * (x - mean)
	}
	return mean, variance / (n - 1)
}

// NadeauBengio returns the mean of the values of all folds of all repeats with the
// corrected resampled t interval
//
//	mean ± t_{J-1} sqrt((1/J + testing/training) S²)
//
// for J values with sample variance S², where ratio is testing/training, the
// subjects that a fold tests on to those that its network is made of. The naive t
// interval has 1/J alone, as if folds, whose training sets overlap, were
// independent. No unbiased estimate of that variance exists (Bengio and
// Grandvalet, "No unbiased estimator of the variance of k-fold cross-validation",
// JMLR 5, 2004); this one takes the correlation of two folds to be
// testing/(testing+training). Nadeau and Bengio, "Inference for the generalization
// error" (Machine Learning 52, 2003); with repeated cross-validation as Bouckaert
// and Frank, "Evaluating the replicability of significance tests for comparing
// learning algorithms" (PAKDD 2004). The interval is NaN for fewer than two values,
// and where all values are the same, which says nothing of their variance.
func NadeauBengio(values []float64, ratio, level float64) (mean, low, high float64) {
	mean, variance := moments(values)
	if len(values) < 2 || slices.Min(values) == slices.Max(values) {
		return mean, math.NaN(), math.NaN()
	}
	n := float64(len(values))
	half := stat.StudentQuantile((1+level)/2, n-1) * math.Sqrt((1/n+ratio)*variance)
	return mean, mean - half, mean + half
}
