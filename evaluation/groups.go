package evaluation

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"ballast/stat"
)

// A Group is the subjects that share a value of a column, with their measures.
// Few subjects give wide intervals; of many groups one looks bad by chance.
type Group struct {
	Column  string   `json:"column"`
	Value   string   `json:"value"` // empty where it is missing
	Counts  []int    `json:"subjects_by_class"`
	Metrics []Metric `json:"metrics"`
}

// Subjects is how many there are.
func (g *Group) Subjects() int {
	sum := 0
	for _, n := range g.Counts {
		sum += n
	}
	return sum
}

// mostValues is from how many different numbers on a column is divided into
// thirds.
const mostValues = 6

// ByColumn computes the measures of the subjects of each value of a column. A
// column of more than six different numbers is divided into three groups of about
// the same size. Groups come in the order of their values, missing ones last.
func ByColumn(p *Predictions, column string, o Options) []Group {
	name := grouping(p, column)
	members := map[string][]string{}
	order := map[string]float64{} // of groups of numbers
	for i := range p.Subjects {
		value, at := name(p.Subjects[i].Groups[column])
		members[value], order[value] = append(members[value], p.Subjects[i].ID), at
	}
	values := slices.SortedFunc(maps.Keys(members), func(a, b string) int {
		switch {
		case (a == "") != (b == ""):
			return len(b) - len(a)
		case order[a] != order[b]:
			return int(math.Copysign(1, order[a]-order[b]))
		case a < b:
			return -1
		}
		return 1
	})
	var groups []Group
	for _, value := range values {
		some := p.Only(func(s *Subject) bool {
			own, _ := name(s.Groups[column])
			return own == value
		})
		groups = append(groups, Group{Column: column, Value: value, Counts: some.Counts(), Metrics: Metrics(some, o)})
	}
	return groups
}

// grouping returns how a column's text becomes the name of a group, with a
// number to order groups of numbers by.
func grouping(p *Predictions, column string) func(text string) (name string, at float64) {
	var numbers []float64
	different, numeric := map[float64]bool{}, true
	for i := range p.Subjects {
		text := p.Subjects[i].Groups[column]
		if text == "" {
			continue
		}
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			numeric = false
			break
		}
		numbers, different[x] = append(numbers, x), true
	}
	words := func(text string) (string, float64) {
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || !numeric {
			return text, 0
		}
		return text, x
	}
	if !numeric || len(different) <= mostValues {
		return words
	}
	first, second := stat.Quantile(numbers, 1./3), stat.Quantile(numbers, 2./3)
	return func(text string) (string, float64) {
		x, err := strconv.ParseFloat(text, 64)
		switch {
		case err != nil:
			return "", 3
		case x <= first:
			return fmt.Sprintf("up to %.4g", first), 0
		case x <= second:
			return fmt.Sprintf("above %.4g to %.4g", first, second), 1
		}
		return fmt.Sprintf("above %.4g", second), 2
	}
}
