package probe

import (
	"context"
	"errors"
	"slices"

	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

const (
	refitBatch    = 8
	refitRate     = 1e-2 // of Adam, for a normalised network
	refitRateBare = 3e-3 // for one without normalisation
)

// refitPlan is how networks are trained that only have to show what can be learnt:
// the run's network, preprocessing, augmentation and starting weights with settings
// that learn fast, so that what is wrong with those of the run plays no part: small
// batches, Adam, no dropout, averaged weights.
func (b *Bench) refitPlan(epochs int) train.Plan {
	p := train.DefaultPlan()
	p.Seed, p.Epochs, p.Batch = b.Plan.Seed, epochs, refitBatch
	p.Data, p.Split, p.Prep, p.Net = b.Plan.Data, b.Plan.Split, b.Plan.Prep, b.Plan.Net
	p.Augment = b.Plan.Augment
	p = p.Undropped()
	p.Optimizer.LR = refitRate
	if p.Net.Norm == "none" {
		p.Optimizer.LR = refitRateBare
	}
	p.Validation.Weights = "averaged"
	p.Views.Every = 0
	return p
}

// A study is subjects of the training and the validation set together, on which
// networks are refitted in folds.
type study struct {
	subjects []int // as of train.Images.PooledSubject
	classes  []int // of each pooled subject
	folds    int
	leastOf  int // subjects in the smallest class
	images   int // of the subjects
}

// newStudy chooses at most so many subjects, each class in proportion and in an
// order from the stream of that name.
func (b *Bench) newStudy(name string, most, folds int) study {
	s := study{folds: folds}
	members := make([][]int, len(b.Images.Classes))
	total := b.Images.Pooled()
	for number := range total {
		class := b.Images.PooledSubject(number).Class
		s.classes = append(s.classes, class)
		members[class] = append(members[class], number)
	}
	share := min(1, float64(most)/float64(total))
	s.leastOf = total
	for class, of := range members {
		if len(of) == 0 {
			continue
		}
		keep := int(float64(share*float64(len(of))) + 0.5)
		s.leastOf = min(s.leastOf, keep)
		for _, i := range stat.NewStream(b.Plan.Seed, name, uint64(class)).Perm(len(of))[:keep] {
			s.subjects = append(s.subjects, of[i])
		}
	}
	slices.Sort(s.subjects)
	for _, number := range s.subjects {
		s.images += b.Images.PooledSubject(number).Images
	}
	return s
}

// cost is that of one refit in every fold, in images passed forward once: training
// in all but one fold, the statistics recomputed there, and prediction.
func (s *study) cost(epochs int) float64 {
	inside := float64(s.images) * float64(s.folds-1) / float64(s.folds)
	return float64(float64(s.folds)*float64(inside*float64(3*epochs+1))) + float64(s.images)
}

// divide deals the subjects of each class out to the folds in turn, in a random
// order that does not depend on the classes. It returns the fold of each subject.
func (s *study) divide(classes []int, stream *stat.Stream) []int {
	fold, dealt := make([]int, len(s.subjects)), map[int]int{}
	start := 0
	for _, place := range stream.Perm(len(s.subjects)) {
		class := classes[s.subjects[place]]
		if _, met := dealt[class]; !met {
			dealt[class] = start
			start++
		}
		fold[place] = dealt[class] % s.folds
		dealt[class]++
	}
	return fold
}

// held returns the subjects of a fold by their pooled numbers and by their places in
// the study.
func (s *study) held(folds []int, fold int) (numbers, places []int) {
	for place, number := range s.subjects {
		if folds[place] == fold {
			numbers, places = append(numbers, number), append(places, place)
		}
	}
	return numbers, places
}

// An outcome is what refits predict of the subjects that they were not trained on.
type outcome struct {
	rows     []run.Row // of each subject of the study
	fold     []int
	training float64 // mean accuracy on the subjects trained on
}

// outOfFold refits a network for every fold, trained on the others with the given
// classes, by pooled number.
func (b *Bench) outOfFold(ctx context.Context, s *study, p train.Plan, classes []int, stream *stat.Stream) (outcome, error) {
	o := outcome{rows: make([]run.Row, len(s.subjects)), fold: s.divide(classes, stream)}
	for fold := range s.folds {
		training, validation, places, err := b.refitFold(ctx, s, p, classes, o.fold, fold)
		if errors.Is(err, train.ErrDiverged) {
			continue
		}
		if err != nil {
			return o, err
		}
		o.training += float64(training.Accuracy) / float64(s.folds)
		for i, place := range places {
			o.rows[place] = validation.Probabilities[i]
		}
	}
	return o, nil
}

// refitFold trains on all subjects of the study but those of one fold, whose places
// it returns, and evaluates both.
func (b *Bench) refitFold(ctx context.Context, s *study, p train.Plan, classes, folds []int, fold int) (training, validation run.Evaluation, places []int, err error) {
	var inside []int
	for place, number := range s.subjects {
		if folds[place] != fold {
			inside = append(inside, number)
		}
	}
	outside, places := s.held(folds, fold)
	training, validation, err = train.Refit(ctx, p, b.Images.Divided(&p, inside, outside, classes), b.Threads, b.Worked)
	return training, validation, places, err
}

// auroc is the area under the ROC curve of each class against the others, the mean
// over classes and over folds.
func (s *study) auroc(o outcome, classes []int) float64 {
	sum, count := 0.0, 0.0
	for fold := range s.folds {
		for class := range slices.Max(classes) + 1 {
			if area, known := s.area(o, classes, fold, class); known {
				sum += area
				count++
			}
		}
	}
	return sum / count
}

// area is that of one class in one fold, one half where the refit diverged; it is
// not known where the fold holds no subjects of the class, or no others.
func (s *study) area(o outcome, classes []int, fold, class int) (area float64, known bool) {
	var scores []float64
	var positive []bool
	members, diverged := 0, false
	for place, number := range s.subjects {
		if o.fold[place] != fold {
			continue
		}
		if o.rows[place] == nil {
			diverged = true
			continue
		}
		scores = append(scores, float64(o.rows[place][class]))
		positive = append(positive, classes[number] == class)
		if classes[number] == class {
			members++
		}
	}
	if diverged {
		return 0.5, true
	}
	if members == 0 || members == len(scores) {
		return 0, false
	}
	area, _ = stat.AUROC(scores, positive)
	return area, true
}
