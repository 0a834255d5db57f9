package web

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strconv"

	"ballast/train"
)

var (
	//go:embed lr_range.html
	rangeText     string
	rangeTemplate = template.Must(template.New("lr-range").Parse(rangeText))
)

// LearningRateRange writes a learning-rate range test as one self-contained HTML
// page. name says what was trained on. The same test gives the same bytes.
func LearningRateRange(w io.Writer, name string, test *train.RangeTest) error {
	p := rangePage{Style: template.CSS(styleText + checkStyle), Name: cohortTitle(name), Lead: rangeLead(test), Figure: rangeFigure(test)}
	if test.Doubt == "" {
		p.Measures = []measure{
			{"Suggested rate", RateText(test.Suggested), "a tenth of the least loss's"},
			{"Steepest fall at", RateText(test.Steepest), ""},
			{"Least loss at", RateText(test.Least), ""},
		}
	}
	if test.Error > 0 {
		p.Measures = append(p.Measures, measure{"Fall of the loss", significant(test.Fall), "± " + significant(test.Error) + " by noise"})
	}
	for _, point := range test.Points {
		p.Steps = append(p.Steps, rangeStep{RateText(point.Rate), significant(point.Loss), significant(point.Smoothed)})
	}
	var text bytes.Buffer
	err := rangeTemplate.Execute(&text, p)
	if err == nil {
		_, err = w.Write(text.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write the range test: %w", err)
	}
	return nil
}

// A rangePage is what the template shows.
type rangePage struct {
	Style    template.CSS
	Name     string
	Lead     string
	Measures []measure
	Figure   *figure
	Steps    []rangeStep
}

type rangeStep struct{ Rate, Loss, Smoothed string }

// RateText writes a learning rate with two digits, as 0.0032 or 1.4e-05.
func RateText(rate float64) string { return strconv.FormatFloat(rate, 'g', 2, 64) }

func rangeLead(test *train.RangeTest) string {
	if test.Doubt != "" {
		return "This curve suggests no learning rate: " + test.Doubt + "."
	}
	return fmt.Sprintf("Set optimizer.lr to about %s. The training loss falls fastest near %s, is least near %s, and %s.",
		RateText(test.Suggested), RateText(test.Steepest), RateText(test.Least), rangeEnd(test))
}

func rangeEnd(test *train.RangeTest) string {
	if test.Diverged {
		return "diverges beyond " + RateText(test.Points[len(test.Points)-1].Rate)
	}
	return "does not diverge up to " + RateText(train.RangeHigh)
}

// rangeFigure draws the losses over the rates. What diverges leaves the figure at
// its top: the range is that of the losses up to the least, and as much again.
func rangeFigure(test *train.RangeTest) *figure {
	c := plot{xName: "learning rate, logarithmic"}
	c.id, c.title, c.height = "range", "Training loss at rising learning rates", 300
	c.description = "training loss of each step and its moving average against the learning rate of the step"
	smoothed := curve{class: "validation"}
	guess := curve{class: "clean", label: "guess"}
	if len(test.Points) == 0 {
		c.x, c.y = logAxis(train.RangeLow, train.RangeHigh), linearAxis(0, 1, 4)
	} else {
		low, high := rangeOfLosses(test)
		first, last := test.Points[0].Rate, test.Points[len(test.Points)-1].Rate
		guess.points = []point{{first, test.Guess}, {last, test.Guess}}
		for _, p := range test.Points {
			smoothed.points = append(smoothed.points, point{p.Rate, p.Smoothed})
			if p.Loss <= high {
				c.marks = append(c.marks, mark{"g7", p.Rate, p.Loss, 5, fmt.Sprintf("rate %s: loss %s", RateText(p.Rate), significant(p.Loss)), 0})
			}
		}
		c.x, c.y = logAxis(first, last), linearAxis(low, high, 4)
	}
	c.curves = []curve{guess, smoothed}
	if test.Doubt == "" {
		c.rules = []rule{{class: "averaged", label: "suggested", value: test.Suggested}, {class: "guess", label: "least", value: test.Least}}
	}
	return &figure{
		Title: "Training loss at rising learning rates.", Unit: "training loss", SVG: c.svg(),
		Legend:  []legendEntry{{"g7", "loss of one step", true}, {"validation", "moving average", false}, {"clean", "a guess by the classes' shares, whatever the image", false}},
		Caption: "Each step has a larger rate than the one before. Where the curve is level the rate is too small to matter; where it falls the network learns; where it rises the steps are too long. To come down to the dashed line is no learning yet. The moving average lags by a third of a power of ten.",
	}
}

// rangeOfLosses is what the figure shows: every loss up to the least smoothed one,
// and as much again above it as the curve fell.
func rangeOfLosses(test *train.RangeTest) (low, high float64) {
	least := 0
	for i, p := range test.Points {
		if p.Smoothed < test.Points[least].Smoothed {
			least = i
		}
	}
	low, high = min(test.Guess, test.Points[0].Loss), max(test.Guess, test.Points[0].Loss)
	for _, p := range test.Points[:least+1] {
		low, high = min(low, p.Loss), max(high, p.Loss)
	}
	if least+1 < len(test.Points) {
		high += 0.35 * (high - low)
	}
	if high <= low { // the first loss was the least
		high = 2*low + 1e-6
	}
	return low, high
}
