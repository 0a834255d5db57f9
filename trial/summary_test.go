package trial

import (
	"math"
	"slices"
	"testing"

	"ballast/stat"
)

// Values from scipy 1.17.1: mean ± t.ppf(0.975, 9) sqrt((1/10 + 1/4) var(ddof=1)).
func TestNadeauBengio(t *testing.T) {
	values := []float64{0.75, 0.625, 0.5, 0.875, 0.6875, 0.5625, 0.8125, 0.75, 0.625, 0.6875}
	mean, low, high := NadeauBengio(values, 0.25, 0.95)
	for n, pair := range [][2]float64{{mean, 0.6875}, {low, 0.5347869375922794}, {high, 0.8402130624077206}} {
		if !(math.Abs(pair[0]-pair[1]) <= 1e-12) {
			t.Errorf("number %d is %.15g, want %.15g", n, pair[0], pair[1])
		}
	}
	if mean, low, _ := NadeauBengio([]float64{0.5}, 0.25, 0.95); mean != 0.5 || !math.IsNaN(low) {
		t.Errorf("one value: %v from %v", mean, low)
	}
}

// Values that are all the same say nothing of their variance; a perfect accuracy
// then has the interval of Wilson.
func TestNoVariance(t *testing.T) {
	if mean, low, high := NadeauBengio([]float64{0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7}, 0.25, 0.95); !(math.Abs(mean-0.7) < 1e-12) || !math.IsNaN(low) || !math.IsNaN(high) {
		t.Errorf("%v from %v to %v", mean, low, high)
	}
	o := small()
	o.rows, o.fold = o.rows[1:], o.fold[1:]
	r := o.summarise(measures[0], 1, 50)
	low, high := stat.Wilson(4, 4, 0.95)
	if r.Value != 1 || !math.IsNaN(float64(r.Low)) || float64(r.PooledLow) != low || float64(r.PooledHigh) != high {
		t.Errorf("all right: %+v", r)
	}
}

// small is two repeats of two folds of four subjects.
func small() *outcome {
	rows := func(ones ...float64) [][]float64 {
		var rows [][]float64
		for _, one := range ones {
			rows = append(rows, []float64{1 - one, one})
		}
		return rows
	}
	return &outcome{
		classes: 2, truth: []int{0, 1, 0, 1}, folds: 2, trained: 2, tested: 2,
		rows: [][][]float64{rows(0.25, 0.75, 0.625, 0.375), rows(0.25, 0.75, 0.125, 0.875)},
		fold: [][]int{{0, 0, 1, 1}, {0, 1, 1, 0}},
	}
}

func TestSummarise(t *testing.T) {
	o := small()
	accuracy := o.summarise(measures[0], 1, 200)
	// Repeat 1 gets subjects 0 and 1 right, which are its first fold; repeat 2 all.
	if accuracy.Value != 0.75 || accuracy.Pooled != 0.75 || accuracy.Repeats[0] != 0.5 || accuracy.Repeats[1] != 1 {
		t.Errorf("accuracy %+v", accuracy)
	}
	// Fold values 1, 0, 1, 1: variance 1/4, t with 3 degrees of freedom 3.182446.
	if half := 3.182446305284263 * math.Sqrt((0.25+1)*0.25); !(math.Abs(float64(accuracy.High)-1) <= 1e-12) || !(math.Abs(float64(accuracy.Low)-math.Max(0, 0.75-half)) <= 1e-12) {
		t.Errorf("interval %v to %v, want half width %v, cut off", accuracy.Low, accuracy.High, half)
	}
	// Variances within repeats are 1/2 and 0, between them 1/8.
	if s := accuracy.Spread; !(math.Abs(float64(s.Folds)-0.5) <= 1e-12) || !(math.Abs(float64(s.Repeats)-math.Sqrt(0.125)) <= 1e-12) {
		t.Errorf("spread %+v", s)
	}
	auroc := o.summarise(measures[2], 1, 200)
	if auroc.Repeats[0] != 0.75 || auroc.Repeats[1] != 1 { // of the four pairs of repeat 1 only (0.625, 0.375) is wrong
		t.Errorf("AUROC %+v", auroc)
	}
	brier := o.summarise(measures[4], 1, 200)
	want := (0.0625 + 0.0625 + 0.390625 + 0.390625) / 4
	if !(math.Abs(float64(brier.Repeats[0])-want) <= 1e-12) {
		t.Errorf("Brier score %v, want %v", brier.Repeats[0], want)
	}
}

// A spread between folds that chance explains is about as large as what chance is
// said to give, and one that it does not explain is larger.
func TestFoldsByChance(t *testing.T) {
	s := stat.NewStream(3, "deal")
	make := func(better float64) (folds, chance float64) {
		var sumFolds, sumChance float64
		for range 40 {
			o := &outcome{classes: 2, folds: 5, trained: 80, tested: 20, rows: [][][]float64{nil}, fold: [][]int{nil}}
			for i := range 100 {
				one, right := 0.75, 0.7
				if i%5 == 0 {
					right += better
				}
				if s.Float64() > right == (i/5%2 == 1) {
					one = 0.25
				}
				o.truth = append(o.truth, i/5%2)
				o.rows[0] = append(o.rows[0], []float64{1 - one, one})
				o.fold[0] = append(o.fold[0], i%5)
			}
			r := o.summarise(measures[0], 1, 100)
			sumFolds += float64(r.Spread.Folds * r.Spread.Folds)
			sumChance += float64(r.Spread.ByChance * r.Spread.ByChance)
		}
		return math.Sqrt(sumFolds / 40), math.Sqrt(sumChance / 40)
	}
	if folds, chance := make(0); !(folds/chance > 0.8 && folds/chance < 1.2) {
		t.Errorf("equally good folds differ by %v, by chance %v", folds, chance)
	}
	if folds, chance := make(-0.5); !(folds > 1.5*chance) {
		t.Errorf("with one bad fold they differ by %v, by chance %v", folds, chance)
	}
}

// A subject's predictions of all repeats travel together: repeating the same
// predictions narrows nothing.
func TestRepeatsAreNoData(t *testing.T) {
	o := small()
	o.rows, o.fold = o.rows[:1], o.fold[:1]
	once := o.summarise(measures[4], 5, 400)
	o.rows, o.fold = slices.Repeat(o.rows, 6), slices.Repeat(o.fold, 6)
	often := o.summarise(measures[4], 5, 400)
	if !(math.Abs(float64(once.PooledLow-often.PooledLow)) <= 1e-12) || !(math.Abs(float64(once.PooledHigh-often.PooledHigh)) <= 1e-12) {
		t.Errorf("%v to %v once, %v to %v six times", once.PooledLow, once.PooledHigh, often.PooledLow, often.PooledHigh)
	}
}
