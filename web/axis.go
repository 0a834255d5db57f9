package web

import (
	"math"
	"strconv"
)

// An axis maps values to the share of its length, 0 at low and 1 at high.
type axis struct {
	low, high   float64
	logarithmic bool
	ticks       []tick
}

type tick struct {
	value float64
	label string
}

func (a *axis) at(value float64) float64 {
	if a.logarithmic {
		return (math.Log(value) - math.Log(a.low)) / (math.Log(a.high) - math.Log(a.low))
	}
	return (value - a.low) / (a.high - a.low)
}

// epochAxis spans epochs 1 to count with half an epoch at either end, as the
// columns of the flip map do.
func epochAxis(count int) axis {
	a := axis{low: 0.5, high: float64(max(count, 1)) + 0.5}
	step := max(1, int(niceStep(float64(count)/7)))
	for epoch := step; epoch <= count; epoch += step {
		a.ticks = append(a.ticks, tick{float64(epoch), strconv.Itoa(epoch)})
	}
	if step > 1 && count > 0 {
		a.ticks = append([]tick{{1, "1"}}, a.ticks...)
	}
	return a
}

// linearAxis spans the values with round ends.
func linearAxis(low, high float64, steps int) axis {
	if !(high > low) {
		low, high = low-0.5, low+0.5
	}
	step := niceStep((high - low) / float64(steps))
	a := axis{low: math.Floor(low/step+1e-9) * step, high: math.Ceil(high/step-1e-9) * step}
	decimals := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	for i := range int(math.Round((a.high-a.low)/step)) + 1 {
		value := a.low + float64(i)*step
		a.ticks = append(a.ticks, tick{value, decimal(value, decimals)})
	}
	return a
}

// logAxis spans positive values with whole powers of ten at the ticks, and
// 2 and 5 times them where there are few.
func logAxis(low, high float64) axis {
	a := axis{low: low / 1.2, high: high * 1.2, logarithmic: true}
	first, last := int(math.Floor(math.Log10(a.low))), int(math.Ceil(math.Log10(a.high)))
	factors := []float64{1}
	if last-first <= 3 {
		factors = []float64{1, 2, 5}
	}
	every := max(1, (last-first)/5)
	for exponent := first; exponent <= last; exponent += every {
		for _, factor := range factors {
			value := factor * math.Pow(10, float64(exponent))
			if value >= a.low && value <= a.high {
				a.ticks = append(a.ticks, tick{value, strconv.FormatFloat(value, 'g', 3, 64)})
			}
		}
	}
	return a
}

// niceStep rounds up to 1, 2, 5 times a power of ten.
func niceStep(least float64) float64 {
	if !(least > 0) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= least*(1-1e-9) {
			return factor * power
		}
	}
	return 10 * power
}
