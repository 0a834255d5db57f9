package main

import (
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// Colours are those of the report, on light and on dark pages.
const style = `<style>
text { font: 12px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #575e69; }
.title { fill: #16181d; font-weight: 600; }
.grid { stroke: #dfe2e7; }
.axis { stroke: #9aa1ac; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.validation { stroke: #0b5cad; } .averaged { stroke: #00795a; } .fixed { stroke: #7b3fa0; } .train { stroke: #6b727d; } .guess { stroke: #a3480a; }
text.validation { fill: #0b5cad; stroke: none; } text.averaged { fill: #00795a; stroke: none; } text.fixed { fill: #7b3fa0; stroke: none; }
text.train { fill: #6b727d; stroke: none; } text.guess { fill: #a3480a; stroke: none; }
.band { fill: #0b5cad; fill-opacity: 0.13; stroke: none; }
.dashed { stroke-dasharray: 4 4; }
@media (prefers-color-scheme: dark) {
  text { fill: #a2a9b4; }
  .title { fill: #e7e9ec; }
  .grid { stroke: #333941; }
  .axis { stroke: #6b727d; }
  .validation { stroke: #6db3ff; } .averaged { stroke: #45cfa0; } .fixed { stroke: #c7a0ff; } .train { stroke: #98a0ab; } .guess { stroke: #f2a654; }
  text.validation { fill: #6db3ff; } text.averaged { fill: #45cfa0; } text.fixed { fill: #c7a0ff; } text.train { fill: #98a0ab; } text.guess { fill: #f2a654; }
  .band { fill: #6db3ff; fill-opacity: 0.18; }
}
</style>
`

// A drawing is one SVG file.
type drawing struct {
	strings.Builder
	width, height float64
}

func newDrawing(width, height float64, title string) *drawing {
	d := &drawing{width: width, height: height}
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" role="img"><title>%s</title>`+"\n"+style, width, height, html.EscapeString(title))
	return d
}

// save writes the file beside the page.
func (d *drawing) save(name string) error {
	d.WriteString("</svg>\n")
	return os.WriteFile(filepath.Join(filepath.Dir(page), name), []byte(d.String()), 0o644)
}

func (d *drawing) text(x, y float64, class, anchor, text string) {
	fmt.Fprintf(d, `<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`+"\n", x, y, class, anchor, html.EscapeString(text))
}

// A panel is a pair of axes within a drawing.
type panel struct {
	*drawing
	left, top, width, height float64
	from, to                 float64 // of the horizontal axis
	low, high                float64 // of the vertical axis
	logarithmic              bool    // the horizontal axis
}

func (p *panel) x(value float64) float64 {
	from, to := p.from, p.to
	if p.logarithmic {
		value, from, to = math.Log(value), math.Log(from), math.Log(to)
	}
	return p.left + p.width*(value-from)/(to-from)
}

func (p *panel) y(value float64) float64 {
	return p.top + p.height*(1-(value-p.low)/(p.high-p.low))
}

// axes draws a title, horizontal lines at some values and the ends of the
// horizontal axis.
func (p *panel) axes(title string, values []float64, unit string, ticks ...string) {
	p.text(p.left, p.top-8, "title", "start", title)
	for _, v := range values {
		fmt.Fprintf(p, `<path class="grid" d="M%.1f %.1fh%.1f"/>`, p.left, p.y(v), p.width)
		p.text(p.left-6, p.y(v)+4, "", "end", fmt.Sprintf("%g%s", v, unit))
	}
	fmt.Fprintf(p, `<path class="axis" d="M%.1f %.1fh%.1f"/>`, p.left, p.top+p.height, p.width)
	for i, tick := range ticks {
		anchor := []string{"start", "middle", "end"}[min(2, 2*i/max(1, len(ticks)-1))]
		p.text(p.left+p.width*float64(i)/float64(max(1, len(ticks)-1)), p.top+p.height+16, "", anchor, tick)
	}
}

// curve draws values after epochs 1, 2, ...
func (p *panel) curve(class string, values []float64) {
	var path strings.Builder
	command := "M"
	for t, v := range values {
		if math.IsNaN(v) {
			command = "M"
			continue
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", command, p.x(float64(t+1)), p.y(v))
		command = "L"
	}
	fmt.Fprintf(p, `<path class="line %s" d="%s"/>`+"\n", class, path.String())
}

// path draws a line through points.
func (p *panel) path(class string, points [][2]float64) {
	var path strings.Builder
	for i, at := range points {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", command, p.x(at[0]), p.y(at[1]))
	}
	fmt.Fprintf(p, `<path class="line %s" d="%s"/>`+"\n", class, path.String())
}

// level draws a dashed horizontal line.
func (p *panel) level(class string, value float64) {
	fmt.Fprintf(p, `<path class="line dashed %s" d="M%.1f %.1fh%.1f"/>`+"\n", class, p.left, p.y(value), p.width)
}

// band shades what lies between two curves of points.
func (p *panel) band(low, high [][2]float64) {
	var path strings.Builder
	for i, at := range low {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", command, p.x(at[0]), p.y(at[1]))
	}
	for i := len(high) - 1; i >= 0; i-- {
		fmt.Fprintf(&path, "L%.1f %.1f", p.x(high[i][0]), p.y(high[i][1]))
	}
	fmt.Fprintf(p, `<path class="band" d="%sZ"/>`+"\n", path.String())
}

// flat shades between two values.
func (p *panel) flat(low, high float64) {
	p.band([][2]float64{{p.from, low}, {p.to, low}}, [][2]float64{{p.from, high}, {p.to, high}})
}
