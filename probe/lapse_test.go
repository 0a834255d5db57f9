package probe

import (
	"math"
	"slices"
	"testing"
)

// balanced are labels of two classes in turn.
func balanced(n int) []int {
	labels := make([]int, n)
	for i := range labels {
		labels[i] = i % 2
	}
	return labels
}

// TestLapseModel holds the simulated task against the binormal model: the evidence
// for the class predicted is |D|, D normal with mean d and variance 2, and the class
// is right with probability 1/(1+exp(-d |D|)). The numbers at the ranks' quantiles of
// |D| and the profile likelihood on the same grid of λ were computed with scipy's
// norm.cdf and expit.
func TestLapseModel(t *testing.T) {
	const n = 200
	m := newLapseModel(balanced(n), 2, 1)
	for d, want := range map[float64][]float64{1: {0.5299, 0.6417, 0.7715, 0.8847, 0.9669}, 2.5: {0.7456, 0.9805, 0.9981, 0.9998, 1}} {
		for k, x := range m.distances {
			for i, rank := range []int{10, 50, 100, 150, 190} {
				if got := m.chance[k][rank]; x == d && !(math.Abs(got-want[i]) <= 0.015) {
					t.Errorf("d = %g, rank %d: right with %.4f, want %.4f", d, rank, got, want[i])
				}
			}
		}
	}
	var right []int
	for i := range n {
		if i%4 != 1 && (i%7 != 3 || i >= 100) {
			right = append(right, i)
		}
	}
	f := m.fit(right)
	if len(right) != 139 || !(math.Abs(f.share-0.25) <= 0.02) || f.low != 0 || !(math.Abs(f.high-0.35) <= 0.02) || !(math.Abs(f.ratio-3.43) <= 0.35) {
		t.Errorf("%d right: %+v; scipy finds 0.25 (0 to 0.35), ratio 3.43", len(right), f)
	}
}

// TestLapseOfThreeClasses: the margins say nothing where the classes are alike, and
// all classes are then as probable.
func TestLapseOfThreeClasses(t *testing.T) {
	labels := make([]int, 90)
	for i := range labels {
		labels[i] = i % 3
	}
	m := newLapseModel(labels, 3, 1)
	if g := m.chance[0][0]; !(math.Abs(g-1.0/3) <= 0.03) {
		t.Errorf("the least sure of the hardest task are right with %.3f, want a third", g)
	}
	world := &cleanTask{classes: 3, d: 3.5}
	p := world.predict(labels, world.noise(len(labels), 5, 1))
	for i := range labels {
		if i%5 == 0 {
			labels[i] = (labels[i] + 1 + i/5%2) % 3
		}
	}
	if f := m.fit(p.rightByMargin(labels)); !(f.low <= 0.2 && f.high >= 0.2 && f.low > 0.05) {
		t.Errorf("a fifth of wrong labels: %+v", f)
	}
}

// TestWrongLabelsStandOut simulates studies: predictions of a clean task, in which
// some labels are then exchanged. The probabilities are sharpened, as those of an
// overconfident network are, which must not count.
func TestWrongLabelsStandOut(t *testing.T) {
	const n, cohorts = 160, 15
	labels := balanced(n)
	m := newLapseModel(labels, 2, 3)
	small, covered, found := 0, 0, 0
	for cohort := range cohorts {
		world := &cleanTask{classes: 2, d: 2.6} // 97 % right
		p := world.predict(labels, world.noise(n, 77, cohort))
		for _, row := range p {
			a, b := row[0]*row[0]*row[0], row[1]*row[1]*row[1]
			row[0], row[1] = a/(a+b), b/(a+b)
		}
		if m.fit(p.rightByMargin(labels)).low > 0 {
			small++
		}
		noisy := slices.Clone(labels)
		for i := range n / 5 {
			noisy[i] = 1 - noisy[i]
		}
		f := m.fit(p.rightByMargin(noisy))
		if f.low >= 0.1 {
			found++
		}
		if f.low <= 0.2 && f.high >= 0.2 {
			covered++
		}
	}
	if small > 2 || found < 12 || covered < 13 {
		t.Errorf("of %d clean cohorts the interval of %d leaves zero out (want at most 2), of those with 20 %% wrong labels %d are found (at least 12) and %d intervals cover (at least 13)",
			cohorts, small, found, covered)
	}
}

// TestLapseP: a likelihood ratio of zero is reached by every cohort, one of 15 by
// hardly any.
func TestLapseP(t *testing.T) {
	m := newLapseModel(balanced(60), 2, 3)
	if p := m.p(lapseFit{clean: 20}, 1); p != 1 {
		t.Errorf("no evidence: p = %g, want 1", p)
	}
	if p := m.p(lapseFit{clean: 20, ratio: 15}, 1); !(p <= 0.01) {
		t.Errorf("a likelihood ratio of 15: p = %g", p)
	}
}
