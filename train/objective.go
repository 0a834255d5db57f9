package train

import "ballast/net"

// An objective is the loss that training lessens.
type objective struct {
	plan    Loss
	classes int
}

func newObjective(p Plan, images *Images) *objective {
	return &objective{plan: p.Loss, classes: len(images.Classes)}
}

// gradient: logits (N, classes), labels (N) -> probabilities (N, classes) and the
// gradient of the objective by the logits (N, classes). It returns the sum over
// images of the plain cross-entropy, which is what a run records.
func (o *objective) gradient(logits []float32, labels []int, probabilities, gradient []float32) (crossEntropy float64) {
	return net.SoftmaxCrossEntropy(logits, labels, o.classes, probabilities, gradient)
}
