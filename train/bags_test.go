package train

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"ballast/cohort"
	"ballast/prep"
	"ballast/run"
	"ballast/stat"
)

// bagPlan is a small plan with attention and covariates.
func bagPlan() Plan {
	p := smallPlan()
	p.Net.Pooling, p.Data.Covariates, p.Batch = "attention", []string{"age", "sex"}, 3
	return p
}

// bagImages are those of blobs, whose subjects have given numbers of images, over
// and over, and covariates.
func bagImages(t *testing.T, p Plan, train, validation, test int, counts ...int) *Images {
	t.Helper()
	images := blobs(p, train, validation, test)
	sets := []*Set{&images.Train, &images.Validation, &images.Test}
	var subjects []cohort.Subject
	for n, set := range sets {
		samples := set.Samples
		set.Samples = nil
		for i := range set.Subjects {
			subject := &set.Subjects[i]
			subject.Images = counts[i%len(counts)]
			source := samples[slices.IndexFunc(samples, func(s Sample) bool { return s.Subject == i })]
			for k := range subject.Images {
				image := *source.Image
				image.Data = slices.Clone(image.Data)
				for v := range image.Data { // no two images are equal
					image.Data[v] += spread(1, uint32(1000*i+k))[0] * float32(v%7)
				}
				set.Samples = append(set.Samples, Sample{Subject: i, Class: source.Class, Image: &image})
			}
			if n == 0 {
				subjects = append(subjects, covariatesOf(i))
			}
		}
	}
	var err error
	if images.Covariates, err = FitCovariates(p.Data.Covariates, subjects); err != nil {
		t.Fatal(err)
	}
	for _, set := range sets {
		for i := range set.Subjects {
			s := covariatesOf(i)
			if err := images.encode(set, &s); err != nil {
				t.Fatal(err)
			}
		}
	}
	return images
}

func covariatesOf(subject int) cohort.Subject {
	return cohort.Subject{Covariates: map[string]string{"age": fmt.Sprint(40 + 7*(subject%5)), "sex": []string{"f", "m"}[subject%2]}}
}

