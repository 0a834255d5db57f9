package phantom

import (
	"math"

	"ballast/stat"
)

// blockSize is the number of consecutive subjects among which responders and
// flipped labels are shared out evenly.
const blockSize = 10

// inShare reports whether subject k belongs to a random share of the subjects.
// Each block of ten holds the share as nearly as whole subjects allow, with the
// remainder carried on to the next block, so a small cohort keeps the share and
// yet subject k does not depend on how many follow.
func (c Config) inShare(purpose string, share float64, k int) bool {
	block := k / blockSize
	upTo := func(blocks int) int {
		return int(math.Floor(float64(float64(blocks*blockSize)*share) + 0.5))
	}
	members := upTo(block+1) - upTo(block)
	order := c.stream(purpose, block).Perm(blockSize)
	return order[k%blockSize] < members
}

// labels returns the recorded and the true label of subject k.
func (c Config) labels(k int) (recorded, truth int) {
	if c.inShare("label", c.Prevalence, k) {
		truth = 1
	}
	if c.inShare("flip", c.LabelNoise, k) {
		return 1 - truth, truth
	}
	return truth, truth
}

// site returns the scanner of subject k, 0..Sites-1. A share SiteShortcut of the
// subjects goes where the true label says, responders to the upper half of the
// scanners and the rest to the lower half; everybody else goes anywhere.
func (c Config) site(k, trueLabel int) int {
	stream := c.stream("site", k)
	decided := stream.Float64() < c.SiteShortcut
	position := stream.Float64()
	low, high := 0, c.Sites
	switch {
	case decided && trueLabel == 1:
		low = c.Sites / 2
	case decided:
		high = c.Sites / 2
	}
	return low + int(math.Floor(float64(position*float64(high-low))))
}

// features are the three properties of a tumour that can carry the signal, each
// in (0, 1). The two that do not carry it vary from subject to subject all the
// same, half as much.
type features struct {
	core    float64 // contrast of the necrotic core
	texture float64 // strength of the fine grain
	margin  float64 // sharpness of the border
}

// features draws the features of subject k. Each is the squash of its own
// standard normal number, halved unless it carries the signal; the one that does
// is shifted by plus or minus half the effect. With SignalNone the latent variable drives nothing.
func (c Config) features(k, trueLabel int) (f features, latent float64) {
	draw := func(signal string) float64 {
		z := c.stream("latent/"+signal, k).Normal()
		if signal != c.Signal {
			return z / 2
		}
		if signal != SignalNone {
			z += float64((float64(trueLabel) - 0.5) * c.Effect)
		}
		latent = z
		return z
	}
	f = features{core: squash(draw(SignalCore)), texture: squash(draw(SignalTexture)), margin: squash(draw(SignalMargin))}
	draw(SignalNone)
	return f, latent
}

// squash maps a latent variable to (0, 1), increasing: (1 + z / sqrt(4 + z^2)) / 2.
// It is 0.5 at 0, 0.72 at 1 and 0.92 at 3: no subject within reach saturates.
func squash(z float64) float64 {
	return float64(0.5 * (1 + z/math.Sqrt(4+float64(z*z))))
}

// BayesAccuracy returns the accuracy, against recorded labels, of the best
// classifier that sees the latent variable itself. No network that sees only
// the image does better, unless it uses a site shortcut.
//
// With prevalence p and latent N(+d/2, 1) or N(-d/2, 1), the best rule says
// responder above t = ln((1-p)/p) / d, which is right with probability
//
//	A = p Phi(d/2 - t) + (1-p) Phi(d/2 + t);   A = max(p, 1-p) for d = 0.
//
// A share e of flipped labels, at most one half, leaves the rule as it is and
// turns its accuracy into (1-e) A + e (1-A) = A + e - 2 e A. (Duda, Hart and Stork, Pattern
// Classification, 2nd edition, section 2.6.)
func (c Config) BayesAccuracy() float64 {
	p, d, e := c.Prevalence, c.Effect, c.LabelNoise
	accuracy := math.Max(p, 1-p)
	if d > 0 && c.Signal != SignalNone {
		t := stat.Log((1-p)/p) / d
		half := float64(d / 2)
		accuracy = float64(p*normalCDF(half-t)) + float64((1-p)*normalCDF(half+t))
	}
	return accuracy + e - float64(2*e*accuracy)
}

// normalCDF is the standard normal distribution function.
func normalCDF(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }
