package audit

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"ballast/stat"
)

// The kinds of facts, which decide what it means when one tells the label.
const (
	Acquisition = "acquisition" // how and where the image was taken or stored
	Brightness  = "intensity"   // of the image as a whole
	Size        = "size"        // of what the image shows: foreground, mask
	Covariate   = "covariate"   // another column of the table
)

// A Fact is something that is known of each subject without a network, with
// what it tells of the label (or of the set).
//
// Area is the cross-validated area under the ROC curve of a Bayes classifier
// that sees the fact alone: 0.5 tells nothing, 1 tells all; with more than two
// classes the mean over classes, each against the rest. P is its permutation
// p-value; Corrected is P after Holm's correction for the number of facts of the images, or
// of those of the patients (Covariate).
type Fact struct {
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`
	Numeric   bool      `json:"numeric"`
	Subjects  int       `json:"subjects"` // for whom it is known
	Area      float64   `json:"auroc"`
	P         float64   `json:"p"`
	Corrected float64   `json:"p_corrected"`
	Draws     int       `json:"permutations"`
	Values    []Value   `json:"values,omitempty"`  // of a fact that is no number
	Centre    []float64 `json:"medians,omitempty"` // of a number, per class; only classes with a subject

	values []value // of each subject
}

// A Value is one value of a fact and how often each class has it.
type Value struct {
	Name   string `json:"name"`
	Counts []int  `json:"counts"`
}

// value of one subject.
type value struct {
	known  bool
	number float64
	word   string
}

const (
	// significant is the family-wise error rate of the facts of the images, and that
	// of the other columns.
	significant = 0.002
	// leastArea is what a fact must reach before it is called a shortcut, however
	// surely it is not chance: below it the label can hardly be read off it.
	leastArea = 0.6
	// tellsAll is from where on a result that rests on the image cannot be told
	// from one that rests on the fact.
	tellsAll = 0.9
	// manyDraws ends a test early: so many permutations as good as the labels
	// say that the fact tells nothing (Besag and Clifford, "Sequential Monte
	// Carlo p-values", Biometrika 1991).
	manyDraws  = 20
	usualDraws = 4999
	mostDraws  = 99_999
	folds      = 5
)

// testFacts tests every fact for telling the classes apart, and where the table
// fixes the sets, for telling these apart.
func (s *study) testFacts(ctx context.Context) (labels, sets []Fact, err error) {
	facts := s.facts()
	classes, fixed := make([]int, len(s.cohort.Subjects)), make([]int, len(s.cohort.Subjects))
	var names []string
	for n, subject := range s.cohort.Subjects {
		classes[n] = subject.Class
		fixed[n] = slices.Index(names, subject.Set)
		if fixed[n] < 0 {
			fixed[n] = len(names)
			names = append(names, subject.Set)
		}
	}
	labels = slices.Clone(facts)
	if err := s.test(ctx, labels, classes, len(s.cohort.Classes), "shortcut"); err != nil {
		return nil, nil, err
	}
	for n := range labels {
		labels[n].tabulate(classes, len(s.cohort.Classes))
	}
	if len(names) < 2 {
		return labels, nil, nil
	}
	sets = slices.Clone(facts)
	if err := s.test(ctx, sets, fixed, len(names), "set shift"); err != nil {
		return nil, nil, err
	}
	for n := range sets {
		sets[n].tabulate(fixed, len(names))
	}
	return labels, sets, nil
}

// test fills Area, P and Corrected of the facts and sorts the most telling first.
func (s *study) test(ctx context.Context, facts []Fact, groups []int, count int, purpose string) error {
	most := s.options.Permutations
	if most == 0 { // enough for a p-value that is small after correction, five times over
		most = max(usualDraws, min(mostDraws, int(5*float64(len(facts))/significant)))
	}
	err := inParallel(ctx, len(facts), s.options.Threads, func(n int) {
		facts[n].test(ctx, groups, count, most, stat.NewStream(s.options.Seed, purpose+"/"+facts[n].Kind+"/"+facts[n].Name))
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(facts, func(a, b Fact) int { return cmp.Or(cmp.Compare(a.P, b.P), cmp.Compare(b.Area, a.Area)) })
	correct(facts, func(f *Fact) bool { return f.Kind != Covariate })
	correct(facts, func(f *Fact) bool { return f.Kind == Covariate })
	return nil
}

// correct fills Corrected of one family of sorted facts, those of the images or
// those of the patients, after Holm, "A simple sequentially rejective multiple
// test procedure" (Scandinavian Journal of Statistics 1979).
func correct(facts []Fact, member func(*Fact) bool) {
	left := 0
	for n := range facts {
		left += indicator(member(&facts[n]))
	}
	running := 0.0
	for n := range facts {
		if member(&facts[n]) {
			running = max(running, min(1, facts[n].P*float64(left)))
			facts[n].Corrected = running
			left--
		}
	}
}

// test permutes the groups among the subjects for whom the fact is known.
func (f *Fact) test(ctx context.Context, groups []int, count, most int, stream *stat.Stream) {
	var known []value
	var labels []int
	for n, v := range f.values {
		if v.known {
			known = append(known, v)
			labels = append(labels, groups[n])
		}
	}
	f.Subjects = len(known)
	p := newPredictor(known, f.Numeric, count)
	f.Area = p.area(labels, stream)
	f.P, f.Draws = 1, 0
	switch {
	case !(f.Area > 0.5):
		return // no better than its permutations on average
	case f.Area < leastArea:
		most = min(most, usualDraws) // it is no shortcut however small p is
	}
	atLeast := 0
	shuffled := make([]int, len(labels))
	for f.Draws < most && atLeast < manyDraws && ctx.Err() == nil {
		for n, from := range stream.Perm(len(labels)) {
			shuffled[n] = labels[from]
		}
		if p.area(shuffled, stream) >= f.Area-1e-12 {
			atLeast++
		}
		f.Draws++
	}
	if atLeast == manyDraws {
		f.P = float64(atLeast) / float64(f.Draws)
	} else {
		f.P = float64(1+atLeast) / float64(1+f.Draws)
	}
}

// A predictor tells a group from one fact. Numbers are turned into ranks first,
// which no transformation of them changes and no outlier decides, and get a
// normal distribution per group; words get their frequencies in each group, one
// added to each (Laplace).
type predictor struct {
	groups  int
	ranks   []float64 // 0..1 of numbers
	words   []int     // of words
	variety int
	scores  [][]float64 // log probability per group and subject
}

func newPredictor(values []value, numeric bool, groups int) *predictor {
	p := &predictor{groups: groups, scores: make([][]float64, groups)}
	for g := range p.scores {
		p.scores[g] = make([]float64, len(values))
	}
	if numeric {
		numbers := make([]float64, len(values))
		for n, v := range values {
			numbers[n] = v.number
		}
		p.ranks = stat.MidRanks(numbers)
		for n := range p.ranks {
			p.ranks[n] = (p.ranks[n] - 0.5) / float64(len(values))
		}
		return p
	}
	index := map[string]int{}
	for _, v := range values {
		if _, ok := index[v.word]; !ok {
			index[v.word] = len(index)
		}
		p.words = append(p.words, index[v.word])
	}
	p.variety = len(index)
	return p
}

// area cross-validates the predictor: every subject is scored by what the other
// folds say. The folds are stratified and drawn anew.
func (p *predictor) area(labels []int, stream *stat.Stream) float64 {
	fold := stratified(labels, p.groups, stream)
	for held := range folds {
		if p.words != nil {
			p.scoreWords(labels, fold, held)
		} else {
			p.scoreRanks(labels, fold, held)
		}
	}
	sum, count := 0.0, 0.0
	keys := make([]uint64, len(labels))
	for g := range p.groups {
		members := 0
		for n, label := range labels {
			// Log odds against the other groups.
			keys[n] = scoreKey(p.scores[g][n]-p.others(g, n), label == g)
			members += indicator(label == g)
		}
		if members == 0 || members == len(labels) {
			continue
		}
		sum += areaOf(keys, members)
		count++
		if p.groups == 2 {
			break // the other class has the same area
		}
	}
	if count == 0 {
		return 0.5
	}
	return sum / count
}

// scoreKey is a number that sorts as the score does; its lowest bit tells a
// positive.
func scoreKey(score float64, positive bool) uint64 {
	bits := math.Float64bits(score + 0) // -0 is 0
	if bits>>63 == 1 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	return bits&^1 | uint64(indicator(positive))
}

// areaOf is stat.AUROC of scores as keys, of which so many are positive: the
// share of pairs of a positive and a negative in which the positive has the
// higher score, ties counting one half. It sorts the keys. It is what takes the
// time of a permutation test, and several times as fast as the general one.
func areaOf(keys []uint64, positives int) float64 {
	slices.Sort(keys)
	won, negativesBelow := 0.0, 0
	for start := 0; start < len(keys); {
		end, tied := start, 0
		for ; end < len(keys) && keys[end]>>1 == keys[start]>>1; end++ {
			tied += int(keys[end] & 1)
		}
		negatives := end - start - tied
		won += float64(tied) * (float64(negativesBelow) + float64(negatives)/2)
		negativesBelow += negatives
		start = end
	}
	return won / (float64(positives) * float64(len(keys)-positives))
}

// others is the log of the summed probability of the groups but one.
func (p *predictor) others(g, n int) float64 {
	if p.groups == 2 {
		return p.scores[1-g][n]
	}
	largest := math.Inf(-1)
	for other := range p.groups {
		if other != g {
			largest = max(largest, p.scores[other][n])
		}
	}
	sum := 0.0
	for other := range p.groups {
		if other != g {
			sum += math.Exp(p.scores[other][n] - largest)
		}
	}
	return largest + math.Log(sum)
}

// stratified deals the members of each group out to the folds, in random order.
func stratified(labels []int, groups int, stream *stat.Stream) []int {
	fold := make([]int, len(labels))
	next := make([]int, groups)
	for _, n := range stream.Perm(len(labels)) {
		fold[n] = next[labels[n]] % folds
		next[labels[n]]++
	}
	return fold
}

// scoreWords scores the held-out fold by (count + 1) / (group + variety), without
// the groups' own frequencies.
func (p *predictor) scoreWords(labels, fold []int, held int) {
	counts := make([]float64, p.groups*p.variety)
	totals := make([]float64, p.groups)
	for n, word := range p.words {
		if fold[n] != held {
			counts[labels[n]*p.variety+word]++
			totals[labels[n]]++
		}
	}
	logs := counts
	for n, count := range counts {
		logs[n] = math.Log((count + 1) / (totals[n/p.variety] + float64(p.variety)))
	}
	for n, word := range p.words {
		if fold[n] == held {
			for g := range p.groups {
				p.scores[g][n] = logs[g*p.variety+word]
			}
		}
	}
}

// scoreRanks scores the held-out fold by the normal density of each group. The
// variance of a group is drawn towards that of all subjects by as much as five
// subjects weigh, so that small groups claim no certainty.
func (p *predictor) scoreRanks(labels, fold []int, held int) {
	const weight, common = 5, 1.0 / 12
	sum, square, count := make([]float64, p.groups), make([]float64, p.groups), make([]float64, p.groups)
	for n, x := range p.ranks {
		if fold[n] != held {
			sum[labels[n]] += x
			square[labels[n]] += x * x
			count[labels[n]]++
		}
	}
	for g := range p.groups {
		mean := 0.5
		if count[g] > 0 {
			mean = sum[g] / count[g]
		}
		variance := (square[g] - count[g]*mean*mean + weight*common) / (count[g] + weight)
		constant := math.Log(variance) / 2
		for n, x := range p.ranks {
			if fold[n] == held {
				d := x - mean
				p.scores[g][n] = -d*d/(2*variance) - constant
			}
		}
	}
}

// tabulate counts the values per group, or takes their medians.
func (f *Fact) tabulate(groups []int, count int) {
	if f.Numeric {
		for g := range count {
			var numbers []float64
			for n, v := range f.values {
				if v.known && groups[n] == g {
					numbers = append(numbers, v.number)
				}
			}
			if len(numbers) > 0 {
				f.Centre = append(f.Centre, stat.Quantile(numbers, 0.5))
			}
		}
		return
	}
	index := map[string]int{}
	for n, v := range f.values {
		if !v.known {
			continue
		}
		at, ok := index[v.word]
		if !ok {
			at = len(f.Values)
			index[v.word] = at
			f.Values = append(f.Values, Value{v.word, make([]int, count)})
		}
		f.Values[at].Counts[groups[n]]++
	}
	slices.SortFunc(f.Values, func(a, b Value) int { return strings.Compare(a.Name, b.Name) })
}

// Tells reports whether the fact tells the groups apart by more than chance,
// corrected for the number of facts, and by enough to matter.
func (f *Fact) Tells() bool { return f.Corrected <= significant && f.Area >= leastArea }

// checkShortcuts reports the facts that tell the label, those of a kind together.
func checkShortcuts(s *study, r *Report) []Finding {
	kinds := []struct{ id, kind, what, fix string }{
		{"site-shortcut", Acquisition, "the site", "a network can learn the site instead of the disease: balance the classes over sites, stratify the split by site, and report results with each site left out"},
		{"acquisition-shortcut", Acquisition, "how the images were taken or stored", "a network can learn the scanner instead of the disease: balance the classes over these facts, stratify by them, or leave out what differs"},
		{"intensity-shortcut", Brightness, "brightness", "normalise each image (prep.normalise: zscore), and report these numbers as the baseline that the network has to beat"},
		{"size-shortcut", Size, "size", "size may be biology or how the images were cropped; report these numbers as the baseline that the network has to beat"},
		{"table-tells-label", Covariate, "other columns of the table", "report those known before the scan as a baseline; what is known only afterwards says the label in other words and must not be used"},
	}
	var findings []Finding
	for _, k := range kinds {
		f := Finding{ID: k.id, Level: Warning, Fix: k.fix}
		if k.kind == Size || k.kind == Covariate {
			f.Level = Note
		}
		var lines []string
		for n := range r.Facts {
			fact := &r.Facts[n]
			if !fact.Tells() || fact.Kind != k.kind || k.kind == Acquisition && (fact.Name == "site") != (k.id == "site-shortcut") {
				continue
			}
			line := fact.describe(s.cohort.Classes)
			if k.id == "site-shortcut" {
				line = strings.TrimPrefix(line, "site, ") // was said
			}
			lines = append(lines, line)
			if k.kind == Acquisition && fact.Area >= tellsAll {
				f.Level = Error
			}
		}
		if len(lines) > 0 {
			f.Problem = "the label can be told from " + k.what + " alone: " + someOf(lines, "; ")
			findings = append(findings, f)
		}
	}
	return findings
}

// describe says how well the fact tells the label, and by which values.
func (f *Fact) describe(classes []string) string {
	return fmt.Sprintf("%s, cross-validated AUROC %.2f, corrected p %s (%s)", f.Name, f.Area, pValue(f.Corrected), f.Detail(classes))
}

// Detail says which value goes with which class: "medians 0 35.1, 1 120" or
// "site-1: 12 × responder, 0 × non-responder; ...". Without classes they are not named.
func (f *Fact) Detail(classes []string) string {
	named := func(text string, group int) string {
		if group < len(classes) {
			return text + " × " + className(classes[group])
		}
		return text
	}
	var parts []string
	if f.Numeric {
		for g, centre := range f.Centre {
			if g < len(classes) {
				parts = append(parts, className(classes[g])+" "+compact(centre))
			} else {
				parts = append(parts, compact(centre))
			}
		}
		return "medians " + strings.Join(parts, ", ")
	}
	for _, v := range f.Values {
		if v.Name == rare {
			continue
		}
		var counts []string
		for g, count := range v.Counts {
			counts = append(counts, named(strconv.Itoa(count), g))
		}
		parts = append(parts, v.Name+": "+strings.Join(counts, ", "))
	}
	return someOf(parts, "; ")
}

// className tells the name of a class from a count.
func className(name string) string {
	if _, err := strconv.ParseFloat(name, 64); err == nil {
		return "class " + name
	}
	return name
}

// pValue writes a p-value: 0.004, or "< 0.001".
func pValue(p float64) string {
	if p < 0.001 {
		return "< 0.001"
	}
	return strconv.FormatFloat(p, 'g', 2, 64)
}

// compact writes a number with four significant digits.
func compact(x float64) string { return strconv.FormatFloat(x, 'g', 4, 64) }

// checkSets reports facts by which the fixed sets differ.
func checkSets(s *study, r *Report) []Finding {
	var telling []string
	for n := range r.Sets {
		if f := &r.Sets[n]; f.Kind != Covariate && f.Tells() {
			telling = append(telling, fmt.Sprintf("%s (AUROC %.2f, p %s)", f.Name, f.Area, pValue(f.Corrected)))
		}
	}
	if len(telling) == 0 {
		return nil
	}
	return []Finding{{
		ID: "set-shift", Level: Warning,
		Problem: "the fixed sets differ by more than chance in " + someOf(telling, ", "),
		Fix:     "if that is meant (another hospital as the test), say so with the result; else draw the sets anew with split.validation",
	}}
}
