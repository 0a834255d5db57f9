package probe

import (
	"errors"
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"ballast/stat"
)

// symmetric returns a matrix with the given eigenvalues and random eigenvectors.
func symmetric(stream *stat.Stream, eigenvalues []float64) *mat.SymDense {
	n := len(eigenvalues)
	random := mat.NewDense(n, n, nil)
	for i := range n {
		for j := range n {
			random.Set(i, j, stream.Normal())
		}
	}
	var qr mat.QR
	qr.Factorize(random)
	var q, m mat.Dense
	qr.QTo(&q)
	m.Mul(&q, mat.NewDiagDense(n, eigenvalues))
	m.Mul(&m, q.T())
	s := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			s.SetSym(i, j, (m.At(i, j)+m.At(j, i))/2)
		}
	}
	return s
}

func times(m *mat.SymDense) func(v []float64) ([]float64, error) {
	return func(v []float64) ([]float64, error) {
		var w mat.VecDense
		w.MulVec(m, mat.NewVecDense(len(v), v))
		return w.RawVector().Data, nil
	}
}

func TestLanczosFindsTheLargestEigenvalue(t *testing.T) {
	spread := make([]float64, 60)
	for i := range spread {
		spread[i] = 10 * math.Pow(0.8, float64(i)) // like the spectrum of a trained network: few large ones
	}
	negative := append([]float64{-50, -20}, spread...) // the largest is not that of largest size
	for name, eigenvalues := range map[string][]float64{
		"positive": spread, "with negative ones": negative, "all negative": {-5, -3, -1}, "equal": {2, 2, 2, 2}, "one": {7}, "zero": {0, 0},
	} {
		stream := stat.NewStream(1, name)
		m := symmetric(stream, eigenvalues)
		start := make([]float64, len(eigenvalues))
		for i := range start {
			start[i] = stream.Normal()
		}
		var eigen mat.EigenSym
		if !eigen.Factorize(m, false) {
			t.Fatalf("%s: gonum found no eigenvalues", name)
		}
		want := eigen.Values(nil)[len(eigenvalues)-1]
		got, err := lanczos(start, 40, 1e-6, times(m))
		if err != nil {
			t.Fatal(err)
		}
		if !(math.Abs(got.value-want) <= 1e-8*math.Max(1, math.Abs(want))) || !(got.residual <= 1e-6*math.Max(1, math.Abs(want))) {
			t.Errorf("%s: %+v, gonum's EigenSym finds %.12g", name, got, want)
		}
	}
}

func TestLanczosSaysHowSureItIs(t *testing.T) {
	stream := stat.NewStream(2, "sure")
	eigenvalues := make([]float64, 200)
	for i := range eigenvalues {
		eigenvalues[i] = float64(i) / 200
	}
	m := symmetric(stream, eigenvalues)
	start := make([]float64, len(eigenvalues))
	for i := range start {
		start[i] = stream.Normal()
	}
	for _, products := range []int{1, 2, 5, 12} {
		got, err := lanczos(start, products, 0, times(m))
		if err != nil || got.products != products {
			t.Fatalf("%d products: %+v, %v", products, got, err)
		}
		nearest := math.Inf(1)
		for _, e := range eigenvalues {
			nearest = math.Min(nearest, math.Abs(e-got.value))
		}
		if nearest > got.residual+1e-12 {
			t.Errorf("%d products: no eigenvalue within %g of %g", products, got.residual, got.value)
		}
	}
}

func TestLanczosStopsForErrorsAndNumbersThatAreNone(t *testing.T) {
	failure := errors.New("no product")
	if _, err := lanczos([]float64{1, 2}, 5, 0, func([]float64) ([]float64, error) { return nil, failure }); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
	got, err := lanczos([]float64{1, 2}, 5, 0.01, func(v []float64) ([]float64, error) { return []float64{math.NaN(), 1}, nil })
	if err != nil || !math.IsNaN(got.value) || got.products != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
