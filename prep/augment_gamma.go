package prep

import (
	"fmt"
	"math"

	"ballast/stat"
)

// Gamma bends the grey scale: sequences and scanners differ in contrast.
//
//	x' = low + (high - low) u^gamma,   u = (x - low) / (high - low)
//
// with low and high the lowest and highest value of the channel, which stay
// where they are. Gamma is drawn between 1/change and change, its logarithm
// evenly, for each channel anew.
//
// After MONAI's RandAdjustContrast; TorchIO's RandomGamma takes sign(x) |x|^gamma
// of a standardised image, which bends it around its mean.
type Gamma struct {
	Probability float64 `yaml:"probability" doc:"share of the images whose grey scale is bent"`
	Change      float64 `yaml:"change" doc:"largest exponent: 1.5 draws from 1/1.5 to 1.5"`
}

// A GammaDraw is the parameters of one Gamma.
type GammaDraw struct {
	Gamma []float64 `json:"gamma"` // of each channel
}

func (o Gamma) check() error {
	low := 0.0
	if o.Probability > 0 {
		low = 1
	}
	return setting("gamma.change", o.Change, low, 5)
}

func (o Gamma) draw(s *stat.Stream, channels int) *GammaDraw {
	return &GammaDraw{Gamma: eachOf(channels, func() float64 { return factor(s, o.Change) })}
}

func (d *GammaDraw) checkFits(channels int) error {
	for _, gamma := range d.Gamma {
		if !(gamma >= 0.2 && gamma <= 5) {
			return fmt.Errorf("gamma: %g; it must lie between 0.2 and 5", gamma)
		}
	}
	if len(d.Gamma) != channels {
		return fmt.Errorf("gamma: %d exponents for %d channels", len(d.Gamma), channels)
	}
	return nil
}

func (d *GammaDraw) apply(data []float32, channel int) {
	low, high := lowAndHigh(data)
	span := high - low
	if !(span > 0) || span > math.MaxFloat32 {
		return
	}
	table, scale := newPowerTable(d.Gamma[channel]), 1/span
	for i, x := range data {
		data[i] = low + float32(span*table.of((x-low)*scale))
	}
}

// lowAndHigh returns the lowest and the highest number.
func lowAndHigh(data []float32) (low, high float32) {
	low, high = data[0], data[0]
	for _, x := range data {
		if x < low {
			low = x
		}
		if x > high {
			high = x
		}
	}
	return low, high
}
