package prep

import (
	"encoding/json"
	"fmt"
	"hash/crc64"
	"math"
	"math/cmplx"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ballast/stat"
)

// everything draws all members of an augmentation.
func everything(size [3]int) Augmentation {
	return Augmentation{
		Flip: []string{"left-right"}, Shift: 1,
		Affine:     Affine{1, 15, 0.2, 0.1, 2},
		Elastic:    Elastic{1, 0.35, 6},
		Bias:       Bias{1, 0.4, 3},
		Motion:     Motion{1, 8, 2, 4},
		Ghosting:   Ghosting{1, 6, 0.8},
		Downsample: Downsample{1, 2},
		Blur:       Blur{1, 1.5},
		Rician:     Noise{1, 0.2},
		Noise:      Noise{1, 0.1},
		Gamma:      Gamma{1, 1.5},
		Contrast:   Contrast{1, 0.3, 0.3},
		Cutout:     Cutout{1, 0.4, 2},
		Channels:   2, Grid: size, Spacing: [3]float64{2.5, 1.25, 1},
	}
}

// smooth is an image of two channels with a bright body in empty space.
func smooth(size [3]int) *Image {
	image := &Image{C: 2, D: size[0], H: size[1], W: size[2], Background: -1}
	for channel := range 2 {
		for d := range size[0] {
			for h := range size[1] {
				for w := range size[2] {
					r := 0.0
					for axis, at := range [3]int{d, h, w} {
						x := 2*(float64(at)+0.5)/float64(size[axis]) - 1
						r += x * x
					}
					value := float32(-1)
					if r < 0.8 || size[0] == 1 && r < 0.9 {
						value = float32(1+channel) + float32((d*31+h*7+w*3)%11)/10
					}
					image.Data = append(image.Data, value)
				}
			}
		}
	}
	return image
}

var bothShapes = [][3]int{{12, 16, 14}, {1, 20, 18}}

// only leaves one member of an augmentation.
func only(a Augmentation, name string) Augmentation {
	v := reflect.ValueOf(&a).Elem()
	for i := range v.NumField() {
		if field := v.Field(i); field.Kind() == reflect.Struct && !strings.EqualFold(v.Type().Field(i).Name, name) {
			field.SetZero()
		}
	}
	a.Flip, a.Shift = nil, 0
	return a
}

func apply(image *Image, d Draw) []float32 {
	dst := make([]float32, len(image.Data))
	Apply(dst, image, d)
	return dst
}

// Every member changes the image, reads back from JSON to the same bits, is
// repeated exactly, and is drawn alike with and without the others.
func TestMembers(t *testing.T) {
	for _, size := range bothShapes {
		all, image := everything(size), smooth(size)
		together := all.Draw(stat.NewStream(5, "augment", 1, 2))
		for _, member := range all.chances() {
			t.Run(fmt.Sprint(member.name, size), func(t *testing.T) {
				alone := only(all, member.name)
				d := alone.Draw(stat.NewStream(5, "augment", 1, 2))
				field := func(d Draw) reflect.Value {
					return reflect.ValueOf(d).FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, member.name) })
				}
				if !reflect.DeepEqual(field(d).Interface(), field(together).Interface()) {
					t.Error("the other members change what is drawn")
				}
				first := apply(image, d)
				if slices.Equal(first, image.Data) {
					t.Error("nothing changed")
				}
				text, err := json.Marshal(d)
				if err != nil {
					t.Fatal(err)
				}
				var read Draw
				if err := json.Unmarshal(text, &read); err != nil {
					t.Fatal(err)
				}
				if again := apply(image, read); !slices.Equal(again, first) {
					t.Error("read back from JSON, the draw gives another image")
				}
				for n, x := range first {
					if x != x || abs(float64(x)) > 50 {
						t.Fatalf("voxel %d became %v", n, x)
					}
				}
				reflect.ValueOf(&alone).Elem().FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, member.name) }).Field(0).SetFloat(0)
				if none := alone.Draw(stat.NewStream(5, "augment", 1, 2)); !reflect.DeepEqual(none, Draw{}) {
					t.Errorf("with probability 0, %+v", none)
				}
			})
		}
	}
}

