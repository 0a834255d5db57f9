package probe

import (
	"context"
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

var shortcut = Probe{
	ID:    "shortcut",
	Title: "looking for shortcuts",
	Explain: "Does brightness or the site give the label away, and does the network live on it? The label is predicted from each " +
		"alone, and the validation images are shown to the network once more, all of the same mean and contrast.",
	Values: []string{"auroc_intensity", "p_intensity", "auroc_site", "p_site",
		"accuracy_as_is", "loss_as_is", "accuracy_neutral", "loss_neutral", "p_neutral"},
	Cost: func(b *Bench) float64 { return samples(&b.Images.Train) + float64(3*samples(&b.Images.Validation)) },
	Run: func(ctx context.Context, b *Bench) (map[string]run.Float, error) {
		values := map[string]run.Float{}
		if err := b.withoutNetwork(ctx, values); err != nil {
			return nil, err
		}
		asIs, err := b.Lab.Evaluate(ctx, &b.Images.Validation, train.Look{})
		if err != nil {
			return nil, err
		}
		neutral, err := b.Lab.Evaluate(ctx, &b.Images.Validation, train.Look{Alter: b.neutralise(&b.Images.Validation)})
		if err != nil {
			return nil, err
		}
		values["accuracy_as_is"], values["accuracy_neutral"] = asIs.Accuracy, neutral.Accuracy
		values["loss_as_is"], values["loss_neutral"] = asIs.Loss, neutral.Loss
		lost, won := 0, 0
		for i, subject := range b.Images.Validation.Subjects {
			before, after := asIs.Probabilities[i].Class() == subject.Class, neutral.Probabilities[i].Class() == subject.Class
			switch {
			case before && !after:
				lost++
			case after && !before:
				won++
			}
		}
		values["p_neutral"] = run.Float(stat.McNemar(lost, won))
		return values, nil
	},
}

const (
	labelPermutations = 999
	// Where a fifth of the first permutations are as good as the labels, more would
	// only tell one large p-value from another.
	firstPermutations = 99
	settled           = 0.2
	labelFolds        = 5
	labelRidge        = 1.0 // of the logistic regression on standardised features
)

// withoutNetwork predicts the label of the training and validation subjects from
// the brightness of their images and from their site.
func (b *Bench) withoutNetwork(ctx context.Context, values map[string]run.Float) error {
	var classes []int
	var brightness [][]float64
	var sites []string
	for _, set := range []*train.Set{&b.Images.Train, &b.Images.Validation} {
		brightness = append(brightness, b.brightness(set)...)
		for _, subject := range set.Subjects {
			classes, sites = append(classes, subject.Class), append(sites, subject.Site)
		}
	}
	guess := &guessing{b: b, count: len(b.Images.Classes), folds: foldsFor(classes, len(b.Images.Classes))}
	if guess.folds < 2 {
		return notApplicable("a class has fewer than two subjects")
	}
	b.Worked(len(b.Images.Train.Samples) + len(b.Images.Validation.Samples))
	var err error
	if values["auroc_intensity"], values["p_intensity"], err = guess.test(ctx, classes, logisticOf(brightness)); err != nil {
		return err
	}
	known := slices.Clone(sites)
	slices.Sort(known)
	if known = slices.Compact(known); len(known) > 1 {
		values["auroc_site"], values["p_site"], err = guess.test(ctx, classes, sharesOf(sites))
	}
	return err
}

// brightness is mean and standard deviation of the images of each subject as the
// network sees them, brought to mean 0 and standard deviation 1 within the set, so
// that sets that are prepared differently do not differ.
func (b *Bench) brightness(set *train.Set) [][]float64 {
	each := make([][2]float64, len(set.Samples))
	b.Lab.InParallel(len(each), func(i int) { each[i][0], each[i][1] = moments(set.Samples[i].Image.Data) })
	rows := make([][]float64, len(set.Subjects))
	for i := range rows {
		rows[i] = make([]float64, 2)
	}
	counts := make([]float64, len(rows))
	for i, sample := range set.Samples {
		counts[sample.Subject]++
		rows[sample.Subject][0] += each[i][0]
		rows[sample.Subject][1] += each[i][1]
	}
	for i := range rows {
		rows[i][0] /= counts[i]
		rows[i][1] /= counts[i]
	}
	scaling := stat.FitScaling(rows)
	for i := range rows {
		rows[i] = scaling.Apply(rows[i])
	}
	return rows
}

// foldsFor is the number of folds in which every class can be: at most labelFolds.
func foldsFor(classes []int, count int) int {
	members := make([]int, count)
	for _, class := range classes {
		members[class]++
	}
	return min(labelFolds, slices.Min(members))
}

// A guesser learns from the subjects that are not held out, and returns the scores
// of each class for the others.
type guesser func(classes []int, count int, held []bool) [][]float64

// guessing predicts labels by cross-validation.
type guessing struct {
	b            *Bench
	count, folds int // classes
}

// test returns the area under the ROC curve of cross-validated guesses, with more
// classes than two the mean over classes, each against the others, and its p-value
// against labels that are permuted.
func (g *guessing) test(ctx context.Context, classes []int, guess guesser) (area, p run.Float, err error) {
	observed := g.area(classes, guess)
	null := make([]float64, labelPermutations)
	permute := func(from, to int) {
		g.b.Lab.InParallel(to-from, func(n int) {
			if ctx.Err() == nil {
				null[from+n] = g.area(g.permuted(classes, from+n), guess)
			}
		})
	}
	permute(0, firstPermutations)
	if early := stat.PermutationP(observed, null[:firstPermutations]); early >= settled {
		p = run.Float(early)
	} else {
		permute(firstPermutations, labelPermutations)
		p = run.Float(stat.PermutationP(observed, null))
	}
	if ctx.Err() != nil {
		return 0, 0, train.ErrInterrupted
	}
	return run.Float(observed), p, nil
}

// permuted deals the classes out anew.
func (g *guessing) permuted(classes []int, number int) []int {
	dealt := make([]int, len(classes))
	for i, from := range stat.NewStream(g.b.Plan.Seed, "probe/shortcut/permutation", uint64(number)).Perm(len(classes)) {
		dealt[i] = classes[from]
	}
	return dealt
}

// area divides the subjects into folds, class by class, and pools the guesses.
func (g *guessing) area(classes []int, guess guesser) float64 {
	fold := make([]int, len(classes))
	dealt := make([]int, g.count)
	for _, i := range stat.NewStream(g.b.Plan.Seed, "probe/shortcut/folds").Perm(len(classes)) {
		fold[i] = dealt[classes[i]] % g.folds
		dealt[classes[i]]++
	}
	scores := make([][]float64, len(classes))
	held := make([]bool, len(classes))
	for k := range g.folds {
		for i := range held {
			held[i] = fold[i] == k
		}
		guessed := guess(classes, g.count, held)
		for i := range held {
			if held[i] {
				scores[i] = guessed[i]
			}
		}
	}
	return meanArea(scores, classes, g.count)
}

// meanArea is the mean over classes of the area under the ROC curve of each against
// the others; of two classes that of the second.
func meanArea(scores [][]float64, classes []int, count int) float64 {
	sum, areas := 0.0, 0.0
	column, positive := make([]float64, len(scores)), make([]bool, len(scores))
	for k := range count {
		if count == 2 && k == 0 {
			continue
		}
		for i := range scores {
			column[i], positive[i] = scores[i][k], classes[i] == k
		}
		area, _ := stat.AUROC(column, positive)
		sum += area
		areas++
	}
	return sum / areas
}

// logisticOf guesses by logistic regression on features.
func logisticOf(features [][]float64) guesser {
	return func(classes []int, count int, held []bool) [][]float64 {
		var rows [][]float64
		var truth []int
		for i := range features {
			if !held[i] {
				rows, truth = append(rows, features[i]), append(truth, classes[i])
			}
		}
		scores := make([][]float64, len(features))
		fit, err := stat.FitLogistic(rows, truth, count, labelRidge)
		for i := range features {
			if err != nil { // features that are no numbers tell nothing
				scores[i] = make([]float64, count)
			} else if held[i] {
				scores[i] = fit.Predict(features[i])
			}
		}
		return scores
	}
}

// sharesOf guesses by the share that each class has among the others of the same
// group, with one more subject of all classes' shares in each.
func sharesOf(groups []string) guesser {
	return func(classes []int, count int, held []bool) [][]float64 {
		all, total := make([]float64, count), 0.0
		within, sizes := map[string][]float64{}, map[string]float64{}
		for i, group := range groups {
			if within[group] == nil {
				within[group] = make([]float64, count)
			}
			if !held[i] {
				all[classes[i]]++
				total++
				within[group][classes[i]]++
				sizes[group]++
			}
		}
		scores := make([][]float64, len(groups))
		for i, group := range groups {
			scores[i] = make([]float64, count)
			for k := range count {
				scores[i][k] = (within[group][k] + all[k]/total) / (sizes[group] + 1)
			}
		}
		return scores
	}
}

// neutralise brings every image of a set to the mean and the standard deviation
// that its images have on average.
func (b *Bench) neutralise(set *train.Set) train.Alteration {
	each := make([][2]float64, len(set.Samples))
	b.Lab.InParallel(len(each), func(i int) { each[i][0], each[i][1] = moments(set.Samples[i].Image.Data) })
	mean, deviation := 0.0, 0.0
	for _, m := range each {
		mean += m[0] / float64(len(each))
		deviation += m[1] / float64(len(each))
	}
	return func(_ *train.Set, sample int, voxels []float32) {
		own := each[sample]
		scale := deviation / math.Max(own[1], 1e-12)
		for v, x := range voxels {
			voxels[v] = float32(float64((float64(x)-own[0])*scale) + mean)
		}
	}
}
