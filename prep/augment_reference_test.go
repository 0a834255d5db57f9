package prep

import (
	"encoding/json"
	"os"
	"testing"
)

// referenceImage is the image of bench/augmentation/reference.py.
func referenceImage(size [3]int, background float32) *Image {
	image := &Image{C: 1, D: size[0], H: size[1], W: size[2], Background: background}
	for n := range size[0] * size[1] * size[2] {
		image.Data = append(image.Data, float32(float64((n*7919+13)%1009)/100-3))
	}
	return image
}

// TestReference holds every augmentation but the random noise against scipy
// 1.17.1 (ndimage.map_coordinates, ndimage.gaussian_filter, interpolate.BSpline)
// and numpy 2.4.6 (fft over all axes), in float64; see
// bench/augmentation/reference.py.
func TestReference(t *testing.T) {
	text, err := os.ReadFile("testdata/augment.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name       string
		Size       [3]int
		Background float32
		Draw       Draw
		Want       []float64
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 20 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, c := range cases {
		image := referenceImage(c.Size, c.Background)
		dst := make([]float32, len(image.Data))
		Apply(dst, image, c.Draw)
		worst, changed := 0.0, false
		for n, want := range c.Want {
			worst = max(worst, abs(float64(dst[n])-want))
			changed = changed || abs(float64(image.Data[n])-want) > 0.1
		}
		// Values go up to 60: this is one unit in the last place of a float32 there.
		if !(worst <= 5e-6) || !changed {
			t.Errorf("%s: off by %.3g, changed: %v", c.Name, worst, changed)
		}
	}
}

func abs(x float64) float64 { return max(x, -x) }
