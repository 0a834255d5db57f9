package train

import (
	"slices"
	"testing"
)

func TestOrders(t *testing.T) {
	classes := []int{1, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0} // 8, 2 and 1 units
	p := DefaultPlan()
	for epoch := 1; epoch <= 40; epoch++ {
		p.Sampling.Draw = "shuffled"
		if got := p.order(epoch, classes); !isPermutation(got, len(classes)) {
			t.Fatalf("shuffled: %v", got)
		}
		p.Sampling.Draw = "balanced"
		order := p.order(epoch, classes)
		if len(order) != len(classes) {
			t.Fatalf("balanced: %d draws of %d units", len(order), len(classes))
		}
		if !slices.Equal(order, p.order(epoch, classes)) || slices.Equal(order, p.order(epoch+1, classes)) {
			t.Error("balanced: epochs are to differ, and to be the same again")
		}
		var perClass [3]int
		perUnit := make([]int, len(classes))
		for _, unit := range order {
			perClass[classes[unit]]++
			perUnit[unit]++
		}
		for class, count := range perClass { // 11 draws of 3 classes: 4, 4 and 3
			if count < 3 || count > 4 {
				t.Errorf("balanced: %d draws of class %d", count, class)
			}
			var times []int
			for unit, n := range perUnit {
				if classes[unit] == class {
					times = append(times, n)
				}
			}
			if slices.Max(times)-slices.Min(times) > 1 {
				t.Errorf("balanced: units of class %d drawn %v times", class, times)
			}
		}
	}
	p.Sampling.Draw = "sorted"
	if got, want := p.order(1, classes), []int{1, 2, 4, 5, 6, 8, 9, 10, 0, 7, 3}; !slices.Equal(got, want) {
		t.Errorf("sorted: %v, want %v", got, want)
	}
}

// Over many epochs every unit of a class is drawn about equally often, the draws
// that no class is owed go round, and neighbours are of mixed classes.
func TestBalancedOverEpochs(t *testing.T) {
	classes := make([]int, 31)
	for i := range 6 {
		classes[i] = 1
	}
	p := DefaultPlan()
	p.Sampling.Draw = "balanced"
	const epochs = 400
	perUnit, ones, alike := make([]float64, len(classes)), 0, 0
	for epoch := range epochs {
		order := p.order(epoch, classes)
		for place, unit := range order {
			perUnit[unit]++
			ones += classes[unit]
			if place > 0 && classes[unit] == classes[order[place-1]] {
				alike++
			}
		}
	}
	for unit, count := range perUnit {
		want := epochs * 15.5 / 25
		if classes[unit] == 1 {
			want = epochs * 15.5 / 6
		}
		if !(count > 0.85*want && count < 1.15*want) { // the standard error is below 4 %
			t.Errorf("unit %d of class %d drawn %v times, want about %v", unit, classes[unit], count, want)
		}
	}
	if share := float64(ones) / (31 * epochs); !(share > 0.49 && share < 0.51) {
		t.Errorf("class 1 has %v of the draws", share)
	}
	if share := float64(alike) / (30 * epochs); !(share > 0.45 && share < 0.52) { // 14.5/30 when shuffled
		t.Errorf("%v of the neighbours are of one class", share)
	}
}

func isPermutation(order []int, n int) bool {
	sorted := slices.Sorted(slices.Values(order))
	for i, unit := range sorted {
		if unit != i {
			return false
		}
	}
	return len(order) == n
}

// An image that is drawn again is changed in another way; its first use is as in
// a plan that draws it once.
func TestRepeats(t *testing.T) {
	if got, want := repeats([]int{4, 1, 4, 0, 4, 1}), []int{0, 0, 1, 0, 2, 1}; !slices.Equal(got, want) {
		t.Errorf("repeats %v, want %v", got, want)
	}
	p := smallPlan()
	p.Augment.Affine.Probability = 1
	first := p.DrawOf(3, 2)
	if again := p.DrawOfRepeat(3, 2, 0); again.Affine.Rotation != first.Affine.Rotation {
		t.Error("the first use differs from DrawOf")
	}
	if again := p.DrawOfRepeat(3, 2, 1); again.Affine.Rotation == first.Affine.Rotation {
		t.Error("the second use is drawn like the first")
	}
}
