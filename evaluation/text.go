package evaluation

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Text writes the report for a terminal of the given width.
func (r *Report) Text(w io.Writer, width int) error {
	var b strings.Builder
	wrap(&b, width, "", r.Headline())
	wrap(&b, width, "", fmt.Sprintf("%s on %s: %s, %s.", r.Run, r.Cohort, r.Set, r.countsByClass()))
	wrap(&b, width, "", r.How.Sentence(r))
	b.WriteString("\n")
	table(&b, [][]string{{"measure", "value", "95 % interval", "method"}}, r.metricRows())
	b.WriteString("\n")
	wrap(&b, width, "", r.CalibrationSentence())
	wrap(&b, width, "", r.Uncertainty.Sentence)
	if len(r.Baselines) > 0 {
		b.WriteString("\nBaselines, on the same subjects\n")
		table(&b, [][]string{{"model", "accuracy", "AUROC", "log loss", "AUROC of the network less its own"}}, r.baselineRows())
		if needed := r.Needed(); needed != "" {
			wrap(&b, width, "", needed)
		}
	}
	for n := range r.Groups {
		if n == 0 || r.Groups[n].Column != r.Groups[n-1].Column {
			fmt.Fprintf(&b, "\nBy %s\n", r.Groups[n].Column)
			table(&b, [][]string{{r.Groups[n].Column, "subjects", "accuracy", "AUROC"}}, r.groupRows(r.Groups[n].Column))
		}
	}
	if len(r.Notes) > 0 {
		b.WriteString("\n")
	}
	for _, note := range r.Notes {
		wrap(&b, width, "note: ", note)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) countsByClass() string {
	var parts []string
	for class, n := range r.Counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, r.Classes[class]))
	}
	return strings.Join(parts, ", ")
}

// Sentence says what made the predictions.
func (h *How) Sentence(r *Report) string {
	text := "Predictions of the " + h.Weights + " weights"
	if len(h.Members) > 1 {
		text = fmt.Sprintf("Mean of the predictions of %d networks (%s)", len(h.Members), strings.Join(h.Members, ", "))
	}
	if h.MonteCarlo > 0 {
		text += fmt.Sprintf(", %d samples with dropout each", h.MonteCarlo)
	}
	if h.TemperatureFrom != "" {
		text += fmt.Sprintf(", at temperature %.3f fitted on %s", h.Temperature, h.TemperatureFrom)
	}
	if r.Binary() {
		text += fmt.Sprintf("; %s above a probability of %.3g (%s)", r.Classes[r.Positive], h.Threshold, h.ThresholdFrom)
	}
	return text + "."
}

// CalibrationSentence says whether the calibration error is more than chance.
func (r *Report) CalibrationSentence() string {
	e, c := Find(r.Metrics, ECE), &r.Calibration
	verdict := "so these subjects do not show that it is miscalibrated"
	if float64(e.Value) > float64(c.ExpectedHigh) {
		verdict = "so its confidence cannot be taken at its word"
	}
	return fmt.Sprintf("Expected calibration error %.3f; a network whose confidence is exactly right would show %.3f on average with so few subjects, and one in twenty more than %.3f, %s.",
		e.Value, c.Expected, c.ExpectedHigh, verdict)
}

func (r *Report) metricRows() [][]string {
	var rows [][]string
	for i := range r.Metrics {
		m := &r.Metrics[i]
		rows = append(rows, []string{m.Name, valueOf(m), rangeOf(m), m.Method})
	}
	return rows
}

// valueOf writes the value alone.
func valueOf(m *Metric) string {
	text, _, _ := strings.Cut(inNumbers(m), " (")
	return text
}

// rangeOf writes the interval, or why there is none.
func rangeOf(m *Metric) string {
	if m.HasInterval() {
		return fmt.Sprintf("%.3f to %.3f", m.Low, m.High)
	}
	return "cannot tell: " + m.Unknown
}

func (r *Report) baselineRows() [][]string {
	rows := [][]string{{"the network", inNumbers(Find(r.Metrics, Accuracy)), inNumbers(Find(r.Metrics, AUROC)), inNumbers(Find(r.Metrics, LogLoss)), ""}}
	for i := range r.Baselines {
		b := &r.Baselines[i]
		if b.Unknown != "" {
			rows = append(rows, []string{b.Name, "left out: " + b.Unknown})
			continue
		}
		less := Find(b.Less, AUROC)
		difference := "cannot tell: " + less.Unknown
		if less.HasInterval() {
			difference = fmt.Sprintf("%+.3f (%+.3f to %+.3f)", less.Value, less.Low, less.High)
		}
		rows = append(rows, []string{b.Name, inNumbers(Find(b.Metrics, Accuracy)), inNumbers(Find(b.Metrics, AUROC)), inNumbers(Find(b.Metrics, LogLoss)), difference})
	}
	return rows
}

func (r *Report) groupRows(column string) [][]string {
	var rows [][]string
	for i := range r.Groups {
		g := &r.Groups[i]
		if g.Column != column {
			continue
		}
		name := g.Value
		if name == "" {
			name = "not given"
		}
		rows = append(rows, []string{name, fmt.Sprint(g.Subjects()), inNumbers(Find(g.Metrics, Accuracy)), inNumbers(Find(g.Metrics, AUROC))})
	}
	return rows
}

// table writes rows in columns. The last cell of a row may be of any width.
func table(b *strings.Builder, head, rows [][]string) {
	all := append(head, rows...)
	var widths []int
	for _, row := range all {
		for n, cell := range row[:len(row)-1] {
			for len(widths) <= n {
				widths = append(widths, 0)
			}
			widths[n] = max(widths[n], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range all {
		line := " "
		for n, cell := range row {
			line += " " + cell
			if n+1 < len(row) {
				line += strings.Repeat(" ", widths[n]-utf8.RuneCountInString(cell)+1)
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// wrap writes text in lines of at most width runes.
func wrap(b *strings.Builder, width int, before, text string) {
	line := before
	for n, word := range strings.Fields(text) {
		if n > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", len(before)) + word
			continue
		}
		if n > 0 {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
}
