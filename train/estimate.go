package train

import (
	"fmt"
	"time"

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

// EstimateCost measures one training step and one evaluation of a resolved
// plan on this machine and scales them to the whole run. train, validation and
// test are numbers of images.
func EstimateCost(p Plan, classes, train, validation, test, threads int) (Estimate, error) {
	images := placeholders(p, classes, train, validation, test)
	t, err := newTrainer(p, images, Options{Threads: threads})
	if err != nil {
		return Estimate{}, err
	}
	defer t.pool.Close()
	batches := len(parts(train, p.Batch))
	indices := make([]int, (train+batches-1)/batches) // as many as the largest batch has
	draw := func(_, sample int) prep.Draw { return p.DrawOf(sample, 1) }
	batch := fastest(3, func() {
		t.fill(&t.batch, &images.Train, indices, draw)
		t.trainBatch(indices, true, &tally{})
	})
	forward := fastest(3, func() {
		t.fill(&t.batch, &images.Train, indices, nil)
		t.net.Forward(&t.batch, net.Inference, 0)
	})
	cost := t.net.Cost(len(indices))
	together := min(p.Optimizer.Accumulate, batches) // batches to a step
	training := batch.Seconds() * float64(p.Epochs*batches)
	evaluating := forward.Seconds() / float64(len(indices)) * (t.work() - float64(3*train*p.Epochs))
	return Estimate{
		Parameters: cost.Parameters,
		Steps:      p.stepsPerEpoch(train),
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
	copies := int64(6) // averaged weights and the room of their gradients, two of the optimiser, two of a file
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
func placeholders(p Plan, classes, train, validation, test int) *Images {
	config := p.PrepConfig()
	image := &prep.Image{C: max(1, config.Channels), D: config.Grid[0], H: config.Grid[1], W: config.Grid[2]}
	image.Data = make([]float32, image.C*image.D*image.H*image.W)
	for i := range image.Data {
		image.Data[i] = float32(i%7) - 3
	}
	set := func(name string, n int) Set {
		s := Set{Name: name}
		for i := range n {
			s.Subjects = append(s.Subjects, run.Subject{ID: fmt.Sprint(i), Images: 1})
			s.Samples = append(s.Samples, Sample{Subject: i, Class: i % classes, Image: image})
		}
		return s
	}
	return &Images{
		Classes: make([]string, classes),
		Train:   set(run.Train, train), Validation: set(run.Validation, validation), Test: set(run.Test, test),
	}
}
