package diagnosis

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"ballast/run"
	"ballast/stat"
)

func TestInferValidationSize(t *testing.T) {
	shares := func(n int, digits int, counts ...int) []float64 {
		var values []float64
		for _, k := range counts {
			a := float64(k) / float64(n)
			if digits > 0 {
				a = math.Round(a*math.Pow10(digits)) / math.Pow10(digits)
			}
			values = append(values, a)
		}
		return values
	}
	float32s := func(values []float64) []float64 {
		for i, a := range values {
			values[i] = float64(float32(a))
		}
		return values
	}
	for _, c := range []struct {
		name   string
		values []float64
		cases  int
		why    string
	}{
		{"19 cases, 4 decimals", shares(19, 4, 6, 13, 11, 16, 15, 9, 13), 19, ""},
		{"78 cases, full precision", shares(78, 0, 57, 60, 61, 70, 72, 73), 78, ""},
		{"1502 cases, float32", float32s(shares(1502, 0, 1006, 1011, 1100, 1203, 1207)), 1502, ""},
		{"1502 cases, 4 decimals", shares(1502, 4, 1006, 1011, 1100, 1203, 1207, 1301, 1300), 1502, ""},
		{"even counts of 40 are those of 20", shares(40, 0, 20, 22, 26, 30, 34, 38), 20, ""},
		{"percentages without decimals", shares(97, 2, 50, 55, 61, 64, 70, 77, 80), 0, "2 decimals do not tell"},
		{"10,000 cases, 4 decimals", shares(10_000, 4, 5001, 5503, 6107, 6409, 7013, 7771, 8003), 0, "4 decimals do not tell"},
		{"four values", shares(19, 4, 6, 13, 11, 16, 13), 0, "only 4 different"},
		{"nothing between 0 and 1", []float64{0, 1, 1, math.NaN()}, 0, "only 0 different"},
		{"averages over batches", []float64{0.512345678, 0.6234567891, 0.7111122233, 0.6543210987, 0.591827364, 0.7272727271}, 0, "averages over batches"},
	} {
		got := InferValidationSize(c.values)
		if got.Cases != c.cases || !strings.Contains(got.Why, c.why) || (got.Why == "") != (c.cases > 0) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// The p-values, halved, and slopes are those of pymannkendall 1.4.3.
func TestTrend(t *testing.T) {
	for _, c := range []struct {
		values   []float64
		p, slope float64
	}{
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8}, 0.0008366271311193163 / 2, 1},
		{[]float64{0.5, 0.7, 0.6, 0.6, 0.8, 0.9, 0.7, 1.0, 1.1, 0.9}, 0.008651249852577703 / 2, 0.05},
		{[]float64{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9}, 0.00686379498544909 / 2, 4.0 / 9},
	} {
		if p, slope := risingP(c.values), theilSen(c.values); !(math.Abs(p-c.p) <= 1e-9) || !(math.Abs(slope-c.slope) <= 1e-12) {
			t.Errorf("%v: p %g, slope %g; want %g and %g", c.values, p, slope, c.p, c.slope)
		}
		if p := fallingP(negated(c.values)); !(math.Abs(p-c.p) <= 1e-9) {
			t.Errorf("%v negated: %g, want %g", c.values, p, c.p)
		}
	}
	if p := risingP([]float64{1, 1, 1, 1, 1}); p != 1 {
		t.Errorf("a constant rises with p = %g", p)
	}
}

// A logSketch makes a log from functions of the epoch.
type logSketch struct {
	epochs                              int
	accuracy, training, loss, trainLoss func(t int) float64
	nan                                 int    // epochs at the end whose losses are logged as nan
	measure                             string // empty for accuracy
}

func (s logSketch) curves() *run.Curves {
	c := &run.Curves{Source: "sketch", Format: "sketch", Measure: "accuracy"}
	if s.measure != "" {
		c.Measure = s.measure
	}
	at := func(f func(int) float64, t int) run.Float {
		if f == nil {
			return run.Float(math.NaN())
		}
		return run.Float(f(t))
	}
	for t := range s.epochs {
		p := run.Point{
			Epoch: t + 1, ValidationAccuracy: at(s.accuracy, t), TrainAccuracy: at(s.training, t),
			ValidationLoss: at(s.loss, t), TrainLoss: at(s.trainLoss, t), LearningRate: run.Float(math.NaN()),
		}
		if t >= s.epochs-s.nan {
			p.TrainLoss, p.ValidationLoss = run.Float(math.NaN()), run.Float(math.NaN())
			p.LoggedNaN = []string{run.TrainLoss, run.ValidationLoss}
		}
		c.Points = append(c.Points, p)
	}
	return c
}

