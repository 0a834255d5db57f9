package train

import (
	"context"
	"fmt"
	"time"

	"ballast/cohort"
	"ballast/net"
	"ballast/prep"
	"ballast/run"
)

// An Estimate is what a run will cost, told without preparing the images.
type Estimate struct {
	Parameters int64         `json:"parameters"`
	Steps      int           `json:"steps_per_epoch"`
	StepFLOPs  float64       `json:"flops_per_step"` // nominal: forward, backward data and backward weights
	Bytes      int64         `json:"bytes"`          // memory of the program with network, activations and prepared images
	Step       time.Duration `json:"step_ns"`        // one training step, measured here on a made-up image
	Total      time.Duration `json:"total_ns"`       // all epochs with their views, without reading the images
}

// Sizes is what the cost of a run depends on beside its plan.
type Sizes struct {
	Classes    int
	Covariates int // numbers that encode those of a subject

	Train, Validation, Test []int // images of each subject
}

// SizesOf returns the sizes of a split cohort, before its images are prepared. Only
// where all slices of volumes are used does it measure some of them, as Resolve.
func SizesOf(ctx context.Context, c *cohort.Cohort, split cohort.Split, p Plan, r Reading) (Sizes, error) {
	covariates, err := p.fitCovariates(c, split)
	if err != nil {
		return Sizes{}, err
	}
	each := 1.0
	if training := trainingImages(c, split); p.Prep.Slice == "all" {
		m, err := measure(ctx, &p, training, r)
		if err != nil {
			return Sizes{}, err
		}
		each = float64(m.samples(&p, len(training))) / float64(len(training))
	}
	images := func(subjects []int) (counts []int) {
		for _, s := range subjects {
			counts = append(counts, max(1, int(each*float64(len(c.Subjects[s].Images)))))
		}
		return counts
	}
	return Sizes{
		Classes: len(c.Classes), Covariates: covariates.Width(),
		Train: images(split.Train), Validation: images(split.Validation), Test: images(split.Test),
	}, nil
}

// EstimateCost measures one training step and one evaluation of a resolved
// plan on this machine and scales them to the whole run.
func EstimateCost(p Plan, sizes Sizes, threads int) (Estimate, error) {
	images := placeholders(p, sizes)
	t, err := newTrainer(p, images, Options{Threads: threads})
	if err != nil {
		return Estimate{}, err
	}
	defer t.pool.Close()
	batches := len(parts(t.units(), p.Batch))
	first := source{set: &images.Train, units: t.order(1), bag: t.bags(1, nil)}
	largest := part{0, (t.units() + batches - 1) / batches} // as many units as the largest batch has
	augmented := first
	augmented.draw = func(_, sample int) prep.Draw { return p.DrawOf(sample, 1) }
	batch := fastest(3, func() {
		t.fill(&t.batch, augmented, largest)
		t.trainBatch(first.units[:largest.to], true, &tally{})
	})
	forward := fastest(3, func() {
		t.fill(&t.batch, first, largest)
		t.net.Forward(&t.batch, net.Inference, 0)
	})
	count := t.batch.N
	cost := t.net.Cost(count)
	together := min(p.Optimizer.Accumulate, batches) // batches to a step
	trained := float64(t.trainingImages() * p.Epochs)
	training := batch.Seconds() / float64(count) * trained
	evaluating := forward.Seconds() / float64(count) * (t.work() - 3*trained)
	return Estimate{
		Parameters: cost.Parameters,
		Steps:      t.stepsPerEpoch(),
		StepFLOPs:  float64(cost.StepFLOPs) * float64(together),
		Bytes:      t.bytes(),
		Step:       batch * time.Duration(together),
		Total:      time.Duration((training + evaluating) * float64(time.Second)),
	}, nil
}

// program is the memory of ballast itself, about what a minimal run takes.
const program = 16 << 20

// bytes is the memory of a run once its images are read. Reading takes more only
// where single files are very large.
func (t *trainer) bytes() int64 {
	batch := t.largestBatch()
	image := int64(len(t.images.Train.Samples[0].Image.Data))
	images := len(t.images.Train.Samples) + len(t.images.Validation.Samples) + len(t.images.Test.Samples)
	parameters := int64(0)
	for _, param := range t.net.Params() {
		parameters += int64(len(param.Value))
	}
	copies := int64(10) // averaged weights and the room of their gradients, two of the optimiser, two of the watch; in the files' layout the weights of both networks and the optimiser's two
	if t.plan.Optimizer.Accumulate > 1 {
		copies++
	}
	return program + t.net.Cost(batch).Bytes + 4*(copies*parameters+image*int64(2*batch+images))
}

// fastest is the shortest of n timings of f, after one run to warm up.
func fastest(n int, f func()) time.Duration {
	f()
	best := time.Duration(1<<63 - 1)
	for range n {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return best
}

// placeholders stands in for a cohort: sets of the right sizes that share one
// image of the right shape.
func placeholders(p Plan, sizes Sizes) *Images {
	config := p.PrepConfig()
	image := &prep.Image{C: max(1, config.Channels), D: config.Grid[0], H: config.Grid[1], W: config.Grid[2]}
	image.Data = make([]float32, image.C*image.D*image.H*image.W)
	for i := range image.Data {
		image.Data[i] = float32(i%7) - 3
	}
	set := func(name string, counts []int) Set {
		s := Set{Name: name}
		for i, count := range counts {
			class := i % sizes.Classes
			s.Subjects = append(s.Subjects, run.Subject{ID: fmt.Sprint(i), Class: class, Images: count})
			for range count {
				s.Samples = append(s.Samples, Sample{Subject: i, Class: class, Image: image})
			}
			if sizes.Covariates > 0 {
				s.Covariates = append(s.Covariates, make([]float32, sizes.Covariates))
			}
		}
		return s
	}
	return &Images{
		Classes: make([]string, sizes.Classes), Covariates: anyCovariates(sizes.Covariates),
		Train: set(run.Train, sizes.Train), Validation: set(run.Validation, sizes.Validation), Test: set(run.Test, sizes.Test),
	}
}

// anyCovariates stands in for covariates that are encoded in so many numbers.
func anyCovariates(width int) *Covariates {
	if width == 0 {
		return nil
	}
	c := &Covariates{}
	for range width {
		c.Columns = append(c.Columns, Covariate{Number: &Scale{}})
	}
	return c
}
