package train

import (
	"time"

	"ballast/net"
	"ballast/prep"
)

// A drawing says how an image is changed: a sample at a position of those that
// are fed. nil: images stay as they are.
type drawing func(position, sample int) prep.Draw

// from is the drawing of the samples from a position on.
func (d drawing) from(first int) drawing {
	if d == nil {
		return nil
	}
	return func(position, sample int) prep.Draw { return d(first+position, sample) }
}

// feed calls use with each batch of the samples, in order, until use fails. The
// batch lies in t.batch. Where images are augmented, the next batch is made while
// this one is used, one ahead and no more, so that training need not wait for it.
// What a batch holds depends on the samples and the draws alone.
func (t *trainer) feed(set *Set, samples []int, draw drawing, use func(number int, indices []int) error) error {
	batches := parts(len(samples), t.plan.Batch)
	at := func(n int) []int { return samples[batches[n].from:batches[n].to] }
	fill := func(batch *net.Batch, n int) { t.fill(batch, set, at(n), draw.from(batches[n].from)) }
	ahead := draw != nil && t.pool.Workers() > 1
	made := make(chan struct{}, 1)
	for n := range batches {
		if n == 0 || !ahead {
			fill(&t.batch, n)
		} else {
			start := time.Now()
			<-made
			t.waited += time.Since(start)
			t.batch, t.next = t.next, t.batch
		}
		if ahead && n+1 < len(batches) {
			go func() {
				fill(&t.next, n+1)
				made <- struct{}{}
			}()
		}
		if err := use(n, at(n)); err != nil {
			if ahead && n+1 < len(batches) {
				<-made
			}
			return err
		}
	}
	return nil
}

// fill puts the images with the given indices into a batch, whose memory is
// reused, each changed by its draw (nil: unchanged).
func (t *trainer) fill(batch *net.Batch, set *Set, indices []int, draw drawing) {
	first := set.Samples[indices[0]].Image
	size := len(first.Data)
	*batch = net.Batch{
		N: len(indices), C: first.C, D: first.D, H: first.H, W: first.W,
		Data: resize(batch.Data, len(indices)*size),
	}
	t.pool.Run(len(indices), func(i int) {
		image, target := set.Samples[indices[i]].Image, batch.Data[i*size:(i+1)*size]
		if draw == nil {
			copy(target, image.Data)
			return
		}
		prep.Apply(target, image, draw(i, indices[i]))
	})
}
