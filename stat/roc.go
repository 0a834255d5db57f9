package stat

import (
	"cmp"
	"math"
	"slices"
)

// An OperatingPoint is what a decision threshold does: all subjects with a
// score of at least Threshold are called positive.
type OperatingPoint struct {
	Threshold      float64
	True, False    int     // positives and negatives that are called positive
	Sensitivity    float64 // share of the positives called positive: the recall
	FalsePositives float64 // share of the negatives called positive: 1 - specificity
	Precision      float64 // share of those called positive that are; NaN at the first point
}

// OperatingPoints returns the points of the ROC curve and of the
// precision-recall curve, one per different score from the highest to the
// lowest, after a first one at +Inf that calls nobody positive. It is nil
// without both classes or with a NaN score.
// Fawcett, "An introduction to ROC analysis" (Pattern Recognition Letters 2006), algorithm 1.
func OperatingPoints(scores []float64, positive []bool) []OperatingPoint {
	if len(scores) != len(positive) {
		panic("stat: OperatingPoints needs as many labels as scores")
	}
	order, positives := make([]int, len(scores)), 0
	for i := range order {
		order[i] = i
		if positive[i] {
			positives++
		}
	}
	negatives := len(scores) - positives
	if positives == 0 || negatives == 0 || slices.ContainsFunc(scores, math.IsNaN) {
		return nil
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	points := []OperatingPoint{{Threshold: math.Inf(1), Precision: math.NaN()}}
	point := points[0]
	for n, i := range order {
		if positive[i] {
			point.True++
		} else {
			point.False++
		}
		if n+1 < len(order) && scores[order[n+1]] == scores[i] {
			continue
		}
		point.Threshold = scores[i]
		point.Sensitivity = float64(point.True) / float64(positives)
		point.FalsePositives = float64(point.False) / float64(negatives)
		point.Precision = float64(point.True) / float64(point.True+point.False)
		points = append(points, point)
	}
	return points
}

// AveragePrecision returns the area under the precision-recall curve as the sum
// of the precisions P at each threshold, weighted with the rise of the recall R:
//
//	AP = Σ_k (R_k - R_{k-1}) P_k
//
// without interpolation, which would be too optimistic. A score that says
// nothing has on average the share of the positives. It is NaN without both
// classes or with a NaN score.
// Davis and Goadrich, "The relationship between precision-recall and ROC curves" (ICML 2006).
func AveragePrecision(scores []float64, positive []bool) float64 {
	points := OperatingPoints(scores, positive)
	if points == nil {
		return math.NaN()
	}
	sum := 0.0
	for k := 1; k < len(points); k++ {
		sum += (points[k].Sensitivity - points[k-1].Sensitivity) * points[k].Precision
	}
	return sum
}

// AveragePrecisionInterval returns the interval of an average precision estimated
// from so many positives, normal on the scale of its logit with the standard
// error of a proportion:
//
//	logit AP ± z / sqrt(positives AP (1 - AP))
//
// It is NaN at 0 and 1 and for fewer than two positives. A bootstrap is too
// narrow here, since the estimate is biased in small samples.
// Boyd, Eng and Page, "Area under the precision-recall curve: point estimates and
// confidence intervals" (ECML PKDD 2013).
func AveragePrecisionInterval(precision float64, positives int, level float64) (low, high float64) {
	if positives < 2 {
		return math.NaN(), math.NaN()
	}
	return logitInterval(precision, math.Sqrt(precision*(1-precision)/float64(positives)), level)
}

// AUROCInterval returns the interval of an area under the ROC curve with a
// variance after DeLong, normal on the scale of its logit,
//
//	logit A ± z sqrt(Var) / (A (1 - A))
//
// which stays within 0 and 1 and covers the truth with few subjects, where A ± z
// sqrt(Var) is too narrow. It is NaN at 0 and 1, where the variance is 0.
// Pepe, "The statistical evaluation of medical tests for classification and
// prediction" (2003), section 5.2.4.
func AUROCInterval(area, variance, level float64) (low, high float64) {
	return logitInterval(area, math.Sqrt(variance), level)
}

// logitInterval is normal on the scale of the logit.
func logitInterval(share, deviation, level float64) (low, high float64) {
	if !(share > 0 && share < 1) || !(deviation > 0) {
		return math.NaN(), math.NaN()
	}
	logit := math.Log(share / (1 - share))
	half := NormalQuantile((1+level)/2) * deviation / (share * (1 - share))
	return 1 / (1 + math.Exp(half-logit)), 1 / (1 + math.Exp(-half-logit))
}

// Youden returns the threshold at which sensitivity + specificity - 1 is
// highest, midway between the score there and the next lower one, and that
// height; of equals the one of the highest sensitivity. It is NaN without both
// classes or with a NaN score.
// Youden, "Index for rating diagnostic tests" (Cancer 1950).
func Youden(scores []float64, positive []bool) (threshold, index float64) {
	points := OperatingPoints(scores, positive)
	if points == nil {
		return math.NaN(), math.NaN()
	}
	best := 1
	height := func(k int) float64 { return points[k].Sensitivity - points[k].FalsePositives }
	for k := 2; k < len(points); k++ {
		if height(k) >= height(best) {
			best = k
		}
	}
	threshold = points[best].Threshold
	if best+1 < len(points) {
		threshold = (threshold + points[best+1].Threshold) / 2
	}
	return threshold, height(best)
}

// AUROCDifference returns the difference of the areas under the ROC curves of
// two scores of the same subjects, a - b, with its variance after DeLong,
//
//	Var = s²(V10a - V10b)/m + s²(V01a - V01b)/n
//
// in which what the two have in common cancels. NaN as for AUROC.
// DeLong, DeLong and Clarke-Pearson (Biometrics 1988).
func AUROCDifference(a, b []float64, positive []bool) (difference, variance float64) {
	if len(a) != len(b) {
		panic("stat: AUROCDifference needs as many scores of both")
	}
	first, second := Placement(a, positive), Placement(b, positive)
	var groups [2][]float64
	for i := range first {
		class := 0
		if positive[i] {
			class = 1
		}
		groups[class] = append(groups[class], first[i]-second[i])
	}
	for _, group := range groups {
		mean, square := meanAndVariance(group)
		difference = mean // equal in both groups
		variance += square / float64(len(group))
	}
	return difference, variance
}

// AUROCDifferenceInterval returns the interval of a - b, the difference of two
// areas under the ROC curve of the same subjects, from the interval (l, u) of each
// (AUROCInterval) and the correlation r of the two estimates after DeLong:
//
//	a - b - sqrt((a - la)² + (ub - b)² - 2 r (a - la)(ub - b))
//	a - b + sqrt((ua - a)² + (b - lb)² - 2 r (ua - a)(b - lb))
//
// Unlike the normal interval it agrees with those of the areas: against a score
// that is the same for all subjects, whose area is 0.5 without any error, it is
// that of a less 0.5. It is NaN where an area has no interval, as at 0 and 1.
// Zou, "Toward using confidence intervals to compare correlations" (Psychological
// Methods 2007), the method of variance estimates recovery.
func AUROCDifferenceInterval(a, b []float64, positive []bool, level float64) (low, high float64) {
	difference, variance := AUROCDifference(a, b, positive)
	first, ofFirst := AUROC(a, positive)
	second, ofSecond := AUROC(b, positive)
	correlation := 0.0
	if ofFirst > 0 && ofSecond > 0 {
		correlation = (ofFirst + ofSecond - variance) / (2 * math.Sqrt(ofFirst*ofSecond))
	}
	downA, upA := distances(first, ofFirst, level)
	downB, upB := distances(second, ofSecond, level)
	side := func(x, y float64) float64 { return math.Sqrt(max(0, x*x+y*y-2*correlation*x*y)) }
	return difference - side(downA, upB), difference + side(upA, downB)
}

// distances are those of the ends of an area's interval from it.
func distances(area, variance, level float64) (down, up float64) {
	if variance == 0 && area == 0.5 {
		return 0, 0
	}
	low, high := AUROCInterval(area, variance, level)
	return area - low, high - area
}

// meanAndVariance returns mean and sample variance; the variance is NaN for
// fewer than two values.
func meanAndVariance(values []float64) (mean, variance float64) {
	for _, x := range values {
		mean += x
	}
	mean /= float64(len(values))
	for _, x := range values {
		variance += (x - mean) * (x - mean)
	}
	if len(values) < 2 {
		return mean, math.NaN()
	}
	return mean, variance / float64(len(values)-1)
}