// A probability is kept: of 2,000 draws with 0.3, 600 within 5 standard errors
// of sqrt(2000 0.3 0.7) = 20.
func TestProbability(t *testing.T) {
	a := everything([3]int{1, 20, 18})
	a.Gamma.Probability, a.Cutout.Probability = 0.3, 0.3
	count, both := 0, 0
	for n := range uint64(2000) {
		d := a.Draw(stat.NewStream(1, "augment", n, 1))
		if d.Gamma != nil {
			count++
			if d.Cutout != nil {
				both++
			}
		}
	}
	if count < 500 || count > 700 {
		t.Errorf("drawn %d times of 2000 with probability 0.3", count)
	}
	// Independent: 180 expected, standard error sqrt(2000 0.09 0.91) = 13.
	if both < 116 || both > 244 {
		t.Errorf("two members with probability 0.3 drawn together %d times of 2000", both)
	}
}

// TestSameBits fixes the bits of every member: any CPU, any version. A change
// of this number is a change of every run that augments.
func TestSameBits(t *testing.T) {
	table := crc64.MakeTable(crc64.ECMA)
	for i, want := range []uint64{0xcdf24a8140ffa848, 0x463d1aec1a197a51} {
		size := bothShapes[i]
		all, image := everything(size), smooth(size)
		sum := uint64(0)
		for seed := range uint64(6) {
			for _, member := range append(all.chances(), chance{"everything", 1}) {
				a := all
				if member.name != "everything" {
					a = only(all, member.name)
				}
				for _, x := range apply(image, a.Draw(stat.NewStream(seed, "augment", 3, 4))) {
					bits := math.Float32bits(x)
					sum = crc64.Update(sum, table, []byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)})
				}
			}
		}
		if sum != want {
			t.Errorf("%v: the bits have checksum %#x, want %#x", size, sum, want)
		}
	}
}

// What a draw with no strength gives.
func TestNoStrength(t *testing.T) {
	spacing := [3]float64{2, 1.5, 1}
	for _, size := range bothShapes {
		image := smooth(size)
		two := []float64{0, 0}
		ones := []float64{1, 1}
		pose := PoseDraw{}
		for name, c := range map[string]struct {
			draw      Draw
			tolerance float64
		}{
			"affine":     {Draw{Affine: &AffineDraw{Scale: 1, Spacing: spacing}}, 0},
			"bias":       {Draw{Bias: &BiasDraw{1, [][]float64{make([]float64, terms(1, size[0] == 1)), make([]float64, terms(1, size[0] == 1))}}}, 2e-7},
			"motion":     {Draw{Motion: &MotionDraw{2, []float64{0.3, 0.7}, []PoseDraw{pose, pose, pose}, spacing}}, 2e-6},
			"ghosting":   {Draw{Ghosting: &GhostingDraw{1, 4, two}}, 2e-6},
			"downsample": {Draw{Downsample: &DownsampleDraw{1, 1}}, 0},
			"blur":       {Draw{Blur: &BlurDraw{two, spacing}}, 0},
			"rician":     {Draw{Rician: &NoiseDraw{two, 1}}, 2e-7},
			"noise":      {Draw{Noise: &NoiseDraw{two, 1}}, 0},
			"gamma":      {Draw{Gamma: &GammaDraw{ones}}, 1e-6},
			"contrast":   {Draw{Contrast: &ContrastDraw{ones, two}}, 2e-7},
			"cutout":     {Draw{Cutout: &CutoutDraw{}}, 0},
		} {
			for n, x := range apply(image, c.draw) {
				if !(abs(float64(x-image.Data[n])) <= c.tolerance) {
					t.Errorf("%s %v: voxel %d is %v, was %v", name, size, n, x, image.Data[n])
					break
				}
			}
		}
	}
}

// Spatial changes move all channels alike; intensities change each by its own
// parameters.
func TestChannels(t *testing.T) {
	size := bothShapes[0]
	all, image := everything(size), smooth(size)
	n := len(image.Data) / 2
	copy(image.Data[n:], image.Data[:n])
	for _, member := range all.chances() {
		dst := apply(image, only(all, member.name).Draw(stat.NewStream(8, "augment")))
		same := slices.Equal(dst[:n], dst[n:])
		if shared := slices.Contains([]string{"affine", "elastic", "motion", "downsample", "cutout"}, member.name); same != shared {
			t.Errorf("%s: channels changed alike: %v", member.name, same)
		}
	}
}

