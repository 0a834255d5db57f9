package train

import (
	"math"

	"ballast/kernel"
	"ballast/net"
	"ballast/run"
)

// A watch gathers how an epoch of training goes, the numbers of run.Health.
// Gradients are looked at before they are clipped. At every step they are added up,
// one pass over the parameters; the layers are looked at in three steps of the
// epoch, their outputs once. Every sum is made of parts of a fixed size, added in
// order, so that the number of threads does not matter.
type watch struct {
	pool   *kernel.Pool
	net    *net.Net
	params []*net.Param // that are trained
	chunks chunks       // of params
	layers []layerWatch
	parts  chunks    // of the layers' weights
	sizes  []partial // of parts, reused

	losses []float64   // mean of each batch
	counts [][]int     // of the units of each class in each batch
	sum    [][]float32 // of the gradients
	norms  float64     // sum of the squared norms of the gradients
	steps  int         // taken in the epoch
	whole  int         // steps of an epoch
	looked int         // steps in which the layers were looked at
}

// A layerWatch is what is seen of a layer in the steps that are looked at.
type layerWatch struct {
	net.WeightLayer
	before                 []float32 // the weights before a step
	gradient, zero, change float64   // sums over steps
}

// A partial is what a chunk adds to the size of an array.
type partial struct {
	squares float64
	zeros   int
}

// newWatch watches epochs of so many steps.
func newWatch(network *net.Net, pool *kernel.Pool, steps int) *watch {
	w := &watch{pool: pool, net: network, params: network.Params(), chunks: chunksOf(network.Params()), whole: steps}
	for _, param := range w.params {
		w.sum = append(w.sum, make([]float32, len(param.Value)))
	}
	var weights []*net.Param
	for _, l := range network.WeightLayers() {
		weights = append(weights, l.Weight)
		layer := layerWatch{WeightLayer: l}
		if l.Trained {
			layer.before = make([]float32, len(l.Weight.Value))
		}
		w.layers = append(w.layers, layer)
	}
	w.parts = chunksOf(weights)
	w.sizes = make([]partial, len(w.parts))
	return w
}

// begin forgets the epoch before.
func (w *watch) begin() {
	w.losses, w.counts, w.norms, w.steps, w.looked = w.losses[:0], w.counts[:0], 0, 0, 0
	for _, sum := range w.sum {
		clear(sum)
	}
	for i := range w.layers {
		l := &w.layers[i]
		l.gradient, l.zero, l.change = 0, 0, 0
	}
}

// batch takes note of a batch: the classes of its units, of so many that there are,
// and the sum of their losses.
func (w *watch) batch(labels []int, classes int, loss float64) {
	counts := make([]int, classes)
	for _, label := range labels {
		counts[label]++
	}
	w.counts = append(w.counts, counts)
	w.losses = append(w.losses, loss/float64(len(labels)))
}

// looks says whether the layers are looked at in the present step: the first, the
// middle and the last one of the epoch.
func (w *watch) looks() bool {
	return w.steps == 0 || w.steps == w.whole/2 || w.steps == w.whole-1
}

// beforeStep sees the gradient of a step, of the given norm.
func (w *watch) beforeStep(norm float64) {
	w.norms += float64(norm * norm)
	w.chunks.each(w.pool, func(param, from, to int) {
		sum := w.sum[param][from:to]
		for i, g := range w.params[param].Grad[from:to] {
			sum[i] += g
		}
	})
	if !w.looks() {
		return
	}
	gradients := w.measure(func(l *layerWatch) (a, b []float32) { return l.Weight.Grad, nil })
	for i := range w.layers {
		l := &w.layers[i]
		if !l.Trained {
			continue
		}
		l.gradient += l.rootMeanSquare(gradients[i].squares)
		l.zero += l.shareOfZeros(gradients[i])
		copy(l.before, l.Weight.Value)
	}
}

// afterStep sees what the step made of the weights.
func (w *watch) afterStep() {
	if w.looks() {
		changes := w.measure(func(l *layerWatch) (a, b []float32) { return l.Weight.Value, l.before })
		for i := range w.layers {
			w.layers[i].change += w.layers[i].rootMeanSquare(changes[i].squares)
		}
		w.looked++
	}
	w.steps++
}

func (l *layerWatch) rootMeanSquare(squares float64) float64 {
	return math.Sqrt(squares / float64(l.Elements))
}

