package phantom

import (
	"math"
	"testing"
)

// At the end of each block of ten the responders (and flipped labels) number
// what the share says, to the nearest whole subject.
func TestSharesHoldInEveryBlock(t *testing.T) {
	for _, share := range []float64{0.04, 0.25, 0.3, 0.5, 0.9} {
		c := Default()
		c.Prevalence, c.LabelNoise = share, math.Min(share, 0.5)
		responders, flipped := 0, 0
		for k := range 500 {
			label, truth := c.labels(k)
			responders += truth
			if label != truth {
				flipped++
			}
			if n := float64(k + 1); (k+1)%blockSize == 0 {
				if !(math.Abs(float64(responders)-n*share) <= 0.5) {
					t.Fatalf("prevalence %g: %d responders among %g", share, responders, n)
				}
				if !(math.Abs(float64(flipped)-n*c.LabelNoise) <= 0.5) {
					t.Fatalf("label noise %g: %d flips among %g", c.LabelNoise, flipped, n)
				}
			}
		}
	}
}

// Flips strike responders and others alike: over 20,000 subjects the share
// flipped agrees within five standard errors.
func TestFlipsDoNotPreferALabel(t *testing.T) {
	c := Default()
	c.LabelNoise = 0.2
	var flips, count [2]float64
	for k := range 20_000 {
		label, truth := c.labels(k)
		count[truth]++
		if label != truth {
			flips[truth]++
		}
	}
	for truth := range 2 {
		if got := flips[truth] / count[truth]; !(math.Abs(got-0.2) <= 5*math.Sqrt(0.2*0.8/count[truth])) {
			t.Errorf("%.4f of the labels %d are flipped, want 0.2", got, truth)
		}
	}
}

// The latent variable of 20,000 subjects is N(+d/2, 1) or N(-d/2, 1) by label,
// within five standard errors.
func TestLatentVariable(t *testing.T) {
	for _, signal := range Signals {
		c := Default()
		c.Signal, c.Effect = signal, 1.5
		var count, sum, square [2]float64
		for k := range 20_000 {
			_, truth := c.labels(k)
			_, z := c.features(k, truth)
			count[truth]++
			sum[truth] += z
			square[truth] += z * z
		}
		for truth := range 2 {
			want := (float64(truth) - 0.5) * 1.5
			if signal == SignalNone {
				want = 0
			}
			mean := sum[truth] / count[truth]
			variance := square[truth]/count[truth] - mean*mean
			if !(math.Abs(mean-want) <= 5/math.Sqrt(count[truth])) || !(math.Abs(variance-1) <= 5*math.Sqrt(2/count[truth])) {
				t.Errorf("%s: latent variable of label %d has mean %.4f and variance %.4f, want %g and 1", signal, truth, mean, variance, want)
			}
		}
	}
}

// The signal raises its own feature only, and monotonically.
func TestFeaturesFollowTheLatentVariable(t *testing.T) {
	pick := map[string]func(f features) float64{
		SignalCore:    func(f features) float64 { return f.core },
		SignalTexture: func(f features) float64 { return f.texture },
		SignalMargin:  func(f features) float64 { return f.margin },
	}
	for signal := range pick {
		c := Default()
		c.Signal = signal
		for k := range 50 {
			low, zLow := c.features(k, 0)
			high, zHigh := c.features(k, 1)
			for name, of := range pick {
				if raised := of(high) > of(low); raised != (name == signal) {
					t.Errorf("signal %s: feature %s raised: %v", signal, name, raised)
				}
			}
			if !(math.Abs(zHigh-zLow-c.Effect) <= 1e-12) {
				t.Errorf("signal %s: latent variable rises by %g, want %g", signal, zHigh-zLow, c.Effect)
			}
		}
	}
}

// By its definition the Bayes accuracy is the integral of max(p f1, (1-p) f0)
// over the latent variable; the sum is that integral by the trapezoid rule. With
// p = 1/2 it is Phi(d/2), from tables: 0.6915, 0.8413, 0.9332 for d = 1, 2, 3.
func TestBayesAccuracy(t *testing.T) {
	for _, p := range []float64{0.1, 0.3, 0.5, 0.8} {
		for _, d := range []float64{0, 0.2, 1, 3} {
			for _, noise := range []float64{0, 0.15} {
				c := Default()
				c.Prevalence, c.Effect, c.LabelNoise = p, d, noise
				want := 0.0
				const step = 1e-3
				for z := -10.0; z <= 10; z += step {
					f1 := math.Exp(-(z-d/2)*(z-d/2)/2) / math.Sqrt(2*math.Pi)
					f0 := math.Exp(-(z+d/2)*(z+d/2)/2) / math.Sqrt(2*math.Pi)
					responder := p*f1*(1-noise) + (1-p)*f0*noise // density with recorded label 1
					other := p*f1*noise + (1-p)*f0*(1-noise)
					want += math.Max(responder, other) * step
				}
				if got := c.BayesAccuracy(); !(math.Abs(got-want) <= 1e-5) {
					t.Errorf("prevalence %g, effect %g, label noise %g: %g, want %g", p, d, noise, got, want)
				}
			}
		}
	}
	for d, want := range map[float64]float64{1: 0.6915, 2: 0.8413, 3: 0.9332} {
		c := Default()
		c.Effect = d
		if got := c.BayesAccuracy(); !(math.Abs(got-want) <= 5e-5) {
			t.Errorf("effect %g: %g, want %g", d, got, want)
		}
		c.Signal = SignalNone
		if got := c.BayesAccuracy(); got != 0.5 {
			t.Errorf("no signal, effect %g: %g, want 0.5", d, got)
		}
	}
}

// With shortcut a, a responder is in the upper half of four scanners with
// probability a + (1-a)/2, anybody else with (1-a)/2; within five standard errors.
func TestSiteShortcut(t *testing.T) {
	for _, shortcut := range []float64{0, 0.5, 1} {
		c := Default()
		c.Sites, c.SiteShortcut = 4, shortcut
		var upper, count [2]float64
		seen := map[int]bool{}
		for k := range 10_000 {
			_, truth := c.labels(k)
			site := c.site(k, truth)
			seen[site] = true
			count[truth]++
			if site >= 2 {
				upper[truth]++
			}
		}
		for truth := range 2 {
			want := shortcut*float64(truth) + (1-shortcut)/2
			if got := upper[truth] / count[truth]; !(math.Abs(got-want) <= 5*math.Sqrt(want*(1-want)/count[truth])) {
				t.Errorf("shortcut %g: share %.4f of label %d in the upper half, want %g", shortcut, got, truth, want)
			}
		}
		if len(seen) != 4 || !seen[0] || !seen[3] {
			t.Errorf("shortcut %g: sites %v, want 0..3", shortcut, seen)
		}
	}
}
