package stat

import (
	"math"
	"testing"
)

func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance || got == want }

// Reference values of this file: scipy 1.17.1 (norm.ppf, t.ppf, f.ppf,
// binomtest) and statsmodels 0.15.0 (proportion_confint, mcnemar,
// confint_proportions_2indep with method "newcomb").

func TestQuantiles(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"normal 0.5", NormalQuantile(0.5), 0},
		{"normal 0.9", NormalQuantile(0.9), 1.2815515655446004},
		{"normal 0.975", NormalQuantile(0.975), 1.959963984540054},
		{"normal 1e-6", NormalQuantile(1e-6), -4.753424308822899},
		{"normal 0", NormalQuantile(0), -inf},
		{"normal 1", NormalQuantile(1), inf},
		{"student 0.975, 1", StudentQuantile(0.975, 1), 12.706204736174694},
		{"student 0.975, 5", StudentQuantile(0.975, 5), 2.5705818356363146},
		{"student 0.975, 39", StudentQuantile(0.975, 39), 2.022690920036761},
		{"student 0.025, 11", StudentQuantile(0.025, 11), -2.2009851600916392},
		{"student 0.9, 2.5", StudentQuantile(0.9, 2.5), 1.7302509288071766},
		{"student 0.999, 200", StudentQuantile(0.999, 200), 3.131479814221121},
		{"student 0.9, inf", StudentQuantile(0.9, inf), 1.2815515655446004},
		{"student 0, 3", StudentQuantile(0, 3), -inf},
		{"student 1, 3", StudentQuantile(1, 3), inf},
		{"F 0.025, 3, 7", FQuantile(0.025, 3, 7), 0.06837889693755993},
		{"F 0.975, 3, 7", FQuantile(0.975, 3, 7), 5.889819167203253},
		{"F 0.5, 12.5, 40.25", FQuantile(0.5, 12.5, 40.25), 0.9631503070987825},
		{"F 0.975, 5, 1e7", FQuantile(0.975, 5, 1e7), 2.566501660562352},
		{"F 0.975, 5, inf", FQuantile(0.975, 5, inf), 2.566501660562352},
	} {
		if !near(c.got, c.want, 1e-6*math.Abs(c.want)+1e-12) {
			t.Errorf("%s = %.10g, want %.10g", c.name, c.got, c.want)
		}
	}
	for name, got := range map[string]float64{
		"normal 1.1": NormalQuantile(1.1), "normal NaN": NormalQuantile(math.NaN()), "student df 0": StudentQuantile(0.5, 0),
		"F df 0": FQuantile(0.5, 0, 3), "F p 2": FQuantile(2, 3, 3),
	} {
		if !math.IsNaN(got) {
			t.Errorf("%s = %g, want NaN", name, got)
		}
	}
}

func TestNormalCDFInvertsTheQuantile(t *testing.T) {
	for _, p := range []float64{1e-9, 0.025, 0.5, 0.8, 0.999} {
		if got := NormalCDF(NormalQuantile(p)); !near(got, p, 1e-9*p+1e-15) {
			t.Errorf("CDF of the %g-quantile = %g", p, got)
		}
	}
}

func TestProportionIntervals(t *testing.T) {
	for _, c := range []struct {
		k, n                                           int
		wilsonLow, wilsonHigh, clopperLow, clopperHigh float64
	}{
		{0, 10, 0, 0.27753279986288926, 0, 0.30849710781876083},
		{5, 10, 0.23659309051256394, 0.7634069094874361, 0.18708602844739855, 0.8129139715526015},
		{10, 10, 0.7224672001371106, 1, 0.6915028921812392, 1},
		{81, 263, 0.2552885198782742, 0.36620957698280004, 0.25273674558527126, 0.3676219226013514},
		{13, 20, 0.43285427668523624, 0.818808175898918, 0.40781146546717184, 0.8460907952154588},
	} {
		low, high := Wilson(float64(c.k), float64(c.n), 0.95)
		if !near(low, c.wilsonLow, 1e-9) || !near(high, c.wilsonHigh, 1e-9) {
			t.Errorf("Wilson %d of %d = %g..%g, want %g..%g", c.k, c.n, low, high, c.wilsonLow, c.wilsonHigh)
		}
		low, high = ClopperPearson(c.k, c.n, 0.95)
		if !near(low, c.clopperLow, 1e-9) || !near(high, c.clopperHigh, 1e-9) {
			t.Errorf("Clopper-Pearson %d of %d = %g..%g, want %g..%g", c.k, c.n, low, high, c.clopperLow, c.clopperHigh)
		}
	}
	if low, high := Wilson(0, 0, 0.95); low != 0 || high != 1 {
		t.Errorf("Wilson of no trials = %g..%g, want 0..1", low, high)
	}
	if low, _ := Wilson(3, 2, 0.95); !math.IsNaN(low) {
		t.Errorf("Wilson of 3 in 2 = %g, want NaN", low)
	}
}

