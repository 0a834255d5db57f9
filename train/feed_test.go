package train

import (
	"context"
	"errors"
	"slices"
	"testing"

	"ballast/prep"
)

// Batches come in order, whole, with the bits of a batch made alone, on one
// thread as on several; an error ends the pass and leaves nothing running.
func TestFeed(t *testing.T) {
	p := smallPlan()
	p.Augment = presets["light"]()
	images := blobs(p, 11, 2, 0)
	samples := []int{5, 0, 3, 3, 9, 1, 12, 7, 2, 4, 6}
	draw := func(_, sample int) prep.Draw { return p.DrawOf(sample, 2) }
	var want [][]float32
	for _, threads := range []int{1, 2, 5} {
		trainer, err := newTrainer(p, images, Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.pool.Close()
		if threads == 1 {
			for _, part := range parts(len(samples), p.Batch) {
				trainer.fill(&trainer.batch, source{set: &images.Train, units: samples, draw: draw}, part)
				want = append(want, slices.Clone(trainer.batch.Data))
			}
		}
		var seen []int
		drawn := source{set: &images.Train, units: samples, draw: draw}
		err = trainer.feed(drawn, func(number int, indices []int) error {
			if trainer.batch.N != len(indices) || !slices.Equal(trainer.batch.Data, want[number]) {
				t.Errorf("%d threads: batch %d is another one", threads, number)
			}
			seen = append(seen, indices...)
			return nil
		})
		if err != nil || !slices.Equal(seen, samples) {
			t.Errorf("%d threads: fed %v, %v", threads, seen, err)
		}
		stop := errors.New("stop")
		calls := 0
		err = trainer.feed(drawn, func(number int, _ []int) error {
			calls++
			if number == 1 {
				return stop
			}
			return nil
		})
		if err != stop || calls != 2 {
			t.Errorf("%d threads: %d calls, %v", threads, calls, err)
		}
		if err := trainer.feed(source{set: &images.Train, units: samples}, func(number int, indices []int) error {
			if !slices.Equal(trainer.batch.Data[:8], images.Train.Samples[indices[0]].Image.Data[:8]) {
				t.Errorf("%d threads: batch %d was changed without a draw", threads, number)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkEpoch trains 24 images of 32^3 voxels for an epoch with the
// augmentation "mri" and reports how long the steps waited for their batches.
func BenchmarkEpoch(b *testing.B) {
	p := DefaultPlan()
	p.Batch, p.Views.Every = 8, 0
	p.Prep.Crop, p.Prep.Grid, p.Prep.Spacing = "none", []int{32, 32, 32}, []float64{1, 1, 1}
	p.Augment = presets["mri"]()
	trainer, err := newTrainer(p, blobs(p, 16, 4, 0), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer trainer.pool.Close()
	for b.Loop() {
		if _, err := trainer.epoch(context.Background(), 1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(trainer.waited.Seconds()*1000/float64(b.N), "ms-waited/op")
}
