package web

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"ballast/diagnosis"
)

// sources names the sources of jitter, in the order of the ladder.
var sources = []struct{ id, name, meaning string }{
	{diagnosis.EvaluationNoise, "Evaluation noise", "a random subset, augmentation or dropout left on while validating"},
	{diagnosis.BatchNormLag, "Batch-norm lag", "the running statistics do not fit the weights"},
	{diagnosis.ThresholdFlicker, "Threshold flicker", "the decision threshold moves while the ranking of the subjects stays"},
	{diagnosis.WeightNoise, "Weight noise", "goes away when the weights are averaged over epochs: learning rate, batch size"},
	{diagnosis.FiniteValidationSet, "Finite validation set", "too few subjects to measure the accuracy any better"},
	{diagnosis.RealChange, "Real change", "learning, or genuine instability of the network"},
}

// sourceName returns a source's name, its meaning and the number of its colour.
func sourceName(id string) (name, meaning string, colour int) {
	for i, s := range sources {
		if s.id == id {
			return s.name, s.meaning, i
		}
	}
	return inWords(id), "", len(sources)
}

// inWords turns "real-change" into "Real change".
func inWords(id string) string {
	words := strings.ReplaceAll(id, "-", " ")
	if words == "" {
		return words
	}
	return strings.ToUpper(words[:1]) + words[1:]
}

// undecided stands for a share whose interval is too wide to act on.
const undecided = "cannot tell"

// A budgetLine is a row of the table below the bar.
type budgetLine struct {
	Colour        int
	Name, Meaning string
	Includes      string
	Share, Range  string
	Points        string
	Whisker       template.HTML
}

func budgetLines(shares []diagnosis.Share) []budgetLine {
	var lines []budgetLine
	scale := whiskerScale(shares)
	for _, s := range shares {
		name, meaning, colour := sourceName(s.Source)
		var includes []string
		for _, id := range s.Includes {
			other, _, _ := sourceName(id)
			includes = append(includes, strings.ToLower(other))
		}
		line := budgetLine{
			Colour: colour, Name: name, Meaning: meaning, Includes: strings.Join(includes, ", "),
			Share: percent(float64(s.Share)), Range: rangeOf(diagnosis.Ratio, s.Low, s.High),
			Points: decimal(float64(s.Points), 1), Whisker: whisker(s, &scale),
		}
		if !s.Decides() {
			line.Share, line.Points = undecided, unknown
		}
		lines = append(lines, line)
	}
	return lines
}

// dividedJitter is the jitter whose square the shares divide: that of the
// largest share, of which points = sign(share) sqrt(|share|) jitter. It is the
// jitter to expect of n subjects, which may differ from what these n showed.
// NaN when there is no share.
func dividedJitter(shares []diagnosis.Share) float64 {
	jitter, largest := math.NaN(), 0.0
	for _, s := range shares {
		if size := math.Abs(float64(s.Share)); size > largest && s.Points.Known() {
			largest, jitter = size, math.Abs(float64(s.Points))/math.Sqrt(size)
		}
	}
	return jitter
}

// whiskerScale spans all shares and intervals, and 0 to 100 %.
func whiskerScale(shares []diagnosis.Share) axis {
	low, high := 0.0, 1.0
	for _, s := range shares {
		for _, x := range []diagnosis.Number{s.Share, s.Low, s.High} {
			if x.Known() {
				low, high = min(low, float64(x)), max(high, float64(x))
			}
		}
	}
	return axis{low: low, high: high}
}

// whiskerTicks labels the two grid lines of the whiskers.
func whiskerTicks(shares []diagnosis.Share) template.HTML {
	scale := whiskerScale(shares)
	return template.HTML(fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" class="chart" width="100%%" height="14" aria-hidden="true">`+
		`<text x="%s" y="11" text-anchor="middle">0 %%</text><text x="%s" y="11" text-anchor="middle">100 %%</text></svg>`,
		share(scale.at(0)), share(scale.at(1))))
}

