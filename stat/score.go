package stat

import "math"

// LogLoss returns the mean negative log-likelihood in nats, -1/n Σ_i ln p_i,
// where p_i is what subject i's own class was given. It is +Inf when one of
// them was given 0, NaN without subjects or with a NaN.
func LogLoss(probabilities [][]float64, truth []int) float64 {
	checkLengths(len(probabilities), len(truth))
	sum := 0.0
	for i, row := range probabilities {
		sum -= math.Log(row[truth[i]])
	}
	return sum / float64(len(truth))
}

// Brier returns the mean over subjects of the squared distance between the
// probabilities and the truth, Σ_c (p_c - [c is the class])². It lies between
// 0 and 2. With two classes it is twice BinaryBrier. NaN without subjects.
// Brier, "Verification of forecasts expressed in terms of probability" (Monthly Weather Review 1950).
func Brier(probabilities [][]float64, truth []int) float64 {
	checkLengths(len(probabilities), len(truth))
	sum := 0.0
	for i, row := range probabilities {
		for class, p := range row {
			d := p - indicator(class == truth[i])
			sum += d * d
		}
	}
	return sum / float64(len(truth))
}

// BinaryBrier returns the mean of (p - y)² with y one for positive subjects and
// zero for others: the Brier score as it is usually given for two classes,
// between 0 and 1; 0.25 for always saying one half. NaN without subjects.
func BinaryBrier(probability []float64, positive []bool) float64 {
	checkLengths(len(probability), len(positive))
	sum := 0.0
	for i, p := range probability {
		d := p - indicator(positive[i])
		sum += d * d
	}
	return sum / float64(len(positive))
}

// A Recall is how many subjects of a class there are and how many of them were
// predicted to be of it. Of the positive class its share is the sensitivity, of
// the negative one the specificity.
type Recall struct{ Right, Of int }

// Share is Right / Of; NaN for no subjects.
func (r Recall) Share() float64 { return float64(r.Right) / float64(r.Of) }

// Recalls counts the subjects of each class and those predicted rightly.
func Recalls(predicted, truth []int, classes int) []Recall {
	checkLengths(len(predicted), len(truth))
	recalls := make([]Recall, classes)
	for i, class := range truth {
		recalls[class].Of++
		if predicted[i] == class {
			recalls[class].Right++
		}
	}
	return recalls
}

// BalancedAccuracy returns the mean of the recalls of the classes that have
// subjects. Guessing has 1/classes whatever their shares. NaN without subjects.
// Brodersen, Ong, Stephan and Buhmann, "The balanced accuracy and its posterior
// distribution" (ICPR 2010).
func BalancedAccuracy(recalls []Recall) float64 {
	sum, present := 0.0, 0
	for _, r := range recalls {
		if r.Of > 0 {
			sum += r.Share()
			present++
		}
	}
	return sum / float64(present)
}

// BalancedAccuracyInterval returns the interval of the mean of independent
// proportions p_k from their Wilson intervals (l_k, u_k):
//
//	b - sqrt(Σ (p_k - l_k)²) / K, b + sqrt(Σ (u_k - p_k)²) / K
//
// the method of variance estimates recovery, which does not collapse when all
// are right. NaN without subjects.
// Zou and Donner, "Construction of confidence limits about effect measures: a
// general approach" (Statistics in Medicine 2008).
func BalancedAccuracyInterval(recalls []Recall, level float64) (low, high float64) {
	down, up, present := 0.0, 0.0, 0.0
	for _, r := range recalls {
		if r.Of == 0 {
			continue
		}
		l, u := Wilson(float64(r.Right), float64(r.Of), level)
		down += (r.Share() - l) * (r.Share() - l)
		up += (u - r.Share()) * (u - r.Share())
		present++
	}
	b := BalancedAccuracy(recalls)
	return b - math.Sqrt(down)/present, b + math.Sqrt(up)/present
}

// Entropy returns -Σ_c p_c ln p_c in nats, with 0 ln 0 = 0: 0 for a certain
// prediction, ln(classes) for one that says nothing.
// Shannon, "A mathematical theory of communication" (1948).
func Entropy(probabilities []float64) float64 {
	sum := 0.0
	for _, p := range probabilities {
		if p != 0 {
			sum -= p * math.Log(p)
		}
	}
	return max(0, sum)
}

// MutualInformation returns the information in nats between the class of one
// subject and the weights that its sampled predictions came from,
//
//	I = H(mean_s p_s) - mean_s H(p_s)
//
// the part of the entropy that the samples disagree about: what more training
// subjects could lessen, as against noise in the classes themselves. It is 0
// when all samples are the same, NaN without samples.
// Houlsby, Huszár, Ghahramani and Lengyel, "Bayesian active learning for
// classification and preference learning" (2011); Gal, "Uncertainty in deep
// learning" (2016), section 3.3.1.
func MutualInformation(samples [][]float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	own := 0.0
	for _, row := range samples {
		own += Entropy(row) / float64(len(samples))
	}
	return max(0, Entropy(MeanProbabilities(samples))-own)
}

// MeanProbabilities is the mean of sampled predictions of one subject; nil
// without samples.
func MeanProbabilities(samples [][]float64) []float64 {
	if len(samples) == 0 {
		return nil
	}
	mean := make([]float64, len(samples[0]))
	for _, row := range samples {
		for class, p := range row {
			mean[class] += float64(p / float64(len(samples)))
		}
	}
	return mean
}

func checkLengths(a, b int) {
	if a != b {
		panic("stat: as many predictions as subjects are needed")
	}
}
