package kernel

// Dropout: x -> x*scale where keep(i), else 0, in place. Its backward pass is
// itself with the same keep and scale = 1/(1 - probability).
func Dropout(x []float32, scale float32, keep func(i int) bool) {
	for i, v := range x {
		if keep(i) {
			x[i] = v * scale
		} else {
			x[i] = 0
		}
	}
}

// ScaleEach: x (N, C, D, H, W), factor (N, C padded) -> y = x*factor, a factor for
// each channel of each sample.
func ScaleEach(pool *Pool, factor []float32, s Shape, x []float32, target Shape, y []float32) {
	s.check("scaled tensor", x)
	target.check("product", y)
	p := newPass(func(p *pass, plane int) {
		factor := p.scale[plane/p.a.D*Lanes:]
		for h := range p.a.H {
			normRowFast(p.a.row(p.x, plane, h), factor, zeroLanes, p.b.row(p.y, plane, h))
		}
	})
	p.a, p.x, p.b, p.y, p.scale = s, x, target, y, factor
	p.run(pool, planes(s, target))
}
