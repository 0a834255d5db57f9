package train

import (
	"math"

	"ballast/stat"
)

// divider is what one-cycle begins with: optimizer.lr divided by it (Smith and
// Topin 2018 begin at a third to a twenty-fifth; torch's OneCycleLR at this).
const divider = 25

// plateauThreshold is the share by which the training loss must fall below its
// least to count as an improvement, as in torch's ReduceLROnPlateau.
const plateauThreshold = 1e-4

// rate is the learning rate of a step, counted from 0, where an epoch has
// perEpoch steps and losses are the training losses of the epochs before it. It
// depends on nothing else, so a resumed run goes on at the same rates.
//
//	constant   lr
//	step       lr factor^k after k times schedule.every epochs
//	cosine     from lr down to final lr, half a cosine over the steps after the warm-up
//	one-cycle  from lr/25 up to lr over the share schedule.rise of the steps and down
//	           to final lr at the last, half a cosine each
//	plateau    lr multiplied by factor whenever the loss has not improved for more
//	           than schedule.patience epochs, but not below final lr
//
// In the w steps of a warm-up, step s has (s+1)/(w+1) of that.
func (p *Plan) rate(step, perEpoch int, losses []float64) float64 {
	s, lr, last := &p.Schedule, p.Optimizer.LR, p.Epochs*perEpoch-1
	warmUp := int(math.Floor(float64(s.WarmUp*float64(perEpoch)) + 0.5))
	rate := lr
	switch s.Name {
	case "one-cycle":
		return s.oneCycle(float64(step), float64(last), lr)
	case "step":
		rate = s.steps(step/perEpoch, lr)
	case "plateau":
		rate = s.plateau(losses, lr)
	case "cosine":
		if span := last - warmUp; span > 0 {
			rate = halfCosine(lr, float64(s.Final*lr), float64(step-warmUp)/float64(span))
		}
	}
	if step < warmUp {
		rate = float64(rate*float64(step+1)) / float64(warmUp+1)
	}
	return rate
}

func (s *Schedule) steps(epoch int, rate float64) float64 {
	for range epoch / s.Every {
		rate = float64(rate * s.Factor)
	}
	return rate
}

// oneCycle is torch.optim.lr_scheduler.OneCycleLR with anneal_strategy "cos".
func (s *Schedule) oneCycle(step, last, lr float64) float64 {
	top := float64(s.Rise*(last+1)) - 1
	if step < top {
		return halfCosine(lr/divider, lr, step/top)
	}
	return halfCosine(lr, float64(s.Final*lr), (step-top)/(last-top))
}

// plateau is torch.optim.lr_scheduler.ReduceLROnPlateau with its defaults for
// what the plan does not say: threshold 1e-4 of the least loss, no cooldown. Its
// eps, below which a fall is skipped, is 0.
func (s *Schedule) plateau(losses []float64, lr float64) float64 {
	rate, least, worse := lr, math.Inf(1), 0
	for _, loss := range losses {
		if loss < float64(least*(1-plateauThreshold)) {
			least, worse = loss, 0
			continue
		}
		if worse++; worse > s.Patience {
			rate, worse = math.Max(float64(rate*s.Factor), float64(s.Final*lr)), 0
		}
	}
	return rate
}

// halfCosine goes from one value (share 0) to another (share 1), level at both ends.
func halfCosine(from, to, share float64) float64 {
	if share <= 0 {
		return from
	}
	share = math.Min(1, share)
	return to + float64((from-to)/2*(1+stat.CosPi(share)))
}

// stepsPerEpoch is how many steps the optimiser takes over so many units.
func (p *Plan) stepsPerEpoch(units int) int {
	batches := len(parts(units, p.Batch))
	return (batches + p.Optimizer.Accumulate - 1) / p.Optimizer.Accumulate
}

func (t *trainer) stepsPerEpoch() int { return t.plan.stepsPerEpoch(t.units()) }

// rate is the learning rate of the next step.
func (t *trainer) rate() float64 { return t.plan.rate(t.step, t.stepsPerEpoch(), t.losses) }
