package diagnosis

import (
	"math"
	"slices"

	"ballast/run"
)

// fixThreshold returns the predictions with each epoch's decision threshold
// moved to where the predicted class shares among the training subjects equal
// their true shares; nil when no epoch has training predictions. It multiplies
// the probabilities by one factor per class and normalises them, so that the
// most probable class is the decision.
func fixThreshold(validation, training *predictions) *predictions {
	if validation == nil || training == nil {
		return nil
	}
	fixed := &predictions{classes: validation.classes, rows: make([][]run.Row, len(validation.rows))}
	found := false
	for t, rows := range validation.rows {
		if rows == nil || training.rows[t] == nil {
			continue
		}
		offset := classOffsets(training.rows[t], training.classes)
		if offset == nil {
			continue
		}
		fixed.rows[t], found = shift(rows, offset), true
	}
	if !found {
		return nil
	}
	return fixed
}

// shift adds an offset per class to the log-probabilities of every row.
func shift(rows []run.Row, offset []float64) []run.Row {
	shifted := make([]run.Row, len(rows))
	for i, row := range rows {
		if row == nil {
			continue
		}
		logits := logProbabilities(row)
		highest := math.Inf(-1)
		for c := range logits {
			logits[c] += offset[c]
			highest = math.Max(highest, logits[c])
		}
		sum := 0.0
		for c := range logits {
			logits[c] = math.Exp(logits[c] - highest)
			sum += logits[c]
		}
		shifted[i] = make(run.Row, len(row))
		for c := range logits {
			shifted[i][c] = float32(logits[c] / sum)
		}
	}
	return shifted
}

func logProbabilities(row run.Row) []float64 {
	logs := make([]float64, len(row))
	for c, p := range row {
		logs[c] = math.Log(math.Max(float64(p), leastProbability))
	}
	return logs
}

// offsetRounds bounds the search for the offsets of three and more classes;
// two classes need one round.
const offsetRounds = 50

// classOffsets returns the offset per class, added to the log-probabilities,
// at which as many training subjects are predicted to be of each class as are:
// for each class in turn it takes the middle of the gap between the margins of
// the count-th and the next subject, until all counts agree. Between separable
// classes that is the middle of the gap of logits. It returns nil when fewer
// than two classes have training subjects; a class without any is never
// predicted.
func classOffsets(rows []run.Row, classes []int) []float64 {
	var logits [][]float64
	var count []int
	for i, row := range rows {
		if row == nil {
			continue
		}
		if count == nil {
			count = make([]int, len(row))
		}
		logits = append(logits, logProbabilities(row))
		count[classes[i]]++
	}
	offset := make([]float64, len(count))
	var present []int
	for c := range count {
		if count[c] > 0 {
			present = append(present, c)
		} else {
			offset[c] = math.Inf(-1)
		}
	}
	if len(present) < 2 {
		return nil
	}
	margins := make([]float64, len(logits))
	for range offsetRounds {
		for _, c := range present[1:] {
			offset[c] = -gapMiddle(logits, offset, c, count[c], margins)
		}
		if len(present) == 2 || slices.Equal(predictedCounts(logits, offset), count) {
			break
		}
	}
	return offset
}

// gapMiddle returns the margin of class c over its best rival, its own offset
// left out, that lies midway between the count-th largest and the next.
func gapMiddle(logits [][]float64, offset []float64, c, count int, margins []float64) float64 {
	for i, z := range logits {
		rival := math.Inf(-1)
		for other := range z {
			if other != c {
				rival = math.Max(rival, z[other]+offset[other])
			}
		}
		margins[i] = z[c] - rival
	}
	slices.Sort(margins)
	above := len(margins) - count // margins[above:] are the count largest
	return (margins[above-1] + margins[above]) / 2
}

// predictedCounts counts the subjects predicted to be of each class.
func predictedCounts(logits [][]float64, offset []float64) []int {
	counts := make([]int, len(offset))
	for _, z := range logits {
		best := 0
		for c := range z {
			if z[c]+offset[c] > z[best]+offset[best] {
				best = c
			}
		}
		counts[best]++
	}
	return counts
}
