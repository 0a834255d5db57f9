package diagnosis

import "math"

const (
	accuracyDrop = 0.05 // of training accuracy in the epoch of a jump of the loss
	growth       = 1.2  // late training loss over its lowest
	steepGrowth  = 1.5  // last training loss over the first, where there are too few for a trend
)

// judgeCurveRate needs the training loss to grow, or to jump up often together
// with a falling training accuracy, for "likely"; jumps alone, or a loss that
// is not finite, are "possible". Only a run at a lower rate confirms it.
func judgeCurveRate(e *curveEvidence) judgement {
	if !positive(e.trainLoss) || finiteCount(e.trainLoss) < 3 {
		j := cannotTell(finiteCount(e.trainLoss), "%.0f training losses are too few, or not all above zero, to see jumps", finiteCount(e.trainLoss))
		if e.broken > 0 {
			j.verdict, j.treatment = Possible, lowerTheRate()
			j.say(float64(e.broken), "the loss stopped being a finite number, as happens when steps are too large")
		}
		return j
	}
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	jumps, worse, steps := e.lossJumps()
	grown := e.lossGrowth()
	j.say(float64(jumps), "the training loss jumps up by more than a fifth in %d of %d epochs, in %d of them the training accuracy falls by 5 points or more", jumps, steps, worse)
	if grown > 1 {
		j.say(grown, "the training loss ends %.1f times above its lowest or first value", grown)
	}
	often := steps >= 5 && float64(jumps) > frequentJump*float64(steps)
	switch {
	case grown > 1, often && jumps >= 2 && 2*worse >= jumps:
		j.verdict = Likely
	case often && jumps >= 2, e.broken > 0:
		j.verdict = Possible
	case !often && steps >= 5 && e.jitter < relevantJitter:
		j.verdict = RuledOut
	}
	j.treat(lowerTheRate())
	return j
}

func lowerTheRate() *Treatment {
	return advise("Lower the learning rate to a third, or clip the gradient norm, and compare over several seeds; only that trial can confirm it.")
}

// lossJumps counts the epochs whose training loss lies well above that of the
// epoch before, and those of them in which the training accuracy falls.
func (e *curveEvidence) lossJumps() (jumps, worse, steps int) {
	for _, s := range e.steps(e.trainLoss, 0) {
		steps++
		if before := e.trainLoss[s.from]; e.trainLoss[s.to] > jumpRatio*before && s.change > jumpNats {
			jumps++
			if e.trainAccuracy[s.from]-e.trainAccuracy[s.to] >= accuracyDrop {
				worse++
			}
		}
	}
	return jumps, worse, steps
}

// lossGrowth is how many times the late training loss lies above its lowest,
// where that is a trend, or the last above the first where there are few values
// that all rise; 1 where neither holds.
func (e *curveEvidence) lossGrowth() float64 {
	values := finiteOf(e.trainLoss)
	if lowest, rise := e.turn(e.trainLoss); lowest >= 0 {
		least := smoothed(e.trainLoss)[lowest]
		if ratio := (least + rise) / least; ratio >= growth && rise > jumpNats && risesFrom(e.trainLoss, lowest, significantTrend) {
			return ratio
		}
		return 1
	}
	for i := 1; i < len(values); i++ {
		if values[i] <= values[i-1] {
			return 1
		}
	}
	if len(values) < 2 {
		return 1
	}
	if ratio := values[len(values)-1] / values[0]; ratio >= steepGrowth {
		return ratio
	}
	return 1
}

// judgeRateTooLow can make it possible only: curves do not tell a low rate from
// too few epochs, or from a network that cannot do better.
func judgeRateTooLow(e *curveEvidence) judgement {
	short, little := judgeTooShort(e), judgeTooLittleLearning(e)
	rises := 0
	steps := e.steps(e.trainLoss, 0)
	for _, s := range steps {
		if s.change > 0 {
			rises++
		}
	}
	if len(steps) < 5 {
		return cannotTell(float64(len(steps)), "%d steps of the training loss are too few to tell slow from fast", len(steps))
	}
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	j.say(float64(rises), "the training loss rises in %d of %d steps", rises, len(steps))
	smooth := float64(rises) <= 0.1*float64(len(steps))
	falls := fallsFrom(e.trainLoss, 0, significantTrend)
	switch {
	case smooth && falls && (short.verdict == Likely || short.verdict == Possible), smooth && falls && little.verdict == Likely:
		j.verdict = Possible
		j.say(finiteCount(e.trainLoss), "it falls smoothly and has not levelled off: either more epochs or larger steps are missing")
	case !falls && rises > 0:
		j.say(float64(rises), "it does not fall steadily either")
	case e.broken > 0:
		j.verdict = RuledOut
	}
	j.treat(advise("Try three times the learning rate over a few epochs; ballast lr-range shows how for a cohort of its own."))
	return j
}
