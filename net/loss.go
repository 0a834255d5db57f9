package net

import "ballast/stat"

// SoftmaxCrossEntropy: logits (N, classes), labels (N) -> probabilities (N,
// classes) and dlogits (N, classes) = (p - onehot)/N, the gradient of the mean
// loss; dlogits may be nil. It returns the sum over samples, in order, of
// -log p[label] in nats, computed in float64 as
// log(sum exp(z - max)) - (z[label] - max).
func SoftmaxCrossEntropy(logits []float32, labels []int, classes int, probabilities, dlogits []float32) (lossSum float64) {
	for n, label := range labels {
		row := logits[n*classes:][:classes]
		largest := float64(row[0])
		for _, z := range row[1:] {
			largest = max(largest, float64(z))
		}
		sum := 0.0
		for _, z := range row {
			sum += stat.Exp(float64(z) - largest)
		}
		lossSum += stat.Log(sum) - (float64(row[label]) - largest)
		for c, z := range row {
			p := stat.Exp(float64(z)-largest) / sum
			probabilities[n*classes+c] = float32(p)
			if dlogits != nil {
				if c == label {
					p--
				}
				dlogits[n*classes+c] = float32(p / float64(len(labels)))
			}
		}
	}
	return lossSum
}

// A Loss is a classification loss that generalises the cross-entropy. An image
// with logits z, probabilities p = softmax(z) and label shares q over K classes
// (one share is 1, unless images are mixed) has the loss
//
//	L = -Σ_c w_c t_c (1 - p_c)^γ log p_c,  t = (1 - s) q + s/K
//
// with w the class weights, s the label smoothing (Szegedy et al., "Rethinking the
// Inception architecture", CVPR 2016) and γ the focusing of the focal loss (Lin et
// al., "Focal loss for dense object detection", ICCV 2017; smoothing and focusing
// combine as in keras.losses.CategoricalFocalCrossentropy). A batch has the
// weighted mean Σ L / Σ w·q. With γ = 0 that is PyTorch's
// CrossEntropyLoss(weight=w, label_smoothing=s) of hard labels, and for mixed ones
// the share-weighted sum of that loss against either label.
//
// The zero value is the cross-entropy. A Loss is not safe for concurrent use.
type Loss struct {
	Weights   []float64 // of the classes; nil: 1 each
	Smoothing float64   // 0 to 1
	Gamma     float64   // at least 0

	powers, slopes []float64 // of one image, by class; reused
}

// Gradient: logits (N, classes), shares (N, classes) -> probabilities (N, classes)
// and dlogits (N, classes), the gradient of the batch's loss Σ L / Σ w·q. It
// returns both sums. Sums run over images in order.
func (l *Loss) Gradient(logits []float32, shares []float64, classes int, probabilities, dlogits []float32) (lossSum, weightSum float64) {
	for i, q := range shares {
		weightSum += float64(q * l.weight(i%classes))
	}
	for from := 0; from < len(shares); from += classes {
		to := from + classes
		lossSum += l.image(logits[from:to], shares[from:to], weightSum, probabilities[from:to], dlogits[from:to])
	}
	return lossSum, weightSum
}

func (l *Loss) weight(class int) float64 {
	if l.Weights == nil {
		return 1
	}
	return l.Weights[class]
}

// image: logits (classes), shares (classes) -> probabilities (classes) and
// dlogits (classes), divided by the batch's weight. With a_c = w_c t_c and f_c the
// slope of class c's term by log p_c,
//
//	dL/dz_k = a_k f_k - p_k Σ_c a_c f_c
func (l *Loss) image(logits []float32, shares []float64, weight float64, probabilities, dlogits []float32) (loss float64) {
	classes := len(logits)
	if len(l.powers) < classes {
		l.powers, l.slopes = make([]float64, classes), make([]float64, classes)
	}
	powers, slopes := l.powers[:classes], l.slopes[:classes]
	largest := float64(logits[0])
	for _, z := range logits[1:] {
		largest = max(largest, float64(z))
	}
	sum := 0.0
	for c, z := range logits {
		powers[c] = stat.Exp(float64(z) - largest)
		sum += powers[c]
	}
	logSum, total := stat.Log(sum), 0.0
	for c, z := range logits {
		target := float64(shares[c]*(1-l.Smoothing)) + l.Smoothing/float64(classes)
		term, slope := -(float64(z) - largest - logSum), -1.0
		if l.Gamma > 0 {
			term, slope = focal(term, powers[c]/sum, others(powers, c)/sum, l.Gamma)
		}
		scale := l.weight(c) * target
		loss += float64(scale * term)
		slopes[c] = float64(scale * slope)
		total += slopes[c]
	}
	for c := range logits {
		p := powers[c] / sum
		probabilities[c] = float32(p)
		dlogits[c] = float32((slopes[c] - float64(p*total)) / weight)
	}
	return loss
}

// others is the sum of all numbers but one: exact where 1 - p would cancel.
func others(numbers []float64, but int) (sum float64) {
	for c, x := range numbers {
		if c != but {
			sum += x
		}
	}
	return sum
}

// focal returns the focal loss -(1-p)^γ log p and its slope by log p,
// γ p (1-p)^(γ-1) log p - (1-p)^γ, given -log p, p and 1-p. Near p = 1, where
// log p has lost its digits, it is the series -(r + r²/2 + ...) of r = 1-p.
func focal(minusLog, p, rest, gamma float64) (term, slope float64) {
	if rest == 0 {
		return 0, 0
	}
	ratio := minusLog / rest
	if rest < 1e-3 {
		ratio = 1 + float64(rest*(1.0/2+float64(rest*(1.0/3+float64(rest*(1.0/4+float64(rest*(1.0/5))))))))
	}
	power := stat.Exp(gamma * stat.Log(rest))
	return float64(power*ratio) * rest, -power - float64(float64(gamma*p)*float64(power*ratio))
}
