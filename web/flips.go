package web

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"math"
	"slices"
	"strings"

	"ballast/run"
)

// A flipMap shows which validation subject was right after which epoch, and
// how surely: one block per class, one row per subject, one column per epoch.
type flipMap struct {
	view    string // the view that was drawn
	columns []*run.Evaluation
	epochs  []float64 // of the columns
	last    int       // recorded epochs
	blocks  []block
}

// A block is the subjects of one class.
type block struct {
	class string
	rows  []row
}

// A row is a validation subject.
type row struct {
	run.Subject
	index     int     // in the set
	evaluated int     // epochs
	right     int     // epochs
	flips     int     // changes between right and wrong from one evaluated epoch to the next
	truth     float64 // mean probability of the true class
}

// mostColumns bounds the epochs that are drawn; beyond it every second, third,
// ... is.
const mostColumns = 1000

// newFlipMap returns nil when no per-subject predictions were recorded.
func newFlipMap(r *run.Run) *flipMap {
	for _, view := range []string{run.Logged, run.Deterministic} {
		m := &flipMap{view: view, last: len(r.Epochs)}
		every := max(1, (len(r.Epochs)+mostColumns-1)/mostColumns)
		found := false
		for i := 0; i < len(r.Epochs); i += every {
			e := r.Epochs[i].Evaluation(view, run.Validation)
			if e != nil && e.Probabilities == nil {
				e = nil
			}
			found = found || e != nil
			m.columns = append(m.columns, e)
			m.epochs = append(m.epochs, float64(r.Epochs[i].Epoch))
		}
		if found {
			m.group(r, view)
			return m
		}
	}
	return nil
}

// group sorts the subjects by class and, within a class, by falling flips.
func (m *flipMap) group(r *run.Run, view string) {
	m.blocks = make([]block, len(r.Header.Classes))
	for i, subject := range r.Header.Sets[run.Validation] {
		b := &m.blocks[subject.Class]
		b.rows = append(b.rows, newRow(r, view, i, subject))
	}
	for class := range m.blocks {
		m.blocks[class].class = r.Header.Classes[class]
		slices.SortStableFunc(m.blocks[class].rows, func(a, b row) int {
			return cmp.Or(cmp.Compare(b.flips, a.flips), cmp.Compare(a.right, b.right), cmp.Compare(a.ID, b.ID))
		})
	}
	m.blocks = slices.DeleteFunc(m.blocks, func(b block) bool { return len(b.rows) == 0 })
}

// newRow counts over every epoch, drawn or not.
func newRow(r *run.Run, view string, index int, subject run.Subject) row {
	s := row{Subject: subject, index: index}
	sum, before := 0.0, false
	for i := range r.Epochs {
		e := r.Epochs[i].Evaluation(view, run.Validation)
		if e == nil || e.Probabilities == nil || e.Probabilities[index] == nil {
			continue
		}
		probabilities := e.Probabilities[index]
		now := mostProbable(probabilities) == subject.Class
		if s.evaluated > 0 && now != before {
			s.flips++
		}
		if now {
			s.right++
		}
		s.evaluated++
		before = now
		sum += float64(probabilities[subject.Class])
	}
	s.truth = sum / float64(s.evaluated)
	return s
}

// mostProbable is the class that a row predicts, the first of equals; -1 when
// the row has values that are not numbers.
func mostProbable(probabilities run.Row) int {
	best := 0
	for class, p := range probabilities {
		if !finite(float64(p)) {
			return -1
		}
		if p > probabilities[best] {
			best = class
		}
	}
	return best
}

// The palette of the map: orange is wrong and blue is right, the paler the
// closer to the threshold. Sixteen colours keep the image at four bits a cell.
const (
	levels       = 7
	notEvaluated = 0
	notANumber   = 1
	firstWrong   = 2 // nearly right ... surely wrong
	firstRight   = firstWrong + levels
)

var palette = flipPalette()

func flipPalette() color.Palette {
	p := color.Palette{color.RGBA{0xd5, 0xd8, 0xdd, 0xff}, color.RGBA{0x3a, 0x3f, 0x47, 0xff}}
	p = append(p, ramp(color.RGBA{0xfd, 0xe3, 0xcb, 0xff}, color.RGBA{0xf0, 0x8a, 0x3c, 0xff}, color.RGBA{0xa0, 0x34, 0x00, 0xff})...)
	return append(p, ramp(color.RGBA{0xe2, 0xed, 0xf7, 0xff}, color.RGBA{0x93, 0xc1, 0xe6, 0xff}, color.RGBA{0x2f, 0x7e, 0xbf, 0xff})...)
}

// ramp goes from pale over middle to strong in levels steps.
func ramp(pale, middle, strong color.RGBA) []color.Color {
	colours := make([]color.Color, levels)
	mix := func(a, b uint8, t float64) uint8 { return uint8(math.Round(float64(a) + t*(float64(b)-float64(a)))) }
	for i := range colours {
		from, to, t := pale, middle, 2*float64(i)/(levels-1)
		if t > 1 {
			from, to, t = middle, strong, t-1
		}
		colours[i] = color.RGBA{mix(from.R, to.R, t), mix(from.G, to.G, t), mix(from.B, to.B, t), 0xff}
	}
	return colours
}

