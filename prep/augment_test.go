package prep

import (
	"reflect"
	"slices"
	"testing"

	"ballast/stat"
)

func numbered(d, h, w int) *Image {
	image := &Image{C: 1, D: d, H: h, W: w, Data: make([]float32, d*h*w), Background: -9}
	for n := range image.Data {
		image.Data[n] = float32(n)
	}
	return image
}

func TestApply(t *testing.T) {
	for _, c := range []struct {
		name string
		draw Draw
		want []float32
	}{
		{"nothing", Draw{}, []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"left-right", Draw{Flip: [3]bool{false, false, true}}, []float32{2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9}},
		{"anterior-posterior", Draw{Flip: [3]bool{false, true, false}}, []float32{3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8}},
		{"superior-inferior", Draw{Flip: [3]bool{true, false, false}}, []float32{6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5}},
		{"one along W", Draw{Shift: [3]int{0, 0, 1}}, []float32{-9, 0, 1, -9, 3, 4, -9, 6, 7, -9, 9, 10}},
		{"back along H", Draw{Shift: [3]int{0, -1, 0}}, []float32{3, 4, 5, -9, -9, -9, 9, 10, 11, -9, -9, -9}},
		{"one along D", Draw{Shift: [3]int{1, 0, 0}}, []float32{-9, -9, -9, -9, -9, -9, 0, 1, 2, 3, 4, 5}},
		{"flip, then shift", Draw{Flip: [3]bool{false, false, true}, Shift: [3]int{0, 0, 1}}, []float32{-9, 2, 1, -9, 5, 4, -9, 8, 7, -9, 11, 10}},
		{"far away", Draw{Shift: [3]int{0, 0, 99}}, slices.Repeat([]float32{-9}, 12)},
	} {
		dst := make([]float32, 12)
		Apply(dst, numbered(2, 2, 3), c.draw)
		if !slices.Equal(dst, c.want) {
			t.Errorf("%s: %v, want %v", c.name, dst, c.want)
		}
	}
	flat := numbered(1, 2, 2)
	dst := make([]float32, 4)
	if Apply(dst, flat, Draw{Flip: [3]bool{true}, Shift: [3]int{5}}); !slices.Equal(dst, flat.Data) {
		t.Errorf("2D: depth moved: %v", dst)
	}
}

// Draws come from the stream alone, cover their range evenly and replay to the
// same bits.
func TestDraw(t *testing.T) {
	a := Augmentation{Flip: []string{"left-right", "superior-inferior"}, Shift: 2}
	flipped, shifts := 0, map[int]int{}
	src := numbered(4, 5, 6)
	const n = 4000
	for epoch := range uint64(n) {
		d := a.Draw(stat.NewStream(1, "augment", 7, epoch))
		again := a.Draw(stat.NewStream(1, "augment", 7, epoch))
		if !reflect.DeepEqual(d, again) || d.Flip[1] {
			t.Fatalf("%+v, then %+v", d, again)
		}
		if d.Flip[2] {
			flipped++
		}
		shifts[d.Shift[0]]++
		if epoch < 20 {
			one, two := make([]float32, len(src.Data)), make([]float32, len(src.Data))
			Apply(one, src, d)
			Apply(two, src, again)
			if !slices.Equal(one, two) {
				t.Fatal("a replayed draw gives another image")
			}
		}
	}
	// Within five standard errors: sqrt(n/4) = 32, sqrt(n 0.2 0.8) = 25.
	if flipped < n/2-160 || flipped > n/2+160 {
		t.Errorf("%d of %d flipped", flipped, n)
	}
	for shift := -2; shift <= 2; shift++ {
		if count := shifts[shift]; count < n/5-125 || count > n/5+125 {
			t.Errorf("shift %d drawn %d times of %d", shift, count, n)
		}
	}
	if len(shifts) != 5 {
		t.Errorf("shifts %v", shifts)
	}
	if !reflect.DeepEqual((Augmentation{}).Draw(stat.NewStream(1, "augment")), Draw{}) {
		t.Error("no augmentation draws something")
	}
	if (Augmentation{Flip: []string{"up-down"}}).Check() == nil || (Augmentation{Shift: -1}).Check() == nil {
		t.Error("Check accepts an unknown flip or a negative shift")
	}
}
