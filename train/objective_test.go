package train

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"ballast/run"
)

// counted has 6 images of class 0, 2 of class 1 and none of class 2.
func counted() *Images {
	images := &Images{Classes: []string{"a", "b", "c"}}
	for i := range 8 {
		images.Train.Samples = append(images.Train.Samples, Sample{Class: i / 6})
	}
	return images
}

func TestBalancedWeights(t *testing.T) {
	// 8/(3·6), 8/(3·2) and 0 for a class without images.
	got, want := balancedWeights((&Plan{}).unitClasses(&counted().Train), 3), []float64{4.0 / 9, 4.0 / 3, 0}
	for class := range want {
		if !(math.Abs(got[class]-want[class]) <= 1e-15) {
			t.Errorf("class %d has weight %v, want %v", class, got[class], want[class])
		}
	}
}

// Whatever training lessens, the score's cross-entropy and its hits are those of
// the plain loss.
func TestScoreStaysPlain(t *testing.T) {
	logits, labels := []float32{1, 0, -1, 0, 3, 0.5, -2, 0, 0.25}, []int{0, 2, 1}
	of := func(labels []int, l Loss, m *mixture) (score, []float32) {
		p := DefaultPlan()
		p.Loss = l
		probabilities, gradient := make([]float32, 9), make([]float32, 9)
		return newObjective(p, counted()).gradient(logits, labels, m, probabilities, gradient), gradient
	}
	plain, steepest := of(labels, DefaultPlan().Loss, nil)
	if plain.correct != 1 || plain.objective != plain.crossEntropy || plain.weight != 3 {
		t.Errorf("plain: %+v", plain)
	}
	for name, l := range map[string]Loss{
		"weighted": {Name: "cross-entropy", Weights: "balanced"},
		"smoothed": {Name: "cross-entropy", Weights: "none", Smoothing: 0.2},
		"focal":    {Name: "focal", Gamma: 2, Weights: "none"},
	} {
		got, gradient := of(labels, l, nil)
		if got.crossEntropy != plain.crossEntropy || got.correct != plain.correct {
			t.Errorf("%s: recorded %+v, want the plain %+v", name, got, plain)
		}
		if got.objective/got.weight == plain.objective/plain.weight || slices.Equal(gradient, steepest) {
			t.Errorf("%s: the objective is the plain one", name)
		}
	}
	// A mixture's score is that of both labels by their shares.
	other, _ := of([]int{2, 1, 0}, DefaultPlan().Loss, nil)
	mixed, _ := of(labels, DefaultPlan().Loss, &mixture{share: 0.75, partners: []int{1, 2, 0}})
	swapped := 0.75*plain.crossEntropy + 0.25*other.crossEntropy
	if !(math.Abs(mixed.crossEntropy-swapped) <= 1e-12) || mixed.correct != 0.75*plain.correct+0.25*other.correct {
		t.Errorf("mixed: %+v, want cross-entropy %v and %v correct", mixed, swapped, 0.75*plain.correct+0.25*other.correct)
	}
}

// A run records the objective beside the plain loss where they differ, and only
// there; its bits do not depend on the number of threads.
func TestRecordedObjective(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"plain":    func(*Plan) {},
		"weighted": func(p *Plan) { p.Loss.Weights = "balanced"; p.Loss.Smoothing = 0.1 },
		"focal":    func(p *Plan) { p.Loss.Name = "focal"; p.Sampling.Draw = "balanced" },
		"mixed":    func(p *Plan) { p.Augment.Mixup.Alpha = 0.4 },
	} {
		p := smallPlan()
		p.Epochs, p.Views.Every = 2, 0
		change(&p)
		var first map[string][]byte
		for _, threads := range []int{1, 3} {
			dir, err := trainInto(t, t.Context(), p, blobs(p, 9, 4, 0), Options{Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			got := files(t, dir)
			if first == nil {
				first = got
			}
			if string(got["epochs.jsonl"]) != string(first["epochs.jsonl"]) {
				t.Errorf("%s: another curve with %d threads", name, threads)
			}
			r, err := run.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range r.Epochs {
				if want := name == "weighted" || name == "focal"; want != (e.Objective != nil) {
					t.Errorf("%s: objective recorded: %v", name, e.Objective)
				}
				if e.Objective != nil && (*e.Objective == e.Evaluation(run.Logged, run.Train).Loss || !(*e.Objective > 0)) {
					t.Errorf("%s: objective %v", name, *e.Objective)
				}
			}
		}
	}
}

func TestMixupRefusals(t *testing.T) {
	p := DefaultPlan()
	p.Augment.Mixup.Alpha, p.Net.Pooling = 0.2, "attention"
	if err := p.Validate(); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), "cannot be mixed") {
		t.Errorf("bags of images: %v", err)
	}
	p = DefaultPlan()
	p.Augment.Mixup.Alpha = -1
	if err := p.Validate(); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), "augment.mixup.alpha is -1") {
		t.Errorf("a negative alpha: %v", err)
	}
}

// Every image is blended with its partner as it was before, also along a cycle
// and where an image is its own partner.
func TestMix(t *testing.T) {
	for _, size := range []int{5, blendSpan, 2*blendSpan + 3} {
		p := smallPlan()
		trainer, err := newTrainer(p, blobs(p, 6, 2, 0), Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.pool.Close()
		partners := []int{2, 1, 3, 0, 5, 4}
		trainer.batch.N = len(partners)
		trainer.batch.Data = spread(len(partners)*size, 3)
		before := slices.Clone(trainer.batch.Data)
		const share = 0.3125
		trainer.blend(trainer.batch.Data, mixture{share, partners})
		for i, partner := range partners {
			for v := range size {
				want := float32(share*before[i*size+v]) + float32((1-share)*before[partner*size+v])
				if got := trainer.batch.Data[i*size+v]; got != want {
					t.Fatalf("%d voxels: voxel %d of image %d is %v, want %v", size, v, i, got, want)
				}
			}
		}
	}
}

// The share follows Beta(alpha, alpha), one for each batch, and the partners are a
// permutation; no memory of a batch's size is taken for it.
func TestMixture(t *testing.T) {
	p := smallPlan()
	p.Augment.Mixup.Alpha = 1 // all shares alike
	trainer, err := newTrainer(p, blobs(p, 6, 2, 0), Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.pool.Close()
	trainer.batch.N, trainer.batch.Data = 4, make([]float32, 4*32)
	mean, square := 0.0, 0.0
	const n = 2000
	for number := range n {
		m := trainer.mix(number)
		if sorted := slices.Sorted(slices.Values(m.partners)); !slices.Equal(sorted, []int{0, 1, 2, 3}) {
			t.Fatalf("batch %d: partners %v", number, m.partners)
		}
		mean += m.share / n
		square += m.share * m.share / n
	}
	// Uniform: mean 1/2 and variance 1/12, with standard errors 0.0065 and 0.0017.
	if !(math.Abs(mean-0.5) <= 0.026) || !(math.Abs(square-mean*mean-1.0/12) <= 0.007) {
		t.Errorf("mean %v and variance %v of the share", mean, square-mean*mean)
	}
	if got := testing.AllocsPerRun(10, func() { trainer.mix(1) }); got > 1 { // the function given to the pool
		t.Errorf("mixing a batch makes %g allocations", got)
	}
	p.Augment.Mixup.Alpha = 0
	trainer.plan = p
	if trainer.mix(0) != nil {
		t.Error("mixed without being asked")
	}
}
