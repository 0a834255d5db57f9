package web

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"ballast/evaluation"
)

var (
	//go:embed evaluation.html
	evaluationText string
	//go:embed evaluation.css
	evaluationStyle string

	evaluationTemplate = template.Must(template.New("evaluation").Parse(evaluationText))
)

// Evaluation writes the report of an evaluation as one self-contained HTML page.
// The same report gives the same bytes.
func Evaluation(w io.Writer, r *evaluation.Report) error {
	var text bytes.Buffer
	err := evaluationTemplate.Execute(&text, newEvaluationPage(r))
	if err == nil {
		_, err = w.Write(text.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write the evaluation: %w", err)
	}
	return nil
}

// An evaluationPage is what the template shows.
type evaluationPage struct {
	Style                      template.CSS
	Name, Lead, Who, How       string
	Measures                   []measure
	Notes                      []string
	Scale                      template.HTML // of the drawn intervals
	Lines                      []metricLine
	Curves, Trust              []figure
	Calibration, Doubt, Needed string
	Uncertain, Wrong           []subjectRow
	WrongMore                  string
	Baselines                  []modelRow
	Groups                     []groupTable
}

type metricLine struct {
	Name, Value, Range, Method, Unknown string
	Drawing                             template.HTML
}

type subjectRow struct{ ID, Truth, Predicted, Probability, Entropy string }

// A modelRow is the network, a baseline or a subgroup.
type modelRow struct {
	Network                    bool
	Name, Detail, Subjects     string
	Accuracy, Area, Loss, Less cell
	Drawing                    template.HTML
}

// A cell is a number with its interval below it.
type cell struct{ Value, Range string }

type groupTable struct {
	Column string
	Rows   []modelRow
}

// mostRows is how many subjects a list names.
const mostRows = 15

func newEvaluationPage(r *evaluation.Report) *evaluationPage {
	p := &evaluationPage{
		Style: template.CSS(styleText + checkStyle + evaluationStyle),
		Name:  lastParts(r.Run), Lead: glue(r.Headline()), How: glue(r.How.Sentence(r)),
		Who:         glue(fmt.Sprintf("Measured on %s of %s.", r.Set, lastParts(r.Cohort))),
		Calibration: glue(r.CalibrationSentence()), Doubt: glue(r.Uncertainty.Sentence), Needed: glue(strings.ReplaceAll(r.Needed(), " -", " −")), Scale: intervalScale(),
	}
	for _, note := range r.Notes {
		p.Notes = append(p.Notes, glue(sentence(note)))
	}
	for _, id := range []string{evaluation.Accuracy, evaluation.BalancedAccuracy, evaluation.AUROC, evaluation.AUPRC, evaluation.LogLoss, evaluation.Brier, evaluation.ECE} {
		m := evaluation.Find(r.Metrics, id)
		name, _, _ := strings.Cut(m.Name, ",")
		p.Measures = append(p.Measures, measure{upperFirst(name), metricValue(m), metricRange(m)})
	}
	for i := range r.Metrics {
		m := &r.Metrics[i]
		line := metricLine{Name: upperFirst(m.Name), Value: metricValue(m), Range: metricRange(m), Method: m.Method, Unknown: m.Unknown}
		if m.ID != evaluation.LogLoss {
			line.Drawing = intervalDrawing(m, "")
		}
		p.Lines = append(p.Lines, line)
	}
	if len(r.Curves) > 0 {
		p.Curves = []figure{rocFigure(r), precisionFigure(r)}
	}
	p.Trust = []figure{reliabilityFigure(r), histogramFigure(r)}
	p.addSubjects(r)
	p.addModels(r)
	p.addGroups(r)
	return p
}

// lastParts is the end of a path, which is what tells it from others.
func lastParts(path string) string {
	parts := strings.Split(strings.Trim(strings.ReplaceAll(path, `\`, "/"), "/"), "/")
	return strings.Join(parts[max(0, len(parts)-2):], "/")
}

func upperFirst(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func metricValue(m *evaluation.Metric) string {
	if math.IsInf(float64(m.Value), 0) {
		return "∞"
	}
	return decimal(float64(m.Value), 3)
}

func metricRange(m *evaluation.Metric) string {
	if !m.HasInterval() {
		return ""
	}
	return decimal(float64(m.Low), 3) + " to " + decimal(float64(m.High), 3)
}

// intervalDrawing draws a value between 0 and 1 with its interval.
func intervalDrawing(m *evaluation.Metric, class string) template.HTML {
	if !m.Known() || math.IsInf(float64(m.Value), 0) {
		return ""
	}
	at := func(x float64) string { return share(max(0, min(1, x))) }
	var b strings.Builder
	b.WriteString(`<svg class="whisker" width="100%" height="16" aria-hidden="true">`)
	for _, x := range []string{"0", "50%", "100%"} {
		fmt.Fprintf(&b, `<line class="grid" x1="%[1]s" x2="%[1]s" y1="0" y2="16"/>`, x)
	}
	if m.HasInterval() {
		fmt.Fprintf(&b, `<line class="interval" x1="%s" x2="%s" y1="8" y2="8"/>`, at(float64(m.Low)), at(float64(m.High)))
	}
	fmt.Fprintf(&b, `<circle class="estimate %s" cx="%s" cy="8" r="4.5"/></svg>`, class, at(float64(m.Value)))
	return template.HTML(b.String())
}

// intervalScale labels the ends of the drawn intervals.
func intervalScale() template.HTML {
	return `<svg class="whisker chart" width="100%" height="16" aria-hidden="true"><text x="0" y="12" text-anchor="start">0</text><text x="50%" y="12" text-anchor="middle">0.5</text><text x="100%" y="12" text-anchor="end">1</text></svg>`
}

func (p *evaluationPage) addSubjects(r *evaluation.Report) {
	row := func(l evaluation.Line) subjectRow {
		return subjectRow{l.ID, r.Classes[l.Class], r.Classes[l.Predicted], decimal(float64(l.Probabilities[l.Predicted]), 2), decimal(float64(l.Entropy), 2)}
	}
	for _, l := range r.MostUncertain(mostRows) {
		p.Uncertain = append(p.Uncertain, row(l))
	}
	wrong := r.Wrong()
	for _, l := range wrong[:min(mostRows, len(wrong))] {
		p.Wrong = append(p.Wrong, row(l))
	}
	if len(wrong) > mostRows {
		p.WrongMore = fmt.Sprintf("%d of %d", mostRows, len(wrong))
	}
}

// cellOf shows a metric times a factor.
func cellOf(metrics []evaluation.Metric, id string, factor float64, decimals int) cell {
	m := evaluation.Find(metrics, id)
	if m == nil || !m.Known() {
		return cell{Value: unknown}
	}
	if math.IsInf(float64(m.Value), 0) {
		return cell{Value: "∞"}
	}
	c := cell{Value: decimal(factor*float64(m.Value), decimals)}
	if m.HasInterval() {
		c.Range = decimal(factor*float64(m.Low), decimals) + " to " + decimal(factor*float64(m.High), decimals)
	}
	return c
}

func accuracyCell(metrics []evaluation.Metric) cell {
	return cellOf(metrics, evaluation.Accuracy, 100, 1)
}

// addModels lists the network and the baselines.
func (p *evaluationPage) addModels(r *evaluation.Report) {
	if len(r.Baselines) == 0 {
		return
	}
	model := func(name, detail string, metrics, less []evaluation.Metric) modelRow {
		return modelRow{
			Name: name, Detail: detail, Accuracy: accuracyCell(metrics), Area: cellOf(metrics, evaluation.AUROC, 1, 3),
			Loss: cellOf(metrics, evaluation.LogLoss, 1, 3), Less: cellOf(less, evaluation.AUROC, 1, 3), Drawing: intervalDrawing(evaluation.Find(metrics, evaluation.AUROC), ""),
		}
	}
	network := model("The network", "", r.Metrics, nil)
	network.Network, network.Less = true, cell{}
	p.Baselines = append(p.Baselines, network)
	for i := range r.Baselines {
		b := &r.Baselines[i]
		if b.Unknown != "" {
			p.Baselines = append(p.Baselines, modelRow{Name: upperFirst(b.Name), Detail: "left out: " + b.Unknown})
			continue
		}
		p.Baselines = append(p.Baselines, model(upperFirst(b.Name), b.Detail, b.Metrics, b.Less))
	}
}

// addGroups lists the subgroups of each column below all subjects.
func (p *evaluationPage) addGroups(r *evaluation.Report) {
	for i := range r.Groups {
		g := &r.Groups[i]
		if i == 0 || g.Column != r.Groups[i-1].Column {
			all := groupRow("All", r.Counts, r, r.Metrics)
			all.Network = true
			p.Groups = append(p.Groups, groupTable{g.Column, []modelRow{all}})
		}
		name := g.Value
		if name == "" {
			name = "not given"
		}
		table := &p.Groups[len(p.Groups)-1]
		table.Rows = append(table.Rows, groupRow(name, g.Counts, r, g.Metrics))
	}
}

func groupRow(name string, counts []int, r *evaluation.Report, metrics []evaluation.Metric) modelRow {
	var parts []string
	sum := 0
	for class, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, r.Classes[class]))
		sum += n
	}
	return modelRow{
		Name: name, Detail: strings.Join(parts, ", "), Subjects: fmt.Sprint(sum), Accuracy: accuracyCell(metrics),
		Area: cellOf(metrics, evaluation.AUROC, 1, 3), Drawing: intervalDrawing(evaluation.Find(metrics, evaluation.Accuracy), ""),
	}
}
