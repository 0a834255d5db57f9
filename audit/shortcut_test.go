package audit

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"ballast/stat"
)

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

// The fast area is the general one.
func TestAreaOf(t *testing.T) {
	for n := range 50 {
		stream := stat.NewStream(testSeed, "keys", uint64(n))
		var scores []float64
		var positive []bool
		var keys []uint64
		positives := 0
		for range 2 + stream.IntN(40) {
			score := math.Round(4 * stream.Normal()) // with ties
			if n%2 == 1 {
				score = stream.Normal() * 1e-3
			}
			label := stream.IntN(3) == 0
			scores, positive, keys = append(scores, score), append(positive, label), append(keys, scoreKey(score, label))
			positives += indicator(label)
		}
		want, _ := stat.AUROC(scores, positive)
		if got := areaOf(keys, positives); !(near(got, want, 1e-12) || math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("case %d: %g, want %g", n, got, want)
		}
	}
}

// Without any relation p-values are spread evenly: of 300 tests about a tenth
// lies below 0.1 (binomial 99.9 % limits 14 and 50).
func TestPValuesUnderNoRelation(t *testing.T) {
	const tests, subjects = 300, 40
	for _, numeric := range []bool{true, false} {
		below := 0
		for n := range tests {
			stream := stat.NewStream(testSeed, fmt.Sprint("null ", numeric), uint64(n))
			f := Fact{Numeric: numeric}
			labels := make([]int, subjects)
			for i := range subjects {
				f.values = append(f.values, value{known: true, number: stream.Normal(), word: fmt.Sprint(stream.IntN(3))})
				labels[i] = indicator(i%3 == 0)
			}
			f.test(context.Background(), labels, 2, 199, stream)
			below += indicator(f.P <= 0.1)
		}
		if below > 50 {
			t.Errorf("numeric %v: %d of %d p-values are at most 0.1", numeric, below, tests)
		}
		if below < 14 {
			t.Errorf("numeric %v: only %d of %d p-values are at most 0.1", numeric, below, tests)
		}
	}
}

// The area of a fact that has a normal distribution in each of two classes is
// Phi(d / sqrt(2)) (Hanley and McNeil 1982); with 2,000 subjects cross-validation
// costs next to nothing.
func TestAreaOfNormalFacts(t *testing.T) {
	for _, d := range []float64{0, 0.5, 1, 2} {
		stream := stat.NewStream(testSeed, "area", uint64(10*d))
		var values []value
		var labels []int
		for n := range 2000 {
			values = append(values, value{known: true, number: stream.Normal() + d*float64(n%2)})
			labels = append(labels, n%2)
		}
		got := newPredictor(values, true, 2).area(labels, stream)
		if want := stat.NormalCDF(d / math.Sqrt2); !near(got, want, 0.03) {
			t.Errorf("d = %g: area %.3f, want %.3f", d, got, want)
		}
	}
}

// A fact whose spread, not its mean, differs is seen too; and so is one that
// differs between three classes.
func TestAreaOfOtherRelations(t *testing.T) {
	stream := stat.NewStream(testSeed, "spread")
	var values, three []value
	var two, classes []int
	for n := range 600 {
		values = append(values, value{known: true, number: stream.Normal() * (1 + 4*float64(n%2))})
		two = append(two, n%2)
		three = append(three, value{known: true, word: fmt.Sprint("scanner ", n%3)})
		classes = append(classes, n%3)
	}
	if area := newPredictor(values, true, 2).area(two, stream); area < 0.75 {
		t.Errorf("five times the spread: area %.3f", area)
	}
	if area := newPredictor(three, false, 3).area(classes, stream); !near(area, 1, 1e-9) {
		t.Errorf("a word for each class: area %.3f", area)
	}
}

// By hand: 5 * 0.01, 4 * 0.02, 3 * 0.03, 2 * 0.04 but not below 0.09, 1 * 0.5.
func TestHolm(t *testing.T) {
	var facts []Fact
	for _, p := range []float64{0.01, 0.02, 0.03, 0.04, 0.5} {
		facts = append(facts, Fact{P: p})
	}
	facts = append(facts, Fact{P: 0.6, Kind: Covariate})
	correct(facts, func(f *Fact) bool { return f.Kind != Covariate })
	for n, want := range []float64{0.05, 0.08, 0.09, 0.09, 0.5, 0} {
		if !near(facts[n].Corrected, want, 1e-12) {
			t.Errorf("fact %d: %g, want %g", n, facts[n].Corrected, want)
		}
	}
}

func TestStratifiedFolds(t *testing.T) {
	labels := make([]int, 33)
	for n := range labels {
		labels[n] = indicator(n < 11)
	}
	fold := stratified(labels, 2, stat.NewStream(testSeed, "folds"))
	var counts [2][folds]int
	for n, f := range fold {
		counts[labels[n]][f]++
	}
	for class, want := range [2][2]int{{4, 5}, {2, 3}} {
		if slices.Min(counts[class][:]) != want[0] || slices.Max(counts[class][:]) != want[1] {
			t.Errorf("class %d in folds: %v", class, counts[class])
		}
	}
}

func TestSettle(t *testing.T) {
	words := func(list ...string) Fact {
		f := Fact{}
		for _, w := range list {
			f.values = append(f.values, spoken(w))
		}
		return f
	}
	numbers := func(list ...float64) Fact {
		f := Fact{}
		for _, x := range list {
			f.values = append(f.values, value{known: true, number: x})
		}
		return f
	}
	for _, c := range []struct {
		name string
		fact Fact
		want bool
	}{
		{"one word", words("a", "a", "a", "a", "a", "a", "a", "a"), false},
		{"two words", words("a", "b", "a", "b", "a", "b", "a", "b"), true},
		{"a word each", words("a", "b", "c", "d", "e", "f", "g", "h"), false},
		{"known of few", words("a", "b", "a", "b", "", "", "", ""), false},
		{"one odd word", words("a", "a", "a", "a", "a", "a", "a", "b"), true},
		{"one number", numbers(1, 1, 1, 1, 1, 1, 1, 1), false},
		{"rounding", numbers(0.9765625, 0.97656250001, 0.9765625, 0.9765625, 0.9765625, 0.9765625, 0.9765625, 0.9765625), false},
		{"numbers", numbers(1, 2, 3, 4, 5, 6, 7, 8), true},
	} {
		if got := c.fact.settle(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestKindOf(t *testing.T) {
	for name, want := range map[string]string{
		"MagneticFieldStrength": Acquisition, "field_strength": Acquisition, "TR": Acquisition, "Manufacturer": Acquisition,
		"age": Covariate, "tumour_ml": Covariate, "grade": Covariate, "Slice Thickness": Acquisition,
	} {
		if got := kindOf(name); got != want {
			t.Errorf("%s is %s", name, got)
		}
	}
}
