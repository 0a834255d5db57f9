package probe

import (
	"context"
	"math"
	"slices"

	"ballast/prep"
	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

var leakage = Probe{
	ID:    "leakage",
	Title: "looking for shared images",
	Explain: "Are validation images also trained on? Every validation image is held against every training image, first coarsely " +
		"and then voxel by voxel, and the subjects with a double are scored apart from the others.",
	Values: []string{"pairs", "training_pairs", "limit", "nearest", "share", "accuracy_shared", "accuracy_others"},
	Cost:   func(b *Bench) float64 { return 2*samples(&b.Images.Train) + 2*samples(&b.Images.Validation) },
	Run: func(ctx context.Context, b *Bench) (map[string]run.Float, error) {
		c := b.compareImages()
		c.limit = b.strangers(c)
		pairs, nearest, err := b.doubles(ctx, c, c.validation)
		if err != nil {
			return nil, err
		}
		within, _, err := b.doubles(ctx, c, c.training)
		if err != nil {
			return nil, err
		}
		e, err := b.Lab.Evaluate(ctx, &b.Images.Validation, train.Look{})
		if err != nil {
			return nil, err
		}
		shared := make([]bool, len(b.Images.Validation.Subjects))
		for _, p := range pairs {
			shared[b.Images.Validation.Samples[p.other].Subject] = true
		}
		values := map[string]run.Float{"pairs": run.Float(len(pairs)), "training_pairs": run.Float(len(within)) / 2,
			"limit": run.Float(c.limit), "nearest": nearest}
		values["share"], values["accuracy_shared"], values["accuracy_others"] = scoreApart(shared, e, b.Images.Validation.Subjects)
		return values, nil
	},
}

const (
	// doubleCorrelation is that of two images, less what all have in common, which they
	// need at least to count as near-identical: they share four fifths of what is their
	// own. The scans of two people share next to nothing of it, unless they show little.
	doubleCorrelation = 0.9
	// strangersAlike is the number of pairs of strangers that may be expected among all
	// that are compared to reach the limit, and strangerPairs the number of pairs that
	// say how alike strangers are.
	strangersAlike = 0.01
	strangerPairs  = 1000
	// candidateCorrelation is that of two thumbnails from which on the images are
	// compared in full. Averaging over cells takes noise away, so that the
	// thumbnails of near-identical images are more alike than these.
	candidateCorrelation = 0.7
	thumbnailCells       = 8 // along each axis, fewer where there are fewer voxels
)

// A double is a training image and another one that is nearly the same.
type double struct{ training, other int }

// doubles finds the near-identical images of different subjects among the training
// images and others; among themselves each pair comes twice. nearest is the median
// over the others of the correlation with the training image that is most like it.
func (b *Bench) doubles(ctx context.Context, c *comparison, others []portrait) (pairs []double, nearest run.Float, err error) {
	found := make([][]double, len(others))
	best := make([]float64, len(others))
	b.Lab.InParallel(len(others), func(o int) {
		if ctx.Err() == nil {
			found[o], best[o] = c.doublesOf(&others[o], o)
		}
	})
	if ctx.Err() != nil {
		return nil, 0, train.ErrInterrupted
	}
	b.Worked(len(others))
	slices.Sort(best)
	return slices.Concat(found...), run.Float(best[len(best)/2]), nil
}

// A comparison holds what the correlations of images need. Every image is taken as
// (x - mean) / deviation, which brightness and contrast do not change, and of the
// training images' mean m, common to all, n/(n+4) is taken away, so that two equal
// images of few do not cancel.
type comparison struct {
	training, validation []portrait
	common               []float64 // m
	square               float64   // m m
	limit                float64   // correlation from which on two images are near-identical
}

// A portrait is an image with its moments and its thumbnail.
type portrait struct {
	subject         string
	voxels          []float32
	mean, deviation float64
	common          float64   // the standardised image times m
	thumbnail       []float64 // of the image less m, length 1
}

func (b *Bench) compareImages() *comparison {
	c := &comparison{training: b.portraits(&b.Images.Train), validation: b.portraits(&b.Images.Validation)}
	c.common = make([]float64, len(c.training[0].voxels))
	const blockSize = 1 << 12
	b.Lab.InParallel((len(c.common)+blockSize-1)/blockSize, func(block int) {
		part := c.common[block*blockSize : min((block+1)*blockSize, len(c.common))]
		for _, p := range c.training {
			for v := range part {
				part[v] += p.at(block*blockSize + v)
			}
		}
		for v := range part {
			part[v] /= float64(len(c.training) + 4)
		}
	})
	for _, x := range c.common {
		c.square += float64(x * x)
	}
	image := b.Images.Train.Samples[0].Image
	for _, all := range [][]portrait{c.training, c.validation} {
		b.Lab.InParallel(len(all), func(i int) { all[i].compare(c.common, image) })
	}
	return c
}

// portraits measures the images of a set.
func (b *Bench) portraits(set *train.Set) []portrait {
	all := make([]portrait, len(set.Samples))
	b.Lab.InParallel(len(all), func(i int) {
		all[i].subject = set.Subjects[set.Samples[i].Subject].ID
		all[i].voxels = set.Samples[i].Image.Data
		all[i].mean, all[i].deviation = moments(all[i].voxels)
	})
	return all
}

// moments are mean and standard deviation, divisor n.
func moments(voxels []float32) (mean, deviation float64) {
	for _, x := range voxels {
		mean += float64(x)
	}
	mean /= float64(len(voxels))
	squares := 0.0
	for _, x := range voxels {
		d := float64(x) - mean
		squares += float64(d * d)
	}
	return mean, math.Sqrt(squares / float64(len(voxels)))
}

// at is a voxel of the standardised image; 0 in an image of one colour.
func (p *portrait) at(v int) float64 {
	if p.deviation == 0 {
		return 0
	}
	return (float64(p.voxels[v]) - p.mean) / p.deviation
}

// compare fills what depends on the common image.
func (p *portrait) compare(common []float64, shape *prep.Image) {
	deep, high, wide := min(thumbnailCells, shape.D), min(thumbnailCells, shape.H), min(thumbnailCells, shape.W)
	p.thumbnail = make([]float64, shape.C*deep*high*wide)
	v := 0
	for c := range shape.C {
		for z := range shape.D {
			for y := range shape.H {
				row := ((c*deep+z*deep/shape.D)*high + y*high/shape.H) * wide
				for x := range shape.W {
					own := p.at(v)
					p.common += float64(own * common[v])
					p.thumbnail[row+x*wide/shape.W] += own - common[v]
					v++
				}
			}
		}
	}
	length := 0.0
	for _, cell := range p.thumbnail {
		length += float64(cell * cell)
	}
	for i := range p.thumbnail {
		if length > 0 {
			p.thumbnail[i] /= math.Sqrt(length)
		}
	}
}

// strangers returns the correlation that no pair of images of strangers is likely to
// reach. Fisher's transform of a correlation, artanh r, is about normal with a
// variance that depends on how much the images show (Fisher, "On the 'probable error'
// of a coefficient of correlation deduced from a small sample", Metron 1921); its
// spread is that of random pairs of training images of different subjects, by their
// upper quantiles, since groups of like images make a long tail.
func (b *Bench) strangers(c *comparison) float64 {
	draws := make([]float64, strangerPairs)
	b.Lab.InParallel(len(draws), func(n int) {
		stream := stat.NewStream(b.Plan.Seed, "probe/leakage", uint64(n))
		one, other := &c.training[stream.IntN(len(c.training))], &c.training[stream.IntN(len(c.training))]
		if draws[n] = math.NaN(); one.subject != other.subject {
			draws[n] = fisher(c.correlation(one, other))
		}
	})
	draws = slices.DeleteFunc(draws, math.IsNaN)
	if len(draws) == 0 {
		return doubleCorrelation
	}
	spread := 0.0
	slices.Sort(draws)
	for _, normal := range [][2]float64{{0.9, 1.28155}, {0.95, 1.64485}, {0.99, 2.32635}} { // quantiles of the normal distribution
		spread = math.Max(spread, draws[int(normal[0]*float64(len(draws)-1))]/normal[1])
	}
	compared := float64(len(c.training)) * float64(len(c.validation)+len(c.training)/2)
	z := math.Sqrt(2 * stat.Log(compared/(2*strangersAlike))) // P(Z > z) is at most exp(-z²/2) / 2
	double := stat.Exp(2 * float64(spread*z))
	return math.Max(doubleCorrelation, 1-2/(double+1)) // tanh z
}

// fisher is artanh r, for r below 1.
func fisher(r float64) float64 {
	r = math.Min(r, 1-1e-9)
	return 0.5 * stat.Log((1+r)/(1-r))
}

// doublesOf compares an image with all training images of other subjects, and
// returns the greatest correlation.
func (c *comparison) doublesOf(o *portrait, index int) (found []double, nearest float64) {
	alike := make([]float64, len(c.training))
	likeliest := -1
	for t := range c.training {
		if c.training[t].subject == o.subject {
			continue
		}
		for cell, x := range c.training[t].thumbnail {
			alike[t] += float64(x * o.thumbnail[cell])
		}
		if likeliest < 0 || alike[t] > alike[likeliest] {
			likeliest = t
		}
	}
	nearest = -1
	for t := range c.training {
		if t != likeliest && alike[t] < candidateCorrelation {
			continue
		}
		r := c.correlation(&c.training[t], o)
		nearest = math.Max(nearest, r)
		if r >= c.limit {
			found = append(found, double{t, index})
		}
	}
	return found, nearest
}

// correlation of two images a and b, standardised, less the common one m:
//
//	(a b - a m - b m + m m) / (|a - m| |b - m|)
func (c *comparison) correlation(a, b *portrait) float64 {
	if a.deviation == 0 || b.deviation == 0 {
		return 0
	}
	product := 0.0
	for v, x := range a.voxels {
		product += float64((float64(x) - a.mean) * (float64(b.voxels[v]) - b.mean))
	}
	product /= float64(a.deviation * b.deviation)
	length := func(p *portrait) float64 { return float64(len(p.voxels)) - float64(2*p.common) + c.square }
	lengths := float64(length(a) * length(b))
	if lengths <= 0 {
		return 0
	}
	return (product - a.common - b.common + c.square) / math.Sqrt(lengths)
}

// scoreApart returns the share of subjects that are marked and the accuracy of
// those and of the others, NaN where there are none.
func scoreApart(marked []bool, e run.Evaluation, subjects []run.Subject) (share, within, without run.Float) {
	var right, count [2]float64
	for i, row := range e.Probabilities {
		group := 0
		if marked[i] {
			group = 1
		}
		count[group]++
		if row.Class() == subjects[i].Class {
			right[group]++
		}
	}
	return run.Float(count[1] / float64(len(marked))), run.Float(right[1] / count[1]), run.Float(right[0] / count[0])
}