func TestBinomialTests(t *testing.T) {
	for _, c := range []struct {
		k, n              int
		p, twoSided, tail float64
	}{
		{5, 10, 0.5, 1, 0.623046875},
		{14, 20, 0.5, 0.11531829833984375, 0.057659149169921875},
		{3, 12, 0.3, 1, 0.7471846521450002},
		{235, 1000, 1.0 / 6, 3.075350181049238e-08, 1.8989416065583844e-08},
		{0, 7, 0.2, 0.35774720000000004, 1},
		{7, 7, 0.9, 1, 0.4782969000000001},
		{0, 4, 0, 1, 1},
		{4, 4, 1, 1, 1},
	} {
		if got := BinomialTest(c.k, c.n, c.p); !near(got, c.twoSided, 1e-9*c.twoSided) {
			t.Errorf("two-sided p of %d in %d at %g = %.12g, want %.12g", c.k, c.n, c.p, got, c.twoSided)
		}
		if got := BinomialTail(c.k, c.n, c.p); !near(got, c.tail, 1e-9*c.tail) {
			t.Errorf("P(X >= %d) of %d at %g = %.12g, want %.12g", c.k, c.n, c.p, got, c.tail)
		}
	}
}

// Combrisson and Jerbi (2015) give 75, 64 and 59 % as what 20, 50 and 100
// trials need against one half at 5 %.
func TestLeastSignificant(t *testing.T) {
	for _, c := range []struct{ n, want int }{{20, 15}, {50, 32}, {100, 59}} {
		if got := LeastSignificant(c.n, 0.5, 0.05); got != c.want {
			t.Errorf("%d trials need %d, want %d", c.n, got, c.want)
		}
	}
	if got := LeastSignificant(3, 0.9, 0.05); got != 4 {
		t.Errorf("no result of 3 trials refutes 0.9, got %d, want 4", got)
	}
	if got := LeastSignificant(5, 1, 0.05); got != 6 {
		t.Errorf("nothing refutes certainty, got %d, want 6", got)
	}
}

func TestMcNemar(t *testing.T) {
	for _, c := range []struct {
		b, c int
		want float64
	}{{10, 3, 0.09228515625}, {0, 6, 0.03125}, {7, 7, 1}, {1, 0, 1}, {12, 25, 0.04703102743951604}, {0, 0, 1}} {
		if got := McNemar(c.b, c.c); !near(got, c.want, 1e-9) {
			t.Errorf("McNemar %d, %d = %.12g, want %.12g", c.b, c.c, got, c.want)
		}
	}
}

func TestNewcombe(t *testing.T) {
	for _, c := range []struct{ ka, na, kb, nb, low, high float64 }{
		{56, 70, 48, 80, 0.05243147240236498, 0.33387265403690614},
		{9, 10, 3, 10, 0.1705227239345029, 0.809017973535488},
		{10, 10, 0, 10, 0.6075093504305241, 1},
	} {
		if low, high := Newcombe(c.ka, c.na, c.kb, c.nb, 0.95); !near(low, c.low, 1e-9) || !near(high, c.high, 1e-9) {
			t.Errorf("Newcombe %v = %g..%g", c, low, high)
		}
	}
}

// The sums of the doc comment taken with scipy's binom.cdf; NumPy's mean range
// of 200,000 times 50 draws of 50 is 0.3158, its mean maximum 0.6579.
func TestBinomialRange(t *testing.T) {
	for _, c := range []struct {
		n             int
		maximum, span float64
	}{
		{20, 0.7463131065259895, 0.4926262130519789},
		{50, 0.6577614782353257, 0.3155229564706516},
		{100, 0.6120071329159351, 0.22401426583187026},
		{200, 0.5793594337408884, 0.15871886748177688},
	} {
		if maximum, span := BinomialRange(c.n, 0.5, 50); !near(maximum, c.maximum, 1e-9) || !near(span, c.span, 1e-9) {
			t.Errorf("50 draws of %d: maximum %g, range %g, want %g, %g", c.n, maximum, span, c.maximum, c.span)
		}
	}
	if maximum, span := BinomialRange(7, 1, 10); maximum != 1 || span != 0 {
		t.Errorf("certain draws: maximum %g, range %g, want 1, 0", maximum, span)
	}
	if maximum, span := BinomialRange(7, 0.5, 1); !near(maximum, 0.5, 1e-12) || !near(span, 0, 1e-12) {
		t.Errorf("one draw: maximum %g, range %g, want 0.5, 0", maximum, span)
	}
}
