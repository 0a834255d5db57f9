package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ballast/bench/engine"
	"ballast/diagnosis"
	"ballast/evaluation"
	"ballast/run"
	"ballast/stat"
	"ballast/trial"
)

// publish puts every number and figure of the phantom cohort into the page.
func (s *story) publish(truth Curves, pairs []Pair) error {
	r, report, err := s.diagnosed("plain")
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return s.publishCase(r, report) },
		func() error { return publishGuesses(report) },
		s.publishTries,
		func() error { return publishChance(report) },
		func() error { return s.publishTruth(r, report, truth) },
		func() error { return publishComparison(pairs) },
		s.publishCrossValidation,
		s.publishLarger,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// diagnosed opens and diagnoses a run of the story.
func (s *story) diagnosed(name string) (*run.Run, *diagnosis.Report, error) {
	r, err := run.Open(filepath.Join(s.folder, name))
	if err != nil {
		return nil, nil, err
	}
	report, err := diagnosis.Diagnose(r)
	return r, report, err
}

func (s *story) publishCase(r *run.Run, report *diagnosis.Report) error {
	curve := accuracies(r, run.Logged)
	training := make([]float64, len(r.Epochs))
	for t := range r.Epochs {
		training[t] = 100 * float64(r.Epochs[t].Evaluation(run.Logged, run.Train).Accuracy)
	}
	lateCurve := curve[len(curve)-len(curve)/3:]
	n, j := report.Subjects.Validation, report.Jitter["accuracy"]
	low, high := stat.Wilson(0.5*float64(n), float64(n), 0.95)
	if err := drawCase(training, curve, 100*low, 100*high, n); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(s.folder, "plain.diagnose"))
	if err != nil {
		return err
	}
	_, printed, _ := strings.Cut(string(text), "\n") // after the command
	summary, _, _ := strings.Cut(printed, "\n\n")
	if err := put("summary", "```text\n%s\n```", summary); err != nil {
		return err
	}
	change, never := flips(r)
	if err := put("flips", "From one epoch to the next %.1f of the %d patients change sides on average; %d never do after the tenth epoch.", change, n, never); err != nil {
		return err
	}
	return put("case", "Training accuracy ends at %.0f %%. Over the last third of the epochs the validation accuracy of %d patients wanders between %.0f and %.0f %%, "+
		"with a mean of %.0f %%; the best epoch, %d, has %.0f %%. From one epoch to the next it jumps by %.1f points (95 %% interval %.1f to %.1f), the AUROC of the same predictions by %.1f.",
		training[len(training)-1], n, slices.Min(lateCurve), slices.Max(lateCurve), late(curve), report.Epochs.Best, float64(report.Epochs.BestAccuracy), float64(j.Points), float64(j.Low), float64(j.High), float64(report.Jitter["auroc"].Points))
}

// flips counts the validation patients who change between right and wrong: how many
// from one epoch to the next, and how many never do after the tenth epoch.
func flips(r *run.Run) (change float64, never int) {
	subjects := r.Header.Sets[run.Validation]
	for i, subject := range subjects {
		changes := 0
		for t := 11; t < len(r.Epochs); t++ {
			if rightAt(r, t, i, subject.Class) != rightAt(r, t-1, i, subject.Class) {
				changes++
			}
		}
		change += float64(changes) / float64(len(r.Epochs)-11)
		if changes == 0 {
			never++
		}
	}
	return change, never
}

// rightAt says whether a validation patient is right after an epoch.
func rightAt(r *run.Run, epoch, subject, class int) bool {
	row := r.Epochs[epoch].Evaluation(run.Logged, run.Validation).Probabilities[subject]
	return slices.Index(row, slices.Max(row)) == class
}

// interval writes points with their 95 % interval.
func interval(i diagnosis.Interval) string {
	return fmt.Sprintf("%.1f (95 %% interval %.1f to %.1f)", float64(i.Points), float64(i.Low), float64(i.High))
}

