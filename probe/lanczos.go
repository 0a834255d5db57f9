package probe

import "math"

// A ritz is what Lanczos's method says of the largest eigenvalue of a symmetric
// matrix.
type ritz struct {
	value    float64 // the largest Ritz value; an eigenvalue lies within residual of it
	residual float64 // norm of A y - value y for the Ritz vector y of norm 1
	products int     // of the matrix with a vector
}

// lanczos finds the algebraically largest eigenvalue of a symmetric matrix that is
// known by its products with vectors. It ends when the residual is below tolerance
// times the value, or after that many products. start is not changed; it must not
// be zero.
//
// The vectors are not made orthogonal to all earlier ones, so three of them are in
// memory at a time. Rounding then brings copies of eigenvalues that have converged,
// but moves none of them (Paige, "Error analysis of the Lanczos algorithm for
// tridiagonalizing a symmetric matrix", J. Inst. Maths Applics 18, 1976).
func lanczos(start []float64, products int, tolerance float64, product func(v []float64) ([]float64, error)) (ritz, error) {
	var t tridiagonal
	v, before := scaled(start, 1/norm(start)), make([]float64, len(start))
	below := 0.0
	for n := 1; ; n++ {
		w, err := product(v)
		if err != nil {
			return ritz{}, err
		}
		along := inner(w, v)
		for i := range w {
			w[i] -= float64(along*v[i]) + float64(below*before[i])
		}
		below = norm(w)
		t.diagonal = append(t.diagonal, along)
		value, last := t.largest()
		r := ritz{value, below * last, n}
		if n == products || !(r.residual > tolerance*math.Abs(value)) || below == 0 {
			return r, nil
		}
		t.beside = append(t.beside, below)
		v, before = scaled(w, 1/below), v
	}
}

// A tridiagonal is a symmetric tridiagonal matrix: n elements on the diagonal and
// n - 1 beside it.
type tridiagonal struct{ diagonal, beside []float64 }

// largest returns the largest eigenvalue, by bisection on Sturm's count, and the
// size of the last element of its eigenvector of norm 1, by inverse iteration from
// just above, where elimination needs no pivots. NaN where the matrix has one.
func (t *tridiagonal) largest() (value, last float64) {
	low, high := math.Inf(-1), math.Inf(-1)
	for i, d := range t.diagonal { // Gershgorin's circles
		reach := t.at(i-1) + t.at(i)
		low, high = math.Max(low, d), math.Max(high, d+reach)
	}
	if math.IsNaN(high) || math.IsInf(high, 0) {
		return math.NaN(), math.NaN()
	}
	scale := math.Max(math.Abs(low), math.Abs(high))
	if scale == 0 {
		return 0, 1
	}
	for high-low > 1e-13*scale {
		middle := low + float64((high-low)/2)
		if t.above(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low, t.lastElement(high + float64(1e-12*scale))
}

// at is the size of the element beside the diagonal after row i, 0 outside.
func (t *tridiagonal) at(i int) float64 {
	if i < 0 || i >= len(t.beside) {
		return 0
	}
	return math.Abs(t.beside[i])
}

// above reports whether an eigenvalue is larger than x: whether the elimination of
// T - x meets a pivot above 0.
func (t *tridiagonal) above(x float64) bool {
	pivot := t.diagonal[0] - x
	for i := range t.beside {
		if pivot >= 0 {
			return true
		}
		pivot = t.diagonal[i+1] - x - float64(t.beside[i]*t.beside[i])/pivot
	}
	return pivot > 0
}

// lastElement solves (x - T) s = s three times, x just above all eigenvalues.
func (t *tridiagonal) lastElement(x float64) float64 {
	n := len(t.diagonal)
	s, pivot := make([]float64, n), make([]float64, n)
	for i := range s {
		s[i] = 1
	}
	for range 3 {
		for i := range s {
			pivot[i] = x - t.diagonal[i]
			if i > 0 {
				factor := t.beside[i-1] / pivot[i-1]
				pivot[i] -= float64(factor * t.beside[i-1])
				s[i] += float64(factor * s[i-1])
			}
		}
		for i := n - 1; i >= 0; i-- {
			if i+1 < n {
				s[i] += float64(t.beside[i] * s[i+1])
			}
			s[i] /= pivot[i]
		}
		s = scaled(s, 1/norm(s))
	}
	return math.Abs(s[n-1])
}

// inner is the inner product, summed in order.
func inner(x, y []float64) (sum float64) {
	for i, a := range x {
		sum += float64(a * y[i])
	}
	return sum
}

func norm(x []float64) float64 { return math.Sqrt(inner(x, x)) }

func scaled(x []float64, factor float64) []float64 {
	y := make([]float64, len(x))
	for i, a := range x {
		y[i] = factor * a
	}
	return y
}
