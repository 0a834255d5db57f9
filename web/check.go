package web

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/png"
	"io"
	"math"
	"slices"
	"strings"

	"ballast/audit"
)

var (
	//go:embed check.html
	checkText string
	//go:embed check.css
	checkStyle string

	checkTemplate = template.Must(template.New("check").Parse(checkText))
)

// Check writes the report of a cohort as one self-contained HTML page, with
// pictures of alike images when the report has them. The same report gives the
// same bytes.
func Check(w io.Writer, r *audit.Report) error {
	p, err := newCheckPage(r)
	if err == nil {
		var text bytes.Buffer
		if err = checkTemplate.Execute(&text, p); err == nil {
			_, err = w.Write(text.Bytes())
		}
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// A checkPage is what the template shows.
type checkPage struct {
	Style    template.CSS
	Name     string
	Lead     string
	Measures []measure
	Findings []checkFinding
	Pairs    []pairShown
	Lines    []string
	Figures  []figure // of the images: spacing, size
	Bright   []figure // histograms
	Groups   []groupLine
	Facts    []factLine
	Sets     []factLine
	Resolve  []string
	Curve    *figure
	Needed   []audit.Needed
	Plan     []audit.Choice
	Notes    []string
}

type checkFinding struct{ Class, Symbol, Level, ID, Title, Problem, Fix string }

// A pairShown is two pictures side by side and what is known of them.
type pairShown struct {
	Images [2]pictureShown
	Text   string
	Near   bool
}

type pictureShown struct {
	Source  template.URL // empty when there is no picture
	Caption string
}

// A figure is a drawing with its legend.
type figure struct {
	Title, Unit string
	SVG         template.HTML
	Legend      []legendEntry
	Caption     string
}

type groupLine struct{ Group, Name, Subjects, Mean, Deviation, Quantiles string }

type factLine struct {
	Name, Kind, Subjects, Area, P, Detail string
	Tells                                 bool
	Drawing                               template.HTML
}

func newCheckPage(r *audit.Report) (*checkPage, error) {
	p := &checkPage{Style: template.CSS(styleText + checkStyle), Name: cohortTitle(r.Cohort), Notes: r.Notes}
	p.Lead = glue(r.Print.Headline() + ".")
	for _, line := range r.Print.Lines() {
		p.Lines = append(p.Lines, glue(line))
	}
	p.addCheckMeasures(r)
	for _, f := range r.Findings {
		p.Findings = append(p.Findings, newCheckFinding(&f))
	}
	if err := p.addPairs(r); err != nil {
		return nil, err
	}
	if len(r.Images) > 0 {
		p.addGeometry(r)
		p.addBrightness(r)
	}
	classes := names(r.Print.Classes)
	p.Facts = factLines(r.Facts, classes)
	p.Sets = factLines(r.Sets, nil)
	for _, sentence := range r.Resolution.Sentences {
		p.Resolve = append(p.Resolve, glue(sentence))
	}
	p.Curve, p.Needed, p.Plan = resolutionCurve(&r.Resolution), r.Resolution.Needed, r.Proposal
	return p, nil
}

// cohortTitle is the name of a cohort's folder, or of its table when that says
// more than participants.tsv.
func cohortTitle(path string) string {
	parts := strings.Split(strings.Trim(strings.ReplaceAll(path, `\`, "/"), "/"), "/")
	if last := len(parts) - 1; last > 0 && parts[last] == "participants.tsv" {
		return parts[last-1]
	}
	return strings.Join(parts[max(0, len(parts)-2):], "/")
}

func names(tallies []audit.Tally) []string {
	var list []string
	for _, t := range tallies {
		list = append(list, t.Name)
	}
	return list
}

func (p *checkPage) addCheckMeasures(r *audit.Report) {
	count := func(level audit.Level) string { return fmt.Sprint(r.Count(level)) }
	res := r.Resolution
	visible := "none"
	if res.Visible < 1 {
		visible = decimal(math.Ceil(100*res.Visible), 0) + " points"
	}
	p.Measures = []measure{
		{"Errors", count(audit.Error), "would spoil the result"},
		{"Warnings", count(audit.Warning), "look before training"},
		{"Validation subjects", fmt.Sprint(res.Validation), ""},
		{fmt.Sprintf("An accuracy of %.0f\u00a0%% means", 100*res.Accuracy), fmt.Sprintf("%.0f to %.0f\u00a0%%", 100*res.Low, 100*res.High), "95\u00a0% interval"},
		{"Least visible difference", visible, "between two networks"},
	}
}

func newCheckFinding(f *audit.Finding) checkFinding {
	symbols := map[audit.Level][2]string{audit.Error: {"●", "v-confirmed"}, audit.Warning: {"◕", "v-likely"}, audit.Note: {"○", "v-note"}}
	s := symbols[f.Level]
	return checkFinding{Class: s[1], Symbol: s[0], Level: f.Level.String(), ID: f.ID,
		Title: strings.TrimSuffix(sentence(inWords(f.ID)), "."), Problem: glue(sentence(f.Problem)), Fix: glue(sentence(f.Fix))}
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

func (p *checkPage) addPairs(r *audit.Report) error {
	for _, pair := range audit.Shown(r.Pairs, r.Alike) {
		shown := pairShown{Near: slices.ContainsFunc(r.Pairs, func(other audit.Pair) bool { return other.Files == pair.Files })}
		for n := range pair.Files {
			source, err := pictureURL(r.Pictures[pair.Files[n]])
			if err != nil {
				return err
			}
			shown.Images[n] = pictureShown{source, pair.Subjects[n] + ": " + pair.Files[n]}
		}
		switch {
		case pair.Exact:
			shown.Text = "Equal voxels."
		default:
			shown.Text = fmt.Sprintf("Similarity %s, %d hash bits differ.", decimal(pair.Similarity, 2), pair.Distance)
		}
		if len(pair.Flip) > 0 {
			shown.Text += " Compared with one mirrored " + strings.Join(pair.Flip, " and ") + "."
		}
		p.Pairs = append(p.Pairs, shown)
	}
	return nil
}

// pictureURL is a picture as a data URI; empty for none.
func pictureURL(p *audit.Picture) (template.URL, error) {
	if p == nil {
		return "", nil
	}
	grey := image.NewGray(image.Rect(0, 0, p.Width, p.Height))
	copy(grey.Pix, p.Grey)
	var file bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&file, grey); err != nil {
		return "", err
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(file.Bytes())), nil
}

// group colours repeat after eight.
func groupClass(n int) string { return fmt.Sprintf("g%d", n%8) }

// addGeometry draws spacing and size when there is more than one.
func (p *checkPage) addGeometry(r *audit.Report) {
	classes := names(r.Print.Classes)
	var spacing, size []mark
	for _, i := range r.Images {
		if i.Error != "" {
			continue
		}
		class := groupClass(i.Class)
		low, high := slices.Min(i.Spacing[:]), slices.Max(i.Spacing[:])
		spacing = append(spacing, mark{class, low, high, 9, fmt.Sprintf("%s: %s to %s mm", i.Subject, significant(low), significant(high)), 0})
		in, through := inPlaneSize(&i)
		size = append(size, mark{class, in, through, 9, fmt.Sprintf("%s: %d x %d x %d voxels", i.Subject, i.Shape[0], i.Shape[1], i.Shape[2]), 0})
	}
	for n, s := range []struct {
		what, x, y string
		marks      []mark
	}{
		{"Spacing", "finest spacing, mm", "Coarsest spacing, mm", spacing},
		{"Field of view", "longest side, mm", "Shortest side, mm", size},
	} {
		if s.marks = gather(s.marks); !spreadOut(s.marks) {
			continue
		}
		c := plot{xName: s.x, marks: s.marks}
		c.id, c.title, c.height = fmt.Sprintf("geometry-%d", n), s.what, 220
		c.description = fmt.Sprintf("%s of each image: %s against %s", s.what, strings.ToLower(s.y), s.x)
		xs, ys := rangesOf(s.marks)
		c.x, c.y = linearAxis(xs[0], xs[1], 5), linearAxis(ys[0], ys[1], 4)
		p.Figures = append(p.Figures, figure{Title: s.what + ".", Unit: s.y, SVG: c.svg(), Legend: dotLegend(classes),
			Caption: "A disc is an image, a larger one several of equal " + strings.ToLower(s.what) + ". Classes that lie apart here can be told without looking at the image."})
	}
}

// inPlaneSize returns the longest and the shortest side of an image in mm.
func inPlaneSize(i *audit.ImageFacts) (long, short float64) {
	short = math.Inf(1)
	for axis, size := range i.Shape {
		if size == 1 {
			continue
		}
		mm := float64(size) * i.Spacing[axis]
		long, short = max(long, mm), min(short, mm)
	}
	return long, short
}

// gather joins marks of one class at one place into larger ones, the largest
// first so that small ones lie on top.
func gather(marks []mark) []mark {
	type place struct {
		class, at string
	}
	counts, first := map[place]int{}, map[place]int{}
	var joined []mark
	for _, m := range marks {
		at := place{m.class, significant(m.x) + "/" + significant(m.y)}
		if counts[at]++; counts[at] == 1 {
			first[at] = len(joined)
			joined = append(joined, m)
		}
	}
	level := map[string]float64{} // marks of other classes at the same place lie beside one another
	for n, m := range joined {
		at := significant(m.x) + "/" + significant(m.y)
		joined[n].beside = level[at]
		level[at] += 12
	}
	for at, n := range first {
		if counts[at] > 1 {
			joined[n].size = min(30, 9*math.Sqrt(float64(counts[at])))
			joined[n].text += fmt.Sprintf(" and %s more", plural(counts[at]-1, "image"))
		}
	}
	slices.SortStableFunc(joined, func(a, b mark) int { return int(math.Copysign(1, b.size-a.size)) })
	return joined
}

// spreadOut tells whether there is more than one place to show.
func spreadOut(marks []mark) bool {
	return slices.ContainsFunc(marks, func(m mark) bool {
		return significant(m.x) != significant(marks[0].x) || significant(m.y) != significant(marks[0].y)
	})
}

// rangesOf spans all marks with a little room.
func rangesOf(marks []mark) (x, y [2]float64) {
	x, y = [2]float64{marks[0].x, marks[0].x}, [2]float64{marks[0].y, marks[0].y}
	for _, m := range marks {
		x, y = [2]float64{min(x[0], m.x), max(x[1], m.x)}, [2]float64{min(y[0], m.y), max(y[1], m.y)}
	}
	margin := func(r [2]float64) [2]float64 {
		m := max((r[1]-r[0])*0.05, math.Abs(r[1])*0.01)
		return [2]float64{r[0] - m, r[1] + m}
	}
	return margin(x), margin(y)
}

func dotLegend(classes []string) []legendEntry {
	var list []legendEntry
	for n, name := range classes {
		list = append(list, legendEntry{groupClass(n), name, true})
	}
	return list
}

// addBrightness draws the histograms of classes and of sites.
func (p *checkPage) addBrightness(r *audit.Report) {
	for _, kind := range []string{"class", "site"} {
		var groups []audit.Intensity
		for _, g := range r.Intensity {
			if g.Group == kind {
				groups = append(groups, g)
			}
		}
		if len(groups) == 0 {
			continue
		}
		p.Bright = append(p.Bright, histogram(kind, groups[:min(len(groups), 8)]))
	}
	for _, g := range r.Intensity {
		p.Groups = append(p.Groups, groupLine{g.Group, g.Name, fmt.Sprint(g.Subjects), significant(g.Mean), significant(g.Deviation),
			significant(g.Quantiles[0]) + ", " + significant(g.Quantiles[2]) + ", " + significant(g.Quantiles[4])})
	}
}

func histogram(kind string, groups []audit.Intensity) figure {
	c := plot{xName: "intensity"}
	c.id, c.title, c.height = "intensity-"+kind, "Intensities of each "+kind, 220
	c.description = fmt.Sprintf("Histogram of the foreground of %d groups", len(groups))
	f := figure{Title: "Intensities of each " + kind + ".", Unit: "Share of the foreground, % per bin"}
	highest := 0.0
	for n, g := range groups {
		line := curve{class: groupClass(n)}
		width := (g.High - g.Low) / float64(len(g.Histogram))
		for bin, value := range g.Histogram {
			line.points = append(line.points, point{g.Low + (float64(bin)+0.5)*width, 100 * value})
			highest = max(highest, 100*value)
		}
		c.curves = append(c.curves, line)
		f.Legend = append(f.Legend, legendEntry{groupClass(n), fmt.Sprintf("%s (%s)", g.Name, plural(g.Subjects, "subject")), false})
	}
	c.x, c.y = linearAxis(groups[0].Low, groups[0].High, 6), linearAxis(0, highest, 4)
	c.x.low, c.x.high = groups[0].Low, groups[0].High
	c.x.ticks = slices.DeleteFunc(c.x.ticks, func(t tick) bool { return t.value < c.x.low || t.value > c.x.high })
	f.SVG = c.svg()
	f.Caption = "Voxels that are not background, each subject with equal weight; what lies beyond an end counts to its bin. Curves that lie apart before normalising say that brightness alone tells the groups."
	return f
}

func factLines(facts []audit.Fact, classes []string) []factLine {
	var list []factLine
	for n := range facts {
		f := &facts[n]
		list = append(list, factLine{
			Name: f.Name, Kind: f.Kind, Subjects: fmt.Sprint(f.Subjects), Area: decimal(f.Area, 2), P: probability(f.Corrected),
			Detail: f.Detail(classes), Tells: f.Tells(), Drawing: areaDrawing(f.Area, f.Tells()),
		})
	}
	return list
}

func probability(p float64) string {
	switch {
	case p < 0.001:
		return "< 0.001"
	case p < 0.1:
		return decimal(p, 3)
	}
	return decimal(p, 2)
}

// areaDrawing shows an AUROC on a scale from 0.4 to 1, with a line at 0.5.
func areaDrawing(area float64, tells bool) template.HTML {
	at := func(x float64) string { return share((max(0.4, min(1, x)) - 0.4) / 0.6) }
	class := "quiet"
	if tells {
		class = "loud"
	}
	return template.HTML(fmt.Sprintf(`<svg class="whisker" width="100%%" height="16" aria-hidden="true"><line class="zero" x1="%[1]s" x2="%[1]s" y1="0" y2="16"/><line class="area %[3]s" x1="%[1]s" x2="%[2]s" y1="8" y2="8"/><circle class="area-end %[3]s" cx="%[2]s" cy="8" r="4"/></svg>`,
		at(0.5), at(area), class))
}

// resolutionCurve draws the interval of the accuracy and the least visible
// difference against the number of validation subjects.
func resolutionCurve(r *audit.Resolution) *figure {
	c := plot{xName: "validation subjects"}
	c.id, c.title, c.height = "resolution", "What a validation set can show", 240
	c.description = "95 % interval of an accuracy and least visible difference against the number of validation subjects"
	b := band{class: "chance"}
	visible := curve{class: "guess", label: "least visible"}
	middle := curve{class: "validation", label: "accuracy"}
	for _, at := range r.Curve {
		b.epochs = append(b.epochs, float64(at.Subjects))
		b.low, b.high = append(b.low, 100*at.Low), append(b.high, 100*at.High)
		middle.points = append(middle.points, point{float64(at.Subjects), 100 * r.Accuracy})
		if at.Visible < 1 {
			visible.points = append(visible.points, point{float64(at.Subjects), 100 * at.Visible})
		}
	}
	c.bands, c.curves = []band{b}, []curve{visible, middle}
	last := r.Curve[len(r.Curve)-1].Subjects
	c.x, c.y = axis{low: float64(r.Curve[0].Subjects), high: float64(last), logarithmic: true}, linearAxis(0, 100, 5)
	for _, n := range []int{5, 10, 20, 50, 100, 200, 500, 1000} {
		if float64(n) >= c.x.low && float64(n) <= c.x.high {
			c.x.ticks = append(c.x.ticks, tick{float64(n), fmt.Sprint(n)})
		}
	}
	if n := float64(r.Validation); n >= c.x.low && n <= c.x.high {
		c.rules = []rule{{class: "train", label: "yours: " + fmt.Sprint(r.Validation), value: n}}
	}
	return &figure{
		Title: "What a validation set can show.", Unit: "% or points", SVG: c.svg(),
		Legend:  []legendEntry{{"validation", fmt.Sprintf("accuracy of %.0f %% with its 95 %% interval (shaded)", 100*r.Accuracy), false}, {"guess", "least visible difference of two networks, points", false}},
		Caption: glue(fmt.Sprintf("Shaded: Wilson's 95 %% interval of an accuracy of %.0f %%. The falling line is the least difference of two networks on the same subjects that McNemar's exact test can call significant.", 100*r.Accuracy)),
	}
}
