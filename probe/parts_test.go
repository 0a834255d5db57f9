package probe

import (
	"math"
	"testing"

	"ballast/prep"
	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

// TestCompareTwice holds the comparison against subjects counted by hand.
func TestCompareTwice(t *testing.T) {
	nan := float32(math.NaN())
	first := run.Evaluation{Accuracy: 0.5, Probabilities: []run.Row{{0.4, 0.6}, {0.3, 0.7}, {0.9, 0.1}, nil, nil, {nan, nan}}}
	second := run.Evaluation{Accuracy: 0.75, Probabilities: []run.Row{{0.4, 0.6}, {0.6, 0.4}, {0.8, 0.2}, {0.5, 0.5}, nil, {nan, nan}}}
	values := compareTwice(first, second)
	for name, want := range map[string]float64{
		"different":           2.0 / 4, // the second and the third of those seen twice
		"flips":               1.0 / 4,
		"covered":             4.0 / 6,
		"accuracy_difference": 0.25,
	} {
		within(t, values, name, want-1e-12, want+1e-12)
	}
}

func TestProportional(t *testing.T) {
	rows := []run.Row{{0.8, 0.2}, {0.1, 0.9}, {0.6, 0.4}, {0.4, 0.6}}
	subjects := func(classes ...int) (s []run.Subject) {
		for _, class := range classes {
			s = append(s, run.Subject{Class: class})
		}
		return s
	}
	for _, test := range []struct {
		subjects []run.Subject
		want     float64
		found    bool
	}{
		{subjects(0, 1, 0, 0), (math.Log(9) + math.Log(1.5)) / 2, true}, // one above: between 0.6 and 0.9
		{subjects(1, 0, 1, 0), 0, true},                                 // two above: between 0.4 and 0.6
		{subjects(0, 0, 0, 0), 0, false},
		{subjects(1, 1, 1, 1), 0, false},
	} {
		if at, found := proportional(rows, test.subjects); found != test.found || !(math.Abs(at-test.want) <= 1e-6) {
			t.Errorf("%v: %g, %v; want %g, %v", test.subjects, at, found, test.want, test.found)
		}
	}
}

// noiseBench is a bench of images of noise, whose network is never used.
func noiseBench(t *testing.T, subjects int) *Bench {
	t.Helper()
	p := testPlan()
	images := &train.Images{Classes: []string{"a", "b"}}
	for _, set := range []*train.Set{&images.Train, &images.Validation} {
		set.Name = run.Train
		if set == &images.Validation {
			set.Name = run.Validation
		}
		for i := range subjects {
			stream := stat.NewStream(17, set.Name, uint64(i))
			image := &prep.Image{C: 1, D: 1, H: 16, W: 16, Data: make([]float32, 256)}
			for v := range image.Data {
				image.Data[v] = float32((1+float64(i%3))*stream.Normal()) + float32(i)
			}
			set.Samples = append(set.Samples, train.Sample{Subject: i, Class: i % 2, Image: image})
			set.Subjects = append(set.Subjects, run.Subject{ID: set.Name + string(rune('a'+i)), Class: i % 2, Images: 1})
		}
	}
	lab, err := train.NewLab(p, images, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lab.Close)
	return &Bench{Plan: p, Images: images, Lab: lab}
}

// TestCorrelation holds the correlation of two images, less the common one, against
// the plain formula on the differences themselves.
func TestCorrelation(t *testing.T) {
	b := noiseBench(t, 7)
	c := b.compareImages()
	n := float64(len(b.Images.Train.Samples))
	standard := func(image *prep.Image) []float64 {
		sum, squares := 0.0, 0.0
		for _, x := range image.Data {
			sum, squares = sum+float64(x), squares+float64(x)*float64(x)
		}
		mean := sum / 256
		values := make([]float64, 256)
		for v, x := range image.Data {
			values[v] = (float64(x) - mean) / math.Sqrt(squares/256-mean*mean)
		}
		return values
	}
	common := make([]float64, 256)
	for _, sample := range b.Images.Train.Samples {
		for v, x := range standard(sample.Image) {
			common[v] += x / (n + 4)
		}
	}
	for i := range c.training {
		for k := range c.validation {
			one, other := standard(b.Images.Train.Samples[i].Image), standard(b.Images.Validation.Samples[k].Image)
			product, lengthOne, lengthOther := 0.0, 0.0, 0.0
			for v, m := range common {
				product += (one[v] - m) * (other[v] - m)
				lengthOne += (one[v] - m) * (one[v] - m)
				lengthOther += (other[v] - m) * (other[v] - m)
			}
			want := product / math.Sqrt(lengthOne*lengthOther)
			if got := c.correlation(&c.training[i], &c.validation[k]); !(math.Abs(got-want) <= 1e-9) {
				t.Errorf("images %d and %d: %g, want %g", i, k, got, want)
			}
		}
	}
}

// TestDoubles finds copies that were made brighter and noisy, and none besides.
func TestDoubles(t *testing.T) {
	b := noiseBench(t, 9)
	for _, pair := range [][2]int{{2, 5}, {7, 0}} { // training, validation
		from := b.Images.Train.Samples[pair[0]].Image
		image := &prep.Image{C: 1, D: 1, H: 16, W: 16, Data: make([]float32, 256)}
		_, deviation := moments(from.Data)
		for v, x := range from.Data {
			image.Data[v] = 3*x + 2 + float32(0.3*deviation*stat.NewStream(3, "noise", uint64(v)).Normal())
		}
		b.Images.Validation.Samples[pair[1]].Image = image
	}
	c := b.compareImages()
	c.limit = b.strangers(c)
	pairs, nearest, err := b.doubles(t.Context(), c, c.validation)
	if err != nil || len(pairs) != 2 || pairs[0] != (double{7, 0}) || pairs[1] != (double{2, 5}) {
		t.Errorf("pairs %v, want (7, 0) and (2, 5): %v", pairs, err)
	}
	if !(nearest > 0 && nearest < 0.5) {
		t.Errorf("strangers correlate by %g", nearest)
	}
}

// TestNeutralise leaves every image with the mean and the deviation that the images
// have on average.
func TestNeutralise(t *testing.T) {
	b := noiseBench(t, 6)
	set := &b.Images.Validation
	mean, deviation := 0.0, 0.0
	for _, sample := range set.Samples {
		m, d := moments(sample.Image.Data)
		mean, deviation = mean+m/6, deviation+d/6
	}
	alter := b.neutralise(set)
	for i, sample := range set.Samples {
		voxels := append([]float32(nil), sample.Image.Data...)
		alter(set, i, voxels)
		if m, d := moments(voxels); !(math.Abs(m-mean) <= 1e-4 && math.Abs(d-deviation) <= 1e-4) {
			t.Errorf("image %d has mean %g and deviation %g, want %g and %g", i, m, d, mean, deviation)
		}
	}
}

// TestGuessing: what decides the class is found, what has nothing to do with it is
// not, with two classes and with three.
func TestGuessing(t *testing.T) {
	b := noiseBench(t, 2)
	for _, count := range []int{2, 3} {
		var classes []int
		var telling, idle [][]float64
		var sites, halls []string
		stream := stat.NewStream(5, "guessing")
		for i := range 60 {
			class := i % count
			classes = append(classes, class)
			telling = append(telling, []float64{float64(class*class) + 0.2*stream.Normal(), float64(class) + 0.2*stream.Normal()})
			idle = append(idle, []float64{stream.Normal(), stream.Normal()})
			sites = append(sites, string(rune('a'+class)))
			halls = append(halls, string(rune('a'+i/count%4)))
		}
		g := &guessing{b: b, count: count, folds: foldsFor(classes, count)}
		for _, test := range []struct {
			name      string
			guess     guesser
			low, high float64
			finds     bool
		}{
			{"features that tell", logisticOf(telling), 0.99, 1, true},
			{"features that do not", logisticOf(idle), 0.2, 0.7, false},
			{"sites that tell", sharesOf(sites), 1, 1, true},
			{"sites that do not", sharesOf(halls), 0, 0.6, false},
		} {
			area, p, err := g.test(t.Context(), classes, test.guess)
			if err != nil || !(float64(area) >= test.low && float64(area) <= test.high) || (p <= 0.01) != test.finds {
				t.Errorf("%d classes, %s: area %g, p %g, %v", count, test.name, area, p, err)
			}
		}
	}
}