// of returns accuracies of n cases, the counts taken in turn.
func of(n int, counts ...int) func(int) float64 {
	return func(t int) float64 { return float64(counts[t%len(counts)]) / float64(n) }
}

func level(x float64) func(int) float64 { return func(int) float64 { return x } }

// falling goes from one value towards another with e-folding after so many epochs.
func falling(from, to, after float64) func(int) float64 {
	return func(t int) float64 { return to + (from-to)*math.Exp(-float64(t)/after) }
}

func mustJudge(t *testing.T, s logSketch, o CurveOptions) *Report {
	t.Helper()
	report, err := DiagnoseCurves(s.curves(), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestCurveVerdicts(t *testing.T) {
	settled := logSketch{epochs: 40, accuracy: of(100, 80, 81, 80, 82, 79, 81), training: level(0.85), loss: falling(0.9, 0.5, 3), trainLoss: falling(0.9, 0.4, 3)}
	with := func(change func(*logSketch)) logSketch {
		s := settled
		change(&s)
		return s
	}
	all := CurveOptions{Validation: 100, Classes: 2, Prevalence: 0.5}
	for _, c := range []struct {
		name    string
		log     logSketch
		options CurveOptions
		cause   string
		want    string
	}{
		{"finite losses", settled, all, "non-finite-loss", RuledOut},
		{"nan losses", with(func(s *logSketch) { s.nan = 10 }), all, "non-finite-loss", Confirmed},
		{"nan losses blame the rate", with(func(s *logSketch) { s.nan = 10 }), all, "learning-rate-too-high", Possible},
		{"80 of 100 against one half", settled, all, "coin-flip", RuledOut},
		{"80 of 100 against 78", settled, CurveOptions{Validation: 100, Classes: 2, Prevalence: 0.78}, "coin-flip", Possible},
		{"80 of 100, shares unknown", settled, CurveOptions{Validation: 100, Classes: 2}, "coin-flip", CannotTell},
		{"80 %, cases unknown", with(func(s *logSketch) { s.accuracy = level(0.8) }), CurveOptions{}, "coin-flip", CannotTell},
		{"52 of 400 and two classes", with(func(s *logSketch) { s.accuracy = of(400, 208, 206, 210, 204) }), CurveOptions{Validation: 400, Classes: 2, Prevalence: 0.5}, "coin-flip", Likely},
		{"steps of one case", with(func(s *logSketch) { s.accuracy = of(20, 15, 16) }), all, "small-validation-set", Likely},
		{"steps of one case of 20,000", with(func(s *logSketch) { s.accuracy = of(20_000, 15_000, 15_001) }), CurveOptions{Validation: 20_000}, "small-validation-set", RuledOut},
		{"steps of 10 points of 20,000", with(func(s *logSketch) { s.accuracy = of(20_000, 15_000, 17_000) }), CurveOptions{Validation: 20_000}, "small-validation-set", RuledOut},
		{"steps of 10 points, cases unknown", with(func(s *logSketch) { s.accuracy = of(20, 14, 16) }), CurveOptions{}, "small-validation-set", CannotTell},
		{"68 and 32 in turn", with(func(s *logSketch) { s.accuracy = of(19, 13, 12, 6, 11, 13, 10, 13, 6, 14) }), CurveOptions{Validation: 19, Classes: 2, Prevalence: 0.68}, "class-bias-oscillation", Likely},
		{"never the rarer class", settled, CurveOptions{Validation: 100, Classes: 2, Prevalence: 0.7}, "class-bias-oscillation", RuledOut},
		{"equal classes", settled, all, "class-bias-oscillation", CannotTell},
		{"always the commonest", with(func(s *logSketch) { s.accuracy = level(0.67) }), CurveOptions{Validation: 300, Classes: 7, Prevalence: 0.67}, "class-imbalance", Likely},
		{"equal classes again", settled, all, "class-imbalance", RuledOut},
		{"training loss explodes", with(func(s *logSketch) { s.trainLoss = func(t int) float64 { return 1 + 0.1*float64(t) } }), all, "learning-rate-too-high", Likely},
		{"jumps with falling accuracy", with(func(s *logSketch) { s.trainLoss = of(10, 5, 5, 5, 9); s.training = of(10, 9, 9, 9, 6) }), all, "learning-rate-too-high", Likely},
		{"jumps alone", with(func(s *logSketch) { s.trainLoss = of(10, 5, 5, 5, 9) }), all, "learning-rate-too-high", Possible},
		{"three epochs of explosion", logSketch{epochs: 3, accuracy: level(0.5), loss: of(1, 9, 30, 44), trainLoss: of(1, 75, 120, 184)}, all, "learning-rate-too-high", Likely},
		{"a gap of 40 points", with(func(s *logSketch) { s.training = level(0.99); s.accuracy = of(100, 60, 61, 59) }), all, "overfitting", Likely},
		{"no gap", with(func(s *logSketch) { s.training = level(0.8) }), all, "overfitting", RuledOut},
		{"losses alone, far apart", with(func(s *logSketch) { s.accuracy, s.training, s.trainLoss = nil, nil, falling(0.9, 0.1, 3) }), all, "overfitting", CannotTell},
		{"losses alone, close together", with(func(s *logSketch) { s.accuracy, s.training, s.trainLoss = nil, nil, falling(0.9, 0.48, 3) }), all, "overfitting", RuledOut},
		{"validation loss rises, training falls", with(func(s *logSketch) {
			s.loss = func(t int) float64 { return 0.5 + 0.02*math.Abs(float64(t-10)) }
			s.trainLoss = falling(0.9, 0.1, 10)
		}), all, "overfitting", Likely},
		{"the same for confidence", with(func(s *logSketch) { s.loss = func(t int) float64 { return 0.5 + 0.02*math.Abs(float64(t-10)) } }), all, "overconfidence", Likely},
		{"the same for length", with(func(s *logSketch) { s.loss = func(t int) float64 { return 0.5 + 0.02*math.Abs(float64(t-10)) } }), all, "trained-too-long", Likely},
		{"a settled loss", settled, all, "trained-too-long", RuledOut},
		{"worse than knowing nothing", logSketch{epochs: 8, accuracy: level(0.6), training: level(0.99), loss: level(2), trainLoss: level(0.1)}, all, "overconfidence", Possible},
		{"validation 10 points better", with(func(s *logSketch) { s.training = level(0.6) }), all, "validation-better-than-training", Likely},
		{"validation no better", settled, all, "validation-better-than-training", RuledOut},
		{"still falling", with(func(s *logSketch) {
			s.loss, s.trainLoss = func(t int) float64 { return 2 - 0.04*float64(t) }, func(t int) float64 { return 2 - 0.045*float64(t) }
		}), all, "trained-too-short", Likely},
		{"one epoch", logSketch{epochs: 1, accuracy: level(0.5), training: level(0.4)}, CurveOptions{}, "trained-too-short", Possible},
		{"settled", with(func(s *logSketch) { s.trainLoss = of(100, 40, 41, 39) }), all, "trained-too-short", RuledOut},
		{"training accuracy at chance", with(func(s *logSketch) { s.training = level(0.51); s.trainLoss = level(0.693) }), all, "too-little-learning", Likely},
		{"training accuracy of 85 %", settled, all, "too-little-learning", RuledOut},
		{"a loss of zero with errors", with(func(s *logSketch) { s.trainLoss = level(0); s.training = level(0.1) }), all, "loss-accuracy-mismatch", Likely},
		{"a loss that fits", settled, all, "loss-accuracy-mismatch", RuledOut},
		{"steps of a quarter of 20 cases", with(func(s *logSketch) { s.accuracy = of(20, 14, 15, 16, 15, 14, 17) }), CurveOptions{Validation: 20}, "optimistic-selection", Likely},
		{"20,000 cases", with(func(s *logSketch) { s.accuracy = of(20_000, 15_000, 15_010) }), CurveOptions{Validation: 20_000}, "optimistic-selection", RuledOut},
		{"what no curve shows", settled, all, "batch-norm-lag", CannotTell},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := mustJudge(t, c.log, c.options).finding(c.cause)
			if f.Verdict != c.want {
				t.Errorf("%s is %s, want %s: %+v", c.cause, f.Verdict, c.want, f.Evidence)
			}
			if len(f.Evidence) == 0 {
				t.Errorf("%s is %s without a number", c.cause, f.Verdict)
			}
		})
	}
}

