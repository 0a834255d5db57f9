package web

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"ballast/diagnosis"
	"ballast/run"
)

var (
	//go:embed log.html
	logText string

	// logTemplate shares the captions and findings of the report of a run.
	logTemplate = template.Must(template.Must(pageTemplate.Clone()).New("log").Parse(logText))
)

// Curves writes the report of another trainer's log as one self-contained HTML
// page: its curves, with the band of pure chance where the number of validation
// cases is known, and the findings. The same log and diagnosis give the same
// bytes.
func Curves(w io.Writer, c *run.Curves, d *diagnosis.Report) error {
	p, err := newLogPage(c, d)
	var text bytes.Buffer
	if err == nil {
		err = logTemplate.Execute(&text, p)
	}
	if err == nil {
		_, err = w.Write(text.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// A logPage is what the template shows; its page holds findings and measures.
type logPage struct {
	page
	Figures []logFigure
	Missing []diagnosis.Missing
}

type logFigure struct {
	Unit    string
	SVG     template.HTML
	Legend  []legendEntry
	Caption caption
}

func newLogPage(c *run.Curves, d *diagnosis.Report) (*logPage, error) {
	p := &logPage{page: page{Style: template.CSS(styleText), Script: template.JS(scriptText)}}
	p.Summary, p.Notes = glue(strings.Join(d.Summary, " ")), slices.Clone(d.Notes)
	p.addMeasures(d)
	if d.Finite.Low.Known() && d.Jitter["accuracy"].Points >= 1 {
		p.Measures = append(p.Measures, measure{"Share of the finite set", rangeOf(diagnosis.Ratio, d.Finite.Low, d.Finite.High) + " %", "bounds"})
	}
	p.addAccuracy(c, d)
	p.addLoss(c)
	p.addLogFacts(c, d)
	if d.Curves != nil {
		p.Missing = d.Curves.Missing
	}
	return p, p.addFindings(d.ForReading())
}

// logSeries are the two curves of a figure, training behind validation.
func logSeries(c *run.Curves, training, validation func(*run.Point) run.Float, factor float64) []curve {
	var curves []curve
	for _, s := range []struct {
		series
		value func(*run.Point) run.Float
	}{{trainLogged, training}, {validLogged, validation}} {
		var points []point
		for i := range c.Points {
			if x := factor * float64(s.value(&c.Points[i])); finite(x) {
				points = append(points, point{float64(c.Points[i].Epoch), x})
			}
		}
		if len(points) > 0 {
			dots := s.series == validLogged && len(points) <= mostDots || len(points) == 1
			curves = append(curves, curve{s.class, s.label, dots, points})
		}
	}
	return curves
}

// logReadings says what hovering over an epoch shows.
func logReadings(curves []curve, write func(float64) string) []reading {
	text := map[float64][]string{}
	for _, c := range slices.Backward(curves) {
		for _, p := range c.points {
			text[p.epoch] = append(text[p.epoch], c.label+" "+write(p.value))
		}
	}
	var epochs []float64
	for epoch := range text {
		epochs = append(epochs, epoch)
	}
	slices.Sort(epochs)
	var all []reading
	every := max(1, (len(epochs)+mostReadings-1)/mostReadings)
	for i := 0; i < len(epochs); i += every {
		all = append(all, reading{epochs[i], fmt.Sprintf("epoch %.0f: %s", epochs[i], strings.Join(text[epochs[i]], "; "))})
	}
	return all
}

// addFigure draws a chart with its legend.
func (p *logPage) addFigure(c *chart, unit, title, text string) {
	f := logFigure{Unit: unit, SVG: c.svg()}
	for _, s := range []series{validLogged, trainLogged} {
		if i := slices.IndexFunc(c.curves, func(drawn curve) bool { return drawn.class == s.class }); i >= 0 {
			f.Legend = append(f.Legend, legendEntry{s.class, s.long, c.curves[i].dots})
		}
	}
	for _, r := range c.rules {
		f.Legend = append(f.Legend, legendEntry{r.class, "always the commonest class", false})
	}
	f.Caption = p.caption(title, text)
	p.Figures = append(p.Figures, f)
}

func lastEpoch(c *run.Curves) int {
	last := 1
	for i := range c.Points {
		last = max(last, c.Points[i].Epoch)
	}
	return last
}

func (p *logPage) addAccuracy(c *run.Curves, d *diagnosis.Report) {
	isAccuracy := c.Measure == "accuracy"
	factor, unit, name := 1.0, c.Measure, c.Measure
	if isAccuracy {
		factor, unit, name = 100, "Accuracy, %", "Accuracy"
	}
	curves := logSeries(c, func(q *run.Point) run.Float { return q.TrainAccuracy }, func(q *run.Point) run.Float { return q.ValidationAccuracy }, factor)
	if len(curves) == 0 {
		return
	}
	write := significant
	if isAccuracy {
		write = func(x float64) string { return decimal(x, 1) + " %" }
	}
	drawn := &chart{
		id: "accuracy", title: name + " after each epoch", description: name + " over " + plural(lastEpoch(c), "epoch") + ".",
		height: 320, x: epochAxis(lastEpoch(c)), curves: curves, readings: logReadings(curves, write),
	}
	low, high := extent(curves)
	text := "As logged."
	if chance := p.band(curves, d); len(chance.epochs) > 0 {
		drawn.bands = []band{chance.band}
		low, high = min(low, slices.Min(chance.low)), max(high, slices.Max(chance.high))
		text = fmt.Sprintf("Shaded, pure chance: where 95 %% of the validation accuracies would lie if the network stood still and only the draw of %s changed "+
			"(2.5 %% and 97.5 %% quantiles of the binomial distribution at the running mean over %d values); %d of %d values lie inside.",
			plural(chance.subjects, "case"), chance.window, chance.inside, chance.values)
	}
	if guess := float64(d.Chance.Guess); isAccuracy && finite(guess) {
		drawn.rules = []rule{{"guess", "guessing", guess}}
		low, high = min(low, guess), max(high, guess)
		text += fmt.Sprintf(" Dotted: always answering the commonest class is right for %s %% of the validation cases.", decimal(guess, 1))
	}
	drawn.y = linearAxis(low, high, 5)
	if isAccuracy {
		drawn.y = linearAxis(max(0, low-2), min(100, high+2), 5)
		drawn.y.low, drawn.y.high = max(0, drawn.y.low), min(100, drawn.y.high)
	}
	p.addFigure(drawn, unit, name+" after each epoch.", text)
}

// band is the band of pure chance where the measure is an accuracy of a known
// number of cases.
func (p *logPage) band(curves []curve, d *diagnosis.Report) chanceBand {
	for _, c := range curves {
		if c.class == validLogged.class {
			return chanceBandOf(c.points, d.Subjects.Validation)
		}
	}
	return chanceBand{}
}

func (p *logPage) addLoss(c *run.Curves) {
	curves := logSeries(c, func(q *run.Point) run.Float { return q.TrainLoss }, func(q *run.Point) run.Float { return q.ValidationLoss }, 1)
	if len(curves) == 0 {
		return
	}
	drawn := &chart{
		id: "loss", title: "Loss after each epoch", description: "Loss over " + plural(lastEpoch(c), "epoch") + ".",
		height: 260, x: epochAxis(lastEpoch(c)), curves: curves, readings: logReadings(curves, significant),
	}
	low, high := extent(curves)
	text := "As logged, with whatever the trainer adds to it."
	if low > 0 && high/low > 30 {
		drawn.y = logAxis(low, high)
		text += " The axis is logarithmic."
	} else {
		drawn.y = linearAxis(min(0, low), high, 4)
	}
	p.addFigure(drawn, "Loss", "Loss after each epoch.", text)
}

func (p *logPage) addLogFacts(c *run.Curves, d *diagnosis.Report) {
	p.Facts = append(p.Facts, fact{"Source", c.Source})
	if c.Name != "" {
		p.Facts = append(p.Facts, fact{"Run", c.Name})
	}
	p.Facts = append(p.Facts, fact{"Format", c.Format}, fact{"Epochs", fmt.Sprint(d.Epochs.Recorded)})
	facts := d.Curves
	if facts == nil {
		return
	}
	if facts.Validation > 0 {
		p.Facts = append(p.Facts, fact{"Validation cases", fmt.Sprintf("%d (%s)", facts.Validation, origin(facts.ValidationFrom))})
	}
	if facts.Classes > 0 {
		p.Facts = append(p.Facts, fact{"Classes", fmt.Sprint(facts.Classes)})
	}
	if facts.Prevalence.Known() {
		p.Facts = append(p.Facts, fact{"Share of the commonest class", decimal(100*float64(facts.Prevalence), 1) + " % (" + origin(facts.PrevalenceFrom) + ")"})
	}
}

func origin(from string) string {
	if from == diagnosis.Logged {
		return "the log says so"
	}
	return from
}
