package probe

import (
	"cmp"
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

// A prediction is the probability of each class for one subject, from networks that
// were not trained on it.
type prediction []float64

// predictions of subjects, against labels that some of them may bear wrongly.
type predictions []prediction

// class is the most probable class, the first of equals.
func (p prediction) class() int {
	best := 0
	for k, x := range p {
		if x > p[best] {
			best = k
		}
	}
	return best
}

// margin is how much more probable the most probable class is than the next one.
func (p prediction) margin() float64 {
	best, next := p.class(), 0.0
	for k, x := range p {
		if k != best {
			next = math.Max(next, x)
		}
	}
	return p[best] - next
}

// wrong counts the subjects that are predicted otherwise than labelled.
func (p predictions) wrong(labels []int) (count int) {
	for i, row := range p {
		if row.class() != labels[i] {
			count++
		}
	}
	return count
}

// confident returns the third of the subjects with the largest margins, the first of
// equals.
func (p predictions) confident() []int {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[b].margin(), p[a].margin()) })
	return order[:len(p)/confidentOneOf]
}

// disputed returns, for subjects chosen by index, the class that confident learning
// finds for each: of the classes that are at least as probable as they are, on
// average, for the subjects that bear their label, the most probable one; -1 where
// there is none.
func (p predictions) disputed(labels, chosen []int) []int {
	classes := len(p[0])
	least, members := make([]float64, classes), make([]float64, classes)
	for _, i := range chosen {
		least[labels[i]] += p[i][labels[i]]
		members[labels[i]]++
	}
	for k := range least {
		least[k] /= members[k] // NaN without members: no probability is as large
	}
	found := make([]int, len(chosen))
	for place, i := range chosen {
		found[place] = -1
		for k, x := range p[i] {
			if x >= least[k] && (found[place] < 0 || x > p[i][found[place]]) {
				found[place] = k
			}
		}
	}
	return found
}

// estimate is the share of wrong labels by the confident joint: of the subjects
// with a label for whom a class is found, the share for whom it is another one,
// counted as often as the label is borne.
func (p predictions) estimate(labels, chosen []int) float64 {
	classes := len(p[0])
	other, counted, members := make([]float64, classes), make([]float64, classes), make([]float64, classes)
	for place, found := range p.disputed(labels, chosen) {
		label := labels[chosen[place]]
		members[label]++
		if found >= 0 {
			counted[label]++
		}
		if found >= 0 && found != label {
			other[label]++
		}
	}
	sum := 0.0
	for k := range other {
		if counted[k] > 0 {
			sum += float64(members[k] * (other[k] / counted[k]))
		}
	}
	return sum / float64(len(chosen))
}

// all is 0 to n-1.
func all(n int) []int {
	places := make([]int, n)
	for i := range places {
		places[i] = i
	}
	return places
}

// A cleanTask is a classification with correct labels on which a network is right as
// often as on the study. The image of a subject of class y shows the network numbers
// z_k = d [k = y] + normal noise, one for each class, and it knows the task: it
// predicts the class k with a probability proportional to π_k exp(d z_k), π_k being how
// common the class is. For two classes that is the binormal model of ROC analysis with
// equal variances. What such a network gets wrong lies near the decision boundary.
type cleanTask struct {
	classes int
	d       float64
	shares  []float64 // π; nil: all alike
}

// newCleanTask finds the d at which a share of predictions is right, over simulated
// subjects of all classes alike.
func newCleanTask(right float64, classes int, seed uint64) *cleanTask {
	t := &cleanTask{classes: classes}
	labels := make([]int, simulatedSubjects)
	for i := range labels {
		labels[i] = i % classes
	}
	noise := t.noise(simulatedSubjects, seed, 0)
	low, high := 0.0, 20.0
	for range 20 {
		t.d = (low + high) / 2
		count := 0
		for i, z := range noise {
			if t.shown(z, labels[i]).class() == labels[i] {
				count++
			}
		}
		if float64(count) < right*simulatedSubjects {
			low = t.d
		} else {
			high = t.d
		}
	}
	return t
}

// noise draws what the images of a cohort show of no class.
func (t *cleanTask) noise(subjects int, seed uint64, cohort int) []prediction {
	stream := stat.NewStream(seed, "probe/label-noise/clean", uint64(cohort))
	noise := make([]prediction, subjects)
	for i := range noise {
		noise[i] = make(prediction, t.classes)
		for k := range noise[i] {
			noise[i][k] = stream.Normal()
		}
	}
	return noise
}

// shown is what the image of a subject of a class shows.
func (t *cleanTask) shown(noise prediction, class int) prediction {
	z := slices.Clone(noise)
	z[class] += t.d
	return z
}

// predict turns what images show into probabilities.
func (t *cleanTask) predict(labels []int, noise []prediction) predictions {
	p := make(predictions, len(labels))
	for i, label := range labels {
		row := t.shown(noise[i], label)
		top, sum := row[row.class()], 0.0
		for k, z := range row {
			row[k] = stat.Exp(float64(t.d * (z - top)))
			if t.shares != nil {
				row[k] *= t.shares[k]
			}
			sum += row[k]
		}
		for k := range row {
			row[k] /= sum
		}
		p[i] = row
	}
	return p
}

// estimates returns what the confident joint says of simulated cohorts with these
// labels, all of them right.
func (t *cleanTask) estimates(labels []int, seed uint64, cohorts int) []float64 {
	values := make([]float64, cohorts)
	for k := range values {
		values[k] = t.predict(labels, t.noise(len(labels), seed, 1+k)).estimate(labels, all(len(labels)))
	}
	return values
}

// summary is what the predictions show.
func (p predictions) summary(labels []int) map[string]run.Float {
	confident := p.confident()
	byClass, members := map[int]int{}, map[int]bool{}
	for _, label := range labels {
		members[label] = true
	}
	wrong := 0
	for _, i := range confident {
		if p[i].class() != labels[i] {
			byClass[labels[i]]++
			wrong++
		}
	}
	least := len(labels)
	for label := range members {
		least = min(least, byClass[label])
	}
	suspects := 0
	for i, found := range p.disputed(labels, all(len(labels))) {
		if found >= 0 && found != labels[i] {
			suspects++
		}
	}
	return map[string]run.Float{
		"subjects":              run.Float(len(labels)),
		"wrong":                 run.Float(float64(p.wrong(labels)) / float64(len(labels))),
		"confident":             run.Float(len(confident)),
		"confident_wrong":       run.Float(wrong),
		"confident_wrong_least": run.Float(least),
		"estimate":              run.Float(p.estimate(labels, all(len(labels)))),
		"suspects":              run.Float(suspects),
	}
}
