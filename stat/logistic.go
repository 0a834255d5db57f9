package stat

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
)

// ErrLogistic is wrapped when a logistic regression cannot be fitted.
var ErrLogistic = errors.New("logistic regression")

// A Logistic is a fitted logistic regression. With two classes Weights and
// Intercepts of class 0 are zero, and those of class 1 are the usual
// coefficients; with more there is one set per class (softmax).
type Logistic struct {
	Weights    [][]float64 // by class and feature
	Intercepts []float64   // by class
	Steps      int         // of Newton's method
}

// Limits of FitLogistic.
const (
	logisticSteps     = 100
	logisticTolerance = 1e-6 // of the gradient, relative to that at zero weights
)

// FitLogistic fits the logistic regression of classes 0..classes-1 on the rows
// of features by maximum likelihood with a ridge penalty:
//
//	minimise Σ_i -ln p_{i,truth} + ridge/2 Σ |w|²
//
// over weights w and unpenalised intercepts (scikit-learn's C is 1/ridge).
// Features should be of similar scale, see Scaling. It is iteratively
// reweighted least squares, that is Newton's method, with the linear systems
// solved by conjugate gradients, so that thousands of features are no trouble;
// steps that do not lower the loss are halved.
//
// It returns ErrLogistic for no features or rows of different lengths, values
// that are not finite, fewer than two classes with rows, a ridge below 0,
// ridge 0 on classes that the features separate, and when the fit does not
// converge.
// Hoerl and Kennard (Technometrics 1970); le Cessie and van Houwelingen, "Ridge
// estimators in logistic regression" (Applied Statistics 1992); Komarek and
// Moore, "Making logistic regression a core data mining tool with TR-IRLS" (ICDM 2005).
func FitLogistic(features [][]float64, truth []int, classes int, ridge float64) (*Logistic, error) {
	if err := checkLogistic(features, truth, classes, ridge); err != nil {
		return nil, err
	}
	f := newLogisticFit(features, truth, classes, ridge)
	f.evaluate()
	first := f.gradientNorm()
	for f.model.Steps = 0; f.gradientNorm() > logisticTolerance*max(first, 1e-300); f.model.Steps++ {
		if f.model.Steps == logisticSteps || !f.step() {
			// Rounding may end the descent a little above the tolerance.
			if f.gradientNorm() <= 1e-5*first {
				break
			}
			return nil, fmt.Errorf("%w: no convergence after %d steps; a larger ridge than %g helps", ErrLogistic, f.model.Steps, ridge)
		}
	}
	if ridge == 0 && f.loss < 1e-6*float64(len(truth)) {
		return nil, fmt.Errorf("%w: the features separate the classes, so the weights grow without end; a ridge above 0 helps", ErrLogistic)
	}
	return f.model, nil
}

func checkLogistic(features [][]float64, truth []int, classes int, ridge float64) error {
	checkLengths(len(features), len(truth))
	if !(ridge >= 0) || math.IsInf(ridge, 0) {
		return fmt.Errorf("%w: the ridge is %g; it must be at least 0", ErrLogistic, ridge)
	}
	seen := map[int]bool{}
	for i, row := range features {
		if len(row) == 0 || len(row) != len(features[0]) {
			return fmt.Errorf("%w: row %d has %d features, the first %d", ErrLogistic, i, len(row), len(features[0]))
		}
		for _, x := range row {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("%w: row %d holds %g", ErrLogistic, i, x)
			}
		}
		if truth[i] < 0 || truth[i] >= classes {
			panic("stat: FitLogistic needs classes from 0 to classes-1")
		}
		seen[truth[i]] = true
	}
	if len(seen) < 2 {
		return fmt.Errorf("%w: rows of %d class; at least 2 are needed", ErrLogistic, len(seen))
	}
	return nil
}

// Predict returns the probability of each class for one row of features.
func (l *Logistic) Predict(features []float64) []float64 {
	z := make([]float64, len(l.Weights))
	for class, w := range l.Weights {
		z[class] = l.Intercepts[class] + dot(w, features)
	}
	return softmax(z, 1)
}

// logisticFit is the state of a fit. A direction, the gradient and the weights
// are laid out alike: for each free class its weights, then its intercept.
type logisticFit struct {
	model    *Logistic
	features [][]float64
	truth    []int
	ridge    float64
	free     []int // classes with weights
	loss     float64
	gradient []float64
	p        [][]float64 // of each row and class
}

func newLogisticFit(features [][]float64, truth []int, classes int, ridge float64) *logisticFit {
	f := &logisticFit{features: features, truth: truth, ridge: ridge, model: &Logistic{Intercepts: make([]float64, classes)}}
	for class := range classes {
		f.model.Weights = append(f.model.Weights, make([]float64, len(features[0])))
		if classes > 2 || class == 1 {
			f.free = append(f.free, class)
		}
	}
	f.gradient = make([]float64, len(f.free)*(len(features[0])+1))
	f.p = make([][]float64, len(features))
	return f
}

// part returns the weights of a free class in a direction and the place of its
// intercept.
func (f *logisticFit) part(direction []float64, n int) (weights []float64, intercept *float64) {
	size := len(f.features[0]) + 1
	block := direction[n*size:][:size]
	return block[:size-1], &block[size-1]
}

