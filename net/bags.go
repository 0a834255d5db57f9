package net

import "fmt"

// FeatureStride is the number of elements from one row of Features to the next.
func (n *Net) FeatureStride() int { return n.head.stride }

// Classify is the second part of Forward in Inference and Sampling mode, where an
// image's features do not depend on the others of its batch: rows of Features (N,
// FeatureStride), gathered from any number of calls, the number of images of each
// bag (nil: one each), and covariates (samples, Covariates) -> logits (samples,
// Classes), valid until the next call. So a bag may hold more images than memory
// has room for at once. Backward cannot follow.
func (n *Net) Classify(features []float32, bags []int, covariates []float32, mode Mode, dropoutSeed uint64) []float32 {
	if mode != Inference && mode != Sampling {
		panic("net: Classify works in Inference and Sampling mode")
	}
	n.batch = 0
	images := len(features) / n.head.stride
	if bags == nil {
		bags = n.ones(images)
	} else if n.pools == nil || total(bags) != images {
		panic(fmt.Sprintf("net: bags of %d images in all for %d images", total(bags), images))
	}
	return n.classify(features, bags, covariates, mode, dropoutSeed)
}

// classify: features (N, F), images of each bag, covariates (samples, K) ->
// logits (samples, Classes).
func (n *Net) classify(features []float32, bags []int, covariates []float32, mode Mode, seed uint64) []float32 {
	samples := len(bags)
	if len(covariates) != samples*n.config.Covariates {
		panic(fmt.Sprintf("net: %d covariates for %d samples of %d", len(covariates), samples, n.config.Covariates))
	}
	n.head.reserve(samples)
	if n.pools != nil {
		n.pools.reserve(len(features) / n.head.stride)
		features = n.pools.forward(features, bags)
	}
	return n.head.forward(features, covariates, samples, mode, seed)
}

// bagsOf returns the bags of a batch, checked.
func (n *Net) bagsOf(x *Batch) []int {
	if x.Bags == nil {
		return n.ones(x.N)
	}
	for _, size := range x.Bags {
		if size < 1 {
			panic("net: a bag without images")
		}
	}
	if n.pools == nil || total(x.Bags) != x.N {
		panic(fmt.Sprintf("net: bags of %d images in all for a batch of %d and pooling %q", total(x.Bags), x.N, n.config.Pooling))
	}
	return x.Bags
}

// ones returns that many bags of one image.
func (n *Net) ones(count int) []int {
	for len(n.alone) < count {
		n.alone = append(n.alone, 1)
	}
	return n.alone[:count]
}

// backwardHead: dlogits (samples, Classes) -> the gradients of the head and of
// attention and, unless it is nil, of the features (N, F).
func (n *Net) backwardHead(dlogits, dfeatures []float32) {
	if n.pools == nil {
		n.head.backward(dlogits, n.batch, dfeatures)
		return
	}
	n.head.backward(dlogits, len(n.bags), n.pools.dpooled)
	n.pools.backward(n.features, n.bags, dfeatures)
}
