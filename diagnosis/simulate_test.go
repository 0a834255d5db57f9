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

// logits returns the logits by view and epoch of a subject of the given class,
// NaN where the logged view leaves it out.
func (c *course) logits(stream *stat.Stream, class int, training bool) (z [4][]float64) {
	sign := float64(2*class - 1)
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
	return z
}

func rowOf(z float64) run.Row {
	if math.IsNaN(z) {
		return nil
	}
	return run.Row{float32(1 / (1 + math.Exp(z))), float32(1 / (1 + math.Exp(-z)))}
}

// positives is the number of subjects of class 1 among n: fixed, as a split by
// class fixes it.
func (c *course) positives(n int) int { return int(math.Round(c.prevalence * float64(n))) }

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
		if i < c.positives(n) {
			classes[i] = 1
		}
		z := c.logits(stat.NewStream(c.seed, name, index, uint64(i)), classes[i], name == run.Train)
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

// truth is what the course shows on a population of validation subjects, by
// rung of the ladder, class and epoch.
type truth struct {
	course   *course
	subjects float64         // of each class
	level    [5][2][]float64 // share that is right
	step     [5][2][]float64 // mean step from the epoch before
	spread   [5][2]float64   // variance of a subject's step, mean over steps
}

// measure evaluates the course on so many fresh subjects of each class.
func (c *course) measure(subjects int) *truth {
	t := &truth{course: c, subjects: float64(subjects)}
	for class := range 2 {
		var square [5][]float64
		for k := range square {
			t.level[k][class], t.step[k][class], square[k] = make([]float64, c.epochs), make([]float64, c.epochs), make([]float64, c.epochs)
		}
		for i := range subjects {
			z := c.logits(stat.NewStream(c.seed, "fresh", uint64(class), uint64(i)), class, false)
			for k, logits := range [5][]float64{z[0], z[1], z[2], z[2], z[3]} {
				before := 0.0
				for e, x := range logits {
					switch k {
					case 3:
						x += c.offset[e]
					case 4:
						x += c.offsetAveraged[e]
					}
					now := 0.0
					if (x > 0) == (class == 1) {
						now = 1
					}
					t.level[k][class][e] += now / t.subjects
					t.step[k][class][e] += (now - before) / t.subjects
					square[k][e] += (now - before) * (now - before)
					before = now
				}
			}
		}
		for k := range square {
			for e := 1; e < c.epochs; e++ {
				d := t.step[k][class][e]
				t.spread[k][class] += (square[k][e] - t.subjects*d*d) / (t.subjects - 1) / float64(c.epochs-1)
			}
		}
	}
	return t
}

// weights are the shares of the classes among n subjects.
func (t *truth) weights(n int) [2]float64 {
	w := float64(t.course.positives(n)) / float64(n)
	return [2]float64{1 - w, w}
}

// finite is the expected V_n of rung k on n subjects.
func (t *truth) finite(k, n int) float64 {
	sum := 0.0
	for class, w := range t.weights(n) {
		sum += w * t.spread[k][class] / (2 * float64(n))
	}
	return sum
}

// model is J² of rung k on an infinite set with the classes' shares among n.
func (t *truth) model(k, n int) float64 {
	sum, w := 0.0, t.weights(n)
	for e := 1; e < t.course.epochs; e++ {
		d := w[0]*t.step[k][0][e] + w[1]*t.step[k][1][e]
		sum += d * d / (2 * float64(t.course.epochs-1))
	}
	for class := range w {
		sum -= w[class] * w[class] * t.spread[k][class] / (2 * t.subjects)
	}
	return sum
}

// jitter2 is the expected J² of rung k on n validation subjects.
func (t *truth) jitter2(k, n int) float64 { return t.model(k, n) + t.finite(k, n) }

// accuracy is that of rung k after the epoch at an index, on an infinite set
// with the classes' shares among n.
func (t *truth) accuracy(k, n, epoch int) float64 {
	w := t.weights(n)
	return w[0]*t.level[k][0][epoch] + w[1]*t.level[k][1][epoch]
}
