package train

import (
	"ballast/kernel"
	"ballast/net"
)

// An accumulation turns the mean gradients of several batches into the mean over
// all their images: sum of n gradient / sum of n, where n is what the batch's
// objective was divided by: its images, which may be one more or less than
// another's, or with class weights their sum. That is the gradient of one large
// batch, apart from batch normalisation, which normalises each small batch by itself.
type accumulation struct {
	most    int // batches to a step
	pool    *kernel.Pool
	chunks  chunks
	params  []*net.Param
	sum     [][]float32 // of n gradient
	batches int         // gathered since the last step
	total   float64     // of n over them
	weight  float32     // n of the batch being added
	add     func(task int)
	divide  func(task int)
}

func newAccumulation(most int, params []*net.Param, pool *kernel.Pool) *accumulation {
	a := &accumulation{most: most, pool: pool, params: params}
	if most > 1 {
		a.chunks = chunksOf(params)
		for _, param := range params {
			a.sum = append(a.sum, make([]float32, len(param.Value)))
		}
		a.add, a.divide = a.addChunk, a.divideChunk
	}
	return a
}

// gather takes in the mean gradient of a batch of that weight. It reports whether
// the optimiser is to take its step, by the parameters' gradients, which then hold
// the mean over all batches gathered: after enough of them, and at the last of an
// epoch.
func (a *accumulation) gather(weight float64, last bool) bool {
	a.batches++
	a.total += weight
	whole := a.batches == a.most || last
	if !whole || a.batches > 1 { // one batch alone has the mean already
		a.weight = float32(weight)
		a.pool.Run(len(a.chunks), a.add)
	}
	if !whole {
		return false
	}
	if a.batches > 1 {
		a.pool.Run(len(a.chunks), a.divide)
	}
	a.batches, a.total = 0, 0
	return true
}

func (a *accumulation) addChunk(task int) {
	c := a.chunks[task]
	sum := a.sum[c.param][c.from:c.to]
	for i, g := range a.params[c.param].Grad[c.from:c.to] {
		weighted := float32(a.weight * g)
		if a.batches > 1 {
			weighted += sum[i]
		}
		sum[i] = weighted
	}
}

func (a *accumulation) divideChunk(task int) {
	c := a.chunks[task]
	gradient := a.params[c.param].Grad[c.from:c.to]
	for i, sum := range a.sum[c.param][c.from:c.to] {
		gradient[i] = sum / float32(a.total)
	}
}
