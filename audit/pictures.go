package audit

import (
	"context"
	"math"
	"slices"

	"ballast/prep"
)

// A Picture is a slice of an image, dark to bright in 256 levels, row by row
// from the top.
type Picture struct {
	Width, Height int
	Grey          []uint8
}

const (
	pictureSide  = 176 // pixels
	mostPictured = 12  // pairs
)

// picture draws the images of the pairs that are shown. An image that cannot be
// drawn has no picture.
func (s *study) picture(ctx context.Context, r *Report) (map[string]*Picture, error) {
	var wanted []int
	for _, p := range Shown(r.Pairs, r.Alike) {
		for _, n := range []int{p.A, p.B} {
			if !slices.Contains(wanted, n) {
				wanted = append(wanted, n)
			}
		}
	}
	pictures := make([]*Picture, len(wanted))
	err := inParallel(ctx, len(wanted), s.options.Threads, func(n int) { pictures[n] = s.images[wanted[n]].draw() })
	named := map[string]*Picture{}
	for n, p := range pictures {
		if p != nil {
			named[s.images[wanted[n]].Path] = p
		}
	}
	return named, err
}

// Shown returns the pairs that a report has pictures of: of any two subjects
// the most similar pair, the near-duplicates first, twelve in all.
func Shown(pairs, alike []Pair) []Pair {
	seen := map[[2]string]bool{}
	var shown []Pair
	for _, p := range slices.Concat(pairs, alike) {
		if !seen[p.Subjects] && len(shown) < mostPictured {
			seen[p.Subjects] = true
			shown = append(shown, p)
		}
	}
	return shown
}

// draw reads the image again and takes its axial slice through the middle of the
// foreground, black at the 1st and white at the 99.5th percentile.
func (i *ImageFacts) draw() *Picture {
	source := i.source
	source.Mask = ""
	v, _, err := source.Load()
	if err != nil {
		return nil
	}
	e, ok := i.extents["foreground"]
	if !ok {
		e = i.extents["none"]
	}
	pixel := max(e.Size[1], e.Size[2]) / (pictureSide - 8)
	drawn, err := prep.Prepare(v, nil, prep.Config{
		Dims: 2, Crop: "foreground", Normalise: "none",
		Grid: [3]int{1, pictureSide, pictureSide}, Spacing: [3]float64{max(e.Spacing[0], 1e-3), pixel, pixel},
	})
	if err != nil {
		return nil
	}
	sorted := slices.Sorted(slices.Values(drawn.Data))
	low, high := sorted[len(sorted)/100], sorted[len(sorted)-1-len(sorted)/200]
	if !(high > low) {
		low, high = sorted[0], sorted[len(sorted)-1]
	}
	p := &Picture{Width: pictureSide, Height: pictureSide, Grey: make([]uint8, len(drawn.Data))}
	for n, x := range drawn.Data {
		p.Grey[n] = uint8(math.Round(255 * max(0, min(1, float64(x-low)/float64(high-low)))))
	}
	return p
}
