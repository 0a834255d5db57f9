package train

import (
	"slices"

	"ballast/stat"
)

// order returns the training units of an epoch, in the order in which they are
// trained on.
func (t *trainer) order(epoch int) []int {
	return t.plan.order(epoch, t.plan.unitClasses(&t.images.Train))
}

// order draws from units, images or subjects, of the given classes as many as
// there are, by sampling.draw. Only "balanced" draws a unit more than once or not
// at all.
func (p *Plan) order(epoch int, classes []int) []int {
	switch p.Sampling.Draw {
	case "sorted":
		order := make([]int, len(classes))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return classes[a] - classes[b] })
		return order
	case "balanced":
		return balancedOrder(stat.NewStream(p.Seed, "order/balanced", uint64(epoch)), classes)
	}
	return stat.NewStream(p.Seed, "order", uint64(epoch)).Perm(len(classes))
}

// balancedOrder draws equally often from each class that has units: n units of K
// classes are n/K draws each, and the draws that are left over go to different
// classes at random. A class is gone through in shuffled order, again and again
// until it has its draws, so that its units are drawn equally often or once more.
func balancedOrder(stream *stat.Stream, classes []int) []int {
	members := make([][]int, slices.Max(classes)+1)
	for i, class := range classes {
		members[class] = append(members[class], i)
	}
	members = slices.DeleteFunc(members, func(m []int) bool { return len(m) == 0 })
	var drawn []int
	for place, class := range stream.Perm(len(members)) {
		share := len(classes) / len(members)
		if place < len(classes)%len(members) {
			share++
		}
		for share > 0 {
			for _, at := range stream.Perm(len(members[class]))[:min(share, len(members[class]))] {
				drawn = append(drawn, members[class][at])
				share--
			}
		}
	}
	order := stream.Perm(len(drawn))
	for i, at := range order {
		order[i] = drawn[at]
	}
	return order
}

// repeats returns for each place of an order how often its unit came before.
func repeats(order []int) []int {
	seen := map[int]int{}
	counts := make([]int, len(order))
	for place, unit := range order {
		counts[place] = seen[unit]
		seen[unit]++
	}
	return counts
}
