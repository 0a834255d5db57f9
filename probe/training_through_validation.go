package probe

import (
	"context"
	"math"

	"ballast/prep"
	"ballast/run"
	"ballast/train"
)

var trainingThroughValidation = Probe{
	ID:    "training-through-validation",
	Title: "exchanging the pipelines",
	Explain: "Are training and validation images prepared alike? Training subjects are sent through the preprocessing of the " +
		"validation set, and the reverse. A network that knows its training subjects must know them there too.",
	Values: []string{"input_difference",
		"train_train_loss", "train_train_accuracy", "train_validation_loss", "train_validation_accuracy",
		"validation_train_loss", "validation_train_accuracy", "validation_validation_loss", "validation_validation_accuracy"},
	Cost: func(b *Bench) float64 { return 2 * (samples(&b.Images.Train) + samples(&b.Images.Validation)) },
	Run: func(ctx context.Context, b *Bench) (map[string]run.Float, error) {
		values := map[string]run.Float{"input_difference": b.inputDifference()}
		for _, set := range []*train.Set{&b.Images.Train, &b.Images.Validation} {
			for _, way := range []struct {
				name     string
				pipeline func(*prep.Image) *prep.Image
			}{{"train", b.Plan.AsTraining}, {"validation", b.Plan.AsValidation}} {
				e, err := b.Lab.Evaluate(ctx, set, train.Look{Alter: through(way.pipeline)})
				if err != nil {
					return nil, err
				}
				put(values, set.Name+"_"+way.name, e)
			}
		}
		return values, nil
	},
}

// through sends every image through a pipeline, from where the pipelines of the
// sets part.
func through(pipeline func(*prep.Image) *prep.Image) train.Alteration {
	return func(set *train.Set, sample int, voxels []float32) {
		copy(voxels, pipeline(set.Samples[sample].Prepared()).Data)
	}
}

// inputDifference is the root mean square difference of the training images by the
// two pipelines, divided by their standard deviation over all voxels as training
// sees them; NaN for images of one colour that differ.
func (b *Bench) inputDifference() run.Float {
	set := &b.Images.Train
	type moments struct{ count, sum, squares, differences float64 }
	each := make([]moments, len(set.Samples))
	b.Lab.InParallel(len(each), func(i int) {
		one := b.Plan.AsTraining(set.Samples[i].Prepared()).Data
		other := b.Plan.AsValidation(set.Samples[i].Prepared()).Data
		m := moments{count: float64(len(one))}
		for v, x := range one {
			value, difference := float64(x), float64(other[v])-float64(x)
			m.sum += value
			m.squares += float64(value * value)
			m.differences += float64(difference * difference)
		}
		each[i] = m
	})
	var all moments
	for _, m := range each {
		all = moments{all.count + m.count, all.sum + m.sum, all.squares + m.squares, all.differences + m.differences}
	}
	if all.differences == 0 {
		return 0
	}
	mean := all.sum / all.count
	return run.Float(math.Sqrt(all.differences / all.count / (all.squares/all.count - float64(mean*mean))))
}
