package cohort

import (
	"cmp"
	"fmt"
	"math"
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

// Split divides the subjects into training, validation and test sets of about
// the given shares (test may be 0), each class in proportion, but at least four
// subjects to each set. The same cohort, seed and shares give the same sets,
// whatever the order of the table.
//
// Subjects whose set is fixed by the table keep it; the others are divided among
// the sets that the table leaves empty. When the table fixes every subject, the
// shares do not matter.
//
// Errors wrap ErrTooFewSubjects: every set needs four subjects and one of each
// class, training two of each class.
func (c *Cohort) Split(seed uint64, validation, test float64) (Split, error) {
	s, err := c.split(seed, validation, test)
	if err != nil {
		return Split{}, fmt.Errorf("split cohort %s: %w", cmp.Or(c.Table, c.Dir), err)
	}
	return s, nil
}

func (c *Cohort) split(seed uint64, validation, test float64) (Split, error) {
	if !(validation > 0 && test >= 0 && validation+test < 1) {
		return Split{}, fmt.Errorf("shares %g for validation and %g for test leave nothing to train or to validate on", validation, test)
	}
	members, free := c.fixedSets()
	shares := [3]float64{1 - validation - test, validation, test}
	total := 0.0
	for set := range shares {
		if len(members[set]) > 0 {
			shares[set] = 0
		}
		total += shares[set]
	}
	if len(free) > 0 && total <= 0 {
		return Split{}, fmt.Errorf("column %s fixes every set but leaves %s without one; fill it in or empty one of the sets",
			c.Columns.Set, c.names(free))
	}
	if len(free) > 0 {
		for set := range shares {
			shares[set] /= total
		}
		if err := c.enough(free, shares); err != nil {
			return Split{}, err
		}
		for set, more := range c.divide(free, shares, stat.NewStream(seed, "split")) {
			members[set] = append(members[set], more...)
		}
	}
	for set := range members {
		slices.Sort(members[set])
	}
	return Split{members[0], members[1], members[2]}, c.checkSets(members, test > 0 && len(free) > 0)
}

// fixedSets returns the subjects of each set that the table fixes, and the rest.
func (c *Cohort) fixedSets() (members [3][]int, free []int) {
	for n, s := range c.Subjects {
		if set := slices.Index(setOrder[:], s.Set); set >= 0 {
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

// divide shuffles each class and cuts it into sets.
func (c *Cohort) divide(free []int, shares [3]float64, stream *stat.Stream) (members [3][]int) {
	sizes := setSizes(c.count(free), shares)
	for class := range c.Classes {
		var own []int
		for _, n := range free {
			if c.Subjects[n].Class == class {
				own = append(own, n)
			}
		}
		order := stream.Perm(len(own))
		for set := range members {
			for _, n := range order[:sizes[set][class]] {
				members[set] = append(members[set], own[n])
			}
			order = order[sizes[set][class]:]
		}
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
