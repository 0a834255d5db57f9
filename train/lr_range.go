package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"ballast/stat"
)

// The rates of a range test.
const (
	RangeLow  = 1e-6
	RangeHigh = 10.0
)

// The number of steps that a range test may have.
const (
	MinRangeSteps = 50
	MaxRangeSteps = 10_000
)

const (
	rangeStop     = 4.0  // times the least smoothed loss, at which a range test ends
	rangeSmoothed = 0.1  // share of the steps that the smoothed loss averages over, about
	rangeStart    = 0.15 // share of the steps, at the least rates, that give the level of the start
	rangeSure     = 4.0  // standard errors by which the loss must fall for a suggestion
)

// A RangeTest is the learning-rate range test of Smith ("Cyclical learning rates
// for training neural networks", WACV 2017), as Howard and Gugger smooth, end and
// read it in fastai: the rate rises exponentially from RangeLow to RangeHigh, one
// step of the optimiser at each rate, until the smoothed training loss exceeds four
// times its least.
type RangeTest struct {
	Points    []RangePoint `json:"points"`
	Diverged  bool         `json:"diverged"`                          // ended before RangeHigh
	Guess     float64      `json:"guess"`                             // the loss of a network that predicts the classes' shares for every image
	Noise     float64      `json:"noise"`                             // standard deviation of the loss of a step
	Fall      float64      `json:"fall"`                              // to the least smoothed loss, from Guess or, if that is lower, from the start
	Error     float64      `json:"standard_error"`                    // of the fall, by the noise alone
	Least     float64      `json:"least_learning_rate,omitempty"`     // where the smoothed loss is least; 0 when Doubt says why
	Steepest  float64      `json:"steepest_learning_rate,omitempty"`  // where it falls fastest
	Suggested float64      `json:"suggested_learning_rate,omitempty"` // a tenth of Least
	Doubt     string       `json:"doubt,omitempty"`                   // why the curve suggests nothing
}

// A RangePoint is a step of a range test.
type RangePoint struct {
	Rate     float64 `json:"learning_rate"`
	Loss     float64 `json:"loss"`          // mean over the images of the step, before it, of what training lessens
	Smoothed float64 `json:"smoothed_loss"` // exponential moving average, corrected for its start
}

// errRangeEnds ends the feeding of batches in good order.
var errRangeEnds = errors.New("the range test ends")

// RunRangeTest makes a learning-rate range test by a resolved plan, whose own rate and
// schedule play no part. steps is the number of rates; 0 chooses it by the data.
// Nothing is recorded; the images are drawn and changed as in training. It returns
// ErrInterrupted when the context ends.
func RunRangeTest(ctx context.Context, p Plan, images *Images, steps int, o Options) (RangeTest, error) {
	if steps != 0 && (steps < MinRangeSteps || steps > MaxRangeSteps) {
		return RangeTest{}, fmt.Errorf("%d steps of a range test; there can be %d to %d", steps, MinRangeSteps, MaxRangeSteps)
	}
	t, err := newTrainer(p, images, o)
	if err != nil {
		return RangeTest{}, err
	}
	defer t.pool.Close()
	if steps == 0 {
		steps = chooseRangeSteps(t.stepsPerEpoch())
	}
	test := RangeTest{}
	smoother := newSmoother(steps)
	var sum tally
	counts := make([]float64, len(images.Classes))
	for epoch := 1; err == nil; epoch++ {
		err = t.eachBatch(ctx, epoch, func(indices []int, last bool) error {
			batch := t.backward(indices)
			sum.add(batch)
			for _, label := range t.labels {
				counts[label]++
			}
			if !t.accumulation.gather(batch.weight, last) {
				return nil
			}
			rate := rangeRate(len(test.Points), steps)
			ends := test.add(rate, sum.objective/sum.weight, smoother)
			sum = tally{}
			if o.Progress != nil {
				o.Progress(Progress{Share: float64(len(test.Points)) / float64(steps)})
			}
			if ends || len(test.Points) == steps {
				return errRangeEnds
			}
			t.takeStep(rate)
			return nil
		})
	}
	if !errors.Is(err, errRangeEnds) {
		return RangeTest{}, err
	}
	test.Guess = t.objective.guess(counts)
	test.judge(smoother.weight)
	return test, nil
}

// chooseRangeSteps is two epochs, but at least two hundred steps, which is 28 to
// a power of ten, and at most four hundred.
func chooseRangeSteps(perEpoch int) int { return max(200, min(400, 2*perEpoch)) }

// rangeRate is the rate of a step, counted from 0.
func rangeRate(step, steps int) float64 {
	share := float64(step) / float64(steps-1)
	return RangeLow * stat.Exp(float64(share*stat.Log(RangeHigh/RangeLow)))
}

