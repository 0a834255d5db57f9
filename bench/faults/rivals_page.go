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
	makes func(*outcome) bool
	ids   func(*outcome) []string // causes that it claims
	count func(*outcome) int      // alarms, epoch by epoch; nil: it speaks once
}

// judges are ballast, from the record and with experiments, and the rivals.
func judges() []judge {
	var all []judge
	for _, m := range modes {
		all = append(all, judge{name: "ballast, " + m.name, makes: m.made, ids: func(o *outcome) (ids []string) {
			for _, c := range m.claims(o) {
				if c.sure() {
					ids = append(ids, c.id)
				}
			}
			return ids
		}})
	}
	for i, tool := range rivals {
		all = append(all, judge{
			name: tool.name, makes: func(*outcome) bool { return true },
			ids:   func(o *outcome) []string { return o.rivals[i] },
			count: func(o *outcome) int { return o.alarms[i] },
		})
	}
	return all
}

// rivalsTable holds the tools against each other. Of ballast only likely and confirmed
// count; of the others every cause that one of their alarms could mean.
func rivalsTable(outcomes []outcome) string {
	var b strings.Builder
	engine.MarkdownTable(&b, 1, func(row func(...string)) {
		row("judge", "planted cause claimed", "causes claimed per faulty run", "of these true", "clean runs with a false claim", "false claims per clean run", "alarms per clean run, epoch by epoch")
		for _, j := range judges() {
			faulty, controls := filter(outcomes, and(faultyPhantom, j.makes)), filter(outcomes, and(cleanPhantom, j.makes))
			claimed, true_ := 0, 0
			for _, o := range faulty {
				claimed += len(j.ids(o))
				true_ += len(j.ids(o)) - len(j.untrue(o))
			}
			alarms := "-"
			if j.count != nil {
				alarms = meanOf(controls, j.count).text()
			}
			row(j.name, rateOf(faulty, func(o *outcome) bool { return slices.Contains(j.ids(o), o.planted) }).text(),
				perRun(claimed, len(faulty)), shareText(true_, claimed),
				rateOf(controls, func(o *outcome) bool { return len(j.untrue(o)) > 0 }).text(),
				meanOf(controls, func(o *outcome) int { return len(j.untrue(o)) }).text(), alarms)
		}
	})
	b.WriteString("\n")
	engine.MarkdownTable(&b, 1, func(row func(...string)) {
		head := []string{"planted cause claimed"}
		for _, j := range judges() {
			head = append(head, j.name)
		}
		row(head...)
		for _, id := range plantedCauses(outcomes) {
			cells := []string{id}
			for _, j := range judges() {
				own := filter(outcomes, and(faultyPhantom, j.makes, func(o *outcome) bool { return o.planted == id }))
				cells = append(cells, shortRate(own, func(o *outcome) bool { return slices.Contains(j.ids(o), id) }))
			}
			row(cells...)
		}
	})
	return b.String()
}

// untrue lists the claims that are not true of a run.
func (j *judge) untrue(o *outcome) (ids []string) {
	for _, id := range j.ids(o) {
		if !slices.Contains(o.truth, id) {
			ids = append(ids, id)
		}
	}
	return ids
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
