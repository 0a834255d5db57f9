package phantom

import (
	"math"
	"slices"
	"testing"

	"ballast/stat"
)

// Over all 2^64 words coins has mean 0, variance 1 and kurtosis near 3 - 2/56:
// the moments are summed from the binomial distribution itself.
func TestCoinsMoments(t *testing.T) {
	var total, mean, variance, fourth float64
	for heads := 0; heads <= 56; heads++ {
		logWays, _ := math.Lgamma(57)
		a, _ := math.Lgamma(float64(heads + 1))
		b, _ := math.Lgamma(float64(57 - heads))
		weight := math.Exp(logWays-a-b-56*math.Ln2) / 256
		for spread := range 256 {
			z := coins((1<<heads-1)<<8 | uint64(spread))
			total += weight
			mean += weight * z
			variance += weight * z * z
			fourth += weight * z * z * z * z
		}
	}
	for _, c := range []struct {
		name           string
		got, want, tol float64
	}{{"total", total, 1, 1e-9}, {"mean", mean, 0, 1e-9}, {"variance", variance, 1, 1e-7}, {"kurtosis", fourth, 3 - 2.0/56, 1e-3}} {
		if !(math.Abs(c.got-c.want) <= c.tol) {
			t.Errorf("%s = %g, want %g", c.name, c.got, c.want)
		}
	}
}

// The Kolmogorov distance of 20,000 draws from the normal distribution stays
// below 1.95 / sqrt(n), the critical value at 0.001.
func TestCoinsAreNormal(t *testing.T) {
	const n = 20_000
	stream := stat.NewStream(3, "test")
	draws := make([]float64, n)
	for i := range draws {
		draws[i] = coins(stream.Uint64())
	}
	slices.Sort(draws)
	distance := 0.0
	for i, z := range draws {
		below := 0.5 * math.Erfc(-z/math.Sqrt2)
		distance = max(distance, below-float64(i)/n, float64(i+1)/n-below)
	}
	if !(distance <= 1.95/math.Sqrt(n)) {
		t.Errorf("Kolmogorov distance %g", distance)
	}
}

// Without signal the magnitude follows a Rayleigh distribution, mean
// sd sqrt(pi/2); far above the noise it has mean sqrt(x^2 + sd^2), to order
// (sd/x)^2, and deviation sd (Gudbjartsson and Patz 1995, equation 5). Five
// standard errors.
func TestRicianMoments(t *testing.T) {
	const n, sd = 50_000, 0.1
	for _, c := range []struct{ x, mean, deviation float64 }{
		{0, sd * math.Sqrt(math.Pi/2), sd * math.Sqrt(2-math.Pi/2)},
		{2, math.Sqrt(4 + sd*sd), sd},
	} {
		stream := stat.NewStream(4, "test")
		var sum, square float64
		for range n {
			m := rician(c.x, sd, stream)
			sum += m
			square += m * m
		}
		mean := sum / n
		deviation := math.Sqrt(square/n - mean*mean)
		if !(math.Abs(mean-c.mean) <= 5*c.deviation/math.Sqrt(n)) || !(math.Abs(deviation/c.deviation-1) <= 0.02) {
			t.Errorf("signal %g: mean %g and deviation %g, want %g and %g", c.x, mean, deviation, c.mean, c.deviation)
		}
	}
}

// The bias field deviates by its amplitude somewhere on corners, edges, faces or
// middle, and hardly more anywhere.
func TestBiasField(t *testing.T) {
	for k := range uint64(50) {
		b := newBiasField(0.3, stat.NewStream(1, "test", k))
		onLattice, anywhere := 0.0, 0.0
		for x := -1.0; x <= 1; x += 0.125 {
			for y := -1.0; y <= 1; y += 0.125 {
				for z := -1.0; z <= 1; z += 0.125 {
					deviation := math.Abs(b.at(x, y, z) - 1)
					anywhere = max(anywhere, deviation)
					if x == math.Trunc(x) && y == math.Trunc(y) && z == math.Trunc(z) {
						onLattice = max(onLattice, deviation)
					}
				}
			}
		}
		if !(math.Abs(onLattice-0.3) <= 1e-12) || !(anywhere <= 0.4) {
			t.Errorf("field %d: largest deviation %g on the lattice, %g anywhere, want 0.3", k, onLattice, anywhere)
		}
	}
}

