package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: planted in 72 runs, likely or confirmed in 100 % of them from the record
// alone and in 100 % of 12 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1632
// runs with other causes; with experiments in 0 of 60 and 0 of 272
// (docs/reliability-of-diagnosis.md).
var lossWeightMismatch = Cause{
	ID:    "loss-weight-mismatch",
	Title: "Training weights the classes, validation does not",
	Explain: "Training lessens a loss in which one class counts more than it does in validation. The network then names that class " +
		"too often for a threshold of one half, and the two loss curves cannot be compared.",
	Of:     "generalisation",
	Kind:   mistake,
	Brings: []string{"class-bias-oscillation", "threshold-flicker", "class-imbalance", "loss-accuracy-mismatch"},
	Judge:  judgeLossWeights,
}

const (
	explainedByWeights = 0.8 // share of the objective's deviation from the plain loss
	relevantWeight     = 2.0 // times as much as another image
	balancedShare      = 0.1 // so near to equal shares weights only make up for unequal classes
	leastWeighted      = 8   // epochs
	lossesAgree        = 0.02
)

// judgeLossWeights compares what training lessened with the plain cross-entropy.
// Other objectives differ, too: label smoothing and the focal loss. Weights differ in
// one way only, by putting more of one class's loss into the mean:
//
//	objective_t - plain_t = (s - π) (L_ct - L_rt)
//
// with π the share of class c, s = w π/(w π + 1 - π) that under a weight w, and L the
// mean losses of its subjects and of the rest. It is likely where that explains the
// objective, and confirmed where the network names the class too often, too.
func judgeLossWeights(e *evidence) judgement {
	if f, ok := e.validationLossWeights(); ok {
		j := judgement{verdict: Likely, severity: math.NaN()}
		e.sayWeights(&j, f, "the recorded validation loss")
		j.treat(unweighted())
		return j
	}
	objective := make([]float64, len(e.run.Epochs))
	count := 0
	for t := range e.run.Epochs {
		objective[t] = math.NaN()
		if o := e.run.Epochs[t].Objective; o != nil && isFinite(float64(*o)) {
			objective[t] = float64(*o)
			count++
		}
	}
	if count == 0 {
		j := judgement{verdict: RuledOut}
		j.say(0, "0 epochs record an objective other than the cross-entropy of the training curve")
		return j
	}
	plain := e.curve(run.Logged, run.Train, meanOf(loss), func(v *run.Evaluation) run.Float { return v.Loss })
	f, ok := e.fitWeights(e.training[run.Deterministic], objective, plain)
	if !ok {
		return cannotTell(float64(count), "training lessened an objective of its own in %d epochs; the training subjects' probabilities that would say whether it is weighted are not recorded", count)
	}
	j := judgement{verdict: RuledOut, severity: math.NaN()}
	e.sayWeights(&j, f, "what training lessened")
	bias, low, high := e.classExcess(f.class)
	if f.weight < 1 {
		bias, low, high = -bias, -high, -low
	}
	equal := math.Abs(f.share-1/float64(len(e.run.Header.Classes))) <= balancedShare
	switch {
	case f.explained < explainedByWeights, f.explained <= f.otherwise, math.Max(f.weight, 1/f.weight) < relevantWeight, equal:
		if equal && f.explained >= explainedByWeights {
			j.say(100*f.share, "that makes the classes count alike (%.0f %%), which is meant to", 100*f.share)
		}
		return j
	case low >= relevantGap:
		j.verdict = Confirmed
	default:
		j.verdict = Likely
	}
	if isFinite(bias) {
		j.severity = math.Max(0, bias)
		j.say(bias, "the validation subjects are given that much more of the favoured side than there is: %+.1f points of mean probability (95 %% interval %+.1f to %+.1f)", bias, low, high)
	}
	j.treat(unweighted())
	return j
}

func unweighted() *Treatment {
	return &Treatment{Plan: map[string]any{"loss.weights": "none"}, Text: "Train on the plain cross-entropy, or on weights that make up for unequal classes and no more; compare losses of one kind only, and fix the threshold on training subjects where the weights stay."}
}

// A weighting is what explains an objective best: one class counting more or less.
type weighting struct {
	class     int
	share     float64 // of the class in the objective
	weight    float64 // of an image of the class against another
	explained float64 // share of the squared deviation from the plain loss
	otherwise float64 // the same by smoothed labels or the focal loss, whichever explains more
}

func (e *evidence) sayWeights(j *judgement, f weighting, what string) {
	j.say(f.explained, "%s differs from the plain cross-entropy of the same epochs; weights of the classes explain %.0f %% of that", what, 100*math.Max(0, f.explained))
	if f.otherwise > f.explained {
		j.say(f.otherwise, "smoothed labels or a focal loss explain %.0f %%", 100*f.otherwise)
		return
	}
	j.say(f.weight, "they would make an image of class %s count %.2g times as much as another", e.run.Header.Classes[f.class], f.weight)
}

