package probe

import (
	"cmp"
	"context"
	"slices"

	"ballast/run"
	"ballast/stat"
)

const (
	noisyFolds        = 5
	noisyRepeats      = 4 // divisions into folds, whose predictions are averaged
	noisyEpochs       = 10
	noisySubjects     = 512 // at most
	noisyQuick        = 320
	noisyDraws        = 200 // bootstrap samples, and simulated cohorts
	namedSuspects     = 20  // at most
	confidentOneOf    = 3   // the confident third
	simulatedSubjects = 20_000
)

var labelNoise = Probe{
	ID:    "label-noise",
	Title: "looking for wrong labels",
	Explain: "Which labels do the images contradict? Every subject is predicted by networks that were not trained on it. Hard subjects are " +
		"predicted wrong without confidence; many who are confidently predicted otherwise than labelled point to wrong labels.",
	Values: []string{"estimate", "low", "high", "null_mean", "null_high", "suspects", "subjects", "wrong", "confident",
		"confident_wrong", "confident_wrong_least", "lapse", "lapse_low", "lapse_high", "p_lapse"},
	Cost: func(b *Bench) float64 {
		s := b.noiseStudy()
		return noisyRepeats * s.cost(noisyEpochs)
	},
	Run: findLabelNoise,
}

func (b *Bench) noiseStudy() study {
	return b.newStudy("probe/label-noise/subjects", b.fewer(noisySubjects, noisyQuick), noisyFolds)
}

// findLabelNoise estimates the share of wrong labels by the confident joint of
// Northcutt, Jiang and Chuang ("Confident learning: estimating uncertainty in dataset
// labels", JAIR 70, 2021, arXiv 1911.00068) from predictions out of fold, and says
// what the same estimate comes to on clean labels of a task as hard as this one
// (see cleanTask). That is not little: a network that is right for three subjects
// in four makes nearly a fifth of all labels look wrong. What tells wrong labels from
// hard subjects is how sure the network is of what it gets wrong: see lapseModel.
func findLabelNoise(ctx context.Context, b *Bench) (map[string]run.Float, error) {
	s := b.noiseStudy()
	if s.leastOf < 2*noisyFolds {
		return nil, notApplicable("a class has %d subjects; predictions out of fold need %d", s.leastOf, 2*noisyFolds)
	}
	predicted, err := b.predictOutOfFold(ctx, &s)
	if err != nil {
		return nil, err
	}
	labels := s.labels()
	n, wrong := len(labels), predicted.wrong(labels)
	least, _ := stat.Wilson(float64(n-wrong), float64(n), 0.95)
	if !(least > commonest(labels)) {
		return nil, notApplicable("out of fold the network is right for %d of %d subjects, not clearly more than the %.0f %% of the commonest class: it cannot tell which labels are wrong",
			n-wrong, n, 100*commonest(labels))
	}
	values := predicted.summary(labels)
	draws := stat.Bootstrap(b.Plan.Seed, labels, n, noisyDraws, func(sample []int) float64 { return predicted.estimate(labels, sample) })
	low, high := stat.PercentileInterval(draws, stat.ExpandedLevel(0.95, n, len(b.Images.Classes)))
	null := newCleanTask(float64(n-wrong)/float64(n), len(b.Images.Classes), b.Plan.Seed).estimates(labels, b.Plan.Seed, noisyDraws)
	mean, _ := meanAndDeviation(null)
	values["low"], values["high"] = run.Float(low), run.Float(high)
	values["null_mean"], values["null_high"] = run.Float(mean), run.Float(stat.Quantile(null, 0.95))
	predicted.lapse(values, labels, b.Plan.Seed)
	b.nameSuspects(values, &s, predicted, labels)
	return values, nil
}

// predictOutOfFold averages the predictions of networks from several divisions into
// folds.
func (b *Bench) predictOutOfFold(ctx context.Context, s *study) (predictions, error) {
	mean := make(predictions, len(s.subjects))
	for place := range mean {
		mean[place] = make(prediction, len(b.Images.Classes))
	}
	p := b.refitPlan(noisyEpochs)
	for repeat := range noisyRepeats {
		p.Seed = b.Plan.Seed + uint64(repeat)
		o, err := b.outOfFold(ctx, s, p, s.classes, stat.NewStream(b.Plan.Seed, "probe/label-noise/folds", uint64(repeat)))
		if err != nil {
			return nil, err
		}
		for place, row := range o.rows {
			if row == nil {
				return nil, notApplicable("a refit diverged")
			}
			for k, x := range row {
				mean[place][k] += float64(float64(x) / noisyRepeats)
			}
		}
	}
	return mean, nil
}

// labels returns the classes of the study's subjects.
func (s *study) labels() []int {
	labels := make([]int, len(s.subjects))
	for place, number := range s.subjects {
		labels[place] = s.classes[number]
	}
	return labels
}

// commonest is the share of the commonest label.
func commonest(labels []int) float64 {
	counts, most := map[int]int{}, 0
	for _, label := range labels {
		counts[label]++
		most = max(most, counts[label])
	}
	return float64(most) / float64(len(labels))
}

// nameSuspects puts in, as "suspect/ID", the probability of the label of those
// subjects whose labels are the least probable among the suspects.
func (b *Bench) nameSuspects(values map[string]run.Float, s *study, p predictions, labels []int) {
	var suspects []int
	for place, found := range p.disputed(labels, all(len(labels))) {
		if found >= 0 && found != labels[place] {
			suspects = append(suspects, place)
		}
	}
	slices.SortStableFunc(suspects, func(x, y int) int { return cmp.Compare(p[x][labels[x]], p[y][labels[y]]) })
	for _, place := range suspects[:min(namedSuspects, len(suspects))] {
		values["suspect/"+b.Images.PooledSubject(s.subjects[place]).ID] = run.Float(p[place][labels[place]])
	}
}
