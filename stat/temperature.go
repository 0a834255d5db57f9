package stat

import (
	"errors"
	"fmt"
	"math"
)

// ErrTemperature is wrapped when predictions have no best temperature.
var ErrTemperature = errors.New("no temperature")

// The temperatures that Temperature finds lie between these.
const (
	leastTemperature   = 0.05
	largestTemperature = 20
)

// Temperature returns the T > 0 at which the log loss of softmax(z / T) is
// least, with z the logits of the subjects, or equally the logarithms of their
// probabilities. T > 1 takes confidence away; the most probable class stays.
//
// In the inverse temperature b = 1/T the log loss is convex, with
//
//	slope      1/n Σ_i (E_i z - z_{i,truth})
//	curvature  1/n Σ_i Var_i z
//
// under the distribution softmax(b z_i). Newton's steps are kept inside the
// bracket by bisection, until the slope is below 1e-12 or the bracket cannot
// shrink. It returns ErrTemperature for fewer than two subjects, for logits
// that are not finite, and when T would lie outside 0.05 to 20: all subjects
// are right and their loss falls without end, or the predictions say nothing.
// Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks" (ICML 2017).
func Temperature(logits [][]float64, truth []int) (float64, error) {
	checkLengths(len(logits), len(truth))
	if len(truth) < 2 {
		return 0, fmt.Errorf("%w: %d subjects; at least 2 are needed", ErrTemperature, len(truth))
	}
	for _, row := range logits {
		for _, z := range row {
			if math.IsNaN(z) || math.IsInf(z, 0) {
				return 0, fmt.Errorf("%w: a logit is %g", ErrTemperature, z)
			}
		}
	}
	low, high := 1.0/largestTemperature, 1/leastTemperature // of b
	if slope, _ := lossSlope(logits, truth, low); slope >= 0 {
		return 0, fmt.Errorf("%w: the predictions say nothing of the classes, so the loss is least at a temperature above %g", ErrTemperature, float64(largestTemperature))
	}
	if slope, _ := lossSlope(logits, truth, high); slope <= 0 {
		return 0, fmt.Errorf("%w: the loss falls on down to a temperature of %g, as when all subjects are right", ErrTemperature, leastTemperature)
	}
	b := 1.0
	for range 200 {
		slope, curvature := lossSlope(logits, truth, b)
		if math.Abs(slope) < 1e-12 {
			break
		}
		if slope > 0 {
			high = b
		} else {
			low = b
		}
		next := b - slope/curvature
		if !(next > low && next < high) {
			next = (low + high) / 2
		}
		if next == b {
			break
		}
		b = next
	}
	return 1 / b, nil
}

// lossSlope returns the first and second derivative of the log loss of
// softmax(b z) with respect to b.
func lossSlope(logits [][]float64, truth []int, b float64) (slope, curvature float64) {
	for i, z := range logits {
		p := softmax(z, b)
		mean, square := 0.0, 0.0
		for class := range z {
			mean += p[class] * z[class]
		}
		for class := range z {
			square += p[class] * (z[class] - mean) * (z[class] - mean)
		}
		slope += mean - z[truth[i]]
		curvature += square
	}
	n := float64(len(logits))
	return slope / n, curvature / n
}

// softmax returns exp(b z) divided by its sum.
func softmax(z []float64, b float64) []float64 {
	top := math.Inf(-1)
	for _, x := range z {
		top = max(top, b*x)
	}
	p, sum := make([]float64, len(z)), 0.0
	for class, x := range z {
		p[class] = math.Exp(b*x - top)
		sum += p[class]
	}
	for class := range p {
		p[class] /= sum
	}
	return p
}

// leastProbability stands for a probability that rounding has made 0.
const leastProbability = 1e-12

// Cool returns the probabilities at a temperature: p^(1/T), normalised. At 1
// they stay what they are.
func Cool(probabilities []float64, temperature float64) []float64 {
	return softmax(Logits(probabilities), 1/temperature)
}

// Logits returns the logarithms of probabilities, those below 1e-12 taken for it.
func Logits(probabilities []float64) []float64 {
	logits := make([]float64, len(probabilities))
	for class, p := range probabilities {
		logits[class] = math.Log(max(p, leastProbability))
	}
	return logits
}