// guesses are what people answer to the question, with the causes that decide them
// and which of their sentences to quote.
var guesses = []struct {
	guess  string
	causes []quoted
}{
	{"It overfits", []quoted{{"overfitting", 0}}},
	{"The validation set is tiny", []quoted{{"small-validation-set", 0}}},
	{"It is a coin flip: there is nothing to learn", []quoted{{"coin-flip", 0}, {"no-signal", 1}}},
	{"Batch norm", []quoted{{"batch-norm-lag", 0}, {"batch-norm-small-batch", 0}}},
	{"The learning rate is too high", []quoted{{"learning-rate-too-high", 0}}},
	{"Too many layers", []quoted{{"too-much-capacity", 0}}},
	{"Training and validation are prepared differently", []quoted{{"preprocessing-mismatch", 0}}},
	{"Dropout or augmentation is left on", []quoted{{"stochastic-evaluation", 0}}},
	{"It names one class at a time", []quoted{{"class-bias-oscillation", 0}, {"threshold-flicker", 0}}},
	{"The ReLUs have died", []quoted{{"dead-relu", 0}}},
	{"Patients are in both sets, or the scanner gives the answer", []quoted{{"subject-leakage", 0}, {"site-shortcut", 0}}},
}

// A quoted is a cause and the sentence of its evidence that is quoted.
type quoted struct {
	id       string
	sentence int
}

// publishGuesses writes each guess with its verdicts and the first numbers behind them.
func publishGuesses(report *diagnosis.Report) error {
	var table strings.Builder
	engine.MarkdownTable(&table, 3, func(row func(cells ...string)) {
		row("what people say", "verdict", "the number behind it")
		for _, g := range guesses {
			for i, cause := range g.causes {
				at := slices.IndexFunc(report.Findings, func(f diagnosis.Finding) bool { return f.ID == cause.id })
				if at < 0 {
					continue
				}
				f := report.Findings[at]
				said := g.guess
				if i > 0 {
					said = ""
				}
				number := ""
				if len(f.Evidence) > 0 {
					number = f.Evidence[min(cause.sentence, len(f.Evidence)-1)].Text
				}
				row(said, fmt.Sprintf("`%s`: **%s**", cause.id, strings.ReplaceAll(f.Verdict, "-", " ")), number)
			}
		}
	})
	if err := put("guesses", "%s", table.String()); err != nil {
		return err
	}
	return put("experiments", "`%s`", strings.Join(report.Experiments, "`, `"))
}

// tries are what the question has tried, as the folders of its runs.
var tries = []struct{ folder, title string }{
	{"lr-0.0001", "learning rate 0.0001"}, {"lr-0.0003", "learning rate 0.0003"}, {"plain", "0.001, four layers"},
	{"lr-0.003", "learning rate 0.003"}, {"cnn3", "three layers"}, {"cnn2", "two layers"},
}

func (s *story) publishTries() error {
	var table strings.Builder
	var curves [][]float64
	var failed error
	engine.MarkdownTable(&table, 1, func(row func(cells ...string)) {
		row("run", "training accuracy, last, %", "validation, late mean, %", "lowest to highest, late, %", "jitter, points", "of that the few patients, %")
		for _, try := range tries {
			r, report, err := s.diagnosed(try.folder)
			if err != nil {
				failed = err
				return
			}
			curve := accuracies(r, run.Logged)
			curves = append(curves, curve)
			lateCurve := curve[len(curve)-len(curve)/3:]
			last := r.Epochs[len(r.Epochs)-1].Evaluation(run.Logged, run.Train)
			share := "-"
			if report.Finite.Points.Known() {
				share = fmt.Sprintf("%.0f (%.0f to %.0f)", 100*float64(report.Finite.Points), 100*float64(report.Finite.Low), 100*float64(report.Finite.High))
			}
			j := report.Jitter["accuracy"]
			row(try.title, fmt.Sprintf("%.0f", 100*float64(last.Accuracy)), fmt.Sprintf("%.0f", late(curve)), fmt.Sprintf("%.0f to %.0f", slices.Min(lateCurve), slices.Max(lateCurve)),
				fmt.Sprintf("%.1f (%.1f to %.1f)", float64(j.Points), float64(j.Low), float64(j.High)), share)
		}
	})
	if failed != nil {
		return failed
	}
	if err := drawTries(curves); err != nil {
		return err
	}
	return put("tries", "%s", table.String())
}

