package probe

import (
	"context"
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

const (
	permutations      = 39 // at most
	permutationsQuick = 19
	permutedSubjects  = 128 // at most
	permutedQuick     = 64
	permutedEpochs    = 10
	permutedFolds     = 2
	// enoughAbove is how many refits to permuted labels do as well as that to the
	// true ones before the answer is clear.
	enoughAbove = 5
)

var labelPermutation = Probe{
	ID:    "label-permutation",
	Title: "refitting to permuted labels",
	Explain: "Is there anything to learn? Networks are refitted to the labels as they are and to the same labels dealt out at random; only " +
		"where the true ones are predicted better, for subjects not trained on, do the images tell something of the label.",
	Values: []string{"score", "p", "null_mean", "null_deviation", "null_high", "refits", "subjects", "training_accuracy",
		"null_training_accuracy"},
	Cost: func(b *Bench) float64 {
		s := b.permutationStudy()
		return float64(1+b.fewer(permutations, permutationsQuick)) * s.cost(permutedEpochs)
	},
	Run: permuteLabels,
}

// permutationStudy takes training and validation subjects together, in two halves,
// each predicted by a network that is trained on the other. The validation set alone
// is too small to tell: with 15 subjects an area of 0.75 is within chance. Two
// halves cost as much as one refit to all subjects, and every subject is scored.
func (b *Bench) permutationStudy() study {
	return b.newStudy("probe/label-permutation/subjects", b.fewer(permutedSubjects, permutedQuick), permutedFolds)
}

// permuteLabels is the permutation test of Ojala and Garriga ("Permutation tests for
// studying classifier performance", JMLR 11, 2010, test 1): classes are permuted
// over all subjects of the study, and everything that follows, the division into
// halves included, is done with them as with the true ones. It ends early by the
// rule of Besag and Clifford ("Sequential Monte Carlo p-values", Biometrika 78,
// 1991): at the l-th permutation, if that is the h-th to do as well, with p = h/l.
func permuteLabels(ctx context.Context, b *Bench) (map[string]run.Float, error) {
	s := b.permutationStudy()
	if s.leastOf < 2*permutedFolds {
		return nil, notApplicable("a class has %d subjects; refits in two halves need %d", s.leastOf, 2*permutedFolds)
	}
	p := b.refitPlan(permutedEpochs)
	fit := func(classes []int) (score, training float64, err error) {
		o, err := b.outOfFold(ctx, &s, p, classes, stat.NewStream(b.Plan.Seed, "probe/label-permutation/halves"))
		if err != nil {
			return 0, 0, err
		}
		return s.auroc(o, classes), o.training, nil
	}
	score, training, err := fit(s.classes)
	if err != nil {
		return nil, err
	}
	test := sequential{most: b.fewer(permutations, permutationsQuick), enough: enoughAbove}
	learnt := 0.0
	for !test.ended() {
		permuted, accuracy, err := fit(s.permuted(stat.NewStream(b.Plan.Seed, "probe/label-permutation", uint64(len(test.null)))))
		if err != nil {
			return nil, err
		}
		test.add(permuted, score)
		learnt += accuracy
	}
	mean, deviation := meanAndDeviation(test.null)
	return map[string]run.Float{
		"score": run.Float(score), "p": run.Float(test.p()),
		"null_mean": run.Float(mean), "null_deviation": run.Float(deviation),
		"null_high":              run.Float(stat.Quantile(test.null, 0.95)),
		"refits":                 run.Float(len(test.null)),
		"subjects":               run.Float(len(s.subjects)),
		"training_accuracy":      run.Float(training),
		"null_training_accuracy": run.Float(learnt / float64(len(test.null))),
	}, nil
}

// permuted returns the classes of all pooled subjects, those of the study's dealt
// out anew among them.
func (s *study) permuted(stream *stat.Stream) []int {
	classes := slices.Clone(s.classes)
	for place, from := range stream.Perm(len(s.subjects)) {
		classes[s.subjects[place]] = s.classes[s.subjects[from]]
	}
	return classes
}

// A sequential test compares a score with those of permutations, one by one.
type sequential struct {
	most, enough int
	null         []float64
	above        int // that are not below the score
}

func (t *sequential) ended() bool { return len(t.null) == t.most || t.above == t.enough }

func (t *sequential) add(permuted, score float64) {
	t.null = append(t.null, permuted)
	if permuted >= score {
		t.above++
	}
}

func (t *sequential) p() float64 {
	if t.above == t.enough {
		return float64(t.above) / float64(len(t.null))
	}
	return float64(1+t.above) / float64(1+len(t.null))
}

// meanAndDeviation returns the mean and the standard deviation, divisor n - 1.
func meanAndDeviation(values []float64) (mean, deviation float64) {
	n := float64(len(values))
	for _, x := range values {
		mean += x
	}
	mean /= n
	for _, x := range values {
		deviation += float64((x - mean) * (x - mean))
	}
	return mean, math.Sqrt(deviation / (n - 1))
}
