package main

import (
	"fmt"
	"slices"
	"strings"
)

const (
	cell   = 22 // edge of a field, in pixels
	margin = 210
	ink    = "#24292f"
	paper  = "#ffffff"
)

// leastProbed is the number of runs with experiments that every row of the figure needs.
const leastProbed = 3

// figure draws the confusion matrix: planted causes down, what is named first across,
// with experiments where they were made on enough runs of every cause. The darker a
// field, the more of the planted runs of its row.
func figure(outcomes []outcome) string {
	m := withProbes
	for _, id := range plantedCauses(outcomes) {
		if len(filter(outcomes, and(faultyPhantom, withProbes.made, func(o *outcome) bool { return o.planted == id }))) < leastProbed {
			m = fromRecord
		}
	}
	rows := append(plantedCauses(outcomes), "")
	columns := namedColumns(outcomes, m, rows)
	var b strings.Builder
	width, height := margin+cell*len(columns)+70, margin+cell*len(rows)+50
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11" fill="%s">`+"\n", width, height, ink)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="%s"/>`+"\n", width, height, paper)
	for i, id := range columns {
		x := margin + cell*i + cell/2 + 4
		fmt.Fprintf(&b, `<text x="%d" y="%d" transform="rotate(-60 %d %d)">%s</text>`+"\n", x, margin-8, x, margin-8, id)
	}
	for i, id := range rows {
		y := margin + cell*i
		name := id
		if id == "" {
			name = "none (clean)"
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", margin-8, y+15, name)
		own := filter(outcomes, func(o *outcome) bool { return o.cohort == phantomCohort && o.planted == id && m.made(o) })
		counts := map[string]int{}
		for _, o := range own {
			counts[firstNamed(m.claims(o))]++
		}
		for k, column := range columns {
			drawField(&b, margin+cell*k, y, counts[column], len(own), column == id)
		}
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d">down: what was planted; across: what is named first, in per cent of the row (%s)</text>`+"\n", 12, height-16, m.name)
	b.WriteString("</svg>\n")
	return b.String()
}

// drawField draws one field of the matrix.
func drawField(b *strings.Builder, x, y, count, of int, right bool) {
	share := 0.0
	if of > 0 {
		share = float64(count) / float64(of)
	}
	edge := "#d0d7de"
	if right {
		edge = ink
	}
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s" stroke="%s"/>`, x+1, y+1, cell-2, cell-2, shade(share), edge)
	if count > 0 {
		colour := ink
		if share > 0.55 {
			colour = paper
		}
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle" font-size="9" fill="%s">%.0f</text>`, x+cell/2, y+14, colour, 100*share)
	}
	b.WriteString("\n")
}

// shade goes from white to a dark blue.
func shade(share float64) string {
	mix := func(from, to float64) int { return int(from + (to-from)*share + 0.5) }
	return fmt.Sprintf("#%02x%02x%02x", mix(255, 9), mix(255, 61), mix(255, 122))
}

// namedColumns are the planted causes, then everything else that is named first.
func namedColumns(outcomes []outcome, m mode, rows []string) []string {
	columns := slices.DeleteFunc(slices.Clone(rows), func(id string) bool { return id == "" })
	var others []string
	for _, o := range filter(outcomes, func(o *outcome) bool { return o.cohort == phantomCohort && m.made(o) }) {
		if id := firstNamed(m.claims(o)); !slices.Contains(columns, id) && !slices.Contains(others, id) {
			others = append(others, id)
		}
	}
	slices.Sort(others)
	return append(columns, others...)
}
