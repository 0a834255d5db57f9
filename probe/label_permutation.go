package probe

import (
	"context"
	"errors"
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

const (
	permutations     = 999
	permutedSubjects = 512 // at most
	permutedQuick    = 320
	permutedEpochs   = 20
	permutedFolds    = 5
)

var labelPermutation = Probe{
	ID:    "label-permutation",
	Title: "looking for anything to learn",
	Explain: "Is there anything to learn? Every subject is predicted by a network that learnt the others by heart; only where the labels as " +
		"they are agree better with these predictions than labels dealt out at random do the images tell something of the label.",
	Values: []string{"score", "p", "null_mean", "null_deviation", "null_high", "permutations", "subjects", "training_accuracy",
		"permuted_training_accuracy"},
	Cost: func(b *Bench) float64 {
		s := b.permutationStudy()
		return s.cost(permutedEpochs) * (1 + 1/float64(permutedFolds)) // and one fold with permuted labels
	},
	Run: permuteLabels,
}

// permutationStudy takes training and validation subjects together, each predicted
// by a network that was trained on four fifths of the others. The validation set
// alone is too small to tell: with 15 subjects an area of 0.75 is within chance.
func (b *Bench) permutationStudy() study {
	return b.newStudy("probe/label-permutation/subjects", b.fewer(permutedSubjects, permutedQuick), permutedFolds)
}

// heartPlan is the refits' plan without augmentation and for twice the epochs, so that
// a network learns its subjects by heart whatever their labels: one that does not
// could not have learnt a signal either.
func (b *Bench) heartPlan() train.Plan {
	p := b.refitPlan(permutedEpochs)
	p.Augment = train.Augment{}
	return p
}

// permuteLabels tests whether labels and predictions out of fold are independent.
// Given the division into folds, a fold's labels have no part in the network that
// predicts them, so that under independence every order of them within their fold is
// as probable as the one that is there (Ojala and Garriga, "Permutation tests for
// studying classifier performance", JMLR 11, 2010). Refitting to every permutation
// would ask the same question at a thousand times the cost.
func permuteLabels(ctx context.Context, b *Bench) (map[string]run.Float, error) {
	s := b.permutationStudy()
	if s.leastOf < 2*permutedFolds {
		return nil, notApplicable("a class has %d subjects; refits in %d folds need %d", s.leastOf, permutedFolds, 2*permutedFolds)
	}
	o, err := b.outOfFold(ctx, &s, b.heartPlan(), s.classes, stat.NewStream(b.Plan.Seed, "probe/label-permutation/folds"))
	if err != nil {
		return nil, err
	}
	byHeart, err := b.learnPermuted(ctx, &s, o)
	if err != nil {
		return nil, err
	}
	score := s.auroc(o, s.classes)
	null := make([]float64, permutations)
	for k := range null {
		null[k] = s.auroc(o, s.permuted(o, stat.NewStream(b.Plan.Seed, "probe/label-permutation", uint64(k))))
	}
	mean, deviation := meanAndDeviation(null)
	return map[string]run.Float{
		"score": run.Float(score), "p": run.Float(stat.PermutationP(score, null)),
		"null_mean": run.Float(mean), "null_deviation": run.Float(deviation),
		"null_high":                  run.Float(stat.Quantile(null, 0.95)),
		"permutations":               permutations,
		"subjects":                   run.Float(len(s.subjects)),
		"training_accuracy":          run.Float(o.training),
		"permuted_training_accuracy": run.Float(byHeart),
	}, nil
}

// learnPermuted returns the accuracy that a refit reaches on its own subjects where
// their labels say nothing: how much the network learns by heart.
func (b *Bench) learnPermuted(ctx context.Context, s *study, o outcome) (float64, error) {
	classes := s.permuted(o, stat.NewStream(b.Plan.Seed, "probe/label-permutation/by-heart"))
	training, _, _, err := b.refitFold(ctx, s, b.heartPlan(), classes, o.fold, 0)
	if errors.Is(err, train.ErrDiverged) {
		return math.NaN(), nil
	}
	return float64(training.Accuracy), err
}

// permuted returns the classes of all pooled subjects, those of the study's dealt
// out anew within each fold.
func (s *study) permuted(o outcome, stream *stat.Stream) []int {
	classes := slices.Clone(s.classes)
	for fold := range s.folds {
		members, _ := s.held(o.fold, fold)
		for place, from := range stream.Perm(len(members)) {
			classes[members[place]] = s.classes[members[from]]
		}
	}
	return classes
}

// average is the mean; NaN of no values.
func average(values []float64) float64 {
	sum := 0.0
	for _, x := range values {
		sum += x
	}
	return sum / float64(len(values))
}

// meanAndDeviation returns the mean and the standard deviation, divisor n - 1.
func meanAndDeviation(values []float64) (mean, deviation float64) {
	n := float64(len(values))
	mean = average(values)
	for _, x := range values {
		deviation += float64((x - mean) * (x - mean))
	}
	return mean, math.Sqrt(deviation / (n - 1))
}
