package diagnosis

import (
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

// Measured reliability: planted in 72 runs, likely or confirmed in 100 % of them from the record
// alone and in 100 % of 12 with experiments; claimed falsely in 0 of 180 clean runs and 0 of 1632
// runs with other causes; with experiments in 0 of 60 and 0 of 272
// (docs/reliability-of-diagnosis.md).
var siteShortcut = Cause{
	ID:    "site-shortcut",
	Title: "The scanner or the brightness gives the label away",
	Explain: "The classes come from different sites, or their images differ in brightness or contrast as a whole, and the network " +
		"leans on that. It will fail where the two do not go together.",
	Of:     "generalisation",
	Kind:   limit,
	Probes: []string{"shortcut"},
	Judge:  judgeShortcut,
}

const (
	shortcutP            = 0.002 // of either test; both must hold
	shortcutPermutations = 1999
	shortcutGain         = 0.10 // share of the subjects that the site guesses beyond the commonest class
	intensityAUROC       = 0.70 // from which the brightness alone ranks the subjects
)

// judgeShortcut needs two things: that the site (or the intensity) tells the class,
// and that the network leans on it: within one class it does better on subjects
// whose site mostly has their class than on the others. The first alone is a fact of
// the cohort that need not have misled the network. The experiment brings all
// images to one brightness and contrast before the network sees them.
func judgeShortcut(e *evidence) judgement {
	j := judgement{verdict: CannotTell, severity: math.NaN()}
	sites := e.siteShortcut(&j)
	intensity := e.intensityShortcut(&j)
	switch {
	case sites == Likely:
		j.verdict = Likely
	case sites == Possible || intensity == Possible:
		j.verdict = Possible
	case sites == RuledOut && intensity == RuledOut, sites == RuledOut && intensity == "", sites == "" && intensity == RuledOut:
		j.verdict = RuledOut
	}
	if isFinite(e.probe("shortcut", "accuracy_neutral")) {
		e.judgeNeutral(&j)
	}
	if len(j.evidence) == 0 {
		j = cannotTell(0, "0 subjects have a site or recorded intensities")
		j.treatment = recordLooks()
		return j
	}
	j.treat(&Treatment{Plan: map[string]any{}, Text: "Hold out a whole site (split.leave_out) to see what is left elsewhere; balance the classes over sites; normalise every image. ballast check shows what gives labels away."})
	return j
}

// judgeNeutral takes in the experiment. What a network loses when brightness and
// contrast are made equal, it had from there.
func (e *evidence) judgeNeutral(j *judgement) {
	const id = "shortcut"
	before, after, p := e.probe(id, "accuracy_as_is"), e.probe(id, "accuracy_neutral"), e.probe(id, "p_neutral")
	loss := 100 * (before - after)
	j.say(loss, "with all validation images brought to one brightness and contrast the network is right %.1f points less often (McNemar p = %.3f)", loss, p)
	tells := math.Min(orOne(e.probe(id, "p_intensity")), orOne(e.probe(id, "p_site")))
	if area := e.probe(id, "auroc_intensity"); isFinite(area) {
		j.say(area, "mean and standard deviation of the intensity alone rank held-out subjects with an AUROC of %.2f", area)
	}
	switch leans := p <= 0.01 && loss >= relevantGain; {
	case leans && tells <= 0.01:
		j.verdict, j.severity = Confirmed, loss
	case leans && (j.verdict == CannotTell || j.verdict == RuledOut):
		j.verdict, j.severity = Possible, loss
	}
}

func orOne(p float64) float64 {
	if math.IsNaN(p) {
		return 1
	}
	return p
}

// A witness is a subject whose site or intensity may have told the network its class.
type witness struct {
	class, stratum int    // the stratum is a class of a set
	site           string //
	trust          float64
	right          float64 // late share of epochs in which it is right; of validation subjects
	validation     bool
}

// witnesses are the subjects of both sets with the mean probability of their own
// class: over all epochs of training subjects, who are learnt by heart in the end, and
// over the late epochs of validation subjects.
func (e *evidence) witnesses() []witness {
	own := func(row run.Row, class int) float64 { return float64(row[class]) }
	var all []witness
	for _, set := range []string{run.Train, run.Validation} {
		p, from := e.clean(set), 0
		if p == nil {
			continue
		}
		trust, right := e.since(p, 0, own), e.late(p, correct)
		if set == run.Validation {
			trust, from = e.late(p, own), len(e.run.Header.Classes)
		}
		subjects := e.run.Header.Sets[set]
		for k, i := range e.ordered(set) {
			if isFinite(trust[k]) {
				all = append(all, witness{p.classes[k], p.classes[k] + from, subjects[i].Site, trust[k], right[k], set == run.Validation})
			}
		}
	}
	return all
}

// siteShortcut judges the sites: "" where there are not two.
func (e *evidence) siteShortcut(j *judgement) string {
	names, classes := []string{}, []int{}
	for _, set := range []string{run.Train, run.Validation} {
		for _, s := range e.run.Header.Sets[set] {
			if s.Site != "" && s.Class >= 0 {
				names, classes = append(names, s.Site), append(classes, s.Class)
			}
		}
	}
	distinct := slices.Compact(slices.Sorted(slices.Values(names)))
	if len(distinct) < 2 || len(distinct) > len(names)/4 {
		return ""
	}
	guessed := guessedBySite(names, classes)
	j.say(100*guessed, "naming the commonest class of each of %d sites is right for %.0f %% of the subjects; the commonest class of all has %.0f %%", len(distinct), 100*guessed, 100*commonest(classes))
	if guessed-commonest(classes) < shortcutGain {
		return RuledOut
	}
	null := make([]float64, shortcutPermutations)
	for k := range null {
		null[k] = guessedBySite(names, shuffled(classes, "diagnosis/site", k))
	}
	if p := stat.PermutationP(guessed, null); p > shortcutP {
		j.say(p, "as much by chance with probability %.4f", p)
		return RuledOut
	}
	leanP, aligned, conflicting := e.leaning(names, classes)
	if !isFinite(leanP) {
		return Possible
	}
	j.say(leanP, "within each class the network gives subjects whose site mostly has their class a higher probability than others, by chance with probability %.4f", leanP)
	if isFinite(aligned - conflicting) {
		j.severity = math.Max(0, 100*(aligned-conflicting))
		j.say(j.severity, "%.0f %% of the validation subjects whose site mostly has their class are right, and %.0f %% of the others", 100*aligned, 100*conflicting)
	}
	if leanP <= shortcutP {
		return Likely
	}
	return Possible
}

// guessedBySite is the share of subjects of their site's commonest class.
func guessedBySite(sites []string, classes []int) float64 {
	counts := map[string]map[int]int{}
	for i, site := range sites {
		if counts[site] == nil {
			counts[site] = map[int]int{}
		}
		counts[site][classes[i]]++
	}
	right := 0
	for _, count := range counts {
		most := 0
		for _, n := range count {
			most = max(most, n)
		}
		right += most
	}
	return float64(right) / float64(len(sites))
}

func shuffled[T any](values []T, name string, draw int) []T {
	result := make([]T, len(values))
	for i, from := range stat.NewStream(1, name, uint64(draw)).Perm(len(values)) {
		result[i] = values[from]
	}
	return result
}

// leaning tests whether the network trusts subjects more whose site mostly has their
// class, by permuting sites within each class of each set; and returns how often
// such validation subjects are right, and the others.
func (e *evidence) leaning(names []string, classes []int) (p, aligned, conflicting float64) {
	most := mostlyOf(names, classes)
	strata := map[int][]witness{}
	var with, without []float64
	for _, w := range e.witnesses() {
		if w.site == "" {
			continue
		}
		strata[w.stratum] = append(strata[w.stratum], w)
		if !w.validation {
			continue
		}
		if most[w.site] == w.class {
			with = append(with, w.right)
		} else {
			without = append(without, w.right)
		}
	}
	excess := func(order func(stratum, n int) []int) float64 {
		sum := 0.0
		for s := range 2 * len(e.run.Header.Classes) {
			group := strata[s]
			from := order(s, len(group))
			for i, w := range group {
				if most[group[from[i]].site] == w.class {
					sum += w.trust - meanTrust(group)
				}
			}
		}
		return sum
	}
	identity := func(_, n int) []int { return allOf(n) }
	observed := excess(identity)
	if observed == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	null := make([]float64, shortcutPermutations)
	for k := range null {
		null[k] = excess(func(stratum, n int) []int {
			return stat.NewStream(1, "diagnosis/leaning", uint64(k), uint64(stratum)).Perm(n)
		})
	}
	return stat.PermutationP(observed, null), finiteMean(with), finiteMean(without)
}

func meanTrust(group []witness) float64 {
	sum := 0.0
	for _, w := range group {
		sum += w.trust
	}
	return sum / float64(len(group))
}

// mostlyOf is the commonest class of each site, the first of equals.
func mostlyOf(names []string, classes []int) map[string]int {
	counts := map[string]map[int]int{}
	for i, site := range names {
		if counts[site] == nil {
			counts[site] = map[int]int{}
		}
		counts[site][classes[i]]++
	}
	most := map[string]int{}
	for site, count := range counts {
		best := -1
		for c, n := range count {
			if best < 0 || n > count[best] || n == count[best] && c < best {
				best = c
			}
		}
		most[site] = best
	}
	return most
}

// intensityShortcut judges mean and deviation of the intensity for two classes:
// whether they rank the subjects, and whether within each class the network's output
// follows them. Brightness may be the disease itself, so it is possible at most.
func (e *evidence) intensityShortcut(j *judgement) string {
	if len(e.run.Header.Classes) != 2 {
		return ""
	}
	features, classes := e.intensities()
	if len(classes) < 2*leastThumbnails || commonest(classes) == 1 {
		return ""
	}
	best, area := 0, 0.0
	for f, values := range features {
		if a := rankedBy(values, classes); math.Abs(a-0.5) > math.Abs(area-0.5) || f == 0 {
			best, area = f, a
		}
	}
	var byClass [2][]float64
	for i, c := range classes {
		byClass[c] = append(byClass[c], features[best][i])
	}
	strength := 0.5 + math.Abs(area-0.5)
	p := math.Min(1, 2*rankP(byClass[0], byClass[1])) // of two features
	j.say(strength, "the %s of an image's intensity alone ranks the subjects with an AUROC of %.2f (rank test p = %.2g)", []string{"mean", "standard deviation"}[best], strength, p)
	if p <= shortcutP && strength >= intensityAUROC {
		return Possible
	}
	return RuledOut
}

// intensities are mean and deviation of the subjects of both sets, as far as the
// images differ in them by more than rounding, and the subjects' classes.
func (e *evidence) intensities() (features [2][]float64, classes []int) {
	for _, set := range []string{run.Train, run.Validation} {
		for i, look := range e.looks(set) {
			mean, deviation := float64(look.Mean), float64(look.Deviation)
			if c := e.run.Header.Sets[set][i].Class; isFinite(mean) && isFinite(deviation) && (c == 0 || c == 1) {
				features[0], features[1] = append(features[0], mean), append(features[1], deviation)
				classes = append(classes, c)
			}
		}
	}
	for f, values := range features {
		if len(values) == 0 {
			continue
		}
		scale := math.Max(math.Abs(stat.Quantile(features[1], 0.5)), 1e-12)
		for i := range values {
			features[f][i] = math.Round(values[i]/scale*1e4) / 1e4 // normalised images differ by rounding only
		}
	}
	return features, classes
}

func rankedBy(values []float64, classes []int) float64 {
	positive := make([]bool, len(classes))
	for i, c := range classes {
		positive[i] = c == 1
	}
	area, _ := stat.AUROC(values, positive)
	return area
}

// since returns every subject's mean score over the epochs from an index on; NaN
// for a subject that was evaluated in none.
func (e *evidence) since(p *predictions, from int, score func(row run.Row, class int) float64) []float64 {
	late := e.lateFrom
	e.lateFrom = from
	defer func() { e.lateFrom = late }()
	return e.late(p, score)
}
