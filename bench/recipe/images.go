package main

import (
	"math"

	"ballast/phantom"
	"ballast/prep"
	"ballast/run"
	"ballast/train"
)

// phantomImages makes the subjects in memory and completes the plan's grid from the
// training subjects.
func phantomImages(config phantom.Config, plan *train.Plan, size [2]int, fresh int) (*train.Images, error) {
	var extents []prep.Extent
	for k := range size[0] {
		subject := config.Subject(k)
		extent, err := prep.Measure(subject.Volume, subject.Mask, plan.Prep.Crop, plan.Prep.Margin)
		if err != nil {
			return nil, err
		}
		extents = append(extents, extent)
	}
	grid, spacing := prep.Choose(extents, 3, 16*16*16)
	plan.Prep.Grid, plan.Prep.Spacing = grid[:], spacing[:]
	images := &train.Images{Classes: []string{"non-responder", "responder"}, More: []train.Set{{}}}
	for _, part := range []struct {
		set     *train.Set
		name    string
		from, n int
	}{
		{&images.Train, run.Train, 0, size[0]},
		{&images.Validation, run.Validation, size[0], size[1]},
		{&images.More[0], freshSet, firstFresh, fresh},
	} {
		part.set.Name = part.name
		for k := part.from; k < part.from+part.n; k++ {
			subject := config.Subject(k)
			image, err := prep.Prepare(subject.Volume, subject.Mask, plan.PrepConfig())
			if err != nil {
				return nil, err
			}
			part.set.Add(run.Subject{ID: subject.ID, Class: subject.Label}, image)
		}
	}
	return images, nil
}

// A recorder keeps the logged accuracies of a run, in points.
type recorder struct {
	train.Memory // whose epochs stay empty
	validation   []float64
	fresh        []float64
}

func (r *recorder) Append(e run.Epoch) error {
	r.validation = append(r.validation, 100*float64(e.Evaluation(run.Logged, run.Validation).Accuracy))
	r.fresh = append(r.fresh, 100*float64(e.Evaluation(run.Logged, freshSet).Accuracy))
	return nil
}

func (r *recorder) outcome() outcome {
	late := r.fresh[len(r.fresh)-max(1, len(r.fresh)/3):]
	o := outcome{jitter: jitter(r.validation), truth: jitter(r.fresh), last: r.fresh[len(r.fresh)-1]}
	for _, a := range late {
		o.late += a / float64(len(late))
	}
	return o
}

// jitter is the root of half the mean squared step.
func jitter(curve []float64) float64 {
	sum := 0.0
	for t := 1; t < len(curve); t++ {
		step := curve[t] - curve[t-1]
		sum += step * step / 2
	}
	return math.Sqrt(sum / float64(len(curve)-1))
}
