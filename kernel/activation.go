package kernel

// An Activation is what a value that is not above zero is multiplied by: 0 is
// ReLU, a number between 0 and 1 leaky ReLU, 1 no activation. None of them
// lessens a larger value below a smaller one, so they commute with the maximum.
// NaN stays NaN.
type Activation float32

// The activations that have no parameter.
const (
	Rectifier Activation = 0
	Identity  Activation = 1
)

// An Activated is what an activation gave, which its pass back needs: y (N, C, D,
// H, W). Without Y there was none.
type Activated struct {
	Activation Activation
	Shape      Shape
	Y          []float32
}

// Activate: y (N, C, D, H, W) -> a(y), in place.
func Activate(pool *Pool, a Activation, s Shape, y []float32) {
	s.check("activation input", y)
	if a == Identity {
		return
	}
	p := newPass(func(p *pass, plane int) {
		for h := range p.a.H {
			p.activation.row(p.a.row(p.y, plane, h))
		}
	})
	p.a, p.y, p.activation = s, y, a
	p.run(pool, planes(s))
}

// row applies the activation to a row, in place.
func (a Activation) row(y []float32) {
	switch a {
	case Identity:
	case Rectifier:
		maskRowFast(y, y)
	default:
		leakyRow(float32(a), y, y)
	}
}

// backwardRow makes dy, the gradient of the activation's output y, that of its
// input.
func (a Activation) backwardRow(y, dy []float32) {
	switch a {
	case Identity:
	case Rectifier:
		maskRowFast(y, dy)
	default:
		leakyRow(float32(a), y, dy)
	}
}

// normRow writes the activation of x*scale + shift to y.
func (a Activation) normRow(x, scale, shift, y []float32) {
	if a == Rectifier {
		normReLURow(x, scale, shift, y)
		return
	}
	normRowFast(x, scale, shift, y)
	a.row(y[:len(x)])
}

// leakyRow multiplies z by the slope where y is not above zero. The signs of y
// follow no pattern that a branch could be foretold by: the factor is looked up.
func leakyRow(slope float32, y, z []float32) {
	factors := [2]float32{slope, 1}
	z = z[:len(y)]
	for i, v := range y {
		above := 0
		if v > 0 {
			above = 1
		}
		z[i] *= factors[above&1]
	}
}

// maskRowGo sets dy to zero where y <= 0.
func maskRowGo(y, dy []float32) {
	dy = dy[:len(y)]
	for i, v := range y {
		if v <= 0 {
			dy[i] = 0
		}
	}
}

// A BiasGradient sums the gradient of a bias.
type BiasGradient struct {
	partial  []float64 // per sample and block: 16 sums, 16 that are not used
	after    Activated
	from, to Shape
	dy, dx   []float32
	task     func(task int)
}

// NewBiasGradient returns what sums the gradients of one bias.
func NewBiasGradient() *BiasGradient {
	b := new(BiasGradient)
	b.task = b.addPlanes
	return b
}

// BiasGradientBytes returns the size of the sums for a gradient of that shape.
func BiasGradientBytes(s Shape) int { return s.N * s.Blocks() * 2 * Lanes * 8 }

// Backward: dy (N, C, D, H, W), the gradient of what the activation gave -> dx,
// that of its input, in layout target, which may be dy itself, and db (C padded),
// overwritten: the sums of dx in float64, per sample in row order, the samples'
// sums in order.
func (b *BiasGradient) Backward(pool *Pool, after Activated, gradient Shape, dy []float32, target Shape, dx, db []float32) {
	after.Shape.check("activation output", after.Y)
	gradient.check("gradient of activation output", dy)
	target.check("gradient of activation input", dx)
	tasks := planes(gradient, target, after.Shape) / gradient.D
	if need := tasks * 2 * Lanes; len(b.partial) < need {
		b.partial = make([]float64, need)
	}
	b.after, b.from, b.dy, b.to, b.dx = after, gradient, dy, target, dx
	pool.Run(tasks, b.task)
	b.after, b.dy, b.dx = Activated{}, nil, nil
	for channel := range db[:gradient.Padded()] {
		sum := 0.0
		for n := range gradient.N {
			sum += b.partial[(n*gradient.Blocks()+channel/Lanes)*2*Lanes+channel%Lanes]
		}
		db[channel] = float32(sum)
	}
}

// addPlanes does one sample and block of Backward.
func (b *BiasGradient) addPlanes(task int) {
	sums := (*[2 * Lanes]float64)(b.partial[task*2*Lanes:]) // the sums of squares are not used
	clear(sums[:])
	for plane := task * b.from.D; plane < (task+1)*b.from.D; plane++ {
		for h := range b.from.H {
			dx := b.to.row(b.dx, plane, h)
			copy(dx, b.from.row(b.dy, plane, h))
			b.after.Activation.backwardRow(b.after.Shape.row(b.after.Y, plane, h), dx)
			addSquaresFast(sums, dx)
		}
	}
}
