package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

const figure = "docs/budget.svg"

// The colours of clean and planted trainings, and of what is drawn around them.
const (
	cleanColour, plantedColour = "#1f6fb8", "#d1602f"
	inkColour, paleColour      = "#333", "#999"
)

// A panel of the figure is a square of the given side, with its lower left corner at
// (left, bottom).
type panel struct{ left, bottom, side float64 }

func (p panel) at(truth, estimate float64) (x, y float64) {
	return p.left + p.side*truth/100, p.bottom - p.side*estimate/100
}

// draw writes the figure of the estimated against the true finite share: a panel for
// each size, a dot for each validation set, and the band that holds 95 % of the
// estimates of sets with about that true share.
func (r results) draw(name string) error {
	const side, gap = 190, 52
	shown := []int{20, 50, 200}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11" fill="%s">`+"\n", len(shown)*(side+gap)+gap/2, side+96, inkColour)
	b.WriteString("<title>Estimated against true share of the finite validation set</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n")
	for i, n := range shown {
		p := panel{left: float64(gap + i*(side+gap)), bottom: side + 30, side: side}
		p.frame(&b, fmt.Sprintf("%d validation subjects", n), i == 0)
		points := r.of(n)
		p.band(&b, points)
		x0, y0 := p.at(0, 0)
		x1, y1 := p.at(100, 100)
		fmt.Fprintf(&b, `<path d="M%.1f %.1fL%.1f %.1f" stroke="%s" stroke-dasharray="4 3"/>`+"\n", x0, y0, x1, y1, inkColour)
		for _, x := range points {
			colour := cleanColour
			if x.planted {
				colour = plantedColour
			}
			cx, cy := p.at(x.truth, x.estimate)
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="1.8" fill="%s" fill-opacity=".45"/>`+"\n", cx, cy, colour)
		}
	}
	y := side + 82
	for i, entry := range []struct{ colour, text string }{{cleanColour, "clean training"}, {plantedColour, "something planted"}} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="%d" r="4" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n", gap+4+i*130, y-4, entry.colour, gap+13+i*130, y, entry.text)
	}
	fmt.Fprintf(&b, `<rect x="%d" y="%d" width="14" height="10" fill="#000" fill-opacity=".1"/><text x="%d" y="%d">95 %% of the estimates at about that true share</text>`+"\n", gap+265, y-9, gap+284, y)
	b.WriteString("</svg>\n")
	return os.WriteFile(name, []byte(b.String()), 0o644)
}

// of lists the estimates of the finite share from n subjects, by true share.
func (r results) of(n int) results {
	var chosen results
	for _, x := range r {
		if x.quantity == finiteShare && x.n == n && x.known() {
			chosen = append(chosen, x)
		}
	}
	slices.SortStableFunc(chosen, func(a, b result) int {
		switch {
		case a.truth < b.truth:
			return -1
		case a.truth > b.truth:
			return 1
		}
		return 0
	})
	return chosen
}

// frame draws the axes with their titles.
func (p panel) frame(b *strings.Builder, title string, first bool) {
	fmt.Fprintf(b, `<text x="%.1f" y="20" font-weight="bold">%s</text>`, p.left, title)
	fmt.Fprintf(b, `<path d="M%.1f %.1fv%.1fh%.1f" fill="none" stroke="%s"/>`+"\n", p.left, p.bottom-p.side, p.side, p.side, paleColour)
	for _, tick := range []float64{0, 50, 100} {
		x, y := p.at(tick, tick)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%.0f</text><text x="%.1f" y="%.1f" text-anchor="end">%.0f</text>`+"\n",
			x, p.bottom+14, tick, p.left-5, y+4, tick)
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">true share, %%</text>`+"\n", p.left+p.side/2, p.bottom+29)
	if first {
		x, y := p.left-32, p.bottom-p.side/2
		fmt.Fprintf(b, `<text transform="translate(%.1f %.1f) rotate(-90)" text-anchor="middle">estimated share, %%</text>`+"\n", x, y)
	}
}

// band draws where 95 % of the estimates lie, of those whose truth is within 10
// points, wherever there are 20 of them.
func (p panel) band(b *strings.Builder, points results) {
	var upper, lower []string
	for truth := 0.0; truth <= 100; truth += 4 {
		var near []float64
		for _, x := range points {
			if x.truth >= truth-10 && x.truth <= truth+10 {
				near = append(near, x.estimate)
			}
		}
		if len(near) < 20 {
			continue
		}
		slices.Sort(near)
		cut := len(near) / 40
		x, y := p.at(truth, near[len(near)-1-cut])
		upper = append(upper, fmt.Sprintf("%.1f %.1f", x, y))
		x, y = p.at(truth, near[cut])
		lower = append(lower, fmt.Sprintf("%.1f %.1f", x, y))
	}
	if len(upper) == 0 {
		return
	}
	slices.Reverse(lower)
	fmt.Fprintf(b, `<path d="M%sZ" fill="#000" fill-opacity=".1"/>`+"\n", strings.Join(append(upper, lower...), "L"))
}
