package stat

import (
	"errors"
	"math"
	"testing"
)

// scipy 1.17.1 optimize.brentq on the slope of the log loss.
func TestTemperature(t *testing.T) {
	logits := [][]float64{{3, 0, 0}, {2, 1, 0}, {0, 4, 1}, {1, 0, 5}, {2, 2.5, 0}, {0, 3, 1}, {4, 0, 0}, {0, 1, 2}}
	truth := []int{0, 1, 1, 2, 0, 1, 0, 2}
	got, err := Temperature(logits, truth)
	if err != nil || !near(got, 0.8189916783474662, 1e-8) {
		t.Errorf("T = %.10g, %v; want 0.8189916783", got, err)
	}
	// Ten times as large logits have ten times the temperature.
	for _, row := range logits {
		for class := range row {
			row[class] *= 10
		}
	}
	if got, err = Temperature(logits, truth); err != nil || !near(got, 8.189916783474662, 1e-6) {
		t.Errorf("T = %.10g, %v; want 8.189916783", got, err)
	}
}

func TestNoTemperature(t *testing.T) {
	for name, c := range map[string]struct {
		logits [][]float64
		truth  []int
	}{
		"one subject": {[][]float64{{1, 0}}, []int{0}},
		"all right":   {[][]float64{{2, 0}, {0, 2}}, []int{0, 1}},
		"all wrong":   {[][]float64{{2, 0}, {0, 2}}, []int{1, 0}},
		"all equal":   {[][]float64{{1, 1}, {2, 2}}, []int{1, 0}},
		"not finite":  {[][]float64{{math.NaN(), 1}, {2, 2}}, []int{1, 0}},
	} {
		if _, err := Temperature(c.logits, c.truth); !errors.Is(err, ErrTemperature) {
			t.Errorf("%s: %v, want ErrTemperature", name, err)
		}
	}
}

// Subjects drawn from probabilities that were then made three times as sure are
// brought back by T = 3.
func TestTemperatureRecovers(t *testing.T) {
	s := NewStream(7, "test")
	var logits [][]float64
	var truth []int
	for range 4000 {
		z := []float64{2 * s.Normal(), 0}
		p := softmax(z, 1)
		class := 1
		if s.Float64() < p[0] {
			class = 0
		}
		logits, truth = append(logits, []float64{3 * z[0], 0}), append(truth, class)
	}
	if got, err := Temperature(logits, truth); err != nil || !near(got, 3, 0.3) {
		t.Errorf("T = %g, %v; want about 3", got, err)
	}
}

func TestCool(t *testing.T) {
	// 0.8² / (0.8² + 0.2²) = 16/17.
	if got := Cool([]float64{0.8, 0.2}, 0.5); !near(got[0], 16./17, 1e-12) {
		t.Errorf("%v", got)
	}
	if got := Cool([]float64{0.8, 0.2}, 1); !near(got[0], 0.8, 1e-12) {
		t.Errorf("a temperature of 1 changes 0.8 to %g", got[0])
	}
	if got := Cool([]float64{1, 0}, 20); !(got[0] < 0.81) || math.IsNaN(got[1]) {
		t.Errorf("certainty at T = 20: %v", got)
	}
}
