package prep

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"ballast/stat"
)

// flips names the axes that an augmentation may flip, in the order D, H, W. In
// a 2D image they are the axes of an axial slice: "left-right" is W, whatever
// the slice shows.
var flips = [3]string{"superior-inferior", "anterior-posterior", "left-right"}

// An Augmentation is a family of random changes that should keep the label. The
// zero value of a member changes nothing.
//
// Each member has a file of its own that says what it models, in which units, by
// which formula and after whom. They are applied in the order of the fields, the
// order in which they arise: the patient lies differently, the coil shades the
// image, the patient moves while k-space fills, the resolution is what it is,
// noise is received, the picture is windowed.
type Augmentation struct {
	Flip  []string // "left-right", "anterior-posterior", "superior-inferior": each with probability 1/2
	Shift int      // at most so many voxels along each axis, either way

	Affine     Affine
	Elastic    Elastic
	Bias       Bias
	Motion     Motion
	Ghosting   Ghosting
	Downsample Downsample
	Blur       Blur
	Rician     Noise
	Noise      Noise
	Gamma      Gamma
	Contrast   Contrast
	Cutout     Cutout

	// The images. Flip and Shift need none of this.
	Channels int        // 0: one
	Grid     [3]int     // voxels along D, H, W; D = 1 in 2D
	Spacing  [3]float64 // mm per voxel along D, H, W
}

// A Draw is the parameters of one augmentation: all that it takes to repeat it.
// A nil member changes nothing. As JSON it reads back to the same bits.
type Draw struct {
	Flip  [3]bool `json:"flip"`  // along D, H, W
	Shift [3]int  `json:"shift"` // voxels towards larger D, H, W

	Affine     *AffineDraw     `json:"affine,omitempty"`
	Elastic    *ElasticDraw    `json:"elastic,omitempty"`
	Bias       *BiasDraw       `json:"bias,omitempty"`
	Motion     *MotionDraw     `json:"motion,omitempty"`
	Ghosting   *GhostingDraw   `json:"ghosting,omitempty"`
	Downsample *DownsampleDraw `json:"downsample,omitempty"`
	Blur       *BlurDraw       `json:"blur,omitempty"`
	Rician     *NoiseDraw      `json:"rician,omitempty"`
	Noise      *NoiseDraw      `json:"noise,omitempty"`
	Gamma      *GammaDraw      `json:"gamma,omitempty"`
	Contrast   *ContrastDraw   `json:"contrast,omitempty"`
	Cutout     *CutoutDraw     `json:"cutout,omitempty"`
}

// ErrDraw is wrapped by complaints about a draw that does not fit an image.
var ErrDraw = errors.New("augmentation draw")

// A chance is a member of an augmentation and its probability.
type chance struct {
	name string
	p    float64
}

// chances lists the members that are drawn with a probability.
func (a *Augmentation) chances() []chance {
	return []chance{
		{"affine", a.Affine.Probability}, {"elastic", a.Elastic.Probability}, {"bias", a.Bias.Probability},
		{"motion", a.Motion.Probability}, {"ghosting", a.Ghosting.Probability}, {"downsample", a.Downsample.Probability},
		{"blur", a.Blur.Probability}, {"rician", a.Rician.Probability}, {"noise", a.Noise.Probability},
		{"gamma", a.Gamma.Probability}, {"contrast", a.Contrast.Probability}, {"cutout", a.Cutout.Probability},
	}
}

// Check returns an error that names the first setting that cannot be used:
// values out of range, and values that would destroy what the label rests on
// (an image moved out of view, tissue folded over itself, half of it cut out).
// What depends on the images is checked when the grid is set.
func (a Augmentation) Check() error {
	for _, name := range a.Flip {
		if !slices.Contains(flips[:], name) {
			return fmt.Errorf("augment: flip %q: choose among %s", name, strings.Join(flips[:], ", "))
		}
	}
	if a.Shift < 0 || a.Shift > 1<<15 {
		return fmt.Errorf("augment: shift of %d voxels: choose 0 or more", a.Shift)
	}
	random := false
	for _, chance := range a.chances() {
		if !(chance.p >= 0 && chance.p <= 1) {
			return fmt.Errorf("augment: %s.probability is %g; it must lie between 0 and 1", chance.name, chance.p)
		}
		random = random || chance.p > 0
	}
	for _, err := range []error{
		a.Affine.check(), a.Elastic.check(), a.Bias.check(), a.Motion.check(), a.Ghosting.check(), a.Downsample.check(),
		a.Blur.check(), a.Rician.check("rician"), a.Noise.check("noise"), a.Gamma.check(), a.Contrast.check(), a.Cutout.check(),
	} {
		if err != nil {
			return fmt.Errorf("augment: %w", err)
		}
	}
	if !random || a.Grid == [3]int{} {
		return nil
	}
	return a.checkImages()
}