// whisker draws a share with its interval on the common scale.
func whisker(s diagnosis.Share, scale *axis) template.HTML {
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" class="whisker" width="100%" height="20" aria-hidden="true">`)
	for _, x := range []float64{0, 1} {
		at := share(scale.at(x))
		fmt.Fprintf(&b, `<line class="grid" x1="%s" x2="%s" y1="-9" y2="29"/>`, at, at)
	}
	if s.Low.Known() && s.High.Known() {
		fmt.Fprintf(&b, `<line class="interval" x1="%s" x2="%s" y1="10" y2="10"/>`, share(scale.at(float64(s.Low))), share(scale.at(float64(s.High))))
	}
	if s.Share.Known() && s.Decides() {
		fmt.Fprintf(&b, `<circle class="estimate" cx="%s" cy="10" r="4"/>`, share(scale.at(float64(s.Share))))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

// A segment is a source's part of the bar, in shares of the jitter's variance.
type segment struct {
	from, to float64
	colour   int
	name     string
	share    float64
	decided  bool // the interval is narrow enough to act on
}

// amount is the share in words.
func (s *segment) amount() string {
	if !s.decided {
		return undecided
	}
	return percent(s.share)
}

// segments lays positive shares end to end to the right of zero and negative
// ones to its left, so that both add up to the whole.
func segments(shares []diagnosis.Share) []segment {
	var all []segment
	right, left := 0.0, 0.0
	for _, s := range shares {
		value := float64(s.Share)
		if !s.Share.Known() || value == 0 {
			continue
		}
		name, _, colour := sourceName(s.Source)
		part := segment{from: right, to: right + value, colour: colour, name: name, share: value, decided: s.Decides()}
		if value < 0 {
			part.from, part.to = left+value, left
			left += value
		} else {
			right += value
		}
		all = append(all, part)
	}
	return all
}

const barHeight = 46

// budgetBar draws the budget as one bar; "" when there is none.
func budgetBar(shares []diagnosis.Share) template.HTML {
	parts := segments(shares)
	if len(parts) == 0 {
		return ""
	}
	scale := axis{low: 0, high: 1}
	var names []string
	for _, p := range parts {
		scale.low, scale.high = min(scale.low, p.from), max(scale.high, p.to)
		names = append(names, p.name+" "+p.amount())
	}
	var b strings.Builder
	openSVG(&b, "budget", "The budget of the jitter", "Shares of the variance of the accuracy's jitter: "+strings.Join(names, ", ")+".", barHeight)
	for _, p := range parts {
		from, to := scale.at(p.from), scale.at(p.to)
		class := fmt.Sprintf("source s%d", p.colour)
		if p.share < 0 {
			class += " negative"
		}
		if !p.decided {
			class += " undecided"
		}
		fmt.Fprintf(&b, `<rect class="%s" x="%s" width="%s" y="0" height="100%%"><title>%s %s</title></rect>`,
			class, share(from), share(to-from), escape(p.name), p.amount())
		if to-from >= 0.09 && p.decided {
			fmt.Fprintf(&b, `<text class="inside" x="%s" y="50%%" dy="4" text-anchor="middle">%s</text>`, share((from+to)/2), percent(p.share))
		}
	}
	for _, t := range barTicks(&scale) {
		at := share(scale.at(t))
		fmt.Fprintf(&b, `<line class="axis" x1="%s" x2="%s" y1="100%%" y2="100%%" transform="translate(0 5)"/>`, at, at)
		fmt.Fprintf(&b, `<text class="tick" x="%s" y="100%%" dy="17" text-anchor="middle">%s</text>`, at, percent(t))
	}
	if scale.low < 0 {
		at := share(scale.at(0))
		fmt.Fprintf(&b, `<line class="zero" x1="%s" x2="%s" y1="-4" y2="%d"/>`, at, at, barHeight+4)
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

func barTicks(scale *axis) []float64 {
	step := max(0.25, niceStep((scale.high-scale.low)/5))
	var ticks []float64
	for x := math.Ceil(scale.low/step-1e-9) * step; x <= scale.high+1e-9; x += step {
		ticks = append(ticks, x)
	}
	return slices.Clip(ticks)
}
