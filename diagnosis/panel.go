package diagnosis

import (
	"math"

	"ballast/run"
)

// predictions are the probabilities of one view of one set.
type predictions struct {
	classes []int       // true class of each subject
	rows    [][]run.Row // by epoch and subject; rows[t] is nil where epoch t has none, a row where a subject has none
}

// score is a subject's value under one measure, from its probabilities and its
// true class.
type score func(row run.Row, class int) float64

// correct is 1 for a subject whose most probable class is the true one.
func correct(row run.Row, class int) float64 {
	if predicted(row) == class {
		return 1
	}
	return 0
}

// predicted is the most probable class, the first of equals.
func predicted(row run.Row) int {
	best := 0
	for c, p := range row {
		if p > row[best] {
			best = c
		}
	}
	return best
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

// A panel holds one measure of one view: values[t][i] of subject i after epoch
// t, NaN where the subject was not evaluated; values[t] is nil where the epoch
// was not.
type panel struct {
	subjects int
	values   [][]float64
}

// panel applies a score to every row.
func (p *predictions) panel(f score) *panel {
	result := &panel{subjects: len(p.classes), values: make([][]float64, len(p.rows))}
	for t, rows := range p.rows {
		if rows == nil {
			continue
		}
		values := make([]float64, len(rows))
		for i, row := range rows {
			values[i] = math.NaN()
			if row != nil {
				values[i] = f(row, p.classes[i])
			}
		}
		result.values[t] = values
	}
	return result
}

// mean returns the mean over the subjects evaluated after epoch t; NaN when
// there are none.
func (p *panel) mean(t int) float64 {
	sum, count := 0.0, 0
	for _, x := range p.values[t] {
		if !math.IsNaN(x) {
			sum += x
			count++
		}
	}
	return sum / float64(count)
}

// curve returns the mean of every epoch, NaN where there is none.
func (p *panel) curve() []float64 {
	curve := make([]float64, len(p.values))
	for t := range curve {
		curve[t] = p.mean(t)
	}
	return curve
}
