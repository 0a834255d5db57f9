package stat

import (
	"math"
	"slices"
	"testing"
)

// scikit-learn 1.9.1 roc_auc_score; the variance by DeLong's definition in
// NumPy (placement values by counting all pairs).
func TestAUROC(t *testing.T) {
	positive := []bool{true, true, true, true, false, false, false, false, false, true}
	scores := []float64{0.9, 0.8, 0.7, 0.3, 0.1, 0.7, 0.2, 0.3, 0.55, 0.6}
	area, variance := AUROC(scores, positive)
	if !near(area, 0.84, 1e-12) || !near(variance, 0.0172, 1e-12) {
		t.Errorf("area %g, variance %g, want 0.84, 0.0172", area, variance)
	}
	for _, c := range []struct {
		name           string
		scores         []float64
		positive       []bool
		area, variance float64
	}{
		{"all tied", []float64{1, 1, 1, 1}, []bool{true, true, false, false}, 0.5, 0},
		{"one class", []float64{1, 2}, []bool{true, true}, math.NaN(), math.NaN()},
		{"one of each", []float64{2, 1}, []bool{true, false}, 1, math.NaN()},
		{"NaN score", []float64{2, math.NaN()}, []bool{true, false}, math.NaN(), math.NaN()},
		{"infinite", []float64{math.Inf(1), math.Inf(-1), 0, 0}, []bool{true, false, true, false}, 0.875, 0.03125},
		{"none", nil, nil, math.NaN(), math.NaN()},
	} {
		area, variance := AUROC(c.scores, c.positive)
		if !same(area, c.area) || !same(variance, c.variance) {
			t.Errorf("%s: area %g, variance %g, want %g, %g", c.name, area, variance, c.area, c.variance)
		}
	}
}

func same(a, b float64) bool { return math.Abs(a-b) < 1e-12 || math.IsNaN(a) && math.IsNaN(b) }

// Placement against counting every pair, on scores with many ties.
func TestPlacementAgreesWithCounting(t *testing.T) {
	s := NewStream(3, "test")
	for range 50 {
		n := 2 + s.IntN(30)
		scores, positive := make([]float64, n), make([]bool, n)
		for i := range scores {
			scores[i], positive[i] = float64(s.IntN(6)), i == 0 || i > 1 && s.IntN(2) == 0
		}
		for i, got := range Placement(scores, positive) {
			sum, count := 0.0, 0.0
			for j := range scores {
				if positive[j] == positive[i] {
					continue
				}
				count++
				d := scores[i] - scores[j]
				if !positive[i] {
					d = -d
				}
				switch {
				case d > 0:
					sum++
				case d == 0:
					sum += 0.5
				}
			}
			if !near(got, sum/count, 1e-12) {
				t.Fatalf("placement of %d in %v, %v = %g, want %g", i, scores, positive, got, sum/count)
			}
		}
	}
}

// scipy 1.17.1 rankdata.
func TestMidRanks(t *testing.T) {
	got := MidRanks([]float64{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5})
	if want := []float64{4.5, 1.5, 6, 1.5, 8, 11, 3, 10, 8, 4.5, 8}; !slices.Equal(got, want) {
		t.Errorf("ranks %v, want %v", got, want)
	}
	if got := MidRanks([]float64{math.NaN(), 2, 1}); !slices.Equal(got, []float64{3, 2, 1}) {
		t.Errorf("ranks %v, want NaN last", got)
	}
}
