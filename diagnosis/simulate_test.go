package diagnosis

import (
	"fmt"
	"math"

	"ballast/run"
	"ballast/stat"
)

// A scenario is a training run invented with known causes. A subject's logit
// (for class 1 against class 0) after epoch t is
//
//	scale g(t) (±signal + difficulty) + bias(t) + features · weights(t)
//
// where the sign is that of the true class, g rises from 0 to 1, difficulty is
// the subject's own normal number and features are featureCount of them. The
// weights and the bias walk (real change) and shake (weight noise, which
// averaging removes). On top of that the deterministic view has shocks that
// recalibration removes (batch-norm lag), and the logged view has noise of its
// own (dropout left on, a random subset).
type scenario struct {
	training, epochs    int
	prevalence          float64 // of class 1
	signal              float64 // in units of the difficulty's standard deviation
	scale               float64 // of the logits at the end
	rise                float64 // epochs until g = 1 - 1/e
	walkBias, shakeBias float64 // standard deviation per epoch of the class bias
	walk, shake         float64 // the same of each weight
	lag                 float64 // of the batch-norm shock
	dropout             float64 // of the noise of the logged view
	fraction            float64 // of the validation subjects in the logged view
	memory              float64 // logit gained by training subjects at the end
	inflate             float64 // growth of the logits' scale over the run, the signal unchanged
}

const featureCount = 3

// course is what happens to the weights of one simulated run.
type course struct {
	scenario
	seed                     uint64
	growth                   []float64
	bias, averagedBias       []float64
	weights, averagedWeights [][featureCount]float64
	shock, tilt              []float64
	offset, offsetAveraged   []float64 // thresholds fixed on the training subjects, of class 1
	trainingRows             map[string][][]run.Row
	trainingClasses          []int
}

func newCourse(s scenario, seed uint64) *course {
	c := &course{scenario: s, seed: seed}
	stream := stat.NewStream(seed, "course")
	const decay = 0.8
	var walkBias, averageBias float64
	var walk, average [featureCount]float64
	for t := range s.epochs {
		growth := s.scale * (1 - math.Exp(-float64(t+1)/s.rise)) * (1 + s.inflate*float64(t)/float64(s.epochs))
		c.growth = append(c.growth, growth)
		walkBias = 0.9*walkBias + s.walkBias*stream.Normal()
		bias := walkBias + s.shakeBias*stream.Normal()
		var weights [featureCount]float64
		for f := range weights {
			walk[f] = 0.95*walk[f] + s.walk*stream.Normal()
			weights[f] = walk[f] + s.shake*stream.Normal()
		}
		if t == 0 {
			averageBias, average = bias, weights
		}
		averageBias += (1 - decay) * (bias - averageBias)
		for f := range average {
			average[f] += (1 - decay) * (weights[f] - average[f])
		}
		c.bias, c.averagedBias = append(c.bias, bias), append(c.averagedBias, averageBias)
		c.weights, c.averagedWeights = append(c.weights, weights), append(c.averagedWeights, average)
		c.shock, c.tilt = append(c.shock, s.lag*stream.Normal()), append(c.tilt, s.lag*stream.Normal()/2)
	}
	c.train()
	return c
}

var simulatedViews = []string{run.Logged, run.Deterministic, run.Recalibrated, run.Averaged}

// logits returns a subject's logits by view and epoch, NaN where the logged
// view leaves it out, and its class.
func (c *course) logits(stream *stat.Stream, training bool) (z [4][]float64, class int) {
	sign := -1.0
	if stream.Float64() < c.prevalence {
		sign, class = 1, 1
	}
	difficulty := stream.Normal()
	var feature [featureCount]float64
	for f := range feature {
		feature[f] = stream.Normal()
	}
	for v := range z {
		z[v] = make([]float64, c.epochs)
	}
	for t := range c.epochs {
		own := c.growth[t] * (sign*c.signal + difficulty)
		if training {
			own += sign * c.memory * float64(t+1) / float64(c.epochs)
		}
		recalibrated, averaged := own+c.bias[t], own+c.averagedBias[t]
		for f, x := range feature {
			recalibrated += x * c.weights[t][f]
			averaged += x * c.averagedWeights[t][f]
		}
		deterministic := recalibrated + c.shock[t] + c.tilt[t]*feature[0]
		logged := deterministic + c.dropout*stream.Normal()
		if stream.Float64() >= c.fraction {
			logged = math.NaN()
		}
		z[0][t], z[1][t], z[2][t], z[3][t] = logged, deterministic, recalibrated, averaged
	}
	return z, class
}

func rowOf(z float64) run.Row {
	if math.IsNaN(z) {
		return nil
	}
	return run.Row{float32(1 / (1 + math.Exp(z))), float32(1 / (1 + math.Exp(-z)))}
}

