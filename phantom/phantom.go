// Package phantom makes synthetic MRI cohorts whose truth is known: head
// volumes with a tumour, in which responders differ from non-responders by a
// chosen effect size in one chosen feature of the tumour.
//
// A cohort has unlimited subjects. Subject k depends on the Config and on k
// alone, so the first 60 subjects are a small study and the next 20,000 tell
// what a network trained on it is really worth. Every purpose draws from its own
// random stream: changing the effect, the noise or the scanners leaves the
// anatomy of subject k as it was. The bits are the same on every CPU.
package phantom

import (
	"errors"
	"fmt"
	"math"

	"ballast/cohort"
	"ballast/stat"
)

// ErrConfig is wrapped by every error about a Config that makes no sense.
var ErrConfig = errors.New("invalid phantom configuration")

// The features of a tumour that can carry the signal.
const (
	SignalCore    = "core"    // responders: darker necrotic core, brighter rim
	SignalTexture = "texture" // responders: stronger fine grain
	SignalMargin  = "margin"  // responders: sharper border
	SignalNone    = "none"    // the label has nothing to do with the image
)

// Signals lists the values of Config.Signal.
var Signals = []string{SignalCore, SignalTexture, SignalMargin, SignalNone}

// A Config describes a cohort. Start from Default.
type Config struct {
	Seed         uint64     `json:"seed"`
	Dims         int        `json:"dims"`          // 3, or 2 for the axial slice through the tumour (then Size[2] = 1)
	Size         [3]int     `json:"size"`          // voxels along i, j, k
	Spacing      [3]float64 `json:"spacing_mm"`    // mm between voxel centres along i, j, k
	Signal       string     `json:"signal"`        // one of Signals
	Effect       float64    `json:"effect"`        // Cohen's d of the latent variable between the classes; 0 is no signal
	Prevalence   float64    `json:"prevalence"`    // share of responders
	Noise        float64    `json:"noise"`         // standard deviation of the Rician noise / white-matter intensity
	Bias         float64    `json:"bias"`          // largest relative deviation of the bias field from 1
	Sites        int        `json:"sites"`         // scanners, each with its own gain, contrast and noise
	LabelNoise   float64    `json:"label_noise"`   // share of labels flipped
	SiteShortcut float64    `json:"site_shortcut"` // share of subjects whose label decides their site

	// Planted faults that a check of the cohort should find.
	Copies  int    `json:"copies,omitempty"`  // so many subjects have the image of their predecessor
	Copy    string `json:"copy,omitempty"`    // one of Copies: how these images were changed
	Overlap int    `json:"overlap,omitempty"` // so many subjects have a second image in another set of the table
}

// A Subject is one synthetic patient. Voxels of Volume are whole numbers in
// 0..32767, white matter near 1000, so that a file of int16 holds the very same
// values. Voxels of Mask are 1 in the tumour and 0 outside.
type Subject struct {
	ID        string
	Label     int     // recorded label: 1 responder, 0 non-responder
	TrueLabel int     // label before label noise
	Latent    float64 // drives the signal feature: N(+d/2, 1) for responders, N(-d/2, 1) for the rest
	Site      string
	Volume    *cohort.Volume
	Mask      *cohort.Volume
}

// fieldOfView is the edge in mm of the cube that Default and Resized image.
const fieldOfView = 192

// Default returns a cohort of 32 x 32 x 32 voxels with a clear signal in the
// tumour's core, one scanner and clean labels.
func Default() Config {
	c := Config{Seed: 1, Signal: SignalCore, Effect: 2, Prevalence: 0.5, Noise: 0.05, Bias: 0.15, Sites: 1}
	return c.Resized(3, 32)
}

// Resized returns c with n voxels along each of the given dimensions, 2 or 3,
// and the spacing that keeps the field of view at 192 mm.
func (c Config) Resized(dims, n int) Config {
	spacing := fieldOfView / float64(n)
	c.Dims, c.Size, c.Spacing = dims, [3]int{n, n, n}, [3]float64{spacing, spacing, spacing}
	if dims == 2 {
		c.Size[2] = 1
	}
	return c
}

// Limits of a volume. Below 8 voxels a side there is no room for a tumour.
const (
	minSide, maxSide = 8, 1024
	maxVoxels        = 1 << 27
	maxSites         = 64
)

