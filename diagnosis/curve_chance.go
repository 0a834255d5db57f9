package diagnosis

import (
	"math"

	"ballast/stat"
)

// A finiteBounds holds between what shares of the variance of the accuracy
// curve n cases alone account for: the estimates, and conservative ends that
// allow for the luck of few steps. All NaN when the number of cases is unknown.
//
// With Δ the change of one case, V_n = ½ mean s²(Δ)/n is the part of
// J² = ½ mean D² that is only the finite set. The curve does not show Δ, but
// bounds it on both sides:
//
//   - At least |D| of the cases have changed when the accuracy moved by D, so
//     mean(Δ²) >= |D| and n s²(Δ)/n >= (|D| - D²)/(n-1). A curve that moves by
//     one case at a time can hardly be anything else than its small set; a step
//     of k cases bounds the share by 1/k only.
//   - Cases drawn anew every epoch would give mean(Δ²) = 2 a (1-a). The same
//     cases every epoch give less, unless they change sides more often than
//     strangers would: 2 a (1-a) (1-ρ) with the correlation ρ of a case with
//     itself, which is positive for anything that keeps what it has learnt.
//     (Predictions that are new every epoch but calibrated give about 1 - a:
//     Jordan, "Calibrated chaos", 2023.)
type finiteBounds struct {
	low, high         float64 // estimates
	least, most       float64 // with allowance
	step, independent float64 // root mean square steps, points: seen, and of independent draws
	steps             int
}

// movingSteps is the effective number of independent squared steps of T steps
// of white noise, whose neighbours have the correlation -1/2: tr(K)²/tr(K²) =
// T / (1 + 2/4).
func movingSteps(steps int) float64 { return math.Max(1, float64(steps)/1.5) }

func (e *curveEvidence) boundFinite() finiteBounds {
	nan := math.NaN()
	b := finiteBounds{nan, nan, nan, nan, nan, nan, 0}
	n := e.cases()
	steps := e.steps(e.accuracy, 0)
	if n < 2 || len(steps) == 0 {
		return b
	}
	level := smoothed(e.accuracy)
	seen, least, independent := 0.0, 0.0, 0.0
	for _, s := range steps {
		d := math.Abs(s.change)
		seen += d * d
		least += math.Max(0, d-d*d) / (n - 1)
		a := (level[s.from] + level[s.to]) / 2
		independent += 2 * a * (1 - a) / n
	}
	t := float64(len(steps))
	b.step, b.independent, b.steps = 100*math.Sqrt(seen/t), 100*math.Sqrt(independent/t), len(steps)
	if seen == 0 {
		return b
	}
	freedom := movingSteps(len(steps))
	b.low, b.high = math.Min(1, least/seen), math.Min(1, independent/seen)
	b.least = b.low * math.Min(1, stat.FQuantile(0.1, freedom, math.Inf(1)))
	b.most = independent / seen * math.Max(1, stat.FQuantile(0.975, freedom, math.Inf(1)))
	return b
}

// leastExcess is the lower end of a 95 % interval of how many times the
// variance of the settled curve exceeds that of independent draws; above 1 the
// cases cannot explain it. NaN when the number of cases is unknown or fewer
// than 5 steps are left.
func (e *curveEvidence) leastExcess() float64 {
	n := e.cases()
	steps := e.steps(e.accuracy, e.settled())
	if n < 2 || len(steps) < 5 {
		return math.NaN()
	}
	level := smoothed(e.accuracy)
	seen, independent := 0.0, 0.0
	for _, s := range steps {
		seen += s.change * s.change
		a := (level[s.from] + level[s.to]) / 2
		// The smoothed level shares the value's own noise and may touch 0 or 1
		// where the values do: half a case keeps it off.
		a = math.Min(math.Max(a, 0.5/n), 1-0.5/n)
		independent += 2 * a * (1 - a) / n
	}
	return seen / independent / stat.FQuantile(0.975, movingSteps(len(steps)), math.Inf(1))
}

// settled is the index from which the curve has reached its late level: where
// the smoothed accuracy first comes up to its mean over the last third, at
// latest where that third begins.
func (e *curveEvidence) settled() int {
	level := e.late(e.accuracy)
	for t, x := range smoothed(e.accuracy) {
		if t >= e.lateFrom || x >= level {
			return min(t, e.lateFrom)
		}
	}
	return e.lateFrom
}

// A step is the change between two evaluations, by index.
type step struct {
	from, to int
	change   float64
}

// steps returns the steps between consecutive finite values from an index on,
// those over the commonest distance in epochs only.
func (e *curveEvidence) steps(curve []float64, from int) []step {
	stride, last := e.stride(curve), -1
	var steps []step
	for t := from; t < len(curve); t++ {
		if !isFinite(curve[t]) {
			continue
		}
		if last >= 0 && e.epochs[t]-e.epochs[last] == stride {
			steps = append(steps, step{last, t, curve[t] - curve[last]})
		}
		last = t
	}
	return steps
}

// stride is the commonest distance in epochs between consecutive finite values;
// 0 when there are fewer than two.
func (e *curveEvidence) stride(curve []float64) int {
	distance, last, stride := map[int]int{}, -1, 0
	for t, x := range curve {
		if !isFinite(x) {
			continue
		}
		if last >= 0 {
			distance[e.epochs[t]-e.epochs[last]]++
		}
		last = t
	}
	for d, count := range distance {
		if count > distance[stride] || count == distance[stride] && d < stride {
			stride = d
		}
	}
	return stride
}

func halfMeanSquare(steps []step) float64 {
	sum := 0.0
	for _, s := range steps {
		sum += s.change * s.change / 2
	}
	return sum / float64(len(steps))
}

// curveJitter is the jitter of the accuracy in points.
func (e *curveEvidence) curveJitter() float64 {
	return 100 * math.Sqrt(halfMeanSquare(e.steps(e.accuracy, 0)))
}

// chance says what as many cases can show at all.
func (e *curveEvidence) chance() Chance {
	c := Chance{unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown}
	if !e.isAccuracy() || finiteCount(e.accuracy) == 0 {
		return c
	}
	level := e.late(e.accuracy)
	low, high := math.Inf(1), math.Inf(-1)
	for _, a := range e.accuracy {
		if isFinite(a) {
			low, high = math.Min(low, a), math.Max(high, a)
		}
	}
	c.Accuracy, c.Range = Number(100*level), Number(100*(high-low))
	c.Step, c.ChanceStep = Number(100*math.Sqrt(2*halfMeanSquare(e.steps(e.accuracy, 0)))), Number(e.finite.independent)
	guess, least := e.guess()
	if isFinite(guess) && !least {
		c.Guess = Number(100 * guess)
	}
	n := e.cases()
	if n == 0 || !isFinite(level) {
		return c
	}
	a, b := stat.Wilson(level*n, n, 0.95)
	c.Low, c.High = Number(100*a), Number(100*b)
	_, span := stat.BinomialRange(int(n), level, int(finiteCount(e.accuracy)))
	c.ChanceRange = Number(100 * span)
	if c.Guess.Known() {
		if needs := 100 * float64(stat.LeastSignificant(int(n), guess, 0.05)) / n; needs <= 100 {
			c.Needs = Number(needs)
		}
	}
	return c
}