// fitWeights fits (s - π) for each class against the rest by least squares through
// the origin and returns the best. The losses of the classes are those of the given
// predictions, scaled to the plain loss of the epoch.
func (e *evidence) fitWeights(p *predictions, objective, plain []float64) (best weighting, ok bool) {
	if p == nil {
		return best, false
	}
	best.explained = math.Inf(-1)
	for c := range e.run.Header.Classes {
		product, square, total, count := 0.0, 0.0, 0.0, 0
		for t, rows := range p.rows {
			own, rest, all, share := classLosses(rows, p.classes, c)
			y, x := objective[t]-plain[t], (own-rest)*plain[t]/all
			if !isFinite(x) || !isFinite(y) || share == 0 || share == 1 {
				continue
			}
			product, square, total = product+x*y, square+x*x, total+y*y
			count++
		}
		if count < leastWeighted || !(square > 0) || !(total > 0) {
			continue
		}
		slope := product / square
		prior := e.shareAmong(p, c)
		share := math.Min(0.99, math.Max(0.01, prior+slope))
		w := share / (1 - share) / (prior / (1 - prior))
		// Of two classes the heavier one is named.
		if explained := product * product / square / total; explained > best.explained+1e-9 || best.weight < 1 && w > 1 && explained > best.explained-1e-9 {
			best, ok = weighting{c, share, w, explained, 0}, true
		}
	}
	best.otherwise = explainedOtherwise(p, objective, plain)
	return best, ok
}

// explainedOtherwise is the share of the squared deviation of an objective from the
// plain loss that smoothed labels, with the share that fits best, or a focal loss
// explain.
func explainedOtherwise(p *predictions, objective, plain []float64) float64 {
	focus := []float64{0.5, 1, 2, 3, 5}
	product, square, total := 0.0, 0.0, 0.0
	left := make([]float64, len(focus))
	for t, rows := range p.rows {
		_, _, all, _ := classLosses(rows, p.classes, 0)
		y, scale := objective[t]-plain[t], plain[t]/all
		if !isFinite(y) || !isFinite(scale) {
			continue
		}
		even := func(row run.Row, _ int) float64 {
			sum := 0.0
			for c := range row {
				sum += loss(row, c) / float64(len(row))
			}
			return sum
		}
		x := (mean(meanOf(even)(rows, p.classes)) - all) * scale
		product, square, total = product+x*y, square+x*x, total+y*y
		for k, gamma := range focus {
			focal := func(row run.Row, class int) float64 {
				return math.Pow(1-float64(row[class]), gamma) * loss(row, class)
			}
			d := y - (mean(meanOf(focal)(rows, p.classes))-all)*scale
			left[k] += d * d
		}
	}
	best := 0.0
	if square > 0 && product > 0 {
		best = product * product / square / total
	}
	for _, rest := range left {
		best = math.Max(best, 1-rest/total)
	}
	return best
}

func (e *evidence) shareAmong(p *predictions, class int) float64 {
	count := 0.0
	for _, c := range p.classes {
		if c == class {
			count++
		}
	}
	return count / float64(len(p.classes))
}

// classLosses are the mean losses of a class, of the rest, and of all, and the
// class's share; NaN where there is nobody.
func classLosses(rows []run.Row, classes []int, class int) (own, rest, all, share float64) {
	var sum, count [2]float64
	for i, row := range rows {
		if row == nil {
			continue
		}
		k := 0
		if classes[i] == class {
			k = 1
		}
		sum[k] += loss(row, classes[i])
		count[k]++
	}
	n := count[0] + count[1]
	return sum[1] / count[1], sum[0] / count[0], (sum[0] + sum[1]) / n, count[1] / n
}

// validationLossWeights looks at a recorded validation loss that is not that of the
// recorded probabilities, as of a program that logs its weighted loss.
func (e *evidence) validationLossWeights() (weighting, bool) {
	p := e.validation[run.Logged]
	if p == nil {
		return weighting{}, false
	}
	recorded, plain := make([]float64, len(p.rows)), make([]float64, len(p.rows))
	differ := 0
	for t := range p.rows {
		recorded[t], plain[t] = math.NaN(), math.NaN()
		v := e.run.Epochs[t].Evaluation(run.Logged, run.Validation)
		if v == nil || p.rows[t] == nil {
			continue
		}
		_, _, all, _ := classLosses(p.rows[t], p.classes, 0)
		recorded[t], plain[t] = float64(v.Loss), all
		if math.Abs(recorded[t]-plain[t]) > lossesAgree*plain[t] {
			differ++
		}
	}
	if differ < leastWeighted {
		return weighting{}, false
	}
	f, ok := e.fitWeights(p, recorded, plain)
	return f, ok && f.explained >= 0.99 && math.Max(f.weight, 1/f.weight) >= 1.2
}

// classExcess is the mean late probability of a class on validation subjects less
// its share, in points, with the 95 % interval over subjects.
func (e *evidence) classExcess(class int) (excess, low, high float64) {
	p := e.clean(run.Validation)
	if p == nil {
		return math.NaN(), math.NaN(), math.NaN()
	}
	var values []float64
	for i, x := range e.late(p, func(row run.Row, _ int) float64 { return float64(row[class]) }) {
		if p.classes[i] == class {
			x--
		}
		if isFinite(x) {
			values = append(values, 100*x)
		}
	}
	excess, deviation := moments(values)
	n := float64(len(values))
	half := stat.StudentQuantile(0.975, n-1) * deviation / math.Sqrt(n)
	return excess, excess - half, excess + half
}
