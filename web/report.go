// Package web draws the report of a run: one HTML file that needs nothing but a
// browser, with curves, the budget, the flip map and the findings as inline SVG.
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
	//go:embed report.html
	pageText string
	//go:embed report.css
	styleText string
	//go:embed report.js
	scriptText string

	pageTemplate = template.Must(template.New("report").Parse(pageText))
)

// Report writes the report of a run as one self-contained HTML page. A nil
// diagnosis (a run too short for one) leaves the curves and the facts. The same
// run and diagnosis give the same bytes.
func Report(w io.Writer, r *run.Run, d *diagnosis.Report) error {
	p, err := newPage(r, d)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	var text bytes.Buffer
	if err := pageTemplate.Execute(&text, p); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if _, err := w.Write(text.Bytes()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// A page is what the template shows.
type page struct {
	figures int // numbered so far

	Style  template.CSS
	Script template.JS

	Summary  string
	Measures []measure

	Accuracy, Loss               template.HTML
	AccuracyLegend, LossLegend   []legendEntry
	AccuracyCaption, LossCaption caption

	Bar         template.HTML
	BarCaption  caption
	Budget      []budgetLine
	BudgetScale template.HTML
	Views       []viewLine

	Flips       []flipBlock
	FlipCaption caption
	Swatches    []template.CSS
	Subjects    []subjectLine

	Findings, Folded []finding
	WouldDecide      string // what experiments would; "" where none would

	Facts []fact
	Plan  string
	Test  []testLine
	Notes []string
}

// A caption is what stands below a figure.
type caption struct {
	Number int
	Title  string // what the figure is
	Text   string // how to read it
}

// A measure is a jitter or another number at the top.
type measure struct{ Name, Value, Range string }

type legendEntry struct {
	Class, Text string
	Dots        bool
}

type viewLine struct {
	Name, Accuracy, Jitter, Range, Finite, Removed string
}

type subjectLine struct {
	ID, Class, Site string
	Flips           int
	Right, Truth    string
}

type fact struct{ Name, Value string }

type testLine struct{ View, Accuracy, Loss string }

func newPage(r *run.Run, d *diagnosis.Report) (*page, error) {
	p := &page{Style: template.CSS(styleText), Script: template.JS(scriptText)}
	p.Notes = slices.Clone(r.Notes)
	p.addCurves(r)
	if err := p.addDiagnosis(r, d); err != nil {
		return nil, err
	}
	p.addFacts(r)
	if d != nil && len(d.Experiments) > 0 {
		p.Facts = append(p.Facts, fact{"Experiments made", strings.Join(d.Experiments, ", ")})
	}
	return p, p.addFlips(r)
}

// addDiagnosis adds what the diagnosis says, nil included.
func (p *page) addDiagnosis(r *run.Run, d *diagnosis.Report) error {
	if d == nil {
		p.Summary = fmt.Sprintf("This run of %s is too short for a diagnosis; below is what it recorded.", plural(len(r.Epochs), "epoch"))
		return nil
	}
	p.Notes = append(p.Notes, d.Notes...)
	p.Summary = glue(strings.Join(d.Summary, " "))
	p.addMeasures(d)
	p.addBudget(d)
	if sentence := d.WouldDecide(); sentence != "" {
		p.WouldDecide = sentence + "."
	}
	return p.addFindings(d.ForReading())
}

func (p *page) addCurves(r *run.Run) {
	chance := newChanceBand(r)
	if c := accuracyChart(r, chance); c != nil {
		p.Accuracy, p.AccuracyLegend = c.svg(), legend(r, c)
		p.AccuracyCaption = p.caption("Accuracy after each epoch.", accuracyText(r, &chance))
	}
	if c := lossChart(r); c != nil {
		p.Loss, p.LossLegend = c.svg(), legend(r, c)
		text := "Mean cross-entropy in nats."
		if c.y.logarithmic {
			text += " The axis is logarithmic."
		}
		if n := nonFinite(r); n > 0 {
			text += fmt.Sprintf(" In %s a loss was not a finite number; the curves have gaps there.", plural(n, "epoch"))
		}
		p.LossCaption = p.caption("Loss after each epoch.", text)
	}
}

func legend(r *run.Run, c *chart) []legendEntry {
	var entries []legendEntry
	for _, s := range seriesOf(r) {
		for _, curve := range c.curves {
			if curve.class == s.class {
				entries = append(entries, legendEntry{s.class, s.long, curve.dots})
			}
		}
	}
	slices.Reverse(entries)
	for _, r := range c.rules {
		entries = append(entries, legendEntry{r.class, "always the commonest class", false})
	}
	return entries
}

// caption numbers the figures in the order in which they are added.
func (p *page) caption(title, text string) caption {
	p.figures++
	return caption{p.figures, title, glue(text)}
}

func accuracyText(r *run.Run, chance *chanceBand) string {
	text := ""
	if len(chance.epochs) > 0 {
		text += fmt.Sprintf("Shaded, pure chance: where 95 %% of the validation accuracies would lie if the network stood still and only the "+
			"draw of %s changed (2.5 %% and 97.5 %% quantiles of the binomial distribution at the running mean over %d epochs); "+
			"%d of %d logged values lie inside.", plural(chance.subjects, "subject"), chance.window, chance.inside, chance.values)
	}
	if guess := guessing(r); finite(guess) {
		text += fmt.Sprintf(" Dotted: always answering the commonest class is right for %s %% of the validation subjects.", decimal(guess, 1))
	}
	return strings.TrimSpace(text)
}

func (p *page) addFlips(r *run.Run) error {
	m := newFlipMap(r)
	if m == nil {
		return nil
	}
	var err error
	if p.Flips, err = m.draw(); err != nil {
		return err
	}
	p.Swatches = swatches()
	text := "Validation subjects by class, those that flip most at the top, against epochs. " +
		"Blue is right, orange is wrong; the stronger the colour, the surer the network."
	if m.rowHeight() >= namedHeight {
		text += " Left of each row: how often the subject changed between right and wrong."
	}
	if m.view != run.Logged {
		text += " Drawn for the view " + m.view + ", since the logged one has no predictions per subject."
	}
	if len(m.columns) < m.last {
		text += fmt.Sprintf(" %d of %d epochs are drawn.", len(m.columns), m.last)
	}
	p.FlipCaption = p.caption("Who flips when.", text)
	for _, b := range m.blocks {
		for _, s := range b.rows {
			p.Subjects = append(p.Subjects, subjectLine{
				ID: s.ID, Class: b.class, Site: s.Site, Flips: s.flips,
				Right: fmt.Sprintf("%d of %d", s.right, s.evaluated), Truth: decimal(s.truth, 2),
			})
		}
	}
	return nil
}

func (p *page) addFacts(r *run.Run) {
	h := &r.Header
	for _, set := range setNames(h) {
		p.Facts = append(p.Facts, fact{inWords(set) + " subjects", countByClass(h, set)})
	}
	planned := ""
	if h.Planned > 0 && h.Planned != len(r.Epochs) {
		planned = fmt.Sprintf(" of %d planned", h.Planned)
	}
	p.Facts = append(p.Facts,
		fact{"Classes", strings.Join(h.Classes, ", ")},
		fact{"Epochs", fmt.Sprintf("%d%s", len(r.Epochs), planned)},
		fact{"Status", h.Status})
	if len(r.Epochs) > 0 {
		last := &r.Epochs[len(r.Epochs)-1]
		p.Facts = append(p.Facts,
			fact{"Optimiser steps", fmt.Sprint(last.Step)},
			fact{"Learning rate at the end", significant(float64(last.LearningRate))})
	}
	if h.Creator != "" {
		p.Facts = append(p.Facts, fact{"Recorded by", h.Creator})
	}
	for _, e := range r.Test {
		p.Test = append(p.Test, testLine{inWords(e.View), decimal(accuracyOf(&e), 1) + " %", significant(lossOf(&e))})
	}
	p.Plan = string(r.Plan)
}

// setNames lists the sets that ballast knows, then the others by name.
func setNames(h *run.Header) []string {
	names := []string{}
	for name := range h.Sets {
		names = append(names, name)
	}
	known := []string{run.Train, run.Validation, run.Test}
	rank := func(name string) int {
		if i := slices.Index(known, name); i >= 0 {
			return i
		}
		return len(known)
	}
	slices.SortFunc(names, func(a, b string) int {
		if rank(a) != rank(b) {
			return rank(a) - rank(b)
		}
		return strings.Compare(a, b)
	})
	return names
}

func countByClass(h *run.Header, set string) string {
	count := make([]int, len(h.Classes))
	for _, s := range h.Sets[set] {
		count[s.Class]++
	}
	var parts []string
	for class, n := range count {
		parts = append(parts, fmt.Sprintf("%d %s", n, h.Classes[class]))
	}
	return fmt.Sprintf("%d (%s)", len(h.Sets[set]), strings.Join(parts, ", "))
}

func (p *page) addBudget(d *diagnosis.Report) {
	p.Bar, p.Budget, p.BudgetScale = budgetBar(d.Budget), budgetLines(d.Budget), whiskerTicks(d.Budget)
	if p.Bar != "" {
		p.BarCaption = p.caption("The budget.", budgetText(d))
	}
	for _, v := range d.Views {
		p.Views = append(p.Views, viewLine{
			Name: viewName(v.View), Accuracy: decimal(float64(v.Accuracy), 1) + " %",
			Jitter: decimal(float64(v.Jitter.Points), 1), Range: rangeOf(v.Jitter.Unit, v.Jitter.Low, v.Jitter.High),
			Finite: shareWithRange(v.Finite), Removed: shareWithRange(v.Removed),
		})
	}
}

func budgetText(d *diagnosis.Report) string {
	text := "The same weights are evaluated again with one source after another switched off."
	if whole := dividedJitter(d.Budget); finite(whole) {
		text += fmt.Sprintf(" What is divided is the variance that a validation set of this size leads one to expect, a jitter of %s points; this set showed %s points.",
			decimal(whole, 1), decimal(float64(d.Jitter["accuracy"].Points), 1))
	}
	text += " A negative share means that switching the source off made the curve fluctuate more."
	if d.Finite.Points.Known() {
		text += fmt.Sprintf(" The finite set comes last, so its share is what remains to it with all else switched off; of the logged curve as it is, its part is %s.",
			shareWithRange(d.Finite))
	}
	return text
}

func (p *page) addFindings(findings []diagnosis.Finding) error {
	for i := range findings {
		f, err := newFinding(&findings[i])
		if err != nil {
			return err
		}
		if weighty(findings[i].Verdict) {
			p.Findings = append(p.Findings, f)
		} else {
			p.Folded = append(p.Folded, f)
		}
	}
	return nil
}

func shareWithRange(i diagnosis.Interval) string {
	if !i.Points.Known() {
		return unknown
	}
	text := percent(float64(i.Points))
	if !i.Decides() && i.Low.Known() {
		text = undecided
	}
	if ends := rangeOf(diagnosis.Ratio, i.Low, i.High); ends != "" {
		text += " (" + ends + ")"
	}
	return text
}

// viewName turns "recalibrated+threshold" into words.
func viewName(view string) string {
	if base, ok := strings.CutSuffix(view, "+threshold"); ok {
		return inWords(base) + ", threshold of the training subjects"
	}
	return inWords(view)
}

// jitterNames are the further measures of package diagnosis, in the order shown.
var jitterNames = []struct{ id, name string }{
	{"balanced_accuracy", "Jitter of balanced accuracy"},
	{"auroc", "Jitter of AUROC"},
	{"brier", "Jitter of the Brier score"},
	{"loss", "Jitter of the loss"},
}

func (p *page) addMeasures(d *diagnosis.Report) {
	add := func(name, unit string, i diagnosis.Interval) {
		if i.Points.Known() {
			value := number(unit, float64(i.Points)) + " " + unitName(unit)
			if unit == diagnosis.Ratio && i.Low.Known() && !i.Decides() {
				value = undecided
			}
			p.Measures = append(p.Measures, measure{name, value, rangeOf(unit, i.Low, i.High)})
		}
	}
	accuracy := d.Jitter["accuracy"]
	add("Jitter of accuracy", accuracy.Unit, accuracy)
	add("Share of the finite set", diagnosis.Ratio, d.Finite)
	add("Jitter of an infinite set", diagnosis.Points, d.Infinite)
	if c := d.Chance; c.Accuracy.Known() {
		p.Measures = append(p.Measures, measure{"Accuracy, late epochs", decimal(float64(c.Accuracy), 1) + " %", rangeOf(diagnosis.Points, c.Low, c.High)})
	}
	if c := d.Chance; c.Needs > 0 && c.Needs <= 100 { // above 100 where no result would do
		p.Measures = append(p.Measures, measure{"Needed to beat guessing", decimal(float64(c.Needs), 1) + " %", ""})
	}
	for _, j := range jitterNames {
		if i, ok := d.Jitter[j.id]; ok {
			add(j.name, i.Unit, i)
		}
	}
}
