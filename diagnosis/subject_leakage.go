package diagnosis

import (
	"math"
	"slices"
	"strings"
	"unicode"

	"ballast/run"
)

// Measured reliability: planted in 72 runs, likely or confirmed in 100 % of them from the record
// alone and in 100 % of 12 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1632
// runs with other causes; with experiments in 0 of 60 and 0 of 272
// (docs/reliability-of-diagnosis.md).
var subjectLeakage = Cause{
	ID:    "subject-leakage",
	Title: "The same patients on both sides of the split",
	Explain: "Slices, visits or copies of one patient stand in training and in validation. The network recognises the patient, " +
		"and the curve promises what new patients will not show.",
	Of:     "optimism",
	Kind:   mistake,
	Brings: []string{"validation-better-than-training"},
	Probes: []string{"leakage"},
	Judge:  judgeLeakage,
}

const (
	chanceOfSameIDs  = 1e-3 // that ids which are mere numbers agree in their classes
	expectedCopies   = 1e-3 // pairs of different subjects as much alike that may be expected
	leastTailPairs   = 30   // pairs of different subjects from which the tail of their distances is known
	leastThumbnails  = 10   // training subjects
	roundedThumbnail = 0.02 // root mean square distance that rounding to 1/32 alone may make
)

// judgeLeakage looks for the same id in both sets, then for images that are more
// alike than different subjects' images are, then at the experiment that compares
// whole images.
func judgeLeakage(e *evidence) judgement {
	shared, known := e.sharedIDs()
	n := e.subjects()
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	if len(shared) > 0 {
		j.verdict, j.severity = known, e.costOfSharing(shared)
		j.say(float64(len(shared)), "%d of %d validation subjects have the id of a training subject", len(shared), n)
	} else {
		j.say(0, "0 of %d validation subjects have the id of a training subject", n)
	}
	e.sayCopies(&j)
	if pairs := e.probe("leakage", "pairs"); isFinite(pairs) {
		e.sayLeakageProbe(&j, pairs)
	}
	if j.verdict == CannotTell && e.looks(run.Train) == nil {
		j.treatment = recordLooks()
	}
	j.treat(&Treatment{Plan: map[string]any{}, Text: "Split by patient: all images, visits and copies of one go to the same set. Name the column with the patient (data.subject); ballast check lists copies."})
	return j
}

// sharedIDs lists the validation subjects, in the order of predictions, whose id a
// training subject has, and how sure that makes it that they are the same. Ids that
// are mere numbers may be counted anew in each set; then their classes agree by chance only.
func (e *evidence) sharedIDs() (shared []int, verdict string) {
	classOf := map[string]int{}
	for _, s := range e.run.Header.Sets[run.Train] {
		classOf[s.ID] = s.Class
	}
	chance, named := 1.0, false
	subjects := e.run.Header.Sets[run.Validation]
	verdict = Confirmed
	for k, i := range e.ordered(run.Validation) {
		class, both := classOf[subjects[i].ID]
		if !both || subjects[i].ID == "" {
			continue
		}
		shared = append(shared, k)
		named = named || strings.ContainsFunc(subjects[i].ID, unicode.IsLetter)
		chance *= e.shareOfClass(run.Train, subjects[i].Class)
		if class != subjects[i].Class {
			verdict = CannotTell // one patient does not have two classes
		}
	}
	if verdict == Confirmed && !named && chance > chanceOfSameIDs {
		verdict = Possible
	}
	return shared, verdict
}

// shareOfClass is the share of a set's subjects that are of a class.
func (e *evidence) shareOfClass(set string, class int) float64 {
	subjects, count := e.run.Header.Sets[set], 0.0
	for _, s := range subjects {
		if s.Class == class {
			count++
		}
	}
	return count / float64(len(subjects))
}

// sayCopies compares the thumbnails of the sets.
func (e *evidence) sayCopies(j *judgement) {
	c := e.findCopies()
	if !c.known {
		return
	}
	n := e.subjects()
	switch {
	case len(c.near) == 0 && j.verdict == CannotTell:
		j.verdict = RuledOut
		fallthrough
	case len(c.near) == 0:
		j.say(c.least, "the two most alike images of different sets have thumbnails %.2f standard deviations apart, as different subjects may (%.2g such pairs are expected)", c.least, c.expected)
		return
	}
	j.say(float64(len(c.near)), "the thumbnails of %d of %d validation subjects are nearer to a training subject's than those of different subjects are (%.1g such subjects expected), %d of them the same in every number", len(c.near), n, c.expected, c.identical)
	if j.verdict == CannotTell || j.verdict == RuledOut || j.verdict == Possible {
		j.verdict, j.severity = Likely, e.costOfSharing(c.near)
		if c.identical > 0 {
			j.verdict = Confirmed
		}
	}
}

