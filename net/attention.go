package net

import (
	"math"
	"slices"

	"ballast/kernel"
	"ballast/stat"
)

// attentionUnits is the width of the hidden layer that scores an image.
const attentionUnits = 64

// An attention pools the images of each subject, a bag: features (N, F) of N
// images and the number of images of each bag -> pooled (bags, F). With h_k the
// features of image k of a bag,
//
//	s_k = w . tanh(V h_k),  a = softmax(s) over the bag,  z = sum a_k h_k,
//
// V (64, F), w (64), both without a bias: attention-based multiple instance
// learning (Ilse, Tomczak and Welling 2018, equations 7 and 8). The images of a
// bag may come in any number; one image alone has the weight 1.
type attention struct {
	features, stride int // stride: features with padding
	hidden, score    *Param

	tanh     []float32 // tanh(V h) (N, 64)
	dhidden  []float32 // gradient of V h (N, 64)
	weights  []float64 // a (N), in float64 so that those of a bag add up to 1
	dweights []float64 // gradient of a (N)
	pooled   []float32 // z (bags, stride)
	dpooled  []float32 // its gradient (bags, stride)
	ignored  [attentionUnits]float32
	bias     [attentionUnits]float32 // none: zeros
	images   int                     // that the buffers are made for
}

func newAttention(features, stride int) *attention {
	return &attention{
		features: features, stride: stride,
		hidden: newParam("attention.hidden.weight", attentionUnits*stride, true),
		score:  newParam("attention.score.weight", attentionUnits, true),
	}
}

func (a *attention) params() []*Param { return []*Param{a.hidden, a.score} }

func (a *attention) entries(int) []*entry {
	return []*entry{
		{
			name: a.hidden.Name, shape: []int{attentionUnits, a.features}, data: a.hidden.Value,
			index: func(i int) int { return i/a.features*a.stride + i%a.features },
		},
		{name: a.score.Name, shape: []int{1, attentionUnits}, data: a.score.Value},
	}
}

// layer returns the line of the summary; a sample is one image.
func (a *attention) layer() Layer {
	parameters := attentionUnits*a.features + attentionUnits
	return Layer{"attention", "attention pooling", []int{a.features}, parameters, 2 * int64(parameters)}
}

// size returns the number of float32 that n images need, in n bags.
func (a *attention) size(n int) int { return n * (2*attentionUnits + 2*2 + 2*a.stride) }

func (a *attention) reserve(n int) {
	if n <= a.images {
		return
	}
	a.images = n
	a.tanh, a.dhidden = make([]float32, n*attentionUnits), make([]float32, n*attentionUnits)
	a.weights, a.dweights = make([]float64, n), make([]float64, n)
	a.pooled, a.dpooled = make([]float32, n*a.stride), make([]float32, n*a.stride)
}

// forward: features (N, F), images of each bag -> pooled (bags, F).
func (a *attention) forward(features []float32, bags []int) []float32 {
	n := total(bags)
	features = features[:n*a.stride]
	activations := a.tanh[:n*attentionUnits]
	kernel.Dense(features, a.hidden.Value, a.bias[:], a.stride, attentionUnits, activations)
	for i, x := range activations {
		activations[i] = float32(tanh(float64(x)))
	}
	for k := range n {
		a.weights[k] = dot(a.score.Value, activations[k*attentionUnits:])
	}
	pooled := a.pooled[:len(bags)*a.stride]
	clear(pooled)
	first := 0
	for bag, size := range bags {
		weights, z := a.weights[first:first+size], pooled[bag*a.stride:][:a.stride]
		softmax(weights)
		for k, weight := range weights {
			addScaled(z, float32(weight), features[(first+k)*a.stride:])
		}
		first += size
	}
	return pooled
}

// backward: a.dpooled (bags, F), features (N, F), images of each bag -> the
// gradients of V and w and, unless it is nil, of the features (N, F).
func (a *attention) backward(features []float32, bags []int, dfeatures []float32) {
	n := total(bags)
	features = features[:n*a.stride]
	clear(a.score.Grad)
	first := 0
	for bag, size := range bags {
		dz := a.dpooled[bag*a.stride:][:a.stride]
		a.scoreBackward(features[first*a.stride:], dz, first, size)
		first += size
	}
	if dfeatures != nil {
		dfeatures = dfeatures[:n*a.stride]
	}
	kernel.DenseBackward(features, a.hidden.Value, a.dhidden[:n*attentionUnits], a.stride, attentionUnits, a.hidden.Grad, a.ignored[:], dfeatures)
	if dfeatures == nil {
		return
	}
	first = 0
	for bag, size := range bags {
		dz := a.dpooled[bag*a.stride:][:a.stride]
		for k := first; k < first+size; k++ {
			addScaled(dfeatures[k*a.stride:][:a.stride], float32(a.weights[k]), dz)
		}
		first += size
	}
}

// scoreBackward sets a.dhidden for one bag, images first to first+size, and adds
// to the gradient of w: with g_k = dz . h_k, the gradient of the score is
// a_k (g_k - sum_j a_j g_j).
func (a *attention) scoreBackward(features, dz []float32, first, size int) {
	mean := 0.0
	for k := range size {
		g := dot(dz, features[k*a.stride:])
		a.dweights[first+k] = g
		mean += float64(a.weights[first+k] * g)
	}
	for k := range size {
		i := first + k
		dscore := float32(a.weights[i] * (a.dweights[i] - mean))
		row, drow := a.tanh[i*attentionUnits:][:attentionUnits], a.dhidden[i*attentionUnits:][:attentionUnits]
		addScaled(a.score.Grad, dscore, row)
		for u, t := range row {
			drow[u] = float32(dscore*a.score.Value[u]) * (1 - float32(t*t))
		}
	}
}

// softmax replaces scores by their softmax.
func softmax(scores []float64) {
	largest, sum := slices.Max(scores), 0.0
	for i, s := range scores {
		scores[i] = stat.Exp(s - largest)
		sum += scores[i]
	}
	for i := range scores {
		scores[i] /= sum
	}
}

// tanh is the hyperbolic tangent with the same bits on every CPU, as
// 1 - 2/(exp(2|x|) + 1). Below 1e-4, where that loses digits, it is x - x^3/3,
// whose next term is 1e-17 of it.
func tanh(x float64) float64 {
	size := math.Abs(x)
	if size < 1e-4 {
		return x - float64(float64(float64(x*x)*x)/3)
	}
	return math.Copysign(1-2/(stat.Exp(2*size)+1), x)
}

// dot is the inner product, summed in float64 in order.
func dot(x, y []float32) float64 {
	sum := 0.0
	for i, v := range x {
		sum += float64(float64(v) * float64(y[i]))
	}
	return sum
}

// addScaled adds factor*x to dst.
func addScaled(dst []float32, factor float32, x []float32) {
	for i := range dst {
		dst[i] += float32(factor * x[i])
	}
}

// total is the sum of sizes.
func total(sizes []int) int {
	sum := 0
	for _, size := range sizes {
		sum += size
	}
	return sum
}