// checkImages checks what depends on the grid and its spacing.
func (a *Augmentation) checkImages() error {
	for axis := range 3 {
		if a.Grid[axis] < 1 || !(a.Spacing[axis] >= 1e-3 && a.Spacing[axis] <= 1e3) {
			return fmt.Errorf("augment: a grid of %v voxels of %v mm", a.Grid, a.Spacing)
		}
	}
	g := grid{a.Grid, a.Spacing}
	for _, err := range []error{a.Affine.checkGrid(g), a.Motion.checkGrid(g), a.Downsample.checkGrid(g), a.Blur.checkGrid(g)} {
		if err != nil {
			return fmt.Errorf("augment: %w", err)
		}
	}
	return nil
}

// setting returns a complaint about a setting outside of its range.
func setting(name string, value, low, high float64) error {
	if value >= low && value <= high {
		return nil
	}
	return fmt.Errorf("%s is %g; it must lie between %g and %g", name, value, low, high)
}

// far is the word of a stream from which the seeds of the members come, so far
// out that no flip or shift ever uses it.
const far = 1 << 40

// Draw draws parameters: for D, H, W in turn the flip, if it is named, then the
// shift, if there is one. Every other member draws from a stream of its own
// that depends on s but not on what was drawn from it, so that adding one
// augmentation to a plan changes the draw of no other. It panics if Check would
// return an error, or if a member needs Grid and Spacing and they are not set.
func (a Augmentation) Draw(s *stat.Stream) (d Draw) {
	if err := a.Check(); err != nil {
		panic(err)
	}
	seed := uint64(s.Uint32At(far))<<32 | uint64(s.Uint32At(far+1))
	for axis, name := range flips {
		if slices.Contains(a.Flip, name) {
			d.Flip[axis] = s.IntN(2) == 1
		}
		if a.Shift > 0 {
			d.Shift[axis] = s.IntN(2*a.Shift+1) - a.Shift
		}
	}
	for _, member := range a.chances() {
		if member.p == 0 {
			continue
		}
		if a.Grid == [3]int{} {
			panic("prep: an augmentation beyond flip and shift needs the grid of the images")
		}
		if own := stat.NewStream(seed, member.name); own.Float64() < member.p {
			a.drawMember(&d, member.name, own)
		}
	}
	return d
}

func (a *Augmentation) drawMember(d *Draw, name string, s *stat.Stream) {
	g, channels := grid{a.Grid, a.Spacing}, max(1, a.Channels)
	switch name {
	case "affine":
		d.Affine = a.Affine.draw(s, g)
	case "elastic":
		d.Elastic = a.Elastic.draw(s, g)
	case "bias":
		d.Bias = a.Bias.draw(s, g, channels)
	case "motion":
		d.Motion = a.Motion.draw(s, g)
	case "ghosting":
		d.Ghosting = a.Ghosting.draw(s, g, channels)
	case "downsample":
		d.Downsample = a.Downsample.draw(s, g)
	case "blur":
		d.Blur = a.Blur.draw(s, g, channels)
	case "rician":
		d.Rician = a.Rician.draw(s, channels)
	case "noise":
		d.Noise = a.Noise.draw(s, channels)
	case "gamma":
		d.Gamma = a.Gamma.draw(s, channels)
	case "contrast":
		d.Contrast = a.Contrast.draw(s, channels)
	case "cutout":
		d.Cutout = a.Cutout.draw(s, g)
	default:
		panic("prep: no augmentation " + name)
	}
}

// uniform draws from low to high.
func uniform(s *stat.Stream, low, high float64) float64 {
	return low + float64(s.Float64()*(high-low))
}

// either draws from -most to most.
func either(s *stat.Stream, most float64) float64 { return uniform(s, -most, most) }

// factor draws a factor from 1/most to most, its logarithm evenly.
func factor(s *stat.Stream, most float64) float64 {
	return stat.Exp(either(s, stat.Log(most)))
}

// eachOf draws one value per channel.
func eachOf(channels int, draw func() float64) []float64 {
	values := make([]float64, channels)
	for c := range values {
		values[c] = draw()
	}
	return values
}

// A grid is where the voxels of an image lie.
type grid struct {
	size    [3]int     // D, H, W
	spacing [3]float64 // mm
}

// length is how long the grid is along an axis in mm.
func (g grid) length(axis int) float64 { return float64(float64(g.size[axis]) * g.spacing[axis]) }

func (g grid) voxels() int { return g.size[0] * g.size[1] * g.size[2] }

// flat tells whether the image is 2D.
func (g grid) flat() bool { return g.size[0] == 1 }

// drawAxis draws one of the axes that are more than one voxel long.
func (g grid) drawAxis(s *stat.Stream) int {
	var axes []int
	for axis, size := range g.size {
		if size > 1 {
			axes = append(axes, axis)
		}
	}
	if len(axes) == 0 {
		return 2
	}
	return axes[s.IntN(len(axes))]
}

// lines describes an axis of data in the order (D, H, W): outer times there are
// size planes of inner neighbouring voxels.
func (g grid) lines(axis int) (outer, size, inner int) {
	outer, inner = 1, 1
	for n := range axis {
		outer *= g.size[n]
	}
	for n := axis + 1; n < 3; n++ {
		inner *= g.size[n]
	}
	return outer, g.size[axis], inner
}

// finite tells whether all numbers are finite and none beyond most.
func finite(most float64, numbers ...float64) bool {
	for _, x := range numbers {
		if !(math.Abs(x) <= most) {
			return false
		}
	}
	return true
}
