package train

import (
	"context"

	"ballast/net"
	"ballast/prep"
	"ballast/stat"
)

// A tally adds up an epoch of training.
type tally struct {
	score         // over units
	steps int     // of the optimiser
	norm  float64 // of the gradient before clipping, over steps
	rate  float64 // of the last step
}

// eachBatch calls use with each batch of an epoch of training, which lies in
// t.batch, until use fails or the context ends.
func (t *trainer) eachBatch(ctx context.Context, epoch int, use func(indices []int, last bool) error) error {
	order := t.order(epoch)
	last := len(parts(len(order), t.plan.Batch)) - 1
	repeat := repeats(order)
	draw := func(place, sample int) prep.Draw { return t.plan.DrawOfRepeat(sample, epoch, repeat[place]) }
	training := source{set: &t.images.Train, units: order, bag: t.bags(epoch, repeat), draw: draw}
	return t.feed(training, func(batch int, indices []int) error {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		return use(indices, batch == last)
	})
}

// trainBatch trains on t.batch, which holds the units of the indices: it takes a
// step, or keeps the gradient for the step that several batches share. The last
// batch of an epoch always ends with a step.
func (t *trainer) trainBatch(indices []int, last bool, sum *tally) {
	batch := t.backward(indices)
	sum.add(batch)
	t.health.batch(t.labels, len(t.images.Classes), batch.crossEntropy)
	if !t.accumulation.gather(batch.weight, last) {
		return
	}
	sum.rate = t.rate()
	sum.norm += t.takeStep(sum.rate)
	sum.steps++
}

// backward leaves the gradient of t.batch in the parameters, mixed first where the
// plan mixes images.
func (t *trainer) backward(indices []int) score {
	set := &t.images.Train
	mixture := t.mix(t.batches)
	logits := t.net.Forward(&t.batch, net.Training, stat.NewStream(t.plan.Seed, "dropout", uint64(t.batches)).Uint64())
	t.batches++
	t.labels = t.labels[:0]
	for _, i := range indices {
		t.labels = append(t.labels, t.classOf(set, i))
	}
	t.gradient = resize(t.gradient, len(logits))
	t.predicted = resize(t.predicted, len(logits))
	sum := t.objective.gradient(logits, t.labels, mixture, t.predicted, t.gradient)
	t.net.Backward(t.gradient)
	return sum
}

// takeStep moves the weights by the parameters' gradients and returns the norm
// that the gradient had before it was clipped.
func (t *trainer) takeStep(rate float64) (norm float64) {
	params := t.net.Params()
	norm = gradientNorm(params)
	t.health.beforeStep(norm)
	clip(params, norm, t.plan.Optimizer.Clip)
	t.optimizer.step(params, rate)
	t.health.afterStep()
	t.step++
	t.average()
	return norm
}
