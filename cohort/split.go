package cohort

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"ballast/stat"
)

// A set smaller than leastPerSet says nothing, and training needs two subjects
// of each class to tell what they have in common.
const (
	leastPerSet   = 4
	leastTraining = 2 // subjects of each class in training
	leastPerClass = 1 // subjects of each class in the other sets
)

var setOrder = [3]string{"train", "validation", "test"}

// SplitOptions says how to divide the subjects.
type SplitOptions struct {
	Validation, Test float64 // shares of the subjects; Test may be 0

	// Stratify is what every set holds in proportion: "label" (always so), "site",
	// or a column kept in Subject.Covariates.
	Stratify []string

	LeaveOut string // site whose subjects are the test set; empty: none
	Fold     string // fold to validate on, the others are trained on; empty: the shares decide
}

// Split divides the subjects into training, validation and test sets of about
// the given shares (test may be 0), each class in proportion, but at least four
// subjects to each set. The same cohort, seed and shares give the same sets,
// whatever the order of the table.
//
// Subjects whose set is fixed by the table keep it; the others are divided among
// the sets that the table leaves empty. When the table fixes every subject, the
// shares do not matter. Subjects that share an image (Cohort.Duplicates) come to
// the set of the first of them.
//
// Errors wrap ErrTooFewSubjects: every set needs four subjects and one of each
// class, training two of each class.
func (c *Cohort) Split(seed uint64, validation, test float64) (Split, error) {
	return c.SplitBy(seed, SplitOptions{Validation: validation, Test: test})
}

// SplitBy is Split with further wishes. Within each class the sets take their
// part of every site (or other column) about as evenly as whole subjects allow: a
// set has less than two subjects more or less of a class at a site than its share
// of the class would give (1.6 at most in 1,200 simulated cohorts). A site that is
// left out is the test set, all of it, those of its subjects included that were
// scanned elsewhere as well.
//
// Errors wrap ErrTooFewSubjects, ErrColumn (nothing is known of such a site, fold
// or column), ErrSubjectInTwoSets (the table says otherwise) or ErrDuplicateImage.
func (c *Cohort) SplitBy(seed uint64, o SplitOptions) (Split, error) {
	s, err := c.split(seed, o)
	if err != nil {
		return Split{}, fmt.Errorf("split cohort %s: %w", cmp.Or(c.Table, c.Dir), err)
	}
	return s, nil
}

func (c *Cohort) split(seed uint64, o SplitOptions) (Split, error) {
	if !(o.Validation > 0 && o.Test >= 0 && o.Validation+o.Test < 1) {
		return Split{}, fmt.Errorf("shares %g for validation and %g for test leave nothing to train or to validate on", o.Validation, o.Test)
	}
	strata, err := c.strata(o.Stratify)
	if err != nil {
		return Split{}, err
	}
	fixed, err := c.wishedSets(o)
	if err != nil {
		return Split{}, err
	}
	if err := c.sharedAcross(fixed); err != nil {
		return Split{}, err
	}
	members, free := fixedSets(fixed)
	if len(free) > 0 {
		shares, err := c.openShares(o, members, free)
		if err != nil {
			return Split{}, err
		}
		for set, more := range c.divide(free, shares, strata, stat.NewStream(seed, "split")) {
			members[set] = append(members[set], more...)
		}
		c.reunite(&members, fixed)
	}
	for set := range members {
		slices.Sort(members[set])
	}
	err = c.checkSets(members, o.Test > 0 && len(free) > 0)
	if err != nil && len(c.Duplicates) > 0 {
		err = fmt.Errorf("%w (%d pairs of subjects share an image and are kept in one set)", err, len(c.Duplicates))
	}
	return Split{members[0], members[1], members[2]}, err
}

