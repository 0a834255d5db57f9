package main

import (
	"fmt"
	"slices"
	"strings"

	"ballast/bench/engine"
)

// A judge is a tool or a way to use ballast, held against the planted causes.
type judge struct {
	name  string
	made  func(*outcome) bool
	means func(*outcome) [][]string // of every statement: the causes that it can mean
	count func(*outcome) int        // alarms, epoch by epoch; nil: it speaks once
}

// judges are ballast, from the record and with experiments, and the rivals.
func judges() []judge {
	var all []judge
	for _, m := range modes {
		all = append(all, judge{name: "ballast, " + m.name, made: m.made, means: func(o *outcome) (means [][]string) {
			for _, c := range m.claims(o) {
				if c.sure() {
					means = append(means, []string{c.id})
				}
			}
			return means
		}})
	}
	for i, tool := range rivals {
		all = append(all, judge{
			name: tool.name, made: func(*outcome) bool { return true },
			means: func(o *outcome) (means [][]string) {
				for _, fired := range o.fired[i] {
					means = append(means, tool.rules[fired].ids)
				}
				return means
			},
			count: func(o *outcome) int { return o.alarms[i] },
		})
	}
	return all
}

// names reports whether a statement can mean a cause.
func (j *judge) names(id string) func(*outcome) bool {
	return func(o *outcome) bool {
		return slices.ContainsFunc(j.means(o), func(ids []string) bool { return slices.Contains(ids, id) })
	}
}

// untrue counts the statements of which nothing that they can mean is true.
func (j *judge) untrue(o *outcome) (count int) {
	for _, ids := range j.means(o) {
		if !slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(o.truth, id) }) {
			count++
		}
	}
	return count
}

// rivalsTable holds the tools against each other. Of ballast every likely or confirmed
// cause is a statement; of the others every rule that gives an alarm in any epoch.
func rivalsTable(outcomes []outcome) string {
	var b strings.Builder
	engine.MarkdownTable(&b, 1, func(row func(...string)) {
		row("judge", "planted cause among the statements", "statements per faulty run", "of these true", "clean runs with a false statement", "false statements per clean run", "alarms per clean run, epoch by epoch")
		for _, j := range judges() {
			faulty, controls := filter(outcomes, and(faultyPhantom, j.made)), filter(outcomes, and(cleanPhantom, j.made))
			made, untrue := 0, 0
			for _, o := range faulty {
				made += len(j.means(o))
				untrue += j.untrue(o)
			}
			alarms := "-"
			if j.count != nil {
				alarms = meanOf(controls, j.count).text()
			}
			row(j.name, rateOf(faulty, func(o *outcome) bool { return j.names(o.planted)(o) }).text(),
				perRun(made, len(faulty)), shareText(made-untrue, made),
				rateOf(controls, func(o *outcome) bool { return j.untrue(o) > 0 }).text(),
				meanOf(controls, j.untrue).text(), alarms)
		}
	})
	b.WriteString("\n")
	engine.MarkdownTable(&b, 1, func(row func(...string)) {
		head := []string{"planted cause among the statements"}
		for _, j := range judges() {
			head = append(head, j.name)
		}
		row(head...)
		for _, id := range plantedCauses(outcomes) {
			cells := []string{id}
			for _, j := range judges() {
				own := filter(outcomes, and(faultyPhantom, j.made, func(o *outcome) bool { return o.planted == id }))
				cells = append(cells, shortRate(own, j.names(id)))
			}
			row(cells...)
		}
	})
	return b.String()
}

func perRun(count, runs int) string {
	if runs == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(count)/float64(runs))
}

func shareText(part, whole int) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*float64(part)/float64(whole))
}

// rulesTable lists the rules and what they are taken to mean.
func rulesTable() string {
	var b strings.Builder
	engine.MarkdownTable(&b, 3, func(row func(...string)) {
		row("tool", "rule", "taken to mean any of")
		for _, tool := range rivals {
			for _, r := range tool.rules {
				row(tool.name, r.name, strings.Join(r.ids, ", "))
			}
		}
	})
	b.WriteString("\nNot expressed, or expressed otherwise:\n\n")
	for _, tool := range rivals {
		fmt.Fprintf(&b, "- %s: %s.\n", tool.name, tool.left)
	}
	return b.String()
}
