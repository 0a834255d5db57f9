package train

import (
	"slices"
	"sort"

	"ballast/net"
	"ballast/prep"
	"ballast/stat"
)

// What a batch is counted in, what has a label and what is predicted is a unit:
// an image, or under net.pooling "attention" a subject, whose images are its bag.

// MaxBag is the largest number of images of one subject in a training step. It
// bounds the memory of a step; of a subject with more, as many are drawn anew in
// every epoch.
const MaxBag = 16

// attends reports whether units are subjects.
func (p *Plan) attends() bool { return p.Net.Pooling == "attention" }

// unitClasses returns the class of each unit of a set.
func (p *Plan) unitClasses(set *Set) []int {
	var classes []int
	if p.attends() {
		for _, subject := range set.Subjects {
			classes = append(classes, subject.Class)
		}
		return classes
	}
	for _, sample := range set.Samples {
		classes = append(classes, sample.Class)
	}
	return classes
}

// units is the number of training units.
func (t *trainer) units() int {
	if t.plan.attends() {
		return len(t.images.Train.Subjects)
	}
	return len(t.images.Train.Samples)
}

// classOf is the class of a unit.
func (t *trainer) classOf(set *Set, unit int) int {
	if t.plan.attends() {
		return set.Subjects[unit].Class
	}
	return set.Samples[unit].Class
}

// bag returns the images of a subject, from and up to.
func (s *Set) bag(subject int) (from, to int) {
	from = sort.Search(len(s.Samples), func(i int) bool { return s.Samples[i].Subject >= subject })
	to = from
	for to < len(s.Samples) && s.Samples[to].Subject == subject {
		to++
	}
	return from, to
}

// largestBag is the number of images of the subject with the most.
func (s *Set) largestBag() int {
	largest := 0
	for subject := range s.Subjects {
		from, to := s.bag(subject)
		largest = max(largest, to-from)
	}
	return largest
}

// A bagging returns the images that stand for a subject at a place of an order.
type bagging func(place, subject int) []int

// bags draws the images of training subjects in an epoch: all of them in order, or
// MaxBag at random from the stream "bag" of subject and epoch (and of the repeat
// where an epoch uses a subject more than once). Epoch 0 stands for the
// recalibration of batch norm. nil where units are images.
func (t *trainer) bags(epoch int, repeat []int) bagging {
	return t.bagsOf(&t.images.Train, "bag", epoch, repeat)
}

// bagsOf is bags for any set, drawn from the stream of that name.
func (t *trainer) bagsOf(set *Set, name string, epoch int, repeat []int) bagging {
	if !t.plan.attends() {
		return nil
	}
	return func(place, subject int) []int {
		from, to := set.bag(subject)
		images := make([]int, 0, to-from)
		if to-from <= MaxBag {
			for i := from; i < to; i++ {
				images = append(images, i)
			}
			return images
		}
		indices := []uint64{uint64(subject), uint64(epoch)}
		if repeat != nil && repeat[place] > 0 {
			indices = append(indices, uint64(repeat[place]))
		}
		for _, i := range stat.NewStream(t.plan.Seed, name, indices...).Perm(to - from)[:MaxBag] {
			images = append(images, from+i)
		}
		slices.Sort(images)
		return images
	}
}

// trainingImages is how many images an epoch trains on, where each unit comes once.
func (t *trainer) trainingImages() int {
	if !t.plan.attends() {
		return len(t.images.Train.Samples)
	}
	count := 0
	for subject := range t.images.Train.Subjects {
		count += t.bagSize(subject)
	}
	return count
}

// bagSize is the number of images of a training subject in a step.
func (t *trainer) bagSize(subject int) int {
	from, to := t.images.Train.bag(subject)
	return min(to-from, MaxBag)
}

// calibrate chooses the training units that batch-norm statistics are recomputed
// from: a random order, as many of it as have views.images images, at least one.
// It returns the number of their images.
func (t *trainer) calibrate() (units []int, images int) {
	units = stat.NewStream(t.plan.Seed, "recalibration").Perm(t.units())
	for n, unit := range units {
		size := 1
		if t.plan.attends() {
			size = t.bagSize(unit)
		}
		if n > 0 && images+size > t.plan.Views.Images {
			return units[:n], images
		}
		images += size
	}
	return units, images
}