// shareOfZeros leaves out the padding, which is 0 as long as training has not
// diverged; NaN for a gradient that is not finite.
func (l *layerWatch) shareOfZeros(gradient partial) float64 {
	if !isFinite(gradient.squares) {
		return math.NaN()
	}
	padding := len(l.Weight.Grad) - l.Elements
	return float64(gradient.zeros-padding) / float64(l.Elements)
}

// measure returns the sum of the squares and the number of the zeros of an array of
// each layer, or of its difference from another one.
func (w *watch) measure(of func(l *layerWatch) (a, b []float32)) []partial {
	w.pool.Run(len(w.parts), func(task int) {
		c := w.parts[task]
		a, b := of(&w.layers[c.param])
		if a = a[c.from:c.to]; b != nil {
			b = b[c.from:c.to]
		}
		w.sizes[task] = sizeOf(a, b)
	})
	sizes := make([]partial, len(w.layers))
	for task, c := range w.parts {
		sizes[c.param].squares += w.sizes[task].squares
		sizes[c.param].zeros += w.sizes[task].zeros
	}
	return sizes
}

// sizeOf measures a, or a - b where there is b.
func sizeOf(a, b []float32) (p partial) {
	for i, x := range a {
		if b != nil {
			x -= b[i]
		}
		if x == 0 {
			p.zeros++
		}
		p.squares += float64(float64(x) * float64(x))
	}
	return p
}

// summary is what was seen of the epoch. The network holds the outputs of its last
// batch and the weights that followed.
func (w *watch) summary() *run.Health {
	h := &run.Health{
		Mixing:     run.Float(mixing(w.counts)),
		LossSpread: run.Float(deviation(w.losses)),
		Agreement:  run.Float(w.agreement()),
		Layers:     []run.LayerHealth{},
	}
	weights, activities := w.measure(func(l *layerWatch) (a, b []float32) { return l.Weight.Value, nil }), w.net.Activities()
	for i := range w.layers {
		l := &w.layers[i]
		size := l.rootMeanSquare(weights[i].squares)
		layer := run.LayerHealth{Name: l.Weight.Name, Weight: run.Float(size)}
		steps := float64(w.looked)
		if !l.Trained {
			steps = math.NaN()
		}
		layer.Gradient, layer.ZeroGradient = run.Float(l.gradient/steps), run.Float(l.zero/steps)
		layer.Update = run.Float(l.change / steps / size)
		activity, known := activities[l.Weight.Name]
		if !known {
			activity = net.Activity{Dead: math.NaN(), Active: math.NaN(), Output: math.NaN()}
		}
		layer.Dead, layer.Active, layer.Output = run.Float(activity.Dead), run.Float(activity.Active), run.Float(activity.Output)
		h.Layers = append(h.Layers, layer)
	}
	return h
}

// agreement is |mean g|² / mean |g|² of the steps' gradients g.
func (w *watch) agreement() float64 {
	found := make([]float64, len(w.chunks))
	w.pool.Run(len(w.chunks), func(task int) {
		c := w.chunks[task]
		found[task] = sizeOf(w.sum[c.param][c.from:c.to], nil).squares
	})
	squares := 0.0
	for _, s := range found {
		squares += s
	}
	return squares / float64(float64(w.steps)*w.norms)
}

// mixing is the variance over batches of the counts of each class, all classes
// together, divided by what it is expected to be where batches of the same sizes are
// drawn without replacement from the same units: of m units out of N, of which a
// share p is of the class, m p (1 - p) (N - m) / (N - 1), the variance of the
// hypergeometric distribution. NaN for one batch or one class.
func mixing(counts [][]int) float64 {
	var all, expected, found float64
	total := make([]float64, len(counts[0]))
	for _, batch := range counts {
		for class, n := range batch {
			total[class] += float64(n)
			all += float64(n)
		}
	}
	for _, batch := range counts {
		m := 0.0
		for _, n := range batch {
			m += float64(n)
		}
		for class, n := range batch {
			p := total[class] / all
			d := float64(n) - float64(m*p)
			found += float64(d * d)
			expected += float64(m * p * (1 - p) * (all - m) / (all - 1))
		}
	}
	return found / expected
}

// deviation is the standard deviation, divisor n - 1; NaN of one number.
func deviation(x []float64) float64 {
	mean, sum := 0.0, 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		d := v - mean
		sum += float64(d * d)
	}
	return math.Sqrt(sum / float64(len(x)-1))
}
