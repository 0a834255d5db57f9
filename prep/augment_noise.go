package prep

import (
	"fmt"
	"math"

	"ballast/stat"
)

// Noise adds the noise of the receiver.
//
// As "noise" it is Gaussian, x' = x + sigma n with n standard normal: right
// where the signal is well above the noise. As "rician" it is what the magnitude
// of a complex signal with Gaussian noise in both parts shows: with s the signal
// above empty space,
//
//	s' = sqrt( (s + sigma n1)² + (sigma n2)² )
//
// so that empty space becomes brighter (to sigma sqrt(pi/2) on average) and dark
// tissue loses contrast (Gudbjartsson and Patz, "The Rician distribution of noisy
// MRI data", Magnetic Resonance in Medicine 34, 1995).
//
// Sigma is in standard deviations of the channel's voxels and drawn evenly from 0
// to the largest, for each channel anew. The numbers come from stat.Stream's
// NormalsAt with a seed that the draw holds.
type Noise struct {
	Probability float64 `yaml:"probability" doc:"share of the images that get this noise"`
	Sigma       float64 `yaml:"sigma" doc:"largest standard deviation of the noise, in standard deviations of the image"`
}

// A NoiseDraw is the parameters of one Noise, Gaussian or Rician.
type NoiseDraw struct {
	Sigma []float64 `json:"sigma"`       // of each channel
	Seed  uint64    `json:"seed,string"` // of the stream "noise" of each channel
}

func (o Noise) check(name string) error { return setting(name+".sigma", o.Sigma, 0, 10) }

func (o Noise) draw(s *stat.Stream, channels int) *NoiseDraw {
	return &NoiseDraw{Sigma: eachOf(channels, func() float64 { return uniform(s, 0, o.Sigma) }), Seed: s.Uint64()}
}

func (d *NoiseDraw) checkFits(name string, channels int) error {
	for _, sigma := range d.Sigma {
		if !(sigma >= 0 && sigma <= 100) {
			return fmt.Errorf("%s: sigma of %g; it must lie between 0 and 100", name, sigma)
		}
	}
	if len(d.Sigma) != channels {
		return fmt.Errorf("%s: %d sigmas for %d channels", name, len(d.Sigma), channels)
	}
	return nil
}

// noisePiece is how many voxels get their noise at a time.
const noisePiece = 1024

// gaussian adds Gaussian noise.
func (d *NoiseDraw) gaussian(data []float32, channel int, deviation float64) {
	sigma := float32(d.Sigma[channel] * deviation)
	s := stat.NewStream(d.Seed, "noise", uint64(channel))
	var numbers [noisePiece]float32
	for from := 0; from < len(data); from += noisePiece {
		piece := data[from:min(from+noisePiece, len(data))]
		s.NormalsAt(uint64(from), numbers[:len(piece)])
		for i, n := range numbers[:len(piece)] {
			piece[i] += float32(sigma * n)
		}
	}
}

// rician takes the magnitude of the signal with noise in both parts.
func (d *NoiseDraw) rician(data []float32, channel int, deviation float64, zero float32) {
	sigma := float32(d.Sigma[channel] * deviation)
	s := stat.NewStream(d.Seed, "noise", uint64(channel))
	var first, second [noisePiece]float32
	for from := 0; from < len(data); from += noisePiece {
		piece := data[from:min(from+noisePiece, len(data))]
		s.NormalsAt(uint64(2*from), first[:len(piece)])
		s.NormalsAt(uint64(2*from+noisePiece), second[:len(piece)])
		for i, x := range piece {
			re, im := x-zero+float32(sigma*first[i]), float32(sigma*second[i])
			piece[i] = zero + float32(math.Sqrt(float64(float32(re*re)+float32(im*im))))
		}
	}
}