// flatNoise applies noise to a channel of one value of signal above empty space,
// beside as many empty voxels, and returns the mean and variance of the signal
// and of the empty voxels in units of sigma.
func flatNoise(t *testing.T, signal float64, d Draw) (mean, variance, emptyMean, emptyVariance float64) {
	t.Helper()
	const n = 100_000
	image := &Image{C: 1, D: 1, H: 2, W: n, Data: make([]float32, 2*n), Background: -2}
	for i := range image.Data {
		image.Data[i] = -2
		if i < n {
			image.Data[i] += float32(signal)
		}
	}
	// Two values as often as each other have half their distance as deviation.
	unit := d.Rician
	if unit == nil {
		unit = d.Noise
	}
	sigma := unit.Sigma[0] * signal / 2
	dst := apply(image, d)
	moments := func(data []float32) (float64, float64) {
		values := make([]float32, len(data))
		for i, x := range data {
			values[i] = float32((float64(x) + 2) / sigma)
		}
		mean, deviation := spread(values)
		return mean, deviation * deviation
	}
	mean, variance = moments(dst[:n])
	emptyMean, emptyVariance = moments(dst[n:])
	return mean, variance, emptyMean, emptyVariance
}

// Moments of the Rice distribution with sigma 1 (scipy 1.17.1, stats.rice(nu)):
// for nu = 0 the Rayleigh's sqrt(pi/2) and 2 - pi/2. Standard errors of mean and
// variance with 100,000 voxels are below 0.0032 and 0.0045.
func TestRicianMoments(t *testing.T) {
	for _, c := range []struct{ nu, mean, variance float64 }{
		{1, 1.548572460551146, 0.6019233344225694},
		{2, 2.272383428068742, 0.8362735558385532},
		{5, 5.101069639492125, 0.9790885330516836},
	} {
		mean, variance, empty, emptyVariance := flatNoise(t, 4, Draw{Rician: &NoiseDraw{[]float64{2 / c.nu}, 11}})
		if !(abs(mean-c.mean) <= 5*0.0032) || !(abs(variance-c.variance) <= 5*0.0045) {
			t.Errorf("signal of %g sigma: mean %.4f and variance %.4f, want %.4f and %.4f", c.nu, mean, variance, c.mean, c.variance)
		}
		if !(abs(empty-math.Sqrt(math.Pi/2)) <= 5*0.0021) || !(abs(emptyVariance-(2-math.Pi/2)) <= 5*0.0025) {
			t.Errorf("empty space: mean %.4f and variance %.4f, want those of Rayleigh", empty, emptyVariance)
		}
	}
}

func TestGaussianMoments(t *testing.T) {
	mean, variance, empty, emptyVariance := flatNoise(t, 4, Draw{Noise: &NoiseDraw{[]float64{0.5}, 12}})
	if !(abs(mean-4) <= 5*0.0032) || !(abs(variance-1) <= 5*0.0045) || !(abs(empty) <= 5*0.0032) || !(abs(emptyVariance-1) <= 5*0.0045) {
		t.Errorf("means %.4f and %.4f, variances %.4f and %.4f; want 4, 0, 1, 1", mean, empty, variance, emptyVariance)
	}
}

// A transform agrees with the definition (evaluated with math/cmplx), and back
// and forth is the identity.
func TestTransform(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 20, 30, 32, 49, 64, 66, 97, 128} {
		tr, s := newTransform(n), newSpectrum(n)
		numbers := make([]complex128, n*lanes)
		stream := stat.NewStream(1, "fft", uint64(n))
		for i := range numbers {
			numbers[i] = complex(stream.Normal(), stream.Normal())
			s.re[i], s.im[i] = real(numbers[i]), imag(numbers[i])
		}
		tr.forward(s)
		for k := range n {
			for lane := range lanes {
				var want complex128
				for j := range n {
					want += numbers[j*lanes+lane] * cmplx.Rect(1, -2*math.Pi*float64(j*k%n)/float64(n))
				}
				if got := complex(s.re[k*lanes+lane], s.im[k*lanes+lane]); !(cmplx.Abs(got-want) <= 1e-12*float64(n)) {
					t.Fatalf("n = %d, k = %d, lane %d: %v, want %v", n, k, lane, got, want)
				}
			}
		}
		tr.backward(s)
		for i, want := range numbers {
			if got := complex(s.re[i], s.im[i]) / complex(float64(n), 0); !(cmplx.Abs(got-want) <= 1e-13*float64(n)) {
				t.Fatalf("n = %d: there and back makes %v of %v", n, got, want)
			}
		}
	}
}