// Whatever the curves, nothing but a loss that is not a number is confirmed,
// the report is complete, and its text and JSON have no holes.
func TestCurvesConfirmOnlyArithmetic(t *testing.T) {
	s := stat.NewStream(3, "wild")
	for k := range 200 {
		wild := func(int) float64 { return math.Round(10*math.Exp(2*s.Normal())) / 10 }
		share := func(int) float64 { return math.Round(1e4*s.Float64()) / 1e4 }
		log := logSketch{epochs: 1 + s.IntN(60), accuracy: share, training: share, loss: wild, trainLoss: wild}
		if k%3 == 0 {
			log.loss = nil
		}
		if k%5 == 0 {
			log.training, log.trainLoss = nil, nil
		}
		report := mustJudge(t, log, CurveOptions{Validation: s.IntN(50), Classes: 2 * s.IntN(2)})
		for _, f := range report.Findings {
			if f.Verdict == Confirmed {
				t.Fatalf("log %d: %s is confirmed", k, f.ID)
			}
			if !slices.Contains(verdictOrder, f.Verdict) || len(f.Evidence) == 0 || f.Title == "" || f.Explain == "" {
				t.Fatalf("log %d: incomplete finding %+v", k, f)
			}
		}
		var text strings.Builder
		if err := report.Text(&text, 90, false); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text.String(), "NaN") || strings.Contains(text.String(), "%!") || strings.Contains(text.String(), "Inf") {
			t.Fatalf("log %d:\n%s", k, text.String())
		}
	}
}

