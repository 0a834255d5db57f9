package kernel

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

// Norm: x (N, C, D, H, W) -> y = a(x*scale + shift). The halo of y is not written.
func Norm(pool *Pool, s Shape, x []float32, affine Affine, a Activation, target Shape, y []float32) {
	s.check("normalisation input", x)
	target.check("normalisation output", y)
	if affine.perSample {
		s, target = s.separate(), target.separate()
	}
	p := newPass(func(p *pass, plane int) {
		block := p.a.block(plane)
		for h := range p.a.H {
			p.activation.normRow(p.a.row(p.x, plane, h), p.scale[block:], p.shift[block:], p.b.row(p.y, plane, h))
		}
	})
	p.a, p.x, p.b, p.y, p.scale, p.shift, p.activation = s, x, target, y, affine.Scale, affine.Shift, a
	p.run(pool, planes(s, target))
}

func normRowGo(x, scale, shift, y []float32) {
	a, c := (*[Lanes]float32)(scale), (*[Lanes]float32)(shift)
	for i, v := range x {
		y[i] = float32(v*a[i%Lanes]) + c[i%Lanes]
	}
}

// NormAdd: x, other (N, C, D, H, W) -> y = a((x*scale + shift) + other), the end of
// a residual block; other may be y.
func NormAdd(pool *Pool, s Shape, x []float32, affine Affine, otherShape Shape, other []float32, a Activation, target Shape, y []float32) {
	s.check("normalisation input", x)
	otherShape.check("shortcut", other)
	target.check("residual output", y)
	if affine.perSample {
		s, otherShape, target = s.separate(), otherShape.separate(), target.separate()
	}
	p := newPass(func(p *pass, plane int) {
		block := p.a.block(plane)
		for h := range p.a.H {
			p.activation.normAddRow(p.a.row(p.x, plane, h), p.scale[block:], p.shift[block:], p.c.row(p.z, plane, h), p.b.row(p.y, plane, h))
		}
	})
	p.a, p.x, p.b, p.y, p.c, p.z = s, x, target, y, otherShape, other
	p.scale, p.shift, p.activation = affine.Scale, affine.Shift, a
	p.run(pool, planes(s, otherShape, target))
}

// normAddRow writes the activation of (x*scale + shift) + other to y.
func (a Activation) normAddRow(x, scale, shift, other, y []float32) {
	if a == Rectifier {
		normAddReLURowFast(x, scale, shift, other, y)
		return
	}
	factor, summand := (*[Lanes]float32)(scale), (*[Lanes]float32)(shift)
	other, y = other[:len(x)], y[:len(x)]
	for i, v := range x {
		y[i] = (float32(v*factor[i%Lanes]) + summand[i%Lanes]) + other[i]
	}
	a.row(y)
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
		lanes := p.gradient.block(&p.a, plane)
		for h := range p.a.H {
			dy, dx := p.b.row(p.y, plane, h), p.c.row(p.z, plane, h)
			if before := p.gradient.before; before != nil {
				normRowFast(dy, before[plane/p.a.D*Lanes:], zeroLanes, dx)
				dy = dx
			}
			normBackwardRowFast(p.a.row(p.x, plane, h), dy, lanes, dx)
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
