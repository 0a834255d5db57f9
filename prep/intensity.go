package prep

import (
	"fmt"
	"math"

	"ballast/cohort"
)

// intensities clips, standardises and normalises one channel of a result in
// place, and returns what empty space becomes.
func (p *preparation) intensities(channel int, data []float32, outside float32, at placement) (float32, error) {
	if p.Normalise == "none" && len(p.Clip) == 0 && p.Standardise == "none" {
		return outside, nil
	}
	chosen, err := p.chosen(p.grounds[channel], data, at)
	if err != nil {
		return 0, err
	}
	empty := []float32{outside}
	if len(p.Clip) > 0 {
		limits := percentiles(pick(data, chosen), p.Clip)
		clip(data, float32(limits[0]), float32(limits[1]))
		clip(empty, float32(limits[0]), float32(limits[1]))
	}
	if p.Standardise == "nyul" {
		own, err := landmarks(p.volumes[channel], p.grounds[channel], p.Over)
		if err != nil {
			return 0, err
		}
		standard := p.Fitted.Channels[channel].Landmarks
		mapLandmarks(data, own, standard)
		mapLandmarks(empty, own, standard)
	}
	if p.Normalise == "none" {
		return empty[0], nil
	}
	shift, scale, err := p.unit(data, chosen)
	if err != nil {
		return 0, err
	}
	for n, x := range data {
		data[n] = float32((float64(x) - shift) / scale)
	}
	return float32((float64(empty[0]) - shift) / scale), nil
}

// chosen marks the voxels of a resampled field that Over names; nil are all.
func (p *preparation) chosen(ground Ground, data []float32, at placement) ([]bool, error) {
	if p.Over == "image" {
		return nil, nil
	}
	values := data
	if p.Over == "mask" {
		values, ground = at.in(p.mask, "nearest", 0), inMask
	}
	chosen, count := make([]bool, len(data)), 0
	for n, x := range values {
		if ground.Contains(x) {
			chosen[n] = true
			count++
		}
	}
	if p.Over == "mask" && count < 2 {
		return nil, fmt.Errorf("the mask has %d voxels on the grid, too few to normalise by: choose a finer spacing, or over foreground or image", count)
	}
	return chosen, nil
}

// unit returns what to subtract and what to divide by: mean and standard
// deviation for zscore, the lowest value and the range for minmax, of the chosen
// voxels. When the field shows no foreground, or a flat one, all its voxels are
// used.
func (p *preparation) unit(data []float32, chosen []bool) (shift, scale float64, err error) {
	measure := moments
	if p.Normalise == "minmax" {
		measure = extremes
	}
	if shift, scale = measure(data, chosen); !(scale > 0) {
		shift, scale = measure(data, nil)
	}
	if !(scale > 0) {
		return 0, 0, fmt.Errorf("%w in the field around the centre of the crop", cohort.ErrConstant)
	}
	return shift, scale, nil
}

// moments returns mean and standard deviation (with n, not n - 1) of the chosen
// voxels, nil being all; two passes in float64, in order. The deviation is 0
// when fewer than two are chosen.
func moments(data []float32, chosen []bool) (mean, deviation float64) {
	sum, count := 0.0, 0
	for n, x := range data {
		if chosen == nil || chosen[n] {
			sum += float64(x)
			count++
		}
	}
	if count < 2 {
		return 0, 0
	}
	mean = sum / float64(count)
	square := 0.0
	for n, x := range data {
		if chosen == nil || chosen[n] {
			d := float64(x) - mean
			square += float64(d * d)
		}
	}
	return mean, math.Sqrt(square / float64(count))
}

// extremes returns the lowest of the chosen voxels and how far the highest lies
// above it.
func extremes(data []float32, chosen []bool) (low, height float64) {
	low, high := math.Inf(1), math.Inf(-1)
	for n, x := range data {
		if chosen == nil || chosen[n] {
			low, high = min(low, float64(x)), max(high, float64(x))
		}
	}
	return low, high - low
}

// pick returns the chosen voxels, all when none is chosen.
func pick(data []float32, chosen []bool) []float32 {
	var picked []float32
	for n, in := range chosen {
		if in {
			picked = append(picked, data[n])
		}
	}
	if len(picked) == 0 {
		return data
	}
	return picked
}

func clip(data []float32, low, high float32) {
	for n, x := range data {
		data[n] = min(max(x, low), high)
	}
}
