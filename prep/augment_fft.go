package prep

import (
	"sync"

	"ballast/stat"
)

// A transform is the discrete Fourier transform of n numbers,
//
//	X_k = sum_j x_j exp(-2 pi i j k / n)
//
// for any n, of several lines at once. It is Stockham's algorithm (Cochran et
// al., "What is the fast Fourier transform?", Proceedings of the IEEE 55, 1967)
// with factors 4, 2, 3, 5 and any prime: n log n steps when n has small prime
// factors, n p with the largest prime factor p. The roots of unity come from
// stat.CosPi, every product is rounded: the same bits on every CPU.
type transform struct {
	n       int
	factors []int
	cos     []float64 // cos(2 pi k / n)
	sin     []float64 // -sin(2 pi k / n)
}

var transforms sync.Map // of n to *transform

func newTransform(n int) *transform {
	if known, ok := transforms.Load(n); ok {
		return known.(*transform)
	}
	t := &transform{n: n, cos: make([]float64, n), sin: make([]float64, n)}
	for k := range n {
		// 2k/n is not exact, but k is reduced to an eighth of a turn first.
		t.cos[k], t.sin[k] = root(k, n)
	}
	rest := n
	for _, factor := range []int{4, 2, 3, 5} {
		for rest%factor == 0 {
			t.factors, rest = append(t.factors, factor), rest/factor
		}
	}
	for factor := 7; rest > 1; factor += 2 {
		for rest%factor == 0 {
			t.factors, rest = append(t.factors, factor), rest/factor
		}
	}
	known, _ := transforms.LoadOrStore(n, t)
	return known.(*transform)
}

// root returns cos and -sin of 2 pi k/n for 0 <= k < n.
func root(k, n int) (cos, sin float64) {
	quarter := 4 * k / n
	rest := float64(4*k-quarter*n) / float64(n) / 2 // of pi, 0 to 1/2
	c, s := stat.CosPi(rest), stat.SinPi(rest)
	switch quarter {
	case 0:
		return c, -s
	case 1:
		return -s, -c
	case 2:
		return -c, s
	}
	return s, c
}

// lanes is how many lines are transformed together.
const lanes = 8

// A spectrum is lanes lines of n complex numbers, real and imaginary parts, the
// lanes of one number side by side, and the room to transform them.
type spectrum struct {
	re, im           []float64
	spareRe, spareIm []float64
}

func newSpectrum(n int) *spectrum {
	room := make([]float64, 4*n*lanes)
	part := func(i int) []float64 { return room[i*n*lanes : (i+1)*n*lanes : (i+1)*n*lanes] }
	return &spectrum{part(0), part(1), part(2), part(3)}
}

// forward transforms every lane.
func (t *transform) forward(s *spectrum) {
	n, stride := t.n, 1
	for _, factor := range t.factors {
		m := n / factor
		for p := range m {
			t.butterflies(s, factor, m, p, stride)
		}
		s.re, s.im, s.spareRe, s.spareIm = s.spareRe, s.spareIm, s.re, s.im
		n, stride = m, stride*factor
	}
}

// backward transforms back, n times too large: the forward transform with real
// and imaginary parts exchanged.
func (t *transform) backward(s *spectrum) {
	s.re, s.im, s.spareRe, s.spareIm = s.im, s.re, s.spareIm, s.spareRe
	t.forward(s)
	s.re, s.im, s.spareRe, s.spareIm = s.im, s.re, s.spareIm, s.spareRe
}

// butterflies combines the numbers p + m j of each of stride interleaved lines,
// j from 0 to factor-1, into the numbers factor p + k.
func (t *transform) butterflies(s *spectrum, factor, m, p, stride int) {
	block := stride * lanes
	switch factor {
	case 2:
		t.two(s, m, p, stride, block)
	case 4:
		t.four(s, m, p, stride, block)
	default:
		t.any(s, factor, m, p, stride, block)
	}
}

