package net

// A Layer is one line of a network's summary.
type Layer struct {
	Name, Kind string
	Output     []int // shape of the output of one sample, (C, D, H, W), (C, H, W) or (C)
	Parameters int
	FLOPs      int64 // nominal additions and multiplications of the forward pass of one sample
}

// Layers returns the layers from input to output. FLOPs are counted for
// convolutions and the dense layer; the others' are negligible.
func (n *Net) Layers() []Layer {
	var layers []Layer
	add := func(name, kind string, output []int, parameters int, flops int64) {
		layers = append(layers, Layer{name, kind, output, parameters, flops})
	}
	for _, stage := range n.stages {
		layers = append(layers, stage.layers(n)...)
	}
	features := []int{n.head.features}
	if len(n.stages) == 0 {
		add("average", "average pooling", n.shape(n.image.C, n.image.D, n.image.H, n.image.W), 0, 0)
	} else {
		add("average", "global average pooling", features, 0, 0)
	}
	if n.pools != nil {
		layers = append(layers, n.pools.layer())
	}
	if n.head.dropout > 0 {
		add("dropout", "dropout", features, 0, 0)
	}
	weights := (n.head.features + n.head.covariates) * n.head.classes
	add("head", "dense", []int{n.head.classes}, weights+n.head.classes, 2*int64(weights))
	return layers
}

func (n *Net) shape(c, d, h, w int) []int {
	if n.config.Dims == 2 {
		return []int{c, h, w}
	}
	return []int{c, d, h, w}
}

// A Cost says what a batch needs.
type Cost struct {
	Parameters   int64 // trained numbers, without padding
	ForwardFLOPs int64 // nominal, of the whole batch
	StepFLOPs    int64 // nominal, forward and backward; the first layer has no input gradient
	Bytes        int64 // parameters, activations and gradients with padding, as allocated
}

// Cost returns what training with batches of that size needs. The optimiser's
// own state is not included.
func (n *Net) Cost(batch int) Cost {
	var c Cost
	layers := n.Layers()
	first := int64(0)
	for _, l := range layers {
		c.Parameters += int64(l.Parameters)
		c.ForwardFLOPs += l.FLOPs * int64(batch)
		if first == 0 {
			first = l.FLOPs * int64(batch)
		}
	}
	c.StepFLOPs = 3*c.ForwardFLOPs - first
	elements := 0
	for _, p := range n.params {
		elements += len(p.Value) + len(p.Grad)
	}
	bytes := 0
	for _, stage := range n.stages {
		e, b := stage.size(batch)
		elements += e
		bytes += b
	}
	e, b := n.head.size(batch)
	elements += e + batch*n.head.stride
	bytes += b
	if n.pools != nil {
		elements += n.pools.size(batch)
	}
	if len(n.stages) > 0 {
		elements += n.image.Batch(batch).Len() + batch*n.head.stride
	}
	c.Bytes = int64(4*elements + bytes)
	return c
}