// openShares returns the shares of the free subjects that go to each set: those
// asked for, of the sets that nothing fixes.
func (c *Cohort) openShares(o SplitOptions, members [3][]int, free []int) (shares [3]float64, err error) {
	shares = [3]float64{1 - o.Validation - o.Test, o.Validation, o.Test}
	total := 0.0
	for set := range shares {
		if len(members[set]) > 0 {
			shares[set] = 0
		}
		total += shares[set]
	}
	if total <= 0 {
		return shares, fmt.Errorf("column %s fixes every set but leaves %s without one; fill it in or empty one of the sets",
			cmp.Or(c.Columns.Set, c.Columns.Fold), c.names(free))
	}
	for set := range shares {
		shares[set] /= total
	}
	return shares, c.enough(free, shares)
}

// sharedAcross refuses an image shared by subjects whom a fold or a left-out site
// puts into two sets. Those of a table were judged when it was opened.
func (c *Cohort) sharedAcross(fixed []int) error {
	for _, d := range c.Duplicates {
		a, b := d.Subjects[0], d.Subjects[1]
		byTable := c.Subjects[a].Set != "" && c.Subjects[b].Set != ""
		if fixed[a] >= 0 && fixed[b] >= 0 && fixed[a] != fixed[b] && !byTable {
			return fmt.Errorf("%w: %s of subject %s, in %s, and %s of subject %s, in %s, have the same content", ErrDuplicateImage,
				filepath.Base(d.Paths[0]), c.Subjects[a].ID, setOrder[fixed[a]], filepath.Base(d.Paths[1]), c.Subjects[b].ID, setOrder[fixed[b]])
		}
	}
	return nil
}

// wishedSets returns the set of each subject that the table, the left-out site
// or the fold fixes, else -1.
func (c *Cohort) wishedSets(o SplitOptions) ([]int, error) {
	fixed := make([]int, len(c.Subjects))
	found := map[string]bool{}
	wish := func(n, set int, why string) error {
		if fixed[n] >= 0 && fixed[n] != set {
			return fmt.Errorf("%w: %s is in %s by %s, but in %s by column %s", ErrSubjectInTwoSets, c.Subjects[n].ID, setOrder[set], why, setOrder[fixed[n]], c.Columns.Set)
		}
		fixed[n] = set
		return nil
	}
	for n, s := range c.Subjects {
		fixed[n] = slices.Index(setOrder[:], s.Set)
		if o.LeaveOut != "" && slices.Contains(strings.Split(s.Site, "+"), o.LeaveOut) {
			found[o.LeaveOut] = true
			if err := wish(n, 2, "split.leave_out"); err != nil {
				return nil, err
			}
			continue
		}
		if o.Fold != "" && s.Fold != "" && s.Set != "test" {
			found["fold "+s.Fold] = true
			set := 0
			if s.Fold == o.Fold {
				set = 1
			}
			if err := wish(n, set, "split.fold"); err != nil {
				return nil, err
			}
		}
	}
	if o.LeaveOut != "" && !found[o.LeaveOut] {
		return nil, fmt.Errorf("%w: no subject is of site %q (sites: %s); name the column of sites with --site", ErrColumn, o.LeaveOut, cmp.Or(some(c.sites()), "none"))
	}
	if o.Fold != "" && !found["fold "+o.Fold] {
		return nil, fmt.Errorf("%w: no subject is of fold %q (folds: %s); name the column of folds with data.fold", ErrColumn, o.Fold, cmp.Or(some(c.foldNames()), "none"))
	}
	return fixed, nil
}