// publishChance writes what n patients can show.
func publishChance(report *diagnosis.Report) error {
	epochs := report.Epochs.Analysed
	var table strings.Builder
	engine.MarkdownTable(&table, 0, func(row func(cells ...string)) {
		row("validation patients", "an accuracy of 50 % may be, %", "better than a coin from, %", fmt.Sprintf("highest minus lowest of %d epochs, points", epochs), "typical step, points")
		for _, n := range []int{10, 20, 50, 100, 200, 400} {
			size := float64(n)
			low, high := stat.Wilson(size/2, size, 0.95)
			_, span := stat.BinomialRange(n, 0.5, epochs)
			row(fmt.Sprint(n), fmt.Sprintf("%.0f to %.0f", 100*low, 100*high), fmt.Sprintf("%.0f", 100*float64(stat.LeastSignificant(n, 0.5, 0.05))/size),
				fmt.Sprintf("%.0f", 100*span), fmt.Sprintf("%.0f", 100*math.Sqrt(0.5/size)))
		}
	})
	if err := drawChance(epochs); err != nil {
		return err
	}
	return put("chance", "%s", table.String())
}

func (s *story) publishTruth(r *run.Run, report *diagnosis.Report, truth Curves) error {
	text, err := os.ReadFile(filepath.Join(s.folder, "cohort", "phantom.json"))
	if err != nil {
		return err
	}
	var record struct {
		Best float64 `json:"bayes_accuracy"`
	}
	if err := json.Unmarshal(text, &record); err != nil {
		return err
	}
	if err := drawTruth(r, truth, 100*record.Best); err != nil {
		return err
	}
	low, high := stat.Wilson(late(truth.Fresh)/100*fresh, fresh, 0.95)
	best := report.Epochs.Best - 1
	return put("truth", "| | %d validation patients | %d fresh patients, the same weights |\n| --- | --: | --: |\n"+
		"| mean accuracy of the last third, %% | %.1f | %.1f (%.0f to %.0f) |\n| jitter, points | %.1f | %.1f |\n"+
		"| jitter with infinitely many patients, from these | %s | %s |\n| accuracy of epoch %d, the best by validation, %% | %.0f | %.1f |\n"+
		"| the best that any method can reach, %% | | %.0f |\n",
		report.Subjects.Validation, fresh, late(truth.Validation), late(truth.Fresh), 100*low, 100*high, jitter(truth.Validation), jitter(truth.Fresh),
		interval(report.Infinite), interval(truth.Infinite), report.Epochs.Best, truth.Validation[best], truth.Fresh[best], 100*record.Best)
}

// publishComparison writes the paired differences of the recipes over the seeds.
func publishComparison(pairs []Pair) error {
	if err := drawSeeds(pairs); err != nil {
		return err
	}
	var table strings.Builder
	engine.MarkdownTable(&table, 1, func(row func(cells ...string)) {
		row("mean over the seeds", "plain", "steady", "difference (95 % interval)")
		for _, m := range measured {
			var plain, steady, differences []float64
			for _, p := range pairs {
				a, b := m.of(p.Plain), m.of(p.Steady)
				plain, steady, differences = append(plain, a), append(steady, b), append(differences, b-a)
			}
			d, half := mean(differences), halfWidth(differences)
			row(m.name, fmt.Sprintf("%.1f", mean(plain)), fmt.Sprintf("%.1f", mean(steady)), fmt.Sprintf("%+.1f (%+.1f to %+.1f)", d, d-half, d+half))
		}
	})
	if err := put("comparison", "%s", table.String()); err != nil {
		return err
	}
	var best, level, actual []float64
	for _, p := range pairs {
		best, level, actual = append(best, slices.Max(p.Plain.Validation)), append(level, late(p.Plain.Validation)), append(actual, late(p.Plain.Fresh))
	}
	return put("seeds", "In the %d plain runs the best epoch has %s %% of its validation patients right, the mean of the last third is %s %%, and of fresh patients it is %s %%.",
		len(pairs), span(best), span(level), span(actual))
}

// span writes the lowest and the highest of some numbers.
func span(values []float64) string {
	return fmt.Sprintf("%.0f to %.0f", slices.Min(values), slices.Max(values))
}

