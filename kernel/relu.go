package kernel

// maskRowGo sets dy to zero where y <= 0.
func maskRowGo(y, dy []float32) {
	dy = dy[:len(y)]
	for i, v := range y {
		if v <= 0 {
			dy[i] = 0
		}
	}
}

// ScaleChannels: x (N, C, D, H, W), factor (C padded) -> x*factor, in place.
func ScaleChannels(pool *Pool, s Shape, factor, x []float32) {
	s.check("scaled tensor", x)
	p := newPass(func(p *pass, plane int) {
		factor := (*[Lanes]float32)(p.scale[p.a.block(plane):])
		for h := range p.a.H {
			row := p.a.row(p.x, plane, h)
			for i := range row {
				row[i] *= factor[i%Lanes]
			}
		}
	})
	p.a, p.x, p.scale = s, x, factor
	p.run(pool, planes(s))
}

// Add: x, y (N, C, D, H, W) -> y + x, in place of y.
func Add(pool *Pool, s Shape, x []float32, target Shape, y []float32) {
	s.check("summand", x)
	target.check("sum", y)
	p := newPass(func(p *pass, plane int) {
		for h := range p.a.H {
			addToRowFast(p.a.row(p.x, plane, h), p.b.row(p.y, plane, h))
		}
	})
	p.a, p.x, p.b, p.y = s, x, target, y
	p.run(pool, planes(s, target))
}

// Multiply: x, factor (N, C, D, H, W) -> y = x*factor.
func Multiply(pool *Pool, s Shape, x []float32, factorShape Shape, factor []float32, target Shape, y []float32) {
	s.check("factor", x)
	factorShape.check("factor", factor)
	target.check("product", y)
	p := newPass(func(p *pass, plane int) {
		for h := range p.a.H {
			x, factor, y := p.a.row(p.x, plane, h), p.c.row(p.z, plane, h), p.b.row(p.y, plane, h)
			for i, v := range x {
				y[i] = v * factor[i]
			}
		}
	})
	p.a, p.x, p.b, p.y, p.c, p.z = s, x, target, y, factorShape, factor
	p.run(pool, planes(s, factorShape, target))
}

// addToRowGo adds x to y.
func addToRowGo(x, y []float32) {
	for i, v := range x {
		y[i] += v
	}
}

// Norm: x (N, C, D, H, W), scale, shift (C padded) -> y = x*scale + shift, and
// with relu its ReLU; NaN stays NaN. The halo of y is not written.
func Norm(pool *Pool, s Shape, x, scale, shift []float32, target Shape, y []float32, relu bool) {
	s.check("normalisation input", x)
	target.check("normalisation output", y)
	do := func(p *pass, plane int) {
		block := p.a.block(plane)
		for h := range p.a.H {
			normRowFast(p.a.row(p.x, plane, h), p.scale[block:], p.shift[block:], p.b.row(p.y, plane, h))
		}
	}
	if relu {
		do = func(p *pass, plane int) {
			block := p.a.block(plane)
			for h := range p.a.H {
				normReLURow(p.a.row(p.x, plane, h), p.scale[block:], p.shift[block:], p.b.row(p.y, plane, h))
			}
		}
	}
	p := newPass(do)
	p.a, p.x, p.b, p.y, p.scale, p.shift = s, x, target, y, scale, shift
	p.run(pool, planes(s, target))
}

func normRowGo(x, scale, shift, y []float32) {
	a, c := (*[Lanes]float32)(scale), (*[Lanes]float32)(shift)
	for i, v := range x {
		y[i] = float32(v*a[i%Lanes]) + c[i%Lanes]
	}
}

// NormAddReLU: x, other (N, C, D, H, W), scale, shift (C padded) -> y =
// ReLU((x*scale + shift) + other), the end of a residual block; other may be y.
func NormAddReLU(pool *Pool, s Shape, x, scale, shift []float32, otherShape Shape, other []float32, target Shape, y []float32) {
	s.check("normalisation input", x)
	otherShape.check("shortcut", other)
	target.check("residual output", y)
	p := newPass(func(p *pass, plane int) {
		block := p.a.block(plane)
		for h := range p.a.H {
			normAddReLURowFast(p.a.row(p.x, plane, h), p.scale[block:], p.shift[block:], p.c.row(p.z, plane, h), p.b.row(p.y, plane, h))
		}
	})
	p.a, p.x, p.b, p.y, p.c, p.z, p.scale, p.shift = s, x, target, y, otherShape, other, scale, shift
	p.run(pool, planes(s, otherShape, target))
}

func normAddReLURowGo(x, scale, shift, other, y []float32) {
	a, c := (*[Lanes]float32)(scale), (*[Lanes]float32)(shift)
	for i, v := range x {
		v = (float32(v*a[i%Lanes]) + c[i%Lanes]) + other[i]
		if v <= 0 {
			v = 0
		}
		y[i] = v
	}
}

// NormBackward: x, dy (N, C, D, H, W) -> dx, through the normalisation of x whose
// gradient is g; see NormGradient. dx may be dy. The halo of dx is not written.
func NormBackward(pool *Pool, g *NormGradient, s Shape, x []float32, gradient Shape, dy []float32, target Shape, dx []float32) {
	s.check("normalisation input", x)
	gradient.check("normalisation gradient", dy)
	target.check("gradient of normalisation input", dx)
	p := newPass(func(p *pass, plane int) {
		lanes := &p.gradient.blocks[p.a.block(plane)/Lanes]
		for h := range p.a.H {
			normBackwardRowFast(p.a.row(p.x, plane, h), p.b.row(p.y, plane, h), lanes, p.c.row(p.z, plane, h))
		}
	})
	p.a, p.x, p.b, p.y, p.c, p.z, p.gradient = s, x, gradient, dy, target, dx, g
	p.run(pool, planes(s, gradient, target))
}

func normBackwardRowGo(x, dy []float32, g *normLanes, dx []float32) {
	for i, v := range x {
		dx[i] = g.backward(i%Lanes, v, dy[i])
	}
}
