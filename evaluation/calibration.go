package evaluation

import (
	"slices"

	"ballast/run"
	"ballast/stat"
)

// A Calibration says whether confidence can be trusted: the reliability diagram
// of the predicted class, and what its error would be by chance alone.
type Calibration struct {
	Bins []ReliabilityBin `json:"bins"` // of equal width; empty ones left out

	// Expected is the calibration error that these confidences would show on
	// average if they were exactly right, with so few subjects, and ExpectedHigh
	// what one set in twenty would exceed.
	Expected     run.Float `json:"expected_if_calibrated"`
	ExpectedHigh run.Float `json:"expected_if_calibrated_high"`
}

// A ReliabilityBin is the subjects of about the same confidence.
type ReliabilityBin struct {
	Low        run.Float `json:"low"` // of the confidence
	High       run.Float `json:"high"`
	Subjects   int       `json:"subjects"`
	Right      int       `json:"right"`
	Confidence run.Float `json:"confidence"` // mean
	RightLow   run.Float `json:"right_low"`  // Wilson's interval of the share right
	RightHigh  run.Float `json:"right_high"`
}

// Calibrate makes the reliability diagram of the most probable class. What a
// calibrated network would show is simulated: each subject is right with the
// probability that its prediction claims. An error below ExpectedHigh is no
// evidence of miscalibration.
func Calibrate(p *Predictions, o Options) Calibration {
	o = o.complete()
	s := newSample(p, o)
	confidence, right := s.confidence(s.all())
	var c Calibration
	for _, b := range stat.EqualWidthBins(confidence, right, o.Bins) {
		if b.Count == 0 {
			continue
		}
		low, high := stat.Wilson(float64(b.True), float64(b.Count), o.Level)
		c.Bins = append(c.Bins, ReliabilityBin{
			Low: run.Float(b.Low), High: run.Float(b.High), Subjects: b.Count, Right: b.True,
			Confidence: run.Float(b.Mean), RightLow: run.Float(low), RightHigh: run.Float(high),
		})
	}
	errors, mean := make([]float64, o.Draws), 0.0
	for k := range errors {
		stream := stat.NewStream(o.Seed, "calibrated", uint64(k))
		for i, p := range confidence {
			right[i] = stream.Float64() < p
		}
		errors[k] = stat.CalibrationError(confidence, right, o.Bins)
		mean += errors[k] / float64(o.Draws)
	}
	c.Expected, c.ExpectedHigh = run.Float(mean), run.Float(stat.Quantile(errors, o.Level))
	return c
}

// FitTemperature returns the temperature at which the predictions' log loss is
// least; see stat.Temperature. Subjects of several images or samples are cooled
// as they were predicted: after pooling.
func FitTemperature(p *Predictions) (float64, error) {
	var logits [][]float64
	var truth []int
	for _, s := range p.Subjects {
		logits, truth = append(logits, stat.Logits(s.Probabilities)), append(truth, s.Class)
	}
	return stat.Temperature(logits, truth)
}

// Cool returns the predictions at a temperature, which was fitted on means over
// samples and is applied to them. The samples stay what they are: mutual
// information is about the networks as they were trained.
func (p *Predictions) Cool(temperature float64) *Predictions {
	cooled := &Predictions{Classes: p.Classes, Positive: p.Positive, Subjects: slices.Clone(p.Subjects)}
	for i := range cooled.Subjects {
		s := &cooled.Subjects[i]
		s.Probabilities = stat.Cool(s.Probabilities, temperature)
	}
	return cooled
}

// FitThreshold returns the threshold of the positive of two classes at which the
// predictions have the highest sum of sensitivity and specificity; NaN when a
// class is missing.
func FitThreshold(p *Predictions) float64 {
	threshold, _ := stat.Youden(p.scores(p.Positive))
	return threshold
}
