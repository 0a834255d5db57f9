package web

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strings"
	"unicode"
)

// Charts are inline SVG in two layers. The outer one has no viewBox: positions
// are percentages, so text keeps its size on a phone and on a wide screen. The
// curves lie in an inner one that stretches a viewBox of span x span units, with
// strokes that do not scale.
const span = 1000

// A chart is a plot over epochs.
type chart struct {
	id          string // unique in the page
	title       string // short, read out by a screen reader
	description string // what the chart shows, in a sentence
	height      int    // CSS pixels
	x, y        axis
	bands       []band
	rules       []rule
	curves      []curve
	readings    []reading
}

// A band is a shaded region between low and high over epochs.
type band struct {
	class     string
	epochs    []float64
	low, high []float64
}

// A rule is a horizontal line with a label at its right end.
type rule struct {
	class, label string
	value        float64
}

// A curve is a line over epochs. A value that is not finite breaks it.
type curve struct {
	class  string // decides colour and dashes, see report.css
	label  string
	dots   bool // marks each value
	points []point
}

type point struct{ epoch, value float64 }

// A reading is what hovering over an epoch says.
type reading struct {
	epoch float64
	text  string
}

// escape makes text from a run safe inside SVG and HTML.
func escape(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == 0xFFFE || r == 0xFFFF {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return html.EscapeString(text)
}

// shorten cuts text that has to fit beside a plot.
func shorten(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}

// svg draws the chart.
func (c *chart) svg() template.HTML {
	var b strings.Builder
	openSVG(&b, c.id, c.title, c.description, c.height)
	c.drawGrid(&b)
	fmt.Fprintf(&b, `<svg class="plane" width="100%%" height="100%%" viewBox="0 0 %d %d" preserveAspectRatio="none">`, span, span)
	for _, band := range c.bands {
		fmt.Fprintf(&b, `<path class="band %s" d="%s"/>`, band.class, c.bandPath(&band))
	}
	for _, r := range c.rules {
		y := c.vertical(r.value)
		fmt.Fprintf(&b, `<path class="line %s" d="M0 %sH%d"/>`, r.class, y, span)
	}
	for _, curve := range c.curves {
		line, dots := c.curvePaths(&curve)
		fmt.Fprintf(&b, `<path class="line %s" d="%s"/>`, curve.class, line)
		if curve.dots {
			fmt.Fprintf(&b, `<path class="dots %s" d="%s"/>`, curve.class, dots)
		}
	}
	c.drawReadings(&b)
	b.WriteString(`</svg>`)
	c.drawLabels(&b)
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

func openSVG(b *strings.Builder, id, title, description string, height int) {
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" role="img" class="chart" width="100%%" height="%d" aria-labelledby="%s-title %s-text">`, height, id, id)
	fmt.Fprintf(b, `<title id="%s-title">%s</title><desc id="%s-text">%s</desc>`, id, escape(title), id, escape(description))
}

// drawGrid draws horizontal grid lines and the labels of both axes. The labels
// lie outside the plot, in the padding of the figure.
func (c *chart) drawGrid(b *strings.Builder) {
	for _, t := range c.y.ticks {
		y := share(1 - c.y.at(t.value))
		fmt.Fprintf(b, `<line class="grid" x1="0" x2="100%%" y1="%s" y2="%s"/><text class="tick" x="0" dx="-8" y="%s" dy="4" text-anchor="end">%s</text>`, y, y, y, t.label)
	}
	drawEpochTicks(b, &c.x)
}

func drawEpochTicks(b *strings.Builder, x *axis) {
	b.WriteString(`<line class="axis" x1="0" x2="100%" y1="100%" y2="100%"/>`)
	for _, t := range x.ticks {
		at := share(x.at(t.value))
		fmt.Fprintf(b, `<text class="tick" x="%s" y="100%%" dy="17" text-anchor="middle">%s</text>`, at, t.label)
	}
	b.WriteString(`<text class="tick" x="100%" y="100%" dy="34" text-anchor="end">epoch</text>`)
}

// drawReadings lays an invisible column over each epoch; its title is the
// browser's own tooltip, and the page's script copies it below the chart.
func (c *chart) drawReadings(b *strings.Builder) {
	for i, r := range c.readings {
		left, right := c.x.low, c.x.high
		if i > 0 {
			left = (c.readings[i-1].epoch + r.epoch) / 2
		}
		if i+1 < len(c.readings) {
			right = (r.epoch + c.readings[i+1].epoch) / 2
		}
		fmt.Fprintf(b, `<rect class="hit" x="%s" y="0" width="%s" height="%d"><title>%s</title></rect>`,
			coordinate(c.x.at(left)), coordinate(c.x.at(right)-c.x.at(left)), span, escape(r.text))
	}
}

// drawLabels names the curves at their right ends, kept apart; phones show the
// legend instead.
func (c *chart) drawLabels(b *strings.Builder) {
	type label struct {
		class, text string
		y           float64 // pixels from the top
	}
	var labels []label
	for _, curve := range c.curves {
		if last, ok := lastFinite(curve.points); ok {
			labels = append(labels, label{curve.class, curve.label, (1 - c.y.at(last.value)) * float64(c.height)})
		}
	}
	for _, r := range c.rules {
		labels = append(labels, label{r.class, r.label, (1 - c.y.at(r.value)) * float64(c.height)})
	}
	slices.SortStableFunc(labels, func(p, q label) int { return int(math.Copysign(1, p.y-q.y)) })
	wanted := make([]float64, len(labels))
	for i, l := range labels {
		wanted[i] = l.y
	}
	for i, y := range spread(wanted, 15, 4, float64(c.height)-4) {
		fmt.Fprintf(b, `<text class="name %s" x="100%%" dx="8" y="%.0f" dy="4">%s</text>`, labels[i].class, y, escape(labels[i].text))
	}
}

// spread moves sorted positions apart until neighbours are gap apart, within
// low and high, first down and then up.
func spread(positions []float64, gap, low, high float64) []float64 {
	moved := slices.Clone(positions)
	for i := range moved {
		moved[i] = max(moved[i], low)
		if i > 0 {
			moved[i] = max(moved[i], moved[i-1]+gap)
		}
	}
	for i := len(moved) - 1; i >= 0; i-- {
		limit := high
		if i+1 < len(moved) {
			limit = moved[i+1] - gap
		}
		moved[i] = min(moved[i], limit)
	}
	return moved
}

func lastFinite(points []point) (point, bool) {
	for _, p := range slices.Backward(points) {
		if finite(p.value) {
			return p, true
		}
	}
	return point{}, false
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// share writes a position as a percentage.
func share(x float64) string { return trim(100*x, 2) + "%" }

// coordinate writes a position in units of the inner drawing.
func coordinate(x float64) string { return trim(span*x, 1) }

func trim(x float64, decimals int) string {
	text := fmt.Sprintf("%.*f", decimals, x)
	text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	if text == "-0" || text == "" {
		return "0"
	}
	return text
}

func (c *chart) horizontal(epoch float64) string { return coordinate(c.x.at(epoch)) }

// vertical clips to a little outside the plot, which hides what lies beyond.
func (c *chart) vertical(value float64) string {
	return coordinate(max(-0.05, min(1.05, 1-c.y.at(value))))
}

// curvePaths returns the line, and a path of zero-length strokes whose round
// ends are the dots; a value between two gaps gets such a dot in the line.
func (c *chart) curvePaths(curve *curve) (line, dots string) {
	var lines, marks strings.Builder
	drawing := false
	for _, p := range curve.points {
		if !finite(p.value) || c.y.logarithmic && p.value <= 0 {
			drawing = false
			continue
		}
		x, y := c.horizontal(p.epoch), c.vertical(p.value)
		if drawing {
			fmt.Fprintf(&lines, "L%s %s", x, y)
		} else {
			fmt.Fprintf(&lines, "M%s %sh0", x, y)
		}
		fmt.Fprintf(&marks, "M%s %sh0", x, y)
		drawing = true
	}
	return lines.String(), marks.String()
}

func (c *chart) bandPath(b *band) string {
	var path strings.Builder
	command := byte('M')
	for i, epoch := range b.epochs {
		fmt.Fprintf(&path, "%c%s %s", command, c.horizontal(epoch), c.vertical(b.high[i]))
		command = 'L'
	}
	for i, epoch := range slices.Backward(b.epochs) {
		fmt.Fprintf(&path, "L%s %s", c.horizontal(epoch), c.vertical(b.low[i]))
	}
	if path.Len() > 0 {
		path.WriteByte('Z')
	}
	return path.String()
}
