package train

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"ballast/net"
	"ballast/stat"
)

// curveOf is a range test whose losses are those of a function of the rate's
// logarithm to base 10, with normal noise.
func curveOf(steps int, noise float64, seed uint64, loss func(exponent float64) float64) RangeTest {
	test, smoother := RangeTest{Guess: math.Ln2}, newSmoother(steps)
	stream := stat.NewStream(seed, "range-curve")
	for step := range steps {
		rate := rangeRate(step, steps)
		if test.add(rate, loss(math.Log10(rate))+noise*stream.Normal(), smoother) {
			break
		}
	}
	test.judge(smoother.weight)
	return test
}

// A curve that only fluctuates suggests nothing. In 2,000 curves of each start, of
// the seeds from 1,000 on, the largest fall was 3.6 standard errors, against
// rangeSure of 4; these are other seeds.
func TestRangeOfNoiseSuggestsNothing(t *testing.T) {
	for _, start := range []float64{math.Ln2, 0.5, 2} { // below the guess, and outputs too large at first
		for seed := range uint64(150) {
			test := curveOf(200, 0.1, seed, func(x float64) float64 { return math.Ln2 + (start-math.Ln2)*max(0, math.Min(1, -5-x)) })
			if test.Doubt == "" || test.Suggested != 0 {
				t.Errorf("start %g, seed %d: suggested %g for a fall of %g ± %g", start, seed, test.Suggested, test.Fall, test.Error)
			}
		}
	}
}

// valley falls from the guess at 1e-4 to 0.2 at 1e-2, stays, and rises steeply
// from 1e-1 on.
func valley(x float64) float64 {
	return math.Ln2 - 0.25*max(0, math.Min(2, x+4)) + 4*max(0, x+1)
}

func TestRangeOfAValley(t *testing.T) {
	for seed := range uint64(50) {
		test := curveOf(200, 0.05, seed, valley)
		// A third of a power of ten of lag, and the noise over the level floor.
		if test.Doubt != "" || !test.Diverged || !(test.Least > 0.008 && test.Least < 0.2) || test.Suggested != test.Least/10 {
			t.Errorf("seed %d: least at %g, diverged %v, doubt %q", seed, test.Least, test.Diverged, test.Doubt)
		}
		if !(test.Steepest > 1e-4 && test.Steepest < test.Least) {
			t.Errorf("seed %d: steepest at %g, the slope lies between 1e-4 and 1e-2", seed, test.Steepest)
		}
		if last := test.Points[len(test.Points)-1].Rate; !(last > 0.1 && last < 2) {
			t.Errorf("seed %d: ends at %g", seed, last)
		}
	}
}

func TestRangeEndsWhereTheLossIsNoNumber(t *testing.T) {
	test := curveOf(100, 0, 1, func(x float64) float64 {
		if x > -2 {
			return math.NaN()
		}
		return 1 - 0.1*(x+6)
	})
	if !test.Diverged || len(test.Points) != 57 { // 1e-6 to 1e-2 of a hundred rates to 10
		t.Errorf("%d points, diverged %v", len(test.Points), test.Diverged)
	}
	if rising := curveOf(100, 0, 1, func(x float64) float64 { return x + 7 }); !strings.Contains(rising.Doubt, "only rises") {
		t.Errorf("a rising curve: %q", rising.Doubt)
	}
	if none := curveOf(100, 0, 1, func(float64) float64 { return math.NaN() }); none.Doubt == "" || len(none.Points) != 0 {
		t.Errorf("no curve at all: %+v", none)
	}
}

func TestRatesOfARange(t *testing.T) {
	for step, want := range map[int]float64{0: 1e-6, 100: 1e-5, 350: math.Sqrt(1e-5), 700: 10} {
		if got := rangeRate(step, 701); !(math.Abs(got/want-1) <= 1e-13) {
			t.Errorf("rate of step %d is %g, want %g", step, got, want)
		}
	}
}

// The loss of a guess: entropy for the cross-entropy; log K under balanced
// weights; with smoothing s the entropy of (1-s)p + s/K.
func TestGuess(t *testing.T) {
	entropy := func(p float64) float64 { return -p*math.Log(p) - (1-p)*math.Log(1-p) }
	for _, c := range []struct {
		loss *net.Loss
		want float64
	}{
		{nil, entropy(0.25)},
		{&net.Loss{Weights: []float64{2, 2. / 3}}, math.Ln2},
		{&net.Loss{Smoothing: 0.2}, entropy(0.8*0.25 + 0.1)},
		{&net.Loss{Gamma: 2}, -0.25*0.75*0.75*math.Log(0.25) - 0.75*0.25*0.25*math.Log(0.75)},
	} {
		o := &objective{classes: 2, loss: c.loss}
		if got := o.guess([]float64{10, 30}); !(math.Abs(got-c.want) <= 1e-6) {
			t.Errorf("%+v: guess %g, want %g", c.loss, got, c.want)
		}
	}
}

// The suggested rate of an easy cohort trains it, and the test gives the same
// bits whatever the number of threads.
func TestRangeTestOfATraining(t *testing.T) {
	p := smallPlan()
	p.Epochs, p.Optimizer.Accumulate = 8, 2
	images := blobs(p, 20, 10, 0)
	var tests []RangeTest
	for _, threads := range []int{1, 3} {
		shares := []float64{}
		test, err := RunRangeTest(context.Background(), p, images, 100, Options{Threads: threads, Progress: func(p Progress) { shares = append(shares, p.Share) }})
		if err != nil {
			t.Fatal(err)
		}
		if len(shares) != len(test.Points) || !(shares[len(shares)-1] <= 1) {
			t.Errorf("%d reports of progress for %d steps", len(shares), len(test.Points))
		}
		tests = append(tests, test)
	}
	if !reflect.DeepEqual(tests[0], tests[1]) {
		t.Error("the number of threads changes the test")
	}
	test := tests[0]
	if test.Doubt != "" || !(test.Suggested > 1e-4 && test.Suggested < 1) || !(test.Steepest < test.Least) {
		t.Fatalf("suggested %g, steepest %g, least %g: %s", test.Suggested, test.Steepest, test.Least, test.Doubt)
	}
	p.Optimizer.LR = test.Suggested
	epochs := recordedEpochs(t, p, images)
	if accuracy := epochs[len(epochs)-1].Evaluation("logged", "train").Accuracy; accuracy < 0.9 {
		t.Errorf("training at %g reaches an accuracy of %g", test.Suggested, accuracy)
	}
}

func TestRangeTestRefusesAndEnds(t *testing.T) {
	p := smallPlan()
	images := blobs(p, 8, 4, 0)
	if _, err := RunRangeTest(context.Background(), p, images, 3, Options{}); err == nil || !strings.Contains(err.Error(), "50 to 10000") {
		t.Errorf("three steps: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err := RunRangeTest(ctx, p, images, 0, Options{Progress: func(Progress) { cancel() }})
	if !errors.Is(err, ErrInterrupted) {
		t.Errorf("interrupted: %v", err)
	}
}