// Scanners differ in gain and noise, from low to high; a single one is neutral.
func TestScanners(t *testing.T) {
	c := Default()
	if got := c.scanner(0); got != (scanner{gain: 1, contrast: 0, noise: 1}) {
		t.Errorf("a single scanner is %+v", got)
	}
	c.Sites = 4
	for n := 1; n < 4; n++ {
		a, b := c.scanner(n-1), c.scanner(n)
		if !(a.gain < b.gain && a.contrast < b.contrast && a.noise < b.noise) {
			t.Errorf("scanner %d %+v does not exceed scanner %d %+v", n, b, n-1, a)
		}
	}
}

// smoothNoise has mean 0 and standard deviation near 1, neighbours closer than a
// cell agree, points four cells apart do not; and a box does not change what is
// inside it.
func TestSmoothNoise(t *testing.T) {
	g := Default().grid() // 32 voxels of 6 mm
	var mean, square, near, far, count float64
	for k := range uint64(40) {
		field := smoothNoise(g, g.box(), 24, stat.NewStream(1, "test", k))
		for n := 0; n+16 < len(field); n += 32 { // the first voxel of each row
			mean += field[n]
			square += field[n] * field[n]
			near += field[n] * field[n+1]
			far += field[n] * field[n+16]
			count++
		}
	}
	for _, c := range []struct {
		name           string
		got, want, tol float64
	}{{"mean", mean / count, 0, 0.1}, {"variance", square / count, 1, 0.15}, {"correlation at a quarter cell", near / square, 0.97, 0.03}, {"correlation at four cells", far / square, 0, 0.1}} {
		if !(math.Abs(c.got-c.want) <= c.tol) {
			t.Errorf("%s %.3f, want %g within %g", c.name, c.got, c.want, c.tol)
		}
	}
	b := box{[3]int{3, 5, 7}, [3]int{20, 9, 30}}
	whole := smoothNoise(g, g.box(), 24, stat.NewStream(1, "test"))
	part := smoothNoise(g, b, 24, stat.NewStream(1, "test"))
	for n := range whole {
		i, j, k := n%32, n/32%32, n/1024
		inside := i >= 3 && i < 20 && j >= 5 && j < 9 && k >= 7 && k < 30
		if inside && part[n] != whole[n] || !inside && part[n] != 0 {
			t.Fatalf("voxel (%d, %d, %d) in a box: %g, in the whole: %g", i, j, k, part[n], whole[n])
		}
	}
}

// A frame is a rotation followed by a scaling: it maps the centre to 0 and keeps
// lengths when the semi-axes are 1.
func TestFrame(t *testing.T) {
	stream := stat.NewStream(1, "test")
	draw := func() [3]float64 { return [3]float64{stream.Normal(), stream.Normal(), stream.Normal()} }
	for range 100 {
		centre, a := draw(), draw()
		turn := [4]float64{stream.Normal(), stream.Normal(), stream.Normal(), stream.Normal()}
		f := newFrame(centre, turn, [3]float64{1, 1, 1})
		if got := norm(f.apply(centre[0], centre[1], centre[2])); !(got <= 1e-12) {
			t.Errorf("the centre is mapped to %g from 0", got)
		}
		want := norm(a[0]-centre[0], a[1]-centre[1], a[2]-centre[2])
		if got := norm(f.apply(a[0], a[1], a[2])); !(math.Abs(got-want) <= 1e-12) {
			t.Errorf("a length of %g becomes %g", want, got)
		}
	}
	u, v, w := newFrame([3]float64{1, 2, 3}, [4]float64{1, 0, 0, 0}, [3]float64{2, 4, 8}).apply(3, 6, 11)
	if u != 1 || v != 1 || w != 1 {
		t.Errorf("semi-axes 2, 4, 8: the corner is mapped to (%g, %g, %g)", u, v, w)
	}
}
