package stat

import (
	"errors"
	"math"
	"testing"
)

var logisticRows = [][]float64{{1.76, 0.4, 0.98}, {2.24, 1.87, -0.98}, {0.95, -0.15, -0.1}, {0.41, 0.14, 1.45}, {0.76, 0.12, 0.44}, {0.33, 1.49, -0.21},
	{0.31, -0.85, -2.55}, {0.65, 0.86, -0.74}, {2.27, -1.45, 0.05}, {-0.19, 1.53, 1.47}, {0.15, 0.38, -0.89}, {-1.98, -0.35, 0.16}}

// scikit-learn 1.9.1 LogisticRegression (C = 1/ridge; penalty=None for 0; tol 1e-12).
func TestFitLogistic(t *testing.T) {
	two := []int{0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0}
	three := []int{0, 1, 2, 0, 1, 2, 0, 1, 2, 2, 1, 0}
	for _, c := range []struct {
		name       string
		truth      []int
		classes    int
		ridge      float64
		weights    [][]float64
		intercepts []float64
		tolerance  float64
	}{
		{"ridge 1", two, 2, 1, [][]float64{{0, 0, 0}, {0.7849385972575113, -0.04397388647465044, -0.37512455450684484}}, []float64{0, -0.5439131724125302}, 1e-6},
		{"ridge 10", two, 2, 10, [][]float64{{0, 0, 0}, {0.23279457853947616, -0.02478409890596634, -0.12497671791542417}}, []float64{0, -0.1509422787970392}, 1e-6},
		{"no ridge", two, 2, 0, [][]float64{{0, 0, 0}, {1.3641715603183684, 0.06974953987834394, -0.5708356045554636}}, []float64{0, -1.027339316881213}, 1e-5},
		{"three classes", three, 3, 2, [][]float64{
			{-0.3154982947922501, -0.4117064195339479, 0.10040708097951032},
			{0.18083696715076847, 0.3930394394004034, -0.3271518801558793},
			{0.13466132764148184, 0.018666980133544363, 0.22674479917636878}}, []float64{0.3174855530240572, -0.29098201458420286, -0.02650353843985422}, 1e-6},
	} {
		got, err := FitLogistic(logisticRows, c.truth, c.classes, c.ridge)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for class := range c.weights {
			for i, want := range c.weights[class] {
				if !near(got.Weights[class][i], want, c.tolerance) {
					t.Errorf("%s: weight %d of class %d = %.9g, want %.9g", c.name, i, class, got.Weights[class][i], want)
				}
			}
			if !near(got.Intercepts[class], c.intercepts[class], c.tolerance) {
				t.Errorf("%s: intercept %d = %.9g, want %.9g", c.name, class, got.Intercepts[class], c.intercepts[class])
			}
		}
	}
	three3, err := FitLogistic(logisticRows, three, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	for class, want := range []float64{0.2332213834062281, 0.2758786791860019, 0.49089993740777005} {
		if got := three3.Predict(logisticRows[0])[class]; !near(got, want, 1e-6) {
			t.Errorf("probability of class %d = %.9g, want %.9g", class, got, want)
		}
	}
}

// More features than rows: the ridge keeps the fit finite, and its gradient is
// zero, which is checked by differences of the loss.
func TestFitLogisticManyFeatures(t *testing.T) {
	s := NewStream(2, "test")
	rows, truth := make([][]float64, 20), make([]int, 20)
	for i := range rows {
		truth[i] = i % 3
		for range 300 {
			rows[i] = append(rows[i], s.Normal())
		}
	}
	model, err := FitLogistic(rows, truth, 3, 5)
	if err != nil {
		t.Fatal(err)
	}
	loss := func() float64 {
		sum := 0.0
		for i, row := range rows {
			sum -= math.Log(model.Predict(row)[truth[i]])
		}
		for _, w := range model.Weights {
			sum += 2.5 * dot(w, w)
		}
		return sum
	}
	for _, at := range [][2]int{{0, 0}, {1, 150}, {2, 299}} {
		w := &model.Weights[at[0]][at[1]]
		middle := *w
		*w = middle + 1e-4
		up := loss()
		*w = middle - 1e-4
		down := loss()
		*w = middle
		if slope := (up - down) / 2e-4; !near(slope, 0, 1e-5) {
			t.Errorf("slope of weight %v is %g", at, slope)
		}
	}
}

func TestLogisticRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		rows  [][]float64
		truth []int
		ridge float64
	}{
		"one class":    {[][]float64{{1}, {2}}, []int{1, 1}, 1},
		"no rows":      {nil, nil, 1},
		"ragged":       {[][]float64{{1}, {2, 3}}, []int{0, 1}, 1},
		"no features":  {[][]float64{{}, {}}, []int{0, 1}, 1},
		"not finite":   {[][]float64{{1}, {math.Inf(1)}}, []int{0, 1}, 1},
		"ridge below":  {[][]float64{{1}, {2}}, []int{0, 1}, -1},
		"separable":    {[][]float64{{-1}, {-2}, {1}, {2}}, []int{0, 0, 1, 1}, 0},
		"ridge is NaN": {[][]float64{{1}, {2}}, []int{0, 1}, math.NaN()},
	} {
		if _, err := FitLogistic(c.rows, c.truth, 2, c.ridge); !errors.Is(err, ErrLogistic) {
			t.Errorf("%s: %v, want ErrLogistic", name, err)
		}
	}
}

func TestScaling(t *testing.T) {
	s := FitScaling([][]float64{{1, 5}, {3, 5}})
	if got := s.Apply([]float64{4, 5}); !near(got[0], 2, 1e-12) || got[1] != 0 {
		t.Errorf("scaled to %v, want 2 and 0", got)
	}
}
