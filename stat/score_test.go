package stat

import (
	"math"
	"testing"
)

var (
	threeClasses = [][]float64{{.7, .2, .1}, {.1, .6, .3}, {.2, .2, .6}, {.5, .3, .2}, {.05, .15, .8}, {.3, .4, .3}}
	threeTruth   = []int{0, 1, 2, 1, 2, 0}
)

// scikit-learn 1.9.1: log_loss, brier_score_loss (scale_by_half=False for three
// classes), balanced_accuracy_score.
func TestProperScores(t *testing.T) {
	recalls := Recalls([]int{0, 1, 2, 0, 2, 1}, threeTruth, 3)
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"log loss", LogLoss(threeClasses, threeTruth), 0.6682358919061326},
		{"Brier", Brier(threeClasses, threeTruth), 0.37083333333333335},
		{"binary Brier", BinaryBrier(tenScores, tenPositive), 0.17224999999999996},
		{"balanced accuracy", BalancedAccuracy(recalls), 0.6666666666666666},
		{"balanced accuracy without class 1", BalancedAccuracy([]Recall{{1, 2}, {}, {3, 3}}), 0.75},
		{"log loss of a certain mistake", LogLoss([][]float64{{1, 0}}, []int{1}), math.Inf(1)},
		{"nobody's log loss", LogLoss(nil, nil), math.NaN()},
		{"nobody's Brier", Brier(nil, nil), math.NaN()},
		{"nobody's balanced accuracy", BalancedAccuracy(nil), math.NaN()},
	} {
		if !same(c.got, c.want) && c.got != c.want {
			t.Errorf("%s = %.17g, want %.17g", c.name, c.got, c.want)
		}
	}
}

// With one class it is Wilson's interval; with all right it does not collapse.
func TestBalancedAccuracyInterval(t *testing.T) {
	wilsonLow, wilsonHigh := Wilson(7, 9, 0.95)
	if low, high := BalancedAccuracyInterval([]Recall{{7, 9}}, 0.95); !near(low, wilsonLow, 1e-12) || !near(high, wilsonHigh, 1e-12) {
		t.Errorf("one class: %g to %g, want %g to %g", low, high, wilsonLow, wilsonHigh)
	}
	if low, high := BalancedAccuracyInterval([]Recall{{5, 5}, {8, 8}}, 0.95); !(low < 0.9) || high != 1 {
		t.Errorf("all right: %g to %g", low, high)
	}
}

// Of 2,000 simulated sets of 12 and 25 subjects about 95 % of the intervals
// hold the true mean of the recalls 0.85 and 0.6; four standard errors are 2 %.
func TestBalancedAccuracyIntervalCovers(t *testing.T) {
	const draws = 2000
	covered := 0
	for k := range uint64(draws) {
		s := NewStream(11, "coverage", k)
		recalls := []Recall{{Of: 12}, {Of: 25}}
		for class, p := range []float64{0.85, 0.6} {
			for range recalls[class].Of {
				if s.Float64() < p {
					recalls[class].Right++
				}
			}
		}
		if low, high := BalancedAccuracyInterval(recalls, 0.95); low <= 0.725 && 0.725 <= high {
			covered++
		}
	}
	if share := float64(covered) / draws; !near(share, 0.95, 0.02) {
		t.Errorf("%.3f of the 95 %% intervals hold the truth", share)
	}
}

// scipy 1.17.1 stats.entropy; the squared Jensen-Shannon distance of two
// distributions is their mutual information.
func TestUncertainty(t *testing.T) {
	for i, want := range []float64{0.8018185525433373, 0.8979457248567798, 0.9502705392332347, 1.0296530140645737, 0.6128694524619496, 1.0888999753452238} {
		if got := Entropy(threeClasses[i]); !near(got, want, 1e-14) {
			t.Errorf("entropy %d = %.17g, want %.17g", i, got, want)
		}
	}
	if got := Entropy([]float64{1, 0}); got != 0 {
		t.Errorf("entropy of certainty %g", got)
	}
	if got := MutualInformation([][]float64{{.9, .1}, {.2, .8}}); !near(got, 0.2753961152487704, 1e-14) {
		t.Errorf("mutual information %.17g", got)
	}
	if got := MutualInformation([][]float64{{.3, .7}, {.3, .7}, {.3, .7}}); !(got < 1e-15) {
		t.Errorf("mutual information of equal samples %g", got)
	}
	if got := MutualInformation(nil); !math.IsNaN(got) || MeanProbabilities(nil) != nil {
		t.Errorf("mutual information of no samples %g", got)
	}
}