// set simulates a set of subjects.
func (c *course) set(name string, n int, index uint64) (rows map[string][][]run.Row, classes []int) {
	rows = map[string][][]run.Row{}
	for _, view := range simulatedViews {
		rows[view] = make([][]run.Row, c.epochs)
		for t := range rows[view] {
			rows[view][t] = make([]run.Row, n)
		}
	}
	classes = make([]int, n)
	for i := range n {
		z, class := c.logits(stat.NewStream(c.seed, name, index, uint64(i)), name == run.Train)
		classes[i] = class
		for v, view := range simulatedViews {
			for t := range c.epochs {
				rows[view][t][i] = rowOf(z[v][t])
			}
		}
	}
	return rows, classes
}

// train simulates the training subjects and fixes the thresholds on them.
func (c *course) train() {
	c.trainingRows, c.trainingClasses = c.set(run.Train, c.training, 0)
	for t := range c.epochs {
		offset := func(view string) float64 {
			offsets := classOffsets(c.trainingRows[view][t], c.trainingClasses)
			if offsets == nil {
				return 0
			}
			return offsets[1] - offsets[0]
		}
		c.offset = append(c.offset, offset(run.Recalibrated))
		c.offsetAveraged = append(c.offsetAveraged, offset(run.Averaged))
	}
}

// run returns the record of the course on n validation subjects, the set being
// chosen by index.
func (c *course) run(n int, index uint64) *run.Run {
	rows, classes := c.set(run.Validation, n, index)
	r := &run.Run{Header: run.Header{
		Format: run.Format, Creator: "simulation", Status: run.Complete, Planned: c.epochs,
		Classes: []string{"non-responder", "responder"},
		Sets:    map[string][]run.Subject{run.Train: subjectsOf("train", c.trainingClasses), run.Validation: subjectsOf("val", classes)},
	}}
	for t := range c.epochs {
		epoch := run.Epoch{Epoch: t + 1, Step: 10 * (t + 1), LearningRate: 1e-3, GradientNorm: 1}
		for _, view := range simulatedViews {
			epoch.Evaluations = append(epoch.Evaluations, evaluationOf(view, run.Validation, rows[view][t], classes))
			training := evaluationOf(view, run.Train, c.trainingRows[view][t], c.trainingClasses)
			if view == run.Logged {
				training.Probabilities = nil
			}
			epoch.Evaluations = append(epoch.Evaluations, training)
		}
		r.Epochs = append(r.Epochs, epoch)
	}
	return r
}

func subjectsOf(prefix string, classes []int) []run.Subject {
	subjects := make([]run.Subject, len(classes))
	for i, class := range classes {
		subjects[i] = run.Subject{ID: fmt.Sprintf("%s-%03d", prefix, i+1), Class: class, Images: 1}
	}
	return subjects
}

func evaluationOf(view, set string, rows []run.Row, classes []int) run.Evaluation {
	var sumLoss, sumCorrect, count float64
	for i, row := range rows {
		if row != nil {
			sumLoss += loss(row, classes[i])
			sumCorrect += correct(row, classes[i])
			count++
		}
	}
	return run.Evaluation{View: view, Set: set, Loss: run.Float(sumLoss / count), Accuracy: run.Float(sumCorrect / count), Probabilities: rows}
}

// truth is what the course shows on a population of validation subjects: for
// each rung of the ladder J² - V_n (of an infinite set), and n V_n.
type truth struct {
	model, spread [5]float64
	accuracy      [5][]float64 // by rung and epoch
}

// measure evaluates the course on fresh subjects.
func (c *course) measure(subjects int) truth {
	var result truth
	var sum, square, right [5][]float64
	for k := range sum {
		sum[k], square[k], right[k] = make([]float64, c.epochs), make([]float64, c.epochs), make([]float64, c.epochs)
	}
	for i := range subjects {
		z, class := c.logits(stat.NewStream(c.seed, "fresh", uint64(i)), false)
		for k, rungLogits := range [5][]float64{z[0], z[1], z[2], z[2], z[3]} {
			before := 0.0
			for t, x := range rungLogits {
				switch k {
				case 3:
					x += c.offset[t]
				case 4:
					x += c.offsetAveraged[t]
				}
				now := 0.0
				if (x > 0) == (class == 1) {
					now = 1
				}
				right[k][t] += now
				sum[k][t] += now - before
				square[k][t] += (now - before) * (now - before)
				before = now
			}
		}
	}
	n, steps := float64(subjects), float64(c.epochs-1)
	for k := range sum {
		for t := range c.epochs {
			result.accuracy[k] = append(result.accuracy[k], right[k][t]/n)
		}
		for t := 1; t < c.epochs; t++ {
			spread := (square[k][t] - sum[k][t]*sum[k][t]/n) / (n - 1)
			d := sum[k][t] / n
			result.spread[k] += spread / (2 * steps)
			result.model[k] += (d*d - spread/n) / (2 * steps)
		}
	}
	return result
}

// jitter2 is the expected J² of rung k on n validation subjects.
func (t *truth) jitter2(k, n int) float64 { return t.model[k] + t.spread[k]/float64(n) }