// sites lists the sites, each on its own.
func (c *Cohort) sites() []string {
	var all []string
	for _, s := range c.Subjects {
		if s.Site != "" {
			all = append(all, strings.Split(s.Site, "+")...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (c *Cohort) foldNames() []string {
	var all []string
	for _, s := range c.Subjects {
		if s.Fold != "" {
			all = append(all, s.Fold)
		}
	}
	slices.SortFunc(all, compareSessions)
	return slices.Compact(all)
}

// strata returns for each subject what else than the class the sets are to hold
// in proportion: nil when that is nothing.
func (c *Cohort) strata(stratify []string) ([]string, error) {
	var keys []string
	for _, key := range stratify {
		if key != "label" && key != c.Columns.Label {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	strata := make([]string, len(c.Subjects))
	for _, key := range keys {
		known := false
		for n, s := range c.Subjects {
			value := s.Covariates[key]
			if key == "site" || key == c.Columns.Site {
				value = s.Site
			}
			known = known || value != ""
			strata[n] += value + "\x00"
		}
		if !known {
			return nil, fmt.Errorf("%w: split.stratify names %q, which no subject has; it takes label, site (of the column named by --site) and columns that are the same in all rows of a subject", ErrColumn, key)
		}
	}
	if distinct := len(slices.Compact(slices.Sorted(slices.Values(strata)))); 2*distinct > len(strata) {
		return nil, fmt.Errorf("%w: %s divides %d subjects into %d groups; stratify by columns of few values", ErrTooFewSubjects, strings.Join(keys, " and "), len(strata), distinct)
	}
	return strata, nil
}

// reunite moves subjects who share an image with an earlier one to its set,
// unless theirs is fixed.
func (c *Cohort) reunite(members *[3][]int, fixed []int) {
	of := map[int]int{}
	for set := range members {
		for _, n := range members[set] {
			of[n] = set
		}
	}
	for _, d := range slices.Concat(c.Duplicates, c.Duplicates) { // the second time for those whose first one moved
		first, second := d.Subjects[0], d.Subjects[1]
		if fixed[second] >= 0 {
			first, second = second, first
		}
		if from, to := of[second], of[first]; from != to && fixed[second] < 0 {
			members[from] = slices.DeleteFunc(members[from], func(n int) bool { return n == second })
			members[to] = append(members[to], second)
			of[second] = to
		}
	}
}

// fixedSets returns the subjects of each set that is fixed, and the rest.
func fixedSets(fixed []int) (members [3][]int, free []int) {
	for n, set := range fixed {
		if set >= 0 {
			members[set] = append(members[set], n)
		} else {
			free = append(free, n)
		}
	}
	return members, free
}

// enough refuses to divide subjects that cannot fill the sets, and says how
// many it would take.
func (c *Cohort) enough(free []int, shares [3]float64) error {
	needed, perClass := 0, 0
	for set, share := range shares {
		if share > 0 {
			needed += leastPerSet
			perClass += leastOf(set)
		}
	}
	if len(free) < needed {
		return fmt.Errorf("%w: %d, but %d are needed: at least %d in each set", ErrTooFewSubjects, len(free), needed, leastPerSet)
	}
	for class, count := range c.count(free) {
		if count < perClass {
			return fmt.Errorf("%w: %d of class %s, but %d are needed: at least %d to train on and %d in each other set",
				ErrTooFewSubjects, count, c.Classes[class], perClass, leastTraining, leastPerClass)
		}
	}
	return nil
}

func leastOf(set int) int {
	if set == 0 {
		return leastTraining
	}
	return leastPerClass
}

func (c *Cohort) count(subjects []int) []int {
	counts := make([]int, len(c.Classes))
	for _, n := range subjects {
		counts[c.Subjects[n].Class]++
	}
	return counts
}

// divide shuffles each class and cuts it into sets. With strata each class is
// shuffled within its strata, and the sets take their part of each.
func (c *Cohort) divide(free []int, shares [3]float64, strata []string, stream *stat.Stream) (members [3][]int) {
	sizes := setSizes(c.count(free), shares)
	surplus := [3]map[string]float64{{}, {}, {}} // of each set: subjects of a stratum beyond its share so far
	for class := range c.Classes {
		var own []int
		for _, n := range free {
			if c.Subjects[n].Class == class {
				own = append(own, n)
			}
		}
		order := stream.Perm(len(own))
		for n := range order {
			order[n] = own[order[n]]
		}
		if strata == nil {
			for set := range members {
				members[set] = append(members[set], order[:sizes[set][class]]...)
				order = order[sizes[set][class]:]
			}
			continue
		}
		var quota [3]int
		for set := range quota {
			quota[set] = sizes[set][class]
		}
		for set, more := range divideStrata(order, strata, quota, &surplus) {
			members[set] = append(members[set], more...)
		}
	}
	return members
}

// divideStrata cuts one shuffled class into sets of the given sizes, taking from
// every stratum the set's part of the class, rounded down or up: up where the
// stratum is short in the set, classes before counted in.
func divideStrata(order []int, strata []string, quota [3]int, surplus *[3]map[string]float64) (members [3][]int) {
	cells := map[string][]int{}
	for _, n := range order {
		cells[strata[n]] = append(cells[strata[n]], n)
	}
	names := slices.Sorted(maps.Keys(cells))
	left := len(order)
	for set := 2; set >= 0 && left > 0; set-- {
		take, taken := map[string]int{}, 0
		exact := func(name string) float64 { return float64(quota[set]*len(cells[name])) / float64(left) }
		for _, name := range names {
			take[name] = quota[set] * len(cells[name]) / left
			taken += take[name]
		}
		// The parts sum up to the quota, so as many strata as subjects are missing
		// were rounded down.
		for ; taken < quota[set]; taken++ {
			best, most := "", math.Inf(-1)
			for _, name := range names {
				need := exact(name) - float64(take[name]) - surplus[set][name]
				if take[name]*left < quota[set]*len(cells[name]) && need > most {
					best, most = name, need
				}
			}
			take[best]++
		}
		for _, name := range names {
			surplus[set][name] += float64(take[name]) - exact(name)
			members[set] = append(members[set], cells[name][:take[name]]...)
		}
		for _, name := range names {
			cells[name] = cells[name][take[name]:]
		}
		left -= quota[set]
	}
	return members
}

// setSizes says how many subjects of each class go to each set, given the
// number of subjects of each class. The first set with a share takes what the
// others leave.
func setSizes(counts []int, shares [3]float64) (sizes [3][]int) {
	first := 0
	for shares[first] == 0 {
		first++
	}
	rest := slices.Clone(counts)
	for set := range shares {
		sizes[set] = make([]int, len(counts))
		if set <= first || shares[set] == 0 {
			continue
		}
		room := slices.Clone(rest)
		for class := range room {
			room[class] -= leastOf(first)
			if set == 1 && shares[2] > 0 {
				room[class] -= leastOf(2)
			}
		}
		sizes[set] = quotas(counts, room, shares[set])
		for class, size := range sizes[set] {
			rest[class] -= size
		}
	}
	sizes[first] = rest
	return sizes
}

// quotas says how many subjects of each class a set takes, so that their sum is
// the share of all, rounded, and at least four: whole parts first, at least one,
// then the classes with the largest remainders (Hamilton's method); never more
// than the room.
func quotas(counts, room []int, share float64) []int {
	sizes := make([]int, len(counts))
	all, taken := 0, 0
	for class, count := range counts {
		all += count
		sizes[class] = min(room[class], max(leastPerClass, int(math.Floor(share*float64(count)))))
		taken += sizes[class]
	}
	for target := max(leastPerSet, int(math.Round(share*float64(all)))); taken < target; taken++ {
		best, largest := -1, math.Inf(-1)
		for class, count := range counts {
			if rest := float64(share*float64(count)) - float64(sizes[class]); rest > largest && sizes[class] < room[class] {
				best, largest = class, rest
			}
		}
		if best < 0 {
			break
		}
		sizes[best]++
	}
	return sizes
}

// checkSets holds every set against the least that it needs.
func (c *Cohort) checkSets(members [3][]int, test bool) error {
	for set, subjects := range members {
		if set == 2 && !test && len(subjects) == 0 {
			continue
		}
		if len(subjects) < leastPerSet {
			return fmt.Errorf("%w: the %s set has %d, but %d are needed", ErrTooFewSubjects, setOrder[set], len(subjects), leastPerSet)
		}
		for class, count := range c.count(subjects) {
			if count < leastOf(set) {
				return fmt.Errorf("%w: the %s set has %d of class %s, but %d are needed",
					ErrTooFewSubjects, setOrder[set], count, c.Classes[class], leastOf(set))
			}
		}
	}
	return nil
}

func (c *Cohort) names(subjects []int) string {
	var ids []string
	for _, n := range subjects {
		ids = append(ids, c.Subjects[n].ID)
	}
	return strings.TrimSpace(some(ids))
}
