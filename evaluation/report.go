package evaluation

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

// ReportFormat is the version of the report's JSON.
const ReportFormat = 1

// A Report is everything that is said of a run's predictions for some subjects.
type Report struct {
	Format      int         `json:"format"`
	Run         string      `json:"run"`
	Cohort      string      `json:"cohort"`
	Set         string      `json:"set"` // which subjects, in words
	Classes     []string    `json:"classes"`
	Positive    int         `json:"positive"`
	Counts      []int       `json:"subjects_by_class"`
	How         How         `json:"how"`
	Metrics     []Metric    `json:"metrics"`
	Calibration Calibration `json:"calibration"`
	Uncertainty Uncertainty `json:"uncertainty"`
	Baselines   []Baseline  `json:"baselines"`
	Groups      []Group     `json:"groups"`
	Curves      []Curve     `json:"-"`
	Subjects    []Line      `json:"subjects"`
	Notes       []string    `json:"notes"`

	predictions *Predictions
	options     Options
}

// How says what made the predictions.
type How struct {
	Weights         string    `json:"weights"`
	Members         []string  `json:"members"`           // the runs whose predictions are averaged, each with its weights
	MonteCarlo      int       `json:"monte_carlo"`       // samples with dropout of each member; 0: none
	Temperature     run.Float `json:"temperature"`       // 1: none
	TemperatureFrom string    `json:"temperature_from"`  // the subjects that it was fitted on; empty: none
	Threshold       run.Float `json:"threshold"`         // of the positive of two classes
	ThresholdFrom   string    `json:"threshold_from"`    // who chose it
	Draws           int       `json:"bootstrap_samples"` // of the intervals
}

// A Curve is the operating points of one class against the rest.
type Curve struct {
	Class  int `json:"class"`
	Points []stat.OperatingPoint
}

// Evaluate measures predictions and makes their report; baselines, groups and
// notes are added to it. Errors wrap ErrPredictions.
func Evaluate(p *Predictions, o Options) (*Report, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	o = o.complete()
	r := &Report{
		Format: ReportFormat, Classes: p.Classes, Positive: p.Positive, Counts: p.Counts(),
		How:     How{Temperature: 1, Threshold: run.Float(o.Threshold), Draws: o.Draws},
		Metrics: Metrics(p, o), Calibration: Calibrate(p, o), Uncertainty: Doubt(p, o),
		Baselines: []Baseline{}, Groups: []Group{}, Notes: []string{}, Subjects: lines(p, o),
		predictions: p, options: o,
	}
	for class := range p.Classes {
		if p.Binary() && class != p.Positive {
			continue
		}
		scores, positive := p.scores(class)
		if points := stat.OperatingPoints(scores, positive); points != nil {
			r.Curves = append(r.Curves, Curve{class, points})
		}
	}
	return r, nil
}

// AddBaseline measures a baseline on the same subjects, in the same order, and
// compares the network with it. An err leaves the baseline out and says why.
func (r *Report) AddBaseline(b Baseline, predict func(subject int) []float64, err error) {
	if err != nil {
		b.Unknown = err.Error()
		r.Baselines = append(r.Baselines, b)
		return
	}
	p := &Predictions{Classes: r.Classes, Positive: r.Positive, Subjects: slices.Clone(r.predictions.Subjects)}
	for i := range p.Subjects {
		p.Subjects[i].Probabilities, p.Subjects[i].Samples = predict(i), nil
	}
	o := r.options
	o.Threshold = 0.5 // the network's was not chosen for it
	b.Metrics, b.Less, b.Subjects = Metrics(p, o), compare(r.predictions, p, r.options, o), lines(p, o)
	r.Baselines = append(r.Baselines, b)
}

// AddGroups adds the subgroups of a column.
func (r *Report) AddGroups(column string) {
	r.Groups = append(r.Groups, ByColumn(r.predictions, column, r.options)...)
}

// Note adds a line that a reader has to know.
func (r *Report) Note(format string, values ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, values...))
}

// MostUncertain returns the subjects of the highest entropy, first.
func (r *Report) MostUncertain(most int) []Line {
	sorted := slices.Clone(r.Subjects)
	slices.SortStableFunc(sorted, func(a, b Line) int { return cmp.Compare(b.Entropy, a.Entropy) })
	return sorted[:min(most, len(sorted))]
}

// Wrong returns the subjects that are predicted wrongly, the surest first.
func (r *Report) Wrong() []Line {
	var wrong []Line
	for _, l := range r.Subjects {
		if !l.Right() {
			wrong = append(wrong, l)
		}
	}
	slices.SortStableFunc(wrong, func(a, b Line) int { return cmp.Compare(a.Entropy, b.Entropy) })
	return wrong
}

// Headline is the result in a sentence: accuracy and AUROC with their intervals,
// and whether guessing the commonest class would do as well.
func (r *Report) Headline() string {
	n, most := 0, 0
	for class, count := range r.Counts {
		n += count
		if count > r.Counts[most] {
			most = class
		}
	}
	accuracy, area := Find(r.Metrics, Accuracy), Find(r.Metrics, AUROC)
	text := fmt.Sprintf("Accuracy %s on %s.", inPercent(accuracy), plural(n, "subject"))
	if share := float64(r.Counts[most]) / float64(n); share > 0.5 || !r.Binary() {
		text += fmt.Sprintf(" Always saying %s would be right for %.1f %% of them.", r.Classes[most], 100*share)
	}
	if area.Known() {
		text += fmt.Sprintf(" AUROC %s.", inNumbers(area))
	}
	return text
}

// Needed says whether the network is better than the baseline of the highest
// AUROC; empty without baselines.
func (r *Report) Needed() string {
	var best *Baseline
	for i := range r.Baselines {
		b := &r.Baselines[i]
		if b.Unknown == "" && Find(b.Metrics, AUROC).Known() && (best == nil || Find(b.Metrics, AUROC).Value > Find(best.Metrics, AUROC).Value) {
			best = b
		}
	}
	if best == nil || !Find(r.Metrics, AUROC).Known() {
		return ""
	}
	less := Find(best.Less, AUROC)
	text := fmt.Sprintf("The best baseline by AUROC is %s, %.3f", best.Name, Find(best.Metrics, AUROC).Value)
	switch {
	case !less.HasInterval():
		return text + ": whether the network is better cannot be told, " + less.Unknown + "."
	case less.Low > 0:
		text += "; the network is better by"
	case less.High < 0:
		text += "; the network is worse, a difference of"
	default:
		text += "; which is better cannot be told from these subjects, a difference of"
	}
	return text + fmt.Sprintf(" %+.3f (95 %% interval %+.3f to %+.3f).", less.Value, less.Low, less.High)
}

// Binary says whether there are two classes.
func (r *Report) Binary() bool { return len(r.Classes) == 2 }

func inPercent(m *Metric) string {
	text := fmt.Sprintf("%.1f %%", 100*m.Value)
	if m.HasInterval() {
		text += fmt.Sprintf(" (95 %% interval %.1f to %.1f)", 100*m.Low, 100*m.High)
	}
	return text
}

func inNumbers(m *Metric) string {
	if !m.Known() {
		return "cannot tell"
	}
	text := fmt.Sprintf("%.3f", m.Value)
	if math.IsInf(float64(m.Value), 0) {
		text = "infinite"
	}
	if m.HasInterval() {
		text += fmt.Sprintf(" (%.3f to %.3f)", m.Low, m.High)
	}
	return text
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
