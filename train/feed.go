package train

import (
	"time"

	"ballast/net"
	"ballast/prep"
)

// A drawing says how an image is changed: a sample at a place of the order that it
// is fed in. nil: images stay as they are.
type drawing func(place, sample int) prep.Draw

// An Alteration changes the values of an image of a set as the network sees it, in
// place. It is called by several goroutines.
type Alteration func(set *Set, sample int, voxels []float32)

// A source is what is fed to the network: units of a set in an order.
type source struct {
	set   *Set
	units []int      // images, or subjects where there are bags
	bag   bagging    // nil: units are images
	draw  drawing    // by the place of the unit
	size  int        // units of a batch; 0: as many as in training
	alter Alteration // nil: none
}

// divide makes batches of the units.
func (t *trainer) divide(s source) []part {
	size := t.plan.Batch
	if s.size > 0 {
		size = s.size
	} else if t.plan.attends() && s.bag == nil {
		size = t.largestBatch()
	}
	return parts(len(s.units), size)
}

// feed calls use with each batch of the units, in order, until use fails. The
// batch lies in t.batch. Where images are augmented, the next batch is made while
// this one is used, one ahead and no more, so that training need not wait for it.
// What a batch holds depends on the units and the draws alone.
func (t *trainer) feed(s source, use func(number int, units []int) error) error {
	batches := t.divide(s)
	ahead := s.draw != nil && t.pool.Workers() > 1
	made := make(chan struct{}, 1)
	for n := range batches {
		if n == 0 || !ahead {
			t.fill(&t.batch, s, batches[n])
		} else {
			start := time.Now()
			<-made
			t.waited += time.Since(start)
			t.batch, t.next = t.next, t.batch
		}
		if ahead && n+1 < len(batches) {
			go func() {
				t.fill(&t.next, s, batches[n+1])
				made <- struct{}{}
			}()
		}
		if err := use(n, s.units[batches[n].from:batches[n].to]); err != nil {
			if ahead && n+1 < len(batches) {
				<-made
			}
			return err
		}
	}
	return nil
}

// fill puts the units of a part of the source into a batch, whose memory is reused:
// their images, each changed by its draw, their bags and their covariates.
func (t *trainer) fill(batch *net.Batch, s source, p part) {
	covariates, bags := batch.Covariates[:0], batch.Bags[:0]
	images, places := s.units[p.from:p.to], []int(nil)
	if s.bag == nil {
		for _, image := range images {
			covariates = append(covariates, s.set.encoded(s.set.Samples[image].Subject)...)
		}
	} else {
		images = nil
		for place := p.from; place < p.to; place++ {
			subject := s.units[place]
			bag := s.bag(place, subject)
			for range bag {
				places = append(places, place)
			}
			images, bags = append(images, bag...), append(bags, len(bag))
			covariates = append(covariates, s.set.encoded(subject)...)
		}
	}
	t.fillImages(batch, s.set, images, func(i int) *prep.Draw {
		if s.draw == nil {
			return nil
		}
		place := p.from + i
		if places != nil {
			place = places[i]
		}
		draw := s.draw(place, images[i])
		return &draw
	})
	if s.alter != nil {
		size := len(batch.Data) / batch.N
		t.pool.Run(batch.N, func(i int) { s.alter(s.set, images[i], batch.Data[i*size:(i+1)*size]) })
	}
	batch.Covariates, batch.Bags = covariates, bags
	if s.bag == nil {
		batch.Bags = nil
	}
}

// fillImages puts images into a batch, each changed by its draw (nil: unchanged).
func (t *trainer) fillImages(batch *net.Batch, set *Set, images []int, draw func(i int) *prep.Draw) {
	first := set.Samples[images[0]].Image
	size := len(first.Data)
	if cap(batch.Data) < len(images)*size { // room for the largest at once: smaller ones would be garbage
		batch.Data = make([]float32, 0, max(len(images), t.largestBatch())*size)
	}
	*batch = net.Batch{
		N: len(images), C: first.C, D: first.D, H: first.H, W: first.W,
		Data: batch.Data[:len(images)*size],
	}
	t.pool.Run(len(images), func(i int) {
		image, target := set.Samples[images[i]].Image, batch.Data[i*size:(i+1)*size]
		if change := draw(i); change != nil {
			prep.Apply(target, image, *change)
		} else {
			copy(target, image.Data)
		}
	})
}
