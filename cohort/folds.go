package cohort

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"ballast/stat"
)

// Folds divides the subjects into k folds for cross-validation and returns a
// split for each: its fold is validated on, the others are trained on. Subjects
// whose set is fixed to test are the test set of every split; other fixed sets do
// not count. Folds differ by at most one subject in all, and by at most one
// subject of each class (with stratify, see SplitOptions: also of each class at
// each site) unless subjects share an image, who come to one fold.
//
// Errors wrap ErrTooFewSubjects (every fold needs four subjects and one of each
// class) or ErrColumn.
func (c *Cohort) Folds(seed uint64, k int, stratify ...string) ([]Split, error) {
	folds, test, err := c.folds(seed, k, stratify)
	if err != nil {
		return nil, fmt.Errorf("divide cohort %s into %d folds: %w", cmp.Or(c.Table, c.Dir), k, err)
	}
	splits := make([]Split, k)
	for n := range splits {
		for m, fold := range folds {
			if m == n {
				splits[n].Validation = slices.Clone(fold)
			} else {
				splits[n].Train = append(splits[n].Train, fold...)
			}
		}
		slices.Sort(splits[n].Train)
		splits[n].Test = slices.Clone(test)
		members := [3][]int{splits[n].Train, splits[n].Validation, splits[n].Test}
		if err := c.checkSets(members, false); err != nil {
			return nil, fmt.Errorf("divide cohort %s into %d folds: fold %d: %w", cmp.Or(c.Table, c.Dir), k, n, err)
		}
	}
	return splits, nil
}

// NestedFolds divides the subjects into the k folds of Folds, of which each in turn
// is the test set of a split. The subjects of the other folds are divided into
// training and validation, the latter with the given share of them, as SplitBy
// does. Subjects whose set is fixed to test are in no set.
//
// Errors wrap ErrTooFewSubjects (as of Folds and Split) or ErrColumn.
func (c *Cohort) NestedFolds(seed uint64, k int, validation float64, stratify ...string) ([]Split, error) {
	splits, err := c.nestedFolds(seed, k, validation, stratify)
	if err != nil {
		return nil, fmt.Errorf("divide cohort %s into %d folds: %w", cmp.Or(c.Table, c.Dir), k, err)
	}
	return splits, nil
}

func (c *Cohort) nestedFolds(seed uint64, k int, validation float64, stratify []string) ([]Split, error) {
	if !(validation > 0 && validation < 1) {
		return nil, fmt.Errorf("a share of %g for validation leaves nothing to train or to validate on", validation)
	}
	folds, left, err := c.folds(seed, k, stratify)
	if err != nil {
		return nil, err
	}
	strata, err := c.strata(stratify)
	if err != nil {
		return nil, err
	}
	within := *c // without the pairs whose one subject is in no set
	within.Duplicates = slices.DeleteFunc(slices.Clone(c.Duplicates), func(d Duplicate) bool {
		return slices.Contains(left, d.Subjects[0]) || slices.Contains(left, d.Subjects[1])
	})
	shares := [3]float64{1 - validation, validation, 0}
	splits := make([]Split, k)
	for n, fold := range folds {
		fixed := make([]int, len(c.Subjects))
		var free []int
		for m, others := range folds {
			for _, subject := range others {
				if fixed[subject] = -1; m == n {
					fixed[subject] = 2
				} else {
					free = append(free, subject)
				}
			}
		}
		slices.Sort(free)
		if err := within.enough(free, shares); err != nil {
			return nil, fmt.Errorf("fold %d: %w", n+1, err)
		}
		members := within.divide(free, shares, strata, stat.NewStream(seed, "folds/validation", uint64(n)))
		members[2] = slices.Clone(fold)
		within.reunite(&members, fixed)
		for set := range members {
			slices.Sort(members[set])
		}
		if err := within.checkSets(members, true); err != nil {
			return nil, fmt.Errorf("fold %d: %w", n+1, err)
		}
		splits[n] = Split{members[0], members[1], members[2]}
	}
	return splits, nil
}

// folds deals the subjects out one by one, class after class and stratum after
// stratum, so that any two neighbours in that order lie in different folds.
func (c *Cohort) folds(seed uint64, k int, stratify []string) (folds [][]int, test []int, err error) {
	if k < 2 || k > len(c.Subjects) {
		return nil, nil, fmt.Errorf("%w: %d subjects; the number of folds lies between 2 and that", ErrTooFewSubjects, len(c.Subjects))
	}
	strata, err := c.strata(stratify)
	if err != nil {
		return nil, nil, err
	}
	cells := map[string][]int{}
	for n, s := range c.Subjects {
		if s.Set == "test" {
			test = append(test, n)
			continue
		}
		cell := fmt.Sprintf("%08d", s.Class)
		if strata != nil {
			cell += strata[n]
		}
		cells[cell] = append(cells[cell], n)
	}
	folds = make([][]int, k)
	stream := stat.NewStream(seed, "folds")
	next := 0
	for _, cell := range slices.Sorted(maps.Keys(cells)) {
		for _, at := range stream.Perm(len(cells[cell])) {
			folds[next%k] = append(folds[next%k], cells[cell][at])
			next++
		}
	}
	c.reuniteFolds(folds)
	for n := range folds {
		slices.Sort(folds[n])
	}
	return folds, test, nil
}

// reuniteFolds moves subjects who share an image with an earlier one to its fold.
func (c *Cohort) reuniteFolds(folds [][]int) {
	of := map[int]int{}
	for fold, members := range folds {
		for _, n := range members {
			of[n] = fold
		}
	}
	for _, d := range c.Duplicates {
		to, first := of[d.Subjects[0]]
		from, second := of[d.Subjects[1]]
		if first && second && from != to {
			folds[from] = slices.DeleteFunc(folds[from], func(n int) bool { return n == d.Subjects[1] })
			folds[to] = append(folds[to], d.Subjects[1])
			of[d.Subjects[1]] = to
		}
	}
}