// largestBatch is the number of images of the largest batch in training and in
// any view. Under attention it is that of training, and views take as many images
// at a time.
func (t *trainer) largestBatch() int {
	largest := func(n int) int {
		most := 0
		for _, part := range parts(n, t.plan.Batch) {
			most = max(most, part.to-part.from)
		}
		return most
	}
	if t.plan.attends() {
		return largest(t.units()) * min(MaxBag, t.images.Train.largestBag())
	}
	most := 0
	for _, set := range append(t.watched(), &t.images.Train, &t.images.Test) {
		most = max(most, largest(len(set.Samples)))
	}
	return most
}

// classify returns what a pass does with each batch: it adds the predictions for
// t.batch to the pool.
func (t *trainer) classify(p *pass, pool *pooling) func(units []int, seed uint64) {
	switch {
	case !t.plan.attends():
		return func(images []int, seed uint64) { pool.add(images, t.net.Forward(&t.batch, p.mode, seed)) }
	case p.bag != nil:
		return func(subjects []int, seed uint64) { pool.addSubjects(subjects, t.net.Forward(&t.batch, p.mode, seed)) }
	}
	g := &gathering{net: t.net, set: p.set}
	return func(images []int, seed uint64) {
		g.add(images, t.net.Features(&t.batch, p.mode, seed))
		pool.addSubjects(g.classify(p.mode, seed))
	}
}

// A gathering collects the features of subjects whose images come in several
// batches, so that a subject with any number of images is evaluated on all of them
// in bounded memory.
type gathering struct {
	net      *net.Net
	set      *Set
	features []float32
	subjects []int // in the order of the features
	bags     []int // images of each so far
	last     int   // image that came last
	done     int   // subjects that were classified and may be forgotten
	encoded  []float32
}

// add takes the features of images, all those of a subject in a row.
func (g *gathering) add(images []int, features []float32) {
	g.forget()
	g.features = append(g.features, features...)
	for _, i := range images {
		subject := g.set.Samples[i].Subject
		if n := len(g.subjects); n == 0 || g.subjects[n-1] != subject {
			g.subjects, g.bags = append(g.subjects, subject), append(g.bags, 0)
		}
		g.bags[len(g.bags)-1]++
		g.last = i
	}
}

// classify returns the subjects of which all images have come, and their logits.
func (g *gathering) classify(mode net.Mode, seed uint64) (subjects []int, logits []float32) {
	g.done = len(g.subjects)
	if _, to := g.set.bag(g.set.Samples[g.last].Subject); g.last != to-1 {
		g.done--
	}
	if g.done == 0 {
		return nil, nil
	}
	g.encoded = g.encoded[:0]
	images := 0
	for n, subject := range g.subjects[:g.done] {
		g.encoded = append(g.encoded, g.set.encoded(subject)...)
		images += g.bags[n]
	}
	return g.subjects[:g.done], g.net.Classify(g.features[:images*g.net.FeatureStride()], g.bags[:g.done], g.encoded, mode, seed)
}

// forget drops the subjects that were classified.
func (g *gathering) forget() {
	images := 0
	for _, size := range g.bags[:g.done] {
		images += size
	}
	g.features = slices.Delete(g.features, 0, images*g.net.FeatureStride())
	g.subjects, g.bags, g.done = slices.Delete(g.subjects, 0, g.done), slices.Delete(g.bags, 0, g.done), 0
}

// attend returns the logits of one subject from all its images by attention.
func attend(network *net.Net, images []*prep.Image, covariates []float32, mode net.Mode, seed uint64) []float32 {
	var features []float32
	for _, image := range images {
		batch := net.Batch{N: 1, C: image.C, D: image.D, H: image.H, W: image.W, Data: image.Data}
		features = append(features, network.Features(&batch, mode, seed)...)
	}
	return network.Classify(features, []int{len(images)}, covariates, mode, seed)
}
