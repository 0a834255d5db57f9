package stat

import (
	"math"
	"testing"
)

var (
	tenPositive = []bool{true, true, true, true, false, false, false, false, false, true}
	tenScores   = []float64{0.9, 0.8, 0.7, 0.3, 0.1, 0.7, 0.2, 0.3, 0.55, 0.6}
)

// scikit-learn 1.9.1: roc_curve (drop_intermediate=False), precision_recall_curve.
func TestOperatingPoints(t *testing.T) {
	want := []OperatingPoint{
		{math.Inf(1), 0, 0, 0, 0, math.NaN()},
		{0.9, 1, 0, 0.2, 0, 1}, {0.8, 2, 0, 0.4, 0, 1}, {0.7, 3, 1, 0.6, 0.2, 0.75}, {0.6, 4, 1, 0.8, 0.2, 0.8},
		{0.55, 4, 2, 0.8, 0.4, 0.6666666666666666}, {0.3, 5, 3, 1, 0.6, 0.625}, {0.2, 5, 4, 1, 0.8, 0.5555555555555556}, {0.1, 5, 5, 1, 1, 0.5},
	}
	got := OperatingPoints(tenScores, tenPositive)
	if len(got) != len(want) {
		t.Fatalf("%d points, want %d", len(got), len(want))
	}
	for k, w := range want {
		g := got[k]
		if g.Threshold != w.Threshold || g.True != w.True || g.False != w.False ||
			!same(g.Sensitivity, w.Sensitivity) || !same(g.FalsePositives, w.FalsePositives) || !same(g.Precision, w.Precision) {
			t.Errorf("point %d is %+v, want %+v", k, g, w)
		}
	}
	for name, points := range map[string][]OperatingPoint{
		"one class": OperatingPoints([]float64{1, 2}, []bool{true, true}),
		"NaN":       OperatingPoints([]float64{1, math.NaN()}, []bool{true, false}),
		"none":      OperatingPoints(nil, nil),
	} {
		if points != nil {
			t.Errorf("%s: %v, want none", name, points)
		}
	}
}

// scikit-learn 1.9.1 average_precision_score; the share of positives when all
// scores are equal.
func TestAveragePrecision(t *testing.T) {
	for _, c := range []struct {
		scores   []float64
		positive []bool
		want     float64
	}{
		{tenScores, tenPositive, 0.8350000000000001},
		{[]float64{1, 1, 1, 1}, []bool{true, false, false, false}, 0.25},
		{[]float64{3, 2, 1}, []bool{true, true, false}, 1},
		{[]float64{3, 2}, []bool{false, false}, math.NaN()},
	} {
		if got := AveragePrecision(c.scores, c.positive); !same(got, c.want) {
			t.Errorf("average precision of %v = %g, want %g", c.scores, got, c.want)
		}
	}
}

// From the points above: sensitivity 0.8 at a false positive share of 0.2, from
// 0.6 down to the next score of 0.55.
func TestYouden(t *testing.T) {
	threshold, index := Youden(tenScores, tenPositive)
	if !near(threshold, 0.575, 1e-12) || !near(index, 0.6, 1e-12) {
		t.Errorf("threshold %g, index %g, want 0.575, 0.6", threshold, index)
	}
	if threshold, index = Youden([]float64{1, 2}, []bool{false, false}); !math.IsNaN(threshold) || !math.IsNaN(index) {
		t.Errorf("threshold %g of one class", threshold)
	}
}

// The variance of the difference of a score to itself is 0, to one that is
// independent near the sum of both; the difference is that of the areas.
func TestAUROCDifference(t *testing.T) {
	other := []float64{0.2, 0.9, 0.4, 0.6, 0.3, 0.1, 0.5, 0.8, 0.7, 0.35}
	a, varianceA := AUROC(tenScores, tenPositive)
	b, varianceB := AUROC(other, tenPositive)
	difference, variance := AUROCDifference(tenScores, other, tenPositive)
	// DeLong's covariance by its definition: s10 / m + s01 / n.
	covariance := 0.0
	x, y := Placement(tenScores, tenPositive), Placement(other, tenPositive)
	for _, class := range []bool{true, false} {
		var p, q []float64
		for i := range x {
			if tenPositive[i] == class {
				p, q = append(p, x[i]), append(q, y[i])
			}
		}
		sum := 0.0
		for i := range p {
			sum += (p[i] - mean(p)) * (q[i] - mean(q))
		}
		covariance += sum / float64(len(p)-1) / float64(len(p))
	}
	if !near(difference, a-b, 1e-12) || !near(variance, varianceA+varianceB-2*covariance, 1e-12) {
		t.Errorf("difference %g, variance %g; want %g, %g", difference, variance, a-b, varianceA+varianceB-2*covariance)
	}
	if difference, variance = AUROCDifference(other, other, tenPositive); difference != 0 || variance != 0 {
		t.Errorf("a score differs from itself by %g, variance %g", difference, variance)
	}
	if _, variance = AUROCDifference([]float64{1, 2}, []float64{2, 1}, []bool{true, false}); !math.IsNaN(variance) {
		t.Errorf("variance of one subject of each class: %g", variance)
	}
}