// A smoother is an exponential moving average of losses, divided by the weight it
// has gathered, so that the first value is the first loss.
type smoother struct{ weight, sum, gathered float64 }

func newSmoother(steps int) *smoother {
	return &smoother{weight: 2 / (float64(rangeSmoothed*float64(steps)) + 1)}
}

func (s *smoother) add(loss float64) float64 {
	s.sum += float64(s.weight * (loss - s.sum))
	s.gathered += float64(s.weight * (1 - s.gathered))
	return s.sum / s.gathered
}

// add records a step and reports whether the test has to end: the loss is no
// number, or so high that larger rates have nothing more to tell.
func (r *RangeTest) add(rate, loss float64, s *smoother) (ends bool) {
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		r.Diverged = true
		return true
	}
	point := RangePoint{Rate: rate, Loss: loss, Smoothed: s.add(loss)}
	r.Points = append(r.Points, point)
	r.Diverged = point.Smoothed > rangeStop*r.Points[r.least()].Smoothed
	return r.Diverged
}

// least is the index of the least smoothed loss, the first of equals.
func (r *RangeTest) least() int {
	best := 0
	for i, p := range r.Points {
		if p.Smoothed < r.Points[best].Smoothed {
			best = i
		}
	}
	return best
}

// guess is the mean objective, over images of so many labels of each class, of a
// network that ignores its input and predicts the classes' shares in it.
func (o *objective) guess(counts []float64) float64 {
	smoothing, weighted, total := 0.0, slices.Clone(counts), 0.0
	for class := range weighted {
		if o.loss != nil && o.loss.Weights != nil {
			weighted[class] *= o.loss.Weights[class]
		}
		total += weighted[class]
	}
	if o.loss != nil {
		smoothing = o.loss.Smoothing
	}
	logits := make([]float32, len(counts))
	for class, weight := range weighted {
		share := float64((1-smoothing)*weight/total) + smoothing/float64(len(counts))
		logits[class] = float32(stat.Log(math.Max(share, 1e-30)))
	}
	probabilities, gradient := make([]float32, len(counts)), make([]float32, len(counts))
	sum := 0.0
	for class, count := range counts {
		one := o.gradient(logits, []int{class}, nil, probabilities, gradient)
		sum += float64(count * one.objective)
	}
	return sum / total
}

// judge reads the curve. The noise of a step's loss is von Neumann's estimate from
// successive differences up to the least loss, which a trend hardly enters. The
// start is the mean loss of the first steps, whose rates are too small to change
// much. A network begins with outputs of any size, and to lessen them to the mere
// shares of the classes is no learning: a suggestion needs a least loss that lies
// rangeSure standard errors below the start and below that guess.
func (r *RangeTest) judge(weight float64) {
	start := int(math.Ceil(float64(rangeStart * float64(len(r.Points)))))
	least := r.least()
	if len(r.Points) < MinRangeSteps/5 || least <= start {
		r.Doubt = "the loss only rises: it is least at the smallest rates, where nothing is learnt yet"
		return
	}
	level, squares := 0.0, 0.0
	for i, p := range r.Points[:least+1] {
		if i < start {
			level += p.Loss / float64(start)
		}
		if i > 0 {
			difference := p.Loss - r.Points[i-1].Loss
			squares += float64(difference * difference)
		}
	}
	from, name := level, "its start"
	if r.Guess < level {
		from, name = r.Guess, "a guess by the classes' shares"
	}
	r.Noise = math.Sqrt(squares / float64(2*least))
	r.Fall = from - r.Points[least].Smoothed
	r.Error = r.Noise * math.Sqrt(1/float64(start)+weight/(2-weight))
	if r.Fall <= rangeSure*r.Error {
		r.Doubt = fmt.Sprintf("the least smoothed loss, %.3g, is not clearly below that of %s, %.3g (standard error %.2g): nothing is learnt in so few steps, or they are too noisy to tell; more --steps, larger batches or optimizer.accumulate may help",
			r.Points[least].Smoothed, name, from, r.Error)
		return
	}
	r.Least = r.Points[least].Rate
	r.Suggested = r.Least / 10
	first := least
	for first > 0 && r.Points[first].Smoothed < from {
		first--
	}
	r.Steepest = r.steepest(first, least)
}

// steepest is the rate, between two steps, where the smoothed loss falls fastest,
// by differences over a twentieth of the curve.
func (r *RangeTest) steepest(from, to int) float64 {
	reach := max(1, len(r.Points)/40)
	best, fastest := from, 0.0
	for i := max(from, reach); i <= min(to, len(r.Points)-1-reach); i++ {
		if change := r.Points[i+reach].Smoothed - r.Points[i-reach].Smoothed; change < fastest {
			best, fastest = i, change
		}
	}
	return r.Points[best].Rate
}