// evaluate computes loss, gradient and probabilities at the weights.
func (f *logisticFit) evaluate() {
	clear(f.gradient)
	f.loss = 0
	for i, row := range f.features {
		f.p[i] = f.model.Predict(row)
		f.loss -= math.Log(max(f.p[i][f.truth[i]], 1e-300))
		for n, class := range f.free {
			weights, intercept := f.part(f.gradient, n)
			residual := f.p[i][class] - indicator(class == f.truth[i])
			axpy(residual, row, weights)
			*intercept += residual
		}
	}
	for n, class := range f.free {
		weights, _ := f.part(f.gradient, n)
		axpy(f.ridge, f.model.Weights[class], weights)
		f.loss += f.ridge / 2 * dot(f.model.Weights[class], f.model.Weights[class])
	}
}

func (f *logisticFit) gradientNorm() float64 { return math.Sqrt(dot(f.gradient, f.gradient)) }

// curve returns the product of the Hessian and a direction.
func (f *logisticFit) curve(direction, product []float64) {
	clear(product)
	slope := make([]float64, len(f.free)) // of the logits along the direction
	for i, row := range f.features {
		mean := 0.0
		for n, class := range f.free {
			weights, intercept := f.part(direction, n)
			slope[n] = dot(weights, row) + *intercept
			mean += f.p[i][class] * slope[n]
		}
		for n, class := range f.free {
			weights, intercept := f.part(product, n)
			r := f.p[i][class] * (slope[n] - mean)
			axpy(r, row, weights)
			*intercept += r
		}
	}
	for n := range f.free {
		weights, _ := f.part(direction, n)
		out, _ := f.part(product, n)
		axpy(f.ridge, weights, out)
	}
}

// step moves the weights by one Newton step, halved until the loss falls; false
// when it cannot.
func (f *logisticFit) step() bool {
	direction := f.solve()
	before, loss, slope := f.snapshot(), f.loss, dot(f.gradient, direction)
	for share := 1.0; share > 1e-10; share /= 2 {
		f.move(before, direction, -share)
		f.evaluate()
		if f.loss <= loss-1e-4*share*slope {
			return true
		}
	}
	f.move(before, direction, 0)
	f.evaluate()
	return false
}

// solve returns Hessian⁻¹ gradient by conjugate gradients, as exactly as the
// gradient's size deserves (an inexact Newton step).
func (f *logisticFit) solve() []float64 {
	size := len(f.gradient)
	x, r, product := make([]float64, size), append([]float64(nil), f.gradient...), make([]float64, size)
	direction := append([]float64(nil), r...)
	square := dot(r, r)
	goal := square * min(0.01, square) * 1e-2
	for range 2*size + 50 {
		if square <= goal || square == 0 {
			break
		}
		f.curve(direction, product)
		curvature := dot(direction, product)
		if !(curvature > 1e-14*dot(direction, direction)) {
			break
		}
		share := square / curvature
		axpy(share, direction, x)
		axpy(-share, product, r)
		next := dot(r, r)
		for i := range direction {
			direction[i] = r[i] + next/square*direction[i]
		}
		square = next
	}
	if dot(x, x) == 0 {
		return append(x[:0], f.gradient...)
	}
	return x
}

// snapshot returns the weights in the layout of a direction.
func (f *logisticFit) snapshot() []float64 {
	all := make([]float64, len(f.gradient))
	for n, class := range f.free {
		weights, intercept := f.part(all, n)
		copy(weights, f.model.Weights[class])
		*intercept = f.model.Intercepts[class]
	}
	return all
}

// move sets the weights to before + share * direction.
func (f *logisticFit) move(before, direction []float64, share float64) {
	for n, class := range f.free {
		from, start := f.part(before, n)
		along, rise := f.part(direction, n)
		for i := range from {
			f.model.Weights[class][i] = from[i] + share*along[i]
		}
		f.model.Intercepts[class] = *start + share*(*rise)
	}
}

func dot(a, b []float64) float64 { return floats.Dot(a, b) }

// axpy adds factor * x to y.
func axpy(factor float64, x, y []float64) { floats.AddScaled(y, factor, x) }

// A Scaling brings features to mean 0 and standard deviation 1.
type Scaling struct{ Mean, Deviation []float64 }

// FitScaling takes mean and standard deviation (with n, as scikit-learn's
// StandardScaler) of each feature. A feature that does not vary has deviation 1.
func FitScaling(features [][]float64) Scaling {
	var s Scaling
	for column := range features[0] {
		values := make([]float64, len(features))
		for i, row := range features {
			values[i] = row[column]
		}
		mean, square := 0.0, 0.0
		for _, x := range values {
			mean += x / float64(len(values))
		}
		for _, x := range values {
			square += (x - mean) * (x - mean) / float64(len(values))
		}
		if !(square > 1e-24*mean*mean) || square == 0 {
			square = 1
		}
		s.Mean, s.Deviation = append(s.Mean, mean), append(s.Deviation, math.Sqrt(square))
	}
	return s
}

// Apply returns one scaled row.
func (s Scaling) Apply(row []float64) []float64 {
	scaled := make([]float64, len(row))
	for i, x := range row {
		scaled[i] = (x - s.Mean[i]) / s.Deviation[i]
	}
	return scaled
}