func TestPowers(t *testing.T) {
	for _, x := range []float64{1e-300, 1e-9, 0.1, 0.5, 0.99999, 1, 1.0000001, 1.5, math.Nextafter(2, 0), 3, 1e5} {
		if got, want := log2(x), math.Log2(x); !(abs(got-want) <= 1e-11*max(1, abs(want))) {
			t.Errorf("log2(%v) = %v, want %v", x, got, want)
		}
	}
	for y := -999.9; y < 999; y += 0.37 {
		if got, want := exp2(y), math.Exp2(y); !(abs(got/want-1) <= 1e-11) {
			t.Errorf("exp2(%v) = %v, want %v", y, got, want)
		}
	}
	if exp2(math.Inf(-1)) != 0 || exp2(math.NaN()) != 0 || !math.IsInf(exp2(1e9), 1) || exp2(0) != 1 {
		t.Error("exp2 at its ends")
	}
}

// The largest displacements that are allowed, with random signs, never fold: the
// determinant of the map's Jacobian (forward differences on a fine grid) stays
// positive in 3D and in 2D. At twice as much it does not.
func TestElasticNeverFolds(t *testing.T) {
	least := func(size [3]int, share float64) float64 {
		g := grid{size, [3]float64{1, 1, 1}}
		lowest := math.Inf(1)
		for seed := range uint64(12) {
			s := stat.NewStream(seed, "signs")
			d := Elastic{1, 0.4, 7}.draw(s, g)
			for n, u := range d.Displacement {
				if u != 0 {
					axis := n / (len(d.Displacement) / 3)
					d.Displacement[n] = float32(share * float64(size[axis]-1) / 4 * float64(2*s.IntN(2)-1))
				}
			}
			lowest = min(lowest, leastDeterminant(newDisplacement(d, g), g))
		}
		return lowest
	}
	for _, size := range [][3]int{{33, 33, 33}, {1, 65, 65}} {
		if low := least(size, 0.4); !(low > 0) {
			t.Errorf("%v: the determinant falls to %v", size, low)
		}
		if low := least(size, 0.8); !(low < 0) {
			t.Errorf("%v: at twice the displacement the determinant stays at %v, so that this test proves nothing", size, low)
		}
	}
}

// leastDeterminant returns the lowest determinant of the Jacobian of q + u(q).
func leastDeterminant(u *displacement, g grid) float64 {
	places := make([][3]float64, g.voxels())
	row := make([]float64, 3*g.size[2])
	for d := range g.size[0] {
		u.plane(d)
		for h := range g.size[1] {
			clear(row)
			u.addRow(row, h)
			for w := range g.size[2] {
				at := (d*g.size[1]+h)*g.size[2] + w
				places[at] = [3]float64{float64(d) + row[w], float64(h) + row[g.size[2]+w], float64(w) + row[2*g.size[2]+w]}
			}
		}
	}
	steps := [3]int{g.size[1] * g.size[2], g.size[2], 1}
	lowest := math.Inf(1)
	for at := range places {
		d, h, w := at/steps[0], at/steps[1]%g.size[1], at%g.size[2]
		if !g.flat() && d == g.size[0]-1 || h == g.size[1]-1 || w == g.size[2]-1 {
			continue
		}
		jacobian := [3][3]float64{{1, 0, 0}, {}, {}}
		for axis := range 3 {
			if g.flat() && axis == 0 {
				continue
			}
			for n := range 3 {
				jacobian[axis][n] = places[at+steps[axis]][n] - places[at][n]
			}
		}
		m := jacobian
		determinant := m[0][0]*(m[1][1]*m[2][2]-m[1][2]*m[2][1]) - m[0][1]*(m[1][0]*m[2][2]-m[1][2]*m[2][0]) + m[0][2]*(m[1][0]*m[2][1]-m[1][1]*m[2][0])
		lowest = min(lowest, determinant)
	}
	return lowest
}

// Mean and deviation of every length, against the definition in float64.
func TestSpread(t *testing.T) {
	for n := 1; n < 12; n++ {
		data := make([]float32, n)
		mean, squares := 0.0, 0.0
		for i := range data {
			data[i] = float32((i*7+3)%5) - 0.25
			mean += float64(data[i]) / float64(n)
		}
		for _, x := range data {
			squares += (float64(x) - mean) * (float64(x) - mean)
		}
		gotMean, got := spread(data)
		if want := math.Sqrt(squares / float64(n)); !(abs(gotMean-mean) <= 1e-14) || !(abs(got-want) <= 1e-14) {
			t.Errorf("%d numbers: %v and %v, want %v and %v", n, gotMean, got, mean, want)
		}
	}
}