// With the true change of every case known, the bounds hold the true share.
func TestFiniteBoundsHoldTheTruth(t *testing.T) {
	for k := range uint64(10) {
		c := newCourse(cleanScenario(stat.NewStream(evaluationSeeds+k, "scenario")), evaluationSeeds+k)
		for _, n := range []int{20, 60, 200} {
			r := c.run(n, 0)
			full, bounded := newEvidence(r), newCurveEvidence(curvesOf(r), optionsOf(r))
			if full.logged == nil || !(full.logged.total.value > 0) {
				continue
			}
			p := full.validation[run.Logged]
			steps, _ := full.stepsOf(func(t int) bool { return true })
			one := p.panel(accuracyValues)
			one.strata = [][]int{slices.Concat(one.strata...)}
			pooled := jitterVariance(one, steps)
			share := pooled.finite.value / pooled.total.value
			if b := bounded.finite; share < b.low*(1-1e-3)-1e-3 {
				t.Errorf("course %d, %d cases: the share is %.3f, bounded from below by %.3f", k, n, share, b.low)
			}
			if b := bounded.finite; share < 1 && share > b.most {
				t.Errorf("course %d, %d cases: the share is %.3f, bounded from above by %.3f", k, n, share, b.most)
			}
		}
	}
}

// Independent draws make the steps that the formula says, and are not taken for
// more than chance.
func TestIndependentDraws(t *testing.T) {
	excess := 0
	const draws = 400
	sum, expected := 0.0, 0.0
	for k := range uint64(draws) {
		s := stat.NewStream(evaluationSeeds+k, "draws")
		counts := make([]int, 40)
		for i := range counts {
			for range 50 {
				if s.Float64() < 0.7 {
					counts[i]++
				}
			}
		}
		e := newCurveEvidence(logSketch{epochs: 40, accuracy: of(50, counts...)}.curves(), CurveOptions{Validation: 50})
		sum += e.finite.step * e.finite.step
		expected += 2 * 0.7 * 0.3 / 50 * 1e4
		if e.excess > 1 {
			excess++
		}
	}
	if ratio := sum / expected; !(math.Abs(ratio-1) < 0.05) {
		t.Errorf("the squared step of independent draws is %.3f times the formula's", ratio)
	}
	if excess > draws*4/100 {
		t.Errorf("%d of %d curves of independent draws exceed chance; 2.5 %% are expected", excess, draws)
	}
}

// The expected maxima of 2, 10 and 50 normal numbers are those of Teichroew,
// "Tables of expected values of order statistics" (1956): 0.5642, 1.5388, 2.2491.
func TestExpectedNormalMaximum(t *testing.T) {
	for n, want := range map[int]float64{2: 0.5642, 10: 1.5388, 50: 2.2491} {
		if got := expectedNormalMaximum(n); !(math.Abs(got-want) < 0.03) {
			t.Errorf("of %d: %.4f, want %.4f", n, got, want)
		}
	}
}

