package prep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"ballast/cohort"
)

// LandmarkPercentiles are those of Nyúl, Udupa and Zhang (2000): the deciles
// between the ends of the range that is mapped.
var LandmarkPercentiles = []float64{1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99}

// The standard scale that the ends of the range are mapped to on average.
const scaleLow, scaleHigh = 0.0, 100.0

// Fitted is what a run fitted on its training subjects and keeps in prep.json,
// so that any other image is prepared in the same way: the standard histogram of
// "nyul".
//
// Histogram standardisation (L. G. Nyúl and J. K. Udupa, "On standardizing the
// MR image intensity scale", Magnetic Resonance in Medicine 42, 1999; Nyúl, Udupa
// and X. Zhang, "New variants of a method of MRI scale standardization", IEEE
// Transactions on Medical Imaging 19, 2000): the landmarks of every training
// image are mapped linearly so that the first falls on 0 and the last on 100, and
// averaged. An image is standardised by the function that takes its own landmarks
// to these averages and is linear between them; its first and last pieces go on
// beyond the ends.
type Fitted struct {
	Format   int             `json:"format"` // 1
	Images   int             `json:"images"` // training images it was fitted on
	Channels []FittedChannel `json:"channels"`
}

// FittedChannel is the standard histogram of one channel.
type FittedChannel struct {
	Percentiles []float64 `json:"percentiles"` // LandmarkPercentiles
	Landmarks   []float64 `json:"landmarks"`   // on the standard scale, rising
}

// FittedFormat is the version of prep.json.
const FittedFormat = 1

// JSON returns the contents of prep.json, as docs/format/run.md describes them.
func (f *Fitted) JSON() []byte {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		panic("prep: fitted statistics cannot be written: " + err.Error()) // Fit makes finite numbers only
	}
	return append(text, '\n')
}

// ReadFitted reads what JSON wrote. Unknown keys are refused.
func ReadFitted(text []byte) (*Fitted, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	f := new(Fitted)
	if err := decoder.Decode(f); err != nil {
		return nil, fmt.Errorf("fitted statistics: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("fitted statistics: something follows them")
	}
	return f, f.check(len(f.Channels))
}

// check refuses what cannot have come from Fit.
func (f *Fitted) check(channels int) error {
	if f.Format != FittedFormat {
		return fmt.Errorf("fitted statistics of format %d; this program reads format %d", f.Format, FittedFormat)
	}
	if len(f.Channels) != channels {
		return fmt.Errorf("fitted statistics of %d channels for %d", len(f.Channels), channels)
	}
	for n, c := range f.Channels {
		if len(c.Percentiles) != len(LandmarkPercentiles) || len(c.Landmarks) != len(LandmarkPercentiles) {
			return fmt.Errorf("channel %d has %d landmarks at %d percentiles; it needs %d", n+1, len(c.Landmarks), len(c.Percentiles), len(LandmarkPercentiles))
		}
		for i, x := range c.Landmarks {
			if c.Percentiles[i] != LandmarkPercentiles[i] {
				return fmt.Errorf("channel %d has a landmark at percentile %g; it should be %g", n+1, c.Percentiles[i], LandmarkPercentiles[i])
			}
			if x-x != 0 || i > 0 && x < c.Landmarks[i-1] {
				return fmt.Errorf("channel %d: landmarks %v do not rise", n+1, c.Landmarks)
			}
		}
	}
	return nil
}

// Landmarks returns the landmarks of an image, by sequence: percentiles of the
// voxels that c.Over names, at the resolution of the file.
func Landmarks(volumes []*cohort.Volume, c Config) ([][]float64, error) {
	c = c.complete()
	var all [][]float64
	for n, v := range volumes {
		v, ground, err := c.examine(v)
		if err != nil {
			return nil, inSequence(n, len(volumes), err)
		}
		own, err := landmarks(v, ground, c.Over)
		if err != nil {
			return nil, inSequence(n, len(volumes), err)
		}
		all = append(all, own)
	}
	return all, nil
}

func landmarks(v *cohort.Volume, ground Ground, over string) ([]float64, error) {
	values := v.Data
	if over == "foreground" {
		values = make([]float32, 0, len(v.Data))
		for _, x := range v.Data {
			if ground.Contains(x) {
				values = append(values, x)
			}
		}
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("no voxel to standardise the histogram by in the %s", over)
	}
	own := percentiles(values, LandmarkPercentiles)
	if !(own[len(own)-1] > own[0]) {
		return nil, fmt.Errorf("%w between the %gst and the %gth percentile of the %s", cohort.ErrConstant, LandmarkPercentiles[0], LandmarkPercentiles[len(own)-1], over)
	}
	return own, nil
}

// Fit returns the standard histogram of training images, given the Landmarks of
// each. It does not depend on their order up to rounding; callers keep that of
// the cohort.
func Fit(images [][][]float64) (*Fitted, error) {
	if len(images) == 0 {
		return nil, errors.New("fit the histogram: no training image")
	}
	f := &Fitted{Format: FittedFormat, Images: len(images)}
	for channel := range images[0] {
		mean := make([]float64, len(LandmarkPercentiles))
		for _, image := range images {
			own := image[channel]
			low, high := own[0], own[len(own)-1]
			for n, x := range own {
				mean[n] += scaleLow + float64((x-low)/(high-low)*(scaleHigh-scaleLow))
			}
		}
		for n := range mean {
			mean[n] /= float64(len(images))
		}
		f.Channels = append(f.Channels, FittedChannel{LandmarkPercentiles, mean})
	}
	return f, f.check(len(f.Channels))
}

// mapLandmarks maps numbers by the function that is linear between the points
// (from[n], to[n]) and goes on beyond them. Points with equal from count as one,
// the last.
func mapLandmarks(data []float32, from, to []float64) {
	var x, y []float64
	for n := range from {
		if n+1 == len(from) || from[n+1] > from[n] {
			x, y = append(x, from[n]), append(y, to[n])
		}
	}
	slope := make([]float64, len(x)-1)
	for n := range slope {
		slope[n] = (y[n+1] - y[n]) / (x[n+1] - x[n])
	}
	for i, value := range data {
		v, n := float64(value), 0
		for n+1 < len(slope) && v >= x[n+1] {
			n++
		}
		data[i] = float32(y[n] + float64((v-x[n])*slope[n]))
	}
}