// sayLeakageProbe takes in the comparison of whole images.
func (e *evidence) sayLeakageProbe(j *judgement, pairs float64) {
	share, with, without := e.probe("leakage", "share"), e.probe("leakage", "accuracy_shared"), e.probe("leakage", "accuracy_others")
	j.say(pairs, "at full resolution %.0f pairs of a training and a validation image are near-identical", pairs)
	switch {
	case pairs == 0 && j.verdict == Likely:
		j.verdict = Possible
	case pairs == 0 && j.verdict == CannotTell:
		j.verdict = RuledOut
	case pairs > 0 && j.verdict != Confirmed:
		j.verdict = Confirmed
		if cost := 100 * share * (with - without); isFinite(cost) {
			j.severity = math.Max(0, cost)
		}
	}
	if isFinite(with) && isFinite(without) && isFinite(share) && pairs > 0 {
		j.say(100*share, "%.0f %% of the validation subjects are in such a pair; %.0f %% of them are right, and %.0f %% of the others", 100*share, 100*with, 100*without)
	}
}

// costOfSharing is by how many points the accuracy of validation subjects that are
// known to the network lifts that of all; NaN without predictions.
func (e *evidence) costOfSharing(shared []int) float64 {
	p := e.clean(run.Validation)
	if p == nil || len(shared) == len(p.classes) {
		return math.NaN()
	}
	var with, without []float64
	for i, x := range e.late(p, correct) {
		if slices.Contains(shared, i) {
			with = append(with, x)
		} else {
			without = append(without, x)
		}
	}
	return math.Max(0, 100*float64(len(with))/float64(len(p.classes))*(finiteMean(with)-finiteMean(without)))
}

// copies are validation subjects that look like a training subject.
type copies struct {
	known     bool
	near      []int   // in the order of predictions
	identical int     // of these, with the same numbers throughout
	least     float64 // distance of the nearest pair
	expected  float64 // pairs of different subjects expected to be as near as the farthest of near, or as least
}

// findCopies compares the distance of each validation subject to its nearest
// training subject with the lower tail of the distances between different training
// subjects. Below its k-th smallest value u that tail follows a power law,
//
//	P(distance <= x) = k/N (x/u)^α,   1/α = mean of ln(u/x) over the k smallest
//
// (Hill, "A simple general approach to inference about the tail of a distribution",
// Annals of Statistics 1975, for 1/distance), since images fill a space of some
// dimension α. Brains that all look alike have small distances throughout, and so a
// small u: it takes more than being alike to be a copy.
func (e *evidence) findCopies() copies {
	training, validation := pictures(e.looks(run.Train)), pictures(e.looks(run.Validation))
	if len(training) < leastThumbnails || len(validation) == 0 {
		return copies{}
	}
	var within []float64
	for i, a := range training {
		for _, b := range training[:i] {
			within = append(within, thumbnailDistance(a, b))
		}
	}
	slices.Sort(within)
	k := max(leastTailPairs, len(within)/20)
	u := within[k-1]
	inverse := 0.0
	for _, x := range within[:k] {
		inverse += math.Log(u/math.Max(x, roundedThumbnail)) / float64(k-1)
	}
	if !(u > roundedThumbnail) || !(inverse > 0) {
		return copies{} // the training images all look the same
	}
	pairs := float64(len(training) * len(validation))
	expected := func(x float64) float64 {
		return pairs * float64(k) / float64(len(within)) * math.Pow(math.Max(x, roundedThumbnail)/u, 1/inverse)
	}
	c := copies{known: true, least: math.Inf(1)}
	looks := e.looks(run.Validation)
	farthest := 0.0
	for at, i := range e.ordered(run.Validation) {
		if !pictured(looks[i]) {
			continue
		}
		nearest, same := math.Inf(1), false
		for _, b := range training {
			d := thumbnailDistance(looks[i], b)
			same = same || d == 0 && sameLook(looks[i], b)
			nearest = math.Min(nearest, d)
		}
		c.least = math.Min(c.least, nearest)
		if expected(nearest) < expectedCopies {
			c.near = append(c.near, at)
			farthest = math.Max(farthest, nearest)
			if same {
				c.identical++
			}
		}
	}
	c.expected = expected(farthest)
	if len(c.near) == 0 {
		c.expected = expected(c.least)
	}
	return c
}

// pictured reports whether a thumbnail shows anything.
func pictured(l run.Look) bool {
	return len(l.Thumbnail) == run.ThumbnailCells && slices.ContainsFunc(l.Thumbnail, func(x int) bool { return x != 0 })
}

func pictures(looks []run.Look) []run.Look {
	var kept []run.Look
	for _, l := range looks {
		if pictured(l) {
			kept = append(kept, l)
		}
	}
	return kept
}

// thumbnailDistance is the root mean square difference of two thumbnails, in their
// standard deviations.
func thumbnailDistance(a, b run.Look) float64 {
	sum := 0
	for c, x := range a.Thumbnail {
		sum += (x - b.Thumbnail[c]) * (x - b.Thumbnail[c])
	}
	return math.Sqrt(float64(sum)/run.ThumbnailCells) / 32
}

// sameLook reports whether all numbers of two subjects are the same to six digits.
func sameLook(a, b run.Look) bool {
	unit := 1e-6 * math.Max(math.Abs(float64(a.Deviation)), math.Abs(float64(a.Mean)))
	same := func(x, y run.Float) bool { return math.Abs(float64(x-y)) <= unit }
	return same(a.Mean, b.Mean) && same(a.Deviation, b.Deviation) && same(a.Least, b.Least) && same(a.Greatest, b.Greatest)
}