func (t *transform) two(s *spectrum, m, p, stride, block int) {
	a, b := p*block, (p+m)*block
	aRe, aIm, bRe, bIm := s.re[a:][:block], s.im[a:][:block], s.re[b:][:block], s.im[b:][:block]
	to := 2 * p * block
	yRe, yIm, zRe, zIm := s.spareRe[to:][:block], s.spareIm[to:][:block], s.spareRe[to+block:][:block], s.spareIm[to+block:][:block]
	cos, sin := t.cos[p*stride], t.sin[p*stride]
	for i := range aRe {
		yRe[i], yIm[i] = aRe[i]+bRe[i], aIm[i]+bIm[i]
		re, im := aRe[i]-bRe[i], aIm[i]-bIm[i]
		zRe[i], zIm[i] = float64(re*cos)-float64(im*sin), float64(re*sin)+float64(im*cos)
	}
}

func (t *transform) four(s *spectrum, m, p, stride, block int) {
	var inRe, inIm, outRe, outIm [4][]float64
	for j := range 4 {
		from, to := (p+m*j)*block, (4*p+j)*block
		inRe[j], inIm[j] = s.re[from:][:block], s.im[from:][:block]
		outRe[j], outIm[j] = s.spareRe[to:][:block], s.spareIm[to:][:block]
	}
	a, b, c, d := inRe[0], inRe[1], inRe[2], inRe[3]
	e, f, g, h := inIm[0], inIm[1], inIm[2], inIm[3]
	y0, y1, y2, y3 := outRe[0], outRe[1], outRe[2], outRe[3]
	z0, z1, z2, z3 := outIm[0], outIm[1], outIm[2], outIm[3]
	cos1, sin1 := t.cos[p*stride], t.sin[p*stride]
	cos2, sin2 := t.cos[2*p*stride], t.sin[2*p*stride]
	cos3, sin3 := t.cos[3*p*stride], t.sin[3*p*stride]
	for i := range a {
		evenRe, evenIm, evenRe2, evenIm2 := a[i]+c[i], e[i]+g[i], a[i]-c[i], e[i]-g[i]
		oddRe, oddIm, oddRe2, oddIm2 := b[i]+d[i], f[i]+h[i], b[i]-d[i], f[i]-h[i]
		y0[i], z0[i] = evenRe+oddRe, evenIm+oddIm
		re, im := evenRe2+oddIm2, evenIm2-oddRe2 // times -i
		y1[i], z1[i] = float64(re*cos1)-float64(im*sin1), float64(re*sin1)+float64(im*cos1)
		re, im = evenRe-oddRe, evenIm-oddIm
		y2[i], z2[i] = float64(re*cos2)-float64(im*sin2), float64(re*sin2)+float64(im*cos2)
		re, im = evenRe2-oddIm2, evenIm2+oddRe2
		y3[i], z3[i] = float64(re*cos3)-float64(im*sin3), float64(re*sin3)+float64(im*cos3)
	}
}

// any sums over the factor's numbers one by one.
func (t *transform) any(s *spectrum, factor, m, p, stride, block int) {
	for k := range factor {
		to := (factor*p + k) * block
		yRe, yIm := s.spareRe[to:][:block], s.spareIm[to:][:block]
		clear(yRe)
		clear(yIm)
		for j := range factor {
			from := (p + m*j) * block
			xRe, xIm := s.re[from:][:block], s.im[from:][:block]
			// exp(-2 pi i j k / factor) exp(-2 pi i p k / n')
			at := (j*k%factor*(t.n/factor) + p*k*stride) % t.n
			cos, sin := t.cos[at], t.sin[at]
			for i := range yRe {
				yRe[i] += float64(xRe[i]*cos) - float64(xIm[i]*sin)
				yIm[i] += float64(xRe[i]*sin) + float64(xIm[i]*cos)
			}
		}
	}
}