// shade is the palette index of a prediction.
func shade(probabilities run.Row, class int) uint8 {
	if probabilities == nil {
		return notEvaluated
	}
	level := func(sure float64) uint8 { return uint8(max(0, min(levels-1, math.Floor(sure*levels)))) }
	truth := float64(probabilities[class])
	switch mostProbable(probabilities) {
	case -1:
		return notANumber
	case class: // the most probable class has at least 1 / classes
		least := 1 / float64(len(probabilities))
		return firstRight + level((truth-least)/(1-least))
	}
	return firstWrong + level(1-2*truth)
}

// image draws a block, one pixel per cell, as a data URI.
func (m *flipMap) image(b *block) (string, error) {
	picture := image.NewPaletted(image.Rect(0, 0, len(m.columns), len(b.rows)), palette)
	for y, s := range b.rows {
		for x, e := range m.columns {
			if e != nil {
				picture.SetColorIndex(x, y, shade(e.Probabilities[s.index], s.Class))
			}
		}
	}
	var file bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&file, picture); err != nil {
		return "", err
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(file.Bytes()), nil
}

// Up to mostNamed subjects have rows high enough for their names.
const (
	mostNamed   = 64
	namedHeight = 15 // CSS pixels
)

// rowHeight is in CSS pixels.
func (m *flipMap) rowHeight() float64 {
	subjects := 0
	for _, b := range m.blocks {
		subjects += len(b.rows)
	}
	switch {
	case subjects <= mostNamed:
		return namedHeight
	case subjects <= 150:
		return 6
	}
	return max(1, min(6, 900/float64(subjects)))
}

// A flipBlock is a block as the page shows it.
type flipBlock struct {
	Title string
	SVG   template.HTML
}

func (m *flipMap) draw() ([]flipBlock, error) {
	var all []flipBlock
	for i := range m.blocks {
		b := &m.blocks[i]
		data, err := m.image(b)
		if err != nil {
			return nil, fmt.Errorf("draw the flip map: %w", err)
		}
		all = append(all, flipBlock{
			Title: b.class + ", " + plural(len(b.rows), "subject"),
			SVG:   m.svg(b, fmt.Sprintf("flips-%d", i), data, i == len(m.blocks)-1),
		})
	}
	return all, nil
}

func (m *flipMap) svg(b *block, id, data string, last bool) template.HTML {
	var out strings.Builder
	height := m.rowHeight()
	x := epochAxis(m.last)
	openSVG(&out, id, "Flip map of class "+b.class, b.describe(), int(math.Ceil(height*float64(len(b.rows)))))
	fmt.Fprintf(&out, `<image class="cells" href="%s" width="100%%" height="100%%" preserveAspectRatio="none"/>`, data)
	for i, s := range b.rows {
		y, h := share(float64(i)/float64(len(b.rows))), share(1/float64(len(b.rows)))
		fmt.Fprintf(&out, `<rect class="hit" x="0" y="%s" width="100%%" height="%s"><title>%s</title></rect>`, y, h, escape(s.String()))
		if height >= namedHeight {
			middle := share((float64(i) + 0.5) / float64(len(b.rows)))
			fmt.Fprintf(&out, `<line class="gap" x1="0" x2="100%%" y1="%s" y2="%s"/>`, y, y)
			fmt.Fprintf(&out, `<text class="name" x="100%%" dx="8" y="%s" dy="4">%s</text>`, middle, escape(shorten(s.ID, 15)))
			fmt.Fprintf(&out, `<text class="count" x="0" dx="-8" y="%s" dy="4" text-anchor="end">%d</text>`, middle, s.flips)
		}
	}
	if height < namedHeight {
		m.drawFlipBars(&out, b)
	}
	if last {
		drawEpochTicks(&out, &x)
	}
	out.WriteString(`</svg>`)
	return template.HTML(out.String())
}

// drawFlipBars shows each subject's flips right of its row, where there is no
// room for a name and a number.
func (m *flipMap) drawFlipBars(out *strings.Builder, b *block) {
	most := 1
	for _, block := range m.blocks {
		most = max(most, block.rows[0].flips)
	}
	fmt.Fprintf(out, `<svg class="plane beside" x="100%%" width="120" height="100%%" viewBox="0 0 %d %d" preserveAspectRatio="none"><path class="flips" d="`, span, span)
	for i, s := range b.rows {
		top, bottom := float64(i)/float64(len(b.rows)), float64(i+1)/float64(len(b.rows))
		fmt.Fprintf(out, "M70 %sH%sV%sH70Z", coordinate(top), coordinate(0.07+0.73*float64(s.flips)/float64(most)), coordinate(bottom))
	}
	out.WriteString(`"/></svg>`)
	fmt.Fprintf(out, `<text class="name" x="100%%" dx="8" y="-6">flips (longest bar: %d)</text>`, most)
}

func (b *block) describe() string {
	most := b.rows[0]
	return fmt.Sprintf("%s; the one that flips most is %s", plural(len(b.rows), "subject"), most.String())
}

// String describes a subject in a line.
func (s *row) String() string {
	if s.evaluated == 0 {
		return s.ID + ": not evaluated"
	}
	return fmt.Sprintf("%s: %s, right after %d of %d epochs, mean probability of the true class %s",
		s.ID, plural(s.flips, "flip"), s.right, s.evaluated, decimal(s.truth, 2))
}

// swatches are the colours of the legend, surely wrong to surely right.
func swatches() []template.CSS {
	var all []template.CSS
	for i := levels - 1; i >= 0; i-- {
		all = append(all, css(palette[firstWrong+i]))
	}
	for i := range levels {
		all = append(all, css(palette[firstRight+i]))
	}
	return all
}

func css(c color.Color) template.CSS {
	r, g, b, _ := c.RGBA()
	return template.CSS(fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8))
}
