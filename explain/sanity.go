package explain

import (
	"context"
	"math"
	"slices"

	"ballast/stat"
)

// A Sanity holds the maps of a subject against those that networks of the same
// kind with random weights make of the same images (Adebayo et al. 2018, Sanity
// checks for saliency maps). A map that they make as well shows the image and the
// method, not what was learnt.
type Sanity struct {
	Correlations []float64 // Spearman's, with the maps of each random network over all voxels of the grid; NaN where a map is the same everywhere
	Median       float64   // of those that are numbers; NaN when none is
}

// SanityLimit is the median rank correlation from which Hardly warns. It is a
// convention: at 0.5 a quarter of the variance of the ranks is shared.
const SanityLimit = 0.5

// Hardly reports whether the maps hardly depend on the weights.
func (s *Sanity) Hardly() bool { return math.Abs(s.Median) >= SanityLimit }

// sanity makes the maps of random networks.
func (w *work) sanity(ctx context.Context, maps [][]float32) (*Sanity, error) {
	s := &Sanity{}
	var known []float64
	for number := range w.Random {
		n, err := w.Net.Randomised(w.Seed + uint64(number))
		if err != nil {
			return nil, err
		}
		random, err := w.mapsOf(ctx, n)
		if err != nil {
			return nil, err
		}
		r := rankCorrelation(slices.Concat(maps...), slices.Concat(random...))
		s.Correlations = append(s.Correlations, r)
		if !math.IsNaN(r) {
			known = append(known, r)
		}
	}
	s.Median = stat.Quantile(known, 0.5)
	return s, nil
}

// rankCorrelation is Spearman's: the correlation of the ranks, equal values having
// the mean of theirs; NaN when all values of one side are equal.
func rankCorrelation(a, b []float32) float64 {
	x, y := ranks(a), ranks(b)
	middle := float64(len(a)+1) / 2
	xx, yy, xy := 0.0, 0.0, 0.0
	for n := range x {
		xx += (x[n] - middle) * (x[n] - middle)
		yy += (y[n] - middle) * (y[n] - middle)
		xy += (x[n] - middle) * (y[n] - middle)
	}
	return xy / math.Sqrt(xx*yy)
}

// ranks returns the rank of each value from 1.
func ranks(values []float32) []float64 {
	wide := make([]float64, len(values))
	for n, v := range values {
		wide[n] = float64(v)
	}
	return stat.MidRanks(wide)
}
