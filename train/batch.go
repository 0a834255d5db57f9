package train

import (
	"ballast/net"
	"ballast/stat"
)

// trainBatch takes one step on t.batch, which holds the images of the indices, and
// returns the summed loss, the number of images classified correctly and the norm
// of the gradient.
func (t *trainer) trainBatch(indices []int) (loss float64, correct int, norm float64) {
	set := &t.images.Train
	classes := len(t.images.Classes)
	logits := t.net.Forward(&t.batch, net.Training, stat.NewStream(t.plan.Seed, "dropout", uint64(t.step)).Uint64())
	t.labels = t.labels[:0]
	for _, i := range indices {
		t.labels = append(t.labels, set.Samples[i].Class)
	}
	t.gradient = resize(t.gradient, len(logits))
	t.predicted = resize(t.predicted, len(logits))
	loss = t.objective.gradient(logits, t.labels, t.predicted, t.gradient)
	for i, label := range t.labels {
		if largest(t.predicted[i*classes:(i+1)*classes]) == label {
			correct++
		}
	}
	t.net.Backward(t.gradient)
	norm = gradientNorm(t.net.Params())
	t.optimizer.step(t.net.Params(), t.rate())
	t.step++
	t.average()
	return loss, correct, norm
}
