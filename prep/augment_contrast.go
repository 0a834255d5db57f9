package prep

import (
	"errors"
	"fmt"
	"math"

	"ballast/stat"
)

// Contrast changes contrast and brightness, as another window would.
//
//	x' = mean + contrast (x - mean) + brightness deviation
//
// with mean and standard deviation those of the channel's voxels. The factor is
// drawn between 1/(1 + contrast) and 1 + contrast, its logarithm evenly, the
// brightness evenly either way, for each channel anew.
type Contrast struct {
	Probability float64 `yaml:"probability" doc:"share of the images whose contrast and brightness change"`
	Contrast    float64 `yaml:"contrast" doc:"largest change of contrast: 0.2 is a factor between 1/1.2 and 1.2"`
	Brightness  float64 `yaml:"brightness" doc:"largest change of brightness in standard deviations of the image, either way"`
}

// A ContrastDraw is the parameters of one Contrast.
type ContrastDraw struct {
	Contrast   []float64 `json:"contrast"`   // factor of each channel
	Brightness []float64 `json:"brightness"` // standard deviations added to each channel
}

func (o Contrast) check() error {
	return errors.Join(setting("contrast.contrast", o.Contrast, 0, 9), setting("contrast.brightness", o.Brightness, 0, 10))
}

func (o Contrast) draw(s *stat.Stream, channels int) *ContrastDraw {
	return &ContrastDraw{
		Contrast:   eachOf(channels, func() float64 { return factor(s, 1+o.Contrast) }),
		Brightness: eachOf(channels, func() float64 { return either(s, o.Brightness) }),
	}
}

func (d *ContrastDraw) checkFits(channels int) error {
	if len(d.Contrast) != channels || len(d.Brightness) != channels || !finite(100, d.Contrast...) || !finite(100, d.Brightness...) {
		return fmt.Errorf("contrast: needs a contrast and a brightness, up to 100, for each of %d channels", channels)
	}
	return nil
}

func (d *ContrastDraw) apply(data []float32, channel int) {
	mean, deviation := spread(data)
	contrast := d.Contrast[channel]
	base := mean - float64(contrast*mean) + float64(d.Brightness[channel]*deviation)
	for i, x := range data {
		data[i] = float32(base + float64(contrast*float64(x)))
	}
}

// spread returns mean and standard deviation (with n, not n - 1) in two passes.
// Four sums run side by side, of every fourth number each, which is four times as
// fast as one and has its fixed order too.
func spread(data []float32) (mean, deviation float64) {
	whole := len(data) &^ 3
	var sums [4]float64
	for i := 0; i < whole; i += 4 {
		four := data[i : i+4 : i+4]
		sums[0] += float64(four[0])
		sums[1] += float64(four[1])
		sums[2] += float64(four[2])
		sums[3] += float64(four[3])
	}
	for i, x := range data[whole:] {
		sums[i] += float64(x)
	}
	mean = (sums[0] + sums[1] + sums[2] + sums[3]) / float64(len(data))
	var squares [4]float64
	for i := 0; i < whole; i += 4 {
		four := data[i : i+4 : i+4]
		a, b, c, d := float64(four[0])-mean, float64(four[1])-mean, float64(four[2])-mean, float64(four[3])-mean
		squares[0] += float64(a * a)
		squares[1] += float64(b * b)
		squares[2] += float64(c * c)
		squares[3] += float64(d * d)
	}
	for i, x := range data[whole:] {
		d := float64(x) - mean
		squares[i] += float64(d * d)
	}
	return mean, math.Sqrt((squares[0] + squares[1] + squares[2] + squares[3]) / float64(len(data)))
}
