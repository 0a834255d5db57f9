package train

import (
	"bytes"
	"context"
	"math"
	"reflect"
	"slices"
	"testing"

	"ballast/prep"
	"ballast/run"
)

// The fingerprint of a run is that of what its subjects look like to the network,
// with the mistakes of the plan and without augmentation.
func TestFingerprintOfARun(t *testing.T) {
	p := smallPlan()
	p.Epochs, p.Augment.Shift = 1, 2
	p.Mistakes.InputOffset, p.Mistakes.ValidationGain = 3, 2
	images, raw := blobs(p, 6, 4, 2), blobs(p, 6, 4, 2)
	if err := p.Plant(images); err != nil {
		t.Fatal(err)
	}
	images.More = []Set{blobs(p, 1, 3, 0).Validation}
	images.More[0].Name = "fresh"
	dir, err := trainInto(t, context.Background(), p, images, Options{Threads: 3})
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Fingerprint.Sets) != 3 {
		t.Fatalf("%d sets, want train, validation and test", len(r.Fingerprint.Sets))
	}
	for k, set := range raw.sets()[:3] {
		gain := 1.0
		if k > 0 {
			gain = 2
		}
		for i := range set.Subjects {
			var all []float64
			from, to := set.bag(i)
			for _, sample := range set.Samples[from:to] {
				for _, x := range sample.Image.Data {
					all = append(all, gain*(float64(x)+3))
				}
			}
			mean, squares := 0.0, 0.0
			for _, x := range all {
				mean += x / float64(len(all))
				squares += x * x / float64(len(all))
			}
			got := r.Fingerprint.Sets[set.Name][i]
			if !close64(got.Mean, mean, 1e-6) || !close64(got.Deviation, math.Sqrt(squares-mean*mean), 1e-6) ||
				!close64(got.Least, slices.Min(all), 1e-6) || !close64(got.Greatest, slices.Max(all), 1e-6) {
				t.Errorf("%s %d: %+v; want mean %g, deviation %g, %g to %g", set.Name, i, got, mean, math.Sqrt(squares-mean*mean), slices.Min(all), slices.Max(all))
			}
			// The mean and the deviation of the cells are taken out, and with them gain and offset.
			if own := thumbnail(set.Samples[from].Image); !nearly(own, got.Thumbnail) {
				t.Errorf("%s %d: thumbnail %v, want %v", set.Name, i, got.Thumbnail, own)
			}
		}
	}
}

// nearly allows for rounding at the edge of a step.
func nearly(a, b []int) bool {
	return slices.EqualFunc(a, b, func(x, y int) bool { return x-y <= 1 && y-x <= 1 })
}

// A ramp along one axis: cell i has the mean i, so the thumbnail is
// 32 (i - mean) / deviation with the mean 3.5 and the deviation sqrt(63/12) of 0..7,
// and 1.5 and sqrt(15/12) of 0..3.
func TestThumbnailOfARamp(t *testing.T) {
	flat := &prep.Image{C: 2, D: 1, H: 16, W: 24, Data: make([]float32, 2*16*24)}
	for i := range flat.Data {
		flat.Data[i] = float32(i % 24 / 3)
		if i >= 16*24 { // the second channel does not matter
			flat.Data[i] = 1000
		}
	}
	volume := &prep.Image{C: 1, D: 8, H: 4, W: 4, Data: make([]float32, 128)}
	for i := range volume.Data {
		volume.Data[i] = float32(i / 32)
	}
	row, slab := []int{-49, -35, -21, -7, 7, 21, 35, 49}, []int{-43, -14, 14, 43}
	for i, x := range thumbnail(flat) {
		if want := row[i%8]; x != want {
			t.Errorf("cell %d of the image is %d, want %d", i, x, want)
		}
	}
	for i, x := range thumbnail(volume) {
		if want := slab[i/16]; x != want {
			t.Errorf("cell %d of the volume is %d, want %d", i, x, want)
		}
	}
}

func TestThumbnailOfOddImages(t *testing.T) {
	nothing := make([]int, run.ThumbnailCells)
	filled := func(d, h, w int, value float32) *prep.Image {
		image := &prep.Image{C: 1, D: d, H: h, W: w, Data: make([]float32, d*h*w)}
		for i := range image.Data {
			image.Data[i] = value
		}
		return image
	}
	infinite := filled(4, 4, 4, 1)
	infinite.Data[5] = float32(math.Inf(1))
	spot := filled(1, 8, 8, 0)
	spot.Data[9] = 1
	want := slices.Repeat([]int{-4}, run.ThumbnailCells) // 32 / sqrt(63)
	want[9] = 127                                        // 32 sqrt(63) = 254, held within
	for name, test := range map[string]struct {
		image *prep.Image
		want  []int
	}{
		"one colour, cells of unequal size": {filled(5, 7, 9, 0.1), nothing},
		"smaller than the cells":            {filled(1, 3, 5, 2), nothing},
		"not finite":                        {infinite, nothing},
		"a spot":                            {spot, want},
	} {
		if got := thumbnail(test.image); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if l := look(nil); !math.IsNaN(float64(l.Mean)) || !slices.Equal(l.Thumbnail, nothing) {
		t.Errorf("without images: %+v", l)
	}
}

// A copy is recognised among others by its thumbnail.
func TestFingerprintOfACopy(t *testing.T) {
	p := smallPlan()
	p.Mistakes.Leak = 0.25
	images := blobs(p, 6, 8, 0)
	if err := p.Plant(images); err != nil {
		t.Fatal(err)
	}
	trainer, err := newTrainer(p, images, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.pool.Close()
	f := trainer.fingerprint()
	copies := 0
	for i, a := range f.Sets[run.Train] {
		for _, b := range f.Sets[run.Validation] {
			if same := reflect.DeepEqual(a, b); same != (i >= 6 && same) {
				t.Errorf("training subject %d looks like somebody else", i)
			} else if same {
				copies++
			}
		}
	}
	if copies != 2 {
		t.Errorf("%d copies, want 2", copies)
	}
	text, err := f.Encode()
	if err != nil || !bytes.HasSuffix(text, []byte("\n")) {
		t.Errorf("%q: %v", text, err)
	}
}