// A batch holds whole subjects: their images in order, at most MaxBag of each,
// drawn anew in each epoch, the number of each and their covariates.
func TestBatchesHoldWholeSubjects(t *testing.T) {
	p := bagPlan()
	images := bagImages(t, p, 7, 3, 0, 2, 40, 16, 1)
	trainer, err := newTrainer(p, images, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.pool.Close()
	if trainer.units() != 7 || trainer.stepsPerEpoch() != 3 || trainer.largestBatch() != 3*MaxBag {
		t.Errorf("%d units, %d steps, %d images in the largest batch", trainer.units(), trainer.stepsPerEpoch(), trainer.largestBatch())
	}
	size := len(images.Train.Samples[0].Image.Data)
	drawn := map[int][][]int{} // of subject 1, who has 40
	for epoch := 1; epoch <= 3; epoch++ {
		augmented := changed(p, images, epoch)
		var seen []int
		err := trainer.eachBatch(context.Background(), epoch, func(subjects []int, _ bool) error {
			at := 0
			if len(trainer.batch.Bags) != len(subjects) || len(trainer.batch.Covariates) != len(subjects)*images.Covariates.Width() {
				t.Errorf("bags %v, %d covariates for %d subjects", trainer.batch.Bags, len(trainer.batch.Covariates), len(subjects))
			}
			for n, subject := range subjects {
				from, to := images.Train.bag(subject)
				bag := trainer.batch.Bags[n]
				if bag != min(to-from, MaxBag) {
					t.Errorf("%d of %d images of subject %d", bag, to-from, subject)
				}
				if k := images.Covariates.Width(); !slices.Equal(trainer.batch.Covariates[n*k:(n+1)*k], images.Train.Covariates[subject]) {
					t.Errorf("subject %d has the covariates of another", subject)
				}
				var which []int
				for range bag {
					data := trainer.batch.Data[at*size : (at+1)*size]
					which = append(which, slices.IndexFunc(augmented[from:to], func(c []float32) bool { return slices.Equal(c, data) }))
					at++
				}
				if !slices.IsSorted(which) || which[0] < 0 || len(slices.Compact(slices.Clone(which))) != bag {
					t.Errorf("images %v of subject %d", which, subject)
				}
				if subject == 1 {
					drawn[epoch] = append(drawn[epoch], which)
				}
			}
			seen = append(seen, subjects...)
			return nil
		})
		if slices.Sort(seen); err != nil || !slices.Equal(seen, []int{0, 1, 2, 3, 4, 5, 6}) {
			t.Errorf("epoch %d saw %v, %v", epoch, seen, err)
		}
	}
	if slices.Equal(drawn[1][0], drawn[2][0]) || slices.Equal(drawn[2][0], drawn[3][0]) {
		t.Errorf("the same images in every epoch: %v", drawn)
	}
	calibration := trainer.bags(0, nil)(0, 1)
	if !slices.Equal(calibration, trainer.bags(0, nil)(5, 1)) {
		t.Error("the images of a recalibration change")
	}
}

// changed returns the training images as DrawOf changes them in an epoch.
func changed(p Plan, images *Images, epoch int) (all [][]float32) {
	for i, sample := range images.Train.Samples {
		data := make([]float32, len(sample.Image.Data))
		prep.Apply(data, sample.Image, p.DrawOf(i, epoch))
		all = append(all, data)
	}
	return all
}

// A subject is evaluated on all its images, however many, whatever else is in the
// batches: a run records what Predict gives for the subject alone, in every view
// and on any number of threads, and does the work that was foreseen.
func TestAttentionRun(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"default":               func(*Plan) {},
		"without batch norm":    func(p *Plan) { p.Net.Norm = "none" },
		"few for recalibration": func(p *Plan) { p.Views.Images, p.Validation.Recalibrate = 5, true },
		"mistaken validation":   func(p *Plan) { p.Validation.Dropout, p.Validation.Augment, p.Validation.Fraction = true, true, 0.5 },
		"balanced and weighted": func(p *Plan) { p.Sampling.Draw, p.Loss.Weights, p.Optimizer.Accumulate = "balanced", "balanced", 2 },
		"covariates alone":      func(p *Plan) { p.Net.Pooling = "mean" },
		"linear":                func(p *Plan) { p.Net.Name = "linear" },
	} {
		t.Run(name, func(t *testing.T) {
			p := bagPlan()
			p.Epochs, p.Batch, p.Net.Dropout, p.Net.Name = 2, 2, 0.3, "cnn1"
			change(&p)
			var reference map[string][]byte
			for _, threads := range []int{1, 3} {
				images := bagImages(t, p, 7, 4, 2, 2, 35, 1) // 35 > 2*MaxBag
				subjects := savedImages(t, p, &images.Validation)
				dir, err := trainInto(t, context.Background(), p, images, Options{Threads: threads})
				if err != nil {
					t.Fatal(err)
				}
				got := files(t, dir)
				if reference == nil {
					reference = got
				}
				for file, content := range reference {
					if !bytes.Equal(got[file], content) {
						t.Errorf("%d threads: %s differs", threads, file)
					}
				}
				if threads > 1 {
					continue
				}
				r, err := run.Open(dir)
				if err != nil {
					t.Fatal(err)
				}
				predictor := predictorOf(t, dir, LastWeights, 2)
				recorded := r.Epochs[1].Evaluation(run.Deterministic, run.Validation)
				for i, subject := range subjects {
					subject.Covariates = covariatesOf(i).Covariates
					row, err := predictor.Predict(subject)
					if err != nil || !slices.Equal(row, recorded.Probabilities[i]) {
						t.Errorf("subject %d: predicted %v, recorded %v (%v)", i, row, recorded.Probabilities[i], err)
					}
				}
				if _, err := predictor.Sample(subjects[1], 2); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestWorkWithBagsIsWhatIsDone(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"default":            func(*Plan) {},
		"without batch norm": func(p *Plan) { p.Net.Norm = "none" },
		"few images":         func(p *Plan) { p.Views.Images = 20 },
		"recalibrating":      func(p *Plan) { p.Validation.Recalibrate = true },
		"averaged":           func(p *Plan) { p.Validation.Weights = "averaged" },
	} {
		p := bagPlan()
		change(&p)
		tr, err := newTrainer(p, bagImages(t, p, 9, 5, 3, 2, 40, 1), Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer tr.pool.Close()
		for epoch := range p.Epochs {
			if _, err := tr.epoch(context.Background(), epoch+1); err != nil {
				t.Fatal(err)
			}
		}
		if err := tr.recordTest(&recording{}); err != nil {
			t.Fatal(err)
		}
		if tr.done != tr.total {
			t.Errorf("%s: %g images passed, %g planned", name, tr.done, tr.total)
		}
	}
}

// The estimate of memory holds for bags too, with a validation subject that has
// far more images than a step takes.
func TestMemoryOfBagsIsWhatWasEstimated(t *testing.T) {
	p := bagPlan()
	p.Prep.Grid, p.Net.Width = []int{12, 32, 32}, 16
	images := bagImages(t, p, 9, 2, 0, 3, 20)
	images.Train = bagImages(t, p, 9, 2, 0, 4).Train
	estimate, err := EstimateCost(p, sizesOf(images), 1)
	if err != nil {
		t.Fatal(err)
	}
	count := len(images.Train.Samples) + len(images.Validation.Samples)
	want := float64(estimate.Bytes) - program - float64(4*count*12*32*32)
	start := allocated()
	tr, err := newTrainer(p, images, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.pool.Close()
	for epoch := 1; epoch <= 2; epoch++ {
		if _, err := tr.epoch(context.Background(), epoch); err != nil {
			t.Fatal(err)
		}
	}
	if got := allocated() - start; !(math.Abs(got/want-1) < 0.05) {
		t.Errorf("%.0f bytes allocated, %.0f estimated", got, want)
	}
}

// Attention finds the one image of a subject that tells the class, where the mean
// over the images drowns it.
func TestAttentionFindsTheImageThatTells(t *testing.T) {
	p := smallPlan()
	p.Epochs, p.Batch, p.Optimizer.LR, p.Views.Every = 20, 8, 0.01, 0
	p.Net.Name, p.Net.Norm, p.Net.Dropout, p.Prep.Grid, p.Augment = "cnn1", "none", 0, []int{2, 8, 8}, Augment{}
	set := func(name string, n int) Set {
		s := Set{Name: name}
		for i := range n {
			stream := stat.NewStream(4, name, uint64(i))
			class, key := i%2, stream.IntN(12)
			s.Subjects = append(s.Subjects, run.Subject{ID: fmt.Sprint(name, i), Class: class, Images: 12})
			for k := range 12 {
				im := &prep.Image{C: 1, D: 2, H: 8, W: 8, Data: make([]float32, 128)}
				for v := range im.Data {
					im.Data[v] = float32(stream.Normal())
					if k == key { // a bright image or, in the other class, a dark one
						im.Data[v] += 1.5 * float32(2*class-1)
					}
				}
				s.Samples = append(s.Samples, Sample{Subject: i, Class: class, Image: im})
			}
		}
		return s
	}
	images := &Images{Classes: []string{"dark", "bright"}, Train: set(run.Train, 24), Validation: set(run.Validation, 20)}
	loss := map[string]float64{}
	for _, pooling := range []string{"mean", "attention"} {
		p.Net.Pooling = pooling
		r := &recording{files: map[string][]byte{}}
		if err := Train(context.Background(), p, images, r, Options{}); err != nil {
			t.Fatal(err)
		}
		loss[pooling] = float64(r.epochs[len(r.epochs)-1].Evaluation(run.Logged, run.Validation).Loss)
	}
	if !(loss["attention"] < 0.2 && loss["attention"] < loss["mean"]/2) {
		t.Errorf("validation losses %v", loss)
	}
}

// The sizes that a cost is estimated from are those of the cohort, times the
// slices of a volume where all are used.
func TestSizesOf(t *testing.T) {
	c, split := study(t)
	for i := range c.Subjects {
		c.Subjects[i].Covariates = covariatesOf(i).Covariates
	}
	p := DefaultPlan()
	p.Data.Covariates = []string{"age", "sex"}
	for _, slice := range []string{"", "all"} {
		p.Prep.Slice, p.Prep.Margin = slice, 0
		resolved, err := Resolve(context.Background(), p, c, split, Reading{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		sizes, err := SizesOf(context.Background(), c, split, resolved, Reading{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		images, err := Load(context.Background(), c, split, resolved, Reading{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		want := sizesOf(images)
		if sizes.Classes != want.Classes || sizes.Covariates != want.Covariates || want.Covariates < 2 || len(sizes.Train) != len(want.Train) || len(sizes.Validation) != len(want.Validation) {
			t.Errorf("slice %q: %+v, loaded %+v", slice, sizes, want)
		}
		for i, count := range sizes.Train {
			if slice == "" && count != want.Train[i] || !(math.Abs(float64(count-want.Train[i])) <= 0.25*float64(want.Train[i])) {
				t.Errorf("slice %q: training subject %d has %d images, loaded are %d", slice, i, count, want.Train[i])
			}
		}
	}
}