// Validate reports the first thing in c that makes no sense, as an ErrConfig.
func (c Config) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	if err := c.validateGrid(); err != "" {
		return fail("%s", err)
	}
	known := false
	for _, s := range Signals {
		known = known || s == c.Signal
	}
	if !known {
		return fail("signal %q is none of core, texture, margin, none", c.Signal)
	}
	for _, p := range []struct {
		name             string
		value, low, high float64
	}{
		{"effect", c.Effect, 0, 10},
		{"noise", c.Noise, 0, 1},
		{"bias", c.Bias, 0, 0.9},
		{"label noise", c.LabelNoise, 0, 0.5},
		{"site shortcut", c.SiteShortcut, 0, 1},
	} {
		if !(p.value >= p.low && p.value <= p.high) {
			return fail("%s %g is not in %g..%g", p.name, p.value, p.low, p.high)
		}
	}
	switch {
	case !(c.Prevalence > 0 && c.Prevalence < 1):
		return fail("prevalence %g is not between 0 and 1", c.Prevalence)
	case c.Sites < 1 || c.Sites > maxSites:
		return fail("%d sites are not in 1..%d", c.Sites, maxSites)
	case c.SiteShortcut > 0 && c.Sites < 2:
		return fail("a site shortcut needs at least 2 sites, not %d", c.Sites)
	}
	if err := c.validateFaults(); err != "" {
		return fail("%s", err)
	}
	return nil
}

// validateGrid says what is wrong with dimensions, size and spacing, or "".
func (c Config) validateGrid() string {
	if c.Dims != 2 && c.Dims != 3 {
		return fmt.Sprintf("%d dimensions are neither 2 nor 3", c.Dims)
	}
	if c.Dims == 2 && c.Size[2] != 1 {
		return fmt.Sprintf("2 dimensions need 1 voxel along k, not %d", c.Size[2])
	}
	coarsest, voxels := 0.0, 1
	for axis := range 3 {
		if axis < c.Dims && (c.Size[axis] < minSide || c.Size[axis] > maxSide) {
			return fmt.Sprintf("%d voxels along %c are not in %d..%d", c.Size[axis], 'i'+rune(axis), minSide, maxSide)
		}
		if !(c.Spacing[axis] >= 1e-3 && c.Spacing[axis] <= 1e3) {
			return fmt.Sprintf("spacing %g mm is not in 0.001..1000", c.Spacing[axis])
		}
		if axis >= c.Dims {
			continue
		}
		coarsest = math.Max(coarsest, c.Spacing[axis])
		voxels *= c.Size[axis]
	}
	if voxels > maxVoxels {
		return fmt.Sprintf("%d voxels are more than %d", voxels, maxVoxels)
	}
	if extent := c.grid().extent; extent < minSide*coarsest*(1-1e-9) {
		return fmt.Sprintf("spacing %g mm is too coarse for a field of view of %g mm: at least %d voxels must fit",
			coarsest, extent, minSide)
	}
	return ""
}

// Subject returns subject k = 0, 1, ... It is the same whoever asks and however
// many subjects a cohort has, and safe to call from many goroutines. It panics
// if k is negative or c is not valid.
func (c Config) Subject(k int) Subject {
	if err := c.Validate(); err != nil || k < 0 {
		panic(fmt.Sprintf("phantom: subject %d: %v", k, err))
	}
	label, trueLabel := c.labels(k)
	site := c.site(k, trueLabel)
	features, latent := c.features(k, trueLabel)
	s := Subject{
		ID:    fmt.Sprintf("sub-%04d", k+1),
		Label: label, TrueLabel: trueLabel, Latent: latent,
		Site: fmt.Sprintf("site-%d", site+1),
	}
	g := c.grid()
	image, mask := c.anatomy(g, k, features)
	c.scan(g, k, site, image)
	affine, spacing := c.geometry(k)
	s.Volume = &cohort.Volume{Data: quantise(image), Shape: c.Size, Affine: affine, Spacing: spacing}
	s.Mask = &cohort.Volume{Data: mask, Shape: c.Size, Affine: affine, Spacing: spacing}
	if c.copied(k) {
		c.plant(&s, k)
	}
	return s
}

// stream returns the random numbers of subject (or block of subjects) k for one
// purpose.
func (c Config) stream(purpose string, k int) *stat.Stream {
	return stat.NewStream(c.Seed, "phantom/"+purpose, uint64(k))
}

// geometry returns affine and spacing of subject k, as a file's float32 header
// holds them. It puts the middle of the grid a little behind and above the
// origin, as after alignment to the anterior commissure, with the scatter of real
// positioning, in steps of 1/8 mm.
func (c Config) geometry(k int) (affine [3][4]float64, spacing [3]float64) {
	stream := c.stream("position", k)
	for axis, middle := range [3]float64{0, -18, 12} {
		spacing[axis] = float64(float32(c.Spacing[axis]))
		offset := middle + float64(4*stream.Normal())
		origin := offset - float64(float64(c.Size[axis]-1)/2*spacing[axis])
		affine[axis][axis] = spacing[axis]
		affine[axis][3] = math.Floor(float64(origin*8)+0.5) / 8
	}
	return affine, spacing
}