// measured are what the controlled comparison compares.
var measured = []struct {
	name string
	of   func(Curves) float64
}{
	{"jitter on the validation patients, points", func(c Curves) float64 { return jitter(c.Validation) }},
	{fmt.Sprintf("jitter on %d fresh patients, points", fresh), func(c Curves) float64 { return jitter(c.Fresh) }},
	{fmt.Sprintf("accuracy on %d fresh patients, last epoch, %%", fresh), func(c Curves) float64 { return c.Fresh[len(c.Fresh)-1] }},
	{"by how much the best epoch flatters, points", func(c Curves) float64 {
		best := 0
		for t, a := range c.Validation {
			if a > c.Validation[best] {
				best = t
			}
		}
		return c.Validation[best] - c.Fresh[best]
	}},
}

// halfWidth is that of Student's 95 % interval of a mean.
func halfWidth(values []float64) float64 {
	m, square := mean(values), 0.0
	for _, x := range values {
		square += (x - m) * (x - m)
	}
	n := float64(len(values))
	return stat.StudentQuantile(0.975, n-1) * math.Sqrt(square/(n-1)/n)
}

// publishCrossValidation writes the results of both recipes and of what needs no
// network.
func (s *story) publishCrossValidation() error {
	var table strings.Builder
	var failed error
	engine.MarkdownTable(&table, 1, func(row func(cells ...string)) {
		row("cross-validation over all patients", "AUROC (95 % interval)", "accuracy (95 % interval)", "log loss")
		cell := func(value, low, high run.Float) string {
			return fmt.Sprintf("%.2f (%.2f to %.2f)", float64(value), max(0, float64(low)), min(1, float64(high)))
		}
		for _, recipe := range []string{"plain", "steady"} {
			cv, err := s.crossValidation("cv-" + recipe)
			if err != nil {
				failed = err
				return
			}
			cells := map[string]string{}
			for _, r := range cv.Results {
				cells[r.ID] = cell(r.Value, r.Low, r.High)
			}
			logLoss, _, _ := strings.Cut(cells[evaluation.LogLoss], " ")
			row("four layers, "+recipe, cells[evaluation.AUROC], cells[evaluation.Accuracy], logLoss)
			if recipe == "plain" {
				continue
			}
			for _, b := range cv.Baselines {
				for _, r := range b.Results {
					cells[r.ID] = cell(r.Value, r.Low, r.High)
				}
				if b.Unknown == "" && !math.IsNaN(float64(b.Results[0].Low)) {
					row("logistic regression on "+b.Name, cells[evaluation.AUROC], cells[evaluation.Accuracy], "")
				}
			}
		}
	})
	if failed != nil {
		return failed
	}
	return put("cv", "%s", table.String())
}

// crossValidation reads what cv wrote.
func (s *story) crossValidation(folder string) (cv trial.CrossValidation, err error) {
	text, err := os.ReadFile(filepath.Join(s.folder, folder, "cv.json"))
	if err != nil {
		return cv, err
	}
	return cv, json.Unmarshal(text, &cv)
}

func (s *story) publishLarger() error {
	r, report, err := s.diagnosed("larger-plain")
	if err != nil {
		return err
	}
	before, small, err := s.diagnosed("plain")
	if err != nil {
		return err
	}
	first, second := accuracies(before, run.Logged), accuracies(r, run.Logged)
	return put("larger", "| | %d patients, %d to validate on | %d patients, %d to validate on |\n| --- | --: | --: |\n| jitter, points | %.1f | %.1f |\n"+
		"| mean accuracy of the last third, %% | %.0f | %.0f |\n| one epoch may be off by, points | %.0f | %.0f |\n| lowest to highest of the last third, %% | %s | %s |\n",
		small.Subjects.Train+small.Subjects.Validation, small.Subjects.Validation, report.Subjects.Train+report.Subjects.Validation, report.Subjects.Validation,
		float64(small.Jitter["accuracy"].Points), float64(report.Jitter["accuracy"].Points), float64(small.Chance.Accuracy), float64(report.Chance.Accuracy),
		(float64(small.Chance.High)-float64(small.Chance.Low))/2, (float64(report.Chance.High)-float64(report.Chance.Low))/2,
		span(first[len(first)-len(first)/3:]), span(second[len(second)-len(second)/3:]))
}