func TestPrevalenceIsInferredFromPoles(t *testing.T) {
	s := stat.NewStream(1, "poles")
	counts := make([]int, 60)
	for i := range counts {
		counts[i] = 9 + s.IntN(8)
		if s.Float64() < 0.5 {
			counts[i] = []int{6, 13}[s.IntN(2)]
		}
	}
	report := mustJudge(t, logSketch{epochs: 60, accuracy: of(19, counts...)}, CurveOptions{Validation: 19, Classes: 2})
	f := report.Curves
	if !(math.Abs(float64(f.Prevalence)-13.0/19) < 1e-6) || f.PrevalenceFrom != Inferred || report.finding("class-bias-oscillation").Verdict != Likely {
		t.Errorf("%+v, %+v", f, report.finding("class-bias-oscillation"))
	}
	if !strings.Contains(strings.Join(report.Notes, "\n"), "inferred") {
		t.Errorf("the notes do not say that it is inferred: %q", report.Notes)
	}
}

func TestCurveOptions(t *testing.T) {
	log := logSketch{epochs: 10, accuracy: level(0.5)}.curves()
	for _, o := range []CurveOptions{{Validation: -1}, {Classes: 1}, {Classes: -2}, {Prevalence: 1.5}, {Prevalence: math.NaN()}, {Classes: 2, Prevalence: 0.3}} {
		if _, err := DiagnoseCurves(log, o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := DiagnoseCurves(&run.Curves{}, CurveOptions{}); !errors.Is(err, ErrTooShort) {
		t.Errorf("an empty log: %v", err)
	}
	report := mustJudge(t, logSketch{epochs: 10, accuracy: level(0.5)}, CurveOptions{})
	var missing []string
	for _, m := range report.Curves.Missing {
		missing = append(missing, m.Option)
	}
	if !slices.Equal(missing, []string{"--n-validation", "--classes", "--prevalence"}) {
		t.Errorf("missing: %q", missing)
	}
	if report := mustJudge(t, logSketch{epochs: 10, accuracy: level(0.5)}, CurveOptions{Validation: 10, Classes: 2, Prevalence: 0.5}); len(report.Curves.Missing) > 0 {
		t.Errorf("all is said, and missing are %+v", report.Curves.Missing)
	}
}

// A measure that is no share of cases has no binomial distribution.
func TestOtherMeasures(t *testing.T) {
	report := mustJudge(t, logSketch{epochs: 30, accuracy: of(20, 14, 16), measure: "Dice", loss: level(-0.5), trainLoss: level(-0.6)}, CurveOptions{Validation: 20, Classes: 2, Prevalence: 0.6})
	for _, id := range []string{"coin-flip", "small-validation-set", "class-bias-oscillation", "optimistic-selection", "overconfidence"} {
		if f := report.finding(id); f.Verdict != CannotTell {
			t.Errorf("%s of a Dice curve is %s", id, f.Verdict)
		}
	}
}

func FuzzDiagnoseCurves(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 200, 255, 0, 9, 80}, 19, 2, 0.6)
	f.Fuzz(func(t *testing.T, data []byte, n, classes int, prevalence float64) {
		special := []run.Float{run.Float(math.NaN()), run.Float(math.Inf(1)), run.Float(math.Inf(-1)), 0, -1, 1e300}
		value := func(b byte) run.Float {
			if int(b) < len(special) {
				return special[b]
			}
			return run.Float(b) / 255
		}
		c := &run.Curves{Measure: "accuracy"}
		for i := 0; i+4 <= len(data) && len(c.Points) < 100; i += 4 {
			c.Points = append(c.Points, run.Point{Epoch: i/4 + 1, TrainLoss: value(data[i]), TrainAccuracy: value(data[i+1]),
				ValidationLoss: value(data[i+2]), ValidationAccuracy: value(data[i+3])})
		}
		report, err := DiagnoseCurves(c, CurveOptions{Validation: n % 100_000, Classes: classes, Prevalence: prevalence})
		if err != nil {
			return
		}
		var text strings.Builder
		if err := report.Text(&text, 80, false); err != nil {
			t.Fatal(err)
		}
		for _, finding := range report.Findings {
			if finding.Verdict == Confirmed && finding.ID != "non-finite-loss" {
				t.Errorf("%s is confirmed", finding.ID)
			}
		}
	})
}
