package web

import (
	"fmt"
	"html/template"
	"strings"
)

// A plot is a chart whose horizontal axis is a quantity, not epochs, with marks
// of any size besides curves.
type plot struct {
	chart
	xName  string
	marks  []mark
	ranges []upright
}

// An upright is the interval of a value, drawn as a line from low to high with a
// word above it.
type upright struct {
	class        string
	x, low, high float64
	label        string
}

// A mark is a disc, or several that lie on one another.
type mark struct {
	class string
	x, y  float64
	size  float64 // diameter in CSS pixels
	text  string  // what hovering over it says

	beside float64 // CSS pixels to the right of its place
}

func (p *plot) svg() template.HTML {
	var b strings.Builder
	openSVG(&b, p.id, p.title, p.description, p.height)
	for _, t := range p.y.ticks {
		y := share(1 - p.y.at(t.value))
		fmt.Fprintf(&b, `<line class="grid" x1="0" x2="100%%" y1="%s" y2="%s"/><text class="tick" x="0" dx="-8" y="%s" dy="4" text-anchor="end">%s</text>`, y, y, y, t.label)
	}
	b.WriteString(`<line class="axis" x1="0" x2="100%" y1="100%" y2="100%"/>`)
	for _, t := range p.x.ticks {
		fmt.Fprintf(&b, `<text class="tick" x="%s" y="100%%" dy="17" text-anchor="middle">%s</text>`, share(p.x.at(t.value)), t.label)
	}
	fmt.Fprintf(&b, `<text class="tick" x="100%%" y="100%%" dy="34" text-anchor="end">%s</text>`, escape(p.xName))
	fmt.Fprintf(&b, `<svg class="plane" width="100%%" height="100%%" viewBox="0 0 %d %d" preserveAspectRatio="none">`, span, span)
	for _, band := range p.bands {
		fmt.Fprintf(&b, `<path class="band %s" d="%s"/>`, band.class, p.bandPath(&band))
	}
	for _, r := range p.rules { // upright
		x := coordinate(p.x.at(r.value))
		fmt.Fprintf(&b, `<path class="line %s" d="M%s 0V%d"/>`, r.class, x, span)
	}
	for _, curve := range p.curves {
		line, dots := p.curvePaths(&curve)
		fmt.Fprintf(&b, `<path class="line %s" d="%s"/>`, curve.class, line)
		if curve.dots {
			fmt.Fprintf(&b, `<path class="dots %s" d="%s"/>`, curve.class, dots)
		}
	}
	b.WriteString(`</svg>`)
	for _, u := range p.ranges {
		x, high := share(p.x.at(u.x)), share(1-p.y.at(u.high))
		fmt.Fprintf(&b, `<line class="upright %[1]s" x1="%[2]s" x2="%[2]s" y1="%[3]s" y2="%[4]s"/>`, u.class, x, share(1-p.y.at(u.low)), high)
		if u.label != "" {
			fmt.Fprintf(&b, `<text class="tick" x="%s" y="%s" dy="-5" text-anchor="middle">%s</text>`, x, high, escape(u.label))
		}
	}
	for _, m := range p.marks {
		fmt.Fprintf(&b, `<circle class="mark %s" cx="%s" cy="%s" r="%s" transform="translate(%s 0)"><title>%s</title></circle>`,
			m.class, share(p.x.at(m.x)), share(1-p.y.at(m.y)), trim(m.size/2, 1), trim(m.beside, 0), escape(m.text))
	}
	for _, r := range p.rules {
		fmt.Fprintf(&b, `<text class="inset %s" x="%s" dx="5" y="0" dy="12">%s</text>`, r.class, share(p.x.at(r.value)), escape(r.label))
	}
	for _, curve := range p.curves {
		if curve.label == "" {
			continue
		}
		if last, ok := lastFinite(curve.points); ok {
			fmt.Fprintf(&b, `<text class="name %s" x="100%%" dx="8" y="%s" dy="4">%s</text>`, curve.class, share(1-p.y.at(last.value)), escape(curve.label))
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}