func TestPowerTable(t *testing.T) {
	for _, power := range []float64{0.2, 0.5, 0.7, 1, 1.4, 2.2, 5} {
		table := newPowerTable(power)
		for _, u := range []float32{1e-7, 6e-8, 1e-7, 3e-5, 0.001, 0.01, 0.1, 0.3, 0.5, 0.77, 0.999, 1, 1.0000001} {
			if got, want := float64(table.of(u)), math.Pow(float64(u), power); !(abs(got-want) <= 6e-7*want) {
				t.Errorf("%v^%v = %v, want %v", u, power, got, want)
			}
		}
		if table.of(0) != 0 || table.of(-0.5) != 0 || table.of(1) != 1 {
			t.Errorf("^%v at 0, -0.5 and 1: %v, %v, %v", power, table.of(0), table.of(-0.5), table.of(1))
		}
	}
}

func TestAugmentationRefuses(t *testing.T) {
	size := [3]int{16, 32, 32}
	for _, c := range []struct {
		change func(*Augmentation)
		says   string
	}{
		{func(a *Augmentation) { a.Affine.Probability = 1.5 }, "affine.probability"},
		{func(a *Augmentation) { a.Noise.Probability = math.NaN() }, "noise.probability"},
		{func(a *Augmentation) { a.Affine.Rotation = 200 }, "affine.rotation"},
		{func(a *Augmentation) { a.Affine.Translation = 17 }, "out of view"},
		{func(a *Augmentation) { a.Elastic.Displacement = 0.5 }, "elastic.displacement"},
		{func(a *Augmentation) { a.Elastic.Points = 4 }, "elastic.points"},
		{func(a *Augmentation) { a.Bias.Order = 5 }, "bias.order"},
		{func(a *Augmentation) { a.Motion.Movements = 0 }, "motion.movements"},
		{func(a *Augmentation) { a.Motion.Translation = 20 }, "out of view"},
		{func(a *Augmentation) { a.Ghosting.Ghosts = 1 }, "ghosting.ghosts"},
		{func(a *Augmentation) { a.Downsample.Factor = 5 }, "fewer than 4"},
		{func(a *Augmentation) { a.Downsample.Factor = 0.5 }, "downsample.factor"},
		{func(a *Augmentation) { a.Blur.Sigma = -1 }, "blur.sigma"},
		{func(a *Augmentation) { a.Blur.Sigma = 9 }, "nothing would be left"},
		{func(a *Augmentation) { a.Rician.Sigma = 11 }, "rician.sigma"},
		{func(a *Augmentation) { a.Gamma.Change = 0.9 }, "gamma.change"},
		{func(a *Augmentation) { a.Contrast.Brightness = math.Inf(1) }, "contrast.brightness"},
		{func(a *Augmentation) { a.Cutout.Size = 0.6 }, "cutout.size"},
	} {
		a := everything(size)
		if err := a.Check(); err != nil {
			t.Fatal(err)
		}
		c.change(&a)
		if err := a.Check(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want it to name %q", err, c.says)
		}
	}
}

// FuzzDraw reads a draw as look --replay does: whatever the file holds, it is
// refused or applied.
func FuzzDraw(f *testing.F) {
	for _, size := range bothShapes {
		for seed := range uint64(3) {
			text, err := json.Marshal(everything(size).Draw(stat.NewStream(seed, "augment")))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte(`{"elastic":{"points":[1,4,4],"displacement_mm":[],"spacing_mm":[1,1,1]}}`))
	f.Add([]byte(`{"affine":{"scale":1,"rotation_degrees":[90,0,0],"spacing_mm":[1,1,1]},"cutout":{"boxes":[{"first":[0,-9,0],"size":[9,9,99]}]}}`))
	images := []*Image{smooth(bothShapes[0]), smooth(bothShapes[1])}
	f.Fuzz(func(t *testing.T, text []byte) {
		var d Draw
		if json.Unmarshal(text, &d) != nil {
			return
		}
		for _, image := range images {
			if d.CheckFits(image) == nil {
				apply(image, d)
			}
		}
	})
}

func BenchmarkMembers(b *testing.B) {
	size := [3]int{64, 64, 64}
	all := everything(size)
	all.Channels = 1
	image := &Image{C: 1, D: 64, H: 64, W: 64, Data: smooth(size).Data[:64*64*64], Background: -1}
	dst := make([]float32, len(image.Data))
	for _, member := range all.chances() {
		d := only(all, member.name).Draw(stat.NewStream(1, "augment"))
		b.Run(member.name, func(b *testing.B) {
			for b.Loop() {
				Apply(dst, image, d)
			}
		})
	}
}
