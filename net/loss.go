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
