package diagnosis

import (
	"math"

	"ballast/stat"
)

// judgeCurveSelection bounds by how much the highest point flatters. If the
// noise of n cases has the share s of the variance J² between epochs, the best
// of T contenders exceeds its true accuracy by m J s, m being the expected
// maximum of T standard normal numbers; the small set's bounds on s give those
// of the optimism.
func judgeCurveSelection(e *curveEvidence) judgement {
	if !e.isAccuracy() || finiteCount(e.accuracy) < 2 {
		return cannotTell(finiteCount(e.accuracy), "%.0f epochs have an accuracy to choose from", finiteCount(e.accuracy))
	}
	best, level := highest(e.accuracy), e.late(e.accuracy)
	above := 100 * (e.accuracy[best] - level)
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	j.say(above, "the best epoch, %d, has %.1f %%; the last third of the epochs has %.1f %% on average", e.epochs[best], 100*e.accuracy[best], 100*level)
	contenders := finiteCount(e.accuracy[e.settled():])
	if !isFinite(e.finite.low) || e.finite.steps < leastSteps || contenders < 2 {
		j.say(contenders, "how much of that is luck depends on the number of validation cases and takes at least %d steps", leastSteps)
		return j
	}
	maximum := expectedNormalMaximum(int(contenders))
	settled := 100 * math.Sqrt(halfMeanSquare(e.steps(e.accuracy, e.settled())))
	least, most := maximum*settled*e.finite.least, maximum*settled*math.Min(1, e.finite.most)
	j.say(least, "choosing the best of %.0f settled epochs on %.0f cases flatters by %.1f to %.1f points", contenders, e.cases(), least, most)
	j.severity = math.Min(maximum*settled*e.finite.low, math.Max(0, above))
	switch {
	case least >= relevantOptimism:
		j.verdict = Likely
	case most < relevantOptimism:
		j.verdict = RuledOut
	case above >= relevantOptimism:
		j.verdict = Possible
	}
	j.treat(advise("Do not report the best epoch. Fix the number of epochs or choose by the smoothed loss, and report cases that chose nothing."))
	return j
}

// expectedNormalMaximum is the expected maximum of t independent standard
// normal numbers by Blom's approximation, Φ⁻¹((t - α)/(t - 2α + 1)) with
// α = 0.375 (Statistical Estimates and Transformed Beta-Variables, 1958), off
// by less than 0.02 from t = 2 on.
func expectedNormalMaximum(t int) float64 {
	const alpha = 0.375
	return stat.NormalQuantile((float64(t) - alpha) / (float64(t) - 2*alpha + 1))
}