func mean(values []float64) float64 {
	m, _ := meanAndVariance(values)
	return m
}

// scipy 1.17.1 special.logit and expit, stats.norm.ppf.
func TestLogitIntervals(t *testing.T) {
	areaLow, areaHigh := AUROCInterval(0.84, 0.0172, 0.95)
	precisionLow, precisionHigh := AveragePrecisionInterval(0.835, 5, 0.95)
	for _, c := range []struct {
		name              string
		low, high         float64
		wantLow, wantHigh float64
	}{
		{"AUROC", areaLow, areaHigh, 0.4367597452596322, 0.972635934474941},
		{"average precision", precisionLow, precisionHigh, 0.3230131118984034, 0.9817098205127804},
	} {
		if !near(c.low, c.wantLow, 1e-12) || !near(c.high, c.wantHigh, 1e-12) {
			t.Errorf("%s: %.15g to %.15g, want %.15g to %.15g", c.name, c.low, c.high, c.wantLow, c.wantHigh)
		}
	}
	for _, edge := range []float64{0, 1, math.NaN()} {
		if low, high := AveragePrecisionInterval(edge, 5, 0.95); !math.IsNaN(low) || !math.IsNaN(high) {
			t.Errorf("interval of %g: %g to %g", edge, low, high)
		}
	}
	if low, _ := AUROCInterval(0.9, 0, 0.95); !math.IsNaN(low) {
		t.Errorf("without variance: from %g", low)
	}
}

func TestAUROCDifferenceInterval(t *testing.T) {
	constant := make([]float64, 10)
	areaLow, areaHigh := AUROCInterval(0.84, 0.0172, 0.95)
	if low, high := AUROCDifferenceInterval(tenScores, constant, tenPositive, 0.95); !near(low, areaLow-0.5, 1e-12) || !near(high, areaHigh-0.5, 1e-12) {
		t.Errorf("against a constant %g to %g, want %g to %g", low, high, areaLow-0.5, areaHigh-0.5)
	}
	if low, high := AUROCDifferenceInterval(tenScores, tenScores, tenPositive, 0.95); !(math.Abs(low) < 0.75) || !near(low, -high, 1e-12) {
		t.Errorf("against itself %g to %g", low, high)
	}
	perfect := []float64{1, 1, 1, 1, 0, 0, 0, 0, 0, 1}
	if low, high := AUROCDifferenceInterval(perfect, tenScores, tenPositive, 0.95); !math.IsNaN(low) || !math.IsNaN(high) {
		t.Errorf("of a perfect score %g to %g", low, high)
	}
}

// Of 400 sets of 30 subjects with two correlated scores whose areas differ by
// Φ(1) - Φ(0.5), at least 92 % of the 95 % intervals hold that; the standard
// error is 1.1 %.
func TestAUROCDifferenceIntervalCovers(t *testing.T) {
	const sets = 400
	truth, covered := NormalCDF(1)-NormalCDF(0.5), 0
	for k := range uint64(sets) {
		s := NewStream(21, "coverage", k)
		a, b, positive := make([]float64, 30), make([]float64, 30), make([]bool, 30)
		for i := range a {
			common := s.Normal()
			a[i], b[i], positive[i] = common+s.Normal(), common+s.Normal(), i%2 == 0
			if positive[i] { // distances of 2 and 1 at a variance of 2: areas Φ(1) and Φ(0.5)
				a[i], b[i] = a[i]+2, b[i]+1
			}
		}
		if low, high := AUROCDifferenceInterval(a, b, positive, 0.95); math.IsNaN(low) || low <= truth && truth <= high {
			covered++
		}
	}
	if share := float64(covered) / sets; share < 0.92 {
		t.Errorf("%.3f of the 95 %% intervals hold the truth", share)
	}
}
