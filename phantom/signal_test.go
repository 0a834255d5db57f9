package phantom

import (
	"math"
	"testing"

	"ballast/cohort"
)

// measurements are what a reader with a ruler would take from one image: numbers
// made from the voxels and the mask alone, none from the generator.
type measurements struct {
	volume     float64 // voxels in the mask
	brightness float64 // mean in the mask
	overall    float64 // mean of the whole image
	core       float64 // mean in the inner half of the mask / mean in the mask
	texture    float64 // mean squared step between neighbours in the mask / mean^2
	margin     float64 // mean step across the border of the mask / mean in the mask
}

func measure(s Subject) measurements {
	image, mask := s.Volume, s.Mask
	var m measurements
	var centre [3]float64
	each(image, func(at [3]int, n int) {
		x := float64(image.Data[n])
		m.overall += x / float64(len(image.Data))
		if mask.Data[n] == 1 {
			m.volume++
			m.brightness += x
			for axis := range 3 {
				centre[axis] += float64(at[axis])
			}
		}
	})
	m.brightness /= m.volume
	for axis := range 3 {
		centre[axis] /= m.volume
	}
	// Half the radius of the ball (disc) of the same volume.
	inner := math.Cbrt(m.volume*3/4/math.Pi) / 2
	if image.Shape[2] == 1 {
		inner = math.Sqrt(m.volume/math.Pi) / 2
	}
	var core, inside, across [2]float64 // sum, count
	each(image, func(at [3]int, n int) {
		x, distance := float64(image.Data[n]), 0.0
		for axis := range 3 {
			distance += (float64(at[axis]) - centre[axis]) * (float64(at[axis]) - centre[axis])
		}
		if distance < inner*inner {
			core[0] += x
			core[1]++
		}
		stride := 1
		for axis := range 3 {
			if at[axis]+1 < image.Shape[axis] {
				step := float64(image.Data[n+stride]) - x
				switch mask.Data[n] + mask.Data[n+stride] {
				case 2:
					inside[0] += step * step
					inside[1]++
				case 1:
					across[0] += step * float64(mask.Data[n+stride]-mask.Data[n])
					across[1]++
				}
			}
			stride *= image.Shape[axis]
		}
	})
	m.core = core[0] / core[1] / m.brightness
	m.texture = inside[0] / inside[1] / (m.brightness * m.brightness)
	m.margin = across[0] / across[1] / m.brightness
	return m
}

func each(v *cohort.Volume, visit func(at [3]int, n int)) {
	n := 0
	for k := range v.Shape[2] {
		for j := range v.Shape[1] {
			for i := range v.Shape[0] {
				visit([3]int{i, j, k}, n)
				n++
			}
		}
	}
}

// auroc is the Mann-Whitney estimate by its definition: the share of pairs in
// which the responder is higher, ties counting half.
func auroc(responders, others []float64) float64 {
	sum := 0.0
	for _, r := range responders {
		for _, o := range others {
			switch {
			case r > o:
				sum++
			case r == o:
				sum += 0.5
			}
		}
	}
	return sum / float64(len(responders)*len(others))
}

// TestSignal reads 400 subjects of each signal with the ruler of measurements.
// The measurement that matches the signal separates the classes; volume and
// brightness, which a network must not be able to live on, do not. The seed was
// not used in choosing the generator's constants.
func TestSignal(t *testing.T) {
	matching := map[string]func(m measurements) float64{
		SignalCore:    func(m measurements) float64 { return -m.core },
		SignalTexture: func(m measurements) float64 { return m.texture },
		SignalMargin:  func(m measurements) float64 { return m.margin },
	}
	idle := map[string]func(m measurements) float64{
		"tumour volume": func(m measurements) float64 { return m.volume },
		"tumour mean":   func(m measurements) float64 { return m.brightness },
		"mean of all":   func(m measurements) float64 { return m.overall },
	}
	for _, dims := range []int{2, 3} {
		for _, signal := range Signals {
			c := Default().Resized(dims, 16*(4-dims))
			c.Signal, c.Effect, c.Seed = signal, 2, 20261
			var by [2][]measurements
			for k := range 400 {
				s := c.Subject(k)
				by[s.Label] = append(by[s.Label], measure(s))
			}
			area := func(of func(m measurements) float64) float64 {
				var values [2][]float64
				for class := range 2 {
					for _, m := range by[class] {
						values[class] = append(values[class], of(m))
					}
				}
				return auroc(values[1], values[0])
			}
			n1, n0 := float64(len(by[1])), float64(len(by[0]))
			chance := 3 * math.Sqrt((n1+n0+1)/(12*n1*n0)) // three standard errors of a Mann-Whitney null
			for name, of := range idle {
				if got := area(of); !(math.Abs(got-0.5) <= chance) {
					t.Errorf("%dD %s: AUROC of %s is %.3f, not within %.3f of 0.5", dims, signal, name, got, chance)
				}
			}
			for name, of := range matching {
				got := area(of)
				t.Logf("%dD %s: AUROC of the %s measurement %.3f", dims, signal, name, got)
				if signal == name && !(got >= 0.7) {
					t.Errorf("%dD %s: AUROC of the matching measurement is %.3f, below 0.7", dims, signal, got)
				}
				if signal == SignalNone && !(math.Abs(got-0.5) <= chance) {
					t.Errorf("%dD no signal: AUROC of the %s measurement is %.3f", dims, name, got)
				}
			}
		}
	}
}

// Without noise and bias the mean over the mask is the same to half a grey
// level, and the mask to the voxel, whatever the effect.
func TestEffectChangesNeitherVolumeNorBrightness(t *testing.T) {
	for _, signal := range Signals {
		c := Default().Resized(3, 24)
		c.Signal, c.Noise, c.Bias = signal, 0, 0
		for k := range 20 {
			c.Effect = 0
			before := measure(c.Subject(k))
			c.Effect = 6
			after := measure(c.Subject(k))
			if before.volume != after.volume || !(math.Abs(before.brightness-after.brightness) <= 0.5) {
				t.Fatalf("%s, subject %d: %g voxels of mean %g without effect, %g of mean %g with it",
					signal, k, before.volume, before.brightness, after.volume, after.brightness)
			}
			if changed := before != after; changed != (signal != SignalNone) {
				t.Fatalf("%s, subject %d: the effect changes the image: %v", signal, k, changed)
			}
		}
	}
}
